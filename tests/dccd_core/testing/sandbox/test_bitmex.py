from itertools import pairwise
from typing import Any

import httpx
import polars as pl
import pytest

from dccd_core.adapter.contract import Query, Request, Response
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bitmex as adapter
from dccd_core.tables import TIME, DataType
from dccd_core.testing.sandbox.bitmex import CLOSED
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

INVERSE = Symbol.parse("BTC/USD:BTC")
SYMBOLS = [INVERSE, *map(Symbol.parse, ("BTC/USDT:USDT", "ETH/USDT", "ETH/BTC"))]
MARKET = Market()
NOW = parse_time("2024-06-05T12:00:30")
BITMEX = InProcess(NOW)
KEPT = InProcess()
KEPT.clock(Us(CLOSED + 60 * DAY))
"""A server that still has the history, long after the end."""


def answered(path: str, sandbox: InProcess = BITMEX, /, **params: str | int) -> httpx.Response:
    return sandbox.send("GET", f"/bitmex/api/v1/{path}", b"", **params)


def get(path: str, sandbox: InProcess = BITMEX, /, **params: str | int) -> Any:
    answer = answered(path, sandbox, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def sent(request: Request, sandbox: InProcess = BITMEX) -> bytes:
    answer = sandbox.send("GET", f"/bitmex{request.path}", b"", **request.params)
    assert answer.status_code == 200, answer.text
    return answer.content


def closes(sandbox: InProcess = BITMEX, /, **params: str | int) -> list[str]:
    """Return the times of XBTUSD minutes, as they came."""
    rows = get("trade/bucketed", sandbox, **{"symbol": "XBTUSD", "binSize": "1m", **params})
    return [row["timestamp"].removesuffix(":00.000Z") for row in rows]


def trades(sandbox: InProcess = BITMEX, /, **params: str | int) -> list[int]:
    """Return the ids of XBTUSD trades, counted from 0."""
    rows = get("trade", sandbox, symbol="XBTUSD", **params)
    return [int(row["trdMatchID"][-12:], 16) for row in rows]


def count_before(at: str | Us, symbol: Symbol = INVERSE) -> int:
    return MARKET.tape("bitmex", symbol).count_before(parse_time(at) if isinstance(at, str) else at)


def opened(bars: pl.DataFrame, bar: Us) -> pl.DataFrame:
    """Move bars to their open, as the engine does."""
    return bars.with_columns((bars["ts"].cast(pl.Int64) - bar).cast(TIME).alias("ts"))


class TestOurAdapterReadsTheTruth:
    @pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.slug)
    @pytest.mark.parametrize(
        ("bar", "start", "rows"),
        [
            (MINUTE, "2023-03-24T02:00", 940),
            (Us(5 * MINUTE), "2024-03-01", 1_000),
            (HOUR, "2023-03-01", 999),
            (DAY, "2023-11-01", 217),
        ],
        ids=["1m", "5m", "1h", "1d"],
    )
    def test_bars(self, symbol: Symbol, bar: Us, start: str, rows: int) -> None:
        end = min(parse_time(start) + 1_000 * bar, NOW - NOW % bar)
        span = TimeRange(parse_time(start), Us(end))
        request = adapter.bars_request(Query(adapter.market(symbol), span, 1_000, bar))
        decoded = opened(adapter.decode_bars(sent(request), NOW), bar)
        assert decoded.height == rows
        assert decoded.equals(MARKET.truth_bars("bitmex", symbol, bar, span))

    @pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.slug)
    def test_trades_page_by_page_through_ties(self, symbol: Symbol) -> None:
        span = TimeRange(parse_time("2024-03-01"), parse_time("2024-03-01T01:00"))
        pages, at, skip = list[pl.DataFrame](), span.start, 0
        while True:
            asked = Query(adapter.market(symbol), TimeRange(at, span.end), 5, skip=skip)
            page = adapter.decode_trades(sent(adapter.trades_request(asked)), NOW)
            pages.append(page)
            if page.height < 5:
                break
            last = Us(int(page["ts"].cast(pl.Int64)[-1]))
            here = int((page["ts"].cast(pl.Int64) == last).sum())
            at, skip = last, here + (skip if last == at else 0)
        truth = MARKET.truth_trades("bitmex", symbol, span)
        assert truth.height > 100
        assert truth.group_by("ts").len()["len"].to_numpy().max() > 5, "a tie longer than a page"
        assert pl.concat(pages).equals(truth)

    @pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.slug)
    def test_the_very_first_rows(self, symbol: Symbol) -> None:
        first = MARKET.tape("bitmex", symbol).first_time
        asked = Query(adapter.market(symbol), TimeRange(Us(0), NOW), 1, MINUTE)
        bars = opened(adapter.decode_bars(sent(adapter.first_bar_request(asked)), NOW), MINUTE)
        assert bars["ts"].cast(pl.Int64).to_list() == [first - first % MINUTE]
        traded = adapter.decode_trades(sent(adapter.first_trade_request(asked)), NOW)
        assert traded["ts"].cast(pl.Int64)[0] == first

    def test_every_endpoint_of_every_kind(self) -> None:
        for symbol in SYMBOLS:
            for data_type, endpoint in adapter.EXCHANGE.endpoints.items():
                bar = MINUTE if data_type is DataType.OHLC else None
                asked = Query(adapter.market(symbol), TimeRange(Us(NOW - HOUR), NOW), 10, bar)
                assert endpoint.decode(sent(endpoint.request(asked)), NOW).height > 0

    def test_markets(self) -> None:
        [request] = adapter.markets_requests()
        body = sent(request)
        markets = adapter.decode_markets(body)
        assert adapter.more_markets(request, body) is None
        assert markets["symbol"].to_list() == [str(symbol) for symbol in MARKET.instruments]
        assert markets["market"].to_list() == [adapter.market(symbol) for symbol in MARKET.instruments]
        listed = [instrument.listed for instrument in MARKET.instruments.values()]
        assert markets["listed"].cast(pl.Int64).to_list() == listed
        assert markets["active"].all()
        worth = dict(zip(markets["market"], markets["contract"], strict=True))
        assert (worth["XBTUSD"], worth["XBTUSDT"], worth["XBT_USDT"]) == (1.0, 1e-6, 1e-8)

    def test_a_book_in_contracts_is_a_book_in_the_base(self) -> None:
        for symbol, worth in zip(SYMBOLS, (1.0, 1e-6, 1e-8, 1e-8), strict=True):
            asked = Query(adapter.market(symbol), TimeRange(NOW, NOW), 50)
            book = adapter.decode_book(sent(adapter.book_request(asked)), NOW)
            price = pl.col("price") if symbol.market_type == "inverse" else 1.0
            most = book.select((pl.col("amount") * worth / price).max()).item()
            lot = 10 ** -MARKET.instruments[symbol].amount_scale
            assert lot <= most <= 70_000 * lot
            bids, asks = (book.filter(side=side)["price"] for side in ("bid", "ask"))
            assert (bids.len(), asks.len()) == (50, 50)
            assert bids.is_sorted(descending=True)
            assert asks.is_sorted()
            assert bids[0] < asks[0]
            told = book.with_columns(amount=pl.col("amount") * worth / price)
            assert told.equals(MARKET.truth_book("bitmex", symbol, NOW, 50))


