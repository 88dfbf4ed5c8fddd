"""Real payloads of Coinbase, where the folder that holds them stands beside the project."""

import json
from pathlib import Path

import pytest

from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import Ns
from dccd_core.exchanges.coinbase import EXCHANGE

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "coinbase"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no ../shared/samples here")


def test_the_book() -> None:
    body = (SAMPLES / "rest_exchange_book_level2.json").read_bytes()
    rows = EXCHANGE.endpoints[DataType.ORDERBOOK].decode(body, Ns(1))
    assert [(str(row[0]), *row[1:]) for row in rows.rows()] == [
        ("2024-01-24 15:32:52.961744+00:00", "bid", 0, 39982.8, 0.01884514),
        ("2024-01-24 15:32:52.961744+00:00", "ask", 0, 39985.08, 0.07946493),
    ]


def test_the_products() -> None:
    markets = EXCHANGE.markets.decode((SAMPLES / "rec2021_rest_products_first3.json").read_bytes())
    assert markets.rows() == [
        ("SKL/EUR", "SKL-EUR", True, None, None),
        ("BTC/GBP", "BTC-GBP", True, None, None),
        ("OMG/GBP", "OMG-GBP", True, None, None),
    ]


@pytest.mark.parametrize("file", ["rec2021_ws_match.json", "rec2021_ws_last_match.json"])
def test_a_trade_of_the_feed_has_all_that_a_page_s_row_has(file: str) -> None:
    """No page of trades was kept; the feed's messages carry the same fields and some more."""
    match = json.loads((SAMPLES / file).read_bytes())
    rows = EXCHANGE.endpoints[DataType.TRADES].decode(json.dumps([match]).encode(), Ns(1))
    taker = {"buy": "sell", "sell": "buy"}[match["side"]]
    [(ts, *values)] = rows.rows()
    assert ts.isoformat().replace("+00:00", "Z") == match["time"]
    assert values == [float(match["price"]), float(match["size"]), taker, str(match["trade_id"])]
