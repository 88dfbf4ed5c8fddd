"""What is told of what an exchange shows for a limited time: before it is lost, and after."""

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
from dccd_pipeline.ticks.perishing import deadlines_of, perishables, perishing

BARS = Dataset.parse("kraken/ohlc/BTC-USD/1m")
OTHER = Dataset.parse("kraken/ohlc/ETH-USD/1m")
NOON = parse_time("2026-11-20T12:00")
MIDNIGHT = Us(NOON - 12 * HOUR)
KEY = "kraken_ohlc_1m/ohlc"
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


def hold(lake: LakeStore, until: Us, since: Us = MIDNIGHT, dataset: Dataset = BARS) -> None:
    """Store that all was asked for, from midnight on, and nothing came."""
    asked = Asked(TimeRange(since, until), Source.REST, until, 1, 0)
    with lake.draft(dataset, "2026-11") as draft:
        draft.commit([asked], NoCheck)


def test_a_risk_is_told_until_it_is_over_and_nothing_is_read_before_there_can_be_one(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), NOON)
    of, memory = settings(tmp_path, ENTRY), dict[str, list[int]]()
    assert perishing(of, at(1), memory) == {KEY: ""}
    assert memory == {KEY: [at(9)]}
    (tmp_path / "dccd.json").rename(tmp_path / "away")  # who looks now fails
    assert perishing(of, at(8.9), memory) == {KEY: ""}
    (tmp_path / "away").rename(tmp_path / "dccd.json")
    said = "at risk: what came from 2026-11-20T12:00:00Z on can be had until 2026-11-21T00:00:00Z only"
    assert perishing(of, at(10), memory) == {KEY: f"kraken_ohlc_1m: {BARS}: {said}, 2 h from now"}
    assert "is at risk" not in perishing(of, at(11), memory)[KEY]
    hold(LakeStore(tmp_path), at(11))
    assert perishing(of, at(11.1), memory) == {KEY: ""}
    assert memory == {KEY: [at(20)]}


def test_a_loss_is_named_once_when_it_is_over(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), NOON)
    of, memory = settings(tmp_path, ENTRY), dict[str, list[int]]()
    going_on = perishing(of, at(14), memory)
    assert list(going_on) == [KEY], "it is still being lost, and that is a risk"
    assert "can be had until 2026-11-21T02:01:00Z only, 1 min from now" in going_on[KEY]
    hold(LakeStore(tmp_path), at(16), since=at(4))
    found = perishing(of, at(16), memory)
    what = "lost: 2026-11-20T12:00:00Z to 2026-11-20T16:00:00Z (4 h)"
    when = "gone between 2026-11-21T00:00:00Z and 2026-11-21T04:00:00Z: never asked for"
    assert found == {KEY: "", f"{KEY} lost": f"kraken_ohlc_1m: {BARS}: {what}, {when}"}
    memory[KEY] = [0]
    assert perishing(of, at(16.1), memory) == {KEY: ""}, "that was told"


def test_what_is_lost_soonest_is_named_first(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, NOON)
    hold(lake, at(-1), dataset=OTHER)
    both = {**ENTRY, "symbols": ["BTC/USD", "ETH/USD"]}
    told = perishing(settings(tmp_path, both), at(10), {})[KEY]
    assert told.startswith(f"kraken_ohlc_1m: {OTHER}: at risk")
    assert f"; {BARS}: at risk" in told


def test_what_is_switched_off_is_not_told_of(tmp_path: Path) -> None:
    assert perishing(settings(tmp_path, {**ENTRY, "enabled": False}), at(10), {}) == {}


def test_the_deadlines_of_all_that_is_configured(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), NOON)
    found = deadlines_of(settings(tmp_path, ENTRY, stream=[LIVE]), LakeStore(tmp_path), at(10))
    assert {str(dataset): one.safety for dataset, one in found.items()} == {
        str(BARS): Safety.AT_RISK,
        "bybit/trades/BTC-USDT": Safety.SAFE,  # what a stream never recorded it does not miss
    }
    assert found[BARS].at == NOON + 720 * MINUTE
