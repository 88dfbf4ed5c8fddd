"""What the conformance tests do not say: parameters, weights, bounds, and what the bodies mean in detail."""

import json

import pytest

from dccd_core.adapter.contract import IdWindows, Limit, Query, Reach, Request, Response
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, PayloadError, Throttled
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import binance
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

END = parse_time("2024-01-02")
HALF_OPEN = TimeRange(START, END)
START_MS, LAST_MS = "1704067200000", "1704153599999"
KLINE = b'[%d,"1.5","2.5","0.5","2.0","10.0",%d,"15.0",3,"1","1","0"]'


FUTURES = {"pool": "usdm", "host": "https://fapi.binance.com"}


def query(
    span: TimeRange = HALF_OPEN, limit: int = 1_000, bar: Us | None = None, first_id: int | None = None
) -> Query:
    return Query("BTCUSDT", span, limit, bar, first_id)


def linear(
    span: TimeRange = HALF_OPEN, limit: int = 1_000, bar: Us | None = None, first_id: int | None = None
) -> Query:
    return Query("BTCUSDT", span, limit, bar, first_id, market_type="linear")


def test_bars_are_asked_with_inclusive_milliseconds() -> None:
    assert binance.klines_request(query(bar=MINUTE)) == Request(
        "/api/v3/klines",
        {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS, "endTime": LAST_MS, "limit": "1000"},
        weight=2,
    )


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (0, MILLISECOND, ("0", "0")),
        (1, MILLISECOND, ("1", "0")),  # no whole millisecond in it: the venue answers nothing
        (1, MILLISECOND + 1, ("1", "1")),
        (MILLISECOND, 2 * MILLISECOND, ("1", "1")),
        (MILLISECOND - 1, 2 * MILLISECOND - 1, ("1", "1")),
    ],
)
def test_half_open_nanoseconds_become_the_milliseconds_inside(
    start: int, end: int, asked: tuple[str, str]
) -> None:
    params = binance.klines_request(query(TimeRange(Us(start), Us(end)), bar=MINUTE)).params
    assert (params["startTime"], params["endTime"]) == asked


@pytest.mark.parametrize(
    "text", ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"]
)
def test_a_bar_length_is_written_as_the_venue_writes_it(text: str) -> None:
    span = parse_bar_span(text)
    assert span in binance.EXCHANGE.endpoints[DataType.OHLC].spans
    assert binance.klines_request(query(bar=span)).params["interval"] == text


def test_a_month_is_no_bar_length() -> None:
    assert len(binance.EXCHANGE.endpoints[DataType.OHLC].spans) == 15


def test_trades_are_asked_by_id_or_by_time_never_both() -> None:
    by_id = binance.trades_request(query(first_id=26_129, limit=7))
    assert by_id == Request("/api/v3/aggTrades", {"symbol": "BTCUSDT", "fromId": "26129", "limit": "7"}, 4)
    assert binance.trades_request(query(first_id=0)).params["fromId"] == "0"
    by_time = binance.trades_request(query())
    assert by_time.params == {"symbol": "BTCUSDT", "startTime": START_MS, "endTime": LAST_MS, "limit": "1000"}


@pytest.mark.parametrize(
    ("at", "last"), [(START, "1704067199999"), (Us(START + 1), START_MS), (Us(START - 1), "1704067199999")]
)
def test_the_row_before_a_moment_is_the_newest_up_to_the_millisecond_before(at: Us, last: str) -> None:
    one = TimeRange(at, at)
    asked = {"symbol": "BTCUSDT", "endTime": last, "limit": "1"}
    assert binance.trade_before_request(query(one)) == Request("/api/v3/aggTrades", asked, 4)
    assert binance.trade_before_request(linear(one)) == Request("/fapi/v1/aggTrades", asked, 20, **FUTURES)


def test_the_very_first_rows() -> None:
    kline = {"symbol": "BTCUSDT", "interval": "1d", "startTime": "0", "limit": "1"}
    assert binance.first_kline_request(query(bar=parse_bar_span("1d"))) == Request("/api/v3/klines", kline, 2)
    trade = {"symbol": "BTCUSDT", "fromId": "0", "limit": "1"}
    assert binance.first_trade_request(query()) == Request("/api/v3/aggTrades", trade, 4)


@pytest.mark.parametrize(
    ("levels", "weight"),
    [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1_000, 50), (1_001, 250), (5_000, 250)],
)
def test_a_deeper_book_costs_more(levels: int, weight: int) -> None:
    request = binance.depth_request(query(limit=levels))
    assert (request.params["limit"], request.weight) == (str(levels), weight)


def test_symbols_are_upper_case_without_a_separator() -> None:
    assert binance.market(Symbol("ETH", "BTC")) == "ETHBTC"
    assert binance.market(Symbol.parse("BTC/USDT:USDT")) == "BTCUSDT"
    assert binance.market(Symbol.parse("BTC/USDC:USDC")) == "BTCUSDC"


