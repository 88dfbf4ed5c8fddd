"""``dccd up``: the whole of it from any folder, in the foreground: webserver, daemon, schedules and streams.

Belongs here: what is said, and when the code is loaded anew. Does not: the processes (services.py).
"""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Final

import click
from filelock import FileLock, Timeout

from dccd_core.domain.errors import ConfigError
from dccd_core.net.clock import SystemClock
from dccd_pipeline.cli import render
from dccd_pipeline.cli.home import furnish, home_for_all
from dccd_pipeline.cli.options import STOPPED, lasting, say_where, told
from dccd_pipeline.cli.reloading import Reloading
from dccd_pipeline.cli.running import (
    Running,
    digest_of,
    forget_running,
    lock_file,
    log_file,
    read_running,
    write_running,
)
from dccd_pipeline.cli.services import CODE, DAEMON, WEB, Services, answers, commands
from dccd_pipeline.cli.webserver import is_ready, said_next
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.config.read import EMBEDDED, config_file
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.processes import Process

PORT: Final = 3000
_HERE: Final = ("127.0.0.1", "localhost", "::1")
_LOOK_S: Final = 0.2
_NEXT_PORTS: Final = 100
_LOG_BYTES: Final = 10_000_000
_LOGS: Final = 5
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True, help="Of the page.")
@click.option("--host", default=_HERE[0], show_default=True, help="Who may see the page: this machine only.")
@click.option("-v", "--verbose", is_flag=True, help="Print what goes to the log, too.")
@told
def up(port: int, host: str, verbose: bool) -> None:
    """Run all of it until Ctrl-C: the page, schedules and streams, from any folder.

    A saved dccd.yaml is taken over by itself; while it is broken the last good one goes on.
    """
    settings = lasting()
    home = home_for_all()
    if not (home / "dagster.yaml").exists():  # DAGSTER_HOME is set, and nobody has configured it
        furnish(home)
    with _alone(home), _logged(log_file(home)) as log, tempfile.TemporaryDirectory(prefix="dccd-") as folder:
        refuse_taken(host, port)
        say_where(settings)
        prepared = subprocess.run([sys.executable, "-m", "dccd_pipeline.cli.instance"], check=False)
        if prepared.returncode:
            sys.exit(prepared.returncode)
        one = Up(settings, home, Path(folder), (host, port), log)
        if verbose:
            log.addHandler(logging.StreamHandler(sys.stdout))
        with one.hearing():
            one.run()
    sys.exit(STOPPED)


@contextmanager
def _alone(home: Path) -> Generator[None]:
    """Be the only ``dccd up`` of an instance.

    Raises:
        ConfigError: there is another one.
    """
    lock = lock_file(home)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            try:
                yield
            finally:
                forget_running(home)
    except Timeout:
        other = read_running(home)
        who = f": {other.url}, pid {other.process.pid}" if other else ""
        hint = "end it, or set DAGSTER_HOME for one beside it"
        raise ConfigError(f"{home} is up already{who}", hint=hint) from None


@contextmanager
def _logged(file: Path) -> Generator[logging.Logger]:
    """Open the log, of which there are a few old ones at most."""
    log = logging.Logger("dccd up")  # noqa: LOG001 -- nobody else is to write to it, or to hear of it
    handler = RotatingFileHandler(file, maxBytes=_LOG_BYTES, backupCount=_LOGS, encoding="utf-8")
    log.addHandler(handler)
    try:
        yield log
    finally:
        handler.close()


def refuse_taken(host: str, port: int) -> None:
    """Refuse a port where somebody listens already.

    Raises:
        ConfigError: that is so, or nobody may listen there; the hint is one that is free.
    """
    if said := _refused(host, port):
        later = range(port + 1, min(port + _NEXT_PORTS, 65_536))
        free = next((one for one in later if not _refused(host, one)), None)
        hint = f"dccd up --port {free}" if free else "choose another one with --port"
        raise ConfigError(f"cannot listen at {host}:{port}: {said}", hint=hint)


def _refused(host: str, port: int) -> str:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as e:
        return os.strerror(e.errno) if e.errno and e.errno > 0 else str(e)
    return ""


@dataclass(slots=True)
class Up:
    """One instance that runs. ``address``: host and port of its page; ``stops``: how many stops it heard."""

    settings: Settings
    home: Path
    folder: Path
    address: tuple[str, int]
    log: logging.Logger
    stops: int = 0
    services: Services = field(init=False)
    reloading: Reloading = field(init=False)
    _running: Running = field(init=False)
    _ready: bool = False

    def __post_init__(self) -> None:
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown if host in _HERE else '127.0.0.1'}:{port}"
        file, mistake = config_file().absolute(), load_lasting(self.home).mistake
        now = SystemClock().now()
        loaded = "" if mistake else digest_of(file)
        self._running = Running(Process.this(), url, str(file), loaded, now, mistake)
        self.reloading = Reloading(url, self.home, self._running, self._say, self._keep)
        environment = {"DAGSTER_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        programs = commands(self.folder, host, port)
        self.services = Services(programs, environment, self._hear, self._say)

    @contextmanager
    def hearing(self) -> Generator[None]:
        """Hear what tells this process to stop; what runs here hears of it from here only."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stops += 1

        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
            heard.append(signal.SIGHUP)
        before = {one: signal.signal(one, stop) for one in heard}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def run(self) -> None:
        """Run until a stop is heard; a second one does not wait for what ends."""
        host, _ = self.address
        write_running(self.home, self._running)
        self._say(f"{self._running.url} begins; the log is {log_file(self.home)}")
        if self.settings.source == EMBEDDED:
            self._say("there is no dccd.yaml: nothing is collected by itself -> dccd init")
        if host not in _HERE:
            self._say(f"{host}: whoever reaches it may run and delete things -> see docs/access.md")
        try:
            self.services.start(CODE)
            while not self.stops:
                self._look()
                time.sleep(_LOOK_S)
        finally:
            self._say("ends; what runs stores what it has")
            killed = self.services.end(lambda: self.stops > 1)
            self._say(f"ended; killed: pid {', '.join(map(str, killed))}" if killed else "ended")

    def _look(self) -> None:
        self.services.look()
        if not self.services.started(WEB):
            if answers(self.folder / "code.socket"):
                self.services.start(WEB, DAEMON)
        elif self._ready:
            self.reloading.look()
        elif is_ready(self._running.url):
            self._ready = True
            self._say(f"ready: {self._running.url}")
            Thread(target=self._say_next, name="next ticks", daemon=True).start()  # or a stop would wait

    def _say_next(self) -> None:
        line = said_next(self._running.url, self.settings)
        if line and not self.stops:
            self._say(line)

    def _keep(self, running: Running) -> None:
        self._running = running
        write_running(self.home, running)

    def _hear(self, name: str, line: str) -> None:
        self.log.info("%s %s", name, _COLOUR.sub("", line))

    def _say(self, line: str) -> None:
        for one in line.splitlines():
            self.log.info("up %s", one)
            render.happened(one, self.settings.timezone)
