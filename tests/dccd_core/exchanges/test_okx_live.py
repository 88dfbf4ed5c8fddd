"""What the conformance tests do not say of OKX's WebSocket: topics, and what messages mean in detail."""

from collections.abc import Sequence

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Limit
from dccd_core.adapter.live import Ack, BookChange, DecodedBatch, Topic
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges import okx, okx_live
from dccd_core.stream.session import Session
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, Ear
from tests.dccd_core.exchanges.test_okx import candle, enveloped, trade

EAR = Ear(okx_live.LIVE)
decoded, understood, followed = EAR.decoded, EAR.understood, EAR.followed
TRADES = Topic(DataType.TRADES, "BTC-USDT")
BARS = Topic(DataType.OHLC, "BTC-USDT", bar=MINUTE)
BOOK = Topic(DataType.ORDERBOOK, "BTC-USDT", depth=400)


def pushed(channel: str, *data: object, market: str = "BTC-USDT", **more: object) -> bytes:
    return msgspec.json.encode({"arg": {"channel": channel, "instId": market}, **more, "data": data})


def event(kind: str, **told: object) -> bytes:
    return msgspec.json.encode({"event": kind, **told, "connId": "a4d3ae55"})


def book(
    last: int, previous: int, *, bids: Sequence[tuple[str, str]] = (), time: str = "5", **more: object
) -> bytes:
    levels = [[price, amount, "0", "1"] for price, amount in bids]
    told = {"asks": [], "bids": levels, "ts": time, "checksum": 0, "prevSeqId": previous, "seqId": last}
    action = "snapshot" if previous == -1 else "update"
    return pushed("books", {**told, **more}, action=action)


@pytest.mark.parametrize(
    ("topic", "name", "path"),
    [
        (TRADES, "trades-all:BTC-USDT", "business"),
        (Topic(DataType.TRADES, "BTC-USD-SWAP", "inverse"), "trades-all:BTC-USD-SWAP", "business"),
        (BARS, "candle1m:BTC-USDT", "business"),
        (Topic(DataType.OHLC, "A-B", bar=Us(2 * HOUR)), "candle2H:A-B", "business"),
        (Topic(DataType.OHLC, "A-B", bar=Us(12 * HOUR)), "candle12Hutc:A-B", "business"),
        (Topic(DataType.OHLC, "A-B", bar=DAY), "candle1Dutc:A-B", "business"),
        (BOOK, "books:BTC-USDT", "public"),
    ],
)
def test_a_topic_has_a_name_and_an_address(topic: Topic, name: str, path: str) -> None:
    assert okx_live.LIVE.name(topic) == name
    assert okx_live.LIVE.url(topic) == f"wss://ws.okx.com:8443/ws/v5/{path}"


def test_a_message_asks_for_many_topics() -> None:
    assert okx_live.LIVE.subscribe([TRADES, BARS], 12) == (
        b'{"id":"12","op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"},'
        b'{"channel":"candle1m","instId":"BTC-USDT"}]}'
    )
    assert okx_live.LIVE.unsubscribe([BOOK], 3, None) == (
        b'{"id":"3","op":"unsubscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}'
    )


def test_a_full_message_is_shorter_than_the_venue_allows() -> None:
    longest = Topic(DataType.OHLC, "1000000LONGNAME-LONGNAME_UM-SWAP", "linear", Us(12 * HOUR))
    assert len(okx_live.LIVE.subscribe([longest] * okx_live.LIVE.batch, 10**9)) < 64 * 1_024


def test_live_trades_are_those_of_history() -> None:
    """An answer begins with its newest row, messages come oldest first."""
    rows = [trade("7", "5", "1.5"), trade("8", "5", "1.25", side="sell"), trade("9", "6")]
    live = understood(*(pushed("trades-all", {**row, "source": "1"}) for row in rows)).trades
    assert live is not None
    assert live.drop("topic", "received").equals(
        okx.decode_trades(enveloped(*reversed(rows)), START).drop("received")
    )
    assert live["topic"].unique().to_list() == ["trades-all:BTC-USDT"]
    assert live["received"].to_list() == [1_000, 1_001, 1_002]


def test_rows_of_one_message_have_come_when_it_did() -> None:
    live = understood(b"pong", pushed("trades-all", trade("1"), trade("2")), pushed("trades-all")).trades
    assert live is not None
    assert live.select("trade_id", "received").rows() == [("1", 1_001), ("2", 1_001)]


