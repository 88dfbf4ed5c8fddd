"""The first dccd.yaml: whatever is wanted, it can be used, and so can its examples."""

from pathlib import Path

import pytest
import yaml

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import parse_time
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from dccd_pipeline.config.capabilities import closed_on, present, served
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin, Settings
from dccd_pipeline.config.starter import Wanted, starter, usual_start

MARKETS = {"spot": "BTC/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}
OFFERED = [
    (name, data_type, kind)
    for name in NAMES
    if closed_on(get(name), present()) is None
    for data_type in DataType
    for kind in served(get(name), data_type, present())
]


def read(text: str) -> Settings:
    return parse_settings(text, Origin("dccd.yaml", Path()))


@pytest.mark.parametrize(("exchange", "data_type", "kind"), OFFERED, ids=str)
def test_what_is_proposed_can_be_used_with_all_its_examples(
    exchange: str, data_type: DataType, kind: str
) -> None:
    symbols, now = [Symbol.parse(MARKETS[kind])], present()
    span = "1m" if data_type.table.takes_span else None
    start = usual_start(exchange, data_type, symbols, now)
    text = starter(Wanted(exchange, symbols, data_type.value, span, start), Path(), now)
    settings = read(text)
    wanted = {one for entry in (*settings.collect, *settings.stream) for one in entry.datasets}
    assert {(one.exchange, one.data_type) for one in wanted} == {(exchange, data_type)}
    lines = text.splitlines()
    # what stands behind a # without a space is an example
    shown = [
        line[1:] if (line[:1] == "#" and line[1:2] != " ") or line.startswith("#  -") else line
        for line in lines
    ]
    assert read("\n".join(shown)).alerts is not None


def test_the_file_says_what_was_wanted() -> None:
    symbols = [Symbol.parse("BTC/USDT"), Symbol.parse("BTC/USDT:USDT")]
    text = starter(Wanted("binance", symbols, "ohlc", "1h", "2024-01-01", "./lake"), Path(), present())
    raw = yaml.safe_load(text)
    assert raw["store"] == "./lake"
    (entry,) = raw["collect"]
    assert entry["symbols"] == ["BTC/USDT", "BTC/USDT:USDT"]
    assert (entry["span"], str(entry["start"]), entry["every"]) == ("1h", "2024-01-01", "5m")
    assert "\n#stream:" in text


def test_an_order_book_is_recorded_because_it_has_no_past() -> None:
    raw = yaml.safe_load(starter(Wanted("kraken", [Symbol.parse("BTC/USD")], "orderbook"), Path(), present()))
    assert raw["collect"] == []
    assert [one["data_types"] for one in raw["stream"]] == [["orderbook"]]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("kraken", [Symbol.parse("BTC/USDT:USDT")], "trades"), "kraken has no linear markets"),
        (Wanted("binance", [Symbol.parse("BTC/USDT")], "ohlc", "7m"), "nearest is 5m"),
        (Wanted("kraken", [Symbol.parse("BTC/USD")], "ohlc", "1m", "2020-01-01"), "write start: recent"),
        (Wanted("binance", [Symbol.parse("BTC/USDT")], "trades", None, "soon"), "is no day"),
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused_as_in_a_file(wanted: Wanted, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        starter(wanted, Path(), present())


def test_a_start_is_a_month_ago_unless_only_the_latest_is_shown() -> None:
    now = parse_time("2026-11-29T15:00:00")
    assert usual_start("binance", "trades", [Symbol.parse("BTC/USDT")], now) == "2026-10-30"
    assert usual_start("binance", "trades", [Symbol.parse("BTC/USDT:USDT")], now) == "recent"
    assert usual_start("kraken", "ohlc", [Symbol.parse("BTC/USD")], now) == "recent"
