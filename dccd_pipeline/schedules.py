"""One schedule per ``collect`` entry: bring what is behind up to date.

A tick asks Dagster's own storage how far each dataset is (progress.py), never the lake and never the venue,
and starts one run for all that is behind: missed partitions, partitions with gaps whose time has come,
and the open one. What the venue does not serve any more is left alone.

Belongs here: what a tick decides. Does not: what is due inside a partition (dccd_core.fetch.planner).
See https://docs.dagster.io/guides/automate/schedules
"""

from datetime import datetime
from typing import cast

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import ns
from dccd_pipeline.assets.history import CATCH_UP, entry_partitions
from dccd_pipeline.entry import Entry
from dccd_pipeline.progress import PROGRESS, Progress, behind
from dccd_pipeline.silence import is_silent


def entry_schedule(entry: Entry, *, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule of ``entry``; ``running`` says whether it is on before anybody touches it."""
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=f"{entry.name}_schedule",
        job_name=entry.name,
        cron_schedule=entry.cron_schedule,
        execution_timezone="UTC",
        default_status=status,
        description=f"Brings {entry.name} up to date: what was missed, what has gaps, the open partition.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        unfinished = dg.RunsFilter(job_name=entry.name, statuses=list(NOT_FINISHED_STATUSES))
        for record in context.instance.get_run_records(unfinished):
            if not is_silent(record, context.instance, context.scheduled_execution_time):
                return dg.SkipReason(f"run {record.dagster_run.run_id} of this job has not ended")
        return _request(entry, context)

    return tick


def _request(entry: Entry, context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    found = late_in(entry, context.instance, context.scheduled_execution_time)
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


def late_in(entry: Entry, instance: dg.DagsterInstance, at: datetime) -> dict[Dataset, list[str]]:
    """Return what a tick asks for of each dataset: partitions that can be had and are not complete."""
    now, keys = ns(at), entry_partitions(entry).get_partition_keys(current_time=at)
    askable = {dataset: entry.askable(dataset, keys, now) for dataset in entry.datasets}
    if entry.depth:  # the book of today is never complete: it is asked for at each tick
        return askable
    known = _known(entry, instance)
    return {one: behind(known[one], left, now) for one, left in askable.items()}


def _known(entry: Entry, instance: dg.DagsterInstance) -> dict[Dataset, Progress | None]:
    """Return what the latest materialisation of each dataset says of its progress."""
    assets = {dataset: dg.AssetKey(dataset.parts) for dataset in entry.datasets}
    events = instance.get_latest_materialization_events(list(assets.values()))
    known: dict[Dataset, Progress | None] = {}
    for dataset, asset in assets.items():
        event = events.get(asset)
        materialisation = event.asset_materialization if event else None
        value = materialisation.metadata.get(PROGRESS) if materialisation else None
        known[dataset] = cast("Progress", value.value) if isinstance(value, dg.JsonMetadataValue) else None
    return known
