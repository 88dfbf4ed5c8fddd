"""What ``dccd status`` finds in the instance's storage."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from msgspec.structs import replace

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.net.clock import ManualClock, SystemClock
from dccd_core.stream.api import Phase, StreamPlan
from dccd_pipeline.runs.processes import Process
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.streams.orders import Part, write_paused
from dccd_pipeline.streams.status import StreamState, run_states, stream_states
from dccd_pipeline.streams.supervisor import STALE
from dccd_pipeline.tags import REASON, STOPPED, STREAM
from tests.dccd_pipeline.held import TRADES
from tests.dccd_pipeline.streamed import health

S = dg.DagsterRunStatus
WANTED = {"majors": "digest"}
PLAN = StreamPlan("majors", (TRADES,))


@dg.op
def break_down() -> None:
    raise dg.Failure("the disk is full")


@dg.job(name="stream_majors", tags={STREAM: "majors"})
def streaming() -> None:
    break_down()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def begun(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, name: str = "majors", **tags: str
) -> dg.DagsterRun:
    return instance.create_run_for_job(streaming, tags={STREAM: name, **tags}, status=status)


def dead() -> int:
    """Return the number that a process had."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    return process.pid


def state(instance: dg.DagsterInstance, later: int = 0) -> StreamState:
    (one,) = stream_states(instance, WANTED, ManualClock(Us(SystemClock().now() + later)))
    return one


def test_what_never_ran_says_so(instance: dg.DagsterInstance) -> None:
    assert state(instance) == StreamState("majors", "never started", said="never started")


def test_a_run_gets_ready_then_records_then_may_fall_silent(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED, **{REASON: "first start"})
    assert (state(instance).state, state(instance).why) == ("getting ready", "first start")
    beat = beat_of(run.run_id, "digest", Us(0), health(PLAN, SystemClock().now()))
    write_beat(instance, "majors", beat)
    found = state(instance)
    assert (found.state, found.run_id, found.beat) == ("recording", run.run_id, beat)
    late = state(instance, STALE + SECOND)
    assert late.state == "hangs"
    assert late.said.startswith("hangs: no sign of life since 20")


@pytest.mark.parametrize(
    ("phase", "known", "said"),
    [
        (Phase.CONNECTING, {}, "connecting"),
        (Phase.CONNECTING, {"tries": 21, "why": "refused"}, "connecting (21 tries: refused)"),
        (Phase.SILENT, {}, "silent"),
        (Phase.PAUSED, {}, "paused"),
        (Phase.DRAINING, {}, "draining"),
    ],
)
def test_a_run_is_what_its_recorder_says(
    instance: dg.DagsterInstance, phase: Phase, known: dict[str, Any], said: str
) -> None:
    run = begun(instance, S.STARTED)
    told = health(PLAN, SystemClock().now(), phase, **known)
    write_beat(instance, "majors", beat_of(run.run_id, "digest", Us(0), told))
    assert (state(instance).state, state(instance).said) == (phase.value, said)


def test_a_run_whose_process_died_is_gone_at_once(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    beat = beat_of(run.run_id, "digest", Us(0), health(PLAN, SystemClock().now()))
    write_beat(instance, "majors", replace(beat, pid=(pid := dead())))
    assert (state(instance).state, state(instance).said) == ("gone", f"gone: its process, pid {pid}, died")
    write_beat(instance, "majors", replace(beat, pid=pid, host="elsewhere"))
    assert state(instance).state == "recording"


def test_a_run_that_has_not_said_anything_yet_may_be_gone_by_its_tag(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    instance.add_run_tags(run.run_id, replace(Process.this(), pid=dead()).tag(run.run_id))
    assert state(instance).state == "gone"
    instance.add_run_tags(run.run_id, replace(Process.this(), pid=dead()).tag("the run it was copied from"))
    assert state(instance).state == "getting ready"


def test_a_run_that_ends_is_draining(instance: dg.DagsterInstance) -> None:
    begun(instance, S.CANCELING)
    assert (state(instance).state, state(instance).ending) == ("draining", True)


def test_an_orphan_is_about_to_end(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    beat = beat_of(run.run_id, "digest", Us(0), health(PLAN, SystemClock().now()))
    write_beat(instance, "majors", replace(beat, keeper=os.getpid()))
    assert not state(instance).ending
    write_beat(instance, "majors", replace(beat, keeper=dead()))
    assert state(instance).ending


def test_what_is_paused_is_said_whether_it_runs_or_not(instance: dg.DagsterInstance) -> None:
    write_paused(instance, "majors", [Part("BTC/USDT", "trades"), Part("ETH/USDT")])
    assert state(instance).paused == ("BTC/USDT trades", "ETH/USDT")
    begun(instance, S.STARTED)
    assert state(instance).paused == ("BTC/USDT trades", "ETH/USDT")


def test_the_beat_of_an_older_run_is_not_shown(instance: dg.DagsterInstance) -> None:
    write_beat(instance, "majors", beat_of("before", "digest", SystemClock().now(), None))
    begun(instance, S.STARTED)
    assert state(instance).beat is None
    assert state(instance).why == "a user started it"


def test_of_two_runs_the_one_that_began_is_shown(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    begun(instance, S.STARTING)
    assert state(instance).run_id == run.run_id


def test_what_waits_says_for_what(instance: dg.DagsterInstance) -> None:
    begun(instance, S.STARTING)
    assert state(instance).state == "starting"


def test_what_ended_says_why(instance: dg.DagsterInstance) -> None:
    result = streaming.execute_in_process(instance=instance, raise_on_error=False)
    found = state(instance)
    assert (found.state, found.why) == ("failed", f"its run {result.run_id} failed: the disk is full")
    begun(instance, S.CANCELED)
    assert state(instance).state == "stopped by a user"
    ours = begun(instance, S.CANCELED)
    instance.add_run_tags(ours.run_id, {STOPPED: f"{ours.run_id} its settings in dccd.yaml changed"})
    found = state(instance)
    assert (found.state, found.why) == ("stopped", "its settings in dccd.yaml changed")


def test_what_runs_without_being_configured_is_there_too(instance: dg.DagsterInstance) -> None:
    begun(instance, S.STARTED, "gone")
    states = stream_states(instance, WANTED, SystemClock())
    assert [(one.name, one.state) for one in states] == [
        ("gone", "getting ready"),
        ("majors", "never started"),
    ]


def test_runs_are_the_youngest_first_each_with_its_reason(instance: dg.DagsterInstance) -> None:
    failed = streaming.execute_in_process(instance=instance, raise_on_error=False)
    started = begun(instance, S.STARTED, **{REASON: "first start"})
    young, old = run_states(instance)
    assert (young.run_id, young.status, young.why) == (started.run_id, "started", "first start")
    assert (old.job, old.status) == ("stream_majors", "failure")
    assert old.why == f"its run {failed.run_id} failed: the disk is full"
    assert old.started is not None
    assert old.ended is not None
    assert old.started <= old.ended
    for _ in range(25):
        begun(instance, S.CANCELED)
    assert len(run_states(instance)) == 20
