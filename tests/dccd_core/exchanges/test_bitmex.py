"""What the conformance tests do not say: parameters, bounds, the venue's traps, and what its errors mean."""

import pytest

from dccd_core.adapter.contract import Cursor, Query, Request, Response, TimeWindows
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import (
    Banned,
    ConfigError,
    DccdError,
    PayloadError,
    Rejected,
    Throttled,
    Unavailable,
    UnknownSymbol,
)
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bitmex
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

END = parse_time("2024-01-02")
HALF_OPEN = TimeRange(START, END)
BUCKET = (
    b'{"timestamp":"%s","open":1.5,"high":2.5,"low":0.5,"close":2,"trades":3,"volume":70,"vwap":1.7,'
    b'"homeNotional":10.25,"foreignNotional":15}'
)
TRADE = b'{"timestamp":"%s","side":"%s","size":1,"price":%s,"trdMatchID":"%s","homeNotional":0.5%s}'


def query(
    span: TimeRange = HALF_OPEN,
    limit: int = 1_000,
    bar: Us | None = None,
    skip: int = 0,
    market: str = "XBTUSD",
) -> Query:
    return Query(market, span, limit, bar, skip=skip)


def bucket(timestamp: bytes = b"2024-01-01T00:01:00.000Z") -> bytes:
    return BUCKET % timestamp


def trade(
    number: int = 1,
    side: bytes = b"Buy",
    price: bytes = b"2",
    timestamp: bytes = b"2024-01-01T00:00:00.005Z",
    kind: bytes = b"Regular",
) -> bytes:
    return TRADE % (timestamp, side, price, b"id-%d" % number, b',"trdType":"%s"' % kind if kind else b"")


def rows(*parts: bytes) -> bytes:
    return b"[%s]" % b",".join(parts)


class TestBarsCarryTheirClose:
    def test_the_window_is_asked_by_when_its_bars_close(self) -> None:
        request = bitmex.bars_request(query(bar=MINUTE))
        assert request == Request(
            "/api/v1/trade/bucketed",
            {
                "symbol": "XBTUSD",
                "binSize": "1m",
                "partial": "false",
                "startTime": "2024-01-01T00:01:00.000Z",
                "endTime": "2024-01-02T00:00:59.999Z",  # the last bar of the day closes at midnight
                "count": "1000",
                "reverse": "false",
            },
        )

    @pytest.mark.parametrize(
        ("start", "end", "asked"),
        [
            (0, 2 * MINUTE, ("00:01:00.000", "00:02:59.999")),
            (1, 2 * MINUTE, ("00:01:00.001", "00:02:59.999")),
            (0, 2 * MINUTE + 1, ("00:01:00.000", "00:03:00.000")),
            (MILLISECOND, MINUTE + MILLISECOND, ("00:01:00.001", "00:02:00.000")),
        ],
    )
    def test_bounds_that_are_not_on_the_grid(self, start: int, end: int, asked: tuple[str, str]) -> None:
        span = TimeRange(Us(START + start), Us(START + end))
        params = bitmex.bars_request(query(span, bar=MINUTE)).params
        assert tuple(params[name].removeprefix("2024-01-01T") for name in ("startTime", "endTime")) == tuple(
            f"{text}Z" for text in asked
        )

    def test_the_first_bar_asked_for_is_the_one_that_opens_with_the_span(self) -> None:
        params = bitmex.bars_request(query(bar=DAY)).params
        assert (params["startTime"], params["endTime"]) == (
            "2024-01-02T00:00:00.000Z",
            "2024-01-02T23:59:59.999Z",
        )

    def test_the_engine_is_told_that_times_are_closes(self) -> None:
        endpoint = bitmex.EXCHANGE.endpoints[DataType.OHLC]
        assert (endpoint.closes, endpoint.carries_open, endpoint.sparse) == (True, True, False)
        decoded = endpoint.decode(rows(bucket()), START)
        assert decoded["ts"].to_physical().to_list() == [START + MINUTE]

    def test_the_very_first_bar(self) -> None:
        request = bitmex.first_bar_request(query(bar=HOUR))
        asked = {"symbol": "XBTUSD", "binSize": "1h", "partial": "false", "count": "1", "reverse": "false"}
        assert request == Request("/api/v1/trade/bucketed", asked)

    @pytest.mark.parametrize("text", ["1m", "5m", "1h", "1d"])
    def test_a_bar_length_is_written_as_the_venue_writes_it(self, text: str) -> None:
        assert parse_bar_span(text) in bitmex.EXCHANGE.endpoints[DataType.OHLC].spans
        assert bitmex.bars_request(query(bar=parse_bar_span(text))).params["binSize"] == text
        assert len(bitmex.EXCHANGE.endpoints[DataType.OHLC].spans) == 4


