"""What the conformance tests do not say: parameters, bounds, the traps, and what bodies and messages mean."""

import json
from collections.abc import Sequence
from zlib import crc32

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import NOW, Cursor, Keeps, Limit, Query, Request, Response, TimeWindows
from dccd_core.adapter.live import Ack, BookChange, Heard, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import Banned, PayloadError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, Ns, TimeSpan, parse_time
from dccd_core.exchanges import bitfinex
from dccd_core.stream.book import Book

START, END = parse_time("2024-01-01"), parse_time("2024-01-02")
HALF_OPEN = TimeSpan(START, END)
START_MS, LAST_MS = "1704067200000", "1704153599999"
CANDLE = b"[%d,1.5,2.0,2.5,0.5,10]"


def query(
    span: TimeSpan = HALF_OPEN, limit: int = 10_000, bar: Ns | None = None, name: str = "tBTCUSD"
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
    params = bitfinex.candles_request(query(TimeSpan(Ns(start), Ns(end)), bar=MINUTE)).params
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
    params = bitfinex.trades_request(query(TimeSpan(Ns(start), Ns(end)))).params
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
    last_row = TimeSpan(Ns(START + 7 * MILLISECOND), END)
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
    assert row == (symbol, own, True, None, None, None, None)


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


def test_arrays_may_grow_at_their_end() -> None:
    assert bitfinex.decode_candles(b'[[60000,1,2,4,0.5,9,"new",{}]]', START).height == 1
    assert bitfinex.decode_trades(b"[[1,5,0.25,10,null]]", START).height == 1
    assert bitfinex.decode_book(b"[[9,1,2,[]]]", START).height == 1


@pytest.mark.parametrize(
    "body", [b"[[60000,1,2,4,0.5]]", b"[[60000,1,2,4,0.5,null]]", b'[[60000,1,2,4,0.5,"9"]]']
)
def test_a_missing_or_mistyped_value_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        bitfinex.decode_candles(body, START)


@pytest.mark.parametrize("body", [b"[]", b" [ ] "])
def test_an_empty_list_is_no_rows_of_the_right_table(body: bytes) -> None:
    assert bitfinex.decode_trades(body, START).is_empty()
    assert bitfinex.decode_candles(body, START).is_empty()


@pytest.mark.parametrize("time", ["1704067200000000", "-1", "9223372036855", "1704067200000.5", "1e12"])
def test_a_time_that_is_no_millisecond_of_ours_is_refused(time: str) -> None:
    """Microseconds times a million would silently wrap round to another century."""
    with pytest.raises(PayloadError, match="unexpected shape"):
        bitfinex.decode_candles(b"[[%s,1,1,1,1,1]]" % time.encode(), START)
    with pytest.raises(PayloadError, match="unexpected shape"):
        bitfinex.decode_trades(b"[[1,%s,1,1]]" % time.encode(), START)


def test_the_last_millisecond_that_fits_is_exact() -> None:
    rows = bitfinex.decode_candles(b"[%s]" % (CANDLE % 9_223_372_036_854), START)
    assert rows["ts"].to_physical().to_list() == [9_223_372_036_854_000_000]


@pytest.mark.parametrize("number", [2**63, -1])
def test_an_id_that_does_not_fit_is_refused(number: int) -> None:
    with pytest.raises(PayloadError):
        bitfinex.decode_trades(b"[[%d,5,1,1]]" % number, START)


def test_prices_are_read_as_the_nearest_double() -> None:
    rows = bitfinex.decode_candles(b"[[60000,0.1,92233.72036854,1e3,73218,9007199254740993]]", START)
    assert rows.select("open", "close", "high", "low", "volume").row(0) == (
        *(0.1, 92233.72036854, 1000.0, 73218.0, 9007199254740992.0),
    )


def response(status: int, body: bytes) -> Response:
    return Response(status, {}, body, START)


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
    error = bitfinex.verdict(answer)
    assert isinstance(error, Throttled)
    assert (type(error), error.wait_s) == (kind, 60.0)


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
    assert exchange.settle == 15 * SECOND
    assert exchange.used is None
    assert exchange.kinds == {"spot"}


LIVE = bitfinex.LIVE
TRADES = Topic(DataType.TRADES, "tBTCUSD")
BARS = Topic(DataType.OHLC, "tDOGE:USD", bar=DAY)
BOOK = Topic(DataType.ORDERBOOK, "tBTCUSD", depth=100)
NAMES = {1: "trades:tBTCUSD", 2: "candles:trade:1D:tDOGE:USD", 3: "book:tBTCUSD"}
OPEN = bitfinex.Connection(NAMES, 7)
AT = 1_700_000_000_000


def heard(*messages: object, state: object = OPEN) -> Heard:
    """Hear messages (JSON, or bytes as they are), the first of which came at 100."""
    frames = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
    return LIVE.hear(frames, [Ns(100 + n) for n in range(len(frames))], state)


def numbered(*messages: Sequence[object]) -> list[list[object]]:
    """Give messages the numbers that come next, and a millisecond each."""
    return [[*message, 8 + n, AT + n] for n, message in enumerate(messages)]


def test_a_connection_begins_with_the_flags() -> None:
    assert [json.loads(text) for text in LIVE.greeting] == [
        {"event": "conf", "flags": 32_768 + 65_536 + 131_072}
    ]
    assert heard({"event": "conf", "status": "OK", "flags": 229_376}) == Heard(state=OPEN)


@pytest.mark.parametrize(
    ("topic", "name", "words"),
    [
        (TRADES, "trades:tBTCUSD", {"channel": "trades", "symbol": "tBTCUSD"}),
        (BARS, "candles:trade:1D:tDOGE:USD", {"channel": "candles", "key": "trade:1D:tDOGE:USD"}),
        (
            BOOK,
            "book:tBTCUSD",
            {"channel": "book", "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "100"},
        ),
    ],
)
def test_a_topic_is_called_what_the_answer_calls_it(topic: Topic, name: str, words: dict[str, str]) -> None:
    assert LIVE.name(topic) == name
    assert json.loads(LIVE.subscribe([topic], 1)) == {"event": "subscribe", **words}
    answer = heard({"event": "subscribed", "chanId": 4, "pair": "x", **words}, state=None)
    assert answer.acks == [Ack(name)]
    assert answer.state == bitfinex.Connection({4: name})


def test_a_message_is_for_one_topic_only() -> None:
    assert LIVE.batch == 1
    with pytest.raises(ValueError, match="too many values"):
        LIVE.subscribe([TRADES, BARS], 1)


def test_who_leaves_names_the_channel() -> None:
    assert json.loads(LIVE.unsubscribe([BARS], 1, OPEN)) == {"event": "unsubscribe", "chanId": 2}
    nowhere = Topic(DataType.TRADES, "tETHUSD")
    assert json.loads(LIVE.unsubscribe([nowhere], 1, OPEN)) == {"event": "unsubscribe", "chanId": 0}


def test_what_still_comes_of_a_channel_that_was_left_is_passed_over_but_counted() -> None:
    left = heard({"event": "unsubscribed", "status": "OK", "chanId": 3})
    assert left == Heard(state=bitfinex.Connection({**NAMES, 3: ""}, 7))
    again = {"event": "subscribed", "channel": "book", "symbol": "tBTCUSD", "chanId": 4}
    old, new, late = numbered([3, [9, 1, 5]], [4, [[8, 1, 5]]], [3, "cs", 5])
    back = heard(old, again, new, late, state=left.state)
    assert [change.bids for change in back.books] == [[("8", "5")]]
    assert (back.restart, back.bad) == (None, [])
    assert json.loads(LIVE.unsubscribe([BOOK], 1, back.state))["chanId"] == 4


@pytest.mark.parametrize(
    ("error", "ack"),
    [
        (
            {"msg": "symbol: invalid", "code": 10300, "channel": "trades", "symbol": "tX"},
            Ack("trades:tX", error="10300 symbol: invalid"),
        ),
        (
            {"msg": "key: invalid", "code": 10300, "channel": "candles", "key": "trade:1m:tX"},
            Ack("candles:trade:1m:tX", error="10300 key: invalid"),
        ),
        (
            {"msg": "channel: limit", "code": 10305, "channel": "book", "symbol": "tX", "len": "100"},
            Ack("book:tX", error="10305 channel: limit"),
        ),
        ({"msg": "event: invalid", "code": 20000}, Ack(error="20000 event: invalid")),
        ({"msg": "what?"}, Ack(error="None what?")),
    ],
)
def test_a_refusal_says_of_what_and_why(error: dict[str, object], ack: Ack) -> None:
    assert heard({"event": "error", **error}) == Heard(acks=[ack], state=OPEN)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event": "info", "code": 20051, "msg": "Stopping."}, "20051 Stopping."),
        ({"event": "info", "code": 20060, "msg": "Maintenance."}, "20060 Maintenance."),
        ({"event": "info", "code": 20061, "msg": "It is over."}, "20061 It is over."),
        ({"event": "info", "version": 2, "platform": {"status": 0}}, "Bitfinex is being maintained"),
        ({"event": "error", "code": 10301, "msg": "dup", "channel": "trades", "symbol": "tX"}, "10301 dup"),
        ({"event": "error", "code": 10400, "msg": "no", "chanId": 0}, "10400 no"),
        ({"event": "error", "code": 10401, "msg": "not subscribed"}, "10401 not subscribed"),
    ],
)
def test_what_ends_a_connection(event: dict[str, object], reason: str) -> None:
    assert heard(event) == Heard(restart=reason, state=OPEN)


