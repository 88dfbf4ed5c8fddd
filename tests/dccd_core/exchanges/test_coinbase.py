"""What the conformance tests do not say: parameters, bounds, and what the bodies mean in detail."""

import polars as pl
import pytest

from dccd_core.adapter.contract import (
    FULL,
    NOW,
    IdWindows,
    Keeps,
    Limit,
    Query,
    Request,
    Response,
    TimeWindows,
)
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import (
    Banned,
    DccdError,
    PayloadError,
    Rejected,
    Throttled,
    Unavailable,
    UnknownSymbol,
)
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import coinbase
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

END = parse_time("2024-01-01T05:00")
HALF_OPEN = TimeRange(START, END)
OHLC, TRADES, BOOK = (coinbase.EXCHANGE.endpoints[data_type] for data_type in DataType)
TRADE = '{"trade_id":%s,"side":"%s","size":"2","price":"1","time":"%s"}'
AT = "2024-03-13T11:00:17Z"


def query(
    span: TimeRange = HALF_OPEN, limit: int = 300, bar: Us | None = None, first_id: int | None = None
) -> Query:
    return Query("BTC-USD", span, limit, bar, first_id)


def trades(*rows: str) -> pl.DataFrame:
    return coinbase.decode_trades(f"[{','.join(rows)}]".encode(), START)


def ticks(*times: str) -> list[int]:
    """Decode one trade at each time, written newest first, and return what they became."""
    newest_first = [TRADE % (9 - place, "buy", time) for place, time in enumerate(times)]
    return trades(*newest_first).sort("trade_id", descending=True)["ts"].to_physical().to_list()


def test_bars_are_asked_with_both_bounds_inclusive() -> None:
    assert coinbase.candles_request(query(bar=MINUTE)) == Request(
        "/products/BTC-USD/candles",
        {"granularity": "60", "start": "2024-01-01T00:00:00Z", "end": "2024-01-01T04:59:59Z"},
    )


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (START, START + MINUTE, ("00:00:00", "00:00:59")),
        (START, START + MINUTE + 1, ("00:00:00", "00:01:00")),
        (START + 1, START + 2 * MINUTE, ("00:00:01", "00:01:59")),
        (START - 1, START + 2 * MINUTE - 1, ("00:00:00", "00:01:59")),
    ],
)
def test_half_open_nanoseconds_become_the_seconds_inside(
    start: int, end: int, asked: tuple[str, str]
) -> None:
    params = coinbase.candles_request(query(TimeRange(Us(start), Us(end)), bar=MINUTE)).params
    assert (params["start"], params["end"]) == tuple(f"2024-01-01T{time}Z" for time in asked)


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("15m", 900), ("6h", 21_600), ("1d", 86_400)])
def test_a_full_window_of_any_length_is_300_bars_and_one_bar_is_still_a_window(
    text: str, seconds: int
) -> None:
    bar = parse_bar_span(text)
    for bars in (1, 300):
        span = TimeRange(START, Us(START + bars * bar))
        params = coinbase.candles_request(query(span, bar=bar)).params
        first, last = parse_time(params["start"]), parse_time(params["end"])
        assert params["granularity"] == str(seconds)
        assert first < last, "whether an equal start and end are taken is not known"
        assert (last - first) // bar + 1 == bars


