"""What the conformance tests do not say: parameters, bounds, and what bodies mean in detail."""

import msgspec
import pytest

from dccd_core.adapter.contract import IdWindows, Keeps, Query, Reach, Request, Response, TimeWindows
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, PayloadError, Rejected, Throttled, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import okx
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, response, stays_away

END = parse_time("2024-01-02")
HALF_OPEN = TimeRange(START, END)
SWAPS = ("linear", "inverse")


def query(
    span: TimeRange = HALF_OPEN, limit: int = 300, bar: Us | None = None, first_id: int | None = None
) -> Query:
    return Query("BTC-USDT", span, limit, bar, first_id)


def enveloped(*rows: object) -> bytes:
    return msgspec.json.encode({"code": "0", "msg": "", "data": rows})


def candle(time: str = "60000", vol: str = "10", ccy: str = "20", confirm: str = "1") -> list[str]:
    return [time, "1.5", "2.5", "0.5", "2.0", vol, ccy, "30", confirm]


def trade(number: str = "1", time: str = "5", price: str = "1", side: str = "buy") -> dict[str, str]:
    return {
        "instId": "BTC-USDT",
        "side": side,
        "sz": "2",
        "px": price,
        "tradeId": number,
        "ts": time,
        "source": "0",
    }


def instrument(**told: str) -> dict[str, str]:
    none = {"ctType": "", "ctVal": "", "ctMult": "", "state": "live", "listTime": ""}
    return {"instId": "BTC-USDT", **none, **told}


def test_bars_are_asked_with_exclusive_bounds_on_both_sides() -> None:
    assert okx.candles_request(query(bar=MINUTE)) == Request(
        "/api/v5/market/history-candles",
        {
            "instId": "BTC-USDT",
            "bar": "1m",
            "before": "1704067199999",
            "after": "1704153600000",
            "limit": "300",
        },
        pool="history-candles",
    )


def test_no_bound_is_negative() -> None:
    assert okx.candles_request(query(TimeRange(Us(0), END), bar=MINUTE)).params["before"] == "0"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(("1m", "1m"), ("3m", "3m"), ("5m", "5m"), ("15m", "15m"), ("30m", "30m")),
        *(("1h", "1H"), ("2h", "2H"), ("4h", "4H"), ("6h", "6Hutc"), ("12h", "12Hutc"), ("1d", "1Dutc")),
    ],
)
def test_a_bar_length_is_written_as_the_venue_writes_it(text: str, name: str) -> None:
    span = parse_bar_span(text)
    assert span in okx.EXCHANGE.endpoints[DataType.OHLC].spans
    assert okx.candles_request(query(bar=span)).params["bar"] == name


def test_bars_cut_in_hong_kong_are_never_asked_for() -> None:
    """Eight hours ahead of UTC only lengths that divide those hours open when ours do."""
    spans = okx.EXCHANGE.endpoints[DataType.OHLC].spans
    assert len(spans) == 11
    for span in spans:
        in_utc = okx.candles_request(query(bar=span)).params["bar"].endswith("utc")
        assert in_utc == (8 * HOUR % span != 0)


@pytest.mark.parametrize("text", ["1s", "2d", "3d", "1w"])
def test_a_length_that_nobody_has_shown_to_fit_our_grid_is_not_served(text: str) -> None:
    assert parse_bar_span(text) not in okx.EXCHANGE.endpoints[DataType.OHLC].spans


def test_ids_are_asked_downwards_from_the_one_behind_them() -> None:
    asked = {"instId": "BTC-USDT", "type": "1", "after": "26136", "limit": "7"}
    assert okx.trades_request(query(first_id=26_129, limit=7)) == Request(
        "/api/v5/market/history-trades", asked, pool="history-trades"
    )
    assert okx.trades_request(query(first_id=0, limit=1)).params["after"] == "1"
    paging = okx.EXCHANGE.endpoints[DataType.TRADES].paging
    assert isinstance(paging, IdWindows)
    assert paging.down
    assert paging.newest is None


@pytest.mark.parametrize(
    ("at", "after"),
    [(START, "1704067200000"), (Us(START + 1), "1704067200001"), (Us(START - 1), "1704067200000")],
)
def test_the_row_before_a_moment_is_asked_by_time(at: Us, after: str) -> None:
    asked = {"instId": "BTC-USDT", "type": "2", "after": after, "limit": "1"}
    assert okx.trade_before_request(query(TimeRange(at, END))) == Request(
        "/api/v5/market/history-trades", asked, pool="history-trades"
    )


