"""``dccd up``: all of it in one command, from any folder, and its end."""

import os
import re
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Any, Protocol

import pytest

from dccd_core.net.clock import SystemClock
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.cli.running import log_file, read_running
from dccd_pipeline.runs.processes import is_there, members
from tests.e2e.project import NEVER, Project, Web, awaited, bars, free_port
from tests.e2e.test_configuration import shown

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
STOPPED = 130
PATIENCE_S = 1_200
"""How long all of it may take to be there, four programs of Dagster's, however busy the machine is."""
STREAM = "stream: [{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}]"


@dataclass(slots=True)
class Running:
    """A ``dccd up``, and what it printed so far."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list[str])

    def read(self, printed: IO[str]) -> None:
        for line in printed:
            self.lines.append(line.rstrip("\n"))

    def said(self, text: str) -> str:
        """Wait for a line with ``text``."""

        def found() -> str | None:
            line = next((line for line in self.lines if text in line), None)
            assert line or self.process.poll() is None, "\n".join(self.lines)
            return line

        return awaited(found, PATIENCE_S)


class Starts(Protocol):
    """A folder in which programs of Python are started."""

    def started(self, *arguments: str, **options: Any) -> subprocess.Popen[str]: ...


@contextmanager
def up(project: Starts, *arguments: str) -> Generator[Running]:
    port = free_port()
    command = ("-m", "dccd_pipeline", "up", "--port", str(port), *arguments)
    pipe = subprocess.PIPE
    process = project.started(*command, stdout=pipe, stderr=subprocess.STDOUT)
    running = Running(process, f"http://127.0.0.1:{port}")
    assert process.stdout
    reader = Thread(target=running.read, args=(process.stdout,))
    reader.start()
    try:
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(120)
        reader.join(120)
        process.stdout.close()


def own_processes(home: Path) -> set[int]:
    """Return the processes that have this home in their environment."""
    found = set[int]()
    for one in Path("/proc").iterdir():
        if one.name.isdigit() and int(one.name) != os.getpid():
            try:
                environment = (one / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"DAGSTER_HOME={home}".encode() in environment and is_there(int(one.name)):
                found.add(int(one.name))
    return found


def test_up_answers_and_a_stop_ends_all_of_it(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project", "http://127.0.0.1:9", bars("BTC/USDT", "2024-01-01", NEVER))
    home = project.folder / "home"
    with up(project) as running:
        running.said("ready: ")
        assert running.lines[0].startswith(f"configuration: {project.folder}/dccd.yaml; store: ")
        assert "binance_ohlc_1m_schedule" in shown(Web(running.url))
        second = project.dccd("up")
        assert (second.returncode, second.stdout) == (2, "")
        who = f"{running.url}, pid {running.process.pid}"
        hint = "end it, or set DAGSTER_HOME for one beside it"
        assert second.stderr == f"{home} is up already: {who} -> {hint}\n"
        assert len(own_processes(home)) > 3
        begun = SystemClock().steady()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == STOPPED
        took = (SystemClock().steady() - begun) / 1e6
    assert "Z ended" in running.lines[-1], running.lines
    assert took < 30, "10 s, on a machine that has nothing else to do"
    awaited(lambda: own_processes(home) == set() or None)
    assert read_running(home) is None
    log = log_file(home).read_text()
    assert re.search(r"^web .*Serving dagster-webserver on http://127\.0\.0\.1:", log, re.MULTILINE)
    assert re.search(r"^daemon .*Instance is configured with the following daemons", log, re.MULTILINE)


def test_a_saved_file_is_taken_over_and_a_broken_one_is_said(tmp_path: Path) -> None:
    """157d310: `make dev` went on with what it had loaded until somebody pressed Reload."""
    project = Project.make(tmp_path / "project", "http://127.0.0.1:9", bars("BTC/USDT", "2024-01-01", NEVER))
    file = project.folder / "dccd.yaml"
    good = file.read_text()
    with up(project) as running:
        running.said("ready: ")
        web = Web(running.url)
        file.write_text(good.replace("span: 1m", "span: 7m"))
        running.said("the last good configuration goes on")
        running.said("nearest is 5m")
        status = project.dccd("status")
        assert f"{file} is newer than what runs and cannot be used: collect[0].span: " in status.stdout
        assert "binance_ohlc_1m_schedule" in shown(web)
        file.write_text(good.replace("span: 1m", "span: 5m"))
        running.said("taken over: 1 entry, 0 streams")
        running.said("next ticks: binance_ohlc_5m at ")
        assert "binance_ohlc_5m_schedule" in shown(web)
        assert "is newer" not in project.dccd("status").stdout


def test_kill_9_of_it_leaves_nothing_behind(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry, more=STREAM)
    home = project.folder / "home"
    with up(project) as running:
        running.said("ready: ")
        running.process.kill()
        running.process.wait(60)
        awaited(lambda: own_processes(home) == set() or None)
    with up(project) as again:
        again.said("ready: ")
        assert members(again.process.pid) or is_there(again.process.pid)
