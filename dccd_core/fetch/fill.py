"""Bring a partition up to date: what is due -> collect -> split_valid -> draft -> commit with the ledger."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event

import polars as pl

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod, partition_span
from dccd_core.domain.errors import ConfigError, OutOfReach, Where
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.work import Haltable, Halted, Progress, Work
from dccd_core.lake.lake import CompletenessCheck, Lake, State
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.quality.holes import (
    BookCheck,
)

__all__ = ["Filled", "Halted", "Progress", "Recorded", "fill", "fold"]


@dataclass(frozen=True, slots=True)
class Filled:
    """A partition brought up to date. ``state`` is None when there is nothing to know yet.

    ``taken_back``: rows that turned out to be wrong, and are no longer among those of the partition.
    """

    state: State | None
    requests: int = 0
    rows: int = 0
    taken_back: int = 0


async def fill(  # noqa: PLR0913 -- where to, which part of what, and whom to tell
    venue: Venue,
    lake: Lake,
    dataset: Dataset,
    key: str,
    progress: Progress,
    life: ListingPeriod = UNKNOWN,
    *,
    within: TimeRange | None = None,
) -> Filled:
    """Ask for what is due of a partition and store it.

    What was fetched before an error, or before it was cancelled, is stored, with a ledger that says how far
    it goes; then the error is raised. Every ``STORED_EVERY`` it is stored meanwhile. Filling again asks only
    for the rest, and for gaps nobody has explained. Nothing is asked for outside of the market's ``life``,
    nor of ``within``.

    Raises:
        OutOfReach: nothing of the partition is stored, and the venue does not go back that far.
    """
    if style_of(venue.endpoint(dataset)).present_only:
        raise ConfigError(f"{dataset} holds snapshots of the present", hint="use snapshot()")
    held = lake.state(dataset, key)
    whole, now = partition_span(dataset.grain, key), venue.clock.now()
    span = whole.clip(within) if within else whole
    if span is None:
        return Filled(held)
    todo = venue.plan(dataset, span, held.ledger if held else None, now, life)
    if todo.lost and not todo.ask and held is None:
        raise _out_of_reach(venue, dataset, key, todo.since or now)
    if not todo.ask and not todo.after:
        return Filled(held)
    with ExitStack() as drafts:
        work = Work(venue, lake, dataset, key, None, now, progress, life, drafts)
        try:
            failure = await work.gather(todo)
            state = await work.store() if work.asked else held
        except asyncio.CancelledError:
            await work.rescue()
            raise
    if failure:
        raise failure
    if work.reached is not None and state is None:
        raise _out_of_reach(venue, dataset, key, work.reached)
    return Filled(state, work.requests, work.rows)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a stream brought of one partition.

    ``rows``: of the table, ascending in time, in portions. ``covered``: the spans in which nothing
    is missing. ``lost``: those in which something may be, each with the reason. ``withdrawn``: those of
    which that was learnt later, each with the reason, so that earlier claims are to go, and of order books
    the pictures, too. ``halt``: once it is set, folding stops at the next portion, and nothing is stored.
    """

    rows: Iterable[pl.DataFrame]
    covered: Sequence[TimeRange]
    lost: Sequence[tuple[TimeRange, str]] = ()
    withdrawn: Sequence[tuple[TimeRange, str]] = ()
    halt: Event = field(default_factory=Event)


@dataclass(frozen=True, slots=True)
class _WithLosses:
    """A judge that knows what a stream lost, and why."""

    judge: CompletenessCheck
    recorded: Recorded

    def see(self, rows: pl.DataFrame) -> None:
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        gone = [span for span, _ in self.recorded.withdrawn]
        ledger = ledger.withdraw(gone).lose(self.recorded.lost)
        return self.judge.assess(ledger.lose(ledger.unrecorded()))


def fold(venue: Venue, lake: Lake, dataset: Dataset, key: str, recorded: Recorded) -> Filled:
    """Put what a stream recorded into its partition, and into the ledger what it covers.

    The venue is asked for nothing; what is missing is asked for by ``fill``.

    Raises:
        Halted: it was told to stop.
    """
    now, kept = venue.clock.now(), 0
    pictures = dataset.data_type.table.pictures
    with lake.draft(dataset, key) as draft:
        if pictures:  # other rows that came are right, though some did not come
            draft.take_back(recorded.withdrawn)
        work = Work(venue, lake, dataset, key, draft, now, _unheeded, UNKNOWN)
        counts = dict.fromkeys(recorded.covered, 0)
        for portion in recorded.rows:
            kept += work.keep(portion)
            times = portion["ts"].cast(pl.Int64)
            for span in counts:
                counts[span] += int(times.is_between(span.start, span.end, closed="left").sum())
        asked = [Asked(span, Source.STREAM, now, 0, count) for span, count in counts.items()]

        def judge() -> CompletenessCheck:
            return Haltable(_WithLosses(BookCheck() if pictures else work.judge(), recorded), recorded.halt)

        return Filled(draft.commit(asked, judge), 0, kept, draft.taken_back)


def _unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...


def _out_of_reach(venue: Venue, dataset: Dataset, key: str, since: Us) -> OutOfReach:
    endpoint = venue.endpoint(dataset)
    return OutOfReach(
        f"{key} cannot be had: {venue.exchange.title} serves {endpoint.reach}, nothing before {iso(since)}",
        hint="collect it while it is there, or take it from another exchange or an archive",
        where=Where(venue.exchange.name, endpoint.path, str(dataset.symbol)),
    )