def test_the_bar_lengths_are_the_six_that_are_served() -> None:
    assert [span // SECOND for span in OHLC.spans] == [60, 300, 900, 3_600, 21_600, 86_400]


def test_trades_are_asked_down_from_the_id_behind_the_last_one() -> None:
    path = "/products/BTC-USD/trades"
    assert coinbase.trades_request(query(first_id=26_129, limit=1_000)) == Request(
        path, {"after": "27129", "limit": "1000"}
    )
    assert coinbase.trades_request(query(first_id=1, limit=1)) == Request(path, {"after": "2", "limit": "1"})
    assert coinbase.first_trade_request(query()) == Request(path, {"after": "2", "limit": "1"})
    assert coinbase.newest_trade_request(query()) == Request(path, {"limit": "1"})
    assert coinbase.trades_request(query(limit=7)) == Request(path, {"limit": "7"})


def test_the_book_and_the_products_are_asked_whole() -> None:
    assert coinbase.book_request(query(limit=5)) == Request("/products/BTC-USD/book", {"level": "2"})
    assert coinbase.products_requests() == (Request("/products", {}),)


def test_symbols_have_a_dash() -> None:
    assert coinbase.market(Symbol("BTC", "USD")) == "BTC-USD"


def test_a_symbol_cannot_change_the_path() -> None:
    odd = Query("A?B#C%-../USD", HALF_OPEN, 5, MINUTE)
    for request in (coinbase.candles_request(odd), coinbase.trades_request(odd), coinbase.book_request(odd)):
        assert request.path.startswith("/products/A%3FB%23C%25-..%2FUSD/")


def test_how_it_pages() -> None:
    assert OHLC.paging == TimeWindows(Keeps.ALL)
    assert OHLC.sparse
    assert OHLC.oldest is None
    assert TRADES.paging == IdWindows(newest=coinbase.newest_trade_request, down=True)
    assert [endpoint.page_limit for endpoint in (OHLC, TRADES, BOOK)] == [300, 1_000, 1_000]
    assert [endpoint.reach for endpoint in (OHLC, TRADES, BOOK)] == [FULL, FULL, NOW]
    assert coinbase.EXCHANGE.kinds == {"spot"}


def test_a_bar_has_its_low_first() -> None:
    [row] = coinbase.decode_candles(b"[[1704067200,1,4,2,3,0.25]]", START).rows(named=True)
    assert list(row.values())[1:] == [2.0, 4.0, 1.0, 3.0, 0.25, None, None]
    assert row["ts"].isoformat() == "2024-01-01T00:00:00+00:00"


def test_bars_come_newest_first_and_leave_oldest_first() -> None:
    body = b"[[1704067380,1,1,1,1,3],[1704067260,1,1,1,1,2],[1704067200,1,1,1,1,1]]"
    rows = coinbase.decode_candles(body, START)
    assert rows["volume"].to_list() == [1.0, 2.0, 3.0]
    assert rows["ts"].is_sorted()


@pytest.mark.parametrize(
    "time",
    ["1704067200.0", "1.7040672e9", "1704067200000", '"1704067200"', "-60", "9223372037"],
    ids=["a float", "an exponent", "milliseconds", "text", "negative", "just too far"],
)
def test_a_time_that_is_no_whole_second_of_ours_is_refused(time: str) -> None:
    with pytest.raises(PayloadError, match="Expected `int`"):
        coinbase.decode_candles(f"[[{time},1,1,1,1,1]]".encode(), START)


@pytest.mark.parametrize("number", ['"1.5"', "null", "true"])
def test_a_price_of_a_bar_is_a_number(number: str) -> None:
    with pytest.raises(PayloadError, match="Expected `float`"):
        coinbase.decode_candles(f"[[1704067200,1,1,1,{number},1]]".encode(), START)


def test_numbers_of_bars_are_read_as_the_nearest_double() -> None:
    body = b"[[60,0.1,92233.72036854,1e-8,73241.50,9007199254740993]]"
    assert coinbase.decode_candles(body, START).row(0)[1:6] == (
        *(1e-8, 92233.72036854, 0.1, 73241.5),
        9007199254740992.0,
    )


def test_the_maker_s_side_is_turned_into_the_taker_s() -> None:
    rows = trades(TRADE % (2, "sell", AT), TRADE % (1, "buy", AT))
    assert rows["side"].to_list() == ["sell", "buy"]
    assert rows["trade_id"].to_list() == ["1", "2"]


@pytest.mark.parametrize("side", ["SELL", "", "unknown"])
def test_a_side_unheard_of_is_refused(side: str) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        trades(TRADE % (1, side, AT))


def test_trades_of_one_moment_are_in_the_order_of_their_ids() -> None:
    rows = trades(*(TRADE % (number, "buy", AT) for number in (11, 10, 9, 8)))
    assert rows["trade_id"].to_list() == ["8", "9", "10", "11"]


def test_times_of_all_lengths_in_one_page_are_exact() -> None:
    second = parse_time(AT)
    digits = ["", ".7", ".71", ".710679", ".7106790", ".123456789", ".000000001", ".999999999", ".1234567"]
    parts = [0, 700_000, 710_000, 710_679, 710_679, 123_456, 0, 999_999, 123_456]
    assert ticks(*(AT.replace("Z", f"{text}Z") for text in digits)) == [second + part for part in parts]


def test_every_row_s_time_is_read_by_its_own() -> None:
    """A format that is guessed from the first row loses the digits of the others."""
    long, short = "2024-03-13T11:00:17.000000001Z", "2024-03-13T11:00:17Z"
    assert ticks(long, short) == [parse_time(long), parse_time(short)]
    assert ticks(short, long) == [parse_time(short), parse_time(long)]


@pytest.mark.parametrize(
    "time",
    [
        *("", "now", "1710327617", "2024-03-13", "2024-03-13T11:00:17", "2024-03-13 11:00:17Z"),
        *(
            "2024-03-13T11:00:17+01:00",
            "2024-03-13T11:00:17.Z",
            "2024-03-13T11:00:17,5Z",
            "2024-02-30T00:00:00Z",
        ),
        *("2024-03-13T24:00:00Z", "0001-01-01T00:00:00Z", "2300-01-01T00:00:00Z", " 2024-03-13T11:00:17Z"),
        *("2024-03-13T11:00:17.1234567891Z", "2024-03-13T11:00:17.-5Z"),
    ],
)
def test_text_that_is_no_time_is_refused(time: str) -> None:
    """Also what polars would silently wrap round to another century, or cut."""
    with pytest.raises(PayloadError, match=r"unexpected shape: .* is no time"):
        trades(TRADE % (2, "buy", AT), TRADE % (1, "buy", time))


@pytest.mark.parametrize("number", ["-1", str(2**63), "1.0", '"5"'])
def test_an_id_that_does_not_fit_is_refused(number: str) -> None:
    with pytest.raises(PayloadError, match="Expected `int`"):
        trades(TRADE % (number, "buy", AT))


def test_a_book_has_the_venue_s_time_and_is_cut_where_it_is_too_deep() -> None:
    levels = ",".join(f'["{1 + place}","2",1]' for place in range(1_500))
    body = f'{{"bids":[["0.5","2",1]],"asks":[{levels}],"sequence":7,"time":"{AT[:-1]}.000009Z"}}'
    rows = coinbase.decode_book(body.encode(), START)
    assert rows["ts"].to_physical().unique().to_list() == [parse_time(AT) + 9]
    asks = rows.filter(side="ask")
    assert asks["level"].to_list() == list(range(BOOK.page_limit))
    assert asks["price"].to_list() == [1.0 + place for place in range(BOOK.page_limit)]
    assert rows.filter(side="bid").height == 1


def test_a_book_without_a_time_is_refused() -> None:
    with pytest.raises(PayloadError, match="missing required field `time`"):
        coinbase.decode_book(b'{"bids":[],"asks":[]}', START)


@pytest.mark.parametrize(
    ("status", "disabled", "active"),
    [("online", "false", True), ("online", "true", False), ("delisted", "false", False)],
)
def test_a_market_trades_if_it_is_online_and_not_disabled(status: str, disabled: str, active: bool) -> None:  # noqa: FBT001 -- a table's column
    body = (
        f'[{{"id":"A-B","base_currency":"A","quote_currency":"B","status":"{status}",'
        f'"trading_disabled":{disabled}}}]'
    )
    assert coinbase.decode_products(body.encode()).row(0) == ("A/B", "A-B", active, *[None] * 5)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        *((status, b"", Rejected) for status in (400, 401, 404, 405)),
        *((status, b"<html>", Unavailable) for status in (500, 502, 503, 504, 520, 521, 525, 530)),
        (503, b'{"message":"Service Unavailable"}', Unavailable),
        (404, b'{"message":"NotFound"}', UnknownSymbol),
        (403, b'{"message":"Forbidden"}', Rejected),
        (200, b'{"message":"odd"}', Rejected),
    ],
)
def test_what_an_answer_means(status: int, body: bytes, kind: type[DccdError]) -> None:
    error = coinbase.verdict(response(status, body))
    assert type(error) is kind
    assert error is not None
    assert error.hint
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("answer", "kind", "wait_s"),
    [
        (response(429, b""), Throttled, 1.0),
        (response(429, b"", retry_after="4"), Throttled, 4.0),
        (response(429, b"", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), Throttled, 3_600.0),
        (response(403, b"<html>"), Banned, 60.0),
    ],
)
def test_how_long_to_stay_away(answer: Response, kind: type[Throttled], wait_s: float) -> None:
    assert stays_away(coinbase.verdict(answer)) == (kind, wait_s)


@pytest.mark.parametrize("text", ["Public rate limit exceeded", "NotFound", "who knows"])
@pytest.mark.parametrize("status", [200, 400, 404, 429, 500])
def test_no_word_of_the_venue_is_lost(status: int, text: str) -> None:
    assert text in str(coinbase.verdict(response(status, f'{{"message":"{text}"}}'.encode())))


def test_data_that_holds_the_word_message_is_no_error() -> None:
    assert coinbase.verdict(response(200, b'{"bids":[' + b" " * 300 + b'"message"]}')) is None
    assert coinbase.verdict(response(200, b'[{"message":"x"}]')) is None
    assert coinbase.verdict(response(200, b'{"message":5}')) is None, "decoding will say what is wrong"


def test_its_limits_and_when_a_row_is_final() -> None:
    """The newest trades come from a cache that is up to six seconds old: they settle after that."""
    assert coinbase.EXCHANGE.limits == (Limit(10, SECOND),)
    assert coinbase.EXCHANGE.finality_delay == 15 * SECOND
    assert max(OHLC.spans) == DAY
    assert HOUR in OHLC.spans
