"""Real payloads, where the folder that holds them stands beside the project: they are not ours to ship."""

import re
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.contract import Response
from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.timespan import SECOND, Ns, parse_time
from dccd_core.exchanges import kraken

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "kraken"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")

AT = parse_time("2025-11-11T00:17:30")


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def decoded(name: str, data_type: DataType) -> pl.DataFrame:
    frame = kraken.EXCHANGE.endpoints[data_type].decode(sample(name), AT)
    assert frame.schema == TABLES[data_type].schema
    assert frame.null_count().sum_horizontal().item() == 0
    return frame


def test_bars() -> None:
    bars = decoded("rest_ohlc", DataType.OHLC)
    assert bars.height == 721
    assert bars["ts"].to_physical().diff()[1:].unique().to_list() == [60 * SECOND]
    assert bars.filter(trades=0).height == 216
    row = bars.row(2, named=True)
    assert row.pop("ts").isoformat() == "2025-11-10T12:19:00+00:00"
    assert list(row.values()) == [*[106038.3] * 4, 0.00032101, 106038.3 * 0.00032101, 1]


def test_quiet_bars_have_no_quote_volume() -> None:
    quiet = decoded("rest_ohlc", DataType.OHLC).filter(trades=0)
    assert quiet["quote_volume"].unique().to_list() == [0.0]
    assert (quiet["open"] == quiet["close"]).all()


def test_trades() -> None:
    trades = decoded("rest_trades", DataType.TRADES)
    assert trades.height == 1_000
    assert trades["ts"].is_sorted()
    assert trades["trade_id"].cast(pl.Int64).diff()[1:].unique().to_list() == [1]
    assert trades["ts"].to_physical()[0] == 1_762_795_433_971_744_500
    assert trades.row(0)[1:] == (105433.6, 0.00027625, "buy", "10218208")
    assert trades["ts"].to_physical()[-1] == 1_762_820_035_982_277_900
    assert trades.row(-1)[3:] == ("sell", "10219207")


def test_the_times_of_trades_are_those_of_the_text() -> None:
    texts = re.findall(rb"\b(\d{10})\.(\d+)\b", sample("rest_trades"))
    exact = [int(seconds) * SECOND + int(rest.ljust(9, b"0")) for seconds, rest in texts]
    assert decoded("rest_trades", DataType.TRADES)["ts"].to_physical().to_list() == exact


def test_the_last_row_and_the_cursor_differ_by_less_than_the_blur() -> None:
    [last] = re.findall(rb'"last": "(\d+)"', sample("rest_trades"))
    shown = int(decoded("rest_trades", DataType.TRADES)["ts"].to_physical()[-1])
    assert 0 < abs(shown - int(last)) < 250


def test_an_order_book() -> None:
    book = decoded("rest_order_book", DataType.ORDERBOOK)
    assert book.height == 10
    assert book["ts"].to_physical().unique().to_list() == [AT]
    assert book.row(0)[1:] == ("bid", 0, 105944.2, 0.002)
    assert book.row(5)[1:] == ("ask", 0, 105944.3, 0.136)
    bids, asks = (book.filter(side=side).sort("level")["price"] for side in ("bid", "ask"))
    assert bids.is_sorted(descending=True)
    assert asks.is_sorted()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rest_asset_pairs", [("BTC/USDT", "XBTUSDT", True, None, None)]),
        ("rest_asset_pairs_tokenized", [("AAPLx/USD", "AAPLxUSD", True, None, None)]),
        (
            "rec2021_rest_AssetPairs_3",
            [
                ("AAVE/AUD", "AAVEAUD", True, None, None),
                ("AAVE/ETH", "AAVEETH", True, None, None),
                ("BTC/USD", "XBTUSD", True, None, None),
            ],
        ),
    ],
)
def test_markets(name: str, rows: list[tuple[object, ...]]) -> None:
    assert kraken.decode_markets(sample(name)).rows() == rows


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*rest_*.json")), ids=lambda path: path.stem)
def test_no_sample_is_taken_for_an_error(path: Path) -> None:
    assert kraken.verdict(Response(200, {}, path.read_bytes(), Ns(0))) is None
