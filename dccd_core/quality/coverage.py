"""How much of a dataset's time is proven, and what of it is not. Pure; one figure, one definition."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import DAY, TimeRange, Us, union
from dccd_core.lake.partition.ledger import DAMAGED, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.reach import had_since, recorded_since

UNEXPLAINED: Final = "nobody can say why"
NEVER_ASKED: Final = "never asked for"
IMPORTED: Final = "imported, never asked for"
DAYS: Final = 7
"""So many days have a gap rate of their own."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that is not proven: ``missing`` rows, None where nobody knows how many; and ``why``."""

    span: TimeRange
    missing: int | None
    why: str


def promises(dataset: Dataset, states: Mapping[str, State]) -> bool:
    """Return whether every moment of it is to be there: pictures of an order book promise none."""
    asked = (one for state in states.values() for one in state.ledger.asked)
    return not dataset.data_type.table.pictures or any(one.source is Source.STREAM for one in asked)


def wanted_time(
    dataset: Dataset, states: Mapping[str, State], now: Us, named: TimeRange | None = None
) -> TimeRange:
    """Return what is wanted of a dataset, without the beginning that nobody could have collected.

    Args:
        dataset: which one.
        states: of all its partitions, or what was lost looks as if it had never been there.
        now: this moment.
        named: what a configuration wants of it by now; without that it is from the first partition on until
            now, of what only a stream brings from its first moment on.
    """
    if named is not None:
        return _since(had_since(dataset, states, now), named)
    spans = [partition_span(dataset.grain, key) for key in states]
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    first = max(recorded_since(states), had_since(dataset, states, now))
    return _since(first, TimeRange(start, max(start, min(end, now))))


def _since(first: Us, whole: TimeRange) -> TimeRange:
    return TimeRange(min(max(first, whole.start), whole.end), whole.end)


def covered(states: Mapping[str, State]) -> list[TimeRange]:
    """Return the time that was asked for or recorded, gaps in it included."""
    return union(part for state in states.values() for part in state.ledger.covered())


def proven_until(states: Mapping[str, State]) -> Us | None:
    """Return up to where the newest of what is proven reaches; None when nothing is."""
    for _, state in sorted(states.items(), reverse=True):
        holes = [hole.span for hole in state.ledger.gaps()]
        if proven := [left for one in state.ledger.covered() for left in one.minus(holes)]:
            return proven[-1].end
    return None


def coverage(states: Mapping[str, State], wanted: TimeRange, accepted: Iterable[TimeRange] = ()) -> float:
    """Return the proven share of ``wanted``: what was asked for, without the gaps in it.

    ``accepted``: time that counts as proven though nobody asked for it.
    """
    holes, asked = [hole.span for state in states.values() for hole in state.ledger.gaps()], covered(states)
    inside = (part for one in asked if (part := one.clip(wanted)))
    taken = (part for one in union(accepted) if (span := one.clip(wanted)) for part in span.minus(asked))
    proven = sum(left.length for part in inside for left in part.minus(holes))
    return min(1.0, (proven + sum(part.length for part in taken)) / max(1, wanted.length))


def gap_ppm(share: float) -> float:
    """Return the gap rate of time of which this share is proven: millionths that are not.

    >>> gap_ppm(0.99999)
    10.0
    """
    return round((1 - share) * 1e6, 3)


def gap_rate(
    dataset: Dataset, states: Mapping[str, State], wanted: TimeRange, accepted: Iterable[TimeRange] = ()
) -> float | None:
    """Return the gap rate of ``wanted`` (ppm), None where no moment is promised or none is wanted.

    ``accepted``: as for ``coverage``.
    """
    if not promises(dataset, states) or wanted.start >= wanted.end:
        return None
    return gap_ppm(coverage(states, wanted, accepted))


def daily_gap_rates(
    dataset: Dataset, states: Mapping[str, State], wanted: TimeRange, accepted: Sequence[TimeRange] = ()
) -> dict[Us, float]:
    """Return the gap rates (ppm) of the newest whole days of ``wanted``, ``DAYS`` at most, by their start."""
    end = wanted.end - wanted.end % DAY
    days = (TimeRange(Us(at), Us(at + DAY)).clip(wanted) for at in range(end - DAYS * DAY, end, DAY))
    near = {
        key: one for key, one in states.items() if partition_span(dataset.grain, key).end > end - DAYS * DAY
    }
    rates = ((day, gap_rate(dataset, near, day, accepted)) for day in days if day)
    return {Us(day.start - day.start % DAY): rate for day, rate in rates if rate is not None}


def gaps(dataset: Dataset, states: Mapping[str, State], wanted: TimeRange) -> list[Gap]:
    """Return what of ``wanted`` is not proven, in order of time."""
    found = [
        Gap(part, hole.missing, hole.reason or UNEXPLAINED)
        for state in states.values()
        for hole in state.ledger.gaps()
        if (part := hole.span.clip(wanted))
    ]
    if promises(dataset, states):
        found += [gap for part in wanted.minus(covered(states)) for gap in _unasked(states, part)]
    else:
        damaged = (span for state in states.values() for span in state.ledger.damaged())
        found += [Gap(part, None, DAMAGED) for span in damaged if (part := span.clip(wanted))]
    return sorted(found, key=lambda gap: gap.span)


def unexplained(dataset: Dataset, states: Mapping[str, State], wanted: TimeRange) -> list[Gap]:
    """Return what is absent without a reason; what was never asked for since is not: it is behind."""
    until = proven_until(states) or Us(0)
    return [gap for gap in gaps(dataset, states, wanted) if gap.why != NEVER_ASKED or gap.span.start < until]


def _unasked(states: Mapping[str, State], part: TimeRange) -> Iterator[Gap]:
    known = list[TimeRange]()
    for state in states.values():
        reasons = [(one.span, one.reason) for one in state.ledger.lost]
        reasons += [(one, IMPORTED) for one in state.ledger.imported]
        for span, reason in reasons:
            if inside := span.clip(part):
                yield from (Gap(left, None, reason) for left in inside.minus(known))
                known.append(inside)
    yield from (Gap(left, None, NEVER_ASKED) for left in part.minus(known))
