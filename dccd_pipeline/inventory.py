"""What the lake holds, dataset by dataset, told from the ledgers.

Belongs here: summing up states. Does not: how it is printed (cli.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import Ns
from dccd_core.lake.lake import Lake, State
from dccd_core.lake.ledger import Condition
from dccd_pipeline.progress import condition_of

_WORST_FIRST = (Condition.DEGRADED, Condition.MISSING, Condition.PENDING, Condition.AVAILABLE)


@dataclass(frozen=True, slots=True)
class Holding:
    """One dataset. ``coverage``: asked time over the time from its first partition to ``now``, at most 1."""

    dataset: Dataset
    condition: Condition
    rows: int
    first: Ns | None
    last: Ns | None
    partitions: int
    coverage: float
    gaps: int
    quarantined: int
    bytes: int


def holdings(lake: Lake, now: Ns) -> list[Holding]:
    return [holding(dataset, lake.states(dataset), now) for dataset in lake.datasets()]


def holding(dataset: Dataset, states: Mapping[str, State], now: Ns) -> Holding:
    """Sum up a dataset. A partition that is absent between two others is missing."""
    spans = {key: partition_span(dataset.grain, key) for key in sorted(states)}
    start, end = min(span.start for span in spans.values()), max(span.end for span in spans.values())
    covered = sum(part.length for state in states.values() for part in state.ledger.covered())
    conditions = {condition_of(dataset, key, state) for key, state in states.items()}
    if sum(span.length for span in spans.values()) < end - start:
        conditions.add(Condition.MISSING)
    return Holding(
        dataset=dataset,
        condition=next(worst for worst in _WORST_FIRST if worst in conditions),
        rows=sum(state.rows for state in states.values()),
        first=min((state.first for state in states.values() if state.first is not None), default=None),
        last=max((state.last for state in states.values() if state.last is not None), default=None),
        partitions=len(states),
        coverage=min(1.0, covered / max(1, min(end, now) - start)),
        gaps=sum(len(state.ledger.gaps()) for state in states.values()),
        quarantined=sum(state.ledger.quarantined for state in states.values()),
        bytes=sum(state.bytes for state in states.values()),
    )
