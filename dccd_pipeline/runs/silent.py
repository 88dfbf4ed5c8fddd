"""Runs whose process is gone without a word: after kill -9 or a power cut nothing else marks them failed.

A run that goes on says something every few minutes (assets/history.py), so long silence is death. Left alone,
dead runs would fill the instance's limit of runs, and hold back the schedule of their job. A stream may have
nothing to say for days: of those the heartbeat decides (supervisor.py).

Belongs here: telling dead runs from living ones. Does not: what a run says.
"""

from datetime import UTC, datetime
from typing import Final

import dagster as dg

from dccd_pipeline.tags import EXCHANGE, REMOTE, STREAM

SILENT_S: Final = 3_600
"""Should a silent run live after all, two runs of one job cost requests, but no rows."""


def is_silent(record: dg.RunRecord, instance: dg.DagsterInstance, now: datetime) -> bool:
    """Say whether a run that has begun has been silent too long; one that waits its turn never is."""
    if record.dagster_run.status is dg.DagsterRunStatus.QUEUED:
        return False
    events = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    last = events[0].timestamp if events else record.create_timestamp.timestamp()
    return now.timestamp() - last >= SILENT_S


def _tells_how_far(run: dg.DagsterRun) -> bool:
    """Tell whether a run is one that says something every few minutes."""
    return (EXCHANGE in run.tags or REMOTE in run.tags) and STREAM not in run.tags


@dg.sensor(
    name="silent_runs",
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs failed whose process is gone, so that they hold nothing back.",
)
def silent_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fail this project's runs that began and then fell silent."""
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
    instance, now = context.instance, datetime.now(UTC)
    records = instance.get_run_records(begun)
    begun_ours = [record for record in records if _tells_how_far(record.dagster_run)]
    gone = [record.dagster_run for record in begun_ours if is_silent(record, instance, now)]
    for run in gone:
        said = f"silent for {SILENT_S // 60} minutes: its process is gone; what it stored before stays stored"
        instance.report_run_failed(run, said)
    return dg.SkipReason(f"marked {len(gone)} silent runs failed")
