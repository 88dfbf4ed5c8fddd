from itertools import pairwise
from typing import Any

import httpx
import polars as pl
import pytest

from dccd_core.adapter.contract import Endpoint, IdWindows, Query, Response
from dccd_core.domain.errors import Rejected, Throttled, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import okx as adapter
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

ETH = Symbol.parse("ETH/USDT")
SYMBOLS = [ETH, *map(Symbol.parse, ("DOGE/USD", "BTC/USDT:USDT", "BTC/USD:BTC"))]
WORTH = {"linear": 0.01, "inverse": 100.0}
MARKET = Market()
NOW = parse_time("2024-06-05T12:00:30")
OKX = InProcess(NOW)


def ms(text: str) -> int:
    return parse_time(text) // MILLISECOND


def answered(path: str, sandbox: InProcess = OKX, /, **params: str | int) -> httpx.Response:
    folder = "public" if path == "instruments" else "market"
    return sandbox.send("GET", f"/okx/api/v5/{folder}/{path}", b"", **params)


def get(path: str, **params: str | int) -> Any:
    answer = answered(path, **params)
    assert answer.status_code == 200
    reply = answer.json()
    assert (reply["code"], reply["msg"]) == ("0", ""), reply
    return reply["data"]


def candles(**params: str | int) -> list[int]:
    """Return the open times of ETH-USDT bars, as they came."""
    return [int(row[0]) for row in get("history-candles", **{"instId": "ETH-USDT", **params})]


def trades(**params: str | int) -> list[int]:
    return [int(row["tradeId"]) for row in get("history-trades", instId="ETH-USDT", **params)]


def count_before(text: str, symbol: Symbol = ETH) -> int:
    return MARKET.tape("okx", symbol).count_before(parse_time(text))


def endpoint_of(symbol: Symbol, data_type: DataType) -> Endpoint:
    endpoint = adapter.EXCHANGE.endpoint(symbol.market_type, data_type)
    assert endpoint is not None
    return endpoint


def query(
    symbol: Symbol, span: TimeRange, limit: int, bar: Us | None = None, first: int | None = None
) -> Query:
    return Query(adapter.market(symbol), span, limit, bar, first, symbol.market_type)


def ask(endpoint: Endpoint, request: adapter.Request, sandbox: InProcess = OKX) -> pl.DataFrame:
    return endpoint.decode(sandbox.send("GET", f"/okx{request.path}", b"", **request.params).content, NOW)


@pytest.mark.parametrize("symbol", SYMBOLS, ids=str)
def test_our_request_finds_the_trade_before_a_moment(symbol: Symbol) -> None:
    endpoint = endpoint_of(symbol, DataType.TRADES)
    assert isinstance(endpoint.paging, IdWindows)
    assert endpoint.paging.before is not None
    for text in ("2024-06-01T05:06:07.008", "2024-06-01T05:06:07.008000001"):
        at = parse_time(text)
        [row] = ask(endpoint, endpoint.paging.before(query(symbol, TimeRange(at, at), 1))).rows(named=True)
        assert int(row["trade_id"]) == count_before(text, symbol)  # ids count from 1


def test_our_request_finds_the_last_of_a_moment_s_trades() -> None:
    [last] = get("history-trades", instId="ETH-USDT", type=1, after=count_before("2024-06-01T07:00"), limit=1)
    at = Us(int(last["ts"]) * MILLISECOND)
    moments = [(at, -1), (Us(at + 1), 0), (Us(at + MILLISECOND), 0)]
    same = MARKET.truth_trades("okx", ETH, TimeRange(at, Us(at + 1)))["trade_id"].cast(int).to_list()
    for moment, which in moments:
        request = adapter.trade_before_request(query(ETH, TimeRange(moment, moment), 1))
        found = int(ask(endpoint_of(ETH, DataType.TRADES), request)["trade_id"][0])
        assert found == (same[0] - 1 if which else same[-1])


