"""One schedule per ``collect`` entry: it starts a tick, unless a run of the entry has not ended.

What is due the run itself finds out, from the lake. Nothing is asked here but Dagster's own storage.

Belongs here: when ticks run. Does not: what they do (run.py).
See https://docs.dagster.io/guides/automate/schedules
"""

import dagster as dg

from dccd_pipeline.config.collect import Entry
from dccd_pipeline.dagster_compat import NOT_FINISHED_STATUSES
from dccd_pipeline.runs.silent import is_silent
from dccd_pipeline.tags import ENTRY


def schedule_name(entry: Entry) -> str:
    return f"{entry.name}_schedule"


def entry_schedule(entry: Entry, zone: str = "UTC", *, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule of ``entry``; ``running`` says whether it is on before anybody touches it.

    ``zone``: of its cron.
    """
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=schedule_name(entry),
        job_name=entry.tick,
        cron_schedule=entry.cron_schedule,
        execution_timezone=zone if entry.cron else "UTC",
        default_status=status,
        description=f"Brings {entry.name} up to date: what was missed, what has gaps, what is new.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        unfinished = dg.RunsFilter(tags={ENTRY: entry.name}, statuses=list(NOT_FINISHED_STATUSES))
        for record in context.instance.get_run_records(unfinished):
            if not is_silent(record, context.instance, context.scheduled_execution_time):
                return dg.SkipReason(f"run {record.dagster_run.run_id} of {entry.name} has not ended")
        return dg.RunRequest()

    return schedule
