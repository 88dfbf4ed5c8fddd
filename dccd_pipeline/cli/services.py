"""The processes of a running instance: the code server, the webserver, the daemon, and the runs they start.

Belongs here: starting them, starting again what ended by itself, ending all of them. Does not: what is said
of it, and when the code is loaded anew (up.py).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Final

import yaml

from dccd_pipeline.cli.kept import GRACE_S
from dccd_pipeline.runs.processes import members
from dccd_pipeline.tags import LOCATION

CODE, WEB, DAEMON = "code", "web", "daemon"
_FIRST_S: Final = 2.0
"""How long the daemon and the webserver may take to end before what they look at ends too."""
_LAST_S: Final = 1.0
_LOOK_S: Final = 0.1
_HEALTHY_S: Final = 300.0
_LONGEST_WAIT_S: Final = 60.0

Hear = Callable[[str, str], None]
"""Takes the name of a service and a line that it, or a run of it, printed."""


def commands(folder: Path, host: str, port: int) -> dict[str, list[str]]:
    """Return the programs to run, by name, and write the workspace that they share into ``folder``.

    The code server keeps the code in a process of its own, and loads it anew when it is told to.
    """
    link = folder / "code.socket"
    server = {"socket": str(link), "host": "localhost", "location_name": LOCATION}
    workspace = folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    quiet = ("--log-level", "warning")
    where = ("-w", str(workspace))
    return {
        CODE: ["dagster", "code-server", "start", "-s", str(link), "-m", LOCATION, *quiet],
        WEB: ["dagster_webserver", "-h", host, "-p", str(port), *where],
        DAEMON: ["dagster._daemon", "run", *where],
    }


def answers(link: Path) -> bool:
    """Tell whether somebody listens at a socket of this machine."""
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(str(link))
        except OSError:
            return False
    return True


@dataclass(slots=True)
class _Service:
    """One program. ``retry_at``: when to start it again, in steady seconds, once it has ended."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[str] | None = None
    began: float = 0.0
    failures: int = 0
    retry_at: float = 0.0


@dataclass(slots=True)
class Services:
    """The programs that make an instance run, each with what it starts in a process group of its own.

    They end with this process, whatever ends it. ``hear`` is told every line they print, ``say`` what is to
    be known of them.
    """

    programs: Mapping[str, Sequence[str]]
    environment: Mapping[str, str]
    hear: Hear
    say: Callable[[str], None]
    _running: dict[str, _Service] = field(default_factory=dict[str, _Service])
    _groups: set[int] = field(default_factory=set[int])

    def start(self, *names: str) -> None:
        """Start these programs."""
        for name in names:
            one = self._running.setdefault(name, _Service(name, self.programs[name]))
            self._spawn(one)

    def started(self, name: str) -> bool:
        """Tell whether a program was started, whatever became of it."""
        return name in self._running

    def pids(self) -> list[int]:
        """Return the processes of the programs that run."""
        return [one.process.pid for one in self._running.values() if one.process]

    def look(self) -> None:
        """Start again what ended by itself: after a second, two, four, at most a minute."""
        now = time.monotonic()
        for one in self._running.values():
            if one.process is None:
                if now >= one.retry_at:
                    self._spawn(one)
            elif (code := one.process.poll()) is not None:
                one.failures = 1 if now - one.began > _HEALTHY_S else one.failures + 1
                wait = min(2.0 ** (one.failures - 1), _LONGEST_WAIT_S)
                _let_go(one.process)
                one.process, one.retry_at = None, now + wait
                self.say(f"{one.name}: ended by itself ({_said_code(code)}) -> started again in {wait:.0f} s")

    def end(self, hurry: Callable[[], bool] = lambda: False) -> list[int]:
        """End all of them, and the runs they started; return the processes that had to be killed.

        First the daemon and the webserver, or they would see what they look at go away. After ``GRACE_S``, or
        when there is ``hurry``, what is still there is killed.
        """
        until = time.monotonic() + GRACE_S
        first = [self._running[name] for name in (DAEMON, WEB) if name in self._running]
        signalled = {one.process.pid for one in first if one.process}
        _signal(signalled, signal.SIGTERM)
        self._await(signalled, min(until, time.monotonic() + _FIRST_S), hurry)
        _signal(self._groups - signalled, signal.SIGTERM)
        left = self._await(self._groups, until, hurry)
        _signal(self._groups, signal.SIGKILL)
        self._await(self._groups, time.monotonic() + _LAST_S, lambda: False)
        for one in self._running.values():
            if one.process:
                _let_go(one.process)
        return left

    def _await(self, groups: Iterable[int], until: float, hurry: Callable[[], bool]) -> list[int]:
        """Wait for these groups to end; return the processes that have not."""
        groups = list(groups)
        while True:
            for one in self._running.values():
                if one.process:
                    one.process.poll()  # who has ended and was not asked after is still there
            left = [pid for group in groups for pid in members(group)]
            if not left or time.monotonic() >= until or hurry():
                return left
            time.sleep(_LOOK_S)

    def _spawn(self, one: _Service) -> None:
        # its pipe of input is how it sees that we are gone
        one.process = subprocess.Popen(  # noqa: S603 -- our own commands
            [sys.executable, "-m", "dccd_pipeline.cli.kept", *one.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
            text=True,
            errors="replace",
            process_group=0,
        )
        one.began = time.monotonic()
        # what is left of those that ended; looking for it takes a walk through all processes of the machine
        self._groups = {one.process.pid, *(group for group in self._groups if members(group))}
        assert one.process.stdout
        Thread(target=self._read, args=(one.name, one.process.stdout), daemon=True).start()

    def _read(self, name: str, printed: IO[str]) -> None:
        """Pass on what is printed until all that could print have ended: nobody is to wait for us to read."""
        with printed:
            for line in printed:
                self.hear(name, line.rstrip("\n"))


def _let_go(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()


def _signal(groups: Iterable[int], number: int) -> None:
    for group in groups:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            pass
        except PermissionError:  # its processes have ended, and nobody has asked after them
            pass


def _said_code(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
