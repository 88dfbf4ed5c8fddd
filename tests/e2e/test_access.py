"""What a viewer can do: a real ``dagster-webserver --read-only``, asked through GraphQL as the UI does."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import httpx
import pytest

from tests.e2e.project import NEVER, Project, Web, bars, webserver

pytestmark = pytest.mark.e2e

LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "dccd_pipeline.definitions"}
SCHEDULE = {**LOCATION, "scheduleName": "binance_ohlc_1h_schedule"}
SENSOR = {**LOCATION, "sensorName": "alerts"}
JOB = {**LOCATION, "jobName": "binance_ohlc_1h_tick"}
ASSET = {"path": ["binance", "ohlc", "BTC-USDT", "1h"]}
RUN = "that of the run there is"
MUTATIONS: Mapping[str, tuple[str, Any]] = {
    "launchRun(executionParams: $it)": ("ExecutionParams!", {"selector": JOB}),
    "launchPartitionBackfill(backfillParams: $it)": (
        "LaunchBackfillParams!",
        {"assetSelection": [ASSET], "partitionNames": ["2024"]},
    ),
    "startSchedule(scheduleSelector: $it)": ("ScheduleSelector!", SCHEDULE),
    "resetSchedule(scheduleSelector: $it)": ("ScheduleSelector!", SCHEDULE),
    "scheduleDryRun(selectorData: $it, timestamp: 1)": ("ScheduleSelector!", SCHEDULE),
    "startSensor(sensorSelector: $it)": ("SensorSelector!", SENSOR),
    "resetSensor(sensorSelector: $it)": ("SensorSelector!", SENSOR),
    'sensorDryRun(selectorData: $it, cursor: "x")': ("SensorSelector!", SENSOR),
    'setSensorCursor(sensorSelector: $it, cursor: "x")': ("SensorSelector!", SENSOR),
    "deleteRun(runId: $it)": ("String!", RUN),
    "wipeAssets(assetPartitionRanges: [{assetKey: $it}])": ("AssetKeyInput!", ASSET),
    "reportRunlessAssetEvents(eventParams: {assetKey: $it, eventType: ASSET_MATERIALIZATION})": (
        "AssetKeyInput!",
        ASSET,
    ),
    "reloadRepositoryLocation(repositoryLocationName: $it)": (
        "String!",
        LOCATION["repositoryLocationName"],
    ),
    "shutdownRepositoryLocation(repositoryLocationName: $it)": (
        "String!",
        LOCATION["repositoryLocationName"],
    ),
    "launchRunReexecution(executionParams: $it)": ("ExecutionParams!", {"selector": JOB}),
}
RAISED: tuple[str, ...] = (
    "reloadWorkspace { __typename }",
    'setConcurrencyLimit(concurrencyKey: "binance", limit: 1)',
    'deleteConcurrencyLimit(concurrencyKey: "binance")',
    'freeConcurrencySlots(runId: "x")',
    "setAutoMaterializePaused(paused: true)",
)
LOOK = """
query { version repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } }
  runsOrError { ... on Runs { results { runId jobName } } }
  assetNodes { assetKey { path } }
  permissions { permission value } }
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    entry = bars("BTC/USDT", "2024-01-01", NEVER, span="1h")
    more = 'alerts: {to: ["slack://tok3nA/tok3nB/tok3nC", "https://u:tok3nD@127.0.0.1:9/tok3nE"]}'
    return Project.make(tmp_path_factory.mktemp("access") / "project", "http://127.0.0.1:9", entry, more=more)


def test_a_viewer_sees_everything_and_changes_nothing(project: Project) -> None:
    with project.instance() as instance:
        run = instance.create_run_for_job(seen, status=dg.DagsterRunStatus.STARTED)
    with webserver(project, "--read-only") as web:
        found = web.ask(LOOK)
        assert "binance_ohlc_1h_tick" in [
            job["name"] for job in found["repositoriesOrError"]["nodes"][0]["jobs"]
        ]
        assert [run["jobName"] for run in found["runsOrError"]["results"]] == ["seen"]
        assert ASSET["path"] in [node["assetKey"]["path"] for node in found["assetNodes"]]
        assert {one["value"] for one in found["permissions"]} == {False}

        answers = dict[str, object]()
        for mutation, (kind, it) in MUTATIONS.items():
            query = f"mutation($it: {kind}) {{ {mutation} {{ __typename }} }}"
            sent = {"query": query, "variables": {"it": run.run_id if it == RUN else it}}
            told = httpx.post(f"{web.url}/graphql", json=sent, timeout=60).json()
            answers[mutation] = next(iter(told["data"].values()))["__typename"] if told.get("data") else told
        assert answers == dict.fromkeys(MUTATIONS, "UnauthorizedError")
        assert [mutation for mutation in RAISED if not refused(web, f"mutation {{ {mutation} }}")] == []
        query = (
            "mutation($id: String!) { terminateRun(runId: $id) { ... on TerminateRunFailure { message } } }"
        )
        ended = web.ask(query, id=run.run_id)["terminateRun"]
        assert ended == {"message": "You do not have permission to terminate this run"}
        query = "mutation($it: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $it) { %s } }"
        one = "... on LaunchMultipleRunsResult { launchMultipleRunsResult { __typename } }"
        several = web.ask(query % one, it=[{"selector": JOB}])["launchMultipleRuns"]
        assert [run["__typename"] for run in several["launchMultipleRunsResult"]] == ["UnauthorizedError"]
        for path in ("report_asset_materialization", "report_asset_observation", "report_asset_check"):
            body = {"check_name": "intact", "passed": True}
            answer = httpx.post(f"{web.url}/{path}/{'/'.join(ASSET['path'])}", json=body, timeout=60)
            assert answer.status_code == 401, path

        assert web.ask(LOOK) == found
        texts = [httpx.get(f"{web.url}{path}", timeout=60).text for path in ("/", "/server_info")]
        config = web.ask("query { instance { info } }")
        assert "tok3n" not in "".join([*texts, str(config), str(found)])
    with project.instance() as instance:
        assert [one.status for one in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
        assert instance.get_latest_materialization_event(dg.AssetKey(ASSET["path"])) is None
        assert instance.all_instigator_state() == []


@dg.job
def seen() -> None: ...


def refused(web: Web, mutation: str) -> bool:
    """Tell whether a mutation was answered with a refusal, of whatever form."""
    answer = httpx.post(f"{web.url}/graphql", json={"query": mutation}, timeout=60).json()
    said = str(answer)
    return "UnauthorizedError" in said or "permission" in said.lower()
