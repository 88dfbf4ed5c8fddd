"""What is wanted of a stream while it runs: its entry as ``dccd.yaml`` has it now, and what a user paused.

Both are JSON in the instance's storage, where the run looks every few seconds. Pauses stay until they are
taken back; an order is for one run only, since the next one knows its entry by itself.

Belongs here: how wishes travel, and what they come to. Does not: who wishes (main.py, sensor.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import dagster as dg
import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.stream.api import StreamPlan
from dccd_core.tables import DataType
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.tags import PAUSED, WANTED

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True):
    """What run ``run_id`` is to record from now on. ``digest``: of the entry that says so."""

    digest: str
    symbols: tuple[str, ...]
    data_types: tuple[DataType, ...]
    run_id: str = ""

    @classmethod
    def of(cls, entry: StreamEntry, digest: str) -> "Order":
        return cls(digest, tuple(map(str, entry.symbols)), entry.data_types)

    def changes(self, entry: StreamEntry) -> StreamEntry:
        """Return ``entry`` with what can be changed while it runs."""
        symbols = tuple(map(Symbol.parse, self.symbols))
        return entry.model_copy(update={"symbols": symbols, "data_types": self.data_types})


class Part(msgspec.Struct, frozen=True, order=True):
    """A part of a stream: all of it, one symbol, or one data type of it."""

    symbol: str = ""
    data_type: str = ""

    def has(self, dataset: Dataset) -> bool:
        return self.symbol in ("", str(dataset.symbol)) and self.data_type in ("", dataset.data_type)

    def within(self, other: "Part") -> bool:
        return other.symbol in ("", self.symbol) and other.data_type in ("", self.data_type)

    def __str__(self) -> str:
        return f"{self.symbol} {self.data_type}".strip() or "all of it"


_ORDER: Final = msgspec.json.Decoder(Order)
_PARTS: Final = msgspec.json.Decoder(tuple[Part, ...])


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a run that goes on."""

    order: Order | None = None
    paused: frozenset[Part] = frozenset()

    def plan(self, entry: StreamEntry) -> StreamPlan:
        paused = {one for one in entry.datasets if any(part.has(one) for part in self.paused)}
        return replace(entry.plan, paused=frozenset(paused))


def in_place(before: str, after: str) -> bool:
    """Say whether a run that records by one digest can go on by another: only its datasets differ."""
    return "." in before and before.partition(".")[0] == after.partition(".")[0]


def write_order(instance: dg.DagsterInstance, name: str, order: Order) -> None:
    _write(instance, f"{WANTED}{name}", order)


def read_wishes(instance: dg.DagsterInstance, name: str, run_id: str) -> Wishes:
    keys = wanted, paused = f"{WANTED}{name}", f"{PAUSED}{name}"
    found = instance.daemon_cursor_storage.get_cursor_values(set(keys))
    order = _read(found, wanted, _ORDER)
    return Wishes(order if order and order.run_id == run_id else None, _parts(found, paused))


def read_paused(instance: dg.DagsterInstance, names: Iterable[str]) -> Mapping[str, frozenset[Part]]:
    """Return what is paused of each of these streams of which something is."""
    found: Mapping[str, str] = {}
    if keys := {f"{PAUSED}{name}" for name in names}:
        found = instance.daemon_cursor_storage.get_cursor_values(keys)
    paused = {key.removeprefix(PAUSED): _parts(found, key) for key in found}
    return {name: parts for name, parts in paused.items() if parts}


def write_paused(instance: dg.DagsterInstance, name: str, parts: Iterable[Part]) -> None:
    _write(instance, f"{PAUSED}{name}", sorted(parts))


def _write(instance: dg.DagsterInstance, key: str, value: object) -> None:
    instance.daemon_cursor_storage.set_cursor_values({key: msgspec.json.encode(value).decode()})


def _parts(found: Mapping[str, str], key: str) -> frozenset[Part]:
    return frozenset(_read(found, key, _PARTS) or ())


def _read(found: Mapping[str, str], key: str, reads: msgspec.json.Decoder[T]) -> T | None:
    try:
        return reads.decode(found[key]) if key in found else None
    except msgspec.ValidationError:  # of another version of dccd
        return None