class TestBoundsOfBars:
    def test_both_bounds_are_inclusive_and_act_on_the_close(self) -> None:
        asked = {"startTime": "2024-06-01T10:30:00.000Z", "endTime": "2024-06-01T10:32:00.000Z"}
        assert closes(**asked) == ["2024-06-01T10:30", "2024-06-01T10:31", "2024-06-01T10:32"]
        inside = {"startTime": "2024-06-01T10:30:00.001Z", "endTime": "2024-06-01T10:31:59.999Z"}
        assert closes(**inside) == ["2024-06-01T10:31"]

    def test_a_bar_sums_what_was_traded_before_its_time(self) -> None:
        [row] = get("trade/bucketed", symbol="XBTUSD", binSize="1h", startTime="2024-06-01T11:00", count=1)
        assert row["timestamp"] == "2024-06-01T11:00:00.000Z"
        assert row["trades"] == count_before("2024-06-01T11:00") - count_before("2024-06-01T10:00")

    def test_the_running_bar_comes_only_when_asked_for(self) -> None:
        assert closes(reverse="true", count=2) == ["2024-06-05T12:00", "2024-06-05T11:59"]
        assert closes(reverse="true", count=2, partial="false") == ["2024-06-05T12:00", "2024-06-05T11:59"]
        assert closes(reverse="true", count=2, partial="true") == ["2024-06-05T12:01", "2024-06-05T12:00"]
        asked = {"symbol": "XBTUSD", "binSize": "1d", "reverse": "true", "count": 1, "partial": "true"}
        [row] = get("trade/bucketed", **asked)
        assert row["timestamp"] == "2024-06-06T00:00:00.000Z"
        assert row["trades"] == count_before(NOW) - count_before("2024-06-05")

    def test_without_bounds_the_oldest_rows_come(self) -> None:
        first = MARKET.tape("bitmex", INVERSE).first_time
        rows = closes()
        assert len(rows) == 100
        assert parse_time(rows[0]) == first - first % MINUTE + MINUTE
        assert len(closes(count=1_000)) == 1_000

    def test_rows_can_be_left_out(self) -> None:
        start = "2024-06-01T10:30"
        assert closes(startTime=start, start=2, count=1) == ["2024-06-01T10:32"]
        newest = closes(endTime=start, reverse="true", start=1, count=2)
        assert newest == ["2024-06-01T10:29", "2024-06-01T10:28"]

    def test_an_outage_is_skipped_and_does_not_shorten_the_page(self) -> None:
        rows = closes(startTime="2023-03-24T10:00", count=2)
        assert rows == ["2023-03-24T10:00", "2023-03-24T11:01"]

    def test_a_bar_opens_where_the_one_before_closed(self) -> None:
        asked = {"symbol": "XBTUSD", "binSize": "1m", "startTime": "2024-06-01", "count": 500}
        rows = get("trade/bucketed", **asked)
        assert all(after["open"] == row["close"] for row, after in pairwise(rows))
        assert any(not row["low"] <= row["open"] <= row["high"] for row in rows)
        quiet = [row for row in rows if not row["trades"]]
        assert quiet
        assert all((row["volume"], row["vwap"]) == (0, None) for row in quiet)
        assert all(row["open"] == row["high"] == row["low"] == row["close"] for row in quiet)