@pytest.mark.parametrize(
    ("market", "volume"), [("BTC-USDT", 8.0), ("BTC-USDT-SWAP", 9.0), ("BTC-USD-SWAP", 9.0)]
)
def test_live_bars_are_those_of_history_with_the_venue_s_flag(market: str, volume: float) -> None:
    rows = [
        candle("60000", "8", "9", confirm="0"),
        candle("60000", "8", "9"),
        candle("120000", "8", "9", "0"),
    ]
    bars = understood(*(pushed("candle1m", row, market=market) for row in rows)).bars
    assert bars is not None
    assert bars["closed"].to_list() == [False, True, False]
    assert bars["topic"].unique().to_list() == [f"candle1m:{market}"]
    assert bars.select(pl.col("ts").cast(int), "volume", "quote_volume", "trades").rows() == [
        (minute * MINUTE, volume, 30.0, None) for minute in (1, 1, 2)
    ]
    decode = okx.decode_swap_candles if market.endswith("-SWAP") else okx.decode_spot_candles
    closed = bars.filter("closed").drop("topic", "received", "closed")
    assert closed.equals(decode(enveloped(rows[1]), START))


@pytest.mark.parametrize(
    ("frames", "at"),
    [
        ([pushed("trades-all", trade(time="7"), trade(time="5"))], 7 * MILLISECOND),
        ([book(2, 1, time="9"), book(3, 2, time="8")], 9 * MILLISECOND),
        ([pushed("candle1m", candle("60000", confirm="0"))], MINUTE),
        ([pushed("candle1m", candle("60000"))], 2 * MINUTE),
        ([pushed("candle12Hutc", candle("43200000"))], DAY),
        ([pushed("trades-all", trade(time="60001")), pushed("candle1m", candle("0"))], MINUTE + MILLISECOND),
        ([b"pong", event("subscribe", arg={"channel": "books", "instId": "BTC-USDT"})], None),
        ([], None),
    ],
)
def test_the_newest_time_that_was_told(frames: list[bytes], at: int | None) -> None:
    """A bar tells no more than that it has begun, and that it is over only when it is closed."""
    assert understood(*frames).at == at


def test_a_book_s_levels_stay_as_they_are_written() -> None:
    asks = [["41006.80", "0.60038921", "0", "13"], ["41007", "2", "0", "1", "new"]]
    told = {"asks": asks, "bids": [["41006.7", "0", "0", "0"]], "ts": "1500", "prevSeqId": -1, "seqId": 17}
    for more, whole, previous in (({"prevSeqId": -1}, True, None), ({"prevSeqId": 12}, False, 12)):
        action = "snapshot" if whole else "update"
        [change] = understood(pushed("books", {**told, **more}, action=action)).books
        assert change == BookChange(
            "books:BTC-USDT",
            Us(1_500 * MILLISECOND),
            [("41006.7", "0")],
            [("41006.80", "0.60038921"), ("41007", "2")],
            whole=whole,
            last=17,
            previous=previous,
        )


@pytest.mark.parametrize("more", [{}, {"prevSeqId": None}, {"prevSeqId": 5}])
def test_l10_a_snapshot_follows_nothing(more: dict[str, object]) -> None:
    told = {"asks": [], "bids": [["8", "1", "0", "1"]], "ts": "5", "seqId": 17, **more}
    [change] = understood(pushed("books", told, action="snapshot")).books
    assert (change.whole, change.last, change.previous) == (True, 17, None)


@pytest.mark.parametrize("other", [{"action": "news"}, {"event": None}, {"msg": None}])
def test_l10_rows_need_nothing_that_is_not_used(other: dict[str, str | None]) -> None:
    frames = pushed("trades-all", trade()), pushed("candle1m", candle())
    found = understood(*(b"%s,%s" % (frame[:-1], msgspec.json.encode(other)[1:]) for frame in frames))
    assert found.trades is not None
    assert found.bars is not None


@pytest.mark.parametrize(
    ("frame", "topics"),
    [
        (b'}"arg":{"channel":"books","instId":"A-B"},"action"', ("books:A-B",)),
        (b'{"data":[],"arg":{"instId":"A-B", "channel" : "candle1m"', ("candle1m:A-B",)),
        (b'{"arg":{"channel":"books","instId":"A-B"}}{"arg":{"channel":"books","instId":"C-D"', None),
        (b'{"arg":{"channel":"books","instId":"A-', ()),
        (b'{"arg":{"channel":"books"},"data":[{"instId":"A-B"', ()),
        (b'{"arg":{"channel":"books5","instId":"A-B"},', ()),
        (b'{"arg":{"channel":"books5","instId":"A-B"}}', ("books5:A-B",)),
        (b'{"arg":{"channel":"books","instId":""},', ()),
        (b'{"arg":[{"channel":"books","instId":"A-B"}],', ()),
        (b'{"event":"error","msg":"{\\"arg\\":{\\"channel\\":\\"books\\",\\"instId\\":\\"A-B\\"', ()),
        (b"pang", ()),
    ],
)
def test_a_message_that_is_not_understood_may_still_name_its_topic(
    frame: bytes, topics: tuple[str, ...] | None
) -> None:
    expected = ("books:A-B", "books:C-D") if topics is None else topics
    assert okx_live.LIVE.topics_in(frame, None) == expected


