"""Real payloads of Bitfinex, where the folder that holds them stands beside the project."""

import json

import msgspec
import pytest

from dccd_core.adapter.live import Ack, BookChange, DecodedBatch, Topic, Word
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, Us
from dccd_core.exchanges import bitfinex
from dccd_core.exchanges.bitfinex_live import LIVE, Connection
from dccd_core.tables import DataType
from tests.conformance.samples import SAMPLES, needs_samples, sample

pytestmark = needs_samples

AT = 1_700_000_000_000
MESSAGES = {
    *("book_delete", "book_update", "book_snapshot", "trades_snapshot", "heartbeat_seq"),
    *("event_conf", "event_info", "subscribed_book", "subscribed_trades"),
    *("sent_conf", "sent_subscribe_book", "sent_subscribe_trades"),
}
"""Recorded in 2021, with numbers but without times."""
TALKS = {"ws_book", "ws_candles", "ws_trades"}
"""Made up by others, with neither."""
UNDECLARED = {
    *("rec2021_ws_sent_subscribe_ticker", "rec2021_ws_subscribed_ticker", "rec2021_ws_ticker_update"),
    *("ws_book_raw", "ws_ticker"),
}


def body(name: str) -> bytes:
    return sample(f"bitfinex/{name}")


def test_bars_are_read_value_by_value() -> None:
    [row] = bitfinex.decode_candles(body("rest_candles_hist.json"), Us(1)).rows(named=True)
    assert row["ts"].isoformat() == "2023-03-10T16:22:00+00:00"
    assert list(row.values())[1:] == [20097.0, 20125.0, 20094.0, 20114.0, 1.43504645, None, None]


def test_trades_are_read_value_by_value() -> None:
    [row] = bitfinex.decode_trades(body("rest_trades_hist.json"), Us(1)).rows(named=True)
    assert row["ts"].isoformat() == "2019-09-03T15:56:54.876000+00:00"
    assert list(row.values())[1:] == [10682.0, 1.918524, "buy", "388063448", None]


def test_a_book_is_read_value_by_value() -> None:
    [row] = bitfinex.decode_book(body("rest_book_P2.json"), Us(7)).rows()
    assert row[1:] == ("bid", 0, 8744.9, 0.45603413, None)


def test_rows_as_the_stream_sends_them_are_the_same_rows() -> None:
    """Recorded in 2021: both sides of a book and trades of both sides, in shapes REST shares."""
    book = msgspec.json.decode(body("rec2021_ws_book_snapshot.json"))[1]
    levels = bitfinex.decode_book(msgspec.json.encode(book), Us(1))
    bids, asks = (levels.filter(side=side)["price"] for side in ("bid", "ask"))
    assert bids.len() + asks.len() == len(book)
    assert bids.is_sorted(descending=True)
    assert asks.is_sorted()
    assert bids[0] < asks[0]
    told = msgspec.json.decode(body("rec2021_ws_trades_snapshot.json"))[1]
    trades = bitfinex.decode_trades(msgspec.json.encode(told), Us(1))
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
        bitfinex.decode_candles(body(name), Us(1))
    with pytest.raises(PayloadError):
        bitfinex.decode_trades(body(name), Us(1))


def test_every_message_is_read_or_belongs_to_nothing_that_is_declared() -> None:
    found = {path.stem for path in SAMPLES.glob("bitfinex/*ws_*.json")}
    assert found == {*(f"rec2021_ws_{name}" for name in MESSAGES), *TALKS, *UNDECLARED}


def recorded(name: str) -> bytes:
    return body(f"rec2021_ws_{name}.json").strip()


def more(message: bytes, *numbers: int) -> bytes:
    """Add what our flags ask for."""
    return b"%s%s]" % (message[:-1], b"".join(b",%d" % number for number in numbers))


def decoded(*frames: bytes, topics: dict[int, str] | None = None) -> DecodedBatch:
    told = LIVE.decode(frames, [Us(1)] * len(frames), Connection(topics or {}))
    assert (told.bad, told.restart) == ([], None)
    return told


def talk(name: str) -> DecodedBatch:
    """Hear the answer and the message of a subscription."""
    told = json.loads(body(f"{name}.json"))
    [frame] = told["frames"]
    return decoded(json.dumps(told["ack"]).encode(), more(json.dumps(frame).encode(), 1, AT))


def test_what_was_sent_then_is_what_we_send() -> None:
    book, trades = Topic(DataType.ORDERBOOK, "tBFTUSD", depth=100), Topic(DataType.TRADES, "tBFTUSD")
    for name, topic in (("book", book), ("trades", trades)):
        assert json.loads(LIVE.subscribe([topic], 1)) == json.loads(recorded(f"sent_subscribe_{name}"))
    asked = json.loads(recorded("sent_conf"))
    ours = json.loads(LIVE.greeting[0])
    assert asked.keys() == ours.keys()
    assert asked["flags"] & ours["flags"] == asked["flags"]


