"""Through GraphQL, as the UI does it: a running webserver and a running daemon."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import HOUR, SECOND, TimeRange, Us, iso, parse_time
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.assets.agrees import AGREES
from dccd_pipeline.assets.checks import INTACT, check_names
from dccd_pipeline.assets.equal import CHECK
from dccd_pipeline.assets.plots import SIZE
from dccd_pipeline.build import build_definitions
from tests.dccd_pipeline.drawn import png
from tests.e2e.project import (
    BTC,
    BTC_HOURS,
    MONTHS,
    NEVER,
    YEAR,
    Project,
    Web,
    awaited,
    bars,
    daemon,
    ranged,
    stored,
    truth,
    webserver,
)

pytestmark = pytest.mark.e2e
LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "dccd_pipeline.definitions"}
LAUNCH_BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
LAUNCH_RUN = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
DRY_RUN = """
mutation($schedule: ScheduleSelector!, $at: Float!) {
 scheduleDryRun(selectorData: $schedule, timestamp: $at) {
  ... on DryRunInstigationTick { evaluationResult {
    skipReason error { message } runRequests { tags { key value } assetSelection { path } } } } } }
"""
BACKFILL = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status numPartitions isAssetBackfill runs { status tags { key value } } } } }
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
ASSET = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  groupName opName pools
  assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } }
  latestMaterializationByPartition { partition tags { key value } metadataEntries { label
    ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text }
    ... on MarkdownMetadataEntry { mdStr } ... on PathMetadataEntry { path }
    ... on JsonMetadataEntry { jsonString }
    ... on TableSchemaMetadataEntry { schema { columns { name type constraints { nullable } } } } } }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
    status evaluation { metadataEntries { label ... on IntMetadataEntry { intValue } } } } } } }
} } }
"""


