"""What the conformance tests do not say: parameters, bounds, kinds of market, and what the bodies mean."""

from collections.abc import Callable

import polars as pl
import pytest

from dccd_core.adapter.contract import NOW, Keeps, Query, Reach, Recent, Request, Response, TimeWindows
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, PayloadError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, WEEK, TimeRange, Us, parse_time
from dccd_core.exchanges import bybit
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

END = parse_time("2024-01-02")
HALF_OPEN = TimeRange(START, END)
START_MS, LAST_MS = "1704067200000", "1704153599999"
KINDS = ("spot", "linear", "inverse")


def query(
    span: TimeRange = HALF_OPEN, limit: int = 1_000, bar: Us | None = None, kind: str = "spot"
) -> Query:
    return Query("BTCUSDT", span, limit, bar, market_type=kind)


def good(result: bytes) -> bytes:
    return b'{"retCode":0,"retMsg":"OK","result":%s,"retExtInfo":{},"time":1704067200001}' % result


def klines(*rows: bytes) -> bytes:
    return good(b'{"category":"spot","list":[%s]}' % b",".join(rows))


def kline(start: bytes = b'"60000"', volume: bytes = b'"10"', turnover: bytes = b'"15"') -> bytes:
    return b'[%s,"1.5","2.5","0.5","2.0",%s,%s]' % (start, volume, turnover)


def trades(*rows: bytes) -> bytes:
    return good(b'{"category":"spot","list":[%s]}' % b",".join(rows))


def trade(name: str = "7", price: str = "4", size: str = "2", side: str = "Buy", time: str = '"5"') -> bytes:
    row = f'{{"execId":"{name}","price":"{price}","size":"{size}","side":"{side}","time":{time},"seq":"1"}}'
    return row.encode()


def book(times: bytes = b'"ts":9,"u":1') -> bytes:
    return good(b'{"s":"BTCUSD","b":[["4","2"],["2","3"]],"a":[["5","1"]],%s}' % times)


class TestRequests:
    def test_bars_are_asked_with_inclusive_milliseconds(self) -> None:
        assert bybit.klines_request(query(bar=MINUTE)) == Request(
            "/v5/market/kline",
            {
                "category": "spot",
                "symbol": "BTCUSDT",
                "interval": "1",
                "start": START_MS,
                "end": LAST_MS,
                "limit": "1000",
            },
        )

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_category_is_always_sent(self, kind: str) -> None:
        """Left out, it means the perpetual of the same name, without any error."""
        for data_type in DataType:
            endpoint = bybit.EXCHANGE.endpoint(kind, data_type)
            assert endpoint is not None
            asked = query(bar=MINUTE, kind=kind)
            requests = [endpoint.request(asked), *([endpoint.oldest(asked)] if endpoint.oldest else [])]
            assert {request.params["category"] for request in requests} == {kind}
            assert {request.params["symbol"] for request in requests} == {"BTCUSDT"}
            assert {request.path for request in requests} == {endpoint.path}

    @pytest.mark.parametrize(
        ("text", "interval"),
        [
            *(("1m", "1"), ("3m", "3"), ("5m", "5"), ("15m", "15"), ("30m", "30"), ("1h", "60")),
            *(("2h", "120"), ("4h", "240"), ("6h", "360"), ("12h", "720"), ("1d", "D"), ("1w", "W")),
        ],
    )
    def test_a_bar_length_is_written_as_the_venue_writes_it(self, text: str, interval: str) -> None:
        span = parse_bar_span(text)
        assert span in bybit.EXCHANGE.endpoints[DataType.OHLC].spans
        assert bybit.klines_request(query(bar=span)).params["interval"] == interval

    def test_a_month_is_no_bar_length(self) -> None:
        assert len(bybit.EXCHANGE.endpoints[DataType.OHLC].spans) == 12

    def test_the_first_bar_is_looked_for_among_all_weeks(self) -> None:
        """No bounds: the newest thousand weeks, which are all of them until the 2030s."""
        asked = {"category": "linear", "symbol": "BTCUSDT", "interval": "W", "limit": "1000"}
        request = bybit.first_week_request(query(bar=MINUTE, kind="linear"))
        assert request == Request("/v5/market/kline", asked)
        assert bybit.EXCHANGE.since + 1_000 * WEEK > parse_time("2037-01-01")

    def test_trades_have_neither_start_nor_end(self) -> None:
        asked = {"category": "spot", "symbol": "BTCUSDT", "limit": "60"}
        assert bybit.trades_request(query(limit=60)) == Request("/v5/market/recent-trade", asked)

    def test_the_book_has_a_number_of_levels(self) -> None:
        asked = {"category": "inverse", "symbol": "BTCUSDT", "limit": "50"}
        assert bybit.book_request(query(limit=50, kind="inverse")) == Request("/v5/market/orderbook", asked)

    def test_instruments_are_asked_for_every_category(self) -> None:
        assert [dict(request.params) for request in bybit.markets_requests()] == [
            {"category": "spot"},
            {"category": "linear", "limit": "1000"},
            {"category": "inverse", "limit": "1000"},
        ]

    def test_the_next_page_of_instruments_is_asked_with_the_cursor_of_the_last(self) -> None:
        [_, first, _] = bybit.markets_requests()
        second = bybit.more_markets(first, good(b'{"list":[],"nextPageCursor":"first%3DA%26last%3DB"}'))
        assert second is not None
        assert second.path == first.path
        assert second.params == {**first.params, "cursor": "first=A&last=B"}  # encoded again on its way

    @pytest.mark.parametrize("end", [b'{"list":[],"nextPageCursor":""}', b'{"list":[]}'])
    def test_an_empty_cursor_ends_the_instruments(self, end: bytes) -> None:
        assert bybit.more_markets(bybit.markets_requests()[1], good(end)) is None
        null = good(b'{"list":[],"nextPageCursor":null}')
        assert bybit.more_markets(bybit.markets_requests()[1], null) is None

    @pytest.mark.parametrize(
        ("symbol", "name"),
        [
            ("BTC/USDT", "BTCUSDT"),
            ("BTC/USDC", "BTCUSDC"),
            ("BTC/USDT:USDT", "BTCUSDT"),
            ("BTC/USDC:USDC", "BTCPERP"),
            ("BTC/USD:BTC", "BTCUSD"),
            ("SHIB1000/USDT:USDT", "SHIB1000USDT"),
        ],
    )
    def test_symbols_are_upper_case_without_a_separator(self, symbol: str, name: str) -> None:
        assert bybit.market(Symbol.parse(symbol)) == name


