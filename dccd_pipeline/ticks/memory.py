"""What one tick of an entry leaves for the next: which datasets fail, and when all of them were shown last.

A dataset that fails for one cause is tried at growing distances, up to an hour.

Belongs here: what is remembered, and what follows. Does not: what went wrong (the run says it).
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, iso
from dccd_pipeline.tags import TICKS

_NUMBERS: Final = re.compile(r"\d+")
"""One cause may be told with other times and numbers each time."""
_FIRST: Final = 5 * MINUTE
_EARLY: Final = 30 * SECOND
"""Ticks do not come on the second: one that comes so much too early counts."""


class Failing(msgspec.Struct, frozen=True):
    """A dataset that fails. ``since``, ``retry_at``: us. ``tries``: how often for this ``cause``."""

    cause: str
    since: int
    tries: int
    retry_at: int


class Memory(msgspec.Struct, frozen=True):
    """What is remembered of an entry. ``table_at``: when the whole table was reported last (us)."""

    failing: dict[str, Failing] = {}
    table_at: int = 0
    gaps: dict[str, int] = {}
    """How many gaps each dataset had, of those that had any."""
    unknown: dict[str, Failing] = {}
    """What is stored, and the exchange does not know any more: no tick fails for that."""

    @property
    def troubled(self) -> dict[str, Failing]:
        """What keeps any dataset from being brought up to date."""
        return self.unknown | self.failing

    def left(self, now: Us) -> dict[str, Failing]:
        """Return the datasets that are not tried at this moment."""
        return {name: one for name, one in self.troubled.items() if now < one.retry_at - _EARLY}


_MEMORY: Final = msgspec.json.Decoder(Memory)


def failed_again(before: Failing | None, cause: str, now: Us) -> Failing:
    """Return what is remembered of a dataset that failed: a second time for one cause it waits longer."""
    if before is None or _NUMBERS.sub("", before.cause) != _NUMBERS.sub("", cause):
        return Failing(cause, now, 1, now)
    distance = min(HOUR, _FIRST * 2 ** (before.tries - 1))
    return Failing(cause, before.since, before.tries + 1, now + distance)


def failing_by_now(
    before: Mapping[str, Failing], failed: Mapping[str, str], untried: Collection[str], now: Us
) -> dict[str, Failing]:
    """Return what fails: what ``failed`` now, by its cause, and what did ``before`` and was not tried."""
    again = {name: failed_again(before.get(name), cause, now) for name, cause in failed.items()}
    return {name: one for name, one in before.items() if name in untried} | again


def read_memory(instance: dg.DagsterInstance, store: str | None, name: str) -> Memory:
    """Return what ticks of the entry ``name`` left; nothing where that cannot be read."""
    found = instance.daemon_cursor_storage.get_cursor_values({_key(store, name)})
    try:
        return _MEMORY.decode(found[_key(store, name)])
    except (KeyError, msgspec.DecodeError):
        return Memory()


def write_memory(instance: dg.DagsterInstance, store: str | None, name: str, memory: Memory) -> None:
    instance.daemon_cursor_storage.set_cursor_values(
        {_key(store, name): msgspec.json.encode(memory).decode()}
    )


def said_failing(failing: Mapping[str, Failing]) -> list[str]:
    """Name the datasets that fail, each with its cause and when it is tried again."""
    return [f"{name}: {said_fails(one)}" for name, one in sorted(failing.items())]


def said_fails(one: Failing) -> str:
    """Say since when and why a dataset fails, and when it is tried again."""
    since, again = (iso(Us(at - at % SECOND)) for at in (one.since, one.retry_at))
    return f"fails since {since}, {counted(one.tries, 'time')}, next try at {again}: {one.cause}"


def _key(store: str | None, name: str) -> str:
    return f"{TICKS}{store or ''}/{name}"
