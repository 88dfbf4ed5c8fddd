"""Looking at runs, and doing what was decided."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from dccd_core.domain.timespan import HOUR, MINUTE, Us, us
from dccd_core.net.clock import Clock, ManualClock, SystemClock
from dccd_pipeline.build import stream_digests, stream_orders
from dccd_pipeline.dagster_compat import CheckRunHealthResult, WorkerStatus
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.streams.job import stream_job
from dccd_pipeline.streams.orders import read_wishes
from dccd_pipeline.streams.sensor import failure_of, latest_run, look, stop, stream_supervisor
from dccd_pipeline.streams.supervisor import Stop
from dccd_pipeline.tags import REASON, STOPPED, STREAM
from tests.dccd_pipeline.streamed import STREAM as MAJORS
from tests.dccd_pipeline.streamed import settings_of

BOOKS = MAJORS.replace("[trades]", "[trades, orderbook]")
S = dg.DagsterRunStatus


@dg.op
def break_down() -> None:
    raise dg.Failure("the disk is full -> free some of it")


@dg.job(name="stream_majors", tags={STREAM: "majors"})
def streaming() -> None:
    break_down()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def begun(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, name: str = "majors") -> dg.DagsterRun:
    return instance.create_run_for_job(streaming, tags={STREAM: name}, status=status)


def tick(
    instance: dg.DagsterInstance,
    folder: Path,
    cursor: str | None = None,
    clock: Clock | None = None,
    streams: tuple[str, ...] = (),
) -> dg.SensorResult:
    settings = settings_of(folder, *streams)
    jobs = {entry.name: stream_job(entry, "digest") for entry in settings.stream}
    sensor = stream_supervisor(jobs, stream_orders(settings), clock)
    result = sensor(dg.build_sensor_context(instance, cursor))
    assert isinstance(result, dg.SensorResult)
    return result


def reason(result: dg.SensorResult) -> str:
    return (
        result.skip_reason.skip_message if isinstance(result.skip_reason, dg.SkipReason) else None
    ) or str(result.skip_reason)


def test_a_tick_starts_what_is_missing_and_says_why(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (request,) = list(tick(instance, tmp_path).run_requests or ())
    assert (request.job_name, request.run_key) == ("stream_majors", "majors after nothing")
    assert request.tags[STREAM] == "majors"
    assert request.tags[REASON] == "first start"


def test_a_tick_starts_again_what_failed_with_its_line(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    failed = streaming.execute_in_process(instance=instance, raise_on_error=False)
    clock = ManualClock(SystemClock().now())
    first = tick(instance, tmp_path, clock=clock)
    assert not first.run_requests
    assert "next try in" in reason(first)
    clock.set(Us(clock.now() + MINUTE))
    (request,) = list(tick(instance, tmp_path, first.cursor, clock).run_requests or ())
    assert request.run_key == f"majors after {failed.run_id}"
    line = f"its run {failed.run_id} failed: the disk is full -> free some of it"
    assert request.tags[REASON] == line


def test_a_tick_leaves_alone_what_records(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = begun(instance, S.STARTED)
    digest = stream_digests(settings_of(tmp_path))["majors"]
    write_beat(instance, "majors", beat_of(run.run_id, digest, SystemClock().now(), None))
    result = tick(instance, tmp_path)
    assert not result.run_requests
    assert reason(result) == "1 stream is running"


def test_a_tick_has_a_run_go_on_when_only_its_symbols_changed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = begun(instance, S.STARTED)
    before = stream_digests(settings_of(tmp_path, MAJORS.replace("BTC/USDT", "BTC/USDT, ETH/USDT")))["majors"]
    write_beat(instance, "majors", beat_of(run.run_id, before, SystemClock().now(), None))
    result = tick(instance, tmp_path)
    assert reason(result) == f"run {run.run_id}: goes on as majors is in dccd.yaml now"
    order = stream_orders(settings_of(tmp_path))["majors"]
    assert read_wishes(instance, "majors", run.run_id).order == msgspec.structs.replace(
        order, run_id=run.run_id
    )
    assert read_wishes(instance, "majors", "another run").order is None
    assert STOPPED not in tags_of(instance, run.run_id)


def test_a_tick_ends_a_run_that_cannot_go_on_as_it_is_wanted(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(instance, S.STARTED)
    before = stream_digests(settings_of(tmp_path, BOOKS.replace("orderbook]", "orderbook], depth: 20")))
    write_beat(instance, "majors", beat_of(run.run_id, before["majors"], SystemClock().now(), None))
    ended = list[str]()
    monkeypatch.setattr(instance.run_coordinator, "cancel_run", ended.append)
    tick(instance, tmp_path, streams=(BOOKS,))
    assert ended == [run.run_id]
    assert tags_of(instance, run.run_id)[STOPPED] == f"{run.run_id} its settings in dccd.yaml changed"


def test_a_tick_ends_what_left_the_configuration(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(instance, S.STARTED, "gone")
    ended = list[str]()
    monkeypatch.setattr(instance.run_coordinator, "cancel_run", ended.append)
    result = tick(instance, tmp_path)
    assert ended == [run.run_id]
    tags = tags_of(instance, run.run_id)
    assert tags[STOPPED] == f"{run.run_id} it is not in dccd.yaml any more"
    assert [request.tags[STREAM] for request in result.run_requests or ()] == ["majors"]


def tags_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def test_without_streams_a_tick_has_nothing_to_do(instance: dg.DagsterInstance) -> None:
    sensor = stream_supervisor({}, {})
    result = sensor(dg.build_sensor_context(instance))
    assert isinstance(result, dg.SensorResult)
    assert reason(result) == "0 streams are running"


def test_looking_finds_what_runs_waits_and_ran_last(instance: dg.DagsterInstance) -> None:
    started, queued = begun(instance, S.STARTED), begun(instance, S.NOT_STARTED)
    removed, canceled = begun(instance, S.NOT_STARTED, "removed"), begun(instance, S.CANCELED, "ended")
    begun(instance, S.NOT_STARTED, "unknown")
    begun(instance, S.CANCELED, "ended")
    latest = latest_run(instance, "ended")
    assert latest is not None
    assert latest.id != canceled.run_id
    sight = look(instance, {"majors": "x", "ended": "y", "new": "z"}, ["removed"], ManualClock(Us(0)))
    assert {run.id for run in sight.active} == {started.run_id, queued.run_id, removed.run_id}
    assert sight.latest == {"ended": latest}


def test_times_of_runs_are_exact_to_the_microsecond(instance: dg.DagsterInstance) -> None:
    result = streaming.execute_in_process(instance=instance, raise_on_error=False)
    record = instance.get_run_record_by_id(result.run_id)
    run = latest_run(instance, "majors")
    assert run is not None
    assert record is not None
    assert run.created == us(record.create_timestamp)
    assert run.started is not None
    assert run.ended is not None
    assert run.created - HOUR < run.started <= run.ended < run.created + HOUR


def test_a_process_that_died_is_the_reason(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    killed = (
        "Run execution process for 1 was terminated by signal 9 (SIGKILL). This usually indicates memory."
    )
    instance.report_engine_event(killed, run)
    instance.report_run_failed(run)
    said = failure_of(instance, run.run_id)
    assert said.startswith("its process died: ")
    assert said.endswith("was terminated by signal 9 (SIGKILL)")


def test_a_process_that_the_launcher_missed_is_the_reason_too(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    found = CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process (pid 12) died")
    instance.report_run_failed(
        run, f"Detected run worker status {found}. Marking run {run.run_id} as failed."
    )
    assert failure_of(instance, run.run_id) == "its process died: pid 12 is gone"


def test_a_run_marked_failed_has_the_reason_it_was_given(instance: dg.DagsterInstance) -> None:
    run = begun(instance, S.STARTED)
    instance.report_run_failed(run, "stale: no heartbeat")
    assert failure_of(instance, run.run_id) == f"its run {run.run_id} failed: stale: no heartbeat"


@pytest.mark.parametrize(
    ("lost", "heard", "after"),
    [(False, True, S.STARTED), (True, True, S.STARTED), (False, False, S.STARTED), (True, False, S.FAILURE)],
)
def test_only_what_is_lost_and_does_not_hear_is_marked_failed(
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lost: bool,
    heard: bool,
    after: dg.DagsterRunStatus,
) -> None:
    def cancel(run_id: str) -> bool:
        assert tags_of(instance, run_id)[STOPPED] == f"{run_id} why"  # before it ends, or a user did it
        if not heard:
            raise ConnectionError
        return True

    run = begun(instance, S.STARTED)
    monkeypatch.setattr(instance.run_coordinator, "cancel_run", cancel)
    stop(instance, Stop(run.run_id, "why", lost=lost))
    now = instance.get_run_by_id(run.run_id)
    assert now is not None
    assert now.status is after
