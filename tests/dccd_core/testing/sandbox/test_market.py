from decimal import Decimal
from math import ceil

import polars as pl
import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.market import Market

BTC, NEW = Symbol.parse("BTC/USDT"), Symbol.parse("NEW/USDT")
MARKET = Market()
DAY_OF_OUTAGE = TimeRange(parse_time("2023-03-24"), parse_time("2023-03-25"))


def test_the_truth_comes_in_our_tables() -> None:
    trades = MARKET.truth_trades("binance", BTC, DAY_OF_OUTAGE)
    bars = MARKET.truth_bars("binance", BTC, MINUTE, DAY_OF_OUTAGE)
    assert trades.schema == DataType.TRADES.table.schema
    assert bars.schema == DataType.OHLC.table.schema
    assert trades["ts"].is_between(*DAY_OF_OUTAGE_COLUMN, closed="left").all()
    assert bars["trades"].sum() == trades.height
    assert bars["volume"].sum() == pytest.approx(trades["amount"].sum())


DAY_OF_OUTAGE_COLUMN = (
    pl.lit(DAY_OF_OUTAGE.start).cast(pl.Datetime("us", "UTC")),
    pl.lit(DAY_OF_OUTAGE.end).cast(pl.Datetime("us", "UTC")),
)


def test_bars_inside_an_outage_do_not_exist_longer_ones_do() -> None:
    minutes = MARKET.truth_bars("binance", BTC, MINUTE, DAY_OF_OUTAGE)
    assert minutes.height == 23 * 60
    assert minutes.filter(pl.col("ts").dt.hour() == 10).is_empty()
    assert MARKET.truth_bars("binance", BTC, HOUR, DAY_OF_OUTAGE).height == 23
    assert MARKET.truth_bars("binance", BTC, Us(4 * HOUR), DAY_OF_OUTAGE).height == 6


def test_a_bar_half_in_an_outage_exists() -> None:
    span = TimeRange(parse_time("2021-04-25T04:00"), parse_time("2021-04-25T04:05"))
    assert MARKET.truth_bars("binance", BTC, MINUTE, span).height == 2


def test_outages_come_besides_the_default_ones() -> None:
    span = TimeRange(parse_time("2024-05-01T06:00"), parse_time("2024-05-01T08:00"))
    market = Market(outages=[TimeRange(span.start, Us(span.start + HOUR))])
    assert market.truth_bars("binance", BTC, HOUR, span).height == 1
    assert market.truth_bars("binance", BTC, HOUR, DAY_OF_OUTAGE).height == 23


def test_nothing_exists_before_the_listing() -> None:
    listed = parse_time("2024-02-10T08:00")
    span = TimeRange(Us(listed - DAY), Us(listed + DAY))
    first = TimeRange(span.start, listed)
    assert MARKET.truth_trades("binance", NEW, first).is_empty()
    assert MARKET.truth_bars("binance", NEW, MINUTE, first).is_empty()
    assert MARKET.truth_bars("binance", NEW, HOUR, span)["ts"].dt.hour()[0] == 8
    assert MARKET.truth_bars("binance", NEW, DAY, span)["ts"].dt.day().to_list() == [10, 11]


def test_a_book_of_contracts_tells_the_base() -> None:
    at, inverse = DAY_OF_OUTAGE.start, Symbol.parse("BTC/USD:BTC")
    book = MARKET.orders("okx", inverse)
    truth = MARKET.truth_book("okx", inverse, at, 30)
    assert truth.schema == DataType.ORDERBOOK.table.schema
    assert truth["side"].to_list() == ["bid"] * 30 + ["ask"] * 30
    assert truth["level"].to_list() == [*range(30)] * 2
    assert truth["ts"].to_physical().unique().to_list() == [at]
    lots = [int(amount) for side in book.levels(book.version(at), 30) for amount in side.amount]
    scale = MARKET.instruments[inverse].amount_scale
    assert truth["amount"].to_list() == pytest.approx([amount / 10**scale for amount in lots])


def test_bitmex_counts_whole_contracts_in_books_rounded_up() -> None:
    for name in ("BTC/USD:BTC", "BTC/USDT:USDT", "ETH/BTC"):
        symbol = Symbol.parse(name)
        instrument, book = MARKET.instruments[symbol], MARKET.orders("bitmex", symbol)
        levels, _ = book.levels(book.version(DAY_OF_OUTAGE.start), 500)
        sizes, scale = MARKET.book_sizes("bitmex", symbol, levels)
        amounts = [Decimal(int(lots)).scaleb(-instrument.amount_scale) for lots in levels.amount]
        if symbol.market_type == "inverse":
            prices = [Decimal(int(ticks)).scaleb(-instrument.price_scale) for ticks in levels.price]
            exact = [amount * price for amount, price in zip(amounts, prices, strict=True)]
        else:
            exact = [amount.scaleb(6 if symbol.market_type == "linear" else 8) for amount in amounts]
        assert scale == 0
        assert sizes.tolist() == [ceil(size) for size in exact]


def test_a_venue_that_is_shut_has_no_book() -> None:
    assert MARKET.truth_book("binance", BTC, parse_time("2023-03-24T10:30"), 5).is_empty()
    assert MARKET.truth_book("binance", BTC, parse_time("2023-03-24T11:00"), 5).height == 10


def test_symbols_are_added_by_name_or_by_density() -> None:
    market = Market(symbols=["AAA/USDT"], trades_per_day={"BBB/EUR": 100})
    assert {Symbol("AAA", "USDT"), Symbol("BBB", "EUR"), BTC} <= market.instruments.keys()
    span = TimeRange(parse_time("2024-05-01"), parse_time("2024-05-02"))
    assert market.truth_trades("binance", Symbol("BBB", "EUR"), span).height == 100
    assert all(
        one.listed < parse_time("2021-01-01") for one in MARKET.instruments.values() if one.symbol != NEW
    )


def test_a_market_without_trades_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Market(trades_per_day={"BTC/USDT": 0})


def test_contracts_are_other_markets_than_the_spot_they_are_named_after() -> None:
    kinds = {symbol.market_type for symbol in MARKET.instruments}
    assert kinds == {"spot", "linear", "inverse"}
    hour = TimeRange(DAY_OF_OUTAGE.start, Us(DAY_OF_OUTAGE.start + HOUR))
    spot, linear = (
        MARKET.truth_trades("binance", Symbol.parse(text), hour) for text in ("BTC/USDT", "BTC/USDT:USDT")
    )
    assert not spot["ts"].equals(linear["ts"])
    assert linear["price"].mean() == pytest.approx(spot["price"].mean(), rel=0.3)


def test_exchanges_tell_the_same_price_by_other_trades() -> None:
    hour = TimeRange(DAY_OF_OUTAGE.start, Us(DAY_OF_OUTAGE.start + HOUR))
    one, other = (MARKET.truth_trades(name, BTC, hour) for name in ("binance", "okx"))
    assert not one["ts"].equals(other["ts"])
    assert one["price"].mean() == pytest.approx(other["price"].mean(), rel=0.01)
