from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.collect import chosen_entries, planned_orders, tick_orders
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Settings

TRADES = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "trades", "start": "2024-01-01"}
SETTINGS = settings_of(
    {
        "collect": [
            {**TRADES, "data_type": "ohlc", "span": "1w", "derive_from": "1d", "name": "weeks"},
            {**TRADES, "data_type": "ohlc", "span": "1d", "derive_from": "1h", "name": "days"},
            {**TRADES, "data_type": "ohlc", "span": "1h", "derive_from": "trades", "name": "built"},
            TRADES,
            {
                "exchange": "binance",
                "symbols": ["BTC/USDT", "ETH/USDT"],
                "data_type": "ohlc",
                "span": "1m",
                "start": "2024-01-01",
                "name": "majors",
            },
        ]
    }
)


def chosen(*words: str) -> list[tuple[str, list[str]]]:
    return [(e.name, [str(one.symbol) for one in d]) for e, d in chosen_entries(SETTINGS, words)]


def test_entries_are_chosen_by_name_exchange_and_symbol() -> None:
    assert [name for name, _ in chosen()] == ["kraken_trades", "majors", "built", "days", "weeks"]
    assert chosen("majors") == chosen("Binance") == [("majors", ["BTC/USDT", "ETH/USDT"])]
    assert chosen("binance", "eth/usdt") == [("majors", ["ETH/USDT"])]
    assert [name for name, _ in chosen("kraken", "BTC-USD")] == ["kraken_trades", "built", "days", "weeks"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("major",), "called 'major' -> did you mean majors?"),
        (("zzz",), "configured: kraken_trades, kraken, majors, binance, built, days, weeks"),
        (("majors", "LTC/USDT"), "majors does not collect LTC/USDT -> configured: BTC/USDT, ETH/USDT"),
    ],
)
def test_what_is_not_configured_is_refused_with_what_is(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as e:
        chosen(*words)
    assert said in str(e.value)
    with pytest.raises(ConfigError, match="nothing is collected"):
        chosen_entries(Settings(), ())


def test_a_tick_by_hand_asks_for_what_is_behind(tmp_path: Path) -> None:
    now, lake = parse_time("2024-03-15"), LakeStore(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        (order,), _ = tick_orders(chosen_entries(SETTINGS, ["binance", "ETH/USDT"]), lake, instance, now)
        planned = planned_orders(chosen_entries(SETTINGS, []), lake, instance, now)
    assert (order.keys, len(order.datasets)) == (("2024-01", "2024-02", "2024-03"), 1)
    assert order.catch_up
    assert [one.entry.name for one in planned] == ["kraken_trades", "majors", "majors"]
