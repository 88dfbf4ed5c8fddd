"""Payloads of OKX, where the folder that holds them stands beside the project: they are not ours to ship."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.contract import Response
from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.timespan import Ns
from dccd_core.exchanges import okx

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "okx"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")

ROWS = [
    (DataType.OHLC, "rest_candlesticks.json", 0),  # all rows are unconfirmed
    (DataType.OHLC, "rest_candlesticks_full.json", 2),
    (DataType.OHLC, "rest_jkorf_history_candles.json", 0),
    (DataType.TRADES, "rest_trades.json", 2),
    (DataType.TRADES, "rest_jkorf_history_trades.json", 2),
    (DataType.ORDERBOOK, "rest_order_book.json", 6),
    (DataType.ORDERBOOK, "rest_jkorf_books.json", 2),
]
INSTRUMENTS = [
    "rec2022_rest_instruments_spot_first3.json",
    "rest_instruments_futures.json",
    "rest_instruments_spot.json",
    "rest_instruments_swap.json",
]


def body(file: str) -> bytes:
    return (SAMPLES / file).read_bytes()


def decoded(kind: str, data_type: DataType, file: str) -> pl.DataFrame:
    endpoint = okx.EXCHANGE.endpoint(kind, data_type)
    assert endpoint is not None
    return endpoint.decode(body(file), Ns(1))


def plain(frame: pl.DataFrame, row: int = 0) -> list[object]:
    at, *values = frame.row(row)
    return [at.isoformat(timespec="milliseconds"), *values]


@pytest.mark.parametrize(("data_type", "file", "rows"), ROWS)
def test_a_real_payload_decodes_to_its_table(data_type: DataType, file: str, rows: int) -> None:
    for kind in okx.EXCHANGE.kinds:
        frame = decoded(kind, data_type, file)
        assert frame.schema == TABLES[data_type].schema
        assert frame.height == rows
        assert frame.select(TABLES[data_type].required).null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize("file", [*(file for _, file, _ in ROWS), *INSTRUMENTS])
def test_a_real_payload_is_no_error(file: str) -> None:
    assert okx.verdict(Response(200, {}, body(file), Ns(0))) is None


def test_bars_of_a_swap_are_read_value_by_value() -> None:
    prices = [102_783.1, 102_806.1]
    rows = decoded("linear", DataType.OHLC, "rest_candlesticks_full.json")
    assert plain(rows) == [
        "2025-05-12T23:53:00.000+00:00",
        *(102_806.0, 102_820.5, *prices),
        *(71.6404, 7_364_701.57952, None),
    ]
    assert plain(rows, 1)[0] == "2025-05-12T23:54:00.000+00:00"
    spot = decoded("spot", DataType.OHLC, "rest_candlesticks_full.json")
    assert spot["volume"].to_list() == [7_164.04, 1_040.37]


def test_trades_are_read_value_by_value() -> None:
    rows = decoded("spot", DataType.TRADES, "rest_trades.json")
    assert plain(rows) == ["2025-05-12T21:59:21.666+00:00", 102_537.9, 0.0000125, "buy", "734864332"]
    history = decoded("spot", DataType.TRADES, "rest_jkorf_history_trades.json")
    assert plain(history, 1) == ["2022-06-02T09:20:46.974+00:00", 29_963.2, 0.00001, "sell", "242720720"]


def test_books_are_read_value_by_value() -> None:
    book = decoded("spot", DataType.ORDERBOOK, "rest_order_book.json")
    assert plain(book) == ["2024-01-01T00:00:00.000+00:00", "bid", 0, 41_006.7, 0.487921]
    assert plain(book, 5) == ["2024-01-01T00:00:00.000+00:00", "ask", 2, 41_007.0, 2.0584253]
    one = decoded("spot", DataType.ORDERBOOK, "rest_jkorf_books.json")
    assert plain(one, 1) == ["2021-08-26T08:27:16.396+00:00", "ask", 0, 41_006.8, 0.60038921]


def test_the_recorded_pairs_have_no_listing_date() -> None:
    """All three carry the moment that the venue moved to its present system."""
    markets = okx.decode_markets(body("rec2022_rest_instruments_spot_first3.json"))
    assert markets["symbol"].to_list() == ["BTC/USDT", "ETH/USDT", "OKB/USDT"]
    assert markets["listed"].null_count() == 3
    assert markets.row(0) == ("BTC/USDT", "BTC-USDT", True, None, None)


def test_swaps_are_read_value_by_value() -> None:
    markets = okx.decode_markets(body("rest_instruments_swap.json"))
    listed = markets["listed"].dt.to_string("iso:strict")
    assert markets.drop("listed").row(0) == ("BTC/USD:BTC", "BTC-USD-SWAP", True, 100.0)
    assert listed[0].startswith("2018-08-28T02:43:23.000")
    assert markets.drop("listed").row(1) == ("ETH/USDT:USDT", "ETH-USDT-SWAP", True, 0.1)