class TestDeclared:
    @pytest.mark.parametrize(("kind", "rows"), [("spot", 60), ("linear", 1_000), ("inverse", 1_000)])
    def test_how_many_trades_there_are(self, kind: str, rows: int) -> None:
        endpoint = bybit.EXCHANGE.endpoint(kind, DataType.TRADES)
        assert endpoint is not None
        assert (endpoint.reach, endpoint.page_limit, endpoint.oldest) == (Reach(rows=rows), rows, None)
        assert endpoint.paging == Recent()

    @pytest.mark.parametrize("kind", KINDS)
    def test_bars_and_books(self, kind: str) -> None:
        bars = bybit.EXCHANGE.endpoint(kind, DataType.OHLC)
        depth = bybit.EXCHANGE.endpoint(kind, DataType.ORDERBOOK)
        assert bars is not None
        assert depth is not None
        assert (bars.paging, bars.page_limit) == (TimeWindows(Keeps.NEWEST), 1_000)
        assert (depth.reach, depth.page_limit) == (NOW, 1_000)
        assert not bars.contracts | depth.contracts | bars.sparse | bars.closes | bars.carries_open

    def test_limits(self) -> None:
        [limit] = bybit.EXCHANGE.limits
        assert (limit.amount, limit.period, limit.pool, limit.per_market) == (600, 5 * SECOND, "", False)
        assert bybit.EXCHANGE.finality_delay == 5 * SECOND
        assert bybit.EXCHANGE.used is None, "the headers count a user, not an address"


