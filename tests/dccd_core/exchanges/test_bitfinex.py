"""What the conformance tests do not say: parameters, bounds, the traps, and what bodies mean."""

import pytest

from dccd_core.adapter.contract import NOW, Cursor, Keeps, Query, Request, Response, TimeWindows
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, PayloadError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bitfinex
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

END = parse_time("2024-01-02")
HALF_OPEN = TimeRange(START, END)
START_MS, LAST_MS = "1704067200000", "1704153599999"
CANDLE = b"[%d,1.5,2.0,2.5,0.5,10]"


def query(
    span: TimeRange = HALF_OPEN, limit: int = 10_000, bar: Us | None = None, name: str = "tBTCUSD"
) -> Query:
    return Query(name, span, limit, bar)


def test_bars_are_asked_oldest_first_with_inclusive_milliseconds() -> None:
    """Without ``sort=1`` a window with more bars than a page would keep its newest ones."""
    assert bitfinex.candles_request(query(bar=MINUTE)) == Request(
        "/v2/candles/trade:1m:tBTCUSD/hist",
        {"start": START_MS, "end": LAST_MS, "limit": "10000", "sort": "1"},
        pool="candles",
    )


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (0, MINUTE, ("0", "59999")),
        (1, 2 * MINUTE, ("60000", "119999")),
        (MINUTE - 1, 2 * MINUTE + 1, ("60000", "120000")),
        (MINUTE, 2 * MINUTE, ("60000", "119999")),
        (MINUTE + MILLISECOND, 3 * MINUTE, ("120000", "179999")),
        (1, MINUTE, ("60000", "60001")),  # no bar opens in it: the venue would refuse an end before the start
    ],
)
def test_the_start_of_bars_is_rounded_up_to_their_grid(start: int, end: int, asked: tuple[str, str]) -> None:
    params = bitfinex.candles_request(query(TimeRange(Us(start), Us(end)), bar=MINUTE)).params
    assert (params["start"], params["end"]) == asked


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (0, 2 * MILLISECOND, ("0", "1")),
        (1, 3 * MILLISECOND, ("1", "2")),
        (MILLISECOND - 1, 3 * MILLISECOND + 1, ("1", "3")),
        (MILLISECOND, 2 * MILLISECOND, ("1", "2")),  # one millisecond, which takes two bounds
        (1, MILLISECOND, ("1", "2")),
    ],
)
def test_half_open_nanoseconds_become_milliseconds_that_make_an_interval(
    start: int, end: int, asked: tuple[str, str]
) -> None:
    params = bitfinex.trades_request(query(TimeRange(Us(start), Us(end)))).params
    assert (params["start"], params["end"]) == asked
    assert int(params["end"]) > int(params["start"])


@pytest.mark.parametrize(
    ("text", "frame"),
    [(same, same) for same in ["1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h"]] + [("1d", "1D")],
)
def test_a_bar_length_is_written_as_the_venue_writes_it(text: str, frame: str) -> None:
    span = parse_bar_span(text)
    assert span in bitfinex.EXCHANGE.endpoints[DataType.OHLC].spans
    assert bitfinex.candles_request(query(bar=span)).path == f"/v2/candles/trade:{frame}:tBTCUSD/hist"


def test_weeks_and_months_are_no_bar_lengths() -> None:
    """``1M`` is a month to Bitfinex, and nobody says where a week begins."""
    assert len(bitfinex.EXCHANGE.endpoints[DataType.OHLC].spans) == 9
    assert max(bitfinex.EXCHANGE.endpoints[DataType.OHLC].spans) == DAY


def test_trades_are_asked_from_a_moment_on_which_is_part_of_the_answer() -> None:
    """The page after one that ended at some millisecond begins with that millisecond, not after it."""
    last_row = TimeRange(Us(START + 7 * MILLISECOND), END)
    assert bitfinex.trades_request(query(last_row, limit=7)) == Request(
        "/v2/trades/tBTCUSD/hist",
        {"start": "1704067200007", "end": LAST_MS, "limit": "7", "sort": "1"},
        pool="trades",
    )


def test_the_very_first_rows() -> None:
    first = {"start": "0", "limit": "1", "sort": "1"}
    assert bitfinex.first_candle_request(query(bar=DAY)) == Request(
        "/v2/candles/trade:1D:tBTCUSD/hist", first, pool="candles"
    )
    assert bitfinex.first_trade_request(query()) == Request("/v2/trades/tBTCUSD/hist", first, pool="trades")


