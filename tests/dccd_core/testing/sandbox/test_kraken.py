from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Query, Request, Response
from dccd_core.domain.errors import Rejected, Throttled
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MICROSECOND, MINUTE, SECOND, WEEK, TimeRange, Us, parse_time
from dccd_core.exchanges import kraken as adapter
from dccd_core.testing.sandbox.market import Market
from tests.dccd_core.testing.sandbox.inprocess import InProcess

BTC = Symbol.parse("BTC/USD")
MARKET = Market()
TAPE = MARKET.tape("kraken", BTC)
NOW = parse_time("2024-06-05T12:00:30")
KRAKEN = InProcess(NOW)
ALL = TimeRange(Us(0), NOW)
_EXACT = msgspec.json.Decoder(float_hook=Decimal)


def send(path: str, sandbox: InProcess = KRAKEN, **params: str | int) -> httpx.Response:
    return sandbox.send("GET", f"/kraken/0/public/{path}", b"", **params)


def asked(request: Request, sandbox: InProcess = KRAKEN) -> bytes:
    answer = sandbox.send("GET", f"/kraken{request.path}", b"", **request.params)
    assert adapter.verdict(Response(answer.status_code, {}, answer.content, NOW)) is None, answer.text
    return answer.content


def get(path: str, sandbox: InProcess = KRAKEN, **params: str | int) -> Any:
    """Return the result; its numbers keep all their digits."""
    answer = send(path, sandbox, **params)
    assert answer.status_code == 200, answer.text
    told = _EXACT.decode(answer.content)
    assert told["error"] == []
    return told["result"]


def bars(sandbox: InProcess = KRAKEN, **params: int) -> list[Any]:
    return get("OHLC", sandbox, pair="XBTUSD", **params)["XXBTZUSD"]


def opens(**params: int) -> list[int]:
    return [row[0] for row in bars(KRAKEN, **params)]


def trades(sandbox: InProcess = KRAKEN, **params: int) -> tuple[list[int], int]:
    """Return the ids, and ``last``."""
    result = get("Trades", sandbox, pair="XBTUSD", **params)
    return [row[6] for row in result["XXBTZUSD"]], int(result["last"])


def seconds(text: str) -> int:
    return parse_time(text) // SECOND


def first_id(text: str) -> int:
    return TAPE.count_before(parse_time(text)) + 1


def query(span: TimeRange = ALL, limit: int = 1_000, bar: Us | None = None, market: str = "XBTUSD") -> Query:
    return Query(market, span, limit, bar)


def test_our_decoder_reads_the_trades_back_as_the_truth() -> None:
    span = TimeRange(parse_time("2023-03-24"), parse_time("2023-03-25"))
    decoded = adapter.decode_trades(asked(adapter.trades_request(query(span))), NOW)
    assert decoded.equals(MARKET.truth_trades("kraken", BTC, span).head(1_000))
    assert decoded.filter(pl.col("ts").cast(pl.Int64) % 1_000 != 0).height > 500


def walked(start: Us, end: Us, limit: int, blur: int) -> pl.DataFrame:
    """Page as a cursor does: from the last row on, less the blur, dropping what came already."""
    pages = list[pl.DataFrame]()
    at, seen = start, set[str]()
    while not pages or at < end:
        span = TimeRange(Us(at - blur), end)
        page = adapter.decode_trades(asked(adapter.trades_request(query(span, limit))), NOW)
        fresh = page.filter(~pl.col("trade_id").is_in(list(seen)))
        if not fresh.height:
            break
        pages.append(fresh)
        seen.update(fresh["trade_id"])
        at = Us(int(fresh["ts"].to_physical()[-1]))
    rows = pl.concat(pages)
    times = rows["ts"].cast(pl.Int64)
    return rows.filter((times >= start) & (times < end))


@pytest.mark.parametrize("limit", [40, 41, 97, 1_000])
def test_pages_joined_with_the_blur_are_the_truth(limit: int) -> None:
    span = TimeRange(parse_time("2024-05-01"), parse_time("2024-05-01T06"))
    rows = walked(span.start, span.end, limit, MICROSECOND)
    assert rows.equals(MARKET.truth_trades("kraken", BTC, span))


def test_a_span_that_begins_at_a_row_holds_it_though_it_happened_a_little_before() -> None:
    """Rows tell tenths of a microsecond, so their trades happened up to 50 ns before or after."""
    for time in TAPE.by_id(1_000_000, 60).time.tolist():
        request = adapter.trades_request(query(TimeRange(Us(time), NOW), 30))
        assert time in adapter.decode_trades(asked(request), NOW)["ts"].to_physical().to_list()


