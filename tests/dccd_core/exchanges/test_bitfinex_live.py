"""What the conformance tests do not say of Bitfinex's WebSocket: channels, numbers, checksums."""

import json
from collections.abc import Sequence
from zlib import crc32

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Limit
from dccd_core.adapter.live import Ack, BookChange, DecodedBatch, Topic, Word
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges import bitfinex, bitfinex_live
from dccd_core.stream.book import Book
from dccd_core.tables import DataType

LIVE = bitfinex_live.LIVE
TRADES = Topic(DataType.TRADES, "tBTCUSD")
BARS = Topic(DataType.OHLC, "tDOGE:USD", bar=DAY)
BOOK = Topic(DataType.ORDERBOOK, "tBTCUSD", depth=100)
NAMES = {1: "trades:tBTCUSD", 2: "candles:trade:1D:tDOGE:USD", 3: "book:tBTCUSD"}
OPEN = bitfinex_live.Connection(NAMES, 7)
AT = 1_700_000_000_000


def decoded(*messages: object, state: object = OPEN) -> DecodedBatch:
    """Hear messages (JSON, or bytes as they are), the first of which came at 100."""
    frames = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
    return LIVE.decode(frames, [Us(100 + n) for n in range(len(frames))], state)


def numbered(*messages: Sequence[object]) -> list[list[object]]:
    """Give messages the numbers that come next, and a millisecond each."""
    return [[*message, 8 + n, AT + n] for n, message in enumerate(messages)]


def test_a_connection_begins_with_the_flags() -> None:
    assert [json.loads(text) for text in LIVE.greeting] == [
        {"event": "conf", "flags": 32_768 + 65_536 + 131_072}
    ]
    assert decoded({"event": "conf", "status": "OK", "flags": 229_376}) == DecodedBatch(state=OPEN)


@pytest.mark.parametrize(
    ("topic", "name", "words"),
    [
        (TRADES, "trades:tBTCUSD", {"channel": "trades", "symbol": "tBTCUSD"}),
        (BARS, "candles:trade:1D:tDOGE:USD", {"channel": "candles", "key": "trade:1D:tDOGE:USD"}),
        (
            BOOK,
            "book:tBTCUSD",
            {"channel": "book", "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "100"},
        ),
    ],
)
def test_a_topic_is_called_what_the_answer_calls_it(topic: Topic, name: str, words: dict[str, str]) -> None:
    assert LIVE.name(topic) == name
    assert json.loads(LIVE.subscribe([topic], 1)) == {"event": "subscribe", **words}
    answer = decoded({"event": "subscribed", "chanId": 4, "pair": "x", **words}, state=None)
    assert answer.acks == [Ack(name)]
    assert answer.state == bitfinex_live.Connection({4: name})


def test_who_leaves_names_the_channel() -> None:
    assert json.loads(LIVE.unsubscribe([BARS], 1, OPEN)) == {"event": "unsubscribe", "chanId": 2}
    nowhere = Topic(DataType.TRADES, "tETHUSD")
    assert json.loads(LIVE.unsubscribe([nowhere], 1, OPEN)) == {"event": "unsubscribe", "chanId": 0}


def test_what_still_comes_of_a_channel_that_was_left_is_passed_over_but_counted() -> None:
    left = decoded({"event": "unsubscribed", "status": "OK", "chanId": 3})
    assert left == DecodedBatch(state=bitfinex_live.Connection({**NAMES, 3: ""}, 7))
    again = {"event": "subscribed", "channel": "book", "symbol": "tBTCUSD", "chanId": 4}
    old, new, late = numbered([3, [9, 1, 5]], [4, [[8, 1, 5]]], [3, "cs", 5])
    back = decoded(old, again, new, late, state=left.state)
    assert [change.bids for change in back.books] == [[("8", "5")]]
    assert (back.restart, back.bad) == (None, [])
    assert json.loads(LIVE.unsubscribe([BOOK], 1, back.state))["chanId"] == 4


@pytest.mark.parametrize(
    ("error", "ack"),
    [
        (
            {"msg": "symbol: invalid", "code": 10300, "channel": "trades", "symbol": "tX"},
            Ack("trades:tX", error="10300 symbol: invalid"),
        ),
        (
            {"msg": "key: invalid", "code": 10300, "channel": "candles", "key": "trade:1m:tX"},
            Ack("candles:trade:1m:tX", error="10300 key: invalid"),
        ),
        (
            {"msg": "channel: limit", "code": 10305, "channel": "book", "symbol": "tX", "len": "100"},
            Ack("book:tX", error="10305 channel: limit", full=True),
        ),
        ({"msg": "event: invalid", "code": 20000}, Ack(error="20000 event: invalid")),
        ({"msg": "what?"}, Ack(error="None what?")),
    ],
)
def test_a_refusal_says_of_what_and_why(error: dict[str, object], ack: Ack) -> None:
    assert decoded({"event": "error", **error}) == DecodedBatch(acks=[ack], state=OPEN)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event": "info", "code": 20051, "msg": "Stopping."}, "20051 Stopping."),
        ({"event": "info", "code": 20060, "msg": "Maintenance."}, "20060 Maintenance."),
        ({"event": "info", "code": 20061, "msg": "It is over."}, "20061 It is over."),
        ({"event": "info", "version": 2, "platform": {"status": 0}}, "Bitfinex is being maintained"),
    ],
)
def test_what_ends_a_connection(event: dict[str, object], reason: str) -> None:
    assert decoded(event) == DecodedBatch(restart=reason, state=OPEN)