def test_the_greeting_and_the_answers() -> None:
    assert decoded(recorded("event_info"), recorded("event_conf")) == DecodedBatch(state=Connection())
    told = decoded(recorded("subscribed_book"), recorded("subscribed_trades"))
    assert told.acks == [Ack("book:tTESTBTC:TESTUSD"), Ack("trades:tBFTUSD")]
    assert told.state == Connection({232957: "book:tTESTBTC:TESTUSD", 232959: "trades:tBFTUSD"})


def test_a_heartbeat_tells_number_and_time() -> None:
    told = decoded(more(recorded("heartbeat_seq"), AT), topics={204928: "trades:tX"})
    at = Us(AT * MILLISECOND)
    state = Connection({204928: "trades:tX"}, 127)
    assert told == DecodedBatch(at=at, state=state, words=[Word("trades:tX", at)])


def test_the_recorded_trades_are_read_value_by_value() -> None:
    message = recorded("trades_snapshot")
    trades = decoded(more(message, AT), topics={232959: "trades:tBFTUSD"}).trades
    assert trades is not None
    rows = json.loads(message)[1][::-1]
    assert trades["trade_id"].to_list() == [str(row[0]) for row in rows]
    assert (trades["ts"].to_physical() // MILLISECOND).to_list() == [row[1] for row in rows]
    assert trades["amount"].to_list() == [abs(row[2]) for row in rows]
    assert trades["side"].to_list() == ["sell" if row[2] < 0 else "buy" for row in rows]
    assert trades["price"].to_list() == [row[3] for row in rows]
    assert trades["topic"].unique().to_list() == ["trades:tBFTUSD"]
    assert trades["trade_id"].cast(int).is_sorted()


def test_the_recorded_book_is_kept_as_it_was_written() -> None:
    message = recorded("book_snapshot")
    [book] = decoded(more(message, AT), topics={232957: "book:tX"}).books
    rows = json.loads(message, parse_float=str, parse_int=str)[1]
    bids = [(price, amount) for price, _, amount in rows if not amount.startswith("-")]
    asks = [(price, amount[1:]) for price, _, amount in rows if amount.startswith("-")]
    assert len(bids) > 20
    assert len(asks) > 20
    assert (book.bids, book.asks, book.whole, book.at) == (bids, asks, True, AT * MILLISECOND)


@pytest.mark.parametrize("name", ["book_delete", "book_update"])
def test_a_recorded_change_takes_a_level_away(name: str) -> None:
    told = decoded(more(recorded(name), AT), topics={225206: "book:tX"})
    at = Us(AT * MILLISECOND)
    assert told.books == [BookChange("book:tX", at, [("215350", "0")], [], last=18)]


def test_a_book_of_others() -> None:
    told = talk("ws_book")
    at = Us(AT * MILLISECOND)
    assert told.acks == [Ack("book:tETHUST")]
    assert told.books == [BookChange("book:tETHUST", at, [("7254.7", "3.3")], [], whole=True, last=1)]


def test_bars_of_others() -> None:
    told = talk("ws_candles")
    assert told.acks == [Ack(LIVE.name(Topic(DataType.OHLC, "tETHUST", bar=HOUR)))]
    assert told.bars is not None
    [row] = told.bars.rows(named=True)
    assert row.pop("ts").isoformat() == "2019-11-25T16:11:00+00:00"
    assert list(row.values()) == [
        *(7379.785503, 7388.3, 7379.785503, 7383.8, 1.68829482, None, None),
        *("candles:trade:1h:tETHUST", 1, None),
    ]


def test_trades_of_others() -> None:
    told = talk("ws_trades")
    assert told.acks == [Ack("trades:tETHUST")]
    assert told.trades is not None
    [row] = told.trades.rows(named=True)
    assert row.pop("ts").isoformat() == "2019-11-25T15:07:55.039000+00:00"
    assert list(row.values()) == [7244.9, 0.005, "buy", "401597393", 1, "trades:tETHUST"]


def test_tickers_which_nobody_asked_for_are_told_apart() -> None:
    """Before the answer that says what they are they are passed over, like all that comes early."""
    early = [recorded("subscribed_trades"), more(recorded("ticker_update"), AT)]
    told = LIVE.decode(early, [Us(1)] * 2, None)
    assert (told.bad, told.trades, told.bars, told.books) == ([], None, None, [])
    assert decoded(recorded("subscribed_ticker")).acks == [Ack("ticker:tBFTUSD")]
    channel = json.loads(recorded("ticker_update"))[0]
    state = Connection({channel: "ticker:tBFTUSD"})
    told = LIVE.decode(early[1:], [Us(1)], state)
    assert [frame for frame, _ in told.bad] == early[1:]
    assert LIVE.topics_in(early[1], state) == ("ticker:tBFTUSD",)
