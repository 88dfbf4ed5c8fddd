"""What ``dccd status`` says: recent runs, and how each stream is, all from the instance's storage.

Belongs here: from runs and heartbeats to a word and a reason. Does not: printing (render.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.timespan import Us
from dccd_core.net.clock import Clock
from dccd_core.stream.api import Phase
from dccd_pipeline.runs.processes import process_of
from dccd_pipeline.streams.heartbeat import Beat
from dccd_pipeline.streams.orders import read_paused
from dccd_pipeline.streams.sensor import failure_of, look, seconds
from dccd_pipeline.streams.states import said_of, said_second
from dccd_pipeline.streams.supervisor import STALE, Seen, Sight
from dccd_pipeline.tags import REASON, STREAM

_S = dg.DagsterRunStatus
_RUNS: Final = 20


HANGS: Final = "hangs"
"""The state of a stream that gives no sign of life, though its process may be there."""
GONE: Final = "gone"
"""... of one whose process is not there any more."""
BY_A_USER: Final = "stopped by a user"


@dataclass(frozen=True, slots=True)
class StreamState:
    """How a stream is.

    ``state`` is one word for programs, ``said`` all there is to say of it. ``why``: why its run was started,
    or why there is none. ``paused``: what a user paused of it.
    """

    name: str
    state: str
    why: str = ""
    run_id: str | None = None
    since: Us | None = None
    beat: Beat | None = None
    said: str = ""
    paused: tuple[str, ...] = ()

    @property
    def ending(self) -> bool:
        """Whether its run is about to end by itself."""
        orphaned = self.beat is not None and self.beat.orphaned
        return self.state == Phase.DRAINING or orphaned


@dataclass(frozen=True, slots=True)
class RunState:
    """What became of a run."""

    run_id: str
    job: str
    status: str
    started: Us | None
    ended: Us | None
    why: str


def stream_states(instance: dg.DagsterInstance, wanted: Mapping[str, str], clock: Clock) -> list[StreamState]:
    """Return how each of the streams is that are configured or run; ``wanted`` as in the supervisor."""
    sight = look(instance, wanted, (), clock)
    running: dict[str, Seen] = {}
    for run in sight.active:
        one = running.setdefault(run.tags[STREAM], run)
        if run.status is _S.STARTED and one.status is not _S.STARTED:
            running[run.tags[STREAM]] = run
    names = sorted({*wanted, *running})
    paused = read_paused(instance, names)
    states = [
        _running(name, running[name], sight) if name in running else _ended(name, sight.latest.get(name))
        for name in names
    ]
    return [replace(one, paused=tuple(map(str, sorted(paused.get(one.name, ()))))) for one in states]


def _running(name: str, run: Seen, sight: Sight) -> StreamState:
    beat = sight.beats.get(name)
    own = beat if beat and beat.run_id == run.id else None
    state, said = _how(run, own, sight.now)
    began, why = run.started or run.created, run.tags.get(REASON, "a user started it")
    return StreamState(name, state, why, run.id, began, own, said)


def _how(run: Seen, own: Beat | None, now: Us) -> tuple[str, str]:
    """Return the state of a run that has not ended, in a word and in full."""
    began = run.started or run.created
    process = own.process if own else process_of(run.id, run.tags)
    if process and process.gone:
        return GONE, f"gone: its process, pid {process.pid}, died"
    if run.status is _S.CANCELING:
        return Phase.DRAINING.value, Phase.DRAINING.value
    if run.status is not _S.STARTED:
        return run.status.value.lower(), run.status.value.lower()
    at = max(own.at if own else 0, began)
    if now - at > STALE:
        return HANGS, f"hangs: no sign of life since {said_second(at)}"
    if own is None or not own.ready:
        return "getting ready", "getting ready"
    return own.phase.value, said_of(own)


def _ended(name: str, last: Seen | None) -> StreamState:
    if last is None:
        return StreamState(name, "never started", said="never started")
    if last.status is _S.CANCELED and not last.stopped_by_us:
        why = f"`dccd stream resume {name}` lets it go on"
        return StreamState(name, BY_A_USER, why, last.id, last.ended, said=BY_A_USER)
    state = "stopped" if last.status is _S.CANCELED else "failed"
    return StreamState(name, state, last.stopped_by_us or last.failure, last.id, last.ended, said=state)


def as_builtins(streams: Sequence[StreamState], runs: Sequence[RunState]) -> dict[str, object]:
    """Return all of it as JSON has it, with the names that heartbeats leave out."""
    told = [msgspec.to_builtins(one) for one in streams]
    for one, state in zip(told, streams, strict=True):
        if state.beat:
            one["beat"]["datasets"] = [msgspec.structs.asdict(row) for row in state.beat.datasets]
    return {"streams": told, "runs": msgspec.to_builtins(runs)}


def run_states(instance: dg.DagsterInstance) -> list[RunState]:
    """Return the youngest runs, youngest first."""
    return [_run_state(instance, record) for record in instance.get_run_records(limit=_RUNS)]


def _run_state(instance: dg.DagsterInstance, record: dg.RunRecord) -> RunState:
    run = record.dagster_run
    failed = run.status is _S.FAILURE
    why = failure_of(instance, run.run_id) if failed else run.tags.get(REASON, "")
    started, ended = seconds(record.start_time), seconds(record.end_time)
    return RunState(run.run_id, run.job_name, run.status.value.lower(), started, ended, why)
