"""``dccd stream``: in a terminal, and recorded like any other run."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.lake.lake import Lake
from dccd_core.stream.plan import Listener, StreamPlan
from dccd_pipeline import foreground
from dccd_pipeline.foreground import chosen, record_all, record_here
from dccd_pipeline.settings import Settings
from dccd_pipeline.supervisor import STOPPED, STREAM
from tests.dccd_core.lake.samples import DAY, trades
from tests.dccd_pipeline.held import TRADES, hold
from tests.dccd_pipeline.streamed import STREAM as MAJORS
from tests.dccd_pipeline.streamed import FakeRecorder, settings_of

S = dg.DagsterRunStatus
MINORS = MAJORS.replace("majors", "minors").replace("BTC", "ETH")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_without_names_all_are_meant(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, MAJORS, MINORS)
    assert chosen(settings, []) == ["majors", "minors"]
    assert chosen(settings, ["minors", "minors"]) == ["minors"]
    with pytest.raises(ConfigError, match="there is no stream major -> configured: majors, minors"):
        chosen(settings, ["majors", "major"])
    with pytest.raises(ConfigError, match="no stream is configured"):
        chosen(Settings(), [])


def test_ctrl_c_ends_it_well_and_the_daemon_may_take_over(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(plan: StreamPlan, lake: Lake, listener: Listener, _stop: asyncio.Event) -> None:
        listener.note("connected", wrong=False)
        state = hold(lake, TRADES, DAY, trades([(n, str(n), 1.0) for n in range(3)]))
        listener.folded(TRADES, DAY, state, 2)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)

    monkeypatch.setattr(foreground, "record_live", FakeRecorder(act))
    said = list[str]()
    assert record_here(settings_of(tmp_path), "majors", instance, said.append) == ""
    assert said == [
        "majors: 1 of 1 datasets, 2 messages/s, 7 messages, 2 reconnects",
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
    monkeypatch.setattr(foreground, "record_live", FakeRecorder(error=LakeError("the disk is full")))
    failure = record_here(settings_of(tmp_path), "majors", instance, print)
    assert failure.endswith("failed: the disk is full")


def test_what_is_recorded_already_is_refused(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.job
    def streaming() -> None: ...

    run = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=S.STARTED)
    with pytest.raises(ConfigError, match=f"run {run.run_id} records majors already"):
        record_here(settings_of(tmp_path), "majors", instance, print)

    monkeypatch.setattr("dccd_pipeline.status.STALE", -1)  # so it is silent, whatever the time
    monkeypatch.setattr(foreground, "record_live", FakeRecorder(ends=True))
    assert "ended by itself" in record_here(settings_of(tmp_path), "majors", instance, print)
    given_up = instance.get_run_by_id(run.run_id)
    assert given_up is not None
    assert given_up.status is S.FAILURE


def test_several_are_a_process_each_and_the_worst_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "dccd_pipeline" / "__main__.py"
    script.parent.mkdir()
    script.with_name("__init__.py").touch()
    script.write_text("import sys; sys.exit({'majors': 0, 'minors': 1}[sys.argv[-1]])")
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert record_all(["majors"]) == 0
    assert record_all(["majors", "minors"]) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_is_passed_on_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "dccd_pipeline" / "__main__.py"
    script.parent.mkdir()
    script.with_name("__init__.py").touch()
    script.write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "if sys.argv[-1] == 'first': os.kill(os.getppid(), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert record_all(["first"]) == 0