class TestBoundsOfTrades:
    def test_both_bounds_are_inclusive_and_a_tie_is_whole(self) -> None:
        [row] = get("trade", symbol="XBTUSD", startTime="2024-06-01", count=1)
        same = trades(startTime=row["timestamp"], endTime=row["timestamp"])
        first = count_before("2024-06-01")
        assert same == list(range(first, first + len(same)))
        after = parse_time(row["timestamp"]) + MILLISECOND
        assert first + len(same) == count_before(Us(after))

    def test_rows_can_be_left_out(self) -> None:
        first = count_before("2024-06-01")
        assert trades(startTime="2024-06-01", count=3) == [first, first + 1, first + 2]
        assert trades(startTime="2024-06-01", start=5, count=2) == [first + 5, first + 6]

    def test_the_oldest_come_first_unless_reversed(self) -> None:
        newest = count_before(NOW) - 1
        assert trades(count=2) == [0, 1]
        assert trades(count=2, reverse="true") == [newest, newest - 1]
        assert trades(count=2, start=3, reverse="true") == [newest - 3, newest - 4]
        assert len(trades()) == len(trades(count=0, reverse="true")) == 100

    def test_nothing_is_told_of_the_future(self) -> None:
        assert trades(startTime="2024-06-05T12:00:30") == []
        newest = count_before(NOW) - 1
        assert trades(startTime="2024-06-05T11:00", count=1_000)[-1] == newest

    def test_a_trade_is_written_as_bitmex_writes_it(self) -> None:
        [row] = get("trade", symbol="XBTUSD", startTime="2024-06-01", count=1)
        assert list(row) == [
            *("timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID", "grossValue"),
            *("homeNotional", "foreignNotional", "trdType"),
        ]
        assert row["foreignNotional"] == pytest.approx(row["homeNotional"] * row["price"])
        assert 0 <= row["size"] - row["foreignNotional"] < 1
        assert row["grossValue"] == pytest.approx(row["homeNotional"] * 1e8)


