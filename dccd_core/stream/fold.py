"""Live rows made one with history: segments into partitions, and what was missed asked for."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from dccd_core.domain.dataset import UNKNOWN, Dataset, partition_keys
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import DccdError, OutOfReach
from dccd_core.domain.timespan import DAY, Ns, TimeSpan
from dccd_core.fetch.fill import Filled, Recorded, fill, fold
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import Lake
from dccd_core.lake.ledger import Source
from dccd_core.stream.plan import Listener
from dccd_core.stream.recording import Kind

_LOOK_BACK: Final = Ns(32 * DAY)
"""A stream that stood still for longer begins anew: the time between is history's to fill."""


@dataclass(slots=True)
class _Folded:
    """What one harvest came to."""

    notes: list[str] = field(default_factory=list[str])
    parts: list[tuple[Dataset, str, Filled]] = field(default_factory=list[tuple[Dataset, str, Filled]])
    more: bool = False


async def fold_all(venue: Venue, lake: Lake, kinds: Iterable[Kind], listener: Listener) -> None:
    """Fold all sealed segments of the exchange: those of dead and of ended recordings alike.

    A part that cannot be folded stays in a segment, with its rows, and its error is told. When this is
    cancelled what is under way ends after the part it is at; folding again does the rest.
    """
    for data_type, span in kinds:
        more, halt = True, Event()
        while more:
            try:
                folded = await asyncio.to_thread(_fold_some, venue, lake, (data_type, span), halt)
            finally:
                halt.set()
            for text in folded.notes:
                listener.note(text, wrong=True)
            for dataset, key, filled in folded.parts:
                if filled.state is not None:
                    listener.folded(dataset, key, filled.state, filled.rows)
            more, halt = folded.more, Event()


def _fold_some(venue: Venue, lake: Lake, kind: Kind, halt: Event) -> _Folded:
    """Fold as much as fits into memory at once."""
    folded = _Folded()
    with lake.harvest(venue.exchange.name, *kind) as harvest:
        for path, dropped in harvest.torn:
            folded.notes.append(f"{path}: its last {dropped} bytes are torn off, and dropped")
        for dataset, key in harvest.parts:
            if halt.is_set():
                return folded
            rows, covered = harvest.rows(dataset, key), harvest.covered(dataset, key)
            try:
                filled = fold(venue, lake, dataset, key, Recorded(rows, covered, harvest.lost(dataset, key)))
            except DccdError as e:
                harvest.keep(dataset, key)
                folded.notes.append(f"{dataset} {key}: cannot be folded, its rows are kept: {e}")
            else:
                folded.parts.append((dataset, key, filled))
        harvest.done()
        folded.more = harvest.more
    return folded


async def fill_windows(venue: Venue, lake: Lake, datasets: Sequence[Dataset], listener: Listener) -> None:
    """Ask for what lies between the recordings of each dataset; one's failure is told, and stops no other."""
    for dataset in datasets:
        if dataset.data_type is DataType.ORDERBOOK:
            continue  # the past of a book cannot be asked for
        try:
            await _fill_windows_of(venue, lake, dataset, listener)
        except DccdError as e:
            listener.note(f"{dataset}: what was missed cannot be had now: {e}", wrong=True)


async def _fill_windows_of(venue: Venue, lake: Lake, dataset: Dataset, listener: Listener) -> None:
    spans = list(_recorded(lake, dataset, venue.clock.now()))
    if not spans:
        return
    whole = TimeSpan(spans[0].start, spans[-1].end)
    for key in partition_keys(dataset.grain, whole):
        with suppress(OutOfReach):
            filled = await fill(venue, lake, dataset, key, _unheeded, UNKNOWN, within=whole)
            if filled.state is not None and filled.requests:
                listener.folded(dataset, key, filled.state, filled.rows)


def _recorded(lake: Lake, dataset: Dataset, now: Ns) -> Iterator[TimeSpan]:
    """Yield what streams recorded lately, in order."""
    recent = TimeSpan(Ns(max(0, now - _LOOK_BACK)), Ns(now + DAY))
    for key in partition_keys(dataset.grain, recent):
        state = lake.state(dataset, key)
        for asked in state.ledger.asked if state else ():
            if asked.source is Source.STREAM:
                yield asked.span


def _unheeded(_: Dataset, __: str, ___: int, ____: Ns) -> None: ...
