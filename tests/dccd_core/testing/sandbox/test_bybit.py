from typing import Any

import httpx
import polars as pl
import pytest

from dccd_core.adapter.contract import Query, Request, Response
from dccd_core.domain.errors import Banned, Rejected, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bybit as adapter
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

EXCHANGE = adapter.EXCHANGE
SPOT, LINEAR, INVERSE = (Symbol.parse(name) for name in ("ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
MARKET = Market()
NOW = parse_time("2024-06-05T12:00:30")
BYBIT = InProcess(NOW)


def ms(text: str) -> int:
    return parse_time(text) // MILLISECOND


def ask(request: Request, sandbox: InProcess = BYBIT) -> httpx.Response:
    return sandbox.send("GET", f"/bybit{request.path}", b"", **request.params)


def get(path: str, **params: str | int) -> Any:
    answer = BYBIT.send("GET", f"/bybit/v5/market/{path}", b"", **params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["retMsg"] == "OK", answer.text
    return answer.json()["result"]


def klines(**params: str | int) -> list[int]:
    """Return the open times of ETHUSDT minutes."""
    asked = {"category": "spot", "symbol": "ETHUSDT", "interval": "1", **params}
    return [int(row[0]) for row in get("kline", **asked)["list"]]


def refusal(path: str, **params: str | int) -> Any:
    answer = BYBIT.send("GET", f"/bybit/v5/market/{path}", b"", **params)
    assert answer.status_code == 200
    error = adapter.verdict(Response(200, {}, answer.content, NOW))
    assert answer.json()["retMsg"] in str(error)
    return error


def query(symbol: Symbol, span: TimeRange, limit: int, bar: Us | None = None) -> Query:
    return Query(adapter.market(symbol), span, limit, bar, market_type=symbol.market_type)


class TestBars:
    def test_a_bar_is_written_as_bybit_writes_it(self) -> None:
        answer = get("kline", category="spot", symbol="ETHBTC", interval="60", end=ms("2024-03-01"), limit=1)
        assert list(answer) == ["category", "symbol", "list"]
        assert (answer["category"], answer["symbol"]) == ("spot", "ETHBTC")
        [row] = answer["list"]
        assert [type(cell) for cell in row] == [str] * 7
        assert row[0] == str(ms("2024-03-01"))

    def test_both_bounds_are_inclusive_and_the_newest_row_is_first(self) -> None:
        start, end = ms("2024-06-01T00:00"), ms("2024-06-01T00:03")
        assert klines(start=start, end=end) == [end - i * 60_000 for i in range(4)]
        assert klines(start=start + 1, end=end - 1) == [start + 120_000, start + 60_000]
        assert klines(start=start, end=start) == [start]
        assert klines(start=end, end=start) == []

    def test_the_newest_rows_of_a_window_are_kept(self) -> None:
        at = ms("2024-06-01")
        assert klines(start=at, end=at + 600_000, limit=2) == [at + 600_000, at + 540_000]
        assert klines(end=at, limit=2) == [at, at - 60_000]

    def test_a_start_alone_gives_the_rows_from_there(self) -> None:
        at = ms("2024-06-01")
        assert klines(start=at, limit=2) == [at + 60_000, at]

    def test_without_bounds_the_running_bar_is_first(self) -> None:
        assert klines(limit=2) == [ms("2024-06-05T12:00"), ms("2024-06-05T11:59")]
        assert len(klines()) == 200
        assert len(klines(limit=5_000)) == 1_000

    def test_quiet_minutes_are_flat(self) -> None:
        asked = {"category": "spot", "symbol": "ETHUSDT", "interval": "1", "end": ms("2024-06-01")}
        rows = get("kline", **asked, limit=200)["list"]
        quiet = [row for row in rows if float(row[5]) == 0]
        assert quiet
        assert all(row[1] == row[2] == row[3] == row[4] and float(row[6]) == 0 for row in quiet)

    def test_months_are_calendar_months(self) -> None:
        assert klines(interval="M", limit=3) == [ms(f"2024-0{month}-01") for month in (6, 5, 4)]

    def test_without_a_category_it_is_the_perpetual(self) -> None:
        asked = {"symbol": "BTCUSDT", "interval": "60", "end": ms("2024-06-01"), "limit": 3}
        bare, linear, spot = (get("kline", **asked, **more) for more in ({}, _of("linear"), _of("spot")))
        assert bare == linear
        assert bare["list"] != spot["list"]

    def test_inverse_bars_count_dollars_first(self) -> None:
        asked = {"category": "inverse", "symbol": "BTCUSD", "interval": "60", "end": ms("2024-06-01")}
        [row] = get("kline", **asked, limit=1)["list"]
        low, high, volume, turnover = (float(row[i]) for i in (3, 2, 5, 6))
        assert low <= volume / turnover <= high


def _of(kind: str) -> dict[str, str]:
    return {"category": kind}


class TestTrades:
    def test_a_trade_is_written_as_bybit_writes_it(self) -> None:
        answer = get("recent-trade", category="inverse", symbol="BTCUSD", limit=1)
        assert list(answer) == ["category", "list"]
        [row] = answer["list"]
        strings = ["execId", "symbol", "price", "size", "side", "time"]
        assert list(row) == [*strings, "isBlockTrade", "isRPITrade", "seq"]
        assert {type(row[name]) for name in (*strings, "seq")} == {str}
        assert row["side"] in ("Buy", "Sell")

    @pytest.mark.parametrize(
        ("kind", "symbol", "default", "most"),
        [
            ("spot", "ETHUSDT", 60, 60),
            ("linear", "BTCUSDT", 500, 1_000),
            ("inverse", "BTCUSD", 500, 1_000),
        ],
    )
    def test_only_the_newest_are_told(self, kind: str, symbol: str, default: int, most: int) -> None:
        asked = {"category": kind, "symbol": symbol}
        rows = get("recent-trade", **asked)["list"]
        assert len(rows) == default
        assert len(get("recent-trade", **asked, limit=9_999)["list"]) == most
        times = [int(row["time"]) for row in rows]
        assert times == sorted(times, reverse=True)
        assert times[0] <= NOW // MILLISECOND
        assert get("recent-trade", **asked, limit=2)["list"] == rows[:2]
        assert get("recent-trade", **asked, start=1, end=2)["list"] == rows, "there is no history"


class TestBook:
    @pytest.mark.parametrize(
        ("kind", "symbol", "default"), [("spot", "ETHUSDT", 1), ("linear", "BTCUSDT", 25)]
    )
    def test_how_many_levels(self, kind: str, symbol: str, default: int) -> None:
        for more, levels in (({}, default), ({"limit": 7}, 7), ({"limit": 9_999}, 1_000)):
            book = get("orderbook", category=kind, symbol=symbol, **more)
            assert (len(book["b"]), len(book["a"])) == (levels, levels)
        assert list(get("orderbook", category=kind, symbol=symbol)) == [
            *("s", "b", "a"),
            *("ts", "u", "seq", "cts"),
        ]


class TestInstruments:
    def test_contracts_come_in_pages(self) -> None:
        pages: list[pl.DataFrame] = []
        request: Request | None = Request("/v5/market/instruments-info", {"category": "linear", "limit": "1"})
        while request is not None:
            body = ask(request).content
            pages.append(adapter.decode_markets(body))
            request = adapter.more_markets(request, body)
        assert [page["symbol"].to_list() for page in pages] == [["BTC/USDT:USDT"], ["ETH/USDT:USDT"]]

    def test_the_cursor_is_percent_encoded(self) -> None:
        page = get("instruments-info", category="linear", limit=1)
        assert page["nextPageCursor"] == "first%3DBTCUSDT%26last%3DBTCUSDT"
        assert get("instruments-info", category="linear")["nextPageCursor"] == ""

    def test_spot_comes_whole(self) -> None:
        page = get("instruments-info", category="spot", limit=1)
        assert len(page["list"]) > 1
        assert "nextPageCursor" not in page
        [one] = get("instruments-info", category="spot", symbol="BTCUSDT")["list"]
        assert (one["baseCoin"], one["quoteCoin"]) == ("BTC", "USDT")

    def test_dollar_coins_have_names_of_their_own(self) -> None:
        sandbox = InProcess(NOW, symbols=["BTC/USDC:USDC"])
        answer = ask(adapter.markets_requests()[1], sandbox)
        [row] = adapter.decode_markets(answer.content).filter(symbol="BTC/USDC:USDC").rows()
        assert row[1] == "BTCPERP"


SPOT_BARS = {"category": "spot", "symbol": "ETHUSDT", "interval": "1"}


@pytest.mark.parametrize(
    ("path", "params", "kind"),
    [
        ("kline", {**SPOT_BARS, "symbol": "NOPE"}, UnknownSymbol),
        ("kline", {**SPOT_BARS, "symbol": "BTCUSD", "category": "linear"}, UnknownSymbol),
        ("kline", {**SPOT_BARS, "symbol": ""}, Rejected),
        ("kline", {**SPOT_BARS, "interval": "7"}, Rejected),
        ("kline", {**SPOT_BARS, "interval": "1m"}, Rejected),
        ("kline", {**SPOT_BARS, "category": "option"}, Rejected),
        ("kline", {**SPOT_BARS, "start": "now"}, Rejected),
        ("kline", {**SPOT_BARS, "limit": 0}, Rejected),
        ("recent-trade", {"symbol": "ETHUSDT"}, Rejected),
        ("recent-trade", {"category": "spot", "symbol": "NOPE"}, UnknownSymbol),
        ("orderbook", {"category": "linear", "symbol": "NOPE"}, UnknownSymbol),
        ("orderbook", {"symbol": "ETHUSDT"}, Rejected),
        ("instruments-info", {}, Rejected),
    ],
)
def test_a_wrong_request_is_told_so(path: str, params: dict[str, str | int], kind: type[Exception]) -> None:
    assert type(refusal(path, **params)) is kind


def test_who_asks_too_often_is_shut_out_for_ten_minutes() -> None:
    sandbox = InProcess(rate_limits=True, limit_weight=3)
    request = adapter.klines_request(query(SPOT, TimeRange(Us(NOW - HOUR), NOW), 10, MINUTE))
    for at, status in [
        *((NOW, 200), (NOW, 200), (NOW, 200), (NOW, 403)),
        *((NOW + 599 * SECOND, 403), (NOW + 600 * SECOND, 200)),
    ]:
        sandbox.clock(Us(at))
        answer = ask(request, sandbox)
        assert answer.status_code == status
        error = adapter.verdict(Response(status, {}, answer.content, NOW))
        assert (type(error) is Banned) == (status == 403)
        assert "access too frequent" in str(error) or status == 200


def test_the_time_is_told() -> None:
    assert get("time") == {"timeSecond": str(NOW // SECOND), "timeNano": f"{NOW}000"}