class TestAfterTheEnd:
    def test_the_last_bars_closed_with_the_venue(self) -> None:
        assert closes(KEPT, startTime="2026-09-23T03:59") == ["2026-09-23T03:59", "2026-09-23T04:00"]
        assert closes(KEPT, startTime="2026-09-23T03:59", partial="true")[-1] == "2026-09-23T04:00"
        days = get("trade/bucketed", KEPT, symbol="XBTUSD", binSize="1d", reverse="true", count=1)
        assert days[0]["timestamp"] == "2026-09-23T00:00:00.000Z"

    def test_nothing_trades_any_more(self) -> None:
        last = count_before(CLOSED) - 1
        assert trades(KEPT, reverse="true", count=1) == [last]
        assert trades(KEPT, startTime="2026-09-23T04:00:00.000Z") == []
        assert get("orderBook/L2", KEPT, symbol="XBTUSD") == []

    def test_the_history_stays_as_it_was(self) -> None:
        for path in ("trade", "trade/bucketed"):
            asked = {"symbol": "XBTUSDT", "startTime": "2024-06-01", "count": 50}
            assert get(path, KEPT, **asked) == get(path, **asked)

    def test_no_market_is_open(self) -> None:
        [request] = adapter.markets_requests()
        markets = adapter.decode_markets(sent(request, KEPT))
        assert markets.height == len(MARKET.instruments)
        assert not markets["active"].any()


class TestBook:
    def test_asks_come_first_prices_descending(self) -> None:
        rows = get("orderBook/L2", symbol="XBTUSD", depth=30)
        assert [row["side"] for row in rows] == ["Sell"] * 30 + ["Buy"] * 30
        prices = [row["price"] for row in rows]
        assert prices == sorted(prices, reverse=True)
        assert len({row["id"] for row in rows}) == 60
        assert rows == get("orderBook/L2", symbol="XBTUSD", depth=30)

    def test_the_depth_is_25_levels_or_all_of_them(self) -> None:
        assert len(get("orderBook/L2", symbol="XBTUSD")) == 50
        assert len(get("orderBook/L2", symbol="XBTUSD", depth=0)) == 2_000
        assert len(get("orderBook/L2", symbol="XBTUSD", depth=9_999)) == 2_000

    def test_no_price_is_below_zero(self) -> None:
        rows = get("orderBook/L2", symbol="DOGE_USDT", depth=1_000)
        assert all(row["price"] > 0 for row in rows)

    def test_there_is_none_before_the_first_trade(self) -> None:
        early = InProcess()
        early.clock(parse_time("2015-01-01"))
        assert get("orderBook/L2", early, symbol="XBTUSD") == []


class TestInstruments:
    def test_they_come_in_pages(self) -> None:
        names = [row["symbol"] for row in get("instrument", count=500)]
        assert len(names) == len(MARKET.instruments) + 3
        assert [row["symbol"] for row in get("instrument", count=2, start=3)] == names[3:5]
        assert [row["symbol"] for row in get("instrument", count=1, reverse="true")] == names[-1:]
        assert get("instrument", start=500) == []

    def test_there_are_some_that_we_have_no_name_for(self) -> None:
        assert {row["typ"] for row in get("instrument")} == set(adapter.InstrumentType)
        [quanto] = get("instrument", symbol="ETHUSD")
        assert (quanto["quoteCurrency"], quanto["settlCurrency"]) == ("USD", "XBt")


@pytest.mark.parametrize("path", ["trade", "trade/bucketed", "orderBook/L2"])
@pytest.mark.parametrize("symbol", ["NOPE", "XBT", "ETHUSD", ".BXBT", "xbtusd"])
def test_an_unknown_symbol_has_no_rows(path: str, symbol: str) -> None:
    assert get(path, symbol=symbol) == []