class TestBars:
    def test_rows_come_newest_first_and_leave_oldest_first(self) -> None:
        rows = bybit.decode_klines(klines(kline(b'"120000"'), kline(b'"60000"'), kline(b'"0"')), START)
        assert rows["ts"].to_physical().to_list() == [0, 60 * SECOND, 120 * SECOND]

    def test_spot_volume_is_base_and_turnover_quote(self) -> None:
        [row] = bybit.decode_klines(klines(kline()), START).rows()
        assert row[1:] == (1.5, 2.5, 0.5, 2.0, 10.0, 15.0, None)

    def test_inverse_volume_is_quote_and_turnover_base(self) -> None:
        rows = bybit.decode_inverse_klines(
            klines(kline(volume=b'"268611"', turnover=b'"15.74462667"')), START
        )
        assert rows.row(0)[1:] == (1.5, 2.5, 0.5, 2.0, 15.74462667, 268_611.0, None)
        assert rows.schema == bybit.decode_klines(klines(kline()), START).schema

    @pytest.mark.parametrize(
        "time",
        [b'"1704067200000000"', b'"-1"', b'"9223372036855"', b'"soon"', b'""', b"null", b"true", b'" 5"'],
    )
    def test_a_time_that_is_no_millisecond_of_ours_is_refused(self, time: bytes) -> None:
        """Microseconds times a million would silently wrap round to another century."""
        with pytest.raises(PayloadError, match="unexpected shape"):
            bybit.decode_klines(klines(kline(time)), START)
        with pytest.raises(PayloadError, match="unexpected shape"):
            bybit.decode_trades(trades(trade(time=time.decode())), START)

    def test_the_last_millisecond_that_fits_is_exact(self) -> None:
        rows = bybit.decode_klines(klines(kline(b'"9223372036854"')), START)
        assert rows["ts"].to_physical().to_list() == [9_223_372_036_854_000]


class TestTrades:
    def test_the_side_is_the_taker_s(self) -> None:
        rows = bybit.decode_trades(trades(trade(side="Sell"), trade(side="Buy")), START)
        assert rows["side"].to_list() == ["buy", "sell"]
        with pytest.raises(PayloadError, match="unexpected shape"):
            bybit.decode_trades(trades(trade(side="None")), START)

    def test_trades_of_one_millisecond_are_turned_round_too(self) -> None:
        rows = bybit.decode_trades(trades(*(trade(name) for name in ("11", "9", "10", "8"))), START)
        assert rows["trade_id"].to_list() == ["8", "10", "9", "11"]

    def test_ids_are_text_of_any_kind(self) -> None:
        uuid = "a0b1c2d3-0000-4000-8000-0123456789ab"
        assert bybit.decode_trades(trades(trade(uuid)), START)["trade_id"].to_list() == [uuid]

    def test_inverse_sizes_are_dollars(self) -> None:
        [row] = bybit.decode_inverse_trades(trades(trade(price="40000.5", size="100")), START).rows()
        assert row[1:3] == (40000.5, 100 / 40000.5)
        assert bybit.decode_trades(trades(trade(size="100")), START)["amount"].to_list() == [100.0]


class TestBook:
    def test_the_engine_s_time_is_taken_where_it_is_told(self) -> None:
        told = bybit.decode_book(book(b'"ts":9,"u":1,"cts":7'), START)
        assert set(told["ts"].to_physical()) == {7 * MILLISECOND}
        assert set(bybit.decode_book(book(), START)["ts"].to_physical()) == {9 * MILLISECOND}

    def test_inverse_sizes_are_dollars(self) -> None:
        assert bybit.decode_book(book(), START)["amount"].to_list() == [2.0, 3.0, 1.0]
        assert bybit.decode_inverse_book(book(), START)["amount"].to_list() == [0.5, 1.5, 0.2]
        assert bybit.decode_inverse_book(book(), START)["level"].to_list() == [0, 1, 0]

    def test_an_empty_book_has_no_rows(self) -> None:
        assert bybit.decode_book(good(b'{"s":"X","b":[],"a":[],"ts":9}'), START).is_empty()


class TestMarkets:
    def test_a_name_shared_by_spot_and_perpetual_is_told_apart(self) -> None:
        spot = b'{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","status":"Trading"%s}'
        more = b',"contractType":"LinearPerpetual","settleCoin":"USDT","launchTime":"1585526400000"'
        rows = bybit.decode_markets(good(b'{"list":[%s,%s]}' % (spot % b"", spot % more)))
        assert rows["symbol"].to_list() == ["BTC/USDT", "BTC/USDT:USDT"]
        assert rows["market"].to_list() == ["BTCUSDT", "BTCUSDT"]
        assert rows["listed"].to_physical().to_list() == [None, 18_351 * DAY]
        assert [bybit.market(Symbol.parse(name)) for name in rows["symbol"]] == rows["market"].to_list()

    def test_no_instruments(self) -> None:
        assert bybit.decode_markets(good(b'{"list":[]}')).is_empty()


DECODERS = [
    bybit.decode_klines,
    bybit.decode_inverse_klines,
    bybit.decode_trades,
    bybit.decode_inverse_trades,
]


