import polars as pl
import pytest

from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, Ns, TimeSpan, parse_time
from dccd_core.testing.sandbox.market import Market

BTC, NEW = Symbol.parse("BTC/USDT"), Symbol.parse("NEW/USDT")
MARKET = Market()
DAY_OF_OUTAGE = TimeSpan(parse_time("2023-03-24"), parse_time("2023-03-25"))


def test_the_truth_comes_in_our_tables() -> None:
    trades = MARKET.truth_trades("binance", BTC, DAY_OF_OUTAGE)
    bars = MARKET.truth_bars("binance", BTC, MINUTE, DAY_OF_OUTAGE)
    assert trades.schema == TABLES[DataType.TRADES].schema
    assert bars.schema == TABLES[DataType.OHLC].schema
    assert trades["ts"].is_between(*DAY_OF_OUTAGE_COLUMN, closed="left").all()
    assert bars["trades"].sum() == trades.height
    assert bars["volume"].sum() == pytest.approx(trades["amount"].sum())


DAY_OF_OUTAGE_COLUMN = (
    pl.lit(DAY_OF_OUTAGE.start).cast(pl.Datetime("ns", "UTC")),
    pl.lit(DAY_OF_OUTAGE.end).cast(pl.Datetime("ns", "UTC")),
)


def test_bars_inside_an_outage_do_not_exist_longer_ones_do() -> None:
    minutes = MARKET.truth_bars("binance", BTC, MINUTE, DAY_OF_OUTAGE)
    assert minutes.height == 23 * 60
    assert minutes.filter(pl.col("ts").dt.hour() == 10).is_empty()
    assert MARKET.truth_bars("binance", BTC, HOUR, DAY_OF_OUTAGE).height == 23
    assert MARKET.truth_bars("binance", BTC, Ns(4 * HOUR), DAY_OF_OUTAGE).height == 6


def test_a_bar_half_in_an_outage_exists() -> None:
    span = TimeSpan(parse_time("2021-04-25T04:00"), parse_time("2021-04-25T04:05"))
    assert MARKET.truth_bars("binance", BTC, MINUTE, span).height == 2


def test_outages_come_besides_the_default_ones() -> None:
    span = TimeSpan(parse_time("2024-05-01T06:00"), parse_time("2024-05-01T08:00"))
    market = Market(outages=[TimeSpan(span.start, Ns(span.start + HOUR))])
    assert market.truth_bars("binance", BTC, HOUR, span).height == 1
    assert market.truth_bars("binance", BTC, HOUR, DAY_OF_OUTAGE).height == 23


def test_nothing_exists_before_the_listing() -> None:
    listed = parse_time("2024-02-10T08:00")
    span = TimeSpan(Ns(listed - DAY), Ns(listed + DAY))
    first = TimeSpan(span.start, listed)
    assert MARKET.truth_trades("binance", NEW, first).is_empty()
    assert MARKET.truth_bars("binance", NEW, MINUTE, first).is_empty()
    assert MARKET.truth_bars("binance", NEW, HOUR, span)["ts"].dt.hour()[0] == 8
    assert MARKET.truth_bars("binance", NEW, DAY, span)["ts"].dt.day().to_list() == [10, 11]


def test_symbols_are_added_by_name_or_by_density() -> None:
    market = Market(symbols=["AAA/USDT"], trades_per_day={"BBB/EUR": 100})
    assert {Symbol("AAA", "USDT"), Symbol("BBB", "EUR"), BTC} <= market.instruments.keys()
    span = TimeSpan(parse_time("2024-05-01"), parse_time("2024-05-02"))
    assert market.truth_trades("binance", Symbol("BBB", "EUR"), span).height == 100
    assert all(
        one.listed < parse_time("2021-01-01") for one in MARKET.instruments.values() if one.symbol != NEW
    )


def test_a_market_without_trades_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Market(trades_per_day={"BTC/USDT": 0})


def test_contracts_are_other_markets_than_the_spot_they_are_named_after() -> None:
    kinds = {symbol.market for symbol in MARKET.instruments}
    assert kinds == {"spot", "linear", "inverse"}
    hour = TimeSpan(DAY_OF_OUTAGE.start, Ns(DAY_OF_OUTAGE.start + HOUR))
    spot, linear = (
        MARKET.truth_trades("binance", Symbol.parse(text), hour) for text in ("BTC/USDT", "BTC/USDT:USDT")
    )
    assert not spot["ts"].equals(linear["ts"])
    assert linear["price"].mean() == pytest.approx(spot["price"].mean(), rel=0.3)


def test_exchanges_tell_the_same_price_by_other_trades() -> None:
    hour = TimeSpan(DAY_OF_OUTAGE.start, Ns(DAY_OF_OUTAGE.start + HOUR))
    one, other = (MARKET.truth_trades(name, BTC, hour) for name in ("binance", "okx"))
    assert not one["ts"].equals(other["ts"])
    assert one["price"].mean() == pytest.approx(other["price"].mean(), rel=0.01)
