"""Real payloads, where the folder that holds them stands beside the project: they are not ours to ship."""

import pytest

from dccd_core.adapter.contract import MARKETS, Response
from dccd_core.domain.errors import Rejected
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us
from dccd_core.exchanges import NAMES, get
from dccd_core.tables import DataType
from tests.conformance.samples import SAMPLES, needs_samples, sample

pytestmark = needs_samples

# (file, kind of market, what it is, rows); values are held in test_samples_{exchange}.py and below
DECLARED = [
    ("binance/rest_spot_klines", "spot", "ohlc", 1),
    ("binance/rest_spot_depth", "spot", "orderbook", 2),
    ("binance/rec2021_rest_spot_depth1000", "spot", "orderbook", 609 + 1_000),
    ("binance/rest_spot_exchange_info", "spot", "markets", 1),
    ("binance/rec2021_rest_exchangeInfo_first3", "spot", "markets", 3),
    ("bybit/rest_klines_linear", "linear", "ohlc", 1),
    ("bybit/rest_trades_recent", "linear", "trades", 1),
    ("bybit/rest_orderbook", "linear", "orderbook", None),
    ("bybit/rest_instruments_spot", "spot", "markets", None),
    ("bybit/rest_instruments_spot_xstocks", "spot", "markets", None),
    ("bybit/rest_instruments_linear", "linear", "markets", None),
    ("bybit/rest_instruments_inverse", "inverse", "markets", None),
    ("okx/rest_candlesticks", "spot", "ohlc", 0),  # the running bar
    ("okx/rest_candlesticks_full", "spot", "ohlc", None),
    ("okx/rest_jkorf_history_candles", "spot", "ohlc", 0),
    ("okx/rest_trades", "spot", "trades", None),
    ("okx/rest_jkorf_history_trades", "spot", "trades", None),
    ("okx/rest_order_book", "spot", "orderbook", None),
    ("okx/rest_jkorf_books", "spot", "orderbook", None),
    ("okx/rest_instruments_spot", "spot", "markets", None),
    ("okx/rest_instruments_swap", "linear", "markets", None),
    ("okx/rec2022_rest_instruments_spot_first3", "spot", "markets", 3),
    ("coinbase/rest_exchange_book_level2", "spot", "orderbook", 2),
    ("coinbase/rec2021_rest_products_first3", "spot", "markets", 3),
    ("kraken/rest_ohlc", "spot", "ohlc", 721),
    ("kraken/rest_trades", "spot", "trades", 1_000),
    ("kraken/rest_order_book", "spot", "orderbook", None),
    ("kraken/rest_asset_pairs", "spot", "markets", None),
    ("kraken/rest_asset_pairs_tokenized", "spot", "markets", None),
    ("kraken/rec2021_rest_AssetPairs_3", "spot", "markets", 3),
    ("bitfinex/rest_candles_hist", "spot", "ohlc", None),
    ("bitfinex/rest_trades_hist", "spot", "trades", None),
    ("bitfinex/rest_book_P2", "spot", "orderbook", None),
    ("bitfinex/rec2021_rest_conf_pub_list_pair_exchange", "spot", "markets", None),
    ("bitmex/rest_trade_bins", "inverse", "ohlc", None),
    ("bitmex/rest_trades", "inverse", "trades", None),
    ("bitmex/rest_instrument_xbtusd", "inverse", "instrument", None),
    ("bitmex/rec2021_rest_instrument_active_first3", "inverse", "markets", 0),  # dated futures
    ("bitmex/rest_error_response", "inverse", "error", None),
]
# what no exchange file declares: tickers, clocks, other interfaces of the same venue, kinds not served
UNDECLARED = {
    "binance": "avg_price book_ticker server_time ticker_24hr ticker_price spot_trades",
    "okx": "instruments_futures",
    "coinbase": "advanced",
    "kraken": "server_time system_status ticker",
    "bitfinex": "book_R0 candles_last tickers",
    "kraken_futures": "rest",
}
DECODED = [case for case in DECLARED if case[2] in list(DataType)]
LISTS = [case for case in DECLARED if case[2] == "markets"]


def test_every_rest_payload_is_decoded_or_known_to_belong_to_nothing() -> None:
    declared = {file for file, *_ in DECLARED}
    found = {f"{path.parent.name}/{path.stem}" for path in SAMPLES.glob("*/*rest_*.json")}
    assert declared <= found
    for file in found - declared:
        venue, name = file.split("/")
        assert any(part in name for part in UNDECLARED.get(venue, "").split()), f"nobody decodes {file}"


@pytest.mark.parametrize(("file", "kind", "data_type", "rows"), DECODED, ids=lambda value: str(value))
def test_a_real_payload_decodes_to_its_table(file: str, kind: str, data_type: str, rows: int | None) -> None:
    table = DataType(data_type).table
    endpoint = get(file.partition("/")[0]).endpoint(kind, DataType(data_type))
    assert endpoint is not None
    frame = endpoint.decode(sample(f"{file}.json"), Us(1))
    assert frame.schema == table.schema
    assert frame.height == rows or (rows is None and frame.height > 0)
    assert frame.select(table.required).null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize(("file", "kind", "what", "rows"), LISTS, ids=lambda value: str(value))
def test_a_real_list_of_symbols_is_read(file: str, kind: str, what: str, rows: int | None) -> None:
    markets = get(file.partition("/")[0]).markets.decode(sample(f"{file}.json"))
    assert markets.schema == MARKETS
    assert markets.height == rows or (rows is None and markets.height > 0), what
    assert rows == 0 or kind in {Symbol.parse(symbol).market_type for symbol in markets["symbol"]}


def test_no_other_payload_is_taken_for_an_error() -> None:
    files = {path for path in SAMPLES.glob("*/*rest_*.json") if path.parent.name in NAMES}
    errors = {SAMPLES / f"{file}.json" for file, _, what, _ in DECLARED if what == "error"}
    assert len(files - errors) > 40
    for path in files - errors:
        assert get(path.parent.name).verdict(Response(200, {}, path.read_bytes(), Us(1))) is None, path.name


def test_a_real_error_is_named() -> None:
    response = Response(401, {}, sample("bitmex/rest_error_response.json"), Us(1))
    error = get("bitmex").verdict(response)
    assert isinstance(error, Rejected)
    assert "Invalid API Key." in str(error)


def test_binance_bars_are_read_value_by_value() -> None:
    body = sample("binance/rest_spot_klines.json")
    [row] = get("binance").endpoints[DataType.OHLC].decode(body, Us(1)).rows(named=True)
    assert row["ts"].isoformat() == "2017-07-03T00:00:00+00:00"
    assert list(row.values())[1:] == [
        *(0.01634790, 0.80000000, 0.01575800, 0.01577100, 148976.11427815, 2434.19055334),
        308,
    ]


def test_the_recorded_binance_book_is_sorted_from_the_best_level_outwards() -> None:
    body = sample("binance/rec2021_rest_spot_depth1000.json")
    book = get("binance").endpoints[DataType.ORDERBOOK].decode(body, Us(1))
    bids, asks = (book.filter(side=side).sort("level")["price"] for side in ("bid", "ask"))
    assert bids.is_sorted(descending=True)
    assert asks.is_sorted()
    assert bids[0] < asks[0]
