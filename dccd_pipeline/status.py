"""What ``dccd status`` says: recent runs, and how each stream is, all from the instance's storage.

Belongs here: from runs and heartbeats to a word and a reason. Does not: printing (show.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.timespan import Ns
from dccd_pipeline.heartbeat import Beat
from dccd_pipeline.stream_sensor import failure_of, look, seconds
from dccd_pipeline.supervisor import REASON, STALE, STREAM, Seen, Sight

_S = dg.DagsterRunStatus
_RUNS: Final = 20


@dataclass(frozen=True, slots=True)
class StreamState:
    """How a stream is. ``why``: why its run was started, or why there is none."""

    name: str
    state: str
    why: str = ""
    run_id: str | None = None
    since: Ns | None = None
    beat: Beat | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """What became of a run."""

    run_id: str
    job: str
    status: str
    started: Ns | None
    ended: Ns | None
    why: str


def stream_states(instance: dg.DagsterInstance, wanted: Mapping[str, str], now: Ns) -> list[StreamState]:
    """Return how each of the streams is that are configured or run; ``wanted`` as in the supervisor."""
    sight = look(instance, wanted, (), now)
    running: dict[str, Seen] = {}
    for run in sight.active:
        one = running.setdefault(run.tags[STREAM], run)
        if run.status is _S.STARTED and one.status is not _S.STARTED:
            running[run.tags[STREAM]] = run
    names = sorted({*wanted, *running})
    return [
        _running(name, running[name], sight) if name in running else _ended(name, sight.latest.get(name))
        for name in names
    ]


def _running(name: str, run: Seen, sight: Sight) -> StreamState:
    beat = sight.beats.get(name)
    own = beat if beat and beat.run_id == run.id else None
    began = run.started or run.created
    if run.status is not _S.STARTED:
        state = run.status.value.lower()
    elif sight.now - max(own.at if own else 0, began) > STALE:
        state = "silent"
    elif own is None or not own.ready:
        state = "getting ready"
    else:
        state = "recording"
    return StreamState(name, state, run.tags.get(REASON, "a user started it"), run.id, began, own)


def _ended(name: str, last: Seen | None) -> StreamState:
    if last is None:
        return StreamState(name, "never started")
    if last.status is _S.CANCELED and not last.stopped_by_us:
        return StreamState(name, "stopped by a user", "launch its job to go on", last.id, last.ended)
    why = last.stopped_by_us or last.failure
    return StreamState(name, "stopped" if last.status is _S.CANCELED else "failed", why, last.id, last.ended)


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
