"""What the conformance tests do not say of Kraken's WebSocket: names, bars, checksums, answers."""

import msgspec
import pytest

from dccd_core.adapter.live import Ack, DecodedBatch, Pairs, Precision, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.timespan import MINUTE, parse_time
from dccd_core.exchanges import kraken, kraken_live
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import START, Ear

TRADES, OHLC, BOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK
CAME = parse_time("2024-01-01T00:00:30.5")
EAR = Ear(kraken_live.LIVE, CAME)
decoded, understood = EAR.decoded, EAR.understood
UNSUPPORTED = "Currency pair not supported XBT/USD"
HEARTBEAT = b'{"channel":"heartbeat"}'
TRADE = (
    b'{"symbol":"BTC/USD","side":"buy","price":105944.20,"qty":0.00027625,"ord_type":"limit",'
    b'"trade_id":10218208,"timestamp":"2024-01-01T00:00:29.440295Z"}'
)
CANDLE = (
    b'{"symbol":"BTC/USD","open":106038.2,"high":106044.3,"low":106038.1,"close":106040.1,"volume":2.5,'
    b'"vwap":106039.6,"trades":12,"interval_begin":"2024-01-01T00:00:00.000000000Z","interval":1,'
    b'"timestamp":"2024-01-01T00:01:00.000000Z"}'
)
# the example of the official page on the checksum, whose result it gives
ASKS = (
    "45285.2 0.00100000, 45286.4 1.54571953, 45286.6 1.54571109, 45289.6 1.54560911, 45290.2 0.15890660, "
    "45291.8 1.54553491, 45294.7 0.04454749, 45296.1 0.35380000, 45297.5 0.09945542, 45299.5 0.18772827"
)
BIDS = (
    "45283.5 0.10000000, 45283.4 1.54582015, 45282.1 0.10000000, 45281.0 0.10000000, 45280.3 1.54592586, "
    "45279.0 0.07990000, 45277.6 0.03310103, 45277.5 0.30000000, 45277.3 1.54602737, 45276.6 0.15445238"
)
PROOF = 3310070434


def topic(
    data_type: DataType,
    market: str = "XBTUSD",
    bar: str | None = None,
    depth: int = 0,
    live_name: str = "BTC/USD",
) -> Topic:
    span = None if bar is None else parse_bar_span(bar)
    return Topic(data_type, market, bar=span, depth=depth, live_name=live_name)


def pushed(channel: str, *rows: bytes, kind: str = "update") -> bytes:
    return b'{"channel":"%s","type":"%s","data":[%s]}' % (channel.encode(), kind.encode(), b",".join(rows))


def levels(text: str) -> Pairs:
    return [(price, amount) for price, amount in (pair.split() for pair in text.split(",") if pair)]


def book(bids: str, asks: str = "", checksum: int = 0, kind: str = "update", more: str = "") -> bytes:
    """Write a message from pairs like ``1.5 2, 1.6 0``; ``more``: fields beside the symbol."""
    sides = [
        ",".join(f'{{"price":{price},"qty":{amount}}}' for price, amount in levels(side))
        for side in (bids, asks)
    ]
    text = f'"symbol":"BTC/USD","bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum}{more}'
    return pushed("book", b"{%s}" % text.encode(), kind=kind)


def at(text: str) -> str:
    return f',"timestamp":"{text}"'


def answer(method: str, at: str = "2024-01-01T00:00:20.5Z", **said: object) -> bytes:
    return msgspec.json.encode({"method": method, "time_in": at, "time_out": at, **said})


def agreed(channel: str, at: str = "2024-01-01T00:00:20.5Z", **more: object) -> bytes:
    result = {"channel": channel, "symbol": "BTC/USD", **more}
    return answer("subscribe", at, result=result, success=True, req_id=1)


def refused(error: str, method: str = "subscribe", **more: str) -> bytes:
    return answer(method, error=error, success=False, req_id=9, **more)


