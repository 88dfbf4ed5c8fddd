"""One schedule per ``collect`` entry: bring what is behind up to date.

A tick asks Dagster's own storage how far each dataset is (progress.py), never the venue, and the lake for
its name only, and starts one run for all that is behind: missed partitions, partitions with gaps whose time
has come, and the open one. What the venue does not serve any more, and a partition whose file vanished, are
left alone.

Belongs here: what a tick decides. Does not: what is due inside a partition (dccd_core.fetch.planner).
See https://docs.dagster.io/guides/automate/schedules
"""

from datetime import datetime

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import us
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.assets.progress import behind
from dccd_pipeline.assets.remembered import read_gone, read_held, read_progress, said_gone, vanished
from dccd_pipeline.assets.run import entry_partitions
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    NOT_FINISHED_STATUSES,
)
from dccd_pipeline.runs.silent import is_silent
from dccd_pipeline.tags import CATCH_UP


def entry_schedule(
    entry: Entry, store: str = "", zone: str = "UTC", *, running: bool
) -> dg.ScheduleDefinition:
    """Return the schedule of ``entry``; ``running`` says whether it is on before anybody touches it.

    ``store``: where its data go; without one nothing that is remembered counts. ``zone``: of its cron.
    """
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=f"{entry.name}_schedule",
        job_name=entry.name,
        cron_schedule=entry.cron_schedule,
        execution_timezone=zone if entry.cron else "UTC",
        default_status=status,
        description=f"Brings {entry.name} up to date: what was missed, what has gaps, the open partition.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        unfinished = dg.RunsFilter(job_name=entry.name, statuses=list(NOT_FINISHED_STATUSES))
        for record in context.instance.get_run_records(unfinished):
            if not is_silent(record, context.instance, context.scheduled_execution_time):
                return dg.SkipReason(f"run {record.dagster_run.run_id} of this job has not ended")
        return _request(entry, context, LakeStore(store).identity() if store else None)

    return tick


def _request(
    entry: Entry, context: dg.ScheduleEvaluationContext, store: str | None
) -> dg.RunRequest | dg.SkipReason:
    found = late_in(entry, context.instance, context.scheduled_execution_time, store)
    late = {dg.AssetKey(dataset.parts): left for dataset, left in found.items() if left}
    if not late:
        return dg.SkipReason("everything is up to date")
    wanted = sorted(key for left in late.values() for key in left)
    return dg.RunRequest(
        asset_selection=list(late),
        tags={
            ASSET_PARTITION_RANGE_START_TAG: wanted[0],
            ASSET_PARTITION_RANGE_END_TAG: wanted[-1],
            CATCH_UP: "true",
        },
    )


def gone_lines(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Name the partitions whose files vanished, a line for each dataset that has any."""
    lake, lines = LakeStore(settings.store), list[str]()
    store = lake.identity()
    for entry in settings.collect if store else ():
        keys = entry_partitions(entry).get_partition_keys()
        for dataset, ever in read_held(instance, entry.datasets, store, keys).items():
            if found := vanished(ever, lake.keys(dataset), keys):
                lines.append(said_gone(dataset, found))
    return lines


def late_in(
    entry: Entry, instance: dg.DagsterInstance, at: datetime, store: str | None
) -> dict[Dataset, list[str]]:
    """Return what a tick asks for of each dataset: partitions that can be had and are not complete.

    What is remembered counts only where it is of ``store``; of a store without a name nothing is known.
    """
    now, keys = us(at), entry_partitions(entry).get_partition_keys(current_time=at)
    askable = {dataset: entry.askable(dataset, keys, now) for dataset in entry.datasets}
    if entry.depth:  # the book of today is never complete: it is asked for at each tick
        return askable
    known, gone = read_progress(instance, entry.datasets, store), read_gone(instance, entry.datasets, store)
    late = {one: behind(known[one], left, now) for one, left in askable.items()}
    return {one: [key for key in left if key not in gone.get(one, ())] for one, left in late.items()}
