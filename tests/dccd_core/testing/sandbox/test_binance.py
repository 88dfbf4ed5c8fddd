from typing import Any

import polars as pl
import pytest

from dccd_core.adapter.contract import IdWindows
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, WEEK, TimeRange, Us, parse_time
from dccd_core.exchanges import binance as adapter
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

ETH, PERPETUAL = Symbol.parse("ETH/USDT"), Symbol.parse("ETH/USDT:USDT")
MARKET = Market()
NOW = parse_time("2024-06-05T12:00:30")
BINANCE = InProcess(NOW)


def ms(text: str) -> int:
    return parse_time(text) // MILLISECOND


def get(path: str, **params: str | int) -> Any:
    answer = BINANCE.get(path, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def klines(**params: str | int) -> list[int]:
    """Return the open times of ETHUSDT minutes."""
    return [row[0] for row in get("klines", **{"symbol": "ETHUSDT", "interval": "1m", **params})]


def trades(**params: str | int) -> list[int]:
    return [row["a"] for row in get("aggTrades", symbol="ETHUSDT", **params)]


def count_before(text: str) -> int:
    return MARKET.tape("binance", ETH).count_before(parse_time(text))


@pytest.mark.parametrize(
    ("interval", "bar", "start", "rows"),
    [
        ("1s", SECOND, "2024-03-01", 1_000),
        ("1m", MINUTE, "2023-03-24T02:00", 940),
        ("5m", Us(5 * MINUTE), "2024-03-01", 1_000),
        ("1h", HOUR, "2023-03-01", 999),
        ("1d", DAY, "2023-01-01", 521),
        ("3d", Us(3 * DAY), "2023-01-01", 173),
        ("1w", WEEK, "2023-01-01", 74),
    ],
)
def test_our_decoder_reads_the_bars_back_as_the_truth(interval: str, bar: Us, start: str, rows: int) -> None:
    span = TimeRange(parse_time(start), Us(min(parse_time(start) + 1_000 * bar, NOW - bar)))
    request = adapter.klines_request(adapter.Query("ETHUSDT", span, 1_000, bar))
    assert request.params["interval"] == interval
    decoded = adapter.decode_klines(
        BINANCE.send("GET", f"/binance{request.path}", b"", **request.params).content, NOW
    )
    assert decoded.height == rows
    assert decoded.equals(MARKET.truth_bars("binance", ETH, bar, span))


def test_our_decoder_reads_the_trades_back_as_the_truth() -> None:
    first, span = count_before("2023-03-24"), TimeRange(parse_time("2023-03-24"), parse_time("2023-03-25"))
    truth = MARKET.truth_trades("binance", ETH, span)
    body = BINANCE.get("aggTrades", symbol="ETHUSDT", fromId=first, limit=1_000).content
    assert adapter.decode_trades(body, NOW).equals(truth.head(1_000))


@pytest.mark.parametrize("kind", sorted(adapter.EXCHANGE.kinds))
@pytest.mark.parametrize("data_type", DataType)
def test_our_requests_and_decoders_fit_for_every_endpoint(kind: str, data_type: DataType) -> None:
    endpoint = adapter.EXCHANGE.endpoint(kind, data_type)
    assert endpoint
    bar = MINUTE if data_type is DataType.OHLC else None
    query = adapter.Query("BTCUSDT", TimeRange(Us(NOW - HOUR), NOW), 10, bar, market_type=kind)
    asked = [endpoint.request(query), *([endpoint.oldest(query)] if endpoint.oldest else [])]
    if isinstance(endpoint.paging, IdWindows) and endpoint.paging.before:
        asked.append(endpoint.paging.before(query))
    for request in asked:
        answer = BINANCE.send("GET", f"/binance{request.path}", b"", **request.params)
        assert endpoint.decode(answer.content, NOW).height > 0, request


def test_our_decoder_finds_the_symbols_of_both_servers() -> None:
    bodies = [BINANCE.send("GET", f"/binance{one.path}").content for one in adapter.markets_requests()]
    spot, linear = (adapter.decode_markets(body) for body in bodies)
    for markets, kind in ((spot, "spot"), (linear, "linear")):
        known = [symbol for symbol in MARKET.instruments if symbol.market_type == kind]
        assert markets["symbol"].to_list() == [str(symbol) for symbol in known]
        assert markets["market"].to_list() == [adapter.market(symbol) for symbol in known]
        assert markets["active"].all()
    assert spot["listed"].is_null().all()
    listed = [MARKET.instruments[Symbol.parse(symbol)].listed for symbol in linear["symbol"]]
    assert linear["listed"].cast(pl.Int64).to_list() == listed


def test_a_bar_is_written_as_binance_writes_it() -> None:
    [row] = get("klines", symbol="ETHBTC", interval="1h", startTime=ms("2024-03-01"), limit=1)
    assert [type(cell) for cell in row] == [int, *[str] * 5, int, str, int, str, str, str]
    assert row[0] == ms("2024-03-01")
    assert row[6] == ms("2024-03-01T01:00") - 1
    assert all(len(cell.partition(".")[2]) == 8 for cell in (*row[1:6], row[7], row[9], row[10]))
    assert 0 < float(row[9]) < float(row[5])


def test_a_trade_is_written_as_binance_writes_it() -> None:
    [row] = get("aggTrades", symbol="ETHUSDT", limit=1)
    assert list(row) == ["a", "p", "q", "f", "l", "T", "m", "M"]
    assert row["a"] == row["f"] == row["l"] == count_before("2024-06-05T12:00:30") - 1
    assert (type(row["m"]), type(row["p"])) == (bool, str)


class TestBoundsOfBars:
    def test_both_bounds_are_inclusive(self) -> None:
        start, end = ms("2024-06-01T00:00"), ms("2024-06-01T00:03")
        assert klines(startTime=start, endTime=end) == [start + i * 60_000 for i in range(4)]
        assert klines(startTime=start + 1, endTime=end - 1) == [start + 60_000, start + 120_000]
        assert klines(startTime=start, endTime=start) == [start]

    def test_a_start_gives_the_oldest_an_end_the_newest_rows(self) -> None:
        at = ms("2024-06-01")
        assert klines(startTime=at, limit=3) == [at, at + 60_000, at + 120_000]
        assert klines(endTime=at, limit=3) == [at - 120_000, at - 60_000, at]
        assert klines(startTime=at, endTime=at + 10 * 60_000, limit=2) == [at, at + 60_000]

    def test_without_bounds_the_running_bar_is_last(self) -> None:
        assert klines(limit=2) == [ms("2024-06-05T11:59"), ms("2024-06-05T12:00")]
        assert len(klines()) == 500
        assert len(klines(limit=5_000)) == 1_000

    def test_the_running_bar_holds_the_trades_so_far(self) -> None:
        [row] = get("klines", symbol="ETHUSDT", interval="1d", limit=1)
        assert row[8] == count_before("2024-06-05T12:00:30") - count_before("2024-06-05")
        assert row[6] == ms("2024-06-06") - 1

    def test_history_begins_with_the_listing(self) -> None:
        [first] = get("klines", symbol="NEWUSDT", interval="1m", startTime=0, limit=1)
        assert first[0] >= ms("2024-02-10T08:00")
        assert first[8] > 0
        assert get("klines", symbol="NEWUSDT", interval="1m", endTime=ms("2024-02-10")) == []

    def test_an_outage_is_skipped_and_does_not_shorten_the_page(self) -> None:
        times = klines(startTime=ms("2023-03-24T09:59"), limit=2)
        assert times == [ms("2023-03-24T09:59"), ms("2023-03-24T11:00")]
        assert klines(startTime=ms("2023-03-24T10:00"), endTime=ms("2023-03-24T10:59")) == []

    def test_months_are_calendar_months(self) -> None:
        rows = get("klines", symbol="ETHUSDT", interval="1M", startTime=ms("2024-02-01"))
        assert [row[0] for row in rows] == [ms(f"2024-0{month}-01") for month in range(2, 7)]
        assert rows[0][6] == ms("2024-03-01") - 1


class TestBoundsOfTrades:
    def test_ids_are_contiguous_from_the_one_asked_for(self) -> None:
        assert trades(fromId=1_000, limit=3) == [1_000, 1_001, 1_002]
        assert trades(fromId=0, limit=1) == [0]
        assert len(trades(fromId=1_000)) == 500
        assert len(trades(fromId=1_000, limit=1_001)) == 1_000

    def test_nothing_is_told_of_the_future(self) -> None:
        newest = count_before("2024-06-05T12:00:30") - 1
        assert trades(fromId=newest - 1) == [newest - 1, newest]
        assert trades(fromId=newest + 1) == []
        assert trades(startTime=ms("2024-06-05T13:00")) == []

    def test_both_bounds_are_inclusive(self) -> None:
        [row] = get("aggTrades", symbol="ETHUSDT", fromId=12_000_000, limit=1)
        same = trades(startTime=row["T"], endTime=row["T"])
        assert row["a"] in same
        assert trades(startTime=row["T"] + 1, limit=1) == [same[-1] + 1]
        assert trades(endTime=row["T"] - 1, limit=1) == [same[0] - 1]

    def test_no_bounds_mean_the_newest(self) -> None:
        newest = count_before("2024-06-05T12:00:30") - 1
        assert trades(limit=2) == [newest - 1, newest]

    def test_a_start_gives_the_oldest_from_there(self) -> None:
        first = count_before("2024-06-01")
        both = trades(startTime=ms("2024-06-01"), endTime=ms("2024-06-02"), limit=2)
        assert both == trades(startTime=ms("2024-06-01"), limit=2) == [first, first + 1]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("klines", {"interval": "1m"}, -1102),
        ("klines", {"symbol": "", "interval": "1m"}, -1102),
        ("klines", {"symbol": "ETHUSDT"}, -1102),
        ("klines", {"symbol": "ETHUSDT", "interval": "7m"}, -1120),
        ("klines", {"symbol": "NOPE", "interval": "1m"}, -1121),
        ("klines", {"symbol": "eth usdt", "interval": "1m"}, -1100),
        ("klines", {"symbol": "ETHUSDT", "interval": "1m", "startTime": "now"}, -1100),
        ("klines", {"symbol": "ETHUSDT", "interval": "1m", "limit": "0"}, -1130),
        ("aggTrades", {"symbol": "NOPE"}, -1121),
        ("aggTrades", {"symbol": "ETHUSDT", "fromId": "1", "startTime": "1"}, -1128),
        ("aggTrades", {"symbol": "ETHUSDT", "fromId": "1", "endTime": "1"}, -1128),
        ("depth", {"symbol": "NOPE"}, -1121),
        ("exchangeInfo", {"symbol": "NOPE"}, -1121),
        ("exchangeInfo", {"symbols": "ETHUSDT"}, -1100),
    ],
)
def test_a_wrong_request_is_told_so(path: str, params: dict[str, str], code: int) -> None:
    answer = BINANCE.get(path, **params)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert answer.json()["msg"]