def test_both_servers_are_asked_for_their_symbols() -> None:
    assert binance.markets_requests() == (
        Request("/api/v3/exchangeInfo", {}, 20),
        Request("/fapi/v1/exchangeInfo", {}, 1, **FUTURES),
    )


def test_the_taker_s_side_is_the_opposite_of_the_maker_s() -> None:
    body = b'[{"a":1,"p":"1","q":"2","T":5,"m":true},{"a":2,"p":"1","q":"2","T":5,"m":false}]'
    assert binance.decode_trades(body, START)["side"].to_list() == ["sell", "buy"]


def test_trades_of_one_millisecond_keep_the_venue_s_order() -> None:
    body = b",".join(b'{"a":%d,"p":"1","q":"2","T":5,"m":true}' % number for number in range(8, 12))
    assert binance.decode_trades(b"[%s]" % body, START)["trade_id"].to_list() == ["8", "9", "10", "11"]


@pytest.mark.parametrize(
    "time",
    [1_704_067_200_000_000, -1, 9_223_372_036_855, 10**30],
    ids=["microseconds", "negative", "just", "far"],
)
def test_a_time_that_is_no_millisecond_of_ours_is_refused(time: int) -> None:
    """Microseconds times a million would silently wrap round to another century."""
    with pytest.raises(PayloadError, match=r"Expected `int`|out of range"):
        binance.decode_klines(b"[%s]" % (KLINE % (time, time)), START)
    with pytest.raises(PayloadError, match=r"Expected `int`|out of range"):
        binance.decode_trades(b'[{"a":1,"p":"1","q":"2","T":%d,"m":true}]' % time, START)


def test_the_last_millisecond_that_fits_is_exact() -> None:
    rows = binance.decode_klines(b"[%s]" % (KLINE % (9_223_372_036_854, 0)), START)
    assert rows["ts"].to_physical().to_list() == [9_223_372_036_854_000]


@pytest.mark.parametrize("number", [2**63, -1])
def test_an_id_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(PayloadError):
        binance.decode_trades(b'[{"a":%d,"p":"1","q":"2","T":5,"m":true}]' % number, START)


def test_prices_are_read_as_the_nearest_double() -> None:
    rows = binance.decode_klines(
        b'[[60000,"0.1","92233.72036854","0.00000001","1e3","0",0,"9007199254740993",0]]', START
    )
    assert rows.row(0)[1:] == (0.1, 92233.72036854, 1e-8, 1000.0, 0.0, 9007199254740992.0, 0)


@pytest.mark.parametrize("price", ["NaN", "-1", "inf"])
def test_impossible_numbers_are_read_and_left_to_the_sieve(price: str) -> None:
    rows = binance.decode_trades(b'[{"a":1,"p":"%s","q":"2","T":5,"m":true}]' % price.encode(), START)
    assert rows.height == 1


@pytest.mark.parametrize(
    ("headers", "spent"),
    [
        ({"x-mbx-used-weight-1m": "123"}, 123),
        ({"x-mbx-used-weight-1m": "0"}, 0),
        ({"x-mbx-used-weight": "9"}, None),
        ({"x-mbx-used-weight-1m": "many"}, None),
        ({"x-mbx-used-weight-1m": "-4"}, None),
        ({}, None),
    ],
)
def test_the_used_weight_is_learnt_from_its_header(headers: dict[str, str], spent: int | None) -> None:
    assert binance.used(headers) == spent


