"""What a tick finds in the lake, and what of it is due.

Belongs here: which partitions. Does not: what is asked for of them (dccd_core.fetch.planner).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import Us, moment
from dccd_core.lake.lake import LakeStore, State
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.progress import behind, progress
from dccd_pipeline.assets.remembered import remember_held, remember_store, vanished
from dccd_pipeline.config.collect import Entry

Job = tuple[Dataset, str]


@dataclass(slots=True)
class Found:
    """What was found of an entry's datasets.

    ``states``: of each partition, file and tail. ``due``: what has something that can be asked for now.
    ``gone``: partitions whose files vanished; they are left alone. ``damaged``: what cannot be read.
    """

    states: dict[Dataset, dict[str, State]] = field(default_factory=dict[Dataset, dict[str, State]])
    due: dict[Dataset, list[str]] = field(default_factory=dict[Dataset, list[str]])
    gone: dict[Dataset, list[str]] = field(default_factory=dict[Dataset, list[str]])
    damaged: list[tuple[Dataset, DccdError]] = field(default_factory=list[tuple[Dataset, DccdError]])

    def jobs(self) -> list[Job]:
        """Return what is due: the oldest first, all datasets side by side."""
        keys = sorted({key for keys in self.due.values() for key in keys})
        return [(dataset, key) for key in keys for dataset, its in self.due.items() if key in its]


def find(entry: Entry, lake: LakeStore, instance: dg.DagsterInstance, now: Us) -> Found:
    """Read footers and tail; a damaged file stops its dataset, not the neighbours."""
    keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
    found, tail = Found(), lake.tail(entry.datasets[0]).read()  # they differ in nothing but the symbol
    for dataset in entry.datasets:
        try:
            found.states[dataset] = lake.all_known(dataset, tail)
        except DccdError as e:
            found.damaged.append((dataset, e))
    store = lake.identity()
    if store:
        remember_store(instance, store, lake.url)
    found.gone = find_gone(instance, store, keys, found.states)
    for dataset, states in found.states.items():
        left = entry.askable(dataset, keys, now)
        if not entry.depth:  # the book of today is never complete: it is asked for at each tick
            left = behind(progress(dataset, states, entry.within), left, now)
        gone = found.gone.get(dataset, ())
        found.due[dataset] = [key for key in left if key not in gone]
    return found


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
