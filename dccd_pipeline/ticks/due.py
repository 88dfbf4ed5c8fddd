"""What a tick finds in the lake, and what of it is due.

Belongs here: which partitions. Does not: what is asked for of them (dccd_core.fetch.planner).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import Us, moment
from dccd_core.exchanges import get
from dccd_core.fetch.planner import settled
from dccd_core.lake.lake import LakeStore, State
from dccd_core.quality.deadline import Deadline
from dccd_pipeline.assets.deadlines import deadline_of
from dccd_pipeline.assets.freshness import last_moment
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.progress import Progress, behind, progress
from dccd_pipeline.assets.remembered import remember_held, remember_store, vanished
from dccd_pipeline.config.collect import Entry

Job = tuple[Dataset, str]

_NEVER: Final = Us(2**63 - 1)


@dataclass(slots=True)
class Found:
    """What was found of an entry's datasets.

    ``states``: of each partition, file and tail. ``due``: what has something that can be asked for now.
    ``gone``: partitions whose files vanished; they are left alone. ``damaged``: what cannot be read.
    ``deadlines``: of what the exchange shows for a limited time. ``resting``: what of ``due`` has gaps that
    were asked for lately, and is due for its new time alone.
    """

    states: dict[Dataset, dict[str, State]] = field(default_factory=dict[Dataset, dict[str, State]])
    due: dict[Dataset, list[str]] = field(default_factory=dict[Dataset, list[str]])
    gone: dict[Dataset, list[str]] = field(default_factory=dict[Dataset, list[str]])
    damaged: list[tuple[Dataset, DccdError]] = field(default_factory=list[tuple[Dataset, DccdError]])
    deadlines: dict[Dataset, Deadline] = field(default_factory=dict[Dataset, Deadline])
    resting: set[Job] = field(default_factory=set[Job])

    def jobs(self) -> list[Job]:
        """Return what is due: what is lost soonest, then the oldest first, all datasets side by side."""
        jobs = [(dataset, key) for dataset, keys in self.due.items() for key in keys]
        return sorted(jobs, key=lambda job: (self._lost_at(*job), job[1]))

    @property
    def nearest(self) -> Us:
        """When the first of what is due is lost; far away when nothing is."""
        return min((self._lost_at(*job) for job in self.jobs()[:1]), default=_NEVER)

    @property
    def at_risk(self) -> set[Dataset]:
        """The datasets that cannot wait."""
        return {dataset for dataset, one in self.deadlines.items() if one.at_risk}

    def _lost_at(self, dataset: Dataset, key: str) -> Us:
        known = self.deadlines.get(dataset)
        at = known.within(partition_span(dataset.grain, key)) if known else None
        return _NEVER if at is None else at


def find(entry: Entry, lake: LakeStore, instance: dg.DagsterInstance, now: Us) -> Found:
    """Read footers and tail; a damaged file stops its dataset, not the neighbours."""
    keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
    found, tail = Found(), lake.tail(entry.datasets[0]).read()  # they differ in nothing but the symbol
    for dataset in entry.datasets:
        try:
            found.states[dataset] = lake.all_known(dataset, tail)
        except DccdError as e:
            found.damaged.append((dataset, e))
    for dataset, states in found.states.items():
        if known := deadline_of(entry, dataset, states, now):
            found.deadlines[dataset] = known
    store = lake.identity()
    if store:
        remember_store(instance, store, lake.url)
    found.gone = find_gone(instance, store, keys, found.states)
    for dataset, states in found.states.items():
        left = entry.askable(dataset, keys, now)
        if not entry.depth:  # the book of today is never complete: it is asked for at each tick
            summary = hurried(progress(dataset, states, entry.within), dataset, found.deadlines.get(dataset))
            asked = set(behind(summary, left, now))
            news = {
                key for key in left if key in summary.retry_at and has_news(entry, dataset, key, states, now)
            }
            found.resting |= {(dataset, key) for key in news - asked}
            left = [key for key in left if key in asked or key in news]
        gone = found.gone.get(dataset, ())
        found.due[dataset] = [key for key in left if key not in gone]
    return found


def hurried(summary: Progress, dataset: Dataset, known: Deadline | None) -> Progress:
    """Return the progress of a dataset in which no gap is left to wait while it is about to be lost."""
    if known is None:
        return summary
    retry_at = dict(summary.retry_at)
    for key, at in retry_at.items():
        lost = known.within(partition_span(dataset.grain, key))
        if lost is not None:
            retry_at[key] = min(at, Us(lost - known.margin))
    return replace(summary, retry_at=retry_at)


def has_news(entry: Entry, dataset: Dataset, key: str, states: Mapping[str, State], now: Us) -> bool:
    """Tell whether time of a partition is final that nobody asked for: it does not wait for its gaps."""
    span = partition_span(dataset.grain, key)
    ends = [span.end, settled(dataset, now, get(dataset.exchange).finality_delay)]
    ends += [end for end in (last_moment(entry, dataset),) if end is not None]
    covered = states[key].ledger.covered()
    return bool(covered) and covered[-1].end < min(ends)


def find_gone(
    instance: dg.DagsterInstance,
    store: str | None,
    keys: Sequence[str],
    states: Mapping[Dataset, Mapping[str, State]],
) -> dict[Dataset, list[str]]:
    """Note which partitions have files; return those that had one, of the datasets that have any."""
    stored = {d: {key for key, state in its.items() if state.content_hash} for d, its in states.items()}
    held = remember_held(instance, store, keys, stored)
    gone = {dataset: vanished(held[dataset], its, keys) for dataset, its in stored.items()}
    return {dataset: found for dataset, found in gone.items() if found}
