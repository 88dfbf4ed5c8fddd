import shutil
from pathlib import Path

from dccd_core.keep.room import free_bytes


def test_what_is_free_is_that_of_the_disk_it_will_be_on(tmp_path: Path) -> None:
    free = free_bytes(str(tmp_path / "not" / "there"))
    assert free is not None
    assert 0 <= free <= shutil.disk_usage(tmp_path).total


def test_of_a_bucket_nobody_knows() -> None:
    assert free_bytes("s3://bucket/lake") is None
