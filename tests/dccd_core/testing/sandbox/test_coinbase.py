from typing import Any

import polars as pl
import pytest

from dccd_core.adapter.contract import Query
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MICROSECOND, MINUTE, SECOND, TimeRange, Us, iso, parse_time
from dccd_core.exchanges import coinbase as adapter
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

BTC, DOGE, NEW = (Symbol.parse(name) for name in ("BTC/USD", "DOGE/USD", "NEW/USDT"))
QUIET = Symbol.parse("QUIET/USD")
SPARSE = {"QUIET/USD": 40}
MARKET = Market(trades_per_day=SPARSE)
NOW = parse_time("2024-06-05T12:00:30")
COINBASE = InProcess(NOW, trades_per_day=SPARSE)


def answer(path: str, **params: str | int) -> Any:
    return COINBASE.send("GET", f"/coinbase/products{path}", b"", **params)


def get(path: str, **params: str | int) -> Any:
    said = answer(path, **params)
    assert said.status_code == 200, said.text
    return said.json()


def sent(request: adapter.Request) -> bytes:
    return COINBASE.send("GET", f"/coinbase{request.path}", b"", **request.params).content


def candles(start: str, end: str, **params: str | int) -> list[str]:
    """Return when the bars of BTC-USD of 5 minutes open, as they come."""
    rows = get("/BTC-USD/candles", **{"granularity": 300, "start": start, "end": end, **params})
    return [iso(Us(row[0] * SECOND))[11:16] for row in rows]


def trades(**params: str | int) -> list[int]:
    return [row["trade_id"] for row in get("/BTC-USD/trades", **params)]


def newest() -> int:
    return MARKET.tape("coinbase", BTC).count_before(NOW)


def test_pages_of_bars_side_by_side_are_the_truth_too() -> None:
    span = TimeRange(parse_time("2024-03-01T00:00"), parse_time("2024-03-02T00:00"))
    pages = [
        adapter.decode_candles(sent(adapter.candles_request(Query("BTC-USD", part, 300, MINUTE))), NOW)
        for part in span.split(Us(300 * MINUTE))
    ]
    assert pl.concat(pages).equals(MARKET.truth_bars("coinbase", BTC, MINUTE, span))


def test_dense_markets_page_like_others() -> None:
    dense = {"BTC/USD": 10_000_000}
    sandbox, market = InProcess(trades_per_day=dense), Market(trades_per_day=dense)
    span = TimeRange(parse_time("2024-03-01"), parse_time("2024-03-01T00:00:10"))
    truth = market.truth_trades("coinbase", BTC, span).head(1_000)
    body = sandbox.send("GET", "/coinbase/products/BTC-USD/trades", b"", after=int(truth["trade_id"][-1]) + 1)
    assert adapter.decode_trades(body.content, NOW).equals(truth)


def test_the_newest_trade_is_found_without_knowing_its_id() -> None:
    request = adapter.newest_trade_request(Query("BTC-USD", TimeRange(NOW, NOW), 1))
    assert adapter.decode_trades(sent(request), NOW)["trade_id"].to_list() == [str(newest())]


def test_a_bar_is_written_as_coinbase_writes_it() -> None:
    rows = get(
        "/BTC-USD/candles", granularity=3_600, start="2024-03-01T00:00:00Z", end="2024-03-01T01:59:59Z"
    )
    assert [row[0] for row in rows] == [1_709_254_800, 1_709_251_200]
    for time, low, high, opened, closed, volume in rows:
        assert type(time) is int
        assert low <= min(opened, closed) <= max(opened, closed) <= high
        assert volume > 0


def test_a_trade_is_written_as_coinbase_writes_it() -> None:
    page = get("/BTC-USD/trades", limit=500)
    for row in page:
        assert list(row) == ["trade_id", "side", "size", "price", "time"]
        assert [type(value) for value in row.values()] == [int, str, str, str, str]
        assert row["side"] in {"buy", "sell"}
        assert parse_time(row["time"]) % MICROSECOND == 0
    assert len({len(row["time"]) for row in page}) > 1, "times have different numbers of digits"


def test_the_side_is_the_maker_s() -> None:
    rows = get("/BTC-USD/trades", after=1_001, limit=100)
    buyer_is_maker = MARKET.tape("coinbase", BTC).by_id(900, 100).buyer_is_maker
    assert [row["side"] == "buy" for row in reversed(rows)] == buyer_is_maker.tolist()
    assert len({row["side"] for row in rows}) == 2