@pytest.mark.parametrize(
    "body",
    [
        b'{"retCode":10001,"retMsg":"x","result":{"list":[]}}',
        b'{"retMsg":"OK","result":{"list":[]}}',
        b'{"retCode":0,"retMsg":"OK","result":{}}',
        b'{"retCode":0,"retMsg":"OK","result":null}',
        b'{"retCode":0,"retMsg":"OK"}',
    ],
)
@pytest.mark.parametrize("decode", DECODERS)
def test_an_error_is_never_an_empty_page(decode: Callable[[bytes, Us], pl.DataFrame], body: bytes) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        decode(body, START)


def said(code: int, text: str, status: int = 200, **headers: str) -> Response:
    body = b'{"retCode":%d,"retMsg":"%s","result":{},"retExtInfo":{},"time":1704067200001}'
    return response(status, body % (code, text.encode()), **headers)


class TestVerdict:
    @pytest.mark.parametrize(
        ("code", "text", "kind"),
        [
            (10001, "Not supported symbols", UnknownSymbol),
            (10001, "params error: Symbol Is Invalid", UnknownSymbol),
            (10001, "params error: symbol invalid", UnknownSymbol),
            (10001, "Invalid symbol", UnknownSymbol),
            (10001, "Invalid period!", Rejected),
            (10001, "Illegal category", Rejected),
            (10002, "time window", Rejected),
            (10009, "IP has been banned", Rejected),
            (10024, "compliance", Rejected),
            (10029, "The requested symbol is invalid", UnknownSymbol),
            (10000, "Server Timeout", Unavailable),
            (10016, "Server error", Unavailable),
            (10006, "Too many visits!", Throttled),
            (10018, "Exceeded the IP Rate Limit", Throttled),
            (99999, "never heard of", Rejected),
        ],
    )
    def test_an_error_inside_a_good_status_says_what_the_venue_says(
        self, code: int, text: str, kind: type[Exception]
    ) -> None:
        error = bybit.verdict(said(code, text))
        assert type(error) is kind
        assert f"HTTP 200: {code} {text}" in str(error)
        assert error is not None
        assert error.hint

    @pytest.mark.parametrize(
        ("answer", "kind", "wait_s"),
        [
            (response(403, b"403, access too frequent"), Banned, 600.0),
            (response(403, b""), Banned, 600.0),
            (response(429, b""), Throttled, None),
            (
                response(429, b"", x_bapi_limit_reset_timestamp=str(START // MILLISECOND + 2_500)),
                Throttled,
                2.5,
            ),
            (said(10006, "x", x_bapi_limit_reset_timestamp=str(START // MILLISECOND + 900)), Throttled, 0.9),
            (said(10006, "x", x_bapi_limit_reset_timestamp=str(START // MILLISECOND - 900)), Throttled, 0.0),
            (said(10006, "x", x_bapi_limit_reset_timestamp="soon"), Throttled, None),
            (said(10006, "x"), Throttled, None),
        ],
    )
    def test_how_long_to_stay_away(
        self, answer: Response, kind: type[Throttled], wait_s: float | None
    ) -> None:
        assert stays_away(bybit.verdict(answer)) == (kind, wait_s)

    def test_the_reset_is_told_by_the_venue_s_clock(self) -> None:
        late = said(
            *(10006, "x"),
            x_bapi_limit_reset_timestamp=str(START // MILLISECOND + 61_000),
            date="Mon, 01 Jan 2024 00:01:00 GMT",
        )
        assert stays_away(bybit.verdict(late)) == (Throttled, 1.0)

    def test_a_country_that_is_not_served_is_no_ban(self) -> None:
        """Waiting would not help."""
        error = bybit.verdict(response(403, b"<html>no access from your country</html>"))
        assert type(error) is Rejected
        assert "rest_url" in error.hint

    @pytest.mark.parametrize(
        "body",
        [
            b'{"retCode":10001,"result":{"list":[]}}',
            b' { "retCode" : 10001 , "retMsg" : "x" }',
            b'{"retMsg":"x","retCode":10001}',
            b'{"retCode":"10001","retMsg":"x"}',
        ],
    )
    def test_an_error_is_seen_wherever_its_code_stands(self, body: bytes) -> None:
        assert isinstance(bybit.verdict(response(200, body)), Rejected)

    @pytest.mark.parametrize(
        "body", [good(b"{}"), b' { "retCode" : 0 , "retMsg":""}', b'{"retMsg":"OK","retCode":0}', b"[]", b""]
    )
    def test_what_is_no_error(self, body: bytes) -> None:
        assert bybit.verdict(response(200, body)) is None