@pytest.mark.parametrize("code", [10400, 10401])
@pytest.mark.parametrize("channel", [{}, {"chanId": 0}])
def test_what_cannot_be_left_ends_no_connection(code: int, channel: dict[str, int]) -> None:
    """It is not there, which is what was wanted; the other channels have nothing to do with it."""
    assert decoded({"event": "error", "code": code, "msg": "no", **channel}) == DecodedBatch(state=OPEN)


def test_of_a_channel_that_the_venue_does_not_know_nothing_is_taken_any_more() -> None:
    left = decoded({"event": "error", "code": 10401, "msg": "not subscribed", "chanId": 3})
    assert left == DecodedBatch(state=bitfinex_live.Connection({**NAMES, 3: ""}, 7))


def test_what_is_subscribed_to_twice_is_agreed_to_where_its_channel_is_known() -> None:
    double = {"event": "error", "code": 10301, "msg": "dup", "channel": "book", "symbol": "tBTCUSD"}
    assert decoded(double) == DecodedBatch(acks=[Ack("book:tBTCUSD")], state=OPEN)


def test_one_whose_channel_nobody_knows_is_another_connections() -> None:
    """The answer that named it was damaged: the others go on here."""
    double = {"event": "error", "code": 10301, "msg": "dup", "channel": "trades", "symbol": "tX"}
    assert decoded(double) == DecodedBatch(acks=[Ack("trades:tX", error="10301 dup", full=True)], state=OPEN)


@pytest.mark.parametrize("platform", [{"platform": {"status": 1, "new": "x"}}, {"platform": {}}, {}])
def test_l10_the_greeting_of_a_venue_that_works_is_nothing(platform: dict[str, object]) -> None:
    """It came without a platform, too."""
    info = {"event": "info", "version": 2, "serverId": "x", **platform}
    assert decoded(info, state=None) == DecodedBatch(state=bitfinex_live.Connection())


@pytest.mark.parametrize(
    "event",
    [
        {"event": "unheard"},
        {"event": "info", "code": 20099},
        {"event": "conf", "status": "FAILED"},
        {"event": "subscribed", "channel": "trades", "symbol": "tX"},
        {"event": "subscribed", "channel": "trades", "symbol": "tX", "chanId": "1"},
        {"event": "error", "msg": 5},
        {"no": "event"},
        [],
        [3],
        [3, "hb"],
        b"pong",
        b"",
        b"{},{}",
    ],
    ids=str,
)
def test_what_is_not_understood_is_bad_and_its_neighbours_are_kept(event: object) -> None:
    before, after = numbered([1, "te", [5, AT, 1, 10]], [1, "hb"])
    subscribed = {"event": "subscribed", "channel": "trades", "symbol": "tETHUSD", "chanId": 9}
    told = decoded(before, event, subscribed, after)
    [(text, reason)] = told.bad
    assert text == (event if isinstance(event, bytes) else json.dumps(event).encode())
    assert reason
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5"]
    assert (told.acks, told.restart) == ([Ack("trades:tETHUSD")], None)
    assert told.state == bitfinex_live.Connection({**NAMES, 9: "trades:tETHUSD"}, 9)
    assert told.at == Us((AT + 1) * MILLISECOND)