@pytest.mark.parametrize(
    ("answer", "kind", "wait_s"),
    [
        (response(429, b"", retry_after="7"), Throttled, 7.0),
        (response(429, b""), Throttled, None),
        (response(418, b"", retry_after="120"), Banned, 120.0),
        (
            response(418, b'{"code":-1003,"msg":"IP banned until %d."}' % (START // MILLISECOND + 90_000)),
            Banned,
            90.0,
        ),
        (
            response(400, b'{"code":-1003,"msg":"IP banned until %d."}' % (START // MILLISECOND + 90_000)),
            Banned,
            90.0,
        ),
        (
            response(418, b'{"code":-1003,"msg":"IP banned until %d."}' % (START // MILLISECOND - 90_000)),
            Banned,
            0.0,
        ),
        (response(429, b"", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), Throttled, 3_600.0),
        (response(403, b"<html>"), Banned, 60.0),
    ],
)
def test_how_long_to_stay_away(answer: Response, kind: type[Throttled], wait_s: float | None) -> None:
    assert stays_away(binance.verdict(answer)) == (kind, wait_s)


def test_a_code_deep_inside_data_is_no_error() -> None:
    info = b'{"timezone":"UTC","symbols":[' + b" " * 300 + b'{"code":-1121}]}'
    assert binance.verdict(response(200, info)) is None
    assert binance.verdict(response(200, b'{"code":"text","msg":5}')) is None, (
        "decoding will say what is wrong"
    )


def test_bars_settle_some_seconds_after_their_close() -> None:
    assert binance.EXCHANGE.finality_delay == 5 * SECOND
    assert binance.EXCHANGE.limits == (Limit(6_000, MINUTE), Limit(2_400, MINUTE, "usdm"))


class TestFutures:
    """What the USD-M server wants otherwise."""

    @pytest.mark.parametrize(
        ("rows", "weight"),
        [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1_000, 5), (1_001, 10), (1_500, 10)],
    )
    def test_the_weight_of_bars_grows_with_their_number(self, rows: int, weight: int) -> None:
        request = binance.klines_request(linear(limit=rows, bar=MINUTE))
        asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": START_MS, "endTime": LAST_MS}
        assert request == Request("/fapi/v1/klines", {**asked, "limit": str(rows)}, weight, **FUTURES)

    def test_a_page_of_bars_is_the_one_that_gives_most_for_its_weight(self) -> None:
        endpoint = binance.EXCHANGE.endpoint("linear", DataType.OHLC)
        assert endpoint
        worth = {
            rows: rows / binance.klines_request(linear(limit=rows, bar=MINUTE)).weight
            for rows in range(1, 1_501)
        }
        assert endpoint.page_limit == max(worth, key=lambda rows: worth[rows])

    def test_there_are_no_seconds(self) -> None:
        endpoint = binance.EXCHANGE.endpoint("linear", DataType.OHLC)
        assert endpoint
        assert set(binance.EXCHANGE.endpoints[DataType.OHLC].spans) - set(endpoint.spans) == {SECOND}

    def test_trades_reach_back_a_day_and_their_first_cannot_be_asked(self) -> None:
        endpoint = binance.EXCHANGE.endpoint("linear", DataType.TRADES)
        assert endpoint
        assert (endpoint.reach, str(endpoint.reach)) == (Reach(period=DAY), "the last 24 hours")
        assert endpoint.oldest is None
        assert endpoint.paging == IdWindows(before=binance.trade_before_request)

    def test_trades_are_asked_by_id_without_times(self) -> None:
        asked = {"symbol": "BTCUSDT", "fromId": "0", "limit": "1000"}
        assert binance.trades_request(linear(first_id=0)) == Request(
            "/fapi/v1/aggTrades", asked, 20, **FUTURES
        )

    @pytest.mark.parametrize(
        ("length", "last"),
        [
            (Us(HOUR - 2 * MILLISECOND), "1704070799997"),
            (Us(HOUR - MILLISECOND), "1704070799998"),
            (HOUR, "1704070799998"),
            (DAY, "1704070799998"),
        ],
    )
    def test_a_window_of_trades_is_always_shorter_than_an_hour(self, length: Us, last: str) -> None:
        params = binance.trades_request(linear(TimeRange(START, Us(START + length)))).params
        assert (params["startTime"], params["endTime"]) == (START_MS, last)
        assert int(last) - int(START_MS) < HOUR // MILLISECOND

    @pytest.mark.parametrize(
        ("levels", "asked", "weight"),
        [
            *[(1, 5, 2), (5, 5, 2), (6, 10, 2), (21, 50, 2), (50, 50, 2)],
            *[(51, 100, 5), (101, 500, 10), (500, 500, 10), (501, 1_000, 20), (1_000, 1_000, 20)],
        ],
    )
    def test_a_book_has_one_of_few_depths(self, levels: int, asked: int, weight: int) -> None:
        assert binance.depth_request(linear(limit=levels)) == Request(
            "/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": str(asked)}, weight, **FUTURES
        )

    def test_the_book_s_time_is_the_engine_s_not_the_message_s(self) -> None:
        body = b'{"lastUpdateId":1,"E":%d,"T":%d,"bids":[["1","2"]],"asks":[]}' % (7, 5)
        assert binance.decode_depth(body, START)["ts"].to_physical().to_list() == [5 * MILLISECOND]

    def test_dated_contracts_and_stocks_are_no_perpetuals(self) -> None:
        kinds = ["PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL", ""]
        common = {"status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
        symbols = [{"symbol": kind[:4], "contractType": kind, **common} for kind in kinds]
        markets = binance.decode_markets(json.dumps({"symbols": symbols}).encode())
        assert markets["market"].to_list() == ["PERP"]

    def test_the_first_bar_is_asked_lightly(self) -> None:
        asked = {"symbol": "BTCUSDT", "interval": "1d", "startTime": "0", "limit": "1"}
        request = binance.first_kline_request(linear(bar=DAY))
        assert request == Request("/fapi/v1/klines", asked, 1, **FUTURES)