def test_a_book_lies_around_the_price_best_first() -> None:
    book = get("depth", symbol="ETHUSDT", limit=50)
    bids, asks = ([float(price) for price, _ in book[side]] for side in ("bids", "asks"))
    price = float(get("aggTrades", symbol="ETHUSDT", limit=1)[0]["p"])
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < price < asks[0] < price * 1.001
    assert (len(bids), len(asks)) == (50, 50)
    assert book == get("depth", symbol="ETHUSDT", limit=50)
    assert len(get("depth", symbol="ETHUSDT")["bids"]) == 100
    assert len(get("depth", symbol="ETHUSDT", limit=9_999)["bids"]) == 5_000


@pytest.mark.parametrize("symbol", [ETH, PERPETUAL, Symbol.parse("BTC/USDT:USDT")], ids=str)
def test_our_decoder_reads_the_book_back_as_the_truth(symbol: Symbol) -> None:
    endpoint = adapter.EXCHANGE.endpoint(symbol.market_type, DataType.ORDERBOOK)
    assert endpoint
    sandbox, at = InProcess(), Us(NOW + 34_567 * MILLISECOND)
    sandbox.clock(at)
    asked = adapter.Query(adapter.market(symbol), TimeRange(at, at), 500, market_type=symbol.market_type)
    request = endpoint.request(asked)
    body = sandbox.send("GET", f"/binance{request.path}", b"", **request.params).content
    shown = at if symbol.market_type == "spot" else Us(at - 67 * MILLISECOND)
    assert endpoint.decode(body, at).equals(MARKET.truth_book("binance", symbol, shown, 500))


