"""What the asset does besides filling; filling itself is shown in tests/e2e, against the sandbox."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import TIME, DataType
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings

BTC, ETH = (
    Dataset("binance", Symbol.parse(f"{base}/USDT"), DataType.OHLC, MINUTE) for base in ("BTC", "ETH")
)
NOW = parse_time("2026-01-01")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    collect = {"exchange": "binance", "symbols": ["BTC/USDT", "ETH/USDT"], "data_type": "ohlc", "span": "1m"}
    nowhere = {"binance": {"rest_url": "http://127.0.0.1:9"}}
    return settings_of({"store": str(tmp_path), "collect": [collect], "exchanges": nowhere})


def hold(lake: LakeStore, dataset: Dataset, key: str, at: Us, **wrong: float) -> None:
    values = dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), 1.0) | wrong
    ts = pl.Series([at], dtype=pl.Int64).cast(TIME)
    rows = pl.DataFrame({"ts": ts, **values, "trades": [1]}).cast(DataType.OHLC.table.schema)
    with lake.draft(dataset, key) as draft:
        draft.append(rows)
        draft.commit([Asked(TimeRange(at, Us(at + MINUTE)), Source.REST, NOW, 1, 1)], NoCheck)


def run_checks(settings: Settings, *keys: dg.AssetCheckKey) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings)
    only_checks = dg.define_asset_job("checks_only", selection=dg.AssetSelection.checks(*keys))
    job = dg.Definitions.merge(definitions, dg.Definitions(jobs=[only_checks])).resolve_job_def("checks_only")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def test_checks_alone_read_all_that_is_stored_and_ask_nobody(settings: Settings) -> None:
    lake = LakeStore(settings.store)
    hold(lake, BTC, "2024-01", parse_time("2024-01-01"))
    hold(lake, BTC, "2024-03", parse_time("2024-03-05"), high=0.5)
    hold(lake, ETH, "2024-01", parse_time("2024-01-01"), low=7.0)
    asset = dg.AssetKey(BTC.parts)
    result = run_checks(settings, dg.AssetCheckKey(asset, "intact"), dg.AssetCheckKey(asset, "complete"))
    assert result.success
    found = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert {name: evaluation.passed for name, evaluation in found.items()} == {
        "intact": False,
        "complete": True,
    }
    assert all(evaluation.asset_key == asset for evaluation in found.values())
    assert found["intact"].metadata["partitions_read"].value == 2
    assert found["intact"].metadata["failed"].value == "sanity"
    said = str(found["intact"].metadata["found"].value)
    assert "2024-03: sanity: 1 rows: high is below another price" in said
    assert not result.get_asset_materialization_events()