def test_a_book_is_asked_by_its_levels() -> None:
    asked = {"instId": "BTC-USDT", "sz": "400"}
    assert okx.books_request(query(limit=400)) == Request("/api/v5/market/books", asked, pool="books")


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTC/USDT", "BTC-USDT"),
        ("BTC/USD", "BTC-USD"),
        ("BTC/USDT:USDT", "BTC-USDT-SWAP"),
        ("BTC/USD:BTC", "BTC-USD-SWAP"),
        ("BTC/USD:USD", "BTC-USD_UM-SWAP"),
        ("BTC/USDC:USDC", "BTC-USDC-SWAP"),
    ],
)
def test_a_market_s_name_goes_there_and_back(symbol: str, name: str) -> None:
    unified = Symbol.parse(symbol)
    assert okx.market(unified) == name
    kind = "" if unified.settle is None else unified.market_type
    rows = okx.decode_markets(enveloped(instrument(instId=name, ctType=kind, ctVal="1" if kind else "")))
    assert rows.row(0)[:2] == (symbol, name)


def test_both_kinds_of_instruments_are_asked_for_each_under_its_own_limit() -> None:
    assert okx.markets_requests() == tuple(
        Request("/api/v5/public/instruments", {"instType": kind}, pool="instruments", market=kind)
        for kind in ("SPOT", "SWAP")
    )


def test_a_contract_is_worth_its_value_times_its_multiplier() -> None:
    swap = instrument(instId="A-B-SWAP", ctType="linear", ctVal="0.1", ctMult="10")
    unknown = instrument(instId="A-B-SWAP", ctType="linear")
    assert okx.decode_markets(enveloped(swap, unknown, instrument()))["contract"].to_list() == [
        1.0,
        None,
        None,
    ]


def test_the_date_of_the_move_is_no_listing_date() -> None:
    """Bars of these pairs begin years earlier: starting there would lose them."""
    times = ("1548133413000", "1548133413001", "")
    rows = okx.decode_markets(enveloped(*(instrument(listTime=time) for time in times)))
    assert rows["listed"].cast(int).to_list() == [None, 1_548_133_413_001 * MILLISECOND, None]


@pytest.mark.parametrize("told", [{"listTime": "soon"}, {"ctVal": "much"}, {"ctType": "odd"}])
def test_an_instrument_of_another_shape_is_refused(told: dict[str, str]) -> None:
    with pytest.raises(PayloadError):
        okx.decode_markets(enveloped(instrument(**told)))


def test_the_newest_row_comes_first_and_ours_last() -> None:
    bars = okx.decode_spot_candles(enveloped(candle("180000"), candle("120000"), candle("60000")), START)
    assert bars["ts"].to_physical().to_list() == [minute * MINUTE for minute in (1, 2, 3)]
    rows = okx.decode_trades(enveloped(trade("9"), trade("8"), trade("7")), START)
    assert rows["trade_id"].to_list() == ["7", "8", "9"]


def test_trades_of_one_millisecond_keep_the_order_of_their_ids() -> None:
    rows = [trade(str(number), "5" if number < 11 else "6") for number in range(12, 7, -1)]
    assert okx.decode_trades(enveloped(*rows), START)["trade_id"].to_list() == ["8", "9", "10", "11", "12"]


def test_a_running_bar_is_dropped_whatever_its_place() -> None:
    body = enveloped(candle("180000", confirm="0"), candle("120000"), candle("60000", confirm="0"))
    assert okx.decode_spot_candles(body, START)["ts"].to_physical().to_list() == [2 * MINUTE]
    assert okx.decode_swap_candles(enveloped(candle(confirm="0")), START).is_empty()


def test_a_bar_that_is_neither_closed_nor_running_is_refused() -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        okx.decode_spot_candles(enveloped(candle(confirm="2")), START)
    with pytest.raises(PayloadError, match="unexpected shape"):
        okx.decode_spot_candles(enveloped(candle()[:-1]), START)


def test_the_base_volume_is_in_another_cell_for_derivatives() -> None:
    body = enveloped(candle(vol="8", ccy="9"))
    for kind, volume in (("spot", 8.0), ("linear", 9.0), ("inverse", 9.0)):
        endpoint = okx.EXCHANGE.endpoint(kind, DataType.OHLC)
        assert endpoint is not None
        assert endpoint.decode(body, START).select("volume", "quote_volume", "trades").row(0) == (
            volume,
            30.0,
            None,
        )


def test_only_trades_and_books_of_derivatives_count_contracts() -> None:
    for data_type in DataType:
        assert not okx.EXCHANGE.endpoints[data_type].contracts
        for kind in SWAPS:
            endpoint = okx.EXCHANGE.endpoint(kind, data_type)
            assert endpoint is not None
            assert endpoint.contracts == (data_type is not DataType.OHLC)


