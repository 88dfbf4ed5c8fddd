"""Bybit's real payloads, where the folder that holds them stands beside the project."""

from pathlib import Path
from typing import Any

import pytest

from dccd_core.adapter.contract import Response
from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.timespan import Ns
from dccd_core.exchanges import bybit

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "bybit"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")


def sample(name: str) -> bytes:
    return (SAMPLES / f"rest_{name}.json").read_bytes()


def rows(data_type: DataType, name: str) -> list[tuple[Any, ...]]:
    endpoint = bybit.EXCHANGE.endpoint("linear", data_type)
    assert endpoint is not None
    frame = endpoint.decode(sample(name), Ns(1))
    assert frame.schema == TABLES[data_type].schema
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
    assert row == ("2024-03-08T09:54:39.000+00:00", 27450.5, 0.005, "buy", name)


def test_book() -> None:
    book = rows(DataType.ORDERBOOK, "orderbook")
    at = "2024-03-08T09:54:39.000+00:00"
    assert len(book) == 6
    assert book[0] == (at, "bid", 0, 27450.5, 1.5)
    assert book[5] == (at, "ask", 2, 27452.0, 0.5)


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
    frame = bybit.decode_markets(sample(name))
    assert [row[:3] for row in frame.rows()] == markets
    assert all((row[4] == 1.0) == (name == "instruments_inverse") for row in frame.rows())
    assert frame["listed"].is_null().all() == ("spot" in name)
    assert bybit.more_markets(bybit.markets_requests()[1], sample(name)) is None


def test_none_of_them_is_an_error() -> None:
    for path in sorted(SAMPLES.glob("rest_*.json")):
        assert bybit.verdict(Response(200, {}, path.read_bytes(), Ns(1))) is None
