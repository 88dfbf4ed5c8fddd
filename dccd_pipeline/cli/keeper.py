"""``dccd stream``: the process that keeps those which record. It lives as long as they do, so it is small.

Belongs here: which streams, in which processes, and that all end together. Does not: anything that needs
Dagster, recording (record.py).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from threading import Thread
from types import FrameType

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.processes import KEEPER


def chosen(settings: Settings, names: Sequence[str]) -> list[str]:
    """Return the streams that are meant: these, or all that are configured.

    Raises:
        ConfigError: there is no such stream, or none that is switched on.
    """
    known = [entry.name for entry in settings.stream]
    if not known:
        raise ConfigError("no stream is configured", hint=f"add one under stream: in {settings.source}")
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"there is no stream {unknown[0]}", hint=f"configured: {', '.join(known)}")
    wanted = list(dict.fromkeys(names)) or [entry.name for entry in settings.stream if entry.enabled]
    if not wanted:
        raise ConfigError("every stream is switched off", hint=f"name those to record: {', '.join(known)}")
    return wanted


def record_all(names: Sequence[str], options: Sequence[str] = ()) -> int:
    """Record each stream in a process of its own until Ctrl-C; return the worst exit code.

    ``options`` are given to each of them.

    They hear Ctrl-C from here only: what Dagster starts beside them would complain of it aloud. When this
    process ends in whatever way, they see the end of a pipe that it held, and end too.
    """
    command = [sys.executable, "-m", "dccd_pipeline", "stream", "--here"]
    environment = {**os.environ, KEEPER: str(os.getpid())}
    children = list[subprocess.Popen[bytes]]()

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        heard.append(signal.SIGHUP)
    before = {one: signal.signal(one, pass_on) for one in heard}
    try:
        for name in names:
            child = subprocess.Popen(  # noqa: S603 -- our own command
                [*command, *options, name], stdin=subprocess.PIPE, env=environment, start_new_session=True
            )
            children.append(child)
        return max(abs(child.wait()) for child in children)
    finally:
        for child in children:
            if child.stdin:
                child.stdin.close()
        for one, handler in before.items():
            signal.signal(one, handler)


def end_with_keeper() -> None:
    """Have this process end in good order when the one that keeps it is gone, if there is one."""
    if KEEPER not in os.environ:
        return
    pipe = sys.stdin.fileno()

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=wait, name="keeper", daemon=True).start()