def test_a_book_is_followed_by_its_numbers_whatever_the_checksum_says() -> None:
    """The venue sends 0 for it; a verifier left on would lose every book."""
    first, second = [("8", "1"), ("7", "2")], [("8", "0"), ("6", "3")]
    kept = followed(book(17, -1, bids=first, checksum=0), book(21, 17, bids=second, checksum=-855_196_043))
    assert kept.lost is None
    assert kept.bids.best(9) == [("7", "2"), ("6", "3")]


def test_a_heartbeat_has_equal_numbers_and_no_levels() -> None:
    kept = followed(book(17, -1, bids=[("8", "1")]), book(17, 17), book(17, 17), book(18, 17))
    assert (kept.lost, kept.bids.best(9)) == (None, [("8", "1")])


def test_numbers_may_begin_anew_as_long_as_the_chain_holds() -> None:
    kept = followed(
        book(17, -1, bids=[("8", "1")]), book(3, 17, bids=[("7", "1")]), book(5, 3, bids=[("8", "0")])
    )
    assert (kept.lost, kept.bids.best(9)) == (None, [("7", "1")])


@pytest.mark.parametrize("previous", [16, 18, 3, 0])
def test_a_change_that_follows_another_one_loses_the_book_until_it_is_whole(previous: int) -> None:
    """Right after a snapshot it may have begun before it."""
    first = book(15, -1, bids=[("8", "1")]), book(17, 15)
    frames = *first, book(19, previous, bids=[("9", "1")]), book(20, 19)
    assert followed(*frames).lost == f"an update follows {previous}, not 17"
    again = followed(*frames, book(30, -1, bids=[("5", "1")]))
    assert (again.lost, again.bids.best(9)) == (None, [("5", "1")])


ARG = {"channel": "books", "instId": "BTC-USDT"}


@pytest.mark.parametrize(
    ("told", "acks"),
    [
        (event("subscribe", id="12", arg=ARG), [Ack("books:BTC-USDT")]),
        (event("subscribe", arg=ARG), [Ack("books:BTC-USDT")]),
        (event("unsubscribe", id="12", arg=ARG), []),
        (event("channel-conn-count", channel="books", connCount="3"), []),
        (event("error", code="60012", msg="so"), [Ack(error="60012 so")]),
        (event("error", id="", code="60018", msg="so"), [Ack(error="60018 so")]),
        (event("error", id="12", code="64001", msg="so"), [Ack(id=12, error="64001 so")]),
        (event("error", id="x1", code="64003", msg="so"), [Ack(error="64003 so")]),
        (event("error", id="12", arg=ARG, code="60018", msg="so"), [Ack("books:BTC-USDT", 12, "60018 so")]),
    ],
)
def test_answers(told: bytes, acks: list[Ack]) -> None:
    """Only some errors say which message they answer; none has to say which topic."""
    assert understood(told) == DecodedBatch(acks=acks)


def test_a_connection_that_is_about_to_be_closed_is_left() -> None:
    told = event("notice", code="64008", msg="The connection will soon be closed for a service upgrade.")
    found = understood(told, pushed("trades-all", trade()))
    assert found.restart is not None
    assert found.trades is not None
    assert found.acks == []


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (event("error", code="60014", msg="Requests too frequent"), "60014 Requests too frequent"),
        (event("error", code="50026", msg="System error"), "50026 System error"),
        (
            event("channel-conn-count-error", channel="books", connCount="31"),
            "too many connections have this channel",
        ),
    ],
)
def test_l13_a_connection_that_takes_no_more_keeps_what_it_has(told: bytes, error: str) -> None:
    """The others would lose a moment, and meet the same answer again."""
    found = understood(told, pushed("trades-all", trade()))
    assert found.restart is None
    assert [(ack.topic, ack.error) for ack in found.acks] == [(None, error)]
    assert found.acks[0].full


