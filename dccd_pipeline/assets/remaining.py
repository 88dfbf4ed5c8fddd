"""How much of a run is done, by time: what was due in the beginning, and how far each part of it is. Pure.

Belongs here: percent and time left, for the log and for the bar on a terminal. Does not: telling anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import SECOND, ZERO, TimeRange, Us
from dccd_core.lake.lake import State

Job = tuple[Dataset, str]


def due_in(
    dataset: Dataset, key: str, state: State | None, now: Us, within: TimeRange | None
) -> list[TimeRange]:
    """Return what of a partition was never asked for, up to now, of what is wanted of it."""
    whole = partition_span(dataset.grain, key)
    wanted = (whole.clip(within) if within else whole) or TimeRange(whole.start, whole.start)
    past = wanted.clip(TimeRange(ZERO, now))
    return past.minus(state.ledger.covered() if state else []) if past else []


class Report(msgspec.Struct, array_like=True):
    """What a process tells of its runs: how much time was due, how much is done, rows, what it is at."""

    total: int
    done: int
    rows: int
    job: str


@dataclass(slots=True)
class Remaining:
    """A run under way. ``due``: what is to be asked of each partition; ``begun``: when (a steady clock)."""

    due: Mapping[Job, list[TimeRange]]
    begun: Us
    rows: int = 0
    job: Job | None = None
    """The last one that went on."""
    _done: dict[Job, int] = field(default_factory=dict[Job, int])
    _total: int = 0

    def __post_init__(self) -> None:
        self._total = sum(span.length for spans in self.due.values() for span in spans)

    def page(self, dataset: Dataset, key: str, rows: int, until: Us) -> None:
        """A partition went on: ``rows`` came, and up to ``until`` all is there."""
        self.job = job = (dataset, key)
        self.rows += rows
        upto = TimeRange(ZERO, max(until, ZERO))
        self._done[job] = sum(part.length for span in self.due.get(job, ()) if (part := span.clip(upto)))

    def finish(self, job: Job) -> None:
        """A partition has come to its end, whether all of it came or not."""
        self._done[job] = sum(span.length for span in self.due.get(job, ()))

    @property
    def share(self) -> float:
        """How much is done, of 1."""
        return sum(self._done.values()) / self._total if self._total else 1.0

    @property
    def report(self) -> Report:
        """How far it is, for another process."""
        job = f"{self.job[0]} {self.job[1]}" if self.job else ""
        return Report(self._total, sum(self._done.values()), self.rows, job)

    def left(self, now: Us) -> Us | None:
        """How long it will take from ``now`` on (a steady clock), if it goes on as it went; None: unknown."""
        share = self.share
        return Us(round((now - self.begun) / share * (1 - share))) if share > 0 else None

    def said(self, now: Us) -> str:
        """Say for people how far it is: percent, rows, and how long it will take."""
        left = self.left(now)
        rest = f", about {said_length(left)} left" if left is not None and self.share < 1 else ""
        return f"{self.share:.0%} done, {self.rows:,} rows, {self._rate(now):,} rows/s{rest}"

    def short(self, now: Us) -> tuple[str, str]:
        """Say the same in two pieces that fit beside a bar."""
        left = self.left(now)
        rest = f", {said_length(left)} left" if left is not None and self.share < 1 else ""
        return f"{self.share:4.0%}{rest}", f"{self.rows:,} rows, {self._rate(now):,}/s"

    def _rate(self, now: Us) -> int:
        return self.rows * SECOND // max(SECOND, now - self.begun)


@dataclass(slots=True)
class Together(Remaining):
    """Runs under way in several processes, as they tell it by name; none has told yet: nothing is done."""

    told: dict[str, Report | None] = field(default_factory=dict[str, Report | None])

    def hear(self, name: str, report: Report) -> None:
        self.told[name] = report
        self.rows = sum(one.rows for one in self.told.values() if one)

    @property
    def share(self) -> float:
        """How much is done, of 1. Of what those will do who have not told yet nobody knows; it is not all."""
        told = [one for one in self.told.values() if one]
        total, done = sum(one.total for one in told), sum(one.done for one in told)
        if len(told) < len(self.told):
            return 0.0
        return done / total if total else 1.0


def said_length(length: Us) -> str:
    """Write a length of time for people.

    >>> said_length(Us(45 * SECOND)), said_length(Us(150 * SECOND)), said_length(Us(9000 * SECOND))
    ('45 s', '3 min', '2.5 h')
    """
    seconds = length / SECOND
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{-(-seconds // 60):.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