def test_the_greeting_of_a_venue_that_works_is_nothing() -> None:
    info = {"event": "info", "version": 2, "serverId": "x", "platform": {"status": 1}}
    assert heard(info, state=None) == Heard(state=bitfinex.Connection())


@pytest.mark.parametrize(
    "event",
    [
        {"event": "unheard"},
        {"event": "info", "code": 20099},
        {"event": "info", "version": 2},
        {"event": "conf", "status": "FAILED"},
        {"event": "subscribed", "channel": "trades", "symbol": "tX"},
        {"event": "subscribed", "channel": "trades", "symbol": "tX", "chanId": "1"},
        {"event": "error", "msg": 5},
        {"no": "event"},
        [],
        [3],
        [3, "hb"],
        b"pong",
        b"",
        b"{},{}",
    ],
    ids=str,
)
def test_what_is_not_understood_is_bad_and_its_neighbours_are_kept(event: object) -> None:
    before, after = numbered([1, "te", [5, AT, 1, 10]], [1, "hb"])
    subscribed = {"event": "subscribed", "channel": "trades", "symbol": "tETHUSD", "chanId": 9}
    told = heard(before, event, subscribed, after)
    [(text, reason)] = told.bad
    assert text == (event if isinstance(event, bytes) else json.dumps(event).encode())
    assert reason
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5"]
    assert (told.acks, told.restart) == ([Ack("trades:tETHUSD")], None)
    assert told.state == bitfinex.Connection({**NAMES, 9: "trades:tETHUSD"}, 9)
    assert told.at == Ns((AT + 1) * MILLISECOND)