def test_no_price_of_a_book_is_below_zero() -> None:
    book = get("depth", symbol="DOGEUSDT", limit=5_000)
    assert all(float(price) > 0 for price, _ in book["bids"])
    assert len(book["bids"]) < len(book["asks"]) == 5_000


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("ping", 1),
        ("time", 1),
        ("exchangeInfo", 20),
        ("klines?symbol=ETHUSDT&interval=1m", 2),
        ("aggTrades?symbol=ETHUSDT", 4),
        ("depth?symbol=ETHUSDT", 5),
        ("depth?symbol=ETHUSDT&limit=500", 25),
        ("depth?symbol=ETHUSDT&limit=1000", 50),
        ("depth?symbol=ETHUSDT&limit=1001", 250),
        ("depth?symbol=ETHUSDT&limit=many", 5),
    ],
)
def test_every_answer_says_what_was_used(path: str, weight: int) -> None:
    before = int(BINANCE.get("ping").headers["x-mbx-used-weight-1m"])
    assert int(BINANCE.get(path).headers["x-mbx-used-weight-1m"]) == before + weight


def test_the_exchange_tells_its_limits_and_symbols() -> None:
    info = get("exchangeInfo")
    assert info["rateLimits"] == [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000}
    ]
    [btc] = get("exchangeInfo", symbol="BTCUSDT")["symbols"]
    assert (btc["baseAsset"], btc["quoteAsset"], btc["status"]) == ("BTC", "USDT", "TRADING")
    assert btc["filters"][0]["tickSize"] == "0.01000000"
    some = get("exchangeInfo", symbols='["BTCUSDT","ETHBTC"]')["symbols"]
    assert [one["symbol"] for one in some] == ["BTCUSDT", "ETHBTC"]


