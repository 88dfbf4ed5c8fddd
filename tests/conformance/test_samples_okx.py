"""Payloads of OKX, where the folder that holds them stands beside the project: they are not ours to ship."""

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, DecodedBatch
from dccd_core.domain.timespan import DAY, MILLISECOND, Us
from dccd_core.exchanges import okx, okx_live
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from tests.conformance.samples import SAMPLES, needs_samples, sample

pytestmark = needs_samples

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
PUSHED = ["ws_books_snapshot.json", "ws_books_update.json"]
# what no channel of ours brings: joined fills, another book, tickers, lists, bars cut in Hong Kong
OTHERS = [
    "rec2022_ws_tickers_push.json",
    "rec2022_ws_trades_push.json",
    "ws_bbo_tbt.json",
    "ws_candle.json",
    "ws_instruments.json",
    "ws_tickers.json",
    "ws_trades.json",
]
# books of the time before they were numbered
UNPROVEN = ["rec2022_ws_books_snapshot.json", "rec2022_ws_books_update.json"]
ANSWERS = ["rec2022_ws_event_subscribe.json"]
SENT = ["rec2022_ws_sent_subscribe.json"]


def body(file: str) -> bytes:
    return sample(f"okx/{file}")


def decoded(kind: str, data_type: DataType, file: str) -> pl.DataFrame:
    endpoint = okx.EXCHANGE.endpoint(kind, data_type)
    assert endpoint is not None
    return endpoint.decode(body(file), Us(1))


def plain(frame: pl.DataFrame, row: int = 0) -> list[object]:
    at, *values = frame.row(row)
    return [at.isoformat(timespec="milliseconds"), *values]


@pytest.mark.parametrize(("data_type", "file", "rows"), ROWS)
def test_a_real_payload_decodes_to_its_table(data_type: DataType, file: str, rows: int) -> None:
    for kind in okx.EXCHANGE.kinds:
        frame = decoded(kind, data_type, file)
        assert frame.schema == data_type.table.schema
        assert frame.height == rows
        assert frame.select(data_type.table.required).null_count().sum_horizontal().item() == 0


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
    assert plain(rows) == ["2025-05-12T21:59:21.666+00:00", 102_537.9, 0.0000125, "buy", "734864332", None]
    history = decoded("spot", DataType.TRADES, "rest_jkorf_history_trades.json")
    assert plain(history, 1) == [
        "2022-06-02T09:20:46.974+00:00",
        29_963.2,
        0.00001,
        "sell",
        "242720720",
        None,
    ]


def test_books_are_read_value_by_value() -> None:
    book = decoded("spot", DataType.ORDERBOOK, "rest_order_book.json")
    assert plain(book) == ["2024-01-01T00:00:00.000+00:00", "bid", 0, 41_006.7, 0.487921, None]
    assert plain(book, 5) == ["2024-01-01T00:00:00.000+00:00", "ask", 2, 41_007.0, 2.0584253, None]
    one = decoded("spot", DataType.ORDERBOOK, "rest_jkorf_books.json")
    assert plain(one, 1) == ["2021-08-26T08:27:16.396+00:00", "ask", 0, 41_006.8, 0.60038921, None]


def test_the_recorded_pairs_have_no_listing_date() -> None:
    """All three carry the moment that the venue moved to its present system."""
    markets = okx.decode_markets(body("rec2022_rest_instruments_spot_first3.json"))
    assert markets["symbol"].to_list() == ["BTC/USDT", "ETH/USDT", "OKB/USDT"]
    assert markets["listed"].null_count() == 3
    assert markets.row(0) == ("BTC/USDT", "BTC-USDT", True, None, None, None, None, None)


def test_swaps_are_read_value_by_value() -> None:
    markets = okx.decode_markets(body("rest_instruments_swap.json"))
    listed = markets["listed"].dt.to_string("iso:strict")
    assert markets.drop("listed").row(0) == ("BTC/USD:BTC", "BTC-USD-SWAP", True, 100.0, None, None, None)
    assert listed[0].startswith("2018-08-28T02:43:23.000")
    assert markets.drop("listed").row(1) == ("ETH/USDT:USDT", "ETH-USDT-SWAP", True, 0.1, None, None, None)


