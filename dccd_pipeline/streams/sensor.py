"""The sensor that keeps streams running: it looks, has supervisor.py decide, and does what was decided.

See https://docs.dagster.io/guides/automate/sensors
"""

import logging
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import Us, us
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.dagster_compat import ExecutableDefinition
from dccd_pipeline.runs.failures import said_of
from dccd_pipeline.streams.heartbeat import read_beats
from dccd_pipeline.streams.orders import Order, write_order
from dccd_pipeline.streams.supervisor import (
    ACTIVE,
    QUEUED,
    Change,
    Seen,
    Sight,
    Start,
    Stop,
    remembered,
    supervise,
)
from dccd_pipeline.tags import REASON, STOPPED, STREAM

SUPERVISE_EVERY_S: Final = 10
_LAST_EVENTS: Final = 20
_TAG_LENGTH: Final = 250
_DIED: Final = ("was terminated by signal", "unexpectedly exited")
_LOST: Final = re.compile(r"its process \(pid (\d+)\) died")
_TELLING: Final = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.ENGINE_EVENT,
}
_LOG: Final = logging.getLogger(__name__)


def stream_supervisor(
    jobs: Mapping[str, dg.JobDefinition], orders: Mapping[str, Order], clock: Clock | None = None
) -> dg.SensorDefinition:
    """Return the sensor for the streams of these ``orders``, by name, like jobs."""
    clock = clock or SystemClock()
    wanted = {name: order.digest for name, order in orders.items()}

    def streams(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        memory = remembered(context.cursor)
        sight = look(context.instance, wanted, memory.names, clock)
        actions, notes = supervise(sight, memory)
        starts = [one for one in actions if isinstance(one, Start)]
        stops = [one for one in actions if isinstance(one, Stop)]
        changes = [one for one in actions if isinstance(one, Change)]
        for one in stops:
            stop(context.instance, one)
        for one in changes:
            order = msgspec.structs.replace(orders[one.name], run_id=one.run_id)
            write_order(context.instance, one.name, order)
        said = [
            *(f"{one.name}: start, {one.reason}" for one in starts),
            *(f"run {one.run_id}: stop, {one.reason}" for one in stops),
            *(f"run {one.run_id}: goes on as {one.name} is in dccd.yaml now" for one in changes),
            *notes,
        ]
        for line in said if actions else ():  # what is logged is a file for each tick, and ticks are many
            context.log.info(line)
        running = f"{counted(len(wanted), 'stream is', 'streams are')} running"
        return dg.SensorResult(
            run_requests=[_request(one, jobs[one.name].name) for one in starts],
            skip_reason=None if starts else "; ".join(said) or running,
            cursor=msgspec.json.encode(memory).decode(),
        )

    return _SensorOfJobs(
        name="streams",
        evaluation_fn=streams,
        jobs=list(jobs.values()) or None,
        minimum_interval_seconds=SUPERVISE_EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts, restarts and stops the runs of streams; the log of a tick says why.",
    )


class _SensorOfJobs(dg.SensorDefinition):
    """Keeps Dagster from warning about itself: it hands on owners that nobody gave."""

    def with_updated_jobs(self, new_jobs: Sequence[ExecutableDefinition]) -> dg.SensorDefinition:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            return super().with_updated_jobs(new_jobs)


def _request(start: Start, job: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{start.name} after {start.after or 'nothing'}",
        job_name=job,
        tags={STREAM: start.name, REASON: start.reason[:_TAG_LENGTH]},
    )


def look(
    instance: dg.DagsterInstance, wanted: Mapping[str, str], known: Iterable[str], clock: Clock
) -> Sight:
    """Gather what there is to see; ``known``: streams that were there before, configured or not.

    The time is that after all of it was read, or something would seem to be of the future.
    """
    begun = dg.RunsFilter(statuses=[status for status in ACTIVE if status not in QUEUED])
    names = sorted({*wanted, *known})
    queued = dg.RunsFilter(statuses=list(QUEUED), tags={STREAM: names})
    records = [*instance.get_run_records(begun), *(instance.get_run_records(queued) if names else ())]
    active = [_seen(record) for record in records if STREAM in record.dagster_run.tags]
    without = set(wanted) - {run.tags[STREAM] for run in active}
    found = {name: latest_run(instance, name) for name in sorted(without)}
    latest = {name: run for name, run in found.items() if run}
    beats = read_beats(instance, {*names, *(run.tags[STREAM] for run in active)})
    return Sight(clock.now(), wanted, active, latest, beats)


def latest_run(instance: dg.DagsterInstance, name: str) -> Seen | None:
    """Return the youngest run of a stream, with the reason if it failed."""
    records = instance.get_run_records(dg.RunsFilter(tags={STREAM: name}), limit=1)
    return _seen(records[0], instance) if records else None


def _seen(record: dg.RunRecord, instance: dg.DagsterInstance | None = None) -> Seen:
    run = record.dagster_run
    failed = instance is not None and run.status is dg.DagsterRunStatus.FAILURE
    return Seen(
        id=run.run_id,
        status=run.status,
        created=us(record.create_timestamp),
        started=seconds(record.start_time),
        ended=seconds(record.end_time),
        tags=run.tags,
        failure=failure_of(instance, run.run_id) if instance and failed else "",
    )


def seconds(at: float | None) -> Us | None:
    """Dagster says when runs begin and end in seconds, as a float."""
    return None if at is None else Us(round(at * 1e6))


def failure_of(instance: dg.DagsterInstance, run_id: str) -> str:
    """Say why a run failed: its step's own words, what became of its process, or else Dagster's."""
    found = instance.get_records_for_run(run_id, of_type=_TELLING, limit=_LAST_EVENTS, ascending=False)
    events = [one.event_log_entry.dagster_event for one in found.records]
    told = [(event, event.message or "") for event in events if event]
    for event, _ in told:
        if event.event_type is dg.DagsterEventType.STEP_FAILURE:
            return f"its run {run_id} failed: {said_of(event)}"
    for _, message in told:
        if lost := _LOST.search(message):  # in the words of our launcher
            return f"its process died: pid {lost[1]} is gone"
        if any(word in message for word in _DIED):
            return f"its process died: {message.partition('. ')[0]}"
    failures = [text for event, text in told if event.event_type is dg.DagsterEventType.RUN_FAILURE]
    return f"its run {run_id} failed: {failures[0] if failures else 'Dagster does not say why'}"


def stop(instance: dg.DagsterInstance, order: Stop) -> None:
    """Tag a run with our reason and have it end: it hears a signal, or sees that it is being cancelled."""
    instance.add_run_tags(order.run_id, {STOPPED: f"{order.run_id} {order.reason}"[:_TAG_LENGTH]})
    try:
        heard = instance.run_coordinator.cancel_run(order.run_id)
    except Exception:  # noqa: BLE001 -- a code server that is gone says so in many ways
        _LOG.warning("run %s: its code server does not answer", order.run_id, exc_info=True)
        heard = False
    run = instance.get_run_by_id(order.run_id)
    if run and not heard and order.lost and not run.is_finished:
        instance.report_run_failed(run, order.reason)