def candle(minute: int, price: float, volume: float = 2.0) -> bytes:
    row = {"symbol": "BTC/USD", "open": price, "high": price, "low": price, "close": price, "vwap": price}
    begin = f"2024-01-01T00:{minute:02}:00.000000000Z"
    return msgspec.json.encode({**row, "volume": volume, "trades": 1, "interval_begin": begin, "interval": 1})


def bars(result: DecodedBatch) -> list[tuple[int, float, int]]:
    """Return minute, close and number of trades."""
    if result.bars is None:
        return []
    minutes = [(ts - START) // MINUTE for ts in result.bars["ts"].to_physical()]
    return list(zip(minutes, result.bars["close"], result.bars["trades"], strict=True))


class TestSubscribing:
    def test_the_name_of_a_market_is_the_one_that_discovery_told(self) -> None:
        wanted = topic(TRADES, "MONAUSD", live_name="MON/AUSD")
        assert kraken_live.LIVE.name(wanted) == "trade@MON/AUSD"
        assert b'"symbol":["MON/AUSD"]' in kraken_live.LIVE.subscribe([wanted], 1)

    def test_all_channels_need_it(self) -> None:
        assert all(channel.named for channel in kraken_live.LIVE.channels.values())

    @pytest.mark.parametrize(
        ("wanted", "name", "params"),
        [
            (topic(TRADES), "trade@BTC/USD", {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}),
            (
                topic(OHLC, bar="1m"),
                "ohlc-1@BTC/USD",
                {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1, "snapshot": True},
            ),
            (
                topic(OHLC, bar="1d"),
                "ohlc-1440@BTC/USD",
                {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1_440, "snapshot": True},
            ),
            (
                topic(BOOK, "XDGUSD", depth=100, live_name="DOGE/USD"),
                "book@DOGE/USD",
                {"channel": "book", "symbol": ["DOGE/USD"], "depth": 100, "snapshot": True},
            ),
        ],
    )
    def test_what_is_said(self, wanted: Topic, name: str, params: dict[str, object]) -> None:
        live = kraken_live.LIVE
        assert live.name(wanted) == name
        assert live.url(wanted) == "wss://ws.kraken.com/v2"
        words = {"method": "subscribe", "params": params, "req_id": 3}
        assert msgspec.json.decode(live.subscribe([wanted], 3)) == words
        left = {key: value for key, value in params.items() if key != "snapshot"}
        words = {"method": "unsubscribe", "params": left, "req_id": 4}
        assert msgspec.json.decode(live.unsubscribe([wanted], 4, None)) == words

    def test_a_ping_carries_its_number(self) -> None:
        assert kraken_live.LIVE.ping is not None
        assert kraken_live.LIVE.ping(42) == b'{"method":"ping","req_id":42}'
        assert kraken_live.LIVE.ping_every < kraken_live.LIVE.silence < MINUTE

    def test_what_can_be_listened_to(self) -> None:
        channels = kraken_live.LIVE.channels
        assert [channels[BOOK].depth(wanted) for wanted in (1, 10, 11, 50, 500, 501, 1_000, 1_001)] == [
            *(10, 10, 25, 100, 500, 1_000, 1_000, None)
        ]
        assert (channels[BOOK].cuts, channels[BOOK].checked, channels[BOOK].start) == (True, 10, None)
        assert (kraken_live.LIVE.connects.amount, kraken_live.LIVE.connects.period) <= (150, 10 * MINUTE)


class TestTradesPushed:
    def test_all_trades_of_a_message(self) -> None:
        other = TRADE.replace(b"buy", b"sell").replace(b"10218208", b"10218209").replace(b"29.4", b"30.4")
        result = understood(pushed("trade", TRADE, other), pushed("trade", TRADE.replace(b"BTC", b"DOGE")))
        assert result.trades is not None
        assert result.trades.rows(named=True)[0] == {
            "ts": result.trades["ts"][0],
            "price": 105944.2,
            "amount": 0.00027625,
            "side": "buy",
            "trade_id": "10218208",
            "topic": "trade@BTC/USD",
            "received": CAME,
        }
        assert result.trades["ts"].to_physical()[0] == parse_time("2024-01-01T00:00:29.440295")
        assert result.trades["side"].to_list() == ["buy", "sell", "buy"]
        assert result.trades["topic"].to_list() == ["trade@BTC/USD", "trade@BTC/USD", "trade@DOGE/USD"]
        assert result.trades["received"].to_list() == [CAME, CAME, CAME + 1]
        assert result.at == parse_time("2024-01-01T00:00:30.440295")

    @pytest.mark.parametrize("digits", ["", ".4", ".440295", ".4402951", ".440295123"])
    def test_times_have_any_number_of_digits(self, digits: str) -> None:
        text = f"2024-01-01T00:00:29{digits}"
        trade = TRADE.replace(b"2024-01-01T00:00:29.440295", text.encode())
        assert understood(pushed("trade", trade)).at == parse_time(text)

    def test_a_whole_number_is_a_number_too(self) -> None:
        result = understood(pushed("trade", TRADE.replace(b"105944.20", b"105944")))
        assert result.trades is not None
        assert result.trades["price"].to_list() == [105944.0]

    def test_fields_that_nobody_knows_are_passed_over(self) -> None:
        more = TRADE.replace(b'"side"', b'"new":{"a":[1]},"side"')
        assert understood(pushed("trade", more).replace(b'"type"', b'"x":1,"type"')).trades is not None


class TestBarsPushed:
    def test_a_bar_opens_where_it_begins_and_nobody_says_whether_it_is_over(self) -> None:
        result = understood(pushed("ohlc", CANDLE))
        assert result.bars is not None
        [row] = result.bars.rows(named=True)
        assert row.pop("ts").isoformat() == "2024-01-01T00:00:00+00:00"
        assert row == {
            "open": 106038.2,
            "high": 106044.3,
            "low": 106038.1,
            "close": 106040.1,
            "volume": 2.5,
            "quote_volume": 106039.6 * 2.5,
            "trades": 12,
            "topic": "ohlc-1@BTC/USD",
            "received": CAME,
            "closed": None,
        }

    def test_its_end_is_not_the_time(self) -> None:
        assert understood(pushed("ohlc", CANDLE)).at is None

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_bars_that_a_topic_begins_with_are_told_oldest_first(self, order: int) -> None:
        rows = [candle(minute, float(minute)) for minute in (1, 2, 4)][::order]
        said = [agreed("ohlc", "2024-01-01T00:09:20Z", interval=1), pushed("ohlc", *rows, kind="snapshot")]
        assert bars(understood(*said)) == [(1, 1.0, 1), (2, 2.0, 1), (4, 4.0, 1)]

    def test_bars_are_told_as_they_came_and_quiet_ones_are_not_made_up(self) -> None:
        """The clock of the connection says nothing of one topic on it."""
        result = understood(
            pushed("ohlc", candle(0, 5.0)),
            pushed("ohlc", candle(3, 7.0)),
            answer("pong", "2024-01-01T00:30:00Z"),
            pushed("ohlc", candle(3, 8.0)),
            pushed("ohlc", candle(2, 6.0)),
        )
        assert bars(result) == [(0, 5.0, 1), (3, 7.0, 1), (3, 8.0, 1), (2, 6.0, 1)]
        assert result.bars is not None
        assert result.bars["received"].to_list() == [CAME, CAME + 1, CAME + 3, CAME + 4]
        assert result.state is None

    def test_the_channel_says_that_history_has_the_quiet_ones(self) -> None:
        channels = kraken_live.LIVE.channels
        assert channels[OHLC].fills_quiet
        assert [channels[data_type].consecutive for data_type in (TRADES, OHLC, BOOK)] == [True, False, False]
        assert {channel.beats for channel in channels.values()} == {None}
        rest = msgspec.json.encode({"error": [], "result": {"X": [[60, *["5.0"] * 4, "0.0", "0.00", 0]]}})
        assert kraken.decode_bars(rest, START).drop("ts").row(0) == (5.0, 5.0, 5.0, 5.0, 0.0, 0.0, 0)

    def test_no_bar_at_all_yet(self) -> None:
        said = [agreed("ohlc", interval=1), pushed("ohlc", kind="snapshot")]
        assert bars(understood(*said)) == []


class TestBooksPushed:
    def test_the_type_beside_the_data_says_whether_it_is_the_whole_book(self) -> None:
        told = '"type":"update"'
        result = understood(
            book("1.5 2", "1.6 3", 7, "snapshot", at("2024-01-01T00:00:29.440295Z")),
            book(
                "1.5 0",
                "",
                8,
                "update",
                at("2024-01-01T00:00:29.5Z") + f",{told.replace('update', 'snapshot')}",
            ),
        )
        whole, change = result.books
        assert (whole.topic, whole.whole, whole.checksum) == ("book@BTC/USD", True, 7)
        assert (whole.bids, whole.asks) == ([("1.5", "2")], [("1.6", "3")])
        assert whole.at == parse_time("2024-01-01T00:00:29.440295")
        assert (change.whole, change.checksum, change.bids, change.asks) == (False, 8, [("1.5", "0")], [])
        assert (change.first, change.last, change.previous) == (None, None, None)
        assert result.at == change.at == parse_time("2024-01-01T00:00:29.5")

    def test_numbers_are_kept_as_they_are_written(self) -> None:
        [change] = understood(book("105944.20 0.250, 0.00000010 123456789012345678.10, 5 0")).books
        assert change.bids == [("105944.20", "0.250"), ("0.00000010", "123456789012345678.10"), ("5", "0")]

    def test_a_snapshot_may_tell_no_time(self) -> None:
        result = understood(book("1.5 2", "1.6 3", kind="snapshot"))
        assert (result.books[0].at, result.at) == (None, None)

    def test_several_changes_of_one_price_apply_in_their_order(self) -> None:
        kept = Book(kraken_live.LIVE.channels[TRADES])
        result = understood(
            book("1.5 2, 1.4 1", "1.6 3", kind="snapshot"), book("1.5 0, 1.5 9, 1.4 7, 1.4 0")
        )
        assert [kept.apply(change) for change in result.books] == [True, True]
        assert kept.bids.best(5) == [("1.5", "9")]


class TestChecksum:
    BOTH = Precision(1, 8)

    def test_the_official_example(self) -> None:
        assert kraken_live.checksum(levels(BIDS), levels(ASKS), self.BOTH) == PROOF

    def test_it_comes_out_of_a_message_that_tells_it(self) -> None:
        kept = Book(kraken_live.LIVE.channels[BOOK], 10, self.BOTH)
        [whole] = understood(book(BIDS, ASKS, PROOF, "snapshot")).books
        assert kept.apply(whole)
        [wrong] = understood(book(BIDS, ASKS, PROOF + 1, "snapshot")).books
        assert not kept.apply(wrong)
        assert kept.lost == f"checksum {PROOF}, the venue says {PROOF + 1}"

    def test_zeros_that_are_not_written_count(self) -> None:
        def short(side: str) -> Pairs:
            return [(str(float(price)), str(float(amount))) for price, amount in levels(side)]

        assert short(BIDS)[0] == ("45283.5", "0.1")
        assert kraken_live.checksum(short(BIDS), short(ASKS), self.BOTH) == PROOF
        assert kraken_live.checksum(short(BIDS), short(ASKS), None) != PROOF

    def test_whole_numbers_have_their_zeros_too(self) -> None:
        whole = kraken_live.checksum([("45281", "1")], [], self.BOTH)
        assert whole == kraken_live.checksum([("45281.0", "1.00000000")], [], None)

    def test_without_a_precision_numbers_count_as_they_are_written(self) -> None:
        assert kraken_live.checksum(levels(BIDS), levels(ASKS), None) == PROOF

    def test_only_the_best_ten_count_and_a_change_of_any_is_seen(self) -> None:
        kept = Book(kraken_live.LIVE.channels[BOOK], 25, self.BOTH)
        deeper = book(f"{BIDS}, 45270.0 1", f"{ASKS}, 45300.0 1", PROOF, "snapshot")
        assert kept.apply(understood(deeper).books[0])
        assert kept.apply(understood(book("45271.0 5", "", PROOF)).books[0])
        assert not kept.apply(understood(book("45276.6 5", "", PROOF)).books[0])

    def test_an_empty_book_has_one(self) -> None:
        assert kraken_live.checksum([], [], self.BOTH) == 0


class TestAnswers:
    @pytest.mark.parametrize(
        ("said", "topic"),
        [
            (agreed("trade", snapshot=False), "trade@BTC/USD"),
            (agreed("book", depth=10, snapshot=True), "book@BTC/USD"),
            (
                agreed("ohlc", interval=5, snapshot=True, warnings=["timestamp is deprecated"]),
                "ohlc-5@BTC/USD",
            ),
        ],
    )
    def test_each_topic_is_agreed_to_by_name(self, said: bytes, topic: str) -> None:
        result = understood(said)
        assert result.acks == [Ack(topic)]
        assert result.at == parse_time("2024-01-01T00:00:20.5")

    @pytest.mark.parametrize(
        ("said", "acks"),
        [
            (refused(UNSUPPORTED, symbol="XBT/USD"), [Ack(id=9, error=UNSUPPORTED)]),
            # it may have been any that was not understood
            (answer("error", error="Malformed request", success=False), [Ack(error="Malformed request")]),
            (answer("subscribe", success=True, req_id=9), [Ack(id=9)]),  # it need not say to what
            (refused("Already subscribed", symbol="BTC/USD"), [Ack(id=9)]),
            # the end of a subscription is no agreement, and what cannot be left is over already, or goes on
            (agreed("book", depth=10).replace(b'"subscribe"', b'"unsubscribe"'), []),
            (refused("Subscription Not Found", "unsubscribe"), []),
        ],
    )
    def test_answers_are_told_by_the_number_of_the_message_and_end_no_connection(
        self, said: bytes, acks: list[Ack]
    ) -> None:
        result = understood(said)
        assert (result.acks, result.restart) == (acks, None)

    def test_l13_a_refusal_may_mean_that_there_are_too_many(self) -> None:
        assert understood(refused("Exceeded max subscriptions")).acks == [
            Ack(id=9, error="Exceeded max subscriptions", full=True)
        ]

    def test_a_pong_tells_the_time_and_a_heartbeat_nothing(self) -> None:
        result = understood(answer("pong", "2024-01-01T00:00:21.000000001Z", req_id=42))
        assert result.at == parse_time("2024-01-01T00:00:21.000000001")
        assert understood(HEARTBEAT).at is None

    @pytest.mark.parametrize(
        ("system", "down"),
        [
            ("online", 0),
            ("cancel_only", 0),
            ("post_only", 0),
            ("limit_only", 0),
            ("maintenance", 1),
            ("offline", 1),
        ],
    )
    def test_what_the_engine_s_status_means(self, system: str, down: int) -> None:
        row = {"version": "2.0.0", "system": system, "api_version": "v2", "connection_id": 2**64 - 1}
        result = understood(pushed("status", msgspec.json.encode(row)))
        assert result.restart == (f"Kraken's engine is down: {system}" if down else None)
        assert (result.acks, result.at) == ([], None)


OHLC_NAMES = tuple(f"ohlc-{minutes}@BTC/USD" for minutes in (1, 5, 15, 30, 60, 240, 1_440))
ALL_NAMES = ("trade@BTC/USD", *OHLC_NAMES, "book@BTC/USD")


class TestTopicsOfBadMessages:
    """One symbol's spoilt message touches what is wanted of that symbol."""

    @pytest.mark.parametrize(
        ("text", "topics"),
        [
            (pushed("trade", TRADE.replace(b"buy", b"b")), ("trade@BTC/USD",)),
            (pushed("trade", TRADE, kind="partial"), ("trade@BTC/USD",)),
            (book("1.5 1e-5"), ("book@BTC/USD",)),
            (pushed("ohlc", CANDLE.replace(b'"trades":12', b'"trades":1.5')), ("ohlc-1@BTC/USD",)),
            (pushed("ohlc", CANDLE.replace(b'"interval":1,', b"")), OHLC_NAMES),
            (pushed("ohlc", CANDLE.replace(b'"interval":1,', b'"interval":0,')), OHLC_NAMES),
            (pushed("ohlc", CANDLE)[:-70], OHLC_NAMES),
            (pushed("ticker", TRADE), ALL_NAMES),
            (b'}"channel":"book","type":"update","data":[{"symbol":"BTC\\/USD","bi', ("book@BTC/USD",)),
            (b'{"channel":"book","type":"update","data":[{"symbol":"BTC/US', ()),
            (b'{"symbol":"BTC/USD"', ALL_NAMES),
            (b'{"channel":"trade","data":[]}', ()),
            (b'{"channel":"instrument","type":"update","data":[]}', ("instrument",)),
            (b'{"channel":"instrument","type":"update","data":[', ()),
            (b'{"method":"sing"}', ("sing",)),
            (answer("pong", "now"), ("pong",)),
            (b"not json", ()),
            (b"{}", ()),
            (b"", ()),
        ],
    )
    def test_l8_they_are_read_out_of_what_is_left(self, text: bytes, topics: tuple[str, ...]) -> None:
        assert [frame for frame, _ in decoded(text).bad] == [text]
        assert sorted(kraken_live.LIVE.topics_in(text, None)) == sorted(topics)


class TestBatches:
    GOOD = (
        pushed("trade", TRADE),
        pushed("ohlc", CANDLE),
        book("1.5 2", "1.6 3", kind="snapshot"),
        agreed("trade"),
        HEARTBEAT,
        answer("pong"),
    )
    BAD = (
        b"",
        b"not json",
        b"[1,2]",
        b"{}",
        b"1,2",
        b"\xff",
        HEARTBEAT + b"," + HEARTBEAT,
        b'{"channel":"ticker","type":"snapshot","data":[]}',
        b'{"channel":"trade","data":[]}',
        b'{"method":"sing"}',
        b'{"channel":"status","type":"update","data":[{}]}',
        pushed("trade", TRADE, kind="partial"),
        pushed("trade", TRADE.replace(b'"trade_id":10218208,', b"")),
        pushed("trade", TRADE.replace(b"10218208", b'"10218208"')),
        pushed("trade", TRADE.replace(b"10218208", b"-1")),
        pushed("trade", TRADE.replace(b"105944.20", b'"105944.20"')),
        pushed("trade", TRADE.replace(b"105944.20", b"[]")),
        pushed("trade", TRADE.replace(b"buy", b"b")),
        pushed("trade", TRADE.replace(b"2024-01-01T00", b"2024-13-01T00")),
        pushed("trade", TRADE.replace(b"295Z", b"295")),
        pushed("ohlc", CANDLE.replace(b'"interval":1', b'"interval":0')),
        pushed("ohlc", CANDLE.replace(b"00.000000000Z", b"00.0000000000Z")),
        pushed("ohlc", CANDLE.replace(b'"trades":12', b'"trades":1.5')),
        book("1.5 2", checksum=-1),
        book("1.5 2", more=at("yesterday")),
        answer("pong", "now"),
    )

    @pytest.mark.parametrize("bad", BAD)
    def test_a_bad_message_spoils_no_other(self, bad: bytes) -> None:
        EAR.spoils_no_other(bad, *self.GOOD)
