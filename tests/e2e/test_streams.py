"""A stream under a webserver and a daemon: it starts, comes back, stays stopped when told to, and goes."""

import os
import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.heartbeat import Beat, read_beats
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
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"))
    config = project.folder / "dccd.yaml"
    idle = config.read_text().removesuffix("collect:\n")
    reachable = idle.replace("rest_url", f'ws_url: "{sandbox.ws_url("binance")}", rest_url')
    config.write_text(f"{reachable}stream:\n  - {STREAM}\n")
    with dagster_dev(project) as web:
        first = recording(project, web)
        assert tags(web, first.run_id)["dccd/reason"] == "first start"

        os.kill(first.pid, signal.SIGKILL)
        second = recording(project, web, besides=first.run_id)
        assert statuses(web)[first.run_id] == "FAILURE"
        assert tags(web, second.run_id)["dccd/reason"].startswith("its process died: ")
        assert "SIGKILL" in tags(web, second.run_id)["dccd/reason"]

        assert web.ask(TERMINATE, run=second.run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
        assert awaited(lambda: ended_as(web, second.run_id), 15) == "CANCELED"
        ticks = skipped(web, f"a user stopped it (run {second.run_id})", times=2)
        assert ticks == 2
        assert list(statuses(web)) == [second.run_id, first.run_id]

        job = {**LOCATION, "jobName": "stream_majors"}
        launched = web.ask(LAUNCH, params={"selector": job})["launchRun"]
        third = recording(project, web, besides=second.run_id)
        assert third.run_id == launched["run"]["runId"]

        config.write_text(reachable)
        assert web.ask(RELOAD, name=MODULE)["reloadRepositoryLocation"] == {"loadStatus": "LOADED"}
        assert awaited(lambda: ended_as(web, third.run_id), 60) == "CANCELED"
        stopped = tags(web, third.run_id)["dccd/stopped"]
        assert stopped == f"{third.run_id} it is not in dccd.yaml any more"


def recording(project: Project, web: Web, besides: str = "") -> Beat:
    """Wait until a new run of the stream records, and return its sign of life."""

    def found() -> Beat | None:
        with project.instance() as instance:
            beat = read_beats(instance, ["majors"]).get("majors")
        return beat if beat and beat.ready and beat.run_id != besides else None

    beat = awaited(found, 60)
    assert awaited(lambda: statuses(web).get(beat.run_id), 10) == "STARTED"
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

    return awaited(count, 60)


@contextmanager
def dagster_dev(project: Project) -> Generator[Web]:
    """Run a webserver and a daemon that share a code server, and end them and what they launched."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    where = ("-m", MODULE, "-h", "127.0.0.1", "-p", str(port))
    with logged(project, "dev") as log:
        process = project.started("-m", "dagster", "dev", *where, stdout=log, stderr=log)
        try:
            awaited(lambda: answers(f"{url}/server_info"), 90)
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
