"""Bybit's real payloads, where the folder that holds them stands beside the project."""

from typing import Any

import pytest

from dccd_core.adapter.live import Ack, BookChange, DecodedBatch
from dccd_core.domain.timespan import MILLISECOND, Us
from dccd_core.exchanges import bybit
from dccd_core.exchanges.bybit_live import LIVE
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from tests.conformance.samples import SAMPLES, needs_samples, sample

pytestmark = needs_samples

PUSHED = ["kline", "orderbook_delta", "orderbook_snapshot", "public_trade"]
ANSWERS = ["subscription_ack", "subscription_failure"]
# what no channel of ours brings
OTHERS = ["ticker_linear"]
# the interface of before, which is gone
OLD = ["orderBookL2_25_delta", "orderBookL2_25_snapshot", "trade_push"]


def rest(name: str) -> bytes:
    return sample(f"bybit/rest_{name}.json")


def rows(data_type: DataType, name: str) -> list[tuple[Any, ...]]:
    endpoint = bybit.EXCHANGE.endpoint("linear", data_type)
    assert endpoint is not None
    frame = endpoint.decode(rest(name), Us(1))
    assert frame.schema == data_type.table.schema
    return [(row[0].isoformat(timespec="milliseconds"), *row[1:]) for row in frame.rows()]


def test_bars() -> None:
    [row] = rows(DataType.OHLC, "klines_linear")
    assert row == (
        "2024-03-08T09:54:39.000+00:00",
        *(27450.0, 27460.0, 27440.0, 27455.0, 123.45, 3390000.0),
        None,
    )


def test_trades() -> None:
    [row] = rows(DataType.TRADES, "trades_recent")
    name = "a905d5c3-1ed0-4f37-83e4-9c73a2fe2f01"
    assert row == ("2024-03-08T09:54:39.000+00:00", 27450.5, 0.005, "buy", name, None)


def test_book() -> None:
    book = rows(DataType.ORDERBOOK, "orderbook")
    at = "2024-03-08T09:54:39.000+00:00"
    assert len(book) == 6
    assert book[0] == (at, "bid", 0, 27450.5, 1.5, None)
    assert book[5] == (at, "ask", 2, 27452.0, 0.5, None)


@pytest.mark.parametrize(
    ("name", "markets"),
    [
        ("instruments_spot", [("BTC/USDT", "BTCUSDT", True), ("ETH/USDT", "ETHUSDT", True)]),
        ("instruments_spot_xstocks", [("AAPL/USDT", "AAPLUSDT", True)]),
        ("instruments_linear", [("BTC/USDT:USDT", "BTCUSDT", True), ("ETH/USDT:USDT", "ETHUSDT", True)]),
        ("instruments_inverse", [("BTC/USD:BTC", "BTCUSD", True)]),
    ],
)
def test_markets(name: str, markets: list[tuple[str, str, bool]]) -> None:
    frame = bybit.decode_markets(rest(name))
    assert [row[:3] for row in frame.rows()] == markets
    assert all((row[4] == 1.0) == (name == "instruments_inverse") for row in frame.rows())
    assert frame["listed"].is_null().all() == ("spot" in name)
    assert bybit.more_markets(bybit.markets_requests()[1], rest(name)) is None


def ws(name: str) -> bytes:
    return sample(f"bybit/ws_{name}.json")


def decoded(*frames: bytes, state: object = "linear") -> DecodedBatch:
    return LIVE.decode(frames, [Us(1)] * len(frames), state)


def values(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (row[0].isoformat(timespec="milliseconds"), *row[1:])


def test_every_recorded_message_is_accounted_for() -> None:
    found = {path.stem for path in SAMPLES.glob("bybit/*ws_*.json")}
    assert found == {
        *(f"ws_{name}" for name in (*PUSHED, *ANSWERS, *OTHERS)),
        *(f"rec2021_oldv2_ws_{name}" for name in OLD),
    }


def test_a_pushed_bar_is_read_value_by_value() -> None:
    found = decoded(ws("kline"))
    assert (found.bad, found.at) == ([], 1_672_324_988_882 * MILLISECOND)
    assert found.bars is not None
    assert values(found.bars.row(0)) == (
        "2022-12-29T14:40:00.000+00:00",
        *(16649.5, 16677.0, 16608.0, 16677.0, 2.081, 34666.4005, None),
        *("kline.5.BTCUSDT", 1, False),
    )


def test_a_pushed_trade_is_read_value_by_value() -> None:
    """The name of the sample's topic is none of the venue's; the rest looks as it should."""
    frame = ws("public_trade").replace(b"trade.linear.", b"publicTrade.")
    found = decoded(frame)
    assert (found.bad, found.at) == ([], 1_709_891_679_005 * MILLISECOND)
    assert found.trades is not None
    assert values(found.trades.row(0)) == (
        *("2024-03-08T09:54:39.000+00:00", 27451.0, 0.01, "buy", "9dc75fca-4bdd-4773-9f78-6f5d7ab2a110"),
        *(1, "publicTrade.BTCUSDT"),
    )


def test_pushed_books_are_read_value_by_value_and_follow_each_other() -> None:
    found = decoded(ws("orderbook_snapshot"), ws("orderbook_delta"))
    assert (found.bad, found.at) == ([], 1_709_891_679_500 * MILLISECOND)
    first, second = found.books
    assert first == BookChange(
        "orderbook.1.BTCUSDT",
        Us(1_709_891_679_000 * MILLISECOND),
        [("27450.00", "0.500"), ("27449.50", "1.000")],
        [("27451.00", "0.750"), ("27451.50", "0.900")],
        whole=True,
        first=123_456_789,
        last=123_456_789,
    )
    assert second == BookChange(
        "orderbook.1.BTCUSDT",
        Us(1_709_891_679_500 * MILLISECOND),
        [("27450.00", "0.400")],
        [("27451.00", "0")],
        first=123_456_790,
        last=123_456_790,
    )
    book = Book(LIVE.channels[DataType.ORDERBOOK])
    assert book.apply(first)
    assert book.apply(second)
    assert (book.bids.best(1), book.asks.best(9)) == ([("27450.00", "0.400")], [("27451.50", "0.900")])


def test_answers_agree_and_refuse() -> None:
    ours = ws("subscription_ack").replace(b"sub-orderbook-1", b"linear:1")
    assert decoded(ours, state=None) == DecodedBatch(acks=[Ack(id=1)], state="linear")
    refused = [Ack(error="Invalid topic: invalid.topic.BTCUSDT")]
    assert decoded(ws("subscription_failure")) == DecodedBatch(acks=refused, state="linear")


@pytest.mark.parametrize(
    "name", [*(f"rec2021_oldv2_ws_{name}" for name in OLD), *(f"ws_{name}" for name in OTHERS)]
)
def test_what_belongs_to_nothing_is_bad_rather_than_silent(name: str) -> None:
    frame = sample(f"bybit/{name}.json")
    assert [text for text, _ in decoded(frame).bad] == [frame]
