"""``dccd collect``: a tick of ``collect`` entries by hand, now. Exchanges go side by side, each in a process.

Belongs here: which entries, which runs, which processes. Does not: what a tick asks for (schedules.py).
"""

import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from types import FrameType

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Ns, moment
from dccd_pipeline.assets.run import entry_partitions
from dccd_pipeline.backfill import Order
from dccd_pipeline.entry import Entry
from dccd_pipeline.schedules import late_in
from dccd_pipeline.settings import Settings
from dccd_pipeline.symbols import read_symbol

Chosen = list[tuple[Entry, list[Dataset]]]


def chosen_entries(settings: Settings, words: Sequence[str]) -> Chosen:
    """Return the entries meant by ``[NAME|EXCHANGE [SYMBOL...]]``, those first of which others are built.

    Raises:
        ConfigError: there are none.
    """
    if not settings.collect:
        raise ConfigError("nothing is collected", hint=f"add an entry under collect: in {settings.source}")
    entries = sorted(settings.collect, key=lambda entry: entry.derive_from is not None)
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


def tick_orders(chosen: Chosen, instance: dg.DagsterInstance, now: Ns, store: str | None) -> list[Order]:
    """Return the runs that ticks of these entries would start now; of what is up to date there is none."""
    orders = list[Order]()
    for entry, datasets in chosen:
        late = late_in(entry, instance, moment(now), store)
        wanted = sorted(key for dataset in datasets for key in late.get(dataset, ()))
        if wanted:
            keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
            among = tuple(key for key in keys if wanted[0] <= key <= wanted[-1])
            behind = tuple(dataset for dataset in datasets if late.get(dataset))
            orders.append(Order(entry, behind, among, catch_up=True))
    return orders


def planned_orders(chosen: Chosen, instance: dg.DagsterInstance, now: Ns, store: str | None) -> list[Order]:
    """Return what there is to estimate of such runs: each dataset with what it lacks."""
    return [
        Order(entry, (dataset,), tuple(keys))
        for entry, datasets in chosen
        for dataset, keys in late_in(entry, instance, moment(now), store).items()
        if dataset in datasets and keys and not entry.depth and not entry.derive_from
    ]


def side_by_side(exchanges: Iterable[str]) -> int:
    """Collect each exchange in a process of its own; return the worst exit code.

    They hear Ctrl-C from here only, once.
    """
    children = list[subprocess.Popen[bytes]]()

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(signal.SIGINT)

    before = {one: signal.signal(one, pass_on) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        for name in exchanges:
            command = [sys.executable, "-m", "dccd_pipeline", "collect", name]
            children.append(subprocess.Popen(command, start_new_session=True))  # noqa: S603 -- our own
        return max(abs(child.wait()) for child in children)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