@pytest.mark.parametrize(
    ("levels", "asked"), [(1, "1"), (2, "25"), (25, "25"), (26, "100"), (99, "100"), (100, "100")]
)
def test_the_smallest_book_is_asked_that_holds_the_levels(levels: int, asked: str) -> None:
    request = bitfinex.book_request(query(limit=levels))
    assert request == Request("/v2/book/tBTCUSD/P0", {"len": asked}, pool="book")


def test_a_colon_stays_and_what_else_is_odd_cannot_leave_the_path() -> None:
    assert bitfinex.trades_request(query(name="tDOGE:USD")).path == "/v2/trades/tDOGE:USD/hist"
    assert bitfinex.book_request(query(limit=1, name="tA?b#:US%")).path == "/v2/book/tA%3Fb%23:US%25/P0"


@pytest.mark.parametrize(
    ("symbol", "own"),
    [
        ("BTC/USD", "tBTCUSD"),
        ("BTC/USDT", "tBTCUST"),
        ("ETH/BTC", "tETHBTC"),
        ("DOGE/USD", "tDOGE:USD"),
        ("DOGE/USDT", "tDOGE:UST"),
        ("BTC/CNHT", "tBTC:CNHT"),
        ("1INCH/USD", "t1INCH:USD"),
        ("ATOM/USD", "tATOUSD"),
        ("DASH/BTC", "tDSHBTC"),
        ("USDC/USDT", "tUDCUST"),
    ],
)
def test_symbols_there_and_back(symbol: str, own: str) -> None:
    assert bitfinex.market(Symbol.parse(symbol)) == own
    row = bitfinex.decode_markets(b'[["%s"]]' % own.removeprefix("t").encode()).row(0)
    assert row == (symbol, own, True, *[None] * 5)


def test_markets_are_asked_in_one_request() -> None:
    assert bitfinex.markets_requests() == (Request("/v2/conf/pub:list:pair:exchange", {}, pool="conf"),)


@pytest.mark.parametrize("body", [b"[]", b"[[1]]", b'["BTCUSD"]', b'{"a":1}', b"[null]"])
def test_a_listing_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        bitfinex.decode_markets(body)


def test_the_close_comes_before_the_high() -> None:
    rows = bitfinex.decode_candles(b"[[60000,1,2,4,0.5,9]]", START)
    assert rows.select("open", "high", "low", "close", "volume").row(0) == (1.0, 4.0, 0.5, 2.0, 9.0)
    assert rows.select("quote_volume", "trades").row(0) == (None, None)


def test_the_sign_of_the_amount_is_the_taker_s_side() -> None:
    rows = bitfinex.decode_trades(b"[[1,5,0.25,10],[2,5,-0.25,10]]", START)
    assert rows["side"].to_list() == ["buy", "sell"]
    assert rows["amount"].to_list() == [0.25, 0.25]


def test_the_sign_of_the_amount_is_the_side_of_a_level() -> None:
    rows = bitfinex.decode_book(b"[[9,1,2],[8,3,1],[10,1,-4],[11,2,-5]]", START)
    assert rows.select("side", "level", "price", "amount").rows() == [
        *(("bid", 0, 9.0, 2.0), ("bid", 1, 8.0, 1.0), ("ask", 0, 10.0, 4.0), ("ask", 1, 11.0, 5.0))
    ]
    assert rows["ts"].to_physical().unique().to_list() == [START]


def test_a_book_of_one_side_is_a_book() -> None:
    assert bitfinex.decode_book(b"[[10,1,-4]]", START).select("side", "level").rows() == [("ask", 0)]
    assert bitfinex.decode_book(b"[]", START).is_empty()


def test_trades_of_one_millisecond_keep_the_venue_s_order() -> None:
    body = b",".join(b"[%d,5,1,1]" % number for number in (8, 13, 19, 22))
    assert bitfinex.decode_trades(b"[%s]" % body, START)["trade_id"].to_list() == ["8", "13", "19", "22"]


@pytest.mark.parametrize("time", ["1704067200000000", "-1", "9223372036855", "1704067200000.5", "1e12"])
def test_a_time_that_is_no_millisecond_of_ours_is_refused(time: str) -> None:
    """Microseconds times a million would silently wrap round to another century."""
    with pytest.raises(PayloadError, match="unexpected shape"):
        bitfinex.decode_candles(b"[[%s,1,1,1,1,1]]" % time.encode(), START)
    with pytest.raises(PayloadError, match="unexpected shape"):
        bitfinex.decode_trades(b"[[1,%s,1,1]]" % time.encode(), START)


def test_the_last_millisecond_that_fits_is_exact() -> None:
    rows = bitfinex.decode_candles(b"[%s]" % (CANDLE % 9_223_372_036_854), START)
    assert rows["ts"].to_physical().to_list() == [9_223_372_036_854_000]