def test_the_side_is_the_taker_s_as_told() -> None:
    rows = okx.decode_trades(enveloped(trade("2", side="sell"), trade("1", side="buy")), START)
    assert rows["side"].to_list() == ["buy", "sell"]
    with pytest.raises(PayloadError):
        okx.decode_trades(enveloped(trade(side="Sell")), START)


def test_a_book_has_the_venue_s_time_and_levels_from_the_best() -> None:
    book = {"asks": [["3", "1", "0", "1"], ["4", "2"]], "bids": [["2", "5", "0", "1", "new"]], "ts": "1500"}
    rows = okx.decode_books(enveloped(book), START)
    assert [row[1:] for row in rows.rows()] == [
        ("bid", 0, 2.0, 5.0, None),
        ("ask", 0, 3.0, 1.0, None),
        ("ask", 1, 4.0, 2.0, None),
    ]
    assert rows["ts"].to_physical().unique().to_list() == [1_500 * MILLISECOND]


@pytest.mark.parametrize("book", [{}, {"asks": [], "bids": []}, {"asks": [["1"]], "bids": [], "ts": "1"}])
def test_a_book_of_another_shape_is_refused(book: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        okx.decode_books(enveloped(book), START)


@pytest.mark.parametrize(
    "time", ["1704067200000000", "-1", "9223372036855", "", "1.5", "soon"], ids=lambda text: text or "empty"
)
def test_a_time_that_is_no_millisecond_of_ours_is_refused(time: str) -> None:
    """Microseconds times a million would silently wrap round to another century."""
    with pytest.raises(PayloadError, match="Expected `int`"):
        okx.decode_spot_candles(enveloped(candle(time)), START)
    with pytest.raises(PayloadError, match="Expected `int`"):
        okx.decode_trades(enveloped(trade(time=time)), START)


def test_the_last_millisecond_and_the_last_id_that_fit_are_exact() -> None:
    rows = okx.decode_trades(enveloped(trade(str(2**63 - 1), "9223372036854")), START)
    assert rows["ts"].to_physical().to_list() == [9_223_372_036_854_000]
    assert rows["trade_id"].to_list() == ["9223372036854775807"]
    with pytest.raises(PayloadError):
        okx.decode_trades(enveloped(trade(str(2**63))), START)


def failed(code: str) -> bytes:
    return b'{"msg":"so it is","code":"%s","data":[]}' % code.encode()


@pytest.mark.parametrize(
    ("answer", "kind", "wait_s"),
    [
        (response(429), Throttled, 2.0),
        (response(429, retry_after="7"), Throttled, 7.0),
        (response(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), Throttled, 3_600.0),
        (response(200, failed("50011")), Throttled, 2.0),
        (response(200, failed("50061")), Throttled, 2.0),
        (response(403, b"<html>"), Banned, 60.0),
        (response(418), Banned, 60.0),
    ],
)
def test_how_long_to_stay_away(answer: Response, kind: type[Throttled], wait_s: float) -> None:
    assert stays_away(okx.verdict(answer)) == (kind, wait_s)


@pytest.mark.parametrize("code", ["50001", "50004", "50005", "50013", "50026"])
@pytest.mark.parametrize("status", [200, 400, 429, 503])
def test_trouble_of_the_venue_may_pass_whatever_its_status(code: str, status: int) -> None:
    error = okx.verdict(response(status, failed(code)))
    assert type(error) is Unavailable
    assert f"{code} so it is" in str(error)


@pytest.mark.parametrize("code", ["1", "51000", "50014", "99999", ""])
def test_any_other_code_inside_http_200_is_a_refusal(code: str) -> None:
    assert type(okx.verdict(response(200, failed(code)))) is Rejected


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"unheard":1}', b'{"code":0,"msg":""}', b"\xff"])
def test_what_is_no_answer_of_this_venue_is_left_to_the_decoder(body: bytes) -> None:
    assert okx.verdict(response(200, body)) is None
    with pytest.raises((PayloadError, Unavailable)):
        okx.decode_trades(body, START)


def test_the_facts_of_the_venue() -> None:
    two_seconds = Us(2 * SECOND)
    assert {(limit.pool, limit.amount, limit.period) for limit in okx.EXCHANGE.limits} == {
        ("history-candles", 20, two_seconds),
        ("history-trades", 20, two_seconds),
        ("books", 40, two_seconds),
        ("instruments", 20, two_seconds),
    }
    assert okx.EXCHANGE.finality_delay == 5 * SECOND
    assert okx.EXCHANGE.endpoints[DataType.OHLC].paging == TimeWindows(Keeps.NEWEST)
    assert okx.EXCHANGE.endpoints[DataType.TRADES].reach == Reach(period=Us(90 * DAY))
    pages = [okx.EXCHANGE.endpoints[data_type].page_limit for data_type in DataType]
    assert pages == [300, 100, 400]