@pytest.mark.parametrize(
    ("path", "params", "name"),
    [
        ("trade", {}, "ValidationError"),
        ("trade", {"symbol": ""}, "ValidationError"),
        ("trade", {"symbol": "XBTUSD", "count": "1001"}, "ValidationError"),
        ("trade", {"symbol": "XBTUSD", "count": "-1"}, "ValidationError"),
        ("trade", {"symbol": "XBTUSD", "start": "x"}, "ValidationError"),
        ("trade", {"symbol": "XBTUSD", "startTime": "yesterday"}, "HTTPError"),
        ("trade", {"symbol": "XBTUSD", "endTime": "2024-02-30"}, "HTTPError"),
        ("trade/bucketed", {}, "ValidationError"),
        ("trade/bucketed", {"symbol": "XBTUSD", "binSize": "3m"}, "ValidationError"),
        ("trade/bucketed", {"symbol": "XBTUSD", "binSize": "1m", "count": "1001"}, "ValidationError"),
        ("trade/bucketed", {"symbol": "XBTUSD", "binSize": "1m", "startTime": "x"}, "HTTPError"),
        ("orderBook/L2", {}, "ValidationError"),
        ("orderBook/L2", {"symbol": "XBTUSD", "depth": "all"}, "ValidationError"),
        ("instrument", {"count": "501"}, "ValidationError"),
    ],
)
def test_a_wrong_request_is_told_so(path: str, params: dict[str, str], name: str) -> None:
    answer = answered(path, **params)
    assert answer.status_code == 400
    assert answer.json()["error"]["name"] == name
    error = adapter.verdict(Response(400, {}, answer.content, NOW))
    assert type(error) is Rejected
    assert answer.json()["error"]["message"] in str(error)


class TestLimits:
    def test_thirty_requests_at_once_and_one_more_every_two_seconds(self) -> None:
        sandbox = InProcess(NOW, rate_limits=True)
        left = [
            int(answered("trade", sandbox, symbol="NO").headers["x-ratelimit-remaining"]) for _ in range(30)
        ]
        assert left == list(range(29, -1, -1))
        refused = answered("instrument", sandbox)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "2"
        assert int(refused.headers["x-ratelimit-reset"]) == NOW // SECOND + 2
        error = adapter.verdict(Response(429, dict(refused.headers), refused.content, NOW))
        assert isinstance(error, Throttled)
        assert error.wait_s == 2.0
        sandbox.clock(Us(NOW + 2 * SECOND))
        assert answered("trade", sandbox, symbol="NO").status_code == 200
        assert answered("trade", sandbox, symbol="NO").status_code == 429

    def test_what_is_left_tells_what_was_used(self) -> None:
        sandbox = InProcess(NOW, rate_limits=True)
        for spent in (1, 2, 3):
            assert adapter.used(dict(answered("trade", sandbox, symbol="NO").headers)) == spent


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(kind=FaultKind.STATUS, status=403), Banned),
        (Fault(kind=FaultKind.STATUS, status=404), Rejected),
        (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=9), Throttled),
        (Fault(kind=FaultKind.STATUS, status=500), Unavailable),
        (Fault(kind=FaultKind.STATUS, status=503), Unavailable),
        (Fault(kind=FaultKind.ERROR_BODY), Unavailable),
    ],
)
def test_trouble_is_told_in_the_venue_s_words(fault: Fault, kind: type[DccdError]) -> None:
    sandbox = InProcess(faults=[fault])
    answer = answered("trade", sandbox, symbol="XBTUSD")
    error = adapter.verdict(Response(answer.status_code, dict(answer.headers), answer.content, NOW))
    assert type(error) is kind
    assert answer.json()["error"]["message"] in str(error)


def test_gaps_are_withheld() -> None:
    first = count_before("2024-06-01")
    start, end = parse_time("2024-06-01T00:02"), parse_time("2024-06-01T00:05")
    sandbox = InProcess(
        faults=[
            Fault(kind=FaultKind.GAPS, start=start, end=end),
            Fault(kind=FaultKind.MISSING_TRADES, first_id=first + 1, last_id=first + 3),
        ]
    )
    sandbox.clock(NOW)
    assert trades(sandbox, startTime="2024-06-01", count=3) == [first, first + 4, first + 5]
    rows = closes(sandbox, startTime="2024-06-01T00:01", count=3)
    assert rows == ["2024-06-01T00:01", "2024-06-01T00:02", "2024-06-01T00:06"]


@pytest.mark.parametrize("path", ["trade", "trade/bucketed"])
@pytest.mark.parametrize(
    "kind", [FaultKind.DUPLICATED, FaultKind.REORDERED, FaultKind.NEGATIVE, FaultKind.SHORT_PAGE]
)
def test_faults_find_the_rows_and_their_fields(path: str, kind: FaultKind) -> None:
    sandbox = InProcess(NOW, faults=[Fault(kind=kind)])
    asked = {"symbol": "XBTUSD", "startTime": "2024-06-01", "count": 50}
    assert get(path, sandbox, **asked) != get(path, **asked)
