"""What no reading of a lake finds, because it is not there: files that vanished, datasets without any.

Belongs here: what should be there, by the configuration and by what Dagster remembers. Does not: reading
what is there again (verifying.py).
"""

from collections.abc import Callable, Sequence
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import Us, moment
from dccd_core.lake.lake import LakeStore
from dccd_core.quality.coverage import Gap
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.remembered import read_held, vanished
from dccd_pipeline.config.read import EMBEDDED
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.config.wanted import wanted_of

GONE: Final = "its file vanished"


def vanished_keys(
    settings: Settings, instance: dg.DagsterInstance, lake: LakeStore, now: Us
) -> dict[Dataset, list[str]]:
    """Return the partitions of configured datasets that were stored once, and are not any more."""
    store, found = lake.identity(), dict[Dataset, list[str]]()
    for entry in settings.collect:
        keys = entry_partitions(entry).get_partition_keys(current_time=moment(now))
        held = read_held(instance, entry.datasets, store, keys)
        for dataset, ever in held.items():
            if gone := vanished(ever, lake.keys(dataset), keys):
                found[dataset] = gone
    return found


def never_stored(
    settings: Settings, lake: LakeStore, now: Us, meant: Callable[[Dataset], bool]
) -> dict[Dataset, str]:
    """Return the datasets that are collected and of which there is nothing, each with its entry's name.

    Where there is no ``dccd.yaml`` nobody has said that anything is to be collected.
    """
    if settings.source == EMBEDDED:
        return {}
    there = set(lake.datasets())
    return {
        dataset: entry.name
        for entry in settings.collect
        if entry.enabled
        for dataset in entry.datasets
        if dataset not in there
        and meant(dataset)
        and wanted_of(entry, dataset, now)
        and not lake.all_known(dataset)
    }


def with_vanished(dataset: Dataset, gaps: Sequence[Gap], keys: Sequence[str]) -> list[Gap]:
    """Return the gaps of a dataset, with the time of files that vanished told as such."""
    spans = [partition_span(dataset.grain, key) for key in keys]
    found = [Gap(span, None, GONE) for span in spans]
    for gap in gaps:
        left = gap.span.minus(spans)
        found += [gap] if left == [gap.span] else [Gap(part, None, gap.why) for part in left]
    return sorted(found, key=lambda gap: gap.span)
