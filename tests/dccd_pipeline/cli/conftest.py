"""A folder to stand in, with a configuration and, for those who want one, a lake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from tests.dccd_pipeline.cli.terminal import CONFIG, STREAMS
from tests.dccd_pipeline.held import HOURS, MINUTES, bars, hold, whole


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of its own with a configuration whose exchange is nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def lake(project: Path) -> LakeStore:
    """A lake with a year of hours and, with a gap, a month of minutes."""
    lake = LakeStore(project / "lake")
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    opens = list(whole(MINUTES, "2024-01"))
    hold(lake, MINUTES, "2024-01", bars(opens[:100] + opens[110:]))
    return lake


@pytest.fixture
def own_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a stream, and an instance beside it."""
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    (project / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9" + STREAMS)
    return project
