"""Bring a partition up to date: what is due -> collect -> split_valid -> draft -> commit with the ledger."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod, partition_span
from dccd_core.domain.errors import ConfigError, OutOfReach, Where
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.work import Halted, Progress, Work
from dccd_core.lake.lake import LakeStore, State
from dccd_core.quality.audit import Audit

__all__ = ["Filled", "Halted", "Progress", "fill"]


@dataclass(frozen=True, slots=True)
class Filled:
    """A partition brought up to date. ``state``: of its file; None when there is nothing to know yet.

    ``taken_back``: rows that turned out to be wrong, and are no longer among those of the partition.
    ``audit``: has seen all of its rows as they were written; None where nothing was.
    """

    state: State | None
    requests: int = 0
    rows: int = 0
    taken_back: int = 0
    audit: Audit | None = field(default=None, compare=False, repr=False)


async def fill(  # noqa: PLR0913 -- where to, which part of what, and whom to tell
    venue: Venue,
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    progress: Progress,
    life: ListingPeriod = UNKNOWN,
    *,
    within: TimeRange | None = None,
) -> Filled:
    """Ask for what is due of a partition and store it; what lies in its tail is known, and stays there.

    What was fetched before an error, or before it was cancelled, is stored, with a ledger that says how far
    it goes; then the error is raised. Every ``STORED_EVERY`` it is stored meanwhile. Filling again asks only
    for the rest, and for gaps nobody has explained. Nothing is asked for outside of the market's ``life``,
    nor of ``within``.

    Raises:
        OutOfReach: nothing of the partition is stored, and the venue does not go back that far.
    """
    if style_of(venue.endpoint(dataset)).present_only:
        raise ConfigError(f"{dataset} holds snapshots of the present", hint="use snapshot()")
    held = lake.known(dataset, key)
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
    return Filled(state, work.requests, work.rows, audit=work.auditor.audit)


def _out_of_reach(venue: Venue, dataset: Dataset, key: str, since: Us) -> OutOfReach:
    endpoint = venue.endpoint(dataset)
    return OutOfReach(
        f"{key} cannot be had: {venue.exchange.title} serves {endpoint.reach}, nothing before {iso(since)}",
        hint="collect it while it is there, or take it from another exchange or an archive",
        where=Where(venue.exchange.name, endpoint.path, str(dataset.symbol)),
    )
