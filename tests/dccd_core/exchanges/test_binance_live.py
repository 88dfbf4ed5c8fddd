"""What the conformance tests do not say of Binance's WebSocket: addresses, answers, and where books begin."""

import msgspec
import pytest

from dccd_core.adapter.live import Ack, BookChange, DecodedBatch, Topic
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges import binance
from dccd_core.exchanges.binance_live import LIVE
from dccd_core.tables import DataType

TRADES = Topic(DataType.TRADES, "BTCUSDT")
BARS = Topic(DataType.OHLC, "BTCUSDT", bar=MINUTE)
BOOK = Topic(DataType.ORDERBOOK, "BTCUSDT")
TRADE = {"a": 7, "p": "1.5", "q": "2", "T": 60_000, "m": True}
BAR = {"t": 60_000, "o": "1", "h": "3", "l": "0.5", "c": "2", "v": "4", "q": "5", "n": 6}
DEPTH = {"e": "depthUpdate", "U": 5, "u": 9, "b": [["1.50", "0"]], "a": []}


def pushed(stream: str, **data: object) -> bytes:
    return msgspec.json.encode({"stream": stream, "data": {"E": 61_000, **data}})


def decoded(*messages: bytes) -> DecodedBatch:
    return LIVE.decode(messages, [Us(n) for n in range(len(messages))], None)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (TRADES, "btcusdt@aggTrade"),
        (BARS, "btcusdt@kline_1m"),
        (Topic(DataType.OHLC, "BTCUSDT", bar=HOUR), "btcusdt@kline_1h"),
        (BOOK, "btcusdt@depth@100ms"),
    ],
)
def test_a_stream_is_named_in_lower_case(topic: Topic, name: str) -> None:
    assert LIVE.name(topic) == name
    assert msgspec.json.decode(LIVE.subscribe([topic], 3)) == {
        "method": "SUBSCRIBE",
        "params": [name],
        "id": 3,
    }


def test_books_of_futures_have_an_address_of_their_own() -> None:
    assert {LIVE.url(topic) for topic in (TRADES, BARS, BOOK)} == {"wss://stream.binance.com:9443/stream"}
    book, trades, bars = (
        LIVE.url(Topic(data_type, "BTCUSDT", "linear"))
        for data_type in (DataType.ORDERBOOK, DataType.TRADES, DataType.OHLC)
    )
    assert book == "wss://fstream.binance.com/public/stream"
    assert trades == bars == "wss://fstream.binance.com/market/stream"


def test_only_spot_has_bars_of_a_second() -> None:
    spot, linear = (LIVE.channel(kind, DataType.OHLC) for kind in ("spot", "linear"))
    assert spot is not None
    assert linear is not None
    assert spot.spans == (SECOND, *linear.spans)


def test_live_trades_are_those_of_history() -> None:
    live = decoded(pushed("btcusdt@aggTrade", e="aggTrade", **TRADE)).trades
    assert live is not None
    assert live.drop("topic", "received").equals(
        binance.decode_trades(msgspec.json.encode([TRADE]), Us(1)).drop("received")
    )


def test_a_bar_is_told_with_the_venue_s_flag() -> None:
    messages = [pushed("btcusdt@kline_1m", e="kline", k={**BAR, "x": closed}) for closed in (False, True)]
    bars = decoded(*messages).bars
    assert bars is not None
    assert bars["closed"].to_list() == [False, True]
    history = binance.decode_klines(b'[[60000,"1","3","0.5","2","4",119999,"5",6]]', Us(1))
    assert bars[1:].drop("topic", "received", "closed").equals(history)


def test_a_change_of_a_book_has_the_engine_s_time_where_it_is_told() -> None:
    spot, linear = decoded(pushed("a", **DEPTH), pushed("b", **DEPTH, pu=3, T=60_500)).books
    assert spot == BookChange("a", Us(61_000 * MILLISECOND), [("1.50", "0")], [], first=5, last=9)
    assert linear == BookChange(
        "b", Us(60_500 * MILLISECOND), [("1.50", "0")], [], first=5, last=9, previous=3
    )


def test_a_book_begins_with_what_rest_says() -> None:
    start = LIVE.channels[DataType.ORDERBOOK].start
    assert start is not None
    request = start.request(BOOK)
    assert (request.path, request.params["limit"], request.weight) == ("/api/v3/depth", "1000", 50)
    book = start.decode(b'{"lastUpdateId":9,"bids":[["1.5","2"]],"asks":[["1.6","3"]]}', "t")
    assert book == BookChange("t", None, [("1.5", "2")], [("1.6", "3")], whole=True, last=9)
    assert start.request(Topic(DataType.ORDERBOOK, "BTCUSDT", "linear")).path == "/fapi/v1/depth"


@pytest.mark.parametrize(
    ("answer", "ack"),
    [
        (b'{"result":null,"id":3}', Ack(id=3)),
        (b'{"result":["btcusdt@aggTrade"],"id":4}', Ack(id=4)),
        (b'{"code":2,"msg":"Invalid request"}', Ack(error="2 Invalid request")),
        (b'{"error":{"code":3,"msg":"Invalid JSON"},"id":5}', Ack(id=5, error="3 Invalid JSON")),
        (b'{"error":{"code":"3"},"id":5}', Ack(id=5, error="3 None")),
    ],
)
def test_answers(answer: bytes, ack: Ack) -> None:
    assert decoded(answer) == DecodedBatch(acks=[ack])


