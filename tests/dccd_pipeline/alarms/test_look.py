from pathlib import Path

from dccd_pipeline.alarms.look import free_space


def test_a_folder_that_is_not_there_yet_will_be_on_the_disk_of_those_above_it(tmp_path: Path) -> None:
    assert free_space(tmp_path / "a" / "b") > 0
