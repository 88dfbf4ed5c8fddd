"""What ``dccd status`` says of ticks: what vanished, and what fails.

Belongs here: lines for people. Does not: finding it out in a tick (due.py), printing (cli).
"""

from collections.abc import Iterator

import dagster as dg

from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.remembered import read_held, said_gone, vanished
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.ticks.memory import read_memory, said_failing


def gone_lines(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Name the partitions whose files vanished, a line for each dataset that has any."""
    lake, lines = settings.lake(), list[str]()
    store = lake.identity()
    for entry in settings.collect if store else ():
        keys = entry_partitions(entry).get_partition_keys()
        for dataset, ever in read_held(instance, entry.datasets, store, keys).items():
            if found := vanished(ever, lake.keys(dataset), keys):
                lines.append(said_gone(dataset, found))
    return lines


def failing_lines(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Name the datasets that ticks failed to bring up to date, each with its cause and its next try."""
    store = settings.lake().identity()
    return list(_failing(settings, instance, store)) if store else []


def _failing(settings: Settings, instance: dg.DagsterInstance, store: str) -> Iterator[str]:
    for entry in settings.collect:
        known = {str(dataset) for dataset in entry.datasets}
        failing = read_memory(instance, store, entry.name).troubled
        yield from said_failing({name: one for name, one in failing.items() if name in known})