@pytest.mark.parametrize(
    "message",
    [
        [3, "hb", 9],
        [3, "cs", 12, 9],
        [3, "hb", 9, AT * 1_000],
        [3, "hb", "9", AT],
        [99, "hb", 9, AT],
        [1, "new", [1, AT, 1, 1], 9, AT],
        [2, "te", [1, AT, 1, 1], 9, AT],
        [3, "new", 1, 9, AT],
        [1, "te", [1, AT, 1], 9, AT],
        [1, "te", [1, AT, None, 1], 9, AT],
        [1, [1, AT, "1", 1], 9, AT],
        [1, {}, 9, AT],
        [1, None, 9, AT],
        [2, [AT, 1, 1, 1, 1], 9, AT],
        [2, "cs", 5, 9, AT],
        [3, [1, 1], 9, AT],
        [3, [1, 1, "1"], 9, AT],
        [3, [None, 1, 1], 9, AT],
        [3, [[1], 1, 1], 9, AT],
        [3, "cs", 1.5, 9, AT],
        [3, "te", [1, AT, 1, 1], 9, AT],
    ],
    ids=str,
)
def test_of_what_is_not_understood_the_number_is_missed(message: object) -> None:
    """Something is lost with it, as if it had not come; what came before is kept."""
    before, _, after = numbered([1, "te", [5, AT, 1, 10]], [], [1, "hb"])
    told = heard(before, message, after)
    assert [text for text, _ in told.bad] == [json.dumps(message).encode()]
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5"]
    assert told.restart == "message 10 came after 8: something is lost"
    assert told.at == Ns(AT * MILLISECOND)


def test_a_trade_is_taken_when_it_comes_first() -> None:
    row, same = [5, AT, -0.25, 10.5], [5, AT, -0.25, 10.5]
    told = heard(*numbered([1, "te", row], [1, "tu", same], [1, "te", [9, AT, 1, 11, "new"]]))
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5", "9"]
    assert told.trades.drop("ts").row(0) == (10.5, 0.25, "sell", "5", "trades:tBTCUSD", 100)
    assert told.trades.drop("ts").row(1) == (11.0, 1.0, "buy", "9", "trades:tBTCUSD", 102)
    assert told.trades["ts"].to_physical().to_list() == [AT * MILLISECOND] * 2


