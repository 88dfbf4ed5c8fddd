"""How far a dataset is.

Belongs here: conditions, and what of a dataset is behind. Does not: how a tick uses it (ticks/due.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import MINUTE, TimeRange, Us, iso
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import DAMAGED, Condition, Ledger, condition
from dccd_core.quality.coverage import IMPORTED

_FIRST_RETRY: Final = Us(15 * MINUTE)


@dataclass(frozen=True, slots=True)
class Progress:
    """``complete``: the finished partitions. ``retry_at``: when to ask again for one with gaps (us)."""

    complete: frozenset[str]
    retry_at: Mapping[str, Us]


def condition_of(
    dataset: Dataset, key: str, state: State | None, within: TimeRange | None = None
) -> Condition:
    """Return a partition's condition, or that of the part of it that lies ``within``.

    Snapshots promise no moment, so any are all there can be; but when a stream lost the book, that shows.
    """
    if dataset.data_type.table.pictures and state is not None:
        is_whole = not (state.ledger.gaps() or state.ledger.damaged())
        return Condition.AVAILABLE if is_whole else Condition.DEGRADED
    whole = partition_span(dataset.grain, key)
    part = whole.clip(within) if within else whole
    ledger = state.ledger if state else None
    if part is None or part == whole or ledger is None:
        return condition(ledger, whole)
    holes = tuple(hole for hole in ledger.holes if hole.span.clip(part))
    asked = tuple(
        replace(one, span=inside) for one in ledger.asked if (inside := one.span.clip(part)) is not None
    )
    return condition(Ledger(asked, holes, ledger.quarantined), part)


def why_not(dataset: Dataset, key: str, state: State, within: TimeRange | None = None) -> str:
    """Say why a partition, or the part of it that lies ``within``, is not what it should be.

    Empty when it is, or when it only is not over yet.
    """
    ledger, whole = state.ledger, partition_span(dataset.grain, key)
    whole = (whole.clip(within) if within else None) or whole
    said = list[str]()
    if gaps := [gap for gap in ledger.gaps() if gap.span.clip(whole)]:
        missing = sum(gap.missing for gap in gaps)
        reasons = list(dict.fromkeys(gap.reason for gap in gaps if gap.reason))
        of = f" ({'; '.join(reasons[:2])})" if reasons else ""
        said.append(f"{len(gaps)} {'gap' if len(gaps) == 1 else 'gaps'}, {missing:,} missing{of}")
    if ledger.quarantined:
        said.append(f"{ledger.quarantined:,} in quarantine")
    if ledger.imported:
        said.append(IMPORTED)
    if any(span.clip(whole) for span in ledger.damaged()):
        said.append(DAMAGED)
    covered = ledger.covered()
    if covered and not dataset.data_type.table.pictures:
        before = TimeRange(whole.start, max(whole.start, min(whole.end, covered[-1].end))).minus(covered)
        if before:
            more = f" and {len(before) - 1} times more" if len(before) > 1 else ""
            said.append(f"never asked for {iso(before[0].start)} to {iso(before[0].end)}{more}")
    return ", ".join(said)


def is_complete(
    dataset: Dataset, key: str, state: State | None, now: Us, within: TimeRange | None = None
) -> bool:
    """Tell whether nothing is to come any more, and all that came is there: what Dagster shows in green."""
    over = not dataset.data_type.table.pictures or partition_span(dataset.grain, key).end <= now
    return over and condition_of(dataset, key, state, within) is Condition.AVAILABLE


def progress(dataset: Dataset, states: Mapping[str, State], within: TimeRange | None = None) -> Progress:
    """Sum up the partitions of a dataset, or what of them is wanted: ``within``."""
    conditions = {key: condition_of(dataset, key, state, within) for key, state in states.items()}
    complete = (key for key, is_now in conditions.items() if is_now is Condition.AVAILABLE)
    degraded = (key for key, is_now in conditions.items() if is_now is Condition.DEGRADED)
    return Progress(frozenset(complete), {key: retry_at(states[key]) for key in degraded})


def behind(summary: Progress, keys: Iterable[str], now: Us) -> list[str]:
    """Return the partitions among ``keys`` that a tick should ask for."""
    return [k for k in keys if k not in summary.complete and summary.retry_at.get(k, 0) <= now]


def retry_at(state: State) -> Us:
    """Wait a quarter of an hour before the second question about a gap, then ever as long as so far."""
    gaps = [hole.asked for hole in state.ledger.gaps() if hole.asked]
    if not gaps:
        return Us(0)
    return Us(min(asked[-1] + max(_FIRST_RETRY, asked[-1] - asked[0]) for asked in gaps))


def runs_of(dataset: Dataset, keys: Iterable[str]) -> list[tuple[str, str]]:
    """Write ``keys``, which are in order, as runs: the first and the last key of each."""
    runs: list[tuple[str, str]] = []
    for key in keys:
        start = partition_span(dataset.grain, key).start
        if runs and partition_span(dataset.grain, runs[-1][1]).end == start:
            runs[-1] = (runs[-1][0], key)
        else:
            runs.append((key, key))
    return runs
