"""BitMEX's real payloads, where the folder that holds them stands beside the project."""

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Response
from dccd_core.domain.errors import Rejected
from dccd_core.domain.timespan import Us
from dccd_core.exchanges import get
from dccd_core.tables import DataType
from tests.conformance.samples import needs_samples, sample

pytestmark = needs_samples
BITMEX = get("bitmex")


def body(file: str) -> bytes:
    return sample(f"bitmex/{file}")


def rows_of(file: str) -> bytes:
    """Return what a pushed message holds as REST answers it: a list of the same rows."""
    told = msgspec.json.decode(body(file))
    return msgspec.json.encode(told.get("data", [told]))


def decoded(data_type: DataType, payload: bytes, rows: int) -> pl.DataFrame:
    frame = BITMEX.endpoints[data_type].decode(payload, Us(1))
    assert frame.schema == data_type.table.schema
    assert frame.height == rows
    assert frame.select(data_type.table.required).null_count().sum_horizontal().item() == 0
    return frame


def test_bars_are_read_value_by_value() -> None:
    rows = decoded(DataType.OHLC, body("rest_trade_bins.json"), 3)
    assert [ts.isoformat() for ts in rows["ts"]] == [f"2024-11-25T10:{at}:00+00:00" for at in (30, 31, 32)]
    assert rows.row(1)[1:] == (98950.0, 98965.0, 98940.0, 98960.0, 0.96005185, 95000.0, 32)


def test_a_pushed_bar_has_the_same_shape() -> None:
    rows = decoded(DataType.OHLC, rows_of("ws_trade_bin_1m.json"), 1)
    assert rows.row(0)[1:] == (97550.0, 97584.4, 97550.0, 97570.1, 0.8609776, 84000.0, 20)


def test_trades_are_read_value_by_value_and_put_in_order() -> None:
    rows = decoded(DataType.TRADES, body("rest_trades.json"), 3)
    assert rows["ts"].is_sorted()
    [first] = rows.head(1).rows(named=True)
    assert first["ts"].isoformat() == "2024-11-25T10:34:45.234000+00:00"
    name = "00000000-006d-1000-0000-000e8737d539"
    assert list(first.values())[1:] == [98949.5, 0.00050535, "sell", name, None]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("ws_trade.json", (98570.9, 0.0010145, "sell", "00000000-006d-1000-0000-000e8737d536")),
        # of 2021: without ``trdType``
        ("rec2021_ws_trade_partial.json", (0.00001819, 15.0, "sell", "8f8fe9db-eb13-26a5-dea2-a398d89e04a8")),
    ],
)
def test_pushed_trades_have_the_same_shape(file: str, expected: tuple[object, ...]) -> None:
    assert decoded(DataType.TRADES, rows_of(file), 1).row(0)[1:] == (*expected, None)


def test_the_recorded_book_is_sorted_from_the_best_level_outwards() -> None:
    payload = rows_of("rec2021_ws_orderBookL2_partial.json")
    told = msgspec.json.decode(payload)
    book = decoded(DataType.ORDERBOOK, payload, len(told))
    bids, asks = (book.filter(side=side) for side in ("bid", "ask"))
    assert bids["price"].is_sorted(descending=True)
    assert asks["price"].is_sorted()
    assert bids["price"][0] < asks["price"][0]
    assert (asks["price"][-1], asks["amount"][-1]) == (0.00010699, 3000.0)


def test_a_level_of_2024_has_more_fields() -> None:
    book = decoded(DataType.ORDERBOOK, rows_of("ws_orderbook_l2.json"), 1)
    assert book.row(0)[1:] == ("ask", 0, 98459.9, 33000.0, None)


def test_the_inverse_perpetual_is_found() -> None:
    markets = BITMEX.markets.decode(rows_of("rest_instrument_xbtusd.json"))
    [row] = markets.rows(named=True)
    assert row.pop("listed").isoformat() == "2016-05-13T12:00:00+00:00"
    named = {"symbol": "BTC/USD:BTC", "market": "XBTUSD", "active": True, "contract": 1.0}
    assert row == {**named, "price_decimals": None, "amount_decimals": None, "live_name": None}


def test_dated_futures_are_left_out() -> None:
    assert BITMEX.markets.decode(body("rec2021_rest_instrument_active_first3.json")).is_empty()


@pytest.mark.parametrize("status", [200, 401])
def test_an_error_is_an_error_whatever_its_status(status: int) -> None:
    error = BITMEX.verdict(Response(status, {}, body("rest_error_response.json"), Us(1)))
    assert type(error) is Rejected
    assert "Invalid API Key." in str(error)