def test_a_bar_is_written_as_okx_writes_it() -> None:
    [row] = get("history-candles", instId="ETH-BTC", bar="1H", after=ms("2024-03-01T01:00"), limit=1)
    assert [type(cell) for cell in row] == [str] * 9
    assert int(row[0]) == ms("2024-03-01")
    assert float(row[6]) == float(row[7]) == pytest.approx(float(row[5]) * float(row[4]), rel=0.01)


def test_a_derivative_s_bar_counts_contracts_base_and_quote() -> None:
    at = ms("2024-03-01T01:00")
    [linear] = get("history-candles", instId="BTC-USDT-SWAP", bar="1H", after=at, limit=1)
    assert float(linear[5]) == pytest.approx(float(linear[6]) / 0.01)
    [inverse] = get("history-candles", instId="BTC-USD-SWAP", bar="1H", after=at, limit=1)
    assert float(inverse[5]) == pytest.approx(float(inverse[7]) / 100)


def test_a_trade_is_written_as_okx_writes_it() -> None:
    [row] = get("history-trades", instId="ETH-USDT", limit=1)
    assert set(row) == {"instId", "side", "sz", "px", "tradeId", "ts", "source"}
    assert {type(cell) for cell in row.values()} == {str}
    assert (row["instId"], row["tradeId"]) == ("ETH-USDT", str(count_before("2024-06-05T12:00:30")))
    assert row["side"] in ("buy", "sell")