class TestBoundsOfBars:
    def test_both_bounds_are_inclusive_and_the_newest_comes_first(self) -> None:
        assert candles("2024-06-01T00:00:00Z", "2024-06-01T00:10:00Z") == ["00:10", "00:05", "00:00"]
        assert candles("2024-06-01T00:00:00Z", "2024-06-01T00:09:59Z") == ["00:05", "00:00"]

    def test_seconds_are_taken_as_well(self) -> None:
        start = parse_time("2024-06-01") // SECOND
        assert candles(str(start), str(start + 599)) == ["00:05", "00:00"]

    def test_a_candle_may_lie_before_the_start(self) -> None:
        assert candles("2024-06-01T00:00:30Z", "2024-06-01T00:05:30Z") == ["00:05", "00:00"]

    @pytest.mark.parametrize(("seconds", "status"), [(299 * 60, 200), (299 * 60 + 59, 200), (300 * 60, 400)])
    def test_more_than_300_points_are_an_error(self, seconds: int, status: int) -> None:
        start = parse_time("2024-06-01") // SECOND
        said = answer("/BTC-USD/candles", granularity=60, start=start, end=start + seconds)
        assert said.status_code == status
        assert status == 200 or "exceeds 300" in said.json()["message"]

    @pytest.mark.parametrize(
        "given", [{}, {"start": "2024-06-01T00:00:00Z"}, {"end": "2024-06-01T00:00:00Z"}]
    )
    def test_without_both_bounds_come_the_newest(self, given: dict[str, str]) -> None:
        rows = get("/BTC-USD/candles", granularity=3_600, **given)
        assert rows[0][0] == parse_time("2024-06-05T12:00") // SECOND
        assert len(rows) == 350

    def test_the_running_bar_is_first_and_holds_the_trades_so_far(self) -> None:
        at = parse_time("2024-06-05T00:00")
        [row] = get("/BTC-USD/candles", granularity=86_400, start=iso(at), end=iso(Us(at + DAY - SECOND)))
        so_far = MARKET.truth_trades("coinbase", BTC, TimeRange(at, NOW))
        assert row[0] == at // SECOND
        assert row[4] == so_far["price"][-1]
        assert row[5] == pytest.approx(so_far["amount"].sum())

    def test_history_begins_with_the_listing(self) -> None:
        first = MARKET.tape("coinbase", NEW).first_time
        asked = {"start": iso(Us(first - 100 * MINUTE)), "end": iso(Us(first + 100 * MINUTE))}
        rows = get("/NEW-USDT/candles", granularity=60, **asked)
        assert rows[-1][0] == (first - first % MINUTE) // SECOND

    def test_a_bar_without_a_trade_is_left_out(self) -> None:
        span = TimeRange(parse_time("2024-03-01"), parse_time("2024-03-01T05:00"))
        opens = {int(row.timestamp()) // 60 for row in MARKET.truth_trades("coinbase", QUIET, span)["ts"]}
        asked = {"start": iso(span.start), "end": iso(Us(span.end - SECOND))}
        rows = get("/QUIET-USD/candles", granularity=60, **asked)
        assert [row[0] // 60 for row in rows] == sorted(opens, reverse=True)
        assert 0 < len(rows) < 20

    def test_an_outage_is_skipped(self) -> None:
        assert candles("2023-03-24T09:50:00Z", "2023-03-24T11:04:59Z") == ["11:00", "09:55", "09:50"]
        assert candles("2023-03-24T10:00:00Z", "2023-03-24T10:59:59Z") == []


class TestCursors:
    def test_after_gives_the_page_just_below(self) -> None:
        assert trades(after=1_001, limit=3) == [1_000, 999, 998]
        assert trades(after=3) == [2, 1]
        assert trades(after=1) == []

    def test_the_page_is_the_newest_without_a_cursor_or_beyond_the_end(self) -> None:
        assert trades(limit=2) == [newest(), newest() - 1]
        assert trades(after=newest() + 5, limit=2) == [newest(), newest() - 1]

    def test_before_gives_the_newest_not_the_next(self) -> None:
        assert trades(before=1, limit=2) == [newest(), newest() - 1]
        assert trades(before=newest() - 1) == [newest()]
        assert trades(before=newest()) == []

    @pytest.mark.parametrize(("params", "rows"), [({}, 1_000), ({"limit": 5_000}, 1_000), ({"limit": 7}, 7)])
    def test_how_long_a_page_is(self, params: dict[str, int], rows: int) -> None:
        page = trades(**params)
        assert len(page) == rows
        assert page == list(range(newest(), newest() - rows, -1))


@pytest.mark.parametrize(
    ("path", "params", "status", "text"),
    [
        ("/NOPE-USD/candles", {}, 404, "NotFound"),
        ("/btc-usd/trades", {}, 404, "NotFound"),
        ("/BTCUSD/book", {}, 404, "NotFound"),
        ("/BTC-USDT:USDT/trades", {}, 404, "NotFound"),
        ("/BTC-USD/candles", {"granularity": 120}, 400, "Unsupported granularity"),
        ("/BTC-USD/candles", {"start": "soon", "end": "later"}, 400, "invalid start"),
        ("/BTC-USD/candles", {"start": "60", "end": "60"}, 400, "start must be before end"),
        ("/BTC-USD/candles", {"start": "61", "end": "60"}, 400, "start must be before end"),
        ("/BTC-USD/trades", {"limit": 0}, 400, "invalid limit"),
        ("/BTC-USD/trades", {"limit": "all"}, 400, "invalid limit"),
        ("/BTC-USD/trades", {"after": "x"}, 400, "invalid after"),
        ("/BTC-USD/book", {"level": 4}, 400, "unexpected level: _"),
    ],
)
def test_a_wrong_request_is_told_so(path: str, params: dict[str, str | int], status: int, text: str) -> None:
    said = answer(path, **params)
    assert said.status_code == status
    assert said.json() == {"message": text}


def test_a_book_is_whole_and_lies_around_the_price_best_first() -> None:
    book = get("/BTC-USD/book", level=2)
    bids, asks = ([float(price) for price, _, _ in book[side]] for side in ("bids", "asks"))
    price = float(get("/BTC-USD/trades", limit=1)[0]["price"])
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < price < asks[0] < price * 1.001
    assert (len(bids), len(asks)) == (1_200, 1_200)
    assert book["time"] == "2024-06-05T12:00:30Z"
    assert (book["auction_mode"], book["auction"], type(book["sequence"])) == (False, None, int)
    assert book == get("/BTC-USD/book", level=2)
    best = get("/BTC-USD/book")
    assert (best["bids"], best["asks"]) == (book["bids"][:1], book["asks"][:1])


def test_a_product_is_written_as_coinbase_writes_it() -> None:
    [btc] = [row for row in get("") if row["id"] == "BTC-USD"]
    assert (btc["base_currency"], btc["quote_currency"]) == ("BTC", "USD")
    assert (btc["quote_increment"], btc["base_increment"]) == ("0.01", "0.00001")
    assert (btc["status"], btc["trading_disabled"]) == ("online", False)


def test_fifteen_requests_at_once_are_too_many_and_a_tenth_of_a_second_later_one_is_free() -> None:
    sandbox = InProcess(rate_limits=True)

    def ask() -> Any:
        return sandbox.send("GET", "/coinbase/products/BTC-USD/book")

    sandbox.clock(NOW)
    assert [ask().status_code for _ in range(16)] == [200] * 15 + [429]
    said = ask()
    error = adapter.verdict(adapter.Response(said.status_code, said.headers, said.content, NOW))
    assert isinstance(error, adapter.Throttled)
    assert "Public rate limit exceeded" in str(error)
    sandbox.clock(Us(NOW + SECOND // 10))
    assert [ask().status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *(
            (400, adapter.Rejected),
            (401, adapter.Rejected),
            (403, adapter.Banned),
            (404, adapter.UnknownSymbol),
        ),
        *((429, adapter.Throttled), (500, adapter.Unavailable), (503, adapter.Unavailable)),
        *((522, adapter.Unavailable), (200, adapter.Unavailable)),
    ],
)
def test_its_troubles_are_understood(status: int, kind: type[Exception]) -> None:
    sandbox = InProcess()
    failure = FaultKind.ERROR_BODY if status == 200 else FaultKind.STATUS
    sandbox.faults(Fault(kind=failure, status=status, path="/trades", symbol="BTC-USD"))
    said = sandbox.send("GET", "/coinbase/products/BTC-USD/trades")
    assert said.status_code == status
    assert type(adapter.verdict(adapter.Response(status, {}, said.content, NOW))) is kind
    assert sandbox.send("GET", "/coinbase/products/BTC-USDT/trades").status_code == 200