@pytest.mark.parametrize(
    "message",
    [
        [3, "hb", 9],
        [3, "cs", 12, 9],
        [3, "hb", 9, AT * 1_000],
        [3, "hb", "9", AT],
        [1, "new", [1, AT, 1, 1], 9, AT],
        [2, "te", [1, AT, 1, 1], 9, AT],
        [3, "new", 1, 9, AT],
        [1, "te", [1, AT, 1], 9, AT],
        [1, "te", [1, AT, None, 1], 9, AT],
        [1, [1, AT, "1", 1], 9, AT],
        [1, {}, 9, AT],
        [1, None, 9, AT],
        [2, [AT, 1, 1, 1, 1], 9, AT],
        [2, "cs", 5, 9, AT],
        [3, [1, 1], 9, AT],
        [3, [1, 1, "1"], 9, AT],
        [3, [None, 1, 1], 9, AT],
        [3, [[1], 1, 1], 9, AT],
        [3, "cs", 1.5, 9, AT],
        [3, "te", [1, AT, 1, 1], 9, AT],
        [3, "cs", 4, AT],
        [3, "cs", 12, AT],
    ],
    ids=str,
)
def test_l8_what_is_not_understood_is_counted_and_names_its_topic(message: Sequence[object]) -> None:
    """Its number can be read, or is the only one that is missing: nothing of other channels is."""
    before, _, after = numbered([1, "te", [5, AT, 1, 10]], [], [1, "hb"])
    told = decoded(before, message, after)
    [(text, _)] = told.bad
    assert text == json.dumps(message).encode()
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5"]
    assert told.restart is None
    assert told.at == Us((AT + 2) * MILLISECOND)
    assert told.state == bitfinex_live.Connection(NAMES, 10)
    assert LIVE.topics_in(text, OPEN) == (NAMES[int(str(message[0]))],)


@pytest.mark.parametrize("message", [[3, "hb"], [3, "new", 1, 9], [3, {}, 9, AT]], ids=str)
def test_what_is_lost_besides_a_message_that_is_not_understood_ends_the_connection(message: object) -> None:
    [after] = [[1, "hb", 11, AT]]
    told = decoded([1, "hb", 8, AT], message, after)
    assert (told.restart or "").endswith(": something is lost")


@pytest.mark.parametrize("text", [b"", b"pong", b"}", b"[]", b"[x,9]", b"{,8,%d]" % AT])
def test_what_nobody_can_read_at_all_takes_no_number(text: bytes) -> None:
    """It may have been of any channel."""
    assert LIVE.topics_in(text, OPEN) == ()
    missed = decoded([1, "hb", 8, AT], text, [1, "hb", 10, AT])
    assert missed.restart == "message 10 came after 8: something is lost"
    assert decoded([1, "hb", 8, AT], text, [1, "hb", 9, AT]).restart is None


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        (b'[3,[9,"x",1],9,17', (NAMES[3],)),
        (b" [ 1 , ", (NAMES[1],)),
        (b'}2,"te",[1', (NAMES[2],)),
        (b'[2,"te",[1,{', (NAMES[2],)),
        (b"[99,[9,1", ("channel 99",)),
        (b"}99,[9,1", ()),
        (b"[3", ()),
        (b"[[3,1]]", ()),
        (b'[-3,"hb",9,1]', ()),
        (b'{"event":"unheard"}', ("unheard",)),
        (b'{"event":"unhea', ()),
        (b'{"event":"subscribed","channel":"book","chanId":"1","symbol":"tX"', ("book:tX",)),
        (b'{"event":"error","msg":5,"channel":"candles","key":"trade:1m:tX"}', ("candles:trade:1m:tX",)),
    ],
)
def test_the_topic_is_read_out_of_what_is_left_of_a_message(text: bytes, topics: tuple[str, ...]) -> None:
    """What names neither a topic of ours nor any, though it is whole, is of nobody that we know."""
    assert LIVE.topics_in(text, OPEN) == topics