def decoded_live(*frames: bytes) -> DecodedBatch:
    return okx_live.LIVE.decode(frames, [Us(1)] * len(frames), None)


def test_every_recorded_message_is_accounted_for() -> None:
    found = sorted(path.name for path in SAMPLES.glob("okx/*ws_*.json"))
    assert found == sorted([*PUSHED, *OTHERS, *UNPROVEN, *ANSWERS, *SENT])


def test_pushed_books_are_read_value_by_value() -> None:
    found = decoded_live(*(body(file) for file in PUSHED))
    assert (found.bad, found.at) == ([], 1_597_026_383_085 * MILLISECOND)
    first, second = found.books
    assert (first.topic, first.whole, first.previous, first.last) == ("books:BTC-USDT", True, None, 123_456)
    assert (second.topic, second.whole, second.previous, second.last) == (
        "books:BTC-USDT",
        False,
        123_456,
        123_457,
    )
    for change in (first, second):
        assert (change.at, change.checksum) == (1_597_026_383_085 * MILLISECOND, None)
        assert (len(change.bids), len(change.asks)) == (8, 8)
        assert (change.bids[0], change.asks[0]) == (("8476.97", "256"), ("8476.98", "415"))
        assert (change.bids[-1], change.asks[-1]) == (("8446", "95"), ("8506.96", "100"))
    book = Book(okx_live.LIVE.channels[DataType.ORDERBOOK])
    assert book.apply(first)
    assert book.apply(second)


def test_a_pushed_bar_is_read_value_by_value() -> None:
    """The sample is of the day of Hong Kong, which nothing asks for; ours looks the same."""
    found = decoded_live(body("ws_candle.json").replace(b"candle1D", b"candle1Dutc"))
    assert found.bars is not None
    assert plain(found.bars) == [
        "2020-08-10T02:26:23.085+00:00",
        *(8_533.02, 8_553.74, 8_527.17, 8_548.26, 45_247.0, 5_529.5858061, None),
        *("candle1Dutc:BTC-USDT", 1, True),
    ]
    assert found.at == 1_597_026_383_085 * MILLISECOND + DAY


@pytest.mark.parametrize("file", ["ws_trades.json", "rec2022_ws_trades_push.json"])
def test_a_pushed_trade_is_read_value_by_value(file: str) -> None:
    """The samples are of joined fills; a single one looks the same, but for their count."""
    found = decoded_live(body(file).replace(b'"trades"', b'"trades-all"'))
    wanted = {
        "ws_trades.json": [
            *("2021-08-27T07:21:37.897+00:00", 42_219.9, 0.12060306, "buy", "130639474"),
            *(1, "trades-all:BTC-USD"),
        ],
        "rec2022_ws_trades_push.json": [
            *("2022-05-13T16:26:39.958+00:00", 30_218.8, 1.0, "buy", "7849"),
            *(1, "trades-all:BTC-USD-220527"),
        ],
    }
    assert found.trades is not None
    assert plain(found.trades) == wanted[file]


def test_a_recorded_answer_agrees() -> None:
    assert decoded_live(body(ANSWERS[0])) == DecodedBatch(acks=[Ack("tickers:BTC-USD-220527")])


def test_a_recorded_subscription_is_like_ours_but_for_the_number() -> None:
    sent = msgspec.json.decode(body(SENT[0]), type=dict[str, object])
    ours = msgspec.json.decode(okx_live.LIVE.subscribe([], 1), type=dict[str, object])
    assert ours.keys() - sent.keys() == {"id"}
    assert sent["op"] == ours["op"]


@pytest.mark.parametrize("file", [*OTHERS, *UNPROVEN])
def test_what_belongs_to_no_channel_of_ours_is_not_taken_for_something_else(file: str) -> None:
    found = decoded_live(body(file))
    assert [frame for frame, _ in found.bad] == [body(file)]
    assert (found.trades, found.bars, found.books) == (None, None, [])
