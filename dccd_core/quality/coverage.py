"""How much of a dataset's time is proven, and what of it is not. Pure; one figure, one definition."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.lake.partition.ledger import Source
from dccd_core.lake.partition.parquet import State

UNEXPLAINED: Final = "nobody can say why"
NEVER_ASKED: Final = "never asked for"
IMPORTED: Final = "imported, never asked for"


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


def wanted_time(dataset: Dataset, states: Mapping[str, State], now: Us) -> TimeRange:
    """Return what is wanted of partitions that are there: from the first one on until ``now``.

    Of what only a stream brings, from its first moment on.
    """
    spans = [partition_span(dataset.grain, key) for key in states]
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    return since_recorded(states, TimeRange(start, max(start, min(end, now))))


def since_recorded(states: Mapping[str, State], whole: TimeRange) -> TimeRange:
    """Return ``whole``; of what only a stream brings, from its first moment on."""
    asked = [one for state in states.values() for one in state.ledger.asked]
    if asked and all(one.source is Source.STREAM for one in asked):
        first = max(whole.start, min(one.span.start for one in asked))
        return TimeRange(min(first, whole.end), whole.end)
    return whole


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


def coverage(states: Mapping[str, State], wanted: TimeRange) -> float:
    """Return the proven share of ``wanted``: what was asked for, without the gaps in it."""
    holes = [hole.span for state in states.values() for hole in state.ledger.gaps()]
    inside = (part for one in covered(states) if (part := one.clip(wanted)))
    proven = sum(left.length for part in inside for left in part.minus(holes))
    return min(1.0, proven / max(1, wanted.length))


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
