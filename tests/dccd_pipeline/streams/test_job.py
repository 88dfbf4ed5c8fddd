"""The run of a stream: how it begins, and above all how it ends."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import msgspec
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.lake.lake import LakeStore
from dccd_core.stream.api import Listener, StreamPlan
from dccd_core.tables import DataType
from dccd_pipeline.build import build_definitions, stream_digests, stream_orders
from dccd_pipeline.runs.patience import patiently
from dccd_pipeline.streams import job
from dccd_pipeline.streams.heartbeat import read_beats
from dccd_pipeline.streams.orders import Part, write_order, write_paused
from dccd_pipeline.tags import STOPPED, STREAM
from tests.dccd_core.lake.samples import DAY, trades
from tests.dccd_pipeline.held import TRADES, hold
from tests.dccd_pipeline.streamed import STREAM as MAJORS
from tests.dccd_pipeline.streamed import Act, FakeRecorder, settings_of

S = dg.DagsterRunStatus


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def ran(instance: dg.DagsterInstance, folder: Path, recorder: FakeRecorder) -> dg.RunRecord:
    """Run the stream to its end, and return the record of its run."""
    definitions = build_definitions(settings_of(folder), {"recorder": recorder})
    result = definitions.resolve_job_def("stream_majors").execute_in_process(
        instance=instance, raise_on_error=False
    )
    record = instance.get_run_record_by_id(result.run_id)
    assert record
    return record


def signalled(number: signal.Signals) -> Act:
    """Return what sends a signal to this process while it records."""

    def act(_plan: StreamPlan, _lake: LakeStore, _listener: Listener, _stop: asyncio.Event) -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)

    return act


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_cancels_and_says_that_no_user_did(
    instance: dg.DagsterInstance, tmp_path: Path, number: signal.Signals
) -> None:
    recorder = FakeRecorder(signalled(number), drain_s=0.01)
    run = ran(instance, tmp_path, recorder).dagster_run
    assert recorder.drained
    assert run.status is S.CANCELED
    assert run.tags[STREAM] == "majors"
    assert run.tags[STOPPED] == f"{run.run_id} its process was told to end ({number.name})"


def ended_elsewhere(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> Act:
    def act(_plan: StreamPlan, _lake: LakeStore, _listener: Listener, _stop: asyncio.Event) -> None:
        patiently(end, 60)

    def end() -> None:
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[S.STARTED]))
        if status is S.CANCELING:
            instance.report_run_canceling(run)
        else:
            instance.report_run_failed(run, "stale: no heartbeat")

    return act


@pytest.mark.parametrize(
    ("status", "after"), [(S.CANCELING, S.CANCELED), (S.FAILURE, S.FAILURE)], ids=["terminated", "given up"]
)
def test_a_run_that_was_ended_elsewhere_stops_without_a_tag(
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: dg.DagsterRunStatus,
    after: dg.DagsterRunStatus,
) -> None:
    monkeypatch.setattr(job, "_LOOK_EVERY_S", 0.01)
    recorder = FakeRecorder(ended_elsewhere(instance, status))
    run = ran(instance, tmp_path, recorder).dagster_run
    assert recorder.drained
    assert run.status is after
    assert STOPPED not in run.tags


def test_an_error_of_ours_is_the_line_of_the_failure(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    recorder = FakeRecorder(error=LakeError("the disk is full", hint="free some of it"))
    run = ran(instance, tmp_path, recorder).dagster_run
    assert run.status is S.FAILURE
    assert failure(instance, run.run_id) == "the disk is full -> free some of it"


def test_any_other_error_is_a_defect(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = ran(instance, tmp_path, FakeRecorder(error=KeyError("x"))).dagster_run
    assert run.status is S.FAILURE
    assert failure(instance, run.run_id) == "a defect of dccd, please report it: KeyError: 'x'"


def test_a_recorder_that_just_ends_is_a_failure(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = ran(instance, tmp_path, FakeRecorder(ends=True)).dagster_run
    assert run.status is S.FAILURE
    assert failure(instance, run.run_id).startswith("the recorder ended by itself")


def test_a_recorder_that_does_not_drain_is_cut_off(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_DRAIN_S", 0.01)
    recorder = FakeRecorder(signalled(signal.SIGTERM), drain_s=600)
    run = ran(instance, tmp_path, recorder).dagster_run
    assert run.status is S.CANCELED
    assert not recorder.drained
    said = [
        record.event_log_entry.user_message for record in instance.get_records_for_run(run.run_id).records
    ]
    assert "the recorder did not end within 0.01 s and was cut off" in said


ETH = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)


def test_what_was_paused_before_stays_paused(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    write_paused(instance, "majors", [Part("BTC/USDT")])
    recorder = FakeRecorder(until=0)
    ran(instance, tmp_path, recorder)
    assert recorder.begun == StreamPlan("majors", (TRADES,), paused=frozenset({TRADES}))


def test_what_is_paused_and_what_goes_on_reaches_the_recorder(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_LOOK_EVERY_S", 0.01)

    def act(_plan: StreamPlan, _lake: LakeStore, _listener: Listener, _stop: asyncio.Event) -> None:
        patiently(lambda: write_paused(instance, "majors", [Part()]), 60)

    recorder = FakeRecorder(act, until=1)
    ran(instance, tmp_path, recorder)
    assert recorder.begun == StreamPlan("majors", (TRADES,))
    assert recorder.taken == [StreamPlan("majors", (TRADES,), paused=frozenset({TRADES}))]


def test_an_order_changes_what_is_recorded_and_the_heartbeat_says_so(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(job, "_TELL_S", 60)
    changed = settings_of(tmp_path, MAJORS.replace("[BTC/USDT]", "[ETH/USDT]"))
    order = stream_orders(changed)["majors"]

    def act(_plan: StreamPlan, _lake: LakeStore, _listener: Listener, _stop: asyncio.Event) -> None:
        (run,) = patiently(instance.get_runs, 60)  # in memory it is locked while another thread writes
        given = msgspec.structs.replace(order, run_id=run.run_id)
        patiently(lambda: write_order(instance, "majors", given), 60)

    recorder = FakeRecorder(act, until=1)
    ran(instance, tmp_path, recorder)
    assert recorder.taken == [StreamPlan("majors", (ETH,))]
    assert read_beats(instance, ["majors"])["majors"].entry == order.digest


def test_an_order_for_another_run_or_for_what_takes_a_new_one_is_passed_over(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_LOOK_EVERY_S", 0.01)
    changed = settings_of(tmp_path, MAJORS.replace("[BTC/USDT]", "[ETH/USDT]"))
    order = stream_orders(changed)["majors"]

    def act(_plan: StreamPlan, _lake: LakeStore, _listener: Listener, _stop: asyncio.Event) -> None:
        (run,) = patiently(instance.get_runs, 60)
        given = msgspec.structs.replace(order, run_id=run.run_id, digest="a.b")
        patiently(lambda: write_order(instance, "majors", given), 60)
        patiently(lambda: write_paused(instance, "majors", [Part()]), 60)

    write_order(instance, "majors", msgspec.structs.replace(order, run_id="another"))
    recorder = FakeRecorder(act, until=1)
    ran(instance, tmp_path, recorder)
    assert recorder.taken == [StreamPlan("majors", (TRADES,), paused=frozenset({TRADES}))]


def test_the_heartbeat_says_which_settings_are_recorded(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = ran(instance, tmp_path, FakeRecorder(signalled(signal.SIGTERM))).dagster_run
    beat = read_beats(instance, ["majors"])["majors"]
    assert (beat.run_id, beat.pid) == (run.run_id, os.getpid())
    assert beat.entry == stream_digests(settings_of(tmp_path))["majors"]


def test_what_was_folded_last_is_materialised_in_the_run(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    def act(_plan: StreamPlan, lake: LakeStore, listener: Listener, stop: asyncio.Event) -> None:
        state = hold(lake, TRADES, DAY, trades([(n, str(n), 1.0) for n in range(3)]))
        listener.folded(TRADES, DAY, state, 3)
        signalled(signal.SIGTERM)(_plan, lake, listener, stop)

    run = ran(instance, tmp_path, FakeRecorder(act)).dagster_run
    event = instance.get_latest_materialization_event(dg.AssetKey(TRADES.parts))
    assert event is not None
    assert event.run_id == run.run_id
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == DAY
    rows = event.asset_materialization.metadata["dagster/partition_row_count"]
    assert rows == dg.IntMetadataValue(3)


def failure(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return what the failed step says of itself."""
    failed = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    event = failed[0].event_log_entry.dagster_event
    assert event is not None
    assert event.step_failure_data.user_failure_data is not None
    return str(event.step_failure_data.user_failure_data.description)