def test_the_trades_that_a_channel_begins_with_are_turned_round() -> None:
    """They come newest first; trades of one moment would stand in another order than in history."""
    told = heard(*numbered([1, [[7, AT, 1, 1], [6, AT, 1, 1], [5, AT - 9, -1, 1]]], [1, []]))
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5", "6", "7"]
    assert told.trades["received"].to_list() == [100] * 3


def test_live_trades_are_those_of_history() -> None:
    rows = [[5, AT, -0.25, 10.5], [6, AT, 1e-8, 73218], [9, AT + 1, 3, 0.1]]
    told = heard(*numbered(*([1, "te", row] for row in rows)))
    assert told.trades is not None
    history = bitfinex.decode_trades(json.dumps(rows).encode(), START)
    assert told.trades.drop("topic", "received").equals(history)


def test_bars_begin_with_some_of_before_and_are_told_again_as_they_grow() -> None:
    candle = [AT, 1, 2, 4, 0.5, 9]
    told = heard(*numbered([2, [candle, [AT - 60_000, 1, 1, 1, 1, 1]]], [2, [AT, 1, 3, 4, 0.5, 10]], [2, []]))
    assert told.bars is not None
    assert told.bars["ts"].to_physical().to_list() == [t * MILLISECOND for t in (AT - 60_000, AT, AT)]
    assert told.bars.select("open", "high", "low", "close", "volume").rows()[1:] == [
        *((1.0, 4.0, 0.5, 2.0, 9.0), (1.0, 4.0, 0.5, 3.0, 10.0))
    ]
    assert told.bars["closed"].null_count() == told.bars["quote_volume"].null_count() == 3
    assert told.bars["received"].to_list() == [100, 100, 101]
    assert told.bars["topic"].unique().to_list() == ["candles:trade:1D:tDOGE:USD"]


@pytest.mark.parametrize(
    ("row", "bids", "asks"),
    [
        (b"[8744.90,2,0.4500]", [("8744.90", "0.4500")], []),
        (b"[8744.9,2,-1e-7]", [], [("8744.9", "1e-7")]),
        (b"[ 1E-8 , 2 , 123456789.123456789 ]", [("1E-8", "123456789.123456789")], []),
        (b"[8744.9,0,1]", [("8744.9", "0")], []),
        (b"[8744.9,0,-1]", [], [("8744.9", "0")]),
        (b'[8744.9,2,1,"new"]', [("8744.9", "1")], []),
    ],
)
def test_a_level_is_kept_as_it_is_written(
    row: bytes, bids: list[tuple[str, str]], asks: list[tuple[str, str]]
) -> None:
    at = Ns(AT * MILLISECOND)
    assert heard(b"[3,%s,8,%d]" % (row, AT)).books == [BookChange("book:tBTCUSD", at, bids, asks, last=8)]
    assert heard(b"[3,[%s],8,%d]" % (row, AT)).books == [
        BookChange("book:tBTCUSD", at, bids, asks, whole=True, last=8)
    ]


def test_a_list_of_levels_is_the_whole_book_whenever_it_comes() -> None:
    told = heard(*numbered([3, [[9, 1, 2], [10, 1, -4]]], [3, [9, 0, 1]], [3, [[8, 1, 1]]], [3, []]))
    assert [change.whole for change in told.books] == [True, False, True, True]
    assert [len(change.bids) + len(change.asks) for change in told.books] == [2, 1, 1, 0]


def test_a_checksum_is_of_the_book_before_it() -> None:
    told = heard(*numbered([3, "cs", -1776482690]))
    at = Ns(AT * MILLISECOND)
    assert told.books == [BookChange("book:tBTCUSD", at, last=8, checksum=-1776482690)]


def test_the_checksum_takes_bids_and_asks_in_turn() -> None:
    def signed(text: str) -> int:
        return int.from_bytes(crc32(text.encode()).to_bytes(4, "big"), "big", signed=True)

    bids, asks = [("10.0", "1"), ("9", "1e-7")], [("11", "2"), ("12", "0.50"), ("13", "3")]
    assert bitfinex.checksum(bids, asks, None) == signed("10.0:1:11:-2:9:1e-7:12:-0.50:13:-3")
    assert bitfinex.checksum(bids, [], None) == signed("10.0:1:9:1e-7")
    assert bitfinex.checksum([], [], None) == 0
    sums = [bitfinex.checksum([(str(n), "1")], [], None) for n in range(20)]
    assert min(sums) < 0 < max(sums)


