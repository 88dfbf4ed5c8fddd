"""Real payloads of Bitfinex, where the folder that holds them stands beside the project."""

from pathlib import Path

import msgspec
import pytest

from dccd_core.domain.errors import PayloadError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Ns
from dccd_core.exchanges import bitfinex

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "bitfinex"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")


def body(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def test_bars_are_read_value_by_value() -> None:
    [row] = bitfinex.decode_candles(body("rest_candles_hist.json"), Ns(1)).rows(named=True)
    assert row["ts"].isoformat() == "2023-03-10T16:22:00+00:00"
    assert list(row.values())[1:] == [20097.0, 20125.0, 20094.0, 20114.0, 1.43504645, None, None]


def test_trades_are_read_value_by_value() -> None:
    [row] = bitfinex.decode_trades(body("rest_trades_hist.json"), Ns(1)).rows(named=True)
    assert row["ts"].isoformat() == "2019-09-03T15:56:54.876000+00:00"
    assert list(row.values())[1:] == [10682.0, 1.918524, "buy", "388063448"]


def test_a_book_is_read_value_by_value() -> None:
    [row] = bitfinex.decode_book(body("rest_book_P2.json"), Ns(7)).rows()
    assert row[1:] == ("bid", 0, 8744.9, 0.45603413)


def test_rows_as_the_stream_sends_them_are_the_same_rows() -> None:
    """Recorded in 2021: both sides of a book and trades of both sides, in shapes REST shares."""
    book = msgspec.json.decode(body("rec2021_ws_book_snapshot.json"))[1]
    levels = bitfinex.decode_book(msgspec.json.encode(book), Ns(1))
    bids, asks = (levels.filter(side=side)["price"] for side in ("bid", "ask"))
    assert bids.len() + asks.len() == len(book)
    assert bids.is_sorted(descending=True)
    assert asks.is_sorted()
    assert bids[0] < asks[0]
    told = msgspec.json.decode(body("rec2021_ws_trades_snapshot.json"))[1]
    trades = bitfinex.decode_trades(msgspec.json.encode(told), Ns(1))
    assert trades.height == len(told)
    assert trades["amount"].gt(0).all()


def test_the_listing_of_2021_is_read_there_and_back() -> None:
    listing = body("rec2021_rest_conf_pub_list_pair_exchange.json")
    markets = bitfinex.decode_markets(listing)
    assert markets["market"].to_list() == [f"t{pair}" for pair in msgspec.json.decode(listing)[0]]
    assert markets["symbol"].is_unique().all()
    back = [bitfinex.market(Symbol.parse(symbol)) for symbol in markets["symbol"]]
    assert back == markets["market"].to_list()
    named = dict(markets.select("symbol", "market").rows())
    assert named["BTC/USDT"] == "tBTCUST"
    assert named["AAVE/USD"] == "tAAVE:USD"


@pytest.mark.parametrize("name", ["rest_candles_last.json", "rest_tickers.json", "rest_book_R0.json"])
def test_other_endpoints_are_not_mistaken_for_rows(name: str) -> None:
    with pytest.raises(PayloadError):
        bitfinex.decode_candles(body(name), Ns(1))
    with pytest.raises(PayloadError):
        bitfinex.decode_trades(body(name), Ns(1))