def test_l7_messages_before_their_answer_are_counted_and_passed_over() -> None:
    """Heartbeats of a channel were recorded seven seconds before the answer that says what it is of."""
    early = [[232954, "hb"], [232954, [[9, 1, 2]]], [232954, "te", [5, AT, 1, 10]], [232954, "cs", 5]]
    answer = {"event": "subscribed", "channel": "trades", "symbol": "tETHUSD", "chanId": 232954}
    *before, after = numbered(*early, [232954, "te", [6, AT, 1, 10]])
    told = decoded(*before, answer, after)
    assert (told.bad, told.restart, told.acks) == ([], None, [Ack("trades:tETHUSD")])
    assert told.trades is not None
    assert told.trades.select("trade_id", "topic").rows() == [("6", "trades:tETHUSD")]
    assert told.state == bitfinex_live.Connection({**NAMES, 232954: "trades:tETHUSD"}, 12)
    assert told.at == Us((AT + 4) * MILLISECOND)


def test_a_trade_is_taken_when_it_comes_first() -> None:
    row, same = [5, AT, -0.25, 10.5], [5, AT, -0.25, 10.5]
    told = decoded(*numbered([1, "te", row], [1, "tu", same], [1, "te", [9, AT, 1, 11, "new"]]))
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5", "9"]
    assert told.trades.drop("ts").row(0) == (10.5, 0.25, "sell", "5", 100, "trades:tBTCUSD")
    assert told.trades.drop("ts").row(1) == (11.0, 1.0, "buy", "9", 102, "trades:tBTCUSD")
    assert told.trades["ts"].to_physical().to_list() == [AT * MILLISECOND] * 2


def test_the_trades_that_a_channel_begins_with_are_turned_round() -> None:
    """They come newest first; trades of one moment would stand in another order than in history."""
    told = decoded(*numbered([1, [[7, AT, 1, 1], [6, AT, 1, 1], [5, AT - 9, -1, 1]]], [1, []]))
    assert told.trades is not None
    assert told.trades["trade_id"].to_list() == ["5", "6", "7"]
    assert told.trades["received"].to_list() == [100] * 3


def test_live_trades_are_those_of_history() -> None:
    rows = [[5, AT, -0.25, 10.5], [6, AT, 1e-8, 73218], [9, AT + 1, 3, 0.1]]
    told = decoded(*numbered(*([1, "te", row] for row in rows)))
    assert told.trades is not None
    history = bitfinex.decode_trades(json.dumps(rows).encode(), Us(AT))
    assert told.trades.drop("topic", "received").equals(history.drop("received"))


def test_bars_begin_with_some_of_before_and_are_told_again_as_they_grow() -> None:
    candle = [AT, 1, 2, 4, 0.5, 9]
    first = [candle, [AT - 60_000, 1, 1, 1, 1, 1]]
    told = decoded(*numbered([2, first], [2, [AT, 1, 3, 4, 0.5, 10]], [2, []]))
    assert told.bars is not None
    assert told.bars["ts"].to_physical().to_list() == [t * MILLISECOND for t in (AT - 60_000, AT, AT)]
    assert told.bars.select("open", "high", "low", "close", "volume").rows()[1:] == [
        *((1.0, 4.0, 0.5, 2.0, 9.0), (1.0, 4.0, 0.5, 3.0, 10.0))
    ]
    assert told.bars["closed"].null_count() == told.bars["quote_volume"].null_count() == 3
    assert told.bars["received"].to_list() == [100, 100, 101]
    assert told.bars["topic"].unique().to_list() == ["candles:trade:1D:tDOGE:USD"]


@pytest.mark.parametrize(
    ("row", "bids", "asks"),
    [
        (b"[8744.90,2,0.4500]", [("8744.90", "0.4500")], []),
        (b"[8744.9,2,-1e-7]", [], [("8744.9", "1e-7")]),
        (b"[ 1E-8 , 2 , 123456789.123456789 ]", [("1E-8", "123456789.123456789")], []),
        (b"[8744.9,0,1]", [("8744.9", "0")], []),
        (b"[8744.9,0,-1]", [], [("8744.9", "0")]),
        (b'[8744.9,2,1,"new"]', [("8744.9", "1")], []),
    ],
)
def test_a_level_is_kept_as_it_is_written(
    row: bytes, bids: list[tuple[str, str]], asks: list[tuple[str, str]]
) -> None:
    at = Us(AT * MILLISECOND)
    assert decoded(b"[3,%s,8,%d]" % (row, AT)).books == [BookChange("book:tBTCUSD", at, bids, asks, last=8)]
    assert decoded(b"[3,[%s],8,%d]" % (row, AT)).books == [
        BookChange("book:tBTCUSD", at, bids, asks, whole=True, last=8)
    ]