class TestBars:
    def test_volumes_are_notionals_never_contracts(self) -> None:
        [row] = bitmex.decode_bars(rows(bucket()), START).rows(named=True)
        assert (row["volume"], row["quote_volume"], row["trades"]) == (10.25, 15.0, 3)

    def test_a_bar_without_a_price_is_passed_on_for_the_sieve(self) -> None:
        body = bucket().replace(b":1.5,", b":null,").replace(b":10.25,", b":null,")
        [row] = bitmex.decode_bars(rows(body), START).rows(named=True)
        assert (row["open"], row["volume"], row["close"]) == (None, None, 2.0)

    def test_newest_first_is_put_right(self) -> None:
        later = bucket(b"2024-01-01T00:02:00.000Z")
        assert bitmex.decode_bars(rows(later, bucket()), START)["ts"].is_sorted()


class TestTimes:
    def test_milliseconds_are_exact(self) -> None:
        told = [b"2024-01-01T00:00:00.%03dZ" % ms for ms in (1, 7, 29, 58, 123, 456, 789, 999)]
        decoded = bitmex.decode_trades(rows(*(trade(timestamp=text) for text in told)), START)
        expected = [parse_time(text.decode()) for text in told]
        assert decoded["ts"].to_physical().to_list() == expected

    @pytest.mark.parametrize(
        "text",
        [
            b"2024-02-30T00:00:00.000Z",
            b"2024-01-01T00:00:00.000",
            b"2024-01-01T00:00:00.000+01:00",
            b"20240-01-01T00:00:00.000Z",
            b"9999-01-01T00:00:00.000Z",
            b"1500-01-01T00:00:00.000Z",
            b"2262-04-12T00:00:00.000Z",
            b"1969-12-31T23:59:59.999Z",
            b"",
            b"soon",
        ],
    )
    def test_what_is_no_time_of_ours_is_refused(self, text: bytes) -> None:
        """A far year times a million would silently wrap round to another century."""
        with pytest.raises(PayloadError, match="is no time"):
            bitmex.decode_bars(rows(bucket(text)), START)
        with pytest.raises(PayloadError, match="is no time"):
            bitmex.decode_trades(rows(trade(), trade(timestamp=text)), START)

    @pytest.mark.parametrize("value", [b"1704067200000", b"null", b"true"])
    def test_a_time_of_another_type_is_refused(self, value: bytes) -> None:
        body = bucket().replace(b'"2024-01-01T00:01:00.000Z"', value)
        with pytest.raises(PayloadError, match="unexpected shape"):
            bitmex.decode_bars(rows(body), START)


