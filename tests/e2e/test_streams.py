"""A stream under a webserver and a daemon: it starts, comes back, stays stopped when told to, and goes."""

import os
import signal
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from dccd_core.stream.api import Phase
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.runs.processes import is_there
from dccd_pipeline.streams.heartbeat import Beat, read_beats
from tests.e2e.project import Project, Web, awaited, ended, free_port, logged

pytestmark = pytest.mark.e2e
MODULE = "dccd_pipeline.definitions"
LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": MODULE}
STREAM = "{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}"
RUNS = """
{ runsOrError(filter: {tags: [{key: "dccd/stream", value: "majors"}]}) { ... on Runs { results {
  runId status tags { key value } } } } }
"""
TICKS = """
query($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) { ... on Sensor {
  sensorState { ticks(limit: 5) { timestamp status skipReason } } } } }
"""
TERMINATE = """
mutation($run: String!) { terminateRun(runId: $run) { __typename } }
"""
LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RELOAD = """
mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  ... on WorkspaceLocationEntry { loadStatus } } }
"""


def test_the_life_of_a_stream(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project = streaming(sandbox, tmp_path)
    config = project.folder / "dccd.yaml"
    with dagster_dev(project) as web:
        first = recording(project, web)
        assert tags(web, first.run_id)["dccd/reason"] == "first start"

        os.kill(first.pid, signal.SIGKILL)
        second = recording(project, web, besides=first.run_id)
        assert statuses(web)[first.run_id] == "FAILURE"
        # Dagster's code server and its monitoring look for it in turns; who is first is a matter of load
        why = tags(web, second.run_id)["dccd/reason"].removeprefix("its process died: ")
        assert why == f"pid {first.pid} is gone" or why.endswith("was terminated by signal 9 (SIGKILL)")

        assert web.ask(TERMINATE, run=second.run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
        assert awaited(lambda: ended_as(web, second.run_id)) == "CANCELED"
        ticks = skipped(web, f"a user stopped it (run {second.run_id})", times=2)
        assert ticks == 2
        assert list(statuses(web)) == [second.run_id, first.run_id]

        job = {**LOCATION, "jobName": "stream_majors"}
        launched = web.ask(LAUNCH, params={"selector": job})["launchRun"]
        third = recording(project, web, besides=second.run_id)
        assert third.run_id == launched["run"]["runId"]

        config.write_text(config.read_text().partition("stream:")[0])
        assert web.ask(RELOAD, name=MODULE)["reloadRepositoryLocation"] == {"loadStatus": "LOADED"}
        assert awaited(lambda: ended_as(web, third.run_id)) == "CANCELED"
        stopped = tags(web, third.run_id)["dccd/stopped"]
        assert stopped == f"{third.run_id} it is not in dccd.yaml any more"


@pytest.fixture
def busy() -> Iterator[RunningSandbox]:
    """A sandbox of markets that are never quiet for long."""
    with running_sandbox(trades_per_day=dict.fromkeys(("BTC/USDT", "ETH/USDT", "SOL/USDT"), 432_000)) as one:
        yield one


def test_a_stream_changes_while_it_runs(busy: RunningSandbox, tmp_path: Path) -> None:
    project = streaming(busy, tmp_path, STREAM.replace("BTC/USDT", "BTC/USDT, ETH/USDT"))
    config = project.folder / "dccd.yaml"
    with dagster_dev(project) as web:
        first = recording(project, web)
        awaited(lambda: phases(project, first, Phase.RECORDING, Phase.RECORDING))

        said = project.dccd("stream", "pause", "majors", "eth-usdt")
        assert said.stdout == "majors: ETH/USDT is paused, until dccd stream resume majors ETH/USDT\n", (
            said.stderr
        )
        paused = awaited(lambda: phases(project, first, Phase.RECORDING, Phase.PAUSED))
        awaited(lambda: grown(project, paused, "BTC-USDT"))
        assert "paused by a user: ETH/USDT" in " ".join(project.dccd("status").stdout.split())
        now = sign_of(project)
        assert now is not None
        assert messages(now)["ETH-USDT"] == messages(paused)["ETH-USDT"]

        project.dccd("stream", "resume", "majors", "ETH/USDT")
        resumed = awaited(lambda: phases(project, first, Phase.RECORDING, Phase.RECORDING))
        awaited(lambda: grown(project, resumed, "ETH-USDT"))

        config.write_text(config.read_text().replace("ETH/USDT]", "ETH/USDT, SOL/USDT]"))
        assert web.ask(RELOAD, name=MODULE)["reloadRepositoryLocation"] == {"loadStatus": "LOADED"}
        three = [Phase.RECORDING] * 3
        more = awaited(lambda: phases(project, first, *three))
        assert more.entry != first.entry
        awaited(lambda: grown(project, more, "SOL-USDT"))
        assert more.reconnects == first.reconnects
        assert statuses(web) == {first.run_id: "STARTED"}


def test_l11_dccd_stream_starts_again_at_once_after_kill_9(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project = streaming(sandbox, tmp_path)
    with in_a_terminal(project, "1") as keeper:
        first = awaited(lambda: ready(project))
        keeper.kill()
    with in_a_terminal(project, "2") as keeper:
        second = awaited(lambda: ready(project, besides=first.run_id))
        assert not is_there(first.pid)  # its recorder ended with it
        with project.instance() as instance:
            run = instance.get_run_by_id(first.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.CANCELED
        os.kill(second.pid, signal.SIGKILL)
        assert keeper.wait(timeout=30) != 0
    with in_a_terminal(project, "3") as keeper:
        third = awaited(lambda: ready(project, besides=second.run_id))
        keeper.send_signal(signal.SIGINT)
        assert keeper.wait(timeout=30) == 0
    assert not is_there(third.pid)


@contextmanager
def in_a_terminal(project: Project, name: str) -> Generator[subprocess.Popen[str]]:
    """Run ``dccd stream`` until it ends or is ended, and what it started."""
    with logged(project, name) as log:
        process = project.started("-m", "dccd_pipeline", "stream", "majors", stdout=log, stderr=log)
        try:
            yield process
        except BaseException:
            end_recording(project)
            raise
        finally:
            ended(process)


def streaming(sandbox: RunningSandbox, folder: Path, stream: str = STREAM) -> Project:
    """Return a project with a stream from the sandbox."""
    project = Project.make(folder / "project", sandbox.rest_url("binance"))
    config = project.folder / "dccd.yaml"
    idle = config.read_text().removesuffix("collect:\n")
    reachable = idle.replace("rest_url", f'ws_url: "{sandbox.ws_url("binance")}", rest_url')
    config.write_text(f"{reachable}stream:\n  - {stream}\n")
    return project


def sign_of(project: Project) -> Beat | None:
    with project.instance() as instance:
        return read_beats(instance, ["majors"]).get("majors")


def ready(project: Project, besides: str = "") -> Beat | None:
    """Return the sign of life of another run, as soon as that records."""
    beat = sign_of(project)
    return beat if beat and beat.ready and beat.run_id != besides else None


def phases(project: Project, run: Beat, *wanted: Phase) -> Beat | None:
    """Return the sign of life of a run as soon as its datasets are in these phases."""
    beat = sign_of(project)
    found = [one.phase for one in beat.datasets] if beat and beat.run_id == run.run_id else []
    return beat if found == list(wanted) else None


def messages(beat: Beat) -> dict[str, int]:
    return {one.dataset.rpartition("/")[2]: one.messages for one in beat.datasets}


def grown(project: Project, before: Beat, slug: str) -> bool | None:
    """Say whether more has come of a symbol since then."""
    beat = sign_of(project)
    return (beat is not None and messages(beat)[slug] > messages(before).get(slug, 0)) or None


def recording(project: Project, web: Web, besides: str = "") -> Beat:
    """Wait until a new run of the stream records, and return its sign of life."""
    beat = awaited(lambda: ready(project, besides))
    assert awaited(lambda: statuses(web).get(beat.run_id)) == "STARTED"
    return beat


def statuses(web: Web) -> dict[str, str]:
    """Return what became of the stream's runs, youngest first."""
    return {run["runId"]: run["status"] for run in web.ask(RUNS)["runsOrError"]["results"]}


def tags(web: Web, run_id: str) -> Mapping[str, str]:
    run = next(run for run in web.ask(RUNS)["runsOrError"]["results"] if run["runId"] == run_id)
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def ended_as(web: Web, run_id: str) -> str | None:
    status = statuses(web)[run_id]
    return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None


def skipped(web: Web, reason: str, times: int) -> int:
    """Wait until the supervisor has passed ``times`` for this reason."""
    sensor = {**LOCATION, "sensorName": "streams"}

    def count() -> int | None:
        ticks: list[dict[str, Any]] = web.ask(TICKS, sensor=sensor)["sensorOrError"]["sensorState"]["ticks"]
        because = [tick for tick in ticks if reason in (tick["skipReason"] or "")]
        return len(because) if len(because) >= times else None

    return awaited(count)


@contextmanager
def dagster_dev(project: Project) -> Generator[Web]:
    """Run a webserver and a daemon that share a code server, and end them and what they launched."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    where = ("-m", MODULE, "-h", "127.0.0.1", "-p", str(port))
    with logged(project, "dev") as log:
        process = project.started("-m", "dagster", "dev", *where, stdout=log, stderr=log)
        try:
            awaited(lambda: answers(f"{url}/server_info"))
            yield Web(url)
        finally:
            ended(process)
            end_recording(project)


def answers(url: str) -> bool | None:
    try:
        return httpx.get(url, timeout=5).is_success or None
    except httpx.TransportError:
        return None


def end_recording(project: Project) -> None:
    """End the process of a stream that a failed test left behind."""
    with project.instance() as instance:
        beat = read_beats(instance, ["majors"]).get("majors")
        run = instance.get_run_by_id(beat.run_id) if beat else None
    if beat and run and not run.is_finished:
        os.kill(beat.pid, signal.SIGKILL)