def test_dense_markets_page_like_others() -> None:
    dense = Market(trades_per_day={"ETH/USDT": 10_000_000})
    sandbox = InProcess(trades_per_day={"ETH/USDT": 10_000_000})
    span = TimeRange(parse_time("2024-03-01"), parse_time("2024-03-01T00:00:10"))
    truth = dense.truth_trades("binance", ETH, span)
    pages: list[pl.DataFrame] = []
    while sum(page.height for page in pages) < truth.height:
        first = int(truth["trade_id"][0]) + sum(page.height for page in pages)
        body = sandbox.get("aggTrades", symbol="ETHUSDT", fromId=first, limit=1_000).content
        pages.append(adapter.decode_trades(body, NOW))
    assert pl.concat(pages).head(truth.height).equals(truth)


class TestFutures:
    """What the USD-M server does otherwise."""

    def get(self, path: str, **params: str | int) -> Any:
        asked: dict[str, str | int] = {"symbol": "ETHUSDT", **params}
        return BINANCE.send("GET", f"/binance/fapi/v1/{path}", b"", **asked)

    def ids(self, **params: str | int) -> list[int]:
        return [row["a"] for row in self.get("aggTrades", **params).json()]

    def count_before(self, at: Us) -> int:
        return MARKET.tape("binance", PERPETUAL).count_before(at)

    @pytest.mark.parametrize(
        ("bar", "start", "rows"),
        [(MINUTE, "2023-03-24T05:00", 439), (HOUR, "2023-03-10", 498), (WEEK, "2023-01-01", 74)],
    )
    def test_our_decoder_reads_the_bars_back_as_the_truth(self, bar: Us, start: str, rows: int) -> None:
        span = TimeRange(parse_time(start), Us(min(parse_time(start) + 499 * bar, NOW - bar)))
        request = adapter.klines_request(adapter.Query("ETHUSDT", span, 499, bar, market_type="linear"))
        answer = BINANCE.send("GET", f"/binance{request.path}", b"", **request.params)
        decoded = adapter.decode_klines(answer.content, NOW)
        assert decoded.height == rows
        assert decoded.equals(MARKET.truth_bars("binance", PERPETUAL, bar, span))
        assert not decoded.equals(MARKET.truth_bars("binance", ETH, bar, span)), "it is another market"

    def test_our_decoder_reads_the_trades_back_as_the_truth(self) -> None:
        span = TimeRange(Us(NOW - HOUR), NOW)
        query = adapter.Query(
            "ETHUSDT", span, 1_000, first_id=self.count_before(span.start), market_type="linear"
        )
        request = adapter.trades_request(query)
        answer = BINANCE.send("GET", f"/binance{request.path}", b"", **request.params)
        truth = MARKET.truth_trades("binance", PERPETUAL, span)
        assert truth.height > 50
        assert adapter.decode_trades(answer.content, NOW).equals(truth.head(1_000))

    def test_a_page_of_bars_has_up_to_1500_and_there_are_no_seconds(self) -> None:
        assert len(self.get("klines", interval="1m", limit=9_999).json()) == 1_500
        assert len(self.get("klines", interval="1m").json()) == 500
        assert self.get("klines", interval="1s").json()["code"] == -1120

    def test_no_trade_is_older_than_a_day_whatever_asks_for_it(self) -> None:
        first = self.count_before(Us(NOW - DAY))
        day_ago = NOW // MILLISECOND - 24 * 3_600_000
        assert self.ids(fromId=0, limit=2) == [first, first + 1]
        assert self.ids(startTime=day_ago - 3_600_000, endTime=day_ago - 1) == []
        assert self.ids(endTime=day_ago - 1) == []
        assert self.ids(startTime=0, limit=1) == [first]
        assert self.ids(limit=1) == [self.count_before(NOW) - 1]

    def test_a_window_of_trades_is_shorter_than_an_hour(self) -> None:
        start = NOW // MILLISECOND - 7_200_000
        assert self.ids(startTime=start, endTime=start + 3_599_999)
        wide = self.get("aggTrades", startTime=start, endTime=start + 3_600_000)
        assert (wide.status_code, wide.json()["code"]) == (400, -1127)

    def test_a_trade_is_written_as_binance_writes_it(self) -> None:
        [row] = self.get("aggTrades", limit=1).json()
        assert list(row) == ["a", "p", "q", "f", "l", "T", "m"]

    def test_a_book_has_one_of_few_depths_and_two_times(self) -> None:
        book = self.get("depth", limit=20).json()
        assert (len(book["bids"]), len(book["asks"])) == (20, 20)
        assert (book["E"], book["T"]) == (NOW // MILLISECOND, NOW // MILLISECOND)
        assert len(self.get("depth").json()["bids"]) == 500
        assert self.get("depth", limit=30).json()["code"] == -4021

    def test_the_markets_of_one_server_are_unknown_to_the_other(self) -> None:
        assert self.get("klines", symbol="ETHBTC", interval="1m").json()["code"] == -1121
        assert self.get("klines", symbol="BTCUSD", interval="1m").json()["code"] == -1121
        assert self.get("exchangeInfo", symbol="ETHBTC").json()["code"] == -1121

    @pytest.mark.parametrize(
        ("path", "weight"),
        [
            *[("ping", 1), ("time", 1), ("exchangeInfo", 1), ("aggTrades", 20)],
            *[("klines?interval=1m&limit=99", 1), ("klines?interval=1m&limit=499", 2)],
            *[("klines?interval=1m", 5), ("klines?interval=1m&limit=1500", 10)],
            *[("depth?limit=50", 2), ("depth?limit=100", 5), ("depth", 10), ("depth?limit=1000", 20)],
        ],
    )
    def test_its_weight_is_counted_apart(self, path: str, weight: int) -> None:
        def used(prefix: str) -> int:
            return int(BINANCE.send("GET", f"/binance{prefix}/ping").headers["x-mbx-used-weight-1m"])

        spot, before = used("/api/v3"), used("/fapi/v1")
        answer = BINANCE.send("GET", f"/binance/fapi/v1/{path}")
        assert int(answer.headers["x-mbx-used-weight-1m"]) == before + weight
        assert used("/api/v3") == spot + 1

    def test_its_limit_is_its_own(self) -> None:
        sandbox = InProcess(NOW, rate_limits=True)
        path = "/binance/fapi/v1/exchangeInfo"
        assert sandbox.send("GET", path).json()["rateLimits"][0]["limit"] == 2_400
        refused = [sandbox.send("GET", "/binance/fapi/v1/aggTrades").status_code for _ in range(121)]
        assert (refused.count(429), refused[-1]) == (2, 429)
        assert sandbox.get("ping").status_code == 200
