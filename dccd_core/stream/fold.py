"""Live rows made one with history: segments into partitions, and what was missed asked for."""

import asyncio
from collections.abc import Iterable
from threading import Event
from typing import Final

from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.errors import DccdError, OutOfReach
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.fold import fold_sealed
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import BROKE_OFF
from dccd_core.lake.partition.ledger import Lost
from dccd_core.stream.api import Listener
from dccd_core.stream.claim import PAUSED, REMOVED
from dccd_core.stream.snapshots import Turn
from dccd_core.stream.wanted import Kind

_LOOK_BACK: Final = Us(32 * DAY)
"""A stream that stood still for longer begins anew: the time between is history's to fill."""


async def fold_all(venue: Venue, lake: LakeStore, kinds: Iterable[Kind], listener: Listener) -> None:
    """Fold all sealed segments of the exchange: those of dead and of ended recordings alike.

    A part that cannot be folded stays in a segment, with its rows, and its error is told. When this is
    cancelled what is under way ends soon, with what it is at undone; folding again does the rest.
    """
    for data_type, span in kinds:
        more, halt = True, Event()
        while more:
            try:
                folded = await asyncio.to_thread(fold_sealed, venue, lake, data_type, span, halt)
            finally:
                halt.set()
            for text in folded.notes:
                listener.note(text, wrong=True)
            for dataset, key, filled in folded.parts:
                if filled.state is not None:
                    listener.folded(dataset, key, filled.state, filled.rows)
            more, halt = folded.more, Event()


async def fill_windows(
    venue: Venue, lake: LakeStore, datasets: Iterable[Dataset], listener: Listener
) -> None:
    """Ask for what lies between the recordings of each dataset; one's failure is told, and stops no other.

    The past of pictures cannot be asked for, and what a user paused is not.
    """
    wanted = [dataset for dataset in datasets if not dataset.data_type.table.pictures]
    windows = await asyncio.to_thread(_windows, lake, wanted, venue.clock.now())

    def report(outcome: Outcome) -> None:
        dataset, key, result = outcome.dataset, outcome.key, outcome.result
        if isinstance(result, OutOfReach):
            return  # the ledger says so
        if isinstance(result, DccdError):
            listener.note(f"{dataset} {key}: what was missed cannot be had now: {result}", wrong=True)
        elif result.state is not None and result.requests:
            listener.folded(dataset, key, result.state, result.rows)

    async def fill_one(dataset: Dataset, key: str) -> Filled:
        filled = Filled(None)
        for window in windows[dataset]:
            if window.clip(partition_span(dataset.grain, key)):
                filled = await fill(venue, lake, dataset, key, _unheeded, within=window)
        return filled

    jobs = (
        (one, key)
        for one, spans in windows.items()
        for key in dict.fromkeys(key for span in spans for key in partition_keys(one.grain, span))
    )
    await fill_all(jobs, fill_one, report)


def recorded_until(lake: LakeStore, datasets: Iterable[Dataset], now: Us) -> dict[Dataset, Turn]:
    """Return where streams stopped recording each dataset lately, if they did record it, and why."""
    found: dict[Dataset, Turn] = {}
    for dataset in datasets:
        recorded, lost = _recorded(lake, dataset, now)
        if recorded:
            at = recorded[-1].end
            after = (one.reason for one in lost if one.span.end > at)
            found[dataset] = Turn(at, began=False, reason=next(after, BROKE_OFF))
    return found


def _windows(lake: LakeStore, datasets: Iterable[Dataset], now: Us) -> dict[Dataset, list[TimeRange]]:
    """Return from when to when streams were to record each dataset lately; of those that they did."""
    found: dict[Dataset, list[TimeRange]] = {}
    for dataset in datasets:
        spans, lost = _recorded(lake, dataset, now)
        if spans:
            paused = [one.span for one in lost if one.reason in (PAUSED, REMOVED)]
            found[dataset] = TimeRange(spans[0].start, spans[-1].end).minus(paused)
    return found


def _recorded(lake: LakeStore, dataset: Dataset, now: Us) -> tuple[list[TimeRange], list[Lost]]:
    """Return what streams recorded lately, and what they did not, both in order."""
    recorded, lost = list[TimeRange](), list[Lost]()
    recent = TimeRange(Us(max(0, now - _LOOK_BACK)), Us(now + DAY))
    tail = lake.tail(dataset).read()  # it is not folded yet where another process is at it
    for key in partition_keys(dataset.grain, recent):
        if state := lake.known(dataset, key, tail):
            recorded += state.ledger.streamed()
            lost += state.ledger.lost
    return recorded, lost


def _unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...
