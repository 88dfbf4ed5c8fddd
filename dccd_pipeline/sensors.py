"""Telling people: a failed run goes to the log and, when configured, to a webhook.

Belongs here: what is said, to whom. Does not: what went wrong (the run's own failure says it).
See https://docs.dagster.io/guides/automate/run-status-sensors
"""

import dagster as dg
import httpx
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from dccd_pipeline.settings import Alerts


def failure_sensor(alerts: Alerts | None) -> dg.SensorDefinition:
    """Return the sensor that reports failed runs, after ``alerts.after_failures`` of one job in a row."""

    @dg.run_failure_sensor(
        name="run_failures",
        monitor_all_code_locations=False,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says which exchange, endpoint and symbol failed; posts it to the webhook.",
    )
    def run_failures(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        text = failure_text(context)
        context.log.error(text)
        if alerts is None:
            return dg.SkipReason("no alerts.webhook_url in dccd.yaml: logged only")
        if not _in_a_row(context, alerts.after_failures):
            return dg.SkipReason(f"fewer than {alerts.after_failures} failures in a row: logged only")
        httpx.post(str(alerts.webhook_url), json={"text": text}, timeout=10).raise_for_status()
        return None

    return run_failures


def failure_text(context: dg.RunFailureSensorContext) -> str:
    """Return the lines that name what failed: the step's own failure, not the stack around it."""
    run = context.dagster_run
    said = [said_of(event) for event in context.get_step_failure_events()]
    return "\n".join(
        [f"{run.job_name} failed (run {run.run_id})", *(said or [str(context.failure_event.message)])]
    )


def said_of(event: dg.DagsterEvent) -> str:
    """Return what a failed step says of itself."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else str(event.message)


def _in_a_row(context: dg.RunFailureSensorContext, count: int) -> bool:
    ended = dg.RunsFilter(job_name=context.dagster_run.job_name, statuses=list(FINISHED_STATUSES))
    runs = context.instance.get_run_records(ended, limit=count)
    failed = [record.dagster_run.status is dg.DagsterRunStatus.FAILURE for record in runs]
    return len(failed) == count and all(failed)