def test_a_book_is_proven_by_its_checksum() -> None:
    channel = LIVE.channels[DataType.ORDERBOOK]
    levels = [[price, 1, 1] for price in range(50, 20, -1)] + [[price, 1, -1] for price in range(51, 81)]
    text = ":".join(f"{50 - n}:1:{51 + n}:-1" for n in range(25))
    proof = int.from_bytes(crc32(text.encode()).to_bytes(4, "big"), "big", signed=True)
    deep = [3, [25, 1, 5]]
    told = heard(*numbered([3, levels], deep, [3, "cs", proof], [3, [49, 1, 5]], [3, "cs", proof]))
    book = Book(channel, 100)
    assert [book.apply(change) for change in told.books] == [True, True, True, True, False]
    assert "checksum" in (book.lost or "")


def test_a_book_may_cross_until_all_of_a_change_has_come() -> None:
    """One change of the venue's book comes as several messages."""
    book = Book(LIVE.channels[DataType.ORDERBOOK], 100)
    told = heard(*numbered([3, [[9, 1, 1], [10, 1, -1]]], [3, [10, 1, 1]], [3, [10, 0, -1]]))
    assert all(book.apply(change) for change in told.books)


def test_the_newest_time_is_told_also_by_heartbeats() -> None:
    assert heard([1, "hb", 8, AT + 5], [3, "hb", 9, AT + 3]) == Heard(
        at=Ns((AT + 5) * MILLISECOND), state=bitfinex.Connection(NAMES, 9)
    )


@pytest.mark.parametrize("number", [9, 7, 6, 1])
def test_a_jump_ends_the_connection_and_what_comes_after_it_does_not_count(number: int) -> None:
    """Its times would say that everything up to them has come."""
    told = heard([1, "te", [5, AT, 1, 10], number, AT + 9], [3, [9, 1, 1], number + 1, AT + 10])
    assert told.restart == f"message {number} came after 7: something is lost"
    assert (told.trades, told.books, told.at) == (None, [], None)
    later = heard([3, [9, 1, 1], 8, AT + 11], {"event": "unsubscribed", "chanId": 3}, state=told.state)
    assert later == Heard(state=told.state)


def test_any_number_may_be_the_first() -> None:
    told = heard([3, "hb", 127, AT], state=bitfinex.Connection(NAMES))
    assert (told.restart, told.state) == (None, bitfinex.Connection(NAMES, 127))


@given(cuts=st.lists(st.integers(0, 12), max_size=5))
def test_it_does_not_matter_how_messages_are_batched(cuts: list[int]) -> None:
    subscribed = {"event": "subscribed", "channel": "trades", "symbol": "tETHUSD", "chanId": 9}
    messages = [
        *numbered([1, [[6, AT, 1, 1], [5, AT, 1, 1]]], [1, "te", [7, AT, 1, 1]], [3, [[9, 1, 1]]]),
        subscribed,
        {"event": "unheard"},
        *numbered(*[[9, "hb"]] * 3, [9, "te", [8, AT, -1, 1]], [2, [AT, 1, 1, 1, 1, 1]], [3, "cs", 5])[3:],
        [3, [9, 0, 1], 99, AT],
        [3, [9, 0, 1], 100, AT],
    ]
    whole, state, parts = heard(*messages), OPEN, list[Heard]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(messages)], strict=True):
        part = heard(*messages[start:end], state=state)
        assert isinstance(part.state, bitfinex.Connection)
        state = part.state
        parts.append(part)
    assert state == whole.state
    assert [change for part in parts for change in part.books] == whole.books
    trades = [part.trades for part in parts if part.trades is not None]
    assert pl.concat(trades)["trade_id"].to_list() == ["5", "6", "7", "8"]
    assert [bad for part in parts for bad, _ in part.bad] == [bad for bad, _ in whole.bad]
    assert [part.restart for part in parts if part.restart] == [whole.restart]
    assert whole.restart == "message 99 came after 13: something is lost"
    assert max(part.at for part in parts if part.at) == whole.at


def test_what_the_stream_engine_relies_on() -> None:
    bars, trades, book = (LIVE.channels[data_type] for data_type in DataType)
    assert LIVE.url(BOOK) == "wss://api-pub.bitfinex.com/ws/2"
    assert (LIVE.most, LIVE.connects, LIVE.ping) == (25, Limit(20, MINUTE), None)
    assert LIVE.silence > 2 * 15 * SECOND
    assert bars.spans == bitfinex.EXCHANGE.endpoints[DataType.OHLC].spans
    assert not bars.from_trades
    assert not trades.contracts
    assert (book.depths, book.checked, book.cuts, book.start) == ((100, 250), 25, False, None)
    assert [book.depth(wanted) for wanted in (1, 100, 101, 251)] == [100, 100, 250, None]