def test_a_bar_is_written_as_kraken_writes_it() -> None:
    result = get("OHLC", pair="ETHUSDT", interval=60)
    row = result["ETHUSDT"][0]
    assert [type(cell) for cell in row] == [int, *[str] * 6, int]
    assert all(len(cell.partition(".")[2]) == 2 for cell in row[1:5])
    assert (len(row[5].partition(".")[2]), len(row[6].partition(".")[2])) == (1, 8)
    assert float(row[3]) - 0.1 <= float(row[5]) <= float(row[2])
    assert type(result["last"]) is int


def test_a_trade_is_written_as_kraken_writes_it() -> None:
    result = get("Trades", pair="XDGUSD", count=50)
    row = result["XDGUSD"][0]
    assert [type(cell) for cell in row] == [str, str, Decimal, str, str, str, int]
    assert row[3] in {"b", "s"}
    assert row[4] in {"m", "l"}
    texts = [str(row[2]) for row in result["XDGUSD"]]
    assert {len(text.partition(".")[2]) for text in texts} <= set(range(8))
    assert not any("." in text and text.endswith("0") for text in texts)
    shown, true = int(Decimal(texts[-1]) * 10**9), int(result["last"])
    assert abs(shown - true) <= 50


class TestBars:
    def test_the_newest_720_and_the_running_one_are_all_there_is(self) -> None:
        now = seconds("2024-06-05T12:00")
        assert opens() == list(range(now - 720 * 60, now + 60, 60))
        assert opens(since=0) == opens(since=seconds("2023-01-01")) == opens()

    def test_last_is_the_newest_committed_bar_and_since_is_exclusive(self) -> None:
        last, running = seconds("2024-06-05T11:59"), seconds("2024-06-05T12:00")
        assert get("OHLC", pair="XBTUSD")["last"] == last
        assert opens(since=last) == [running]
        assert opens(since=last - 1) == [last, running]
        assert opens(since=running) == []

    def test_a_quiet_bar_is_flat_and_has_no_average_price(self) -> None:
        rows = bars()
        before, quiet = next((a, b) for a, b in pairwise(rows) if b[7] == 0)
        assert quiet[1:] == [*[before[4]] * 4, "0.0", "0.00000000", 0]

    def test_weeks_and_longer_are_counted_from_the_epoch(self) -> None:
        weeks = bars(interval=10_080)
        assert weeks[-1][0] == seconds("2024-05-30")
        assert {row[0] % (WEEK // SECOND) for row in weeks} == {0}
        assert weeks[-2][7] == first_id("2024-05-30") - first_id("2024-05-23")
        assert {opened % (15 * DAY // SECOND) for opened in opens(interval=21_600)} == {0}


class TestTrades:
    def test_since_is_exclusive_and_last_continues(self) -> None:
        first = first_id("2024-06-01")
        ids, last = trades(since=(parse_time("2024-06-01") - MINUTE) * 1_000, count=1_000)
        assert ids == list(range(ids[0], ids[0] + 1_000))
        assert first in ids
        assert trades(since=last, count=1)[0][0] > ids[-1]
        assert ids[-1] in trades(since=last - 1, count=1_000)[0]

    def test_since_last_loses_the_rest_of_a_group_that_the_page_cut(self) -> None:
        times = TAPE.by_id(500_000, 200).time.tolist()
        at = next(place for place, (a, b) in enumerate(pairwise(times)) if a == b)
        ids, last = trades(since=(times[0] - MICROSECOND) * 1_000, count=at + 1)
        assert trades(since=last, count=1)[0][0] > ids[-1] + 1
        assert ids[-1] + 1 in trades(since=last - 1)[0]

    def test_without_since_the_newest_come_oldest_first(self) -> None:
        newest = TAPE.count_before(NOW)
        assert trades()[0] == list(range(newest - 999, newest + 1))
        assert trades(count=2)[0] == [newest - 1, newest]

    def test_more_than_a_thousand_counts_as_a_thousand(self) -> None:
        assert len(trades(since=0, count=5_000)[0]) == 1_000
        assert trades(since=0, count=2)[0] == [1, 2]

    def test_since_may_be_in_seconds(self) -> None:
        assert trades(since=seconds("2024-06-01")) == trades(since=parse_time("2024-06-01") * 1_000)


@pytest.mark.parametrize(
    ("path", "params", "error"),
    [
        ("OHLC", {}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("OHLC", {"pair": "BTCUSD"}, "EQuery:Unknown asset pair"),
        ("OHLC", {"pair": "XBTUSD", "interval": "3"}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": "XBTUSD", "interval": "1m"}, "EGeneral:Invalid arguments"),
        ("Trades", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("Trades", {"pair": "XBTUSD", "since": "now"}, "EGeneral:Invalid arguments"),
        ("Trades", {"pair": "XBTUSD", "count": "0"}, "EGeneral:Invalid arguments"),
        ("Depth", {"pair": ""}, "EGeneral:Invalid arguments"),
        ("Depth", {"pair": "XBTUSD", "count": "-1"}, "EGeneral:Invalid arguments"),
        ("AssetPairs", {"pair": "XBTUSD,NOPE"}, "EQuery:Unknown asset pair"),
    ],
)
def test_a_wrong_request_is_told_so_with_status_200(path: str, params: dict[str, str], error: str) -> None:
    answer = send(path, KRAKEN, **params)
    assert answer.status_code == 200
    assert answer.json() == {"error": [error]}
    assert isinstance(adapter.verdict(Response(200, {}, answer.content, NOW)), Rejected)


@pytest.mark.parametrize(
    ("pair", "key"),
    [
        ("XBTUSD", "XXBTZUSD"),
        ("XXBTZUSD", "XXBTZUSD"),
        ("XBTUSDT", "XBTUSDT"),
        ("XDGUSD", "XDGUSD"),
        ("ETHXBT", "XETHXXBT"),
        ("ETHUSD", "XETHZUSD"),
    ],
)
def test_old_pairs_are_answered_under_their_old_name(pair: str, key: str) -> None:
    assert set(get("Trades", pair=pair, count=1)) == {key, "last"}
    assert set(get("Depth", pair=pair, count=1)) == {key}
    assert list(get("AssetPairs", pair=pair)) == [key]


def test_pairs_are_described_in_kraken_s_codes() -> None:
    pairs = get("AssetPairs", pair="XDGUSD,XBTUSD")
    names = {key: (pair["wsname"], pair["base"], pair["quote"]) for key, pair in pairs.items()}
    assert names == {"XDGUSD": ("XDG/USD", "XXDG", "ZUSD"), "XXBTZUSD": ("XBT/USD", "XXBT", "ZUSD")}
    assert (pairs["XXBTZUSD"]["status"], pairs["XXBTZUSD"]["tick_size"]) == ("online", "0.01")


def test_a_book_has_as_many_levels_as_are_asked_for() -> None:
    book = get("Depth", pair="XBTUSD", count=50)["XXBTZUSD"]
    assert (len(book["bids"]), len(book["asks"])) == (50, 50)
    assert all(0 <= NOW // SECOND - row[2] < 64 for row in (*book["bids"], *book["asks"]))
    assert len(get("Depth", pair="XBTUSD")["XXBTZUSD"]["bids"]) == 100
    assert len(get("Depth", pair="XBTUSD", count=9_999)["XXBTZUSD"]["bids"]) == 500


def test_the_time_and_the_status_are_told() -> None:
    assert get("Time") == {"unixtime": NOW // SECOND, "rfc1123": "Wed, 05 Jun 24 12:00:30 +0000"}
    assert get("SystemStatus") == {"status": "online", "timestamp": "2024-06-05T12:00:30Z"}


class TestLimits:
    @staticmethod
    def refused(path: str, sandbox: InProcess, **params: str | int) -> bool:
        answer = send(path, sandbox, **params)
        error = adapter.verdict(Response(answer.status_code, {}, answer.content, NOW))
        assert error is None or type(error) is Throttled
        assert answer.status_code == 200
        return error is not None

    def test_bars_and_trades_are_counted_for_each_pair_all_else_together(self) -> None:
        sandbox = InProcess(NOW, rate_limits=True)
        for path in ("OHLC", "Trades"):
            assert not self.refused(path, sandbox, pair="XBTUSD")
            assert not self.refused(path, sandbox, pair="ETHUSD")
            assert self.refused(path, sandbox, pair="XBTUSD")
        assert not self.refused("Depth", sandbox, pair="XBTUSD")
        assert self.refused("Depth", sandbox, pair="ETHUSD")
        assert self.refused("AssetPairs", sandbox)
        assert sandbox.stats().refused() == 4

    def test_a_second_later_there_is_room_again(self) -> None:
        sandbox = InProcess(rate_limits=True)
        for later, refused in [(0, False), (SECOND - 1, True), (SECOND, False)]:
            sandbox.clock(Us(NOW + later))
            assert self.refused("Trades", sandbox, pair="XBTUSD") is refused
