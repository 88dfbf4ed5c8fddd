"""``dccd collect``: a tick of ``collect`` entries by hand, now. Exchanges go side by side, each in a process.

Belongs here: which entries, which runs, which processes. Does not: what a tick asks for (ticks/).
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

import dagster as dg
import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Us, moment
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.remaining import Report
from dccd_pipeline.cli.backfill import Order
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.fields import read_symbol
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.ticks.due import Found, find

_READ: Final = msgspec.json.Decoder(Report)

Chosen = list[tuple[Entry, list[Dataset]]]


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


def tick_orders(
    chosen: Chosen, lake: LakeStore, instance: dg.DagsterInstance, now: Us
) -> tuple[list[Order], list[Found]]:
    """Return the ticks to run now, and what each found; of what is up to date there is none."""
    orders, found = list[Order](), list[Found]()
    for entry, datasets in chosen:
        one = find(entry, lake, instance, now)
        due = {dataset: keys for dataset in datasets if (keys := one.due.get(dataset))}
        wanted = sorted(key for keys in due.values() for key in keys)
        if wanted:
            keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
            among = tuple(key for key in keys if wanted[0] <= key <= wanted[-1])
            orders.append(Order(entry, tuple(due), among, catch_up=True))
            found.append(one)
    return orders, found


def planned_orders(chosen: Chosen, lake: LakeStore, instance: dg.DagsterInstance, now: Us) -> list[Order]:
    """Return what there is to estimate of such ticks: each dataset with what it lacks."""
    orders, found = tick_orders(chosen, lake, instance, now)
    return [
        Order(order.entry, (dataset,), tuple(one.due[dataset]))
        for order, one in zip(orders, found, strict=True)
        for dataset in order.datasets
        if not order.entry.depth and not order.entry.derive_from
    ]


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