def test_a_refusal_for_what_is_wrong_in_a_topic_is_no_full_connection() -> None:
    for code in ("60012", "60018", "64001", "64003"):
        assert not understood(event("error", code=code, msg="so")).acks[0].full


@pytest.mark.parametrize(
    "told",
    [
        event("login", code="0", msg=""),
        event("notice", code="64009", msg="unheard of"),
        event("weather", code=7, msg=None),
    ],
)
def test_l8_an_event_of_no_topic_costs_none(told: bytes) -> None:
    assert understood(told) == DecodedBatch()


def session(*topics: Topic) -> Session:
    started = Session(okx_live.LIVE, {okx_live.LIVE.name(topic): topic for topic in topics}, Us(0))
    assert started.due(Us(0)) == [okx_live.LIVE.subscribe(topics, 1)]
    return started


def test_a_book_is_begun_anew_by_leaving_it_which_is_no_agreement_to_send_it() -> None:
    started = session(BOOK)
    started.receive([event("subscribe", arg=ARG)], [Us(1)], Us(0))
    assert started.accepted() == ["books:BTC-USDT"]
    started.resubscribe("books:BTC-USDT")
    sent = [text for seconds in (1, 2) for text in started.due(Us(seconds * SECOND))]
    assert sent == [okx_live.LIVE.unsubscribe([BOOK], 2, None), okx_live.LIVE.subscribe([BOOK], 3)]
    started.receive([event("unsubscribe", arg=ARG)], [Us(1)], Us(2 * SECOND))
    assert (started.accepted(), started.settled) == ([], False)
    started.receive([event("subscribe", arg=ARG)], [Us(1)], Us(2 * SECOND))
    assert (started.accepted(), started.settled) == (["books:BTC-USDT"], True)


BAD = [
    b"",
    b"{",
    b"pang",
    b'"pong"',
    b"\xff",
    b"[]",
    b"{},{}",
    b"{}",
    b'{"data":[]}',
    pushed("trades", trade()),
    pushed("candle1D", candle()),
    pushed("books5", {}),
    pushed("trades-all", {**trade(), "tradeId": "x"}),
    pushed("trades-all", {**trade(), "px": 1.5}),
    pushed("trades-all", {**trade(), "side": "Buy"}),
    pushed("trades-all", {**trade(), "px": "much"}),
    pushed("trades-all", {name: value for name, value in trade().items() if name != "ts"}),
    pushed("trades-all", trade(time="1704067200000000")),
    pushed("candle1m", candle()[:-1]),
    pushed("candle1m", candle(confirm="2")),
    pushed("candle1m", trade()),
    b'{"arg":{"channel":"trades-all","instId":"BTC-USDT"}}',
    b'{"arg":{"channel":"trades-all"},"data":[]}',
    book(2, 1).replace(b'"action":"update",', b""),
    book(2, 1).replace(b"update", b"partial"),
    book(2, 1).replace(b',"seqId":2', b""),
    book(2, 1).replace(b',"prevSeqId":1', b""),
    book(2, -2),
    book(18, -1).replace(b"snapshot", b"update"),
    book(2, 1, bids=[("8", "1")]).replace(b'"8"', b"8"),
    event("subscribe"),
    event("suspended", arg=ARG),
    event("unheard-of", data=[]),
    pushed("trades-all", trade(), market=""),
    b'{"arg":{"instId":"BTC-USDT"},"data":[]}',
]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_is_not_understood_is_bad_and_its_neighbours_are_kept(bad: bytes) -> None:
    EAR.spoils_no_other(bad, pushed("trades-all", trade()), b"pong", book(2, 1), pushed("candle1m", candle()))


def test_the_facts_of_the_websocket() -> None:
    live = okx_live.LIVE
    assert live.connects == Limit(3, SECOND)
    assert live.most < 30  # deep books on one connection
    assert live.ping is not None
    assert live.ping(7) == b"ping"
    assert 2 * live.ping_every < live.silence
    assert live.ping_every < 30 * SECOND  # then the venue closes what is quiet
    for kind in okx.EXCHANGE.kinds:
        for data_type in DataType:
            channel, endpoint = live.channel(kind, data_type), okx.EXCHANGE.endpoint(kind, data_type)
            assert channel is not None
            assert endpoint is not None
            assert channel.contracts == endpoint.contracts
            assert (channel.checksum, channel.start) == (None, None)
    assert live.channels[DataType.ORDERBOOK].depths == (400,)
    assert live.channels[DataType.ORDERBOOK].beats == 60 * SECOND  # equal numbers, no levels
    assert live.channels[DataType.TRADES].consecutive
