"""What is kept of runs that are over: bounded, or a year of ticks would fill the disk.

A run that holds the last materialisation of a partition stays however old it is: Dagster would forget that
the partition is there. Of the others Dagster's own deletion leaves the run's database and what its process
printed; both go, too. Rows that are freed in shared databases are used again: their files do not shrink.

Belongs here: which runs go, and all that is left of them. Does not: ticks (``retention`` in dagster.yaml).
See https://docs.dagster.io/deployment/dagster-instance
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from dccd_core.domain.timespan import SECOND
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.config.runs import KeepRuns
from dccd_pipeline.dagster_compat import FINISHED_STATUSES, run_files
from dccd_pipeline.tags import CATCH_UP, EXCHANGE, PURGE, REMOTE, STREAM

PRUNE: Final = "prune_runs"
_AT: Final = "17 3 * * *"
_BATCH: Final = 200
_Key = tuple[dg.AssetKey, str | None]
"""An asset and one of its partitions; None: it has none."""


def prune_job(keep: KeepRuns, clock: Clock | None = None) -> dg.JobDefinition:
    """Return the job that removes runs which are older than ``keep`` says."""
    clock = clock or SystemClock()

    @dg.op(name="prune", description="Removes old runs of dccd, with their databases and logs.")
    def prune(context: dg.OpExecutionContext) -> None:
        now = datetime.fromtimestamp(clock.now() // SECOND, UTC)
        runs = list(superfluous(context.instance, keep, now))  # all of them first: pages follow runs
        for run_id in runs:
            remove(context.instance, run_id)
        context.log.info("removed %d runs that are older than keep_runs says: %r", len(runs), keep)

    @dg.job(name=PRUNE, description="Keeps Dagster's storage bounded: keep_runs of dccd.yaml says how much.")
    def prune_runs() -> None:
        prune()

    return prune_runs


def prune_schedule(*, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule of that job, daily; ``running`` says whether it is on before anybody touches it."""
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name=f"{PRUNE}_schedule",
        job_name=PRUNE,
        cron_schedule=_AT,
        execution_timezone="UTC",
        default_status=status,
    )


def superfluous(instance: dg.DagsterInstance, keep: KeepRuns, now: datetime) -> Iterator[str]:
    """Yield the ids of dccd's runs that are over and old, and that no partition needs, each once."""
    last: dict[_Key, str | None] = {}
    looked_at = set[str]()
    for filters in _old(keep, now):
        cursor = None
        while records := instance.get_run_records(filters, limit=_BATCH, cursor=cursor):
            cursor = records[-1].dagster_run.run_id
            for record in records:
                run = record.dagster_run
                if run.run_id in looked_at or not _is_ours(run):
                    continue
                looked_at.add(run.run_id)
                if not _is_needed(instance, run.run_id, last):
                    yield run.run_id


def remove(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run that is over: rows, events, its own database, what it printed."""
    files = run_files(instance, run_id)
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    for file in files:
        file.unlink(missing_ok=True)


def _old(keep: KeepRuns, now: datetime) -> Iterator[dg.RunsFilter]:
    failed, success = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
    others = [status for status in FINISHED_STATUSES if status is not failed]
    for statuses, days, tags in (
        ([success], keep.ticks, {CATCH_UP: "true"}),
        (others, keep.days, {}),
        ([failed], keep.failed, {}),
    ):
        yield dg.RunsFilter(statuses=statuses, tags=tags, created_before=now - timedelta(days=days))


def _is_ours(run: dg.DagsterRun) -> bool:
    return not run.tags.keys().isdisjoint((EXCHANGE, STREAM, REMOTE, PURGE)) or run.job_name == PRUNE


def _is_needed(instance: dg.DagsterInstance, run_id: str, last: dict[_Key, str | None]) -> bool:
    """Tell whether a run holds the last materialisation of anything.

    ``last``: by which run each partition was materialised last, as far as it is known.
    """
    for event in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = event.asset_materialization
        if made is None:
            continue
        key = made.asset_key, made.partition
        if key not in last:
            partitions = None if made.partition is None else [made.partition]
            newest = instance.fetch_materializations(
                dg.AssetRecordsFilter(made.asset_key, asset_partitions=partitions), limit=1
            ).records
            last[key] = newest[0].run_id if newest else None
        if last[key] == run_id:
            return True
    return False
