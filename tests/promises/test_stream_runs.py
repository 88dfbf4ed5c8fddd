"""What was said of streams, and was not so: a test for each row of the list of faults."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError

from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.stream.api import Listener, StreamHealth
from dccd_pipeline.build import build_definitions
from dccd_pipeline.cli import record
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.main import main
from dccd_pipeline.cli.record import record_here
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.tags import STOPPED, STREAM
from tests.dccd_core.lake.samples import DAY, trades
from tests.dccd_pipeline.held import TRADES, hold
from tests.dccd_pipeline.streamed import settings_of

S = dg.DagsterRunStatus
LOCKED = OperationalError("update", {}, Exception("database is locked"))
CONFIG = "stream: [{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}]\n"
Act = Callable[[LakeStore, Listener], None]


class Recorder:
    """Does ``act``, and has its process told to end."""

    def __init__(self, act: Act = lambda _lake, _listener: None) -> None:
        self.act = act

    async def __call__(
        self, _plan: Any, _venue: Any, _connect: Any, lake: LakeStore, stop: Any, listener: Listener, **_: Any
    ) -> None:
        self.act(lake, listener)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        await stop.wait()


@dg.job(name="stream_majors")
def streaming() -> None: ...


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Stand in a folder with a stream and an instance of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    (tmp_path / "dccd.yaml").write_text(CONFIG)
    with open_instance() as instance:
        yield instance


def begun(instance: dg.DagsterInstance) -> str:
    return instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=S.STARTED).run_id


def ran(instance: dg.DagsterInstance, folder: Path, act: Act) -> dg.DagsterRun:
    definitions = build_definitions(settings_of(folder), {"recorder": Recorder(act)})
    job = definitions.resolve_job_def("stream_majors")
    run = instance.get_run_by_id(job.execute_in_process(instance=instance, raise_on_error=False).run_id)
    assert run is not None
    return run


def status(*options: str) -> str:
    result = CliRunner().invoke(main, ["status", *options])
    assert result.exit_code in (0, 1), result.output  # whether all is well is not asked here
    return result.stdout


def test_l11_after_kill_9_a_stream_can_be_recorded_again_at_once(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as killed:
        killed.wait()
    before = begun(instance)
    now = SystemClock().now()
    health = StreamHealth(now, now, 1, 0, 1.0, 1, 0, ())
    write_beat(instance, "majors", replace(beat_of(before, "digest", now, health), pid=killed.pid))
    monkeypatch.setattr(record, "record_live", Recorder())
    assert record_here(settings_of(tmp_path), "majors", instance, print) == ""
    runs = {run.run_id: run.status for run in instance.get_runs()}
    assert runs.pop(before) is S.FAILURE
    assert list(runs.values()) == [S.CANCELED]


def test_l14_a_locked_database_costs_no_materialisation(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = instance.event_log_storage
    store, failures = storage.store_event, list[str]()

    def locked_once(event: dg.EventLogEntry) -> None:
        dagster_event = event.dagster_event
        if dagster_event and dagster_event.is_step_materialization and not failures:
            failures.append(dagster_event.message or "")
            raise LOCKED
        store(event)

    def act(lake: LakeStore, listener: Listener) -> None:
        state = hold(lake, TRADES, DAY, trades([(n, str(n), 1.0) for n in range(3)]))
        listener.folded(TRADES, DAY, state, 3)

    monkeypatch.setattr(storage, "store_event", locked_once)
    assert ran(instance, tmp_path, act).status is S.CANCELED
    assert failures
    assert instance.get_materialized_partitions(dg.AssetKey(TRADES.parts)) == {DAY}


def test_l14_a_locked_database_at_its_end_is_no_failure_of_the_stream(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag, failures = instance.add_run_tags, list[str]()

    def locked_once(run_id: str, tags: Any) -> None:
        if not failures:
            failures.append(run_id)
            raise LOCKED
        tag(run_id, tags)

    monkeypatch.setattr(instance, "add_run_tags", locked_once)
    run = ran(instance, tmp_path, lambda _lake, _listener: None)
    assert failures == [run.run_id]
    assert run.status is S.CANCELED
    assert run.tags[STOPPED] == f"{run.run_id} its process was told to end (SIGTERM)"


def test_l15_a_stream_that_never_connected_is_not_called_recording(home: dg.DagsterInstance) -> None:
    now = SystemClock().now()
    nothing = StreamHealth(now, now, connections=0, reconnects=0, rate=0.0, messages=0, bad=0, datasets=())
    write_beat(home, "majors", beat_of(begun(home), "digest", now, nothing))
    (stream,) = json.loads(status("--json"))["streams"]
    assert stream["state"] == "connecting"


def test_d8_what_is_read_meanwhile_is_not_of_the_future(
    home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, run_id = dg.DagsterInstance.get_run_records, begun(home)

    def while_another_writes(self: dg.DagsterInstance, *args: Any, **known: Any) -> Any:
        now = SystemClock().now()
        write_beat(
            home, "majors", beat_of(run_id, "digest", now, StreamHealth(now, now, 1, 0, 1.0, 1, 0, ()))
        )
        home.create_run_for_job(streaming, status=S.STARTED)
        return read(self, *args, **known)

    monkeypatch.setattr(dg.DagsterInstance, "get_run_records", while_another_writes)
    said = status()
    assert "-1 s ago" not in said
    assert "s ago" in said
    assert "-1 day" not in said
