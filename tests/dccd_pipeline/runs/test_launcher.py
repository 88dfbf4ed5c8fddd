"""Whether the process of a run is still there."""

import os
import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from msgspec.structs import replace

from dccd_pipeline.dagster_compat import WorkerStatus
from dccd_pipeline.runs.launcher import WatchfulRunLauncher
from dccd_pipeline.runs.processes import Process

HERE = {".dagster/grpc_info": '{"host": "localhost", "socket": "/run/code"}'}
THERE = {".dagster/grpc_info": '{"host": "code.example.org", "port": 4000}'}


@dg.job
def collecting() -> None: ...


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> WatchfulRunLauncher:
    made = WatchfulRunLauncher()
    made.register_instance(instance)
    return made


def begun(instance: dg.DagsterInstance, pid: int | None, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    status = dg.DagsterRunStatus.STARTED
    run = instance.create_run_for_job(collecting, tags=HERE if tags is None else tags, status=status)
    if pid is not None:
        instance.report_engine_event("Started process", run, EngineEventData.in_process(pid))
    return run


@pytest.fixture
def dead() -> int:
    """Return the number that a process had."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_it_can_tell(launcher: WatchfulRunLauncher) -> None:
    assert launcher.supports_check_run_worker_health


def test_a_process_that_is_there_runs(launcher: WatchfulRunLauncher, instance: dg.DagsterInstance) -> None:
    found = launcher.check_run_worker_health(begun(instance, os.getpid()))
    assert found.status is WorkerStatus.RUNNING


def test_a_process_that_is_gone_died(
    launcher: WatchfulRunLauncher, instance: dg.DagsterInstance, dead: int
) -> None:
    found = launcher.check_run_worker_health(begun(instance, dead))
    assert (found.status, found.msg) == (WorkerStatus.NOT_FOUND, f"its process (pid {dead}) died")


def test_a_process_nobody_waited_for_died_too(
    launcher: WatchfulRunLauncher, instance: dg.DagsterInstance
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    found = launcher.check_run_worker_health(begun(instance, process.pid))
    process.stdout.close()
    process.wait()
    assert found.status is WorkerStatus.NOT_FOUND


def test_a_younger_process_of_the_same_number_is_another(
    launcher: WatchfulRunLauncher, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(instance, os.getpid())
    monkeypatch.setattr("dccd_pipeline.runs.launcher._SLACK_S", -1e9)
    assert launcher.check_run_worker_health(run).status is WorkerStatus.NOT_FOUND


@pytest.mark.parametrize("tags", [{}, THERE], ids=["launched by nobody", "on another machine"])
def test_of_others_nobody_can_tell(
    launcher: WatchfulRunLauncher, instance: dg.DagsterInstance, dead: int, tags: dict[str, str]
) -> None:
    found = launcher.check_run_worker_health(begun(instance, dead, tags))
    assert found.status is WorkerStatus.RUNNING


def test_a_run_that_has_not_said_its_process_is_let_be(
    launcher: WatchfulRunLauncher, instance: dg.DagsterInstance
) -> None:
    assert launcher.check_run_worker_health(begun(instance, None)).status is WorkerStatus.RUNNING


def test_a_run_that_nobody_launched_says_itself_which_process_it_is(
    launcher: WatchfulRunLauncher, instance: dg.DagsterInstance, dead: int
) -> None:
    def tagged(process: Process, of: str = "") -> dg.DagsterRun:
        run = begun(instance, None, {})
        instance.add_run_tags(run.run_id, process.tag(of or run.run_id))
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        return found

    gone = replace(Process.this(), pid=dead)
    assert launcher.check_run_worker_health(tagged(Process.this())).status is WorkerStatus.RUNNING
    found = launcher.check_run_worker_health(tagged(gone))
    assert (found.status, found.msg) == (WorkerStatus.NOT_FOUND, f"its process (pid {dead}) died")
    again = tagged(gone, of="the run that it repeats")
    assert launcher.check_run_worker_health(again).status is WorkerStatus.RUNNING