@pytest.mark.parametrize("number", [2**63, -1])
def test_an_id_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(PayloadError):
        bitfinex.decode_trades(b"[[%d,5,1,1]]" % number, START)


def test_prices_are_read_as_the_nearest_double() -> None:
    rows = bitfinex.decode_candles(b"[[60000,0.1,92233.72036854,1e3,73218,9007199254740993]]", START)
    assert rows.select("open", "close", "high", "low", "volume").row(0) == (
        *(0.1, 92233.72036854, 1000.0, 73218.0, 9007199254740992.0),
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(429, b'{"error":"ERR_RATE_LIMIT"}'), Throttled),
        (response(429, b'["error",11010,"ratelimit: error"]'), Throttled),
        (response(500, b'["error",11010,"ratelimit: error"]'), Throttled),
        (response(200, b' [ "error", 11010, "ratelimit: error" ]'), Throttled),
        (response(429, b"<html>"), Throttled),
        (response(403, b"<html>"), Banned),
    ],
)
def test_a_block_lasts_a_minute_though_nobody_says_so(answer: Response, kind: type[Throttled]) -> None:
    assert stays_away(bitfinex.verdict(answer)) == (kind, 60.0)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'["error",10020,"symbol: invalid"]', UnknownSymbol),
        (200, b'["error",10020,"symbol: invalid"]', UnknownSymbol),
        (500, b'["error",10020,"time_interval: invalid"]', Rejected),
        (500, b'["error",10020,"len: invalid",null]', Rejected),
        (400, b'["error",10001,"something else"]', Rejected),
        (500, b'["error",10001,"something else"]', Unavailable),
        (500, b'["error",10000,"unknown error"]', Unavailable),
        (200, b'["error",10000,"unknown error"]', Unavailable),
        (200, b'["error",20060,"maintenance"]', Unavailable),
        (200, b'{"error":"temporarily_unavailable"}', Unavailable),
        (200, b'{"error":"ERR_UNHEARD"}', Rejected),
        (400, b"", Rejected),
        (404, b"[]", Rejected),
        (451, b"", Rejected),
        (500, b"", Unavailable),
        (500, b'["error"]', Unavailable),
        (520, b"<html>", Unavailable),
    ],
)
def test_an_error_is_told_from_its_code_where_there_is_one(
    status: int, body: bytes, kind: type[Exception]
) -> None:
    """A wrong request comes with HTTP 500, where asking again would not help."""
    assert type(bitfinex.verdict(response(status, body))) is kind


def test_the_venue_s_own_words_are_kept() -> None:
    told = bitfinex.verdict(response(500, b'["error",10020,"limit: invalid"]'))
    assert str(told).startswith("HTTP 500: 10020 limit: invalid -> ")
    described = b'{"code":503,"error":"temporarily_unavailable","error_description":"Sorry."}'
    told = bitfinex.verdict(response(503, described))
    assert str(told).startswith("HTTP 503: temporarily_unavailable Sorry. -> ")
    assert str(bitfinex.verdict(response(502, b"<html>bad"))).startswith("HTTP 502: <html>bad -> ")


@pytest.mark.parametrize(
    "body",
    [b"[]", b'[["error",1]]', b'[["AAVE:USD"]]', b'{"unheard":1}', b'["error",null,"?"]', b'{"error":5}'],
)
def test_what_is_no_known_error_is_left_to_the_decoders(body: bytes) -> None:
    assert bitfinex.verdict(response(200, body)) is None
    if body != b"[]":
        with pytest.raises(PayloadError, match="unexpected shape"):
            bitfinex.decode_trades(body, START)


def test_a_wrong_symbol_is_no_error_of_candles_and_trades() -> None:
    """So the engine must ask symbol discovery before it believes that a market has no rows at all."""
    assert bitfinex.verdict(response(200, b"[]")) is None
    assert bitfinex.decode_trades(b"[]", START).is_empty()


def test_what_the_engine_relies_on() -> None:
    exchange = bitfinex.EXCHANGE
    limits = {limit.pool: (limit.amount, limit.period) for limit in exchange.limits}
    assert limits == {
        pool: (n, MINUTE) for pool, n in [("candles", 30), ("trades", 15), ("book", 240), ("conf", 90)]
    }
    bars, trades, book = (exchange.endpoints[data_type] for data_type in DataType)
    assert (bars.paging, bars.page_limit, bars.sparse) == (TimeWindows(Keeps.OLDEST), 10_000, True)
    assert (trades.paging, trades.page_limit, trades.contracts) == (Cursor(), 10_000, False)
    assert (book.page_limit, book.reach) == (100, NOW)
    assert exchange.finality_delay == 15 * SECOND
    assert exchange.used is None
    assert exchange.kinds == {"spot"}
