"""Real payloads, where the folder that holds them stands beside the project: they are not ours to ship."""

import re

import polars as pl
import pytest

from dccd_core.adapter.contract import Cursor
from dccd_core.adapter.live import Ack, DecodedBatch
from dccd_core.domain.timespan import SECOND, parse_time
from dccd_core.exchanges import kraken, kraken_live
from dccd_core.tables import DataType
from tests.conformance.samples import SAMPLES, needs_samples, sample

pytestmark = needs_samples

AT = parse_time("2025-11-11T00:17:30")


def body(name: str) -> bytes:
    return sample(f"kraken/{name}.json")


def decoded(name: str, data_type: DataType) -> pl.DataFrame:
    frame = kraken.EXCHANGE.endpoints[data_type].decode(body(name), AT)
    assert frame.schema == data_type.table.schema
    by_rest = frame.drop("received") if "received" in frame.columns else frame  # only a stream says when
    assert by_rest.null_count().sum_horizontal().item() == 0
    assert frame.width == by_rest.width or frame["received"].null_count() == frame.height
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
    assert trades["ts"].to_physical()[0] == 1_762_795_433_971_744
    assert trades.row(0)[1:] == (105433.6, 0.00027625, "buy", "10218208", None)
    assert trades["ts"].to_physical()[-1] == 1_762_820_035_982_277
    assert trades.row(-1)[3:] == ("sell", "10219207", None)


def test_the_times_of_trades_are_those_of_the_text() -> None:
    texts = re.findall(rb"\b(\d{10})\.(\d+)\b", body("rest_trades"))
    exact = [int(seconds) * SECOND + int(rest.ljust(9, b"0")[:6]) for seconds, rest in texts]
    assert decoded("rest_trades", DataType.TRADES)["ts"].to_physical().to_list() == exact


def test_the_last_row_and_the_cursor_differ_by_less_than_the_blur() -> None:
    [last] = re.findall(rb'"last": "(\d+)"', body("rest_trades"))
    shown = int(decoded("rest_trades", DataType.TRADES)["ts"].to_physical()[-1])
    paging = kraken.EXCHANGE.endpoints[DataType.TRADES].paging
    assert isinstance(paging, Cursor)
    assert abs(shown - int(last) // 1_000) <= paging.blur


def test_an_order_book() -> None:
    book = decoded("rest_order_book", DataType.ORDERBOOK)
    assert book.height == 10
    assert book["ts"].to_physical().unique().to_list() == [AT]
    assert book.row(0)[1:] == ("bid", 0, 105944.2, 0.002, None)
    assert book.row(5)[1:] == ("ask", 0, 105944.3, 0.136, None)
    bids, asks = (book.filter(side=side).sort("level")["price"] for side in ("bid", "ask"))
    assert bids.is_sorted(descending=True)
    assert asks.is_sorted()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rest_asset_pairs", [("BTC/USDT", "XBTUSDT", True, None, None, 1, 8, "BTC/USDT")]),
        ("rest_asset_pairs_tokenized", [("AAPLx/USD", "AAPLxUSD", True, None, None, 2, 8, "AAPLx/USD")]),
        (
            "rec2021_rest_AssetPairs_3",
            [
                ("AAVE/AUD", "AAVEAUD", True, None, None, 2, 8, "AAVE/AUD"),
                ("AAVE/ETH", "AAVEETH", True, None, None, 4, 8, "AAVE/ETH"),
                ("BTC/USD", "XBTUSD", True, None, None, 1, 8, "BTC/USD"),
            ],
        ),
    ],
)
def test_markets(name: str, rows: list[tuple[object, ...]]) -> None:
    assert kraken.decode_markets(body(name)).rows() == rows


# what the WebSocket v2 sends of channels that are listened to, and of others; v1 is another interface
WS_DECLARED = ("book_snapshot", "book_update", "ohlc_update", "pong", "subscribe_response", "trade_update")
WS_UNDECLARED = ("l3_snapshot", "l3_update_add", "l3_update_delete", "ticker_snapshot")


def decoded_live(name: str) -> DecodedBatch:
    return kraken_live.LIVE.decode([body(f"ws_v2_{name}")], [AT], None)


def test_every_message_of_the_websocket_is_known() -> None:
    found = {path.stem.removeprefix("ws_v2_") for path in SAMPLES.glob("kraken/ws_*.json")}
    assert found == {*WS_DECLARED, *WS_UNDECLARED}
    assert all("_wsv1_" in path.stem for path in SAMPLES.glob("kraken/rec*_ws*.json"))


@pytest.mark.parametrize("name", WS_DECLARED)
def test_a_message_of_a_channel_that_is_listened_to_is_understood(name: str) -> None:
    assert decoded_live(name).bad == []


@pytest.mark.parametrize("name", WS_UNDECLARED)
def test_a_message_of_another_channel_is_not(name: str) -> None:
    [(_, reason)] = decoded_live(name).bad
    assert "unexpected message" in reason


def test_trades_as_they_are_pushed() -> None:
    result = decoded_live("trade_update")
    assert result.trades is not None
    assert result.trades.drop("ts").rows() == [
        (105944.2, 0.00027625, "buy", "10218208", AT, "trade@BTC/USD"),
        (105910.5, 0.0001246, "sell", "10218209", AT, "trade@BTC/USD"),
    ]
    times = [parse_time(f"2023-10-06T17:35:{seconds}") for seconds in ("55.440295", "56.123456")]
    assert result.trades["ts"].to_physical().to_list() == times
    assert result.at == times[1]


def test_a_bar_as_it_is_pushed() -> None:
    result = decoded_live("ohlc_update")
    assert result.bars is not None
    row = result.bars.row(0, named=True)
    assert row.pop("ts").isoformat() == "2023-10-04T16:25:00+00:00"
    assert list(row.values()) == [
        *(106038.2, 106044.3, 106038.1, 106040.1),
        *(30927.68066226, 106039.6 * 30927.68066226, 12),
        *("ohlc-1@BTC/USD", AT, None),
    ]
    assert result.at is None


def test_a_book_as_it_is_pushed() -> None:
    result = decoded_live("book_snapshot")
    [whole] = result.books
    assert (whole.topic, whole.whole, whole.checksum) == ("book@BTC/USD", True, 2439117997)
    assert whole.bids == [("105944.20", "0.136"), ("105935.40", "0.024"), ("105920.10", "0.052")]
    assert whole.asks == [("105944.30", "0.136"), ("105946.90", "0.095"), ("105955.80", "0.003")]
    assert whole.at == result.at == parse_time("2023-10-06T17:35:55.440295")
    [change] = decoded_live("book_update").books
    assert (change.whole, change.checksum) == (False, 2114181697)
    assert (change.bids, change.asks) == ([("105944.20", "0.250")], [])


def test_answers() -> None:
    assert decoded_live("subscribe_response").acks == [Ack("ticker@BTC/USD")]
    assert decoded_live("pong").at == parse_time("2023-09-25T09:05:00.123500")