class TestTrades:
    def test_a_page_begins_at_the_start_of_the_span(self) -> None:
        asked = {
            "symbol": "XBTUSD",
            "startTime": "2024-01-01T00:00:00.000Z",
            "endTime": "2024-01-01T23:59:59.999Z",
            "start": "0",
            "count": "1000",
            "reverse": "false",
        }
        assert bitmex.trades_request(query()) == Request("/api/v1/trade", asked)

    def test_rows_that_share_a_millisecond_are_skipped_not_stepped_over(self) -> None:
        """Going on one millisecond later would lose the rest of the tie."""
        assert bitmex.EXCHANGE.endpoints[DataType.TRADES].paging == Cursor(skips=True)
        span = TimeRange(Us(START + 5 * MILLISECOND), END)
        params = bitmex.trades_request(query(span, limit=10, skip=7)).params
        assert (params["startTime"], params["start"], params["count"]) == (
            "2024-01-01T00:00:00.005Z",
            "7",
            "10",
        )

    @pytest.mark.parametrize(
        ("start", "end", "asked"),
        [
            (0, MILLISECOND, (".000", ".000")),
            (1, MILLISECOND, (".001", ".000")),  # no whole millisecond in it: the venue answers nothing
            (1, MILLISECOND + 1, (".001", ".001")),
            (MILLISECOND, 2 * MILLISECOND, (".001", ".001")),
        ],
    )
    def test_half_open_nanoseconds_become_the_milliseconds_inside(
        self, start: int, end: int, asked: tuple[str, str]
    ) -> None:
        params = bitmex.trades_request(query(TimeRange(Us(START + start), Us(START + end)))).params
        assert (params["startTime"][19:], params["endTime"][19:]) == tuple(f"{text}Z" for text in asked)

    def test_the_very_first_trade_is_looked_for_among_some_rows(self) -> None:
        asked = {"symbol": "XBTUSD", "count": "100", "reverse": "false"}
        assert bitmex.first_trade_request(query()) == Request("/api/v1/trade", asked)

    def test_the_side_is_the_taker_s(self) -> None:
        decoded = bitmex.decode_trades(rows(trade(1, b"Buy"), trade(2, b"Sell")), START)
        assert decoded["side"].to_list() == ["buy", "sell"]

    def test_another_side_is_refused(self) -> None:
        with pytest.raises(PayloadError, match="not what its column holds"):
            bitmex.decode_trades(rows(trade(1, b"Cross")), START)

    def test_only_regular_trades_count_and_old_rows_say_nothing_of_it(self) -> None:
        kinds = (b"Regular", b"Settlement", b"", b"Referential", b"Insurance")
        told = [trade(number, kind=kind) for number, kind in enumerate(kinds)]
        told[3] = told[3].replace(b'"homeNotional":0.5', b'"homeNotional":null')
        assert bitmex.decode_trades(rows(*told), START)["trade_id"].to_list() == ["id-0", "id-2"]

    def test_ties_keep_the_venue_s_order(self) -> None:
        body = rows(*(trade(number) for number in (8, 3, 9, 1)))
        assert bitmex.decode_trades(body, START)["trade_id"].to_list() == ["id-8", "id-3", "id-9", "id-1"]

    @pytest.mark.parametrize(("text", "price"), [(b"1e-05", 1e-05), (b"98950", 98950.0), (b"0.1", 0.1)])
    def test_a_price_is_the_nearest_double(self, text: bytes, price: float) -> None:
        assert bitmex.decode_trades(rows(trade(price=text)), START)["price"].to_list() == [price]

    @pytest.mark.parametrize("text", [b'"2"', b"null", b"[]"])
    def test_a_price_that_is_no_number_is_refused(self, text: bytes) -> None:
        with pytest.raises(PayloadError, match="unexpected shape"):
            bitmex.decode_trades(rows(trade(price=text)), START)


class TestBook:
    def test_a_depth_is_asked_for(self) -> None:
        request = bitmex.book_request(query(limit=25))
        assert request == Request("/api/v1/orderBook/L2", {"symbol": "XBTUSD", "depth": "25"})

    def test_levels_are_numbered_from_the_best_whatever_their_order(self) -> None:
        levels = [("Buy", 9), ("Sell", 12), ("Sell", 10), ("Buy", 8), ("Sell", 11)]
        told = [b'{"side":"%s","size":5,"price":%d}' % (side.encode(), price) for side, price in levels]
        decoded = bitmex.decode_book(rows(*told), START)
        assert decoded.select("side", "level", "price").rows() == [
            ("bid", 0, 9.0),
            ("bid", 1, 8.0),
            ("ask", 0, 10.0),
            ("ask", 1, 11.0),
            ("ask", 2, 12.0),
        ]

    def test_a_book_takes_the_time_of_the_answer_not_of_its_levels(self) -> None:
        body = b'[{"side":"Buy","size":5,"price":9,"timestamp":"2019-01-01T00:00:00.000Z"}]'
        assert bitmex.decode_book(body, START)["ts"].to_physical().to_list() == [START]

    def test_sizes_count_contracts(self) -> None:
        assert bitmex.EXCHANGE.endpoints[DataType.ORDERBOOK].contracts
        assert not bitmex.EXCHANGE.endpoints[DataType.TRADES].contracts

    def test_another_side_is_refused(self) -> None:
        with pytest.raises(PayloadError, match="unexpected shape"):
            bitmex.decode_book(b'[{"side":"Both","size":5,"price":9}]', START)


@pytest.mark.parametrize("body", [b"[]", b" [ ] "])
def test_an_empty_list_is_no_rows_of_the_right_table(body: bytes) -> None:
    for endpoint in bitmex.EXCHANGE.endpoints.values():
        assert endpoint.decode(body, START).is_empty()
    assert bitmex.decode_markets(body).is_empty()


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("BTC/USDT", "XBT_USDT"),
        ("ETH/BTC", "ETH_XBT"),
        ("BTC/USDT:USDT", "XBTUSDT"),
        ("ETH/USDT:USDT", "ETHUSDT"),
        ("BTC/USD:BTC", "XBTUSD"),
        ("BTC/EUR:BTC", "XBTEUR"),
        ("ETH/USD:ETH", "ETHUSD_ETH"),  # ETHUSD is the quanto contract
    ],
)
def test_a_symbol_is_written_as_the_venue_writes_it(symbol: str, market: str) -> None:
    assert bitmex.market(Symbol.parse(symbol)) == market


