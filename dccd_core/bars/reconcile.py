"""Live-recorded rows asked for again by REST: each day a closed hour of every dataset, for a few requests.

Belongs here: which hours, and how much of them. Does not: when, and whom that is told (pipeline).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from dccd_core.bars.diff import Diff, against_trades, compare_piece
from dccd_core.bars.differences import TRADES, note_differences
from dccd_core.bars.longer import next_open
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, ZERO, TimeRange, Us, union
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.planner import settled
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Source

EACH: Final = 10
"""Requests for one dataset a day, or a few more: a piece that was begun is compared to its end."""
RECENT: Final = Us(2 * DAY)
"""So much of bars is held against trades: a day, and the one before, lest a day without a run is left out."""
_PAGES: Final = 2
"""A piece of time that takes no more requests is followed by one twice as long."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of holding a dataset against another source; ``span``: the time that was compared.

    ``why``: why nothing, or not all of it, could be; empty when it could.
    """

    dataset: Dataset
    against: str
    span: TimeRange | None = None
    diff: Diff = field(default_factory=Diff)
    requests: int = 0
    why: str = ""


def live_hour(
    dataset: Dataset, states: Mapping[str, State], now: Us, finality_delay: Us, since: Us = ZERO
) -> TimeRange | None:
    """Return a closed hour of the last day that a stream recorded, of longer bars one of them; None: none.

    Which one depends on dataset and day alone. Of an hour that was not recorded whole a part is returned only
    where no hour was. ``since``: from when on the venue can be asked.
    """
    step = max(HOUR, dataset.span or HOUR)
    end = settled(dataset, now, finality_delay)
    start = max(
        bar_open(Us(end - max(DAY, step)), step), next_open(since, dataset.span) if dataset.span else since
    )
    if start >= end:
        return None
    window = TimeRange(start, end)
    near = (state for key, state in states.items() if partition_span(dataset.grain, key).clip(window))
    recorded = union(part for state in near for part in state.ledger.streamed())
    pieces = [piece for one in recorded if (part := one.clip(window)) for piece in _cut(part, step)]
    whole = [piece for piece in pieces if piece.length == step] or pieces
    return whole[_turn(dataset, now) % len(whole)] if whole else None


async def reconcile_live(
    venue: Venue, lake: LakeStore, held: Mapping[Dataset, Mapping[str, State]], most: int
) -> list[Reconciled]:
    """Hold an hour of each dataset that streams recorded against the venue, for ``most`` requests in all.

    What is found is noted in the lake. Datasets take turns, by the day. What cannot be asked says why.
    """
    now, done, spent = venue.clock.now(), list[Reconciled](), 0
    for dataset in sorted(held, key=lambda one: _turn(one, now)):
        hour, why = _to_ask(venue, dataset, held[dataset], now)
        if hour is None and not why:
            continue  # nothing of it was recorded live
        if hour and spent >= most:
            why = f"the {most} requests of this day were spent on others"
        if hour is None or why:
            done.append(Reconciled(dataset, venue.exchange.title, why=why))
            continue
        one = await ask_again(venue, lake, dataset, hour, min(EACH, most - spent))
        spent += one.requests
        done.append(one)
    return done


async def ask_again(
    venue: Venue, lake: LakeStore, dataset: Dataset, span: TimeRange, most: int
) -> Reconciled:
    """Hold as much of ``span`` as about ``most`` requests bring against the venue, from its start on."""
    diff, stats, at, why = Diff(), FetchStats(), span.start, ""
    width = span.length if dataset.span else MINUTE
    try:
        while at < span.end and stats.requests < most:
            piece, before = TimeRange(at, Us(min(at + width, span.end))), stats.requests
            await compare_piece(venue, lake, dataset, piece, diff, stats)
            at = piece.end
            width = Us(width * 2) if stats.requests - before <= _PAGES else width
    except DccdError as e:
        why = str(e)
    compared = TimeRange(span.start, at) if at > span.start else None
    note_differences(lake, dataset, diff.parts, venue.exchange.title, diff.found, venue.clock.now())
    return Reconciled(dataset, venue.exchange.title, compared, diff, stats.requests, why)


def reconcile_with_trades(
    lake: LakeStore, dataset: Dataset, states: Mapping[str, State], now: Us
) -> Reconciled | None:
    """Hold the newest whole bars against the stored trades, note what differs; None: not both are held.

    Bars that were built from those trades are theirs anyway, and those longer than a day are left out.
    """
    if dataset.source is None or dataset.span is None or dataset.span > DAY:
        return None
    span = TimeRange(bar_open(Us(now - RECENT), dataset.span), bar_open(now, dataset.span))
    near = [state for key, state in states.items() if partition_span(dataset.grain, key).clip(span)]
    if not any(one.source is not Source.DERIVED for state in near for one in state.ledger.asked):
        return None
    diff = against_trades(lake, dataset, span)
    if not diff.compared:
        return None
    note_differences(lake, dataset, diff.parts, TRADES, diff.found, now)
    return Reconciled(dataset, TRADES, span, diff)


def _to_ask(
    venue: Venue, dataset: Dataset, states: Mapping[str, State], now: Us
) -> tuple[TimeRange | None, str]:
    """Return the hour to ask for again, or why it cannot be."""
    delay, endpoint = (
        venue.exchange.finality_delay,
        venue.exchange.endpoint(dataset.symbol.market_type, dataset.data_type),
    )
    if dataset.data_type.table.pictures or live_hour(dataset, states, now, delay) is None:
        return None, ""
    if endpoint is None:
        return None, f"{venue.exchange.title} serves no {dataset.data_type} by REST"
    since = endpoint.reach.since(now, dataset.span)
    hour = None if since is None else live_hour(dataset, states, now, delay, since)
    return hour, "" if hour else f"{venue.exchange.title} shows {endpoint.reach} only"


def _cut(part: TimeRange, step: Us) -> Sequence[TimeRange]:
    """Cut ``part`` at the borders of ``step``."""
    opens = range(bar_open(part.start, step), part.end, step)
    return [piece for at in opens if (piece := TimeRange(Us(at), Us(at + step)).clip(part))]


def _turn(dataset: Dataset, now: Us) -> int:
    return int.from_bytes(sha256(f"{dataset} {now // DAY}".encode()).digest()[:4], "big")