def test_a_list_of_levels_is_the_whole_book_whenever_it_comes() -> None:
    told = decoded(*numbered([3, [[9, 1, 2], [10, 1, -4]]], [3, [9, 0, 1]], [3, [[8, 1, 1]]], [3, []]))
    assert [change.whole for change in told.books] == [True, False, True, True]
    assert [len(change.bids) + len(change.asks) for change in told.books] == [2, 1, 1, 0]


def test_a_checksum_is_of_the_book_before_it() -> None:
    told = decoded(*numbered([3, "cs", -1776482690]))
    at = Us(AT * MILLISECOND)
    assert told.books == [BookChange("book:tBTCUSD", at, last=8, checksum=-1776482690)]


def test_the_checksum_takes_bids_and_asks_in_turn() -> None:
    def signed(text: str) -> int:
        return int.from_bytes(crc32(text.encode()).to_bytes(4, "big"), "big", signed=True)

    bids, asks = [("10.0", "1"), ("9", "1e-7")], [("11", "2"), ("12", "0.50"), ("13", "3")]
    assert bitfinex_live.checksum(bids, asks, None) == signed("10.0:1:11:-2:9:1e-7:12:-0.50:13:-3")
    assert bitfinex_live.checksum(bids, [], None) == signed("10.0:1:9:1e-7")
    assert bitfinex_live.checksum([], [], None) == 0
    sums = [bitfinex_live.checksum([(str(n), "1")], [], None) for n in range(20)]
    assert min(sums) < 0 < max(sums)


def test_a_book_is_proven_by_its_checksum() -> None:
    channel = LIVE.channels[DataType.ORDERBOOK]
    levels = [[price, 1, 1] for price in range(50, 20, -1)] + [[price, 1, -1] for price in range(51, 81)]
    text = ":".join(f"{50 - n}:1:{51 + n}:-1" for n in range(25))
    proof = int.from_bytes(crc32(text.encode()).to_bytes(4, "big"), "big", signed=True)
    deep = [3, [25, 1, 5]]
    told = decoded(*numbered([3, levels], deep, [3, "cs", proof], [3, [49, 1, 5]], [3, "cs", proof]))
    book = Book(channel, 100)
    assert [book.apply(change) for change in told.books] == [True, True, True, True, False]
    assert "checksum" in (book.lost or "")


def test_a_book_may_cross_until_all_of_a_change_has_come() -> None:
    """One change of the venue's book comes as several messages."""
    book = Book(LIVE.channels[DataType.ORDERBOOK], 100)
    told = decoded(*numbered([3, [[9, 1, 1], [10, 1, -1]]], [3, [10, 1, 1]], [3, [10, 0, -1]]))
    assert all(book.apply(change) for change in told.books)


def test_the_newest_time_is_told_also_by_heartbeats() -> None:
    assert decoded([1, "hb", 8, AT + 5], [3, "hb", 9, AT + 3]) == DecodedBatch(
        at=Us((AT + 5) * MILLISECOND),
        state=bitfinex_live.Connection(NAMES, 9),
        words=[word(1, 5), word(3, 3)],
    )


def word(channel: int, millis: int) -> Word:
    return Word(NAMES[channel], Us((AT + millis) * MILLISECOND))


def test_every_message_of_a_channel_is_a_word_of_its_topic() -> None:
    """The newest of a batch says what the others did."""
    row = [5, AT, 1, 10]
    bar = [AT, 1, 1, 1, 1, 1]
    told = decoded(*numbered([1, "te", row], [2, bar], [1, "tu", row], [3, "cs", 5], [2, "hb"]))
    assert told.words == [word(1, 2), word(2, 4), word(3, 3)]
    assert decoded([3, "hb", 8, AT + 9], [3, [9, 1, 1], 9, AT + 7]).words == [word(3, 9)]


