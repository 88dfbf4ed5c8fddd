import os
from pathlib import Path

import pytest

from dccd_pipeline.home import open_instance


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)


def test_without_a_home_the_instance_is_kept_beside_the_project(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\nrun_monitoring: {enabled: true}\n")
    with open_instance() as instance:
        assert instance.root_directory == str(tmp_path / ".dagster")
        assert instance.run_monitoring_enabled
    link = tmp_path / ".dagster" / "dagster.yaml"
    assert os.readlink(link) == "../dagster.yaml"  # noqa: PTH115 -- as it is written
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / ".dagster")
    with open_instance() as instance:  # a second time nothing is in the way
        assert instance.root_directory == str(tmp_path / ".dagster")


def test_without_a_dagster_yaml_nobody_is_told_either(tmp_path: Path) -> None:
    with open_instance() as instance:
        assert not instance.telemetry_enabled
    assert not (tmp_path / ".dagster" / "dagster.yaml").is_symlink()


def test_the_home_that_is_set_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with open_instance() as instance:
        assert instance.root_directory == str(home)
    assert not (tmp_path / ".dagster").exists()