def test_a_quanto_contract_has_no_name_of_ours() -> None:
    with pytest.raises(ConfigError, match="quanto"):
        bitmex.market(Symbol.parse("ETH/USD:BTC"))


class TestMarkets:
    def instrument(self, **fields: str) -> bytes:
        known = {
            "symbol": '"LTCUSDT"',
            "typ": f'"{bitmex.InstrumentType.PERPETUAL}"',
            "state": '"Open"',
            "underlying": '"LTC"',
            "quoteCurrency": '"USDT"',
            "settlCurrency": '"USDt"',
            "multiplier": "100",
            "underlyingToPositionMultiplier": "10000",
            **fields,
        }
        parts = [f'"{name}":{value}' for name, value in known.items()]
        return f"[{{{','.join(parts)}}}]".encode()

    def test_they_are_asked_in_pages(self) -> None:
        [first] = bitmex.markets_requests()
        assert first.path == "/api/v1/instrument"
        assert first.params == {"count": "500", "start": "0", "reverse": "false"}
        page = rows(*[self.instrument()[1:-1]] * 500)
        second = bitmex.more_markets(first, page)
        assert second is not None
        assert second.params == {"count": "500", "start": "500", "reverse": "false"}
        third = bitmex.more_markets(second, page)
        assert third is not None
        assert third.params["start"] == "1000"
        assert bitmex.more_markets(third, rows(*[self.instrument()[1:-1]] * 499)) is None
        assert bitmex.more_markets(third, b"[]") is None

    def test_a_linear_contract_is_worth_some_of_the_base(self) -> None:
        [row] = bitmex.decode_markets(self.instrument()).rows(named=True)
        assert (row["symbol"], row["market"], row["contract"]) == ("LTC/USDT:USDT", "LTCUSDT", 1e-4)

    def test_an_inverse_contract_is_worth_some_of_the_quote(self) -> None:
        body = self.instrument(
            symbol='"XBTUSD"',
            underlying='"XBT"',
            quoteCurrency='"USD"',
            settlCurrency='"XBt"',
            multiplier="-100000000",
            underlyingToPositionMultiplier="null",
            underlyingToSettleMultiplier="-100000000",
        )
        [row] = bitmex.decode_markets(body).rows(named=True)
        assert (row["symbol"], row["market"], row["contract"]) == ("BTC/USD:BTC", "XBTUSD", 1.0)

    @pytest.mark.parametrize(
        ("base", "quote", "settle", "symbol"),
        [
            ("ETH", "USD", "Gwei", "ETH/USD:ETH"),
            ("SOL", "USD", "LAMp", "SOL/USD:SOL"),
            ("BMEX", "USDT", "USDt", "BMEX/USDT:USDT"),
            ("ETH", "XBT", "XBt", "ETH/BTC:BTC"),
        ],
    )
    def test_money_in_small_units_is_named_as_a_whole(
        self, base: str, quote: str, settle: str, symbol: str
    ) -> None:
        told = {"underlying": base, "quoteCurrency": quote, "settlCurrency": settle}
        body = self.instrument(**{name: f'"{value}"' for name, value in told.items()})
        assert bitmex.decode_markets(body)["symbol"].to_list() == [symbol]

    @pytest.mark.parametrize("settle", ['""', "null", '"USDt"'])
    def test_spot_is_settled_in_nothing(self, settle: str) -> None:
        body = self.instrument(
            symbol='"LTC_USDT"', typ=f'"{bitmex.InstrumentType.SPOT}"', settlCurrency=settle
        )
        assert bitmex.decode_markets(body)["symbol"].to_list() == ["LTC/USDT"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"settlCurrency": '"XBt"'},
            {"settlCurrency": "null"},
            {"typ": '"FFCCSX"'},
            {"typ": '"FFWCSF"'},
            {"typ": f'"{bitmex.InstrumentType.INDEX}"', "underlying": "null"},
            {"quoteCurrency": '""'},
        ],
    )
    def test_what_has_no_name_of_ours_is_left_out(self, fields: dict[str, str]) -> None:
        assert bitmex.decode_markets(self.instrument(**fields)).is_empty()

    @pytest.mark.parametrize("state", ["Closed", "Settled", "Unlisted"])
    def test_what_does_not_trade_is_listed_all_the_same(self, state: str) -> None:
        assert bitmex.decode_markets(self.instrument(state=f'"{state}"'))["active"].to_list() == [False]

    def test_an_unknown_worth_is_null(self) -> None:
        body = self.instrument(underlyingToPositionMultiplier="null")
        assert bitmex.decode_markets(body)["contract"].to_list() == [None]
        inverse = self.instrument(settlCurrency='"LTC"', underlyingToSettleMultiplier="null")
        assert bitmex.decode_markets(inverse)["contract"].to_list() == [None]


