"""One job per entry, over its own datasets and no others."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_pipeline.assets.jobs import entry_job
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.tags import ENTRY, EXCHANGE


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    def entry(name: str, exchange: str, *symbols: str) -> dict[str, object]:
        return {
            "name": name,
            "exchange": exchange,
            "symbols": [*symbols],
            "data_type": "ohlc",
            "span": "1h",
            "start": "2024-01-01",
        }

    majors = entry("majors", "binance", "BTC/USDT", "ETH/USDT")
    collect = [majors, entry("minors", "binance", "DOGE/USDT"), entry("okx_hours", "okx", "BTC/USDT")]
    return Settings.model_validate({"store": str(tmp_path), "collect": collect})


def test_a_job_is_called_as_its_entry_and_runs_its_datasets(settings: Settings) -> None:
    definitions = build_definitions(settings)
    for entry in settings.collect:
        job = definitions.resolve_job_def(entry.name)
        assert job.asset_layer.selected_asset_keys == {
            dg.AssetKey(dataset.parts) for dataset in entry.datasets
        }
        assert job.tags[EXCHANGE] == entry.exchange
        ops = {node.name for node in job.nodes}
        assert ops == {f"fill_{entry.name}"}, "the check agrees, an op of its own, would stop what is fetched"


def test_its_runs_are_found_by_entry_and_exchange(settings: Settings) -> None:
    assert [entry_job(entry).tags for entry in settings.collect] == [
        {ENTRY: "majors", EXCHANGE: "binance"},
        {ENTRY: "minors", EXCHANGE: "binance"},
        {ENTRY: "okx_hours", EXCHANGE: "okx"},
    ]
