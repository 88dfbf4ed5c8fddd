"""Real payloads, where the folder that holds them stands beside the project: they are not ours to ship."""

from pathlib import Path

import pytest

from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.timespan import Ns
from dccd_core.exchanges import get

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")

ROWS = [
    ("binance", DataType.OHLC, "rest_spot_klines.json", 1),
    ("binance", DataType.ORDERBOOK, "rest_spot_depth.json", 2),
    ("binance", DataType.ORDERBOOK, "rec2021_rest_spot_depth1000.json", 609 + 1_000),
]


@pytest.mark.parametrize(("name", "data_type", "file", "rows"), ROWS)
def test_a_real_payload_decodes_to_its_table(name: str, data_type: DataType, file: str, rows: int) -> None:
    frame = get(name).endpoints[data_type].decode((SAMPLES / name / file).read_bytes(), Ns(1))
    assert frame.schema == TABLES[data_type].schema
    assert frame.height == rows
    assert frame.select(TABLES[data_type].required).null_count().sum_horizontal().item() == 0


def test_binance_bars_are_read_value_by_value() -> None:
    body = (SAMPLES / "binance" / "rest_spot_klines.json").read_bytes()
    [row] = get("binance").endpoints[DataType.OHLC].decode(body, Ns(1)).rows(named=True)
    assert row["ts"].isoformat() == "2017-07-03T00:00:00+00:00"
    assert list(row.values())[1:] == [
        *(0.01634790, 0.80000000, 0.01575800, 0.01577100, 148976.11427815, 2434.19055334),
        308,
    ]


def test_the_recorded_binance_book_is_sorted_from_the_best_level_outwards() -> None:
    body = (SAMPLES / "binance" / "rec2021_rest_spot_depth1000.json").read_bytes()
    book = get("binance").endpoints[DataType.ORDERBOOK].decode(body, Ns(1))
    bids, asks = (book.filter(side=side).sort("level")["price"] for side in ("bid", "ask"))
    assert bids.is_sorted(descending=True)
    assert asks.is_sorted()
    assert bids[0] < asks[0]


@pytest.mark.parametrize("file", ["rest_spot_exchange_info.json", "rec2021_rest_exchangeInfo_first3.json"])
def test_binance_markets_are_found(file: str) -> None:
    markets = get("binance").markets.decode((SAMPLES / "binance" / file).read_bytes())
    assert markets.row(0) == ("ETH/BTC", "ETHBTC", True, None, None)
