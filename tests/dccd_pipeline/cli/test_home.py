"""The folder of the instance, and the ``dagster.yaml`` in it."""

import os
from pathlib import Path

import pytest
import yaml

from dccd_pipeline.cli.home import OURS, furnish, home_for_all

ROOT = Path(__file__).parents[3]


def test_the_repository_s_own_dagster_yaml_is_that_of_the_wheel() -> None:
    assert (ROOT / "dagster.yaml").resolve() == OURS == ROOT / "dccd_pipeline" / "dagster.yaml"
    assert yaml.safe_load(OURS.read_text())["run_launcher"]["class"] == "WatchfulRunLauncher"


def link(home: Path) -> str:
    return os.readlink(home / "dagster.yaml")  # noqa: PTH115 -- as it is written


def test_an_empty_home_gets_ours_and_keeps_a_link(tmp_path: Path) -> None:
    furnish(tmp_path)
    furnish(tmp_path)
    assert link(tmp_path) == str(OURS)


def test_a_file_beside_goes_before_ours_and_ours_is_back_when_it_is_gone(tmp_path: Path) -> None:
    home, beside = tmp_path / ".dagster", tmp_path / "dagster.yaml"
    home.mkdir()
    furnish(home, beside)
    assert link(home) == str(OURS)
    beside.write_text("run_monitoring: {enabled: true}\n")
    furnish(home, beside)
    assert link(home) == "../dagster.yaml"
    beside.unlink()
    furnish(home, beside)
    assert link(home) == str(OURS)


def test_a_link_to_a_dccd_that_is_not_there_any_more_is_mended(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").symlink_to("/nowhere/dccd_pipeline/dagster.yaml")
    furnish(tmp_path)
    assert link(tmp_path) == str(OURS)


def test_what_a_user_put_there_stays(tmp_path: Path) -> None:
    own = tmp_path / "dagster.yaml"
    own.write_text("telemetry: {enabled: true}\n")
    furnish(tmp_path)
    assert own.read_text() == "telemetry: {enabled: true}\n"
    elsewhere = tmp_path / "mine.yaml"
    elsewhere.write_text("{}")
    own.unlink()
    own.symlink_to(elsewhere)
    furnish(tmp_path)
    assert own.resolve() == elsewhere


def test_what_earlier_versions_wrote_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    furnish(tmp_path)
    assert link(tmp_path) == str(OURS)


def test_the_home_is_beside_the_configuration_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """157d310: `.dagster` in the current folder: `dccd status` from another one saw nothing of what ran."""
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project" / "dccd.yaml").write_text("")
    monkeypatch.setenv("DCCD_CONFIG", str(tmp_path / "project" / "dccd.yaml"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert home_for_all() == tmp_path / "project" / ".dagster"
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "project" / ".dagster")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_home_that_is_named_is_not_furnished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "shared"))
    assert home_for_all() == tmp_path / "shared"
    assert list((tmp_path / "shared").iterdir()) == []


def test_r5_dagster_is_told_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """36c92f8: `$DAGSTER_HOME "home" must be an absolute path`, with a trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "home")
    assert home_for_all() == tmp_path / "home"
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "home")
