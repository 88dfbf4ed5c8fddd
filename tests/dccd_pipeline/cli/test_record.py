"""``dccd stream``: in a terminal, and recorded like any other run."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from msgspec.structs import replace

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.stream.api import Listener, StreamPlan
from dccd_pipeline.cli import record
from dccd_pipeline.cli.record import record_here, refuse_second
from dccd_pipeline.config.read import load_settings
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.tags import STOPPED, STREAM
from tests.dccd_core.lake.samples import DAY, trades
from tests.dccd_pipeline.held import TRADES, hold
from tests.dccd_pipeline.streamed import STREAM as MAJORS
from tests.dccd_pipeline.streamed import FakeRecorder, health, settings_of

ROOT = Path(__file__).parents[3]
S = dg.DagsterRunStatus
BOOKS = MAJORS.replace("[trades]", "[orderbook]")
MINORS = MAJORS.replace("majors", "minors").replace("BTC", "ETH")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_ctrl_c_ends_it_well_and_the_daemon_may_take_over(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(plan: StreamPlan, lake: LakeStore, listener: Listener, _stop: asyncio.Event) -> None:
        listener.note("connected", wrong=False)
        state = hold(lake, TRADES, DAY, trades([(n, str(n), 1.0) for n in range(3)]))
        listener.folded(TRADES, DAY, state, 2)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)

    monkeypatch.setattr(record, "record_live", FakeRecorder(act))
    said = list[str]()
    assert record_here(settings_of(tmp_path), "majors", instance, said.append) == ""
    assert said == [
        "majors: recording, 1 of 1 datasets, 2 messages/s, 7 messages, 2 reconnects",
        "majors: connected",
        f"majors: {TRADES} {DAY}: 2 rows recorded, 3 in all",
    ]
    (run,) = instance.get_runs()
    assert (run.status, run.tags[STREAM]) == (S.CANCELED, "majors")
    assert run.tags[STOPPED] == f"{run.run_id} its process was told to end (SIGINT)"
    assert instance.get_materialized_partitions(dg.AssetKey(TRADES.parts)) == {DAY}


def test_a_failure_is_returned(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "record_live", FakeRecorder(error=LakeError("the disk is full")))
    failure = record_here(settings_of(tmp_path), "majors", instance, print)
    assert failure.endswith("failed: the disk is full")


@dg.job
def streaming() -> None: ...


def begun(instance: dg.DagsterInstance, **beat: object) -> dg.DagsterRun:
    """Return a run that records, with its sign of life."""
    run = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=S.STARTED)
    now = SystemClock().now()
    told = health(StreamPlan("majors", (TRADES,)), now)
    write_beat(instance, "majors", replace(beat_of(run.run_id, "digest", now, told), **beat))
    return run


def test_what_is_recorded_already_is_refused_at_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = begun(instance)
    with pytest.raises(ConfigError, match=rf"run {run.run_id} records majors already \(recording\)"):
        record_here(settings_of(tmp_path), "majors", instance, print)


def test_a_run_without_a_sign_of_life_is_given_up(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(instance)
    monkeypatch.setattr("dccd_pipeline.streams.status.STALE", -1)  # so it hangs, whatever the time
    monkeypatch.setattr(record, "record_live", FakeRecorder(ends=True))
    assert "ended by itself" in record_here(settings_of(tmp_path), "majors", instance, print)
    given_up = instance.get_run_by_id(run.run_id)
    assert given_up is not None
    assert given_up.status is S.FAILURE


def test_a_run_that_ends_is_waited_for(instance: dg.DagsterInstance) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as keeper:
        keeper.wait()
    run = begun(instance, keeper=keeper.pid)
    said = list[str]()

    def say(line: str) -> None:
        said.append(line)
        instance.report_run_canceled(run)

    refuse_second(instance, "majors", say, look_s=0)
    assert said == [f"majors: waits for run {run.run_id} to end"]


def test_a_run_that_does_not_end_is_not_waited_for_for_ever(instance: dg.DagsterInstance) -> None:
    instance.report_run_canceling(begun(instance))
    with pytest.raises(ConfigError, match=r"records majors already \(draining\)"):
        refuse_second(instance, "majors", print, look_s=1e-3, patience_s=2e-3)


def test_other_settings_are_recorded_anew_in_this_process(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dccd_pipeline.cli.config_watch._LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("dccd_pipeline.streams.job._LOOK_EVERY_S", 0.01)
    file, text = tmp_path / "dccd.yaml", f"stream: [{BOOKS}]"
    file.write_text(text)
    plans = list[StreamPlan]()

    def act(plan: StreamPlan, _lake: LakeStore, _listener: Listener, _stop: asyncio.Event) -> None:
        plans.append(plan)
        if len(plans) == 1:
            file.write_text(text.replace("]}", "], depth: 20}"))
        else:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)

    monkeypatch.setattr(record, "record_live", FakeRecorder(act))
    assert record_here(load_settings(file), "majors", instance, print) == ""
    assert [plan.depth for plan in plans] == [50, 20]
    young, old = (run.tags[STOPPED].partition(" ")[2] for run in instance.get_runs())
    assert (old, young) == ("its settings in dccd.yaml changed", "its process was told to end (SIGINT)")
