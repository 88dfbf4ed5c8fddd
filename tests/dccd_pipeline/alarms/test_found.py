"""Failing checks, and rows in quarantine."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.domain.timespan import moment
from dccd_core.lake.lake import LakeStore
from dccd_core.quality.audit import QUARANTINE, SANITY
from dccd_core.tables import TIME
from dccd_pipeline.alarms.kinds import KINDS
from dccd_pipeline.assets.changed import note_told
from dccd_pipeline.assets.checks import COMPLETE, INTACT, UP_TO_DATE
from dccd_pipeline.assets.equal import CHECK
from dccd_pipeline.assets.remembered import Findings, write_findings
from tests.dccd_core.lake.samples import numbered
from tests.dccd_pipeline.alarms.looked import NOW, Looks, settings
from tests.dccd_pipeline.held import HOURS, TRADES, bars, hold, whole

STREAM = {"name": "majors", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["trades"]}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def tell(instance: dg.DagsterInstance, lake: LakeStore, findings: Findings, *failing: str) -> None:
    """Have it told to Dagster which checks fail, and remembered what was found."""
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))  # so that the store has a name
    write_findings(instance, {HOURS: findings}, lake.identity())
    asset = dg.AssetKey(HOURS.parts)
    results = [
        dg.AssetCheckResult(asset_key=asset, check_name=name, passed=name not in failing)
        for name in (INTACT, COMPLETE, UP_TO_DATE, CHECK)
    ]
    note_told(instance, results)


def test_a_check_that_fails_is_told_with_what_it_found(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    looks = Looks(KINDS["checks"], instance, settings(tmp_path))
    wrong = {f"20{year}": {SANITY: ["a low above a high"]} for year in range(20, 25)}
    gaps = {"2024": {COMPLETE: ["2 gaps, 7 rows missing"]}}
    tell(
        instance,
        looks.look.settings.lake(),
        {**wrong, "2024": wrong["2024"] | gaps["2024"]},
        INTACT,
        COMPLETE,
    )
    low = "; ".join(f"20{year}: a low above a high" for year in (20, 21, 22))
    assert looks.at(0) == {
        f"{HOURS} intact": f"{HOURS}: the check intact fails: {low} and 2 more",
        f"{HOURS} complete": f"{HOURS}: the check complete fails: 2024: 2 gaps, 7 rows missing",
    }
    tell(instance, looks.look.settings.lake(), {})
    assert looks.at(5) == {}


def test_what_is_told_as_something_else_is_not_told_twice(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    wrong = {"2024": {QUARANTINE: ["7 rows are in quarantine"]}}
    checks = Looks(KINDS["checks"], instance, settings(tmp_path))
    tell(instance, checks.look.settings.lake(), wrong, INTACT, UP_TO_DATE)
    assert checks.at(0) == {}
    assert Looks(KINDS["quarantine"], instance, checks.look.settings).at(0) == {
        str(HOURS): f"{HOURS}: 2024: 7 rows are in quarantine -> see `_quarantine.ndjson` there"
    }


@pytest.mark.parametrize(("severity", "told"), [("ERROR", True), ("WARN", False)])
def test_bars_that_the_venue_revised_are_told_and_those_that_nobody_could_compare_are_not(
    tmp_path: Path, instance: dg.DagsterInstance, severity: str, *, told: bool
) -> None:
    looks = Looks(KINDS["checks"], instance, settings(tmp_path))
    tell(instance, looks.look.settings.lake(), {}, CHECK)
    found = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(HOURS.parts),
        check_name=CHECK,
        passed=False,
        severity=dg.AssetCheckSeverity[severity],
        metadata={"found": "24 bars compared, 1 differ"},
    )
    instance.report_runless_asset_event(found)
    line = f"{HOURS}: the check {CHECK} fails: 24 bars compared, 1 differ"
    assert looks.at(0) == ({f"{HOURS} {CHECK}": line} if told else {})


def test_of_what_only_streams_record_the_lake_tells_the_quarantine(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    looks = Looks(KINDS["quarantine"], instance, settings(tmp_path, stream=[STREAM]))
    lake, key = looks.look.settings.lake(), "2026-11-20"
    assert looks.at(0) == {}
    rows = numbered([1, 2, 3]).with_columns(ts=pl.lit(moment(NOW)).cast(TIME))
    lake.quarantine(TRADES, key, rows.with_columns(reason=pl.lit("bad")))
    hold(lake, TRADES, key, rows.with_columns(trade_id=pl.lit("7")).head(1), at=NOW)
    line = f"{TRADES}: {key}: 3 rows are in quarantine -> see `_quarantine.ndjson` there"
    days = 24 * 60
    assert [looks.at(day * days) for day in range(4)] == [{str(TRADES): line}] * 4, "it is not forgotten"
