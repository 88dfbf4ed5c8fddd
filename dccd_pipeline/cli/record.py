"""``dccd stream``: the runs of streams in a terminal, recorded in the instance like any other.

Belongs here: running one here and now. Does not: the process that keeps several (keeper.py), nor keeping them
running (the daemon and its supervisor do).
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import SECOND, ZERO, Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.clock import SystemClock
from dccd_core.net.sockets import Connect
from dccd_core.stream.api import Listener, RecordStream, StreamHealth, StreamPlan
from dccd_pipeline.build import build_definitions, record_live
from dccd_pipeline.cli.config_watch import ConfigWatch
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.dagster_compat import make_new_run_id
from dccd_pipeline.runs.patience import line_of, patiently
from dccd_pipeline.runs.processes import Process
from dccd_pipeline.streams.heartbeat import beat_of
from dccd_pipeline.streams.sensor import failure_of
from dccd_pipeline.streams.states import said_of
from dccd_pipeline.streams.status import GONE, HANGS, stream_states

HEALTH_EVERY = Us(30 * SECOND)
_ENDING_S: Final = 15.0
"""How long a run that ends is waited for; it has 10 s."""
_STORAGE_S: Final = 120.0
Say = Callable[[str], None]


def record_here(
    settings: Settings,
    name: str,
    instance: dg.DagsterInstance,
    say: Say,
    recorder: RecordStream | None = None,
) -> str:
    """Record one stream in this process until a signal ends it; return why it failed, empty if it did not.

    When its settings change meanwhile so that it cannot go on, it is recorded anew.

    Raises:
        ConfigError: another run records it already.
    """
    patiently(lambda: refuse_second(instance, name, say), _STORAGE_S)
    while True:
        watch = ConfigWatch(settings, name, instance, say)
        with watch.looking():
            failure = _record_once(settings, name, instance, _heard(recorder or record_live, say))
        if watch.anew is None or failure:
            return failure
        settings = watch.anew


def _record_once(settings: Settings, name: str, instance: dg.DagsterInstance, recorder: RecordStream) -> str:
    definitions = build_definitions(settings, {"recorder": recorder})
    run_id = make_new_run_id()
    job = definitions.resolve_job_def(f"stream_{name}")
    try:
        job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags=Process.this().tag(run_id),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},  # kept in the run
            raise_on_error=False,
        )
        run = patiently(lambda: instance.get_run_by_id(run_id), _STORAGE_S)
    except SQLAlchemyError as e:  # before the stream began, or after it ended
        return f"Dagster's storage does not answer: {line_of(e)}"
    failed = run is not None and run.status is dg.DagsterRunStatus.FAILURE
    return failure_of(instance, run_id) if failed else ""


def refuse_second(
    instance: dg.DagsterInstance, name: str, say: Say, *, look_s: float = 0.5, patience_s: float = _ENDING_S
) -> None:
    """Refuse to record what is recorded already; a run that is lost is given up, one that ends waited for.

    Raises:
        ConfigError: another run records it.
    """
    clock = SystemClock()
    for look in itertools.count():
        state = next(one for one in stream_states(instance, {name: ""}, clock) if one.name == name)
        run = instance.get_run_by_id(state.run_id) if state.run_id else None
        if run is None or run.is_finished:
            return
        if state.state in (GONE, HANGS):
            instance.report_run_failed(run, f"{state.said}; dccd stream records instead")
            return
        if not state.ending or look * look_s >= patience_s:
            hint = "terminate it in the UI first, or leave it to the daemon"
            raise ConfigError(f"run {run.run_id} records {name} already ({state.said})", hint=hint)
        if look == 0:
            say(f"{name}: waits for run {run.run_id} to end")
        time.sleep(look_s)


def _heard(recorder: RecordStream, say: Say) -> RecordStream:
    """Return a recorder that also tells ``say`` what its listener hears."""

    async def record(
        plan: StreamPlan,
        venue: Venue,
        connect: Connect,
        lake: LakeStore,
        stop: asyncio.Event,
        listener: Listener,
        *,
        plans: asyncio.Queue[StreamPlan],
    ) -> None:
        await recorder(plan, venue, connect, lake, stop, _Aloud(listener, plan.name, say), plans=plans)

    return record


@dataclass(slots=True)
class _Aloud:
    """Passes everything on, and says it too; health only now and then."""

    listener: Listener
    name: str
    say: Say
    said: Us = ZERO

    def beat(self, health: StreamHealth) -> None:
        self.listener.beat(health)
        if health.at - self.said >= HEALTH_EVERY:
            self.said = health.at
            self.say(f"{self.name}: {summary(health)}")

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        self.listener.folded(dataset, key, state, rows)
        self.say(f"{self.name}: {dataset} {key}: {rows:,} rows recorded, {state.rows:,} in all")

    def note(self, text: str, *, wrong: bool) -> None:
        self.listener.note(text, wrong=wrong)
        self.say(f"{self.name}: {text}")


def summary(health: StreamHealth) -> str:
    """Say in a line how a stream is."""
    beat = beat_of("", "", health.at, health)
    off = [one for one in beat.datasets if one.refused or one.invalid_since is not None]
    parts = [
        said_of(beat),
        f"{len(health.datasets) - len(off)} of {len(health.datasets)} datasets",
        f"{health.rate:,.0f} messages/s",
        f"{health.messages:,} messages",
        f"{health.reconnects} reconnects",
    ]
    return ", ".join([*parts, *([f"{health.bad:,} not understood"] if health.bad else [])])