def test_a_backfill_of_a_year_and_the_tick_of_a_schedule(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entries = bars("BTC/USDT", "2024-01-01", NEVER), bars("BTC/USDT", "2025-01-01", NEVER, span="1h")
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), *entries)
    with webserver(project) as web:
        params = {"assetSelection": [{"path": BTC.parts}], "partitionNames": MONTHS}
        launched = web.ask(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        backfill = launched["backfillId"]
        before = SystemClock().now()
        with daemon(project):
            run = launched_tick(web)
            assert awaited(lambda: ended(web.ask(RUN, id=run)["runOrError"]["status"])) == "SUCCESS"
            found = awaited(lambda: completed(web.ask(BACKFILL, id=backfill)["partitionBackfillOrError"]))

        assert found["isAssetBackfill"]
        assert found["numPartitions"] == 12
        assert [run["status"] for run in found["runs"]] == ["SUCCESS"]
        assert ranged("2024-01", "2024-12").items() <= pairs(found["runs"][0]["tags"]).items()
        year = truth(sandbox, BTC, YEAR)
        assert stored(project, BTC).equals(year)
        assert_hours_are_up_to_date(sandbox, project, before)

        asset = shown(web, BTC)
        assert asset["groupName"] == "binance"
        assert asset["pools"] == ["binance"]
        ranges = asset["assetPartitionStatuses"]["ranges"]
        assert [list(one.values()) for one in ranges] == [["MATERIALIZED", "2024-01", "2024-12"]]
        assert_partitions_describe_themselves(project, asset, year)
        assert_checks_passed(asset)


def launched_tick(web: Web) -> str:
    """Evaluate the tick of the schedule of hours and launch the run that it asks for."""
    job = "binance_ohlc_1h"
    schedule = {**LOCATION, "scheduleName": f"{job}_schedule"}
    tick = web.ask(DRY_RUN, schedule=schedule, at=SystemClock().now() / SECOND)["scheduleDryRun"]
    evaluated = tick["evaluationResult"]
    assert evaluated["error"] is None
    (request,) = evaluated["runRequests"]
    assert request["assetSelection"] is None
    params = {
        "selector": {**LOCATION, "jobName": f"{job}_tick"},
        "executionMetadata": {"tags": request["tags"]},
    }
    launched = web.ask(LAUNCH_RUN, params=params)["launchRun"]
    return str(launched["run"]["runId"])


def assert_hours_are_up_to_date(sandbox: RunningSandbox, project: Project, before: Us) -> None:
    hours = stored(project, BTC_HOURS)
    until = Us(int(hours["ts"].to_physical()[-1]) + HOUR)
    assert until > before - HOUR
    assert until <= SystemClock().now()
    assert hours.equals(truth(sandbox, BTC_HOURS, TimeRange(parse_time("2025-01-01"), until)))


def assert_partitions_describe_themselves(project: Project, asset: Any, year: pl.DataFrame) -> None:
    by_key = {one["partition"]: one for one in asset["latestMaterializationByPartition"] if one}
    assert list(by_key) == MONTHS
    for key, event in by_key.items():
        said: dict[str, Any] = {
            entry.pop("label"): next(iter(entry.values()), None) for entry in event["metadataEntries"]
        }
        span = partition_span(BTC.grain, key)
        rows = year.filter(pl.col("ts").dt.strftime("%Y-%m") == key)
        first, last = (Us(int(rows["ts"].to_physical()[at])) for at in (0, -1))
        state = project.lake.state(BTC, key)
        assert state
        expected = {
            "condition": "available",
            "dagster/partition_row_count": rows.height,
            "first": iso(first),
            "last": iso(last),
            "covered_until": iso(span.end),
            "requests": -(-rows.height // 1_000),
            "gaps": 0,
            "holes": "none",
            "quarantined": 0,
            "bytes": Path(state.path).stat().st_size,
            "path": project.lake.path(BTC, key),
            "content_hash": state.content_hash,
        }
        assert {name: said[name] for name in expected} == expected
        assert pairs(event["tags"])["dagster/data_version"] == state.content_hash
        columns = [
            (c["name"], c["constraints"]["nullable"]) for c in said["dagster/column_schema"]["columns"]
        ]
        table = DataType.OHLC.table
        assert columns == [(name, name not in table.required) for name in table.schema]
        assert png(said["chart"]).size == SIZE


def assert_checks_passed(asset: Any) -> None:
    checks = {check["name"]: check for check in asset["assetChecksOrError"]["checks"]}
    assert set(checks) == {*check_names(BTC), CHECK, AGREES}
    compared = checks.pop(CHECK)["executionForLatestMaterialization"]
    assert compared is None or compared["status"] == "SKIPPED", "nothing is old enough"
    assert {c["executionForLatestMaterialization"]["status"] for c in checks.values()} == {"SUCCEEDED"}
    told = checks[INTACT]["executionForLatestMaterialization"]["evaluation"]["metadataEntries"]
    assert {entry["label"]: entry.get("intValue") for entry in told}["partitions_read"] == 12


def shown(web: Web, dataset: Dataset) -> Any:
    return web.ask(ASSET, key={"path": dataset.parts})["assetNodeOrError"]


def pairs(tags: list[Mapping[str, str]]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tags}


def ended(status: str) -> str | None:
    return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None


def completed(backfill: Any) -> Any:
    assert "FAIL" not in backfill["status"], backfill
    return backfill if backfill["status"].startswith("COMPLETED") else None


COUNTS = """
query { partitionBackfillsOrError(limit: 10) { __typename ... on PythonError { message }
  ... on PartitionBackfills { results { id partitionStatusCounts { runStatus count } } } } }
"""


def test_d4_a_backfill_by_dagster_s_own_command_can_be_looked_at(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """0e899d4: HTTP 500, KeyError 'dagster/asset_partition_range_start'."""
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    with webserver(project) as web:
        where = ("-m", "dccd_pipeline.definitions", "-j", "binance_ohlc_1m")
        span = ("--from", "2024-01", "--to", "2024-03", "--noprompt")
        done = project.ran("-m", "dagster", "job", "backfill", *where, *span)
        assert done.returncode == 0, done.stderr
        (found,) = web.ask(COUNTS)["partitionBackfillsOrError"]["results"]
        assert found["partitionStatusCounts"] == [{"runStatus": "QUEUED", "count": 3}]
        with daemon(project):
            awaited(
                lambda: (
                    web.ask(COUNTS)["partitionBackfillsOrError"]["results"][0]["partitionStatusCounts"]
                    == [{"runStatus": "SUCCESS", "count": 3}]
                    or None
                )
            )
        assert set(project.lake.states(BTC)) == {"2024-01", "2024-02", "2024-03"}


def test_d5_a_launch_that_failed_comes_back_and_what_was_refused_does_not(tmp_path: Path) -> None:
    stream = "{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}"
    more = f"stream:\n  - {stream}"
    project = Project.make(
        tmp_path / "project", "http://127.0.0.1:9", bars("BTC/USDT", "2024-01-01"), more=more
    )
    with project.instance() as instance:
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 3
        assert not instance.run_retries_retry_on_asset_or_op_failure
    job = build_definitions(project.settings).resolve_job_def("stream_majors")
    assert job.tags["dagster/max_retries"] == "0"