class TestBoundsOfBars:
    def test_both_bounds_are_exclusive(self) -> None:
        start, end = ms("2024-06-01T00:00"), ms("2024-06-01T00:03")
        between = [start + 120_000, start + 60_000]
        assert candles(before=start, after=end) == between
        assert candles(before=start - 1, after=end + 1) == [end, *between, start]
        assert candles(before=start, after=start + 1) == []

    def test_the_newest_rows_come_first_and_are_kept(self) -> None:
        at = ms("2024-06-01")
        assert candles(after=at, limit=2) == [at - 60_000, at - 120_000]
        assert candles(before=at, after=at + 10 * 60_000, limit=2) == [at + 9 * 60_000, at + 8 * 60_000]

    def test_before_alone_gives_the_newest_of_all(self) -> None:
        running = ms("2024-06-05T12:00")
        assert candles(before=ms("2024-06-01"), limit=2) == [running, running - 60_000]
        assert candles(before=running - 60_000) == [running]

    def test_a_page_has_a_hundred_rows_and_at_most_three_hundred(self) -> None:
        assert len(candles()) == 100
        assert len(candles(limit=1_000)) == 300

    def test_the_running_bar_is_not_confirmed(self) -> None:
        rows = get("history-candles", instId="ETH-USDT", bar="1Dutc", limit=3)
        assert [row[8] for row in rows] == ["0", "1", "1"]
        truth = MARKET.truth_trades("okx", ETH, TimeRange(parse_time("2024-06-05"), NOW))
        assert float(rows[0][5]) == pytest.approx(truth["amount"].sum())
        span = TimeRange(parse_time("2024-06-03"), parse_time("2024-06-06"))
        endpoint = endpoint_of(ETH, DataType.OHLC)
        assert ask(endpoint, endpoint.request(query(ETH, span, 300, DAY))).height == 2

    @pytest.mark.parametrize(("bar", "hours"), [("1D", 24), ("12H", 12), ("6H", 6)])
    def test_long_bars_are_hong_kong_s_unless_they_say_utc(self, bar: str, hours: int) -> None:
        length = hours * HOUR // MILLISECOND
        ours, theirs = candles(bar=f"{bar}utc"), candles(bar=bar)
        assert {at % length for at in ours} == {0}
        assert {at % length for at in theirs} == {16 * HOUR // MILLISECOND % length}
        assert theirs[0] <= NOW // MILLISECOND

    def test_a_hong_kong_day_is_made_of_its_own_hours(self) -> None:
        [day] = get("history-candles", instId="ETH-USDT", bar="1D", after=ms("2024-06-02"), limit=1)
        assert int(day[0]) == ms("2024-06-01T16:00")
        opens = ms("2024-06-01T16:00")
        hours = get(
            "history-candles", instId="ETH-USDT", bar="1H", before=opens - 1, after=opens + 86_400_000
        )
        assert (day[1], day[4]) == (hours[-1][1], hours[0][4])
        assert float(day[5]) == pytest.approx(sum(float(hour[5]) for hour in hours))

    def test_an_outage_is_skipped_and_does_not_shorten_the_page(self) -> None:
        assert candles(after=ms("2023-03-24T11:01"), limit=2) == [
            ms("2023-03-24T11:00"),
            ms("2023-03-24T09:59"),
        ]
        assert candles(before=ms("2023-03-24T10:00"), after=ms("2023-03-24T11:00")) == []

    def test_a_quiet_bar_stays_at_the_last_close(self) -> None:
        rows = get("history-candles", instId="ETH-USDT", after=ms("2024-06-01"), limit=300)
        quiet = [(row, older) for row, older in pairwise(rows) if float(row[5]) == 0]
        assert quiet
        assert all(row[1:5] == [older[4]] * 4 for row, older in quiet)


class TestBoundsOfTrades:
    def test_ids_are_contiguous_below_the_one_asked_for(self) -> None:
        newest = count_before("2024-06-05T12:00:30")
        assert trades(after=newest, limit=3) == [newest - 1, newest - 2, newest - 3]
        assert trades(type=1, after=newest + 50, limit=2) == [newest, newest - 1]
        assert len(trades(limit=500)) == len(trades()) == 100

    def test_before_alone_gives_the_newest_of_all(self) -> None:
        newest = count_before("2024-06-05T12:00:30")
        assert trades(before=newest - 500, limit=2) == [newest, newest - 1]
        assert trades(before=newest - 3) == [newest, newest - 1, newest - 2]
        assert trades(before=newest - 9, after=newest - 5) == [newest - 6, newest - 7, newest - 8]

    def test_a_time_is_exclusive_and_loses_the_moment_s_rows(self) -> None:
        [row] = get("history-trades", instId="ETH-USDT", type=2, after=ms("2024-06-01"), limit=1)
        assert int(row["tradeId"]) == count_before("2024-06-01")
        assert int(row["ts"]) < ms("2024-06-01")
        older = get("history-trades", instId="ETH-USDT", type=2, after=row["ts"], limit=1)
        assert int(older[0]["ts"]) < int(row["ts"])
        assert trades(type=2, after=int(row["ts"]) + 1, limit=1) == [int(row["tradeId"])]

    def test_only_three_months_are_there(self) -> None:
        first = MARKET.tape("okx", ETH).count_before(Us(NOW - 90 * DAY)) + 1
        assert trades(after=first + 3) == [first + 2, first + 1, first]
        assert trades(after=first) == []
        assert trades(type=2, after=(NOW - 90 * DAY) // MILLISECOND) == []


@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("history-candles", {}, 400, "50014"),
        ("history-candles", {"instId": ""}, 400, "50014"),
        ("history-candles", {"instId": "NOPE-USDT"}, 200, "51001"),
        ("history-candles", {"instId": "ETH-USDT", "bar": "7m"}, 400, "51000"),
        ("history-candles", {"instId": "ETH-USDT", "bar": "1h"}, 400, "51000"),
        ("history-candles", {"instId": "ETH-USDT", "after": "now"}, 400, "51000"),
        ("history-candles", {"instId": "ETH-USDT", "before": "-1"}, 400, "51000"),
        ("history-candles", {"instId": "ETH-USDT", "limit": "0"}, 400, "51000"),
        ("history-trades", {"instId": "ETH-USDT-SWOP"}, 200, "51001"),
        ("history-trades", {"instId": "ETH-USDT", "type": "3"}, 400, "51000"),
        ("history-trades", {"instId": "ETH-USDT", "type": "2", "before": "1"}, 400, "50039"),
        ("books", {"instId": "NOPE"}, 200, "51001"),
        ("books", {"instId": "ETH-USDT", "sz": "many"}, 400, "51000"),
        ("instruments", {}, 400, "50014"),
        ("instruments", {"instType": "spot"}, 400, "51000"),
    ],
)
def test_a_wrong_request_is_told_so(path: str, params: dict[str, str], status: int, code: str) -> None:
    answer = answered(path, **params)
    reply = answer.json()
    assert (answer.status_code, reply["code"], reply["data"]) == (status, code, [])
    error = adapter.verdict(Response(status, {}, answer.content, NOW))
    assert type(error) is (UnknownSymbol if code == "51001" else Rejected)
    assert reply["msg"]
    assert reply["msg"] in str(error)


