"""Telling people: a failed run goes to the log and, when configured, to the addresses; mistakes show.

Belongs here: what is said, to whom. Does not: what went wrong (the run's own failure says it).
See https://docs.dagster.io/guides/automate/run-status-sensors
"""

from threading import Lock
from typing import Final

import dagster as dg

from dccd_core.domain.timespan import SECOND, Us, iso
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.config.alerts import Alerts
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.dagster_compat import FINISHED_STATUSES
from dccd_pipeline.runs.alerts import Alarm, said_length
from dccd_pipeline.runs.outbox import Outbox
from dccd_pipeline.tags import FAILING

_ONE_AT_A_TIME: Final = Lock()
"""Both sensors write down what was told of jobs, and a process may run them side by side."""


def failure_sensor(alerts: Alerts | None, clock: Clock | None = None) -> dg.SensorDefinition:
    """Return the sensor that reports failed runs, after ``alerts.after_failures`` of one job in a row."""
    clock = clock or SystemClock()

    @dg.run_failure_sensor(
        name="run_failures",
        monitor_all_code_locations=False,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Says which exchange, endpoint and symbol failed; posts it, once an hour for one cause.",
    )
    def run_failures(context: dg.RunFailureSensorContext) -> None:
        # never a SkipReason: beside what others of the tick return, Dagster takes it for an error
        text, job = failure_text(context), context.dagster_run.job_name
        context.log.error(text)
        if alerts is None:
            return
        with _ONE_AT_A_TIME:
            alarm, now = Alarm(context.instance), clock.now()
            due = alarm.failed(job, "\n".join(text.splitlines()[1:]), now)
            if due and _in_a_row(context, alerts.after_failures):
                for refused in Outbox(context.instance, alerts).tell([text], now):
                    context.log.error(refused)
                alarm.tell(job, "\n".join(text.splitlines()[1:]), now)

    return run_failures


def recovery_sensor(alerts: Alerts | None, clock: Clock | None = None) -> dg.SensorDefinition:
    """Return the sensor that says when a job is well again of whose failures somebody was told."""
    clock = clock or SystemClock()

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="run_recoveries",
        monitor_all_code_locations=False,
        default_status=dg.DefaultSensorStatus.RUNNING if alerts else dg.DefaultSensorStatus.STOPPED,
        description="Posts that a job is well again whose failures were posted.",
    )
    def run_recoveries(context: dg.RunStatusSensorContext) -> None:
        run = context.dagster_run
        if FAILING in run.tags:
            return  # it left out what fails
        if alerts is None:
            return
        with _ONE_AT_A_TIME:
            alarm, now = Alarm(context.instance), clock.now()
            if told := alarm.told_of(run.job_name):
                times = "once" if told.failures == 1 else f"{told.failures} times"
                since, length = iso(Us(told.since - told.since % SECOND)), said_length(Us(now - told.since))
                well = f"{run.job_name} is well again (run {run.run_id}) after {length}"
                for refused in Outbox(context.instance, alerts).tell(
                    [f"{well}; it failed {times} since {since}"], now
                ):
                    context.log.error(refused)
            alarm.well(run.job_name)

    return run_recoveries


def configuration_sensor() -> dg.SensorDefinition:
    """Return the sensor that fails while the configuration cannot be used: so the UI shows why."""

    @dg.sensor(
        name="configuration",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Fails with the mistakes in dccd.yaml: the last good one counts; or if none is kept.",
    )
    def configuration() -> dg.SkipReason:
        loaded = load_lasting()
        if loaded.mistake:
            raise dg.Failure(f"the last good configuration goes on, because of:\n{loaded.mistake}")
        if loaded.unkept:
            raise dg.Failure(loaded.unkept)
        return dg.SkipReason(f"{loaded.settings.source} can be used")

    return configuration


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
    """Tell whether so many runs of the job failed; one that left out what fails counts as one."""
    ended = dg.RunsFilter(job_name=context.dagster_run.job_name, statuses=list(FINISHED_STATUSES))
    runs = [record.dagster_run for record in context.instance.get_run_records(ended, limit=count)]
    failed = [run.status is dg.DagsterRunStatus.FAILURE or FAILING in run.tags for run in runs]
    return len(failed) == count and all(failed)