@pytest.mark.parametrize("text", [b"{}", b'{"result":null}', b'{"stream":"a"}', b'{"stream":"a","id":1}'])
def test_what_agrees_to_nothing_is_no_agreement_to_everything(text: bytes) -> None:
    result = decoded(text)
    assert result.acks == []
    assert [frame for frame, _ in result.bad] == [text]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"error":{"code":4,"msg":"Too many subscriptions"},"id":5}', "4 Too many subscriptions"),
        (b'{"code":-1003,"msg":"Too many requests","id":5}', "-1003 Too many requests"),
        (b'{"error":{"code":2,"msg":"Invalid request: limit of streams"},"id":5}', None),
    ],
)
def test_a_connection_that_takes_no_more_says_so(answer: bytes, error: str | None) -> None:
    expected = error or "2 Invalid request: limit of streams"
    assert decoded(answer).acks == [Ack(id=5, error=expected, full=True)]


def test_l10_the_time_of_a_message_is_not_needed() -> None:
    frames = [
        pushed("btcusdt@aggTrade", e="aggTrade", **TRADE).replace(b'"E":61000,', b""),
        pushed("btcusdt@kline_1m", e="kline", k={**BAR, "x": True}).replace(b'"E":61000', b'"E":null'),
        pushed("btcusdt@depth@100ms", **DEPTH).replace(b'"E":61000,', b""),
        pushed("btcusdt@depth@100ms", **DEPTH, pu=3, T=60_500).replace(b'"E":61000,', b""),
        pushed("!serverShutdown", e="serverShutdown").replace(b'"E":61000', b'"E":"soon"'),
    ]
    found = decoded(*frames)
    assert found.bad == []
    assert found.trades is not None
    assert found.bars is not None
    assert [change.at for change in found.books] == [None, 60_500 * MILLISECOND]
    assert found.restart is not None
    assert found.at is None


def test_l8_news_of_no_market_cost_none() -> None:
    news = pushed("!maintenance", e="maintenance", when="soon")
    assert decoded(news) == DecodedBatch()
    good = pushed("btcusdt@aggTrade", e="aggTrade", **TRADE)
    found = decoded(good, news, good)
    assert found.bad == []
    assert found.trades is not None
    assert found.trades["received"].to_list() == [0, 2]


@pytest.mark.parametrize("stream", ["btcusdt@aggTrade", "btcusdt@trade", ""])
def test_an_event_that_nobody_knows_is_bad_in_a_market_s_stream(stream: str) -> None:
    frame, good = pushed(stream, e="news"), pushed("btcusdt@aggTrade", e="aggTrade", **TRADE)
    found = decoded(good, frame, good)
    assert [text for text, _ in found.bad] == [frame]
    assert found.trades is not None
    assert found.trades.height == 2


@pytest.mark.parametrize(
    "frame",
    [
        pushed("", e="aggTrade", **TRADE),
        pushed("", e="kline", k={**BAR, "x": True}),
        pushed("", **DEPTH),
    ],
)
def test_l8_rows_of_no_stream_are_not_dropped_in_silence(frame: bytes) -> None:
    assert [text for text, _ in decoded(frame).bad] == [frame]


@pytest.mark.parametrize("amount", ["0.-10000", None, "-1", "NaN", "", "1e999", 1.5])
def test_an_odd_level_spoils_its_own_book_alone(amount: object) -> None:
    odd = pushed("btcusdt@depth@100ms", **{**DEPTH, "a": [["1.6", "1"], ["1.7", amount]]})
    other = pushed("ethusdt@depth@100ms", **DEPTH)
    found = decoded(other, odd, other)
    assert [text for text, _ in found.bad] == [odd]
    assert [change.topic for change in found.books] == ["ethusdt@depth@100ms"] * 2
    assert LIVE.topics_in(odd, None) == ("btcusdt@depth@100ms",)


@pytest.mark.parametrize(
    ("frame", "topics"),
    [
        (b'}"stream":"btcusdt@aggTrade","data":', ("btcusdt@aggTrade",)),
        (b'{"data":{"e":[]},"stream" : "btcusdt@kline_1m"', ("btcusdt@kline_1m",)),
        (b'{"stream":"a@aggTrade"}{"stream":"b@depth@100ms"', ("a@aggTrade", "b@depth@100ms")),
        (b'{"stream":"\\u5e01usdt@aggTrade",', ("\u5e01usdt@aggTrade",)),
        (b'{"stream":"btcusdt@aggTr', ()),
        (b'{"stream":"btcusdt@trade",', ()),
        (b'{"stream":"btcusdt@trade"}', ("btcusdt@trade",)),
        (b'{"stream":"x"}', ()),
        (b'{"stream":"@aggTrade",', ()),
        (b'{"stream":"",', ()),
        (b'{"stream":null,"data":{"s":"BTCUSDT"}}', ()),
        (b'{"msg":"{\\"stream\\":\\"btcusdt@aggTrade\\"}"', ()),
        (b'{"stream":"\xff@aggTrade"', ()),
    ],
)
def test_a_message_that_is_not_understood_may_still_name_its_stream(
    frame: bytes, topics: tuple[str, ...]
) -> None:
    assert LIVE.topics_in(frame, None) == topics


def test_ids_of_trades_follow_one_another_on_either_server() -> None:
    for kind in ("spot", "linear"):
        channel = LIVE.channel(kind, DataType.TRADES)
        assert channel is not None
        assert channel.consecutive


def test_a_server_that_says_it_will_go_down_is_left() -> None:
    restart = decoded(pushed("!serverShutdown", e="serverShutdown")).restart
    assert restart is not None
    assert "shut this server down" in restart
    assert LIVE.lifetime == DAY
