"""What the lake holds, dataset by dataset, told from the ledgers and the live segments.

Belongs here: summing up states. Does not: how it is printed (render.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Condition, Hole
from dccd_core.lake.readable import readable
from dccd_core.lake.reader import LiveRows
from dccd_core.quality.coverage import coverage, promises, wanted_time
from dccd_pipeline.assets.progress import condition_of, why_not
from dccd_pipeline.config.wanted import by_now

_WORST_FIRST = (Condition.DEGRADED, Condition.MISSING, Condition.PENDING, Condition.AVAILABLE)


@dataclass(frozen=True, slots=True)
class Holding:
    """One dataset, by what files and their tails say together.

    ``coverage``: the time that is proven over the time that is wanted, at most 1; None where no moment is
    promised. Wanted is what the configuration says; of what it does not name all from the first partition
    on, of what only a stream brings from its first moment on, up to the end of the last partition. What
    nobody could have collected is not wanted.
    ``condition``, ``gaps`` and ``why``, what is wrong with it (empty when nothing is), are of what is wanted.
    """

    dataset: Dataset
    condition: Condition
    rows: int
    first: Us | None
    last: Us | None
    partitions: int
    coverage: float | None
    gaps: int
    quarantined: int
    bytes: int
    why: str = ""
    live_rows: int = 0
    """Of ``rows`` those that no partition holds yet."""
    elsewhere: int = 0
    """Of ``partitions`` those that only remotes hold; ``bytes`` are of the others."""
    damaged: bool = False
    """Whether a file of it cannot be read: then nothing else of it is known."""


def holdings(lake: LakeStore, now: Us, wanted: Mapping[Dataset, TimeRange] | None = None) -> list[Holding]:
    """Sum up every dataset there is, sorted by name. ``wanted``: what is wanted of some, now or later."""
    known, damaged = readable(lake.known_inventory, lake.datasets, lake.all_known)
    live = lake.live_rows()
    found = [_damaged(lake, dataset, error) for dataset, error in damaged.items()]
    for dataset in {*known, *live} - {*damaged}:
        states = known.get(dataset) or lake.all_known(dataset)
        time = wanted.get(dataset) if wanted else None
        one = holding(dataset, states, now, time) if states else _nothing(dataset)
        found.append(_with_live(lake, one, states, live[dataset]) if dataset in live else one)
    return sorted(found, key=lambda one: str(one.dataset))


def holding(
    dataset: Dataset, states: Mapping[str, State], now: Us, wanted: TimeRange | None = None
) -> Holding:
    """Sum up a dataset: the part that is ``wanted``. A partition that is absent between two is missing."""
    spans = {key: partition_span(dataset.grain, key) for key in sorted(states)}
    start, end = min(span.start for span in spans.values()), max(span.end for span in spans.values())
    judged = [key for key, span in spans.items() if wanted is None or span.clip(wanted)] or list(spans)
    conditions = {condition_of(dataset, key, states[key], wanted) for key in judged}
    reasons = [f"{key}: {why}" for key in judged if (why := why_not(dataset, key, states[key], wanted))]
    if sum(span.length for span in spans.values()) < end - start:
        conditions.add(Condition.MISSING)
        reasons.append("partitions between others are missing")
    more = f"; and {len(reasons) - 2} partitions more" if len(reasons) > 2 else ""
    return Holding(
        dataset=dataset,
        condition=next(worst for worst in _WORST_FIRST if worst in conditions),
        rows=sum(state.rows + state.unfolded for state in states.values()),
        first=min((state.first for state in states.values() if state.first is not None), default=None),
        last=max((state.last for state in states.values() if state.last is not None), default=None),
        partitions=sum(bool(state.content_hash) for state in states.values()),
        coverage=_coverage(
            dataset,
            states,
            wanted_time(dataset, states, now, wanted and by_now(dataset, wanted, now)),
        ),
        gaps=sum(_is_in(wanted, gap) for state in states.values() for gap in state.ledger.gaps()),
        quarantined=sum(state.ledger.quarantined for state in states.values()),
        bytes=sum(state.bytes for state in states.values() if not state.elsewhere),
        why="; ".join(reasons[:2]) + more,
        live_rows=sum(state.unfolded for state in states.values()),
        elsewhere=sum(bool(state.elsewhere) for state in states.values()),
    )


def _is_in(wanted: TimeRange | None, gap: Hole) -> bool:
    return wanted is None or gap.span.clip(wanted) is not None


def _coverage(dataset: Dataset, states: Mapping[str, State], wanted: TimeRange) -> float | None:
    """Return the proven share of ``wanted``: what was asked for, without the gaps in it."""
    return coverage(states, wanted) if promises(dataset, states) else None  # pictures promise no moment


def _nothing(dataset: Dataset) -> Holding:
    why = "recorded, in no partition yet"
    return Holding(dataset, Condition.PENDING, 0, None, None, 0, None, 0, 0, 0, why)


def _damaged(lake: LakeStore, dataset: Dataset, error: LakeError) -> Holding:
    """Say of a dataset that it cannot be read, and why: nobody knows what there is of it."""
    parts = len(lake.keys(dataset))
    return Holding(dataset, Condition.MISSING, 0, None, None, parts, None, 0, 0, 0, str(error), damaged=True)


def _with_live(lake: LakeStore, one: Holding, states: Mapping[str, State], live: LiveRows) -> Holding:
    """Count the rows of live segments too: each that is in a partition already counts once.

    What was asked for is counted by the answers; what streams recorded has to be read for that, with the
    partitions that it may be in. Nothing is brought back for that.
    """
    first = live.first if one.first is None else min(one.first, live.first)
    seen = replace(one, first=first, last=max(live.last, one.last or live.last))
    grain = one.dataset.grain
    keys = [partition_key(grain, at) for at in (live.first, live.last)]
    span = TimeRange(partition_span(grain, keys[0]).start, partition_span(grain, keys[1]).end)
    if live.asked or lake.elsewhere(one.dataset, span):
        return seen
    stored = sum(state.rows for key, state in states.items() if keys[0] <= key <= keys[1])
    rows = lake.scan(one.dataset, span).select(pl.len()).collect(engine="streaming").item()
    return replace(seen, rows=one.rows - one.live_rows + rows - stored, live_rows=rows - stored)