def test_a_message_of_no_topic_that_is_not_understood_or_after_a_jump_is_none() -> None:
    left = bitfinex_live.Connection({**NAMES, 3: ""}, 7)
    assert decoded([3, [9, 1, 1], 8, AT], [99, "hb", 9, AT], state=left).words == []
    assert decoded([3, [9, "x", 1], 8, AT], {"event": "info", "version": 2}).words == []
    assert decoded([1, "hb", 8, AT], [3, "hb", 10, AT], [2, "hb", 11, AT]).words == [word(1, 0)]


def test_a_channel_that_is_quiet_says_so_every_15_seconds() -> None:
    assert {channel.beats for channel in LIVE.channels.values()} == {15 * SECOND}
    assert not any(channel.consecutive or channel.fills_quiet for channel in LIVE.channels.values())
    assert LIVE.silence > 30 * SECOND


@pytest.mark.parametrize("number", [9, 7, 6, 1])
def test_a_jump_ends_the_connection_and_what_comes_after_it_does_not_count(number: int) -> None:
    """Its times would say that everything up to them has come."""
    told = decoded([1, "te", [5, AT, 1, 10], number, AT + 9], [3, [9, 1, 1], number + 1, AT + 10])
    assert told.restart == f"message {number} came after 7: something is lost"
    assert (told.trades, told.books, told.at) == (None, [], None)
    later = decoded([3, [9, 1, 1], 8, AT + 11], {"event": "unsubscribed", "chanId": 3}, state=told.state)
    assert later == DecodedBatch(state=told.state)


def test_any_number_may_be_the_first() -> None:
    told = decoded([3, "hb", 127, AT], state=bitfinex_live.Connection(NAMES))
    assert (told.restart, told.state) == (None, bitfinex_live.Connection(NAMES, 127))


@given(cuts=st.lists(st.integers(0, 12), max_size=5))
def test_it_does_not_matter_how_messages_are_batched(cuts: list[int]) -> None:
    subscribed = {"event": "subscribed", "channel": "trades", "symbol": "tETHUSD", "chanId": 9}
    messages = [
        *numbered([1, [[6, AT, 1, 1], [5, AT, 1, 1]]], [1, "te", [7, AT, 1, 1]], [3, [[9, 1, 1]]]),
        subscribed,
        {"event": "unheard"},
        *numbered(*[[9, "hb"]] * 3, [9, "te", [8, AT, -1, 1]], [2, [AT, 1, 1, 1, 1, 1]], [3, "cs", 5])[3:],
        [3, [9, 0, 1], 99, AT],
        [3, [9, 0, 1], 100, AT],
    ]
    whole, state, parts = decoded(*messages), OPEN, list[DecodedBatch]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(messages)], strict=True):
        part = decoded(*messages[start:end], state=state)
        assert isinstance(part.state, bitfinex_live.Connection)
        state = part.state
        parts.append(part)
    assert state == whole.state
    assert [change for part in parts for change in part.books] == whole.books
    trades = [part.trades for part in parts if part.trades is not None]
    assert pl.concat(trades)["trade_id"].to_list() == ["5", "6", "7", "8"]
    assert [bad for part in parts for bad, _ in part.bad] == [bad for bad, _ in whole.bad]
    assert [part.restart for part in parts if part.restart] == [whole.restart]
    assert whole.restart == "message 99 came after 13: something is lost"
    assert max(part.at for part in parts if part.at) == whole.at


def test_what_the_stream_engine_relies_on() -> None:
    bars, trades, book = (LIVE.channels[data_type] for data_type in DataType)
    assert LIVE.url(BOOK) == "wss://api-pub.bitfinex.com/ws/2"
    assert (LIVE.most, LIVE.connects, LIVE.ping) == (25, Limit(20, MINUTE), None)
    assert LIVE.silence > 2 * 15 * SECOND
    assert LIVE.batch == 1
    assert not bars.from_trades
    assert not trades.contracts
    assert (book.depths, book.checked, book.cuts, book.start) == ((100, 250), 25, False, None)
    assert [book.depth(wanted) for wanted in (1, 100, 101, 251)] == [100, 100, 250, None]
