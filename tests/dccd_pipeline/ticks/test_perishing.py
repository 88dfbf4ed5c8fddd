"""What of a configuration perishes, and until when it can be had."""

from pathlib import Path
from typing import Any

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.deadline import Safety
from dccd_core.quality.holes import NoCheck
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.ticks.perishing import deadlines_of, perishables

BARS = Dataset.parse("kraken/ohlc/BTC-USD/1m")
NOON = parse_time("2026-11-20T12:00")
MIDNIGHT = Us(NOON - 12 * HOUR)
ENTRY = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc", "span": "1m", "start": "recent"}
LIVE = {"name": "live", "exchange": "bybit", "symbols": ["BTC/USDT"], "data_types": ["trades", "orderbook"]}


def at(hour: float) -> Us:
    """Return a moment so many hours after noon, up to when all is proven."""
    return Us(NOON + round(hour * HOUR))


def settings(store: Path, *collect: dict[str, Any], **more: Any) -> Settings:
    return settings_of({"store": str(store), "collect": list(collect), **more})


def test_what_perishes_is_found_in_the_configuration(tmp_path: Path) -> None:
    linear = {
        "exchange": "binance",
        "symbols": ["BTC/USDT", "BTC/USDT:USDT"],
        "data_type": "trades",
        "start": "recent",
    }
    found = perishables(settings(tmp_path, ENTRY, linear, stream=[LIVE]))
    assert [(one.name, list(map(str, one.datasets))) for one in found] == [
        ("kraken_ohlc_1m", [str(BARS)]),
        ("binance_trades", ["binance/trades/BTC-USDT_USDT"]),
        ("live", ["bybit/trades/BTC-USDT"]),
    ]
    recorded = {**ENTRY, "exchange": "bybit", "symbols": ["BTC/USDT"], "data_type": "trades"}
    del recorded["span"]
    both = perishables(settings(tmp_path, recorded, stream=[LIVE]))
    assert [(one.name, len(one.streamed)) for one in both] == [("bybit_trades", 2)], (
        "once, and it is streamed"
    )


def hold(lake: LakeStore, until: Us) -> None:
    """Store that all was asked for, from midnight on, and nothing came."""
    asked = Asked(TimeRange(MIDNIGHT, until), Source.REST, until, 1, 0)
    with lake.draft(BARS, "2026-11") as draft:
        draft.commit([asked], NoCheck)


def test_the_deadlines_of_all_that_is_configured(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), NOON)
    found = deadlines_of(settings(tmp_path, ENTRY, stream=[LIVE]), LakeStore(tmp_path), at(10))
    assert {str(dataset): one.safety for dataset, one in found.items()} == {
        str(BARS): Safety.AT_RISK,
        "bybit/trades/BTC-USDT": Safety.SAFE,  # what a stream never recorded it does not miss
    }
    assert found[BARS].at == NOON + 720 * MINUTE