@pytest.mark.parametrize(
    ("headers", "spent"),
    [
        ({"x-ratelimit-limit": "30", "x-ratelimit-remaining": "29"}, 1),
        ({"x-ratelimit-limit": "120", "x-ratelimit-remaining": "0"}, 120),
        ({"x-ratelimit-limit": "30"}, None),
        ({"x-ratelimit-remaining": "4"}, None),
        ({"x-ratelimit-limit": "30", "x-ratelimit-remaining": "some"}, None),
        ({}, None),
    ],
)
def test_what_was_spent_is_learnt_from_what_is_left(headers: dict[str, str], spent: int | None) -> None:
    assert bitmex.used(headers) == spent


def problem(message: str, name: str = "HTTPError") -> bytes:
    return f'{{"error":{{"message":"{message}","name":"{name}"}}}}'.encode()


@pytest.mark.parametrize(
    ("answer", "kind", "wait_s"),
    [
        (response(429, retry_after="7"), Throttled, 7.0),
        (response(429), Throttled, None),
        (response(429, retry_after="soon"), Throttled, None),
        (response(200, problem("Slow down.", "RateLimitError")), Throttled, None),
        (response(403, b"<html>"), Banned, 60.0),
        (response(403, problem("Forbidden"), retry_after="60"), Banned, 60.0),
        (response(403, problem("Slow down.", "RateLimitError")), Banned, 3_600.0),
    ],
)
def test_how_long_to_stay_away(answer: Response, kind: type[Throttled], wait_s: float | None) -> None:
    assert stays_away(bitmex.verdict(answer)) == (kind, wait_s)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(500), Unavailable),
        (response(503, problem("The system is currently overloaded.")), Unavailable),
        (response(400, problem("The system is currently overloaded.")), Unavailable),
        (response(521, b"<html>"), Unavailable),
        (response(400, problem("'count' is wrong", "ValidationError")), Rejected),
        (response(200, problem("'count' is wrong", "ValidationError")), Rejected),
        (response(404, b"gone"), Rejected),
        (response(451, b""), Rejected),
        (response(400, problem("Unknown or expired symbol.")), UnknownSymbol),
        (response(400, problem("'symbol' is invalid")), UnknownSymbol),
        (response(404, problem("Invalid symbol")), UnknownSymbol),
    ],
)
def test_an_error_becomes_its_kind(answer: Response, kind: type[DccdError]) -> None:
    error = bitmex.verdict(answer)
    assert type(error) is kind
    assert error is not None
    assert error.hint
    assert f"HTTP {answer.status}" in str(error)


@pytest.mark.parametrize("status", [404, 410])
def test_who_finds_nothing_is_told_that_the_venue_is_closed(status: int) -> None:
    error = bitmex.verdict(response(status, b""))
    assert error is not None
    assert "rest_url" in error.hint


@pytest.mark.parametrize(
    "body", [b"[]", b'[{"error":1}]', b'{"errors":[]}', b'{"error":"text"}', b'{"error"']
)
def test_other_bodies_are_left_to_the_decoder(body: bytes) -> None:
    assert bitmex.verdict(response(200, body)) is None


def test_the_venue_is_closed_but_described() -> None:
    exchange = bitmex.EXCHANGE
    assert exchange.closed == parse_time("2026-09-23T04:00:00Z")
    assert exchange.since == parse_time("2014-11-22")
    assert exchange.finality_delay == 5 * SECOND
    assert [(limit.amount, limit.period, limit.pool) for limit in exchange.limits] == [(30, MINUTE, "")]
    assert exchange.endpoints[DataType.OHLC].paging == TimeWindows()
    assert all(endpoint.page_limit == 1_000 for endpoint in exchange.endpoints.values())