def test_a_book_has_one_level_unless_asked_for_more() -> None:
    [book] = get("books", instId="ETH-USDT")
    assert (len(book["bids"]), len(book["asks"])) == (1, 1)
    assert [type(cell) for cell in book["bids"][0]] == [str] * 4
    [deep] = get("books", instId="ETH-USDT", sz=5_000)
    assert len(deep["bids"]) == 400
    assert deep["bids"][0] == book["bids"][0]


def test_only_the_kind_asked_for_is_listed() -> None:
    assert {one["ctType"] for one in get("instruments", instType="SWAP")} == {"linear", "inverse"}
    assert get("instruments", instType="FUTURES") == []
    [one] = get("instruments", instType="SPOT", instId="BTC-USDT")
    assert (one["baseCcy"], one["quoteCcy"], one["ctVal"], one["state"]) == ("BTC", "USDT", "", "live")
    [swap] = get("instruments", instType="SWAP", instId="BTC-USD-SWAP")
    assert (swap["ctVal"], swap["ctMult"], swap["settleCcy"], swap["ctValCcy"]) == ("100", "1", "BTC", "USD")


class TestLimits:
    def test_each_path_has_its_own(self) -> None:
        sandbox = InProcess(NOW, rate_limits=True)
        for _ in range(20):
            assert answered("history-candles", sandbox, instId="ETH-USDT", limit=1).status_code == 200
        refusal = answered("history-candles", sandbox, instId="ETH-USDT")
        assert (refusal.status_code, refusal.json()["code"]) == (429, "50011")
        assert "retry-after" not in refusal.headers
        error = adapter.verdict(Response(429, dict(refusal.headers), refusal.content, NOW))
        assert isinstance(error, Throttled)
        assert error.wait_s == 2
        assert answered("history-trades", sandbox, instId="ETH-USDT", limit=1).status_code == 200
        sandbox.clock(Us(NOW + 2_000 * MILLISECOND))
        assert answered("history-candles", sandbox, instId="ETH-USDT", limit=1).status_code == 200

    def test_instruments_are_counted_by_their_type(self) -> None:
        sandbox = InProcess(NOW, rate_limits=True)
        codes = [answered("instruments", sandbox, instType="SPOT").status_code for _ in range(21)]
        assert codes == [200] * 20 + [429]
        assert answered("instruments", sandbox, instType="SWAP").status_code == 200


class TestFaults:
    def test_a_page_without_its_withheld_trades_reaches_further_down(self) -> None:
        sandbox = InProcess(NOW)
        first = count_before("2024-06-01")
        sandbox.faults(Fault(kind=FaultKind.MISSING_TRADES, first_id=first + 3, last_id=first + 4))
        endpoint = endpoint_of(ETH, DataType.TRADES)
        request = endpoint.request(query(ETH, TimeRange(Us(0), NOW), 10, first=first + 1))
        ids = ask(endpoint, request, sandbox)["trade_id"].cast(int).to_list()
        assert ids == [first - 1, *range(first, first + 4), *range(first + 6, first + 11)]
