"""What ``dccd up`` leaves, and what ``dccd status`` makes of it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from dccd_core.domain.timespan import parse_time
from dccd_pipeline.cli.running import (
    Running,
    digest_of,
    forget_running,
    newer_lines,
    read_running,
    write_running,
)
from dccd_pipeline.runs.processes import Process


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "dccd").mkdir()
    (tmp_path / "dccd.yaml").write_text("store: ./data\n")
    return tmp_path / "dccd.yaml"


@pytest.fixture
def running(file: Path) -> Running:
    loaded = parse_time("2026-11-29T12:00:00")
    return Running(Process.this(), "http://127.0.0.1:3000", str(file), digest_of(file), loaded)


def test_it_is_read_as_it_was_written_and_forgotten(tmp_path: Path, running: Running) -> None:
    assert read_running(tmp_path) is None
    write_running(tmp_path, running)
    assert read_running(tmp_path) == running
    assert [one.name for one in (tmp_path / "dccd").iterdir()] == ["up.json"]
    forget_running(tmp_path)
    assert read_running(tmp_path) is None


def test_one_whose_process_died_does_not_run(tmp_path: Path, running: Running) -> None:
    write_running(tmp_path, replace(running, process=Process(running.process.host, 2**22 + 1)))
    assert read_running(tmp_path) is None
    (tmp_path / "dccd" / "up.json").write_text("{}")  # of another version
    assert read_running(tmp_path) is None


def test_the_file_is_newer_than_what_runs_once_it_is_saved(
    tmp_path: Path, file: Path, running: Running
) -> None:
    assert newer_lines(tmp_path) == []
    write_running(tmp_path, running)
    assert newer_lines(tmp_path) == []
    file.write_text("store: ./other\n")
    (line,) = newer_lines(tmp_path)
    assert line.startswith(f"{file} is newer than what runs, saved at 20")
    assert "what runs was loaded at 2026-11-29T12:00:00Z -> `dccd up` takes it over" in line
    write_running(tmp_path, replace(running, mistake="stor: unknown key\ncollect: missing"))
    assert newer_lines(tmp_path) == [
        f"{file} is newer than what runs and cannot be used: stor: unknown key -> mend it;"
        " what runs was loaded at 2026-11-29T12:00:00Z"
    ]
    file.unlink()
    assert newer_lines(tmp_path)[0].startswith(f"{file} is gone, what runs was loaded")
