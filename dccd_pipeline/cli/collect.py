"""``dccd collect``: a tick of ``collect`` entries by hand, now. Exchanges go side by side, each in a process.

Belongs here: which entries, in which processes. Does not: anything that needs Dagster: the ticks of one
exchange (collect_here.py), what they ask for (ticks/).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from threading import Thread
from types import FrameType
from typing import IO, Final, Protocol

import click
import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_pipeline.assets.remaining import Report
from dccd_pipeline.cli import render
from dccd_pipeline.cli.options import configured, told
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.fields import read_symbol
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.config.settings import Settings

_READ: Final = msgspec.json.Decoder(Report)

Chosen = list[tuple[Entry, list[Dataset]]]


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME|EXCHANGE [SYMBOL...]]")
@click.option("--dry-run", is_flag=True, help="Say what it would cost; store nothing.")
@click.option("--tell", type=int, hidden=True, help="A descriptor that is told how far it is.")
@told
def collect(words: tuple[str, ...], dry_run: bool, tell: int | None) -> None:
    """Bring what is configured up to date now, as its schedules do: all of it, an entry, or an exchange.

    Exit code 0 when all runs succeeded.
    """
    settings = load_settings() if tell is not None else configured()  # a part of another one says nothing
    chosen = chosen_entries(settings, words)
    exchanges = list(dict.fromkeys(entry.exchange for entry, _ in chosen))
    if len(exchanges) > 1 and not dry_run:
        with render.SharedProgress(exchanges) as progress:
            code = side_by_side(exchanges, progress)
        sys.exit(code)
    from dccd_pipeline.cli.collect_here import collect_here  # noqa: PLC0415 -- it brings Dagster

    collect_here(settings, chosen, dry_run=dry_run, tell=tell)


def chosen_entries(settings: Settings, words: Sequence[str]) -> Chosen:
    """Return the entries meant by ``[NAME|EXCHANGE [SYMBOL...]]``, those first of which others are built.

    Raises:
        ConfigError: there are none.
    """
    if not settings.collect:
        raise ConfigError("nothing is collected", hint=f"add an entry under collect: in {settings.source}")
    entries = sorted(settings.collect, key=lambda entry: entry.turn)
    if not words:
        return [(entry, list(entry.datasets)) for entry in entries if entry.enabled]
    named = [e for e in entries if e.name == words[0]] or [
        e for e in entries if e.exchange == words[0].lower()
    ]
    if not named:
        known = list(dict.fromkeys(word for e in entries for word in (e.name, e.exchange)))
        near = get_close_matches(words[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"configured: {', '.join(known)}"
        raise ConfigError(f"no entry and no exchange of collect is called {words[0]!r}", hint=hint)
    if len(words) == 1:
        return [(entry, list(entry.datasets)) for entry in named]
    return _of_symbols(named, words)


def _of_symbols(entries: Sequence[Entry], words: Sequence[str]) -> Chosen:
    symbols = {read_symbol(word) for word in words[1:]}
    if strange := sorted(symbols - {symbol for entry in entries for symbol in entry.symbols}):
        known = sorted({str(symbol) for entry in entries for symbol in entry.symbols})
        hint = f"configured: {', '.join(known[:12])}"
        raise ConfigError(f"{words[0]} does not collect {strange[0]}", hint=hint)
    found = [(entry, [one for one in entry.datasets if one.symbol in symbols]) for entry in entries]
    return [(entry, datasets) for entry, datasets in found if datasets]


class Watcher(Protocol):
    """Draws how far several processes are, if that is ``seen``, and prints what they say."""

    seen: bool

    def hear(self, name: str, report: Report) -> None: ...

    def say(self, line: str, *, err: bool) -> None: ...


def side_by_side(exchanges: Iterable[str], watcher: Watcher) -> int:
    """Collect each exchange in a process of its own; return the worst exit code.

    They hear Ctrl-C from here only, once.
    """
    children = list[subprocess.Popen[str]]()

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(signal.SIGINT)

    before = {one: signal.signal(one, pass_on) for one in (signal.SIGINT, signal.SIGTERM)}
    threads = list[Thread]()
    try:
        for name in exchanges:
            command = [sys.executable, "-m", "dccd_pipeline", "collect", name]
            if watcher.seen:
                child, more = _watched(name, command, watcher)
                threads += more
            else:
                child = subprocess.Popen(command, start_new_session=True, text=True)  # noqa: S603 -- our own
            children.append(child)
        code = max(abs(child.wait()) for child in children)
        for thread in threads:
            thread.join()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return code


def _watched(
    name: str, command: Sequence[str], watcher: Watcher
) -> tuple["subprocess.Popen[str]", list[Thread]]:
    """Start a process that tells how far it is, and threads that pass on what it tells and prints."""
    told, tell = os.pipe()
    child = subprocess.Popen(  # noqa: S603 -- our own command
        [*command, "--tell", str(tell)],
        start_new_session=True,
        text=True,
        pass_fds=[tell],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(tell)

    def hear() -> None:
        last = Report(0, 0, 0, "")
        with os.fdopen(told, "rb") as lines:
            for line in lines:
                last = _READ.decode(line)
                watcher.hear(name, last)
        watcher.hear(name, msgspec.structs.replace(last, done=last.total))  # who had nothing to do, too

    def say(pipe: IO[str], *, err: bool) -> None:
        for line in pipe:
            watcher.say(line, err=err)

    assert child.stdout
    assert child.stderr
    threads = [
        Thread(target=hear, daemon=True),
        Thread(target=say, args=(child.stdout,), kwargs={"err": False}, daemon=True),
        Thread(target=say, args=(child.stderr,), kwargs={"err": True}, daemon=True),
    ]
    for thread in threads:
        thread.start()
    return child, threads
