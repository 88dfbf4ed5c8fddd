from typing import Any

import polars as pl
import pytest

from dccd_core.adapter.contract import Query, Request
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bitfinex as adapter
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

ETH, DOGE = Symbol.parse("ETH/USDT"), Symbol.parse("DOGE/USD")
MARKET = Market()
NOW = parse_time("2024-06-05T12:00:30")
BITFINEX = InProcess(NOW)


def ms(text: str) -> int:
    return parse_time(text) // MILLISECOND


def get(path: str, **params: str | int) -> Any:
    answer = BITFINEX.send("GET", f"/bitfinex/v2/{path}", b"", **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def said(request: Request, sandbox: InProcess = BITFINEX) -> bytes:
    answer = sandbox.send("GET", f"/bitfinex{request.path}", b"", **request.params)
    assert answer.status_code == 200, answer.text
    return answer.content


def opens(**params: str | int) -> list[int]:
    """Return the open times of ETHUST minutes."""
    return [row[0] for row in get("candles/trade:1m:tETHUST/hist", **params)]


def trades(**params: str | int) -> list[int]:
    return [row[0] for row in get("trades/tETHUST/hist", **params)]


def traded(start: str, end: str, bar: Us = MINUTE) -> list[int]:
    """Return the opens of the minutes that traded, in milliseconds."""
    span = TimeRange(parse_time(start), parse_time(end))
    bars = MARKET.truth_bars("bitfinex", ETH, bar, span)
    return (bars["ts"].to_physical() // MILLISECOND).to_list()


def test_names_of_its_own_are_understood_of_any_symbol() -> None:
    sandbox = InProcess(NOW, symbols=("ATOM/USDT", "USDC/USDT"))
    for name in ("ATOM/USDT", "USDC/USDT"):
        query = Query(adapter.market(Symbol.parse(name)), TimeRange(Us(NOW - HOUR), NOW), 10)
        assert adapter.decode_trades(said(adapter.trades_request(query), sandbox), NOW).height


def test_rows_are_bare_arrays_of_numbers() -> None:
    [bar] = get("candles/trade:1h:tDOGE:USD/hist", sort=1, start=ms("2024-03-01"), limit=1)
    assert [type(cell) for cell in bar] == [int, *[float] * 5]
    assert bar[0] == ms("2024-03-01")
    assert bar[4] <= min(bar[1:3])
    assert bar[3] >= max(bar[1:3])
    [trade] = get("trades/tDOGE:USD/hist", limit=1)
    assert [type(cell) for cell in trade] == [int, int, float, float]
    [level, *_] = get("book/tDOGE:USD/P0")
    assert [type(cell) for cell in level] == [float, int, float]


class TestBoundsOfCandles:
    def test_both_bounds_are_inclusive(self) -> None:
        known = traded("2024-06-01", "2024-06-01T06:00")
        first, last = known[3], known[9]
        assert opens(sort=1, start=first, end=last) == known[3:10]
        assert opens(sort=1, start=first, end=last - 1) == known[3:9]

    def test_the_newest_come_first_unless_sorted(self) -> None:
        known = traded("2024-06-01", "2024-06-02")
        start, end = ms("2024-06-01"), ms("2024-06-02") - 1
        assert opens(start=start, end=end, limit=3) == known[:-4:-1]
        assert opens(start=start, end=end, limit=3, sort=-1) == known[:-4:-1]
        assert opens(start=start, end=end, limit=3, sort=1) == known[:3]
        assert opens(end=end, limit=3) == known[:-4:-1]
        assert opens(start=start, limit=2, sort=1) == known[:2]

    def test_quiet_minutes_are_left_out_and_do_not_shorten_the_page(self) -> None:
        known = traded("2024-06-01", "2024-06-05T12:00")
        assert len(known) < 0.9 * (ms("2024-06-05T12:00") - ms("2024-06-01")) // 60_000
        assert opens(sort=1, start=ms("2024-06-01"), limit=4_000) == known[:4_000]
        newest = opens(end=ms("2024-06-05T12:00") - 1, limit=4_000)
        assert newest == known[:-4_001:-1]

    def test_the_running_bar_is_the_newest(self) -> None:
        rows = get("candles/trade:1D:tETHUST/hist")
        assert len(rows) == 100
        assert rows[0][0] == ms("2024-06-05")
        assert get("candles/trade:1D:tETHUST/hist", start=ms("2024-06-06")) == []

    def test_a_start_off_the_grid_finds_nothing(self) -> None:
        at = ms("2024-06-01")
        assert opens(sort=1, start=at, limit=1)
        assert opens(sort=1, start=at + 1, limit=1) == []
        assert get("candles/trade:1D:tETHUST/hist", sort=1, start=at + 3_600_000) == []

    def test_an_outage_is_skipped(self) -> None:
        [first] = opens(sort=1, start=ms("2023-03-24T10:00"), limit=1)
        assert first >= ms("2023-03-24T11:00")
        assert opens(sort=1, start=ms("2023-03-24T10:00"), end=ms("2023-03-24T10:59")) == []


class TestBoundsOfTrades:
    def test_both_bounds_are_inclusive_and_ties_are_whole(self) -> None:
        span = TimeRange(parse_time("2024-06-01"), parse_time("2024-06-01T01:00"))
        truth = MARKET.truth_trades("bitfinex", ETH, span)
        times = truth["ts"].to_physical()
        at = int(times.filter(times.is_duplicated())[0])
        same = truth.filter(times == at)["trade_id"].cast(pl.Int64).to_list()
        assert len(same) > 1
        at //= MILLISECOND
        assert trades(sort=1, start=at, end=at + 1) == same
        assert trades(sort=1, start=at - 1, end=at) == same
        assert trades(sort=1, start=at, limit=len(same)) == same

    def test_the_newest_come_first_unless_sorted(self) -> None:
        newest = trades(limit=5)
        assert newest == sorted(newest, reverse=True)
        assert len(trades()) == 125
        start, end = ms("2024-06-01"), ms("2024-06-02") - 1
        known = trades(sort=1, start=start, end=end, limit=10_000)
        assert known == sorted(known)
        assert trades(start=start, end=end, limit=3) == known[:-4:-1]
        assert trades(sort=1, start=start, end=end, limit=3) == known[:3]

    def test_ids_rise_with_holes(self) -> None:
        ids = trades(sort=1, start=ms("2024-06-01"), limit=500)
        assert len(set(ids)) == 500
        assert ids == sorted(ids)
        assert ids[-1] - ids[0] > 1_000


def test_pages_that_begin_where_the_last_one_ended_lose_nothing() -> None:
    span = TimeRange(parse_time("2024-06-01"), parse_time("2024-06-01T04:00"))
    truth = MARKET.truth_trades("bitfinex", ETH, span)
    seen, at = pl.DataFrame(schema=truth.schema), span.start
    while True:
        request = adapter.trades_request(Query("tETHUST", TimeRange(at, span.end), 100))
        page = adapter.decode_trades(said(request), NOW)
        fresh = page.join(seen, on="trade_id", how="anti", maintain_order="left")
        if fresh.is_empty():
            break
        seen, at = pl.concat([seen, fresh]), Us(page["ts"].to_physical()[-1])
    assert seen.equals(truth)


@pytest.mark.parametrize(
    "path", ["candles/trade:1m:tBTCUSDT/hist", "trades/tXRPEUR/hist", "trades/tbtcusd/hist"]
)
def test_a_wrong_symbol_looks_like_no_data(path: str) -> None:
    assert get(path) == []
    assert get(path, sort=1, start=0, limit=1) == []


def test_perpetuals_are_not_served() -> None:
    assert get("trades/tBTCF0:USTF0/hist") == []


@pytest.mark.parametrize(
    ("path", "params", "text"),
    [
        ("book/tBTCUSDT/P0", {}, "symbol: invalid"),
        ("book/tBTCUSD/P0", {"len": "250"}, "len: invalid"),
        ("book/tBTCUSD/P0", {"len": "01"}, "len: invalid"),
        *(
            (path, params, text)
            for path in ("trades/tBTCUSD/hist", "candles/trade:1m:tBTCUSD/hist")
            for params, text in [
                ({"limit": "10001"}, "limit: invalid"),
                ({"limit": "0"}, "limit: invalid"),
                ({"limit": "many"}, "limit: invalid"),
                ({"sort": "2"}, "sort: invalid"),
                ({"start": "120000", "end": "60000"}, "time_interval: invalid"),
                ({"start": "60000", "end": "60000"}, "time_interval: invalid"),
                ({"start": "now"}, "time_interval: invalid"),
                ({"end": "-1"}, "time_interval: invalid"),
            ]
        ),
    ],
)
def test_a_wrong_request_is_told_so(path: str, params: dict[str, str], text: str) -> None:
    answer = BITFINEX.send("GET", f"/bitfinex/v2/{path}", b"", **params)
    assert answer.status_code == 500
    assert answer.json() == ["error", 10020, text]


def test_a_book_has_as_many_levels_as_are_asked_for_bids_first() -> None:
    book = get("book/tETHUST/P0", len=100)
    bids, asks = ([row for row in book if row[2] * sign > 0] for sign in (1, -1))
    assert book == bids + asks
    assert (len(bids), len(asks)) == (100, 100)
    assert all(row[1] > 0 for row in book)
    assert book == get("book/tETHUST/P0", len=100)
    assert len(get("book/tETHUST/P0")) == 50
    assert len(get("book/tETHUST/P0", len=1)) == 2
    decoded = adapter.decode_book(said(adapter.book_request(Query("tETHUST", TimeRange(NOW, NOW), 7))), NOW)
    assert decoded.filter(side="bid")["level"].to_list() == list(range(25))
    assert decoded["ts"].to_physical().unique().to_list() == [NOW]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("candles/trade:1D:tDOGE:USD/hist?limit=1", 30),
        ("trades/tETHUST/hist?limit=1", 15),
        ("book/tETHUST/P0?len=1", 240),
        ("conf/pub:list:pair:exchange", 90),
    ],
)
def test_too_many_requests_shut_an_endpoint_for_a_minute(path: str, allowed: int) -> None:
    sandbox = InProcess(rate_limits=True)

    def status(seconds: float, what: str = path) -> int:
        sandbox.clock(Us(NOW + int(seconds * SECOND)))
        return sandbox.send("GET", f"/bitfinex/v2/{what}").status_code

    assert [status(0) for _ in range(allowed + 1)] == [200] * allowed + [429]
    refused = sandbox.send("GET", f"/bitfinex/v2/{path}")
    assert refused.json() == {"error": "ERR_RATE_LIMIT"}
    assert "retry-after" not in refused.headers
    other = "conf/pub:list:pair:exchange" if "conf" not in path else "book/tETHUST/P0"
    assert status(0, other) == 200, "each endpoint counts by itself"
    assert [status(59.9), status(60)] == [429, 200]


def test_all_lengths_and_pairs_of_candles_share_one_limit() -> None:
    sandbox = InProcess(NOW, rate_limits=True)
    paths = ["candles/trade:1m:tETHUST/hist", "candles/trade:1D:tDOGE:USD/hist"]
    statuses = [sandbox.send("GET", f"/bitfinex/v2/{paths[n % 2]}?limit=1").status_code for n in range(31)]
    assert statuses == [200] * 30 + [429]
