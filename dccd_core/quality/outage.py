"""When a venue itself was away: no bar of any of its symbols at one time. Pure: ledgers in, spans out.

A quiet market is no outage: two symbols at least must lack bars that are otherwise there nearly always, and
whatever else is held of the venue must show no trading in that time (``without``).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.lake.partition.ledger import VENUE_OUTAGE, Hole, Ledger
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.holes import AFTER_END, BEFORE_LISTING

_SYMBOLS: Final = 2
"""So many symbols must be empty at once."""
_BUSY: Final = 0.9
"""A market whose bars are there more rarely may be quiet by itself: it proves no outage, and denies none."""


def silences(held: Mapping[Dataset, Mapping[str, State]]) -> list[TimeRange]:
    """Return when bars of two busy symbols at least are absent at once; ``held``: of one venue.

    What was never asked for, was refused, or lies outside of a market's life tells nothing.
    """
    of = dict[str, list[TimeRange]]()
    for dataset, states in held.items():
        if dataset.span is not None:
            spans = [
                hole.span for state in states.values() if _busy(state, dataset.span) for hole in _empty(state)
            ]
            of.setdefault(str(dataset.symbol), []).extend(spans)
    events = sorted(
        (at, step)
        for spans in of.values()
        for one in union(spans)
        for at, step in ((one.start, 1), (one.end, -1))
    )
    found, count, since = list[TimeRange](), 0, Us(0)
    for at, step in events:
        if count >= _SYMBOLS and at > since:
            found.append(TimeRange(since, at))
        count, since = count + step, at
    return union(found)


def without(span: TimeRange, traded: Iterable[Us], bar: Us) -> list[TimeRange]:
    """Return ``span`` without the bars in which something was traded at these moments."""
    opens = sorted({bar_open(at, bar) for at in traded})
    return span.minus(TimeRange(at, Us(at + bar)) for at in opens)


def named(ledger: Ledger, outages: Sequence[TimeRange], bar: Us) -> Ledger:
    """Return the ledger in which absent bars of an outage are a hole that says so; proofs stay."""
    holes = [
        part for hole in ledger.holes for part in (_named(hole, outages, bar) if _is_empty(hole) else [hole])
    ]
    return replace(ledger, holes=tuple(sorted(holes, key=lambda hole: hole.span)))


def _named(hole: Hole, outages: Sequence[TimeRange], bar: Us) -> Iterator[Hole]:
    inside = union(_whole(part, bar) for one in outages if (part := one.clip(hole.span)))
    pieces = [(part, VENUE_OUTAGE) for part in inside]
    pieces += [(part, hole.reason) for part in hole.span.minus(inside)]
    cut = [(hole.within(part), reason) for part, reason in pieces]
    if not inside or any(piece is None for piece, _ in cut):
        yield hole
        return
    yield from (replace(piece, reason=reason) for piece, reason in cut if piece)


def _whole(part: TimeRange, bar: Us) -> TimeRange:
    """Return the whole bars in ``part``; empty where there are none."""
    start = bar_open(Us(part.start + bar - 1), bar)
    return TimeRange(start, max(start, bar_open(part.end, bar)))


def _empty(state: State) -> list[Hole]:
    return [hole for hole in state.ledger.holes if _is_empty(hole)]


def _is_empty(hole: Hole) -> bool:
    """Tell whether the venue itself answered that there is nothing, though the market lived."""
    told = hole.asked or hole.proof
    return bool(told) and not hole.refused and hole.proof not in (BEFORE_LISTING, AFTER_END)


def _busy(state: State, bar: Us) -> bool:
    ledger = state.ledger
    outside = [hole for hole in ledger.holes if not _is_empty(hole)]
    lived = sum(left.length for part in ledger.covered() for left in part.minus(one.span for one in outside))
    expected = lived // bar - sum(hole.missing for hole in _empty(state))
    return expected > 0 and state.rows + state.unfolded >= _BUSY * expected
