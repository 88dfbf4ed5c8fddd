"""Programs of one's own stand for Dagster's: how they are started, started again, and ended."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from dccd_pipeline.cli.services import CODE, DAEMON, WEB, Services, answers, commands
from dccd_pipeline.runs.processes import members
from dccd_pipeline.tags import LOCATION

QUIET = "import time; print('here', flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + QUIET
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {QUIET!r}]); {QUIET}"


class Kept:
    """Services, what they printed, and what was said of them."""

    def __init__(self, folder: Path, **codes: str) -> None:
        self.heard, self.said = list[tuple[str, str]](), list[str]()
        for name, code in codes.items():
            (folder / f"program_{name}.py").write_text(code)
        programs = {name: [f"program_{name}"] for name in codes}
        path = os.pathsep.join([str(folder), *filter(None, sys.path)])
        self.services = Services(programs, {"PYTHONPATH": path}, self._hear, self.said.append)
        self.services.start(*codes)

    def _hear(self, name: str, line: str) -> None:
        self.heard.append((name, line))

    def awaited(self, test: Callable[[], object]) -> None:
        until = time.monotonic() + 120
        while not test():
            assert time.monotonic() < until, (self.heard, self.said)
            time.sleep(0.05)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    made = list[Kept]()

    def make(**codes: str) -> Kept:
        made.append(Kept(tmp_path, **codes))
        return made[-1]

    yield make
    for one in made:
        one.services.end(lambda: True)


def test_what_they_print_is_heard_and_all_of_it_ends(kept: Callable[..., Kept]) -> None:
    one = kept(code=PARENT, web=QUIET)
    one.awaited(lambda: len(one.heard) == 3)
    assert sorted(one.heard) == [("code", "here"), ("code", "here"), ("web", "here")]
    assert one.services.end() == []
    assert one.said == []


def test_one_that_does_not_hear_is_killed_when_there_is_hurry(kept: Callable[..., Kept]) -> None:
    one = kept(code=DEAF)
    one.awaited(lambda: one.heard)
    (killed,) = one.services.end(lambda: True)
    one.awaited(lambda: not members(killed))


def test_one_that_ended_by_itself_is_started_again_later_and_later(kept: Callable[..., Kept]) -> None:
    one = kept(daemon="import sys; print('tries', flush=True); sys.exit(3)")

    def twice() -> bool:
        one.services.look()
        return len(one.said) == 2

    one.awaited(twice)
    assert one.said == [
        "daemon: ended by itself (exit code 3) -> started again in 1 s",
        "daemon: ended by itself (exit code 3) -> started again in 2 s",
    ]
    assert one.heard.count(("daemon", "tries")) == 2


def test_a_signal_that_ended_one_is_named(kept: Callable[..., Kept]) -> None:
    one = kept(web=QUIET)
    one.awaited(lambda: one.heard)
    os.kill(one.services.pids()[0], signal.SIGKILL)

    def said() -> bool:
        one.services.look()
        return bool(one.said)

    one.awaited(said)
    assert one.said == ["web: ended by itself (signal SIGKILL) -> started again in 1 s"]


def test_all_share_one_code_server_that_is_called_as_ever(tmp_path: Path) -> None:
    programs = commands(tmp_path, "127.0.0.1", 3001)
    assert set(programs) == {CODE, WEB, DAEMON}
    workspace = tmp_path / "workspace.yaml"
    for name in (WEB, DAEMON):
        assert programs[name][-2:] == ["-w", str(workspace)]
    assert programs[WEB][1:5] == ["-h", "127.0.0.1", "-p", "3001"]
    (told,) = yaml.safe_load(workspace.read_text())["load_from"]
    assert told["grpc_server"]["location_name"] == LOCATION
    assert told["grpc_server"]["socket"] in programs[CODE]


def test_a_socket_answers_when_somebody_listens(tmp_path: Path) -> None:
    link = tmp_path / "s"
    assert not answers(link)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(link))
        assert not answers(link)
        server.listen()
        assert answers(link)
