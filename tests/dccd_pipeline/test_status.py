"""What ``dccd status`` finds in the instance's storage."""

from collections.abc import Iterator

import dagster as dg
import pytest

from dccd_core.domain.timespan import SECOND, Ns
from dccd_core.net.clock import SystemClock
from dccd_core.stream.plan import StreamPlan
from dccd_pipeline.heartbeat import beat_of, write_beat
from dccd_pipeline.status import StreamState, run_states, stream_states
from dccd_pipeline.supervisor import REASON, STALE, STOPPED, STREAM
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


def state(instance: dg.DagsterInstance, later: int = 0) -> StreamState:
    (one,) = stream_states(instance, WANTED, Ns(SystemClock().now() + later))
    return one


def test_what_never_ran_says_so(instance: dg.DagsterInstance) -> None:
    assert state(instance) == StreamState("majors", "never started")


def test_a_run_gets_ready_then_records_then_may_fall_silent(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED, **{REASON: "first start"})
    assert (state(instance).state, state(instance).why) == ("getting ready", "first start")
    beat = beat_of(run.run_id, "digest", Ns(0), health(PLAN, SystemClock().now()))
    write_beat(instance, "majors", beat)
    found = state(instance)
    assert (found.state, found.run_id, found.beat) == ("recording", run.run_id, beat)
    assert state(instance, STALE + SECOND).state == "silent"


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
    states = stream_states(instance, WANTED, SystemClock().now())
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
