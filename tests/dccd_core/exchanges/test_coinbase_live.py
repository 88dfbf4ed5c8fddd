"""The WebSocket of Coinbase: words out, messages in, and what heartbeats say of trades."""

import msgspec
import pytest

from dccd_core.adapter.live import Ack, Topic, Word
from dccd_core.domain.timespan import MICROSECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.exchanges.coinbase import EXCHANGE
from dccd_core.exchanges.coinbase_live import LIVE
from dccd_core.stream.book import Book
from dccd_core.stream.session import Session
from dccd_core.tables import DataType
from tests.dccd_core.exchanges.hearing import Ear

START = parse_time("2024-03-13T11:00")
CAME = Us(START + MINUTE)
EAR = Ear(LIVE, CAME)
decoded, understood = EAR.decoded, EAR.understood
TRADES, OHLC, BOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK
REFUSED = b'{"type":"error","message":"Failed to subscribe","reason":"A-B is not a valid product"}'


def topic(data_type: DataType, market: str = "BTC-USD") -> Topic:
    return Topic(data_type, market, bar=MINUTE if data_type is OHLC else None)


def written(seconds: float) -> str:
    micros = round(seconds * 1_000_000)
    return f"2024-03-13T11:{micros // 60_000_000:02}:{micros // 1_000_000 % 60:02}.{micros % 1_000_000:06}Z"


def after(seconds: float) -> Us:
    return Us(START + round(seconds * 1_000_000) * MICROSECOND)


def match(
    number: int, seconds: float = 0, kind: str = "match", product: str = "BTC-USD", **more: str
) -> bytes:
    told = {"type": kind, "trade_id": number, "maker_order_id": "m", "taker_order_id": "t", "side": "buy"}
    told |= {"size": "0.5", "price": "100.25", "product_id": product, "sequence": 9 * number}
    return msgspec.json.encode({**told, "time": written(seconds), **more})


def beat(last: int, seconds: float, product: str = "BTC-USD") -> bytes:
    told = {"type": "heartbeat", "sequence": 9 * last, "last_trade_id": last, "product_id": product}
    return msgspec.json.encode({**told, "time": written(seconds)})


def snapshot(bids: str, asks: str, product: str = "BTC-USD", **more: str) -> bytes:
    sides = {"asks": _levels(asks), "bids": _levels(bids)}
    return msgspec.json.encode({"type": "snapshot", "product_id": product, **sides, **more})


def _levels(text: str) -> list[list[str]]:
    return [level.split() for level in text.split(",") if level]


def update(changes: str, seconds: float, product: str = "BTC-USD") -> bytes:
    told = {"type": "l2update", "product_id": product, "changes": _levels(changes)}
    return msgspec.json.encode({**told, "time": written(seconds)})


def listed(**channels: list[str]) -> bytes:
    told = [{"name": name, "product_ids": own, "account_ids": None} for name, own in channels.items()]
    return msgspec.json.encode({"type": "subscriptions", "channels": told})


class TestSubscribing:
    def test_trades_and_bars_share_a_topic_books_have_their_own(self) -> None:
        assert LIVE.name(topic(TRADES)) == LIVE.name(topic(OHLC)) == "matches:BTC-USD"
        assert LIVE.name(topic(BOOK)) == "level2_batch:BTC-USD"
        assert {LIVE.url(topic(data_type)) for data_type in DataType} == {
            "wss://ws-feed.exchange.coinbase.com"
        }

    @pytest.mark.parametrize("data_type", [TRADES, OHLC])
    def test_a_product_s_heartbeat_comes_with_its_trades(self, data_type: DataType) -> None:
        assert LIVE.subscribe([topic(data_type)], 7) == (
            b'{"type":"subscribe","channels":[{"name":"matches","product_ids":["BTC-USD"]},'
            b'{"name":"heartbeat","product_ids":["BTC-USD"]}]}'
        )

    def test_one_message_subscribes_to_several_channels_each_heartbeat_once(self) -> None:
        wanted = [topic(BOOK), topic(TRADES), topic(BOOK, "ETH-USD")]
        assert LIVE.subscribe(wanted, 7) == (
            b'{"type":"subscribe","channels":[{"name":"level2_batch","product_ids":["BTC-USD","ETH-USD"]},'
            b'{"name":"matches","product_ids":["BTC-USD"]},'
            b'{"name":"heartbeat","product_ids":["BTC-USD","ETH-USD"]}]}'
        )

    def test_who_leaves_a_book_keeps_the_heartbeat(self) -> None:
        assert LIVE.unsubscribe([topic(BOOK)], 7, None) == (
            b'{"type":"unsubscribe","channels":[{"name":"level2_batch","product_ids":["BTC-USD"]}]}'
        )

    def test_its_messages_are_full_and_fewer_than_ten_a_second(self) -> None:
        assert (LIVE.batch, SECOND // LIVE.pace < 10) == (50, True)

    def test_the_first_word_comes_at_once(self) -> None:
        """Who says nothing for five seconds is cut off."""
        assert len(Session(LIVE, {"matches:BTC-USD": topic(TRADES)}, Us(5)).due(Us(5))) == 1

    def test_what_can_be_listened_to(self) -> None:
        assert [LIVE.channels[data_type].from_trades for data_type in (OHLC, TRADES, BOOK)] == [
            True,
            False,
            False,
        ]
        book = LIVE.channels[BOOK]
        assert (book.start, book.checksum, book.cuts, book.depth(1_000)) == (None, None, False, 0)
        assert not any(channel.contracts for channel in LIVE.channels.values())

    def test_its_limits(self) -> None:
        assert (LIVE.connects.amount, LIVE.connects.period) == (8, SECOND)
        assert LIVE.silence > 3 * SECOND, "a heartbeat comes each second"
        assert (LIVE.ping, LIVE.lifetime, LIVE.greeting) == (None, None, ())

    def test_the_registry_joins_the_two_files(self) -> None:
        assert EXCHANGE.live is None
        assert get("coinbase").live is LIVE
        assert get("coinbase") is get("coinbase")


class TestTrades:
    def test_a_row_is_the_one_of_history(self) -> None:
        text = match(280_232, 37.089723, side="sell", size="985", price="0.00001305", product="SKL-BTC")
        result = understood(text)
        assert result.trades is not None
        history = EXCHANGE.endpoints[TRADES].decode(b"[" + text + b"]", START)
        assert result.trades.drop("topic", "received").equals(history.drop("received"))
        assert result.trades.rows() == [
            (*history.drop("received").row(0), CAME, "matches:SKL-BTC"),
        ]
        assert result.at == after(37.089723)

    def test_the_maker_s_side_is_turned_into_the_taker_s(self) -> None:
        result = understood(match(1, side="sell"), match(2, side="buy"))
        assert result.trades is not None
        assert result.trades["side"].to_list() == ["buy", "sell"]

    def test_the_last_trade_before_is_a_trade_but_tells_no_time(self) -> None:
        """It may be of last week: nothing is known to be complete since then of any other product."""
        result = understood(match(41, 3, "last_match"))
        assert result.trades is not None
        assert result.trades["trade_id"].to_list() == ["41"]
        assert result.trades["ts"].to_physical().to_list() == [after(3)]
        assert result.at is None

    def test_rows_keep_the_order_in_which_they_came_and_each_its_moment(self) -> None:
        result = understood(match(8, 2), beat(8, 2.5), match(7, 1, product="ETH-USD"), match(9, 3))
        assert result.trades is not None
        assert result.trades.select("trade_id", "topic", "received").rows() == [
            ("8", "matches:BTC-USD", CAME),
            ("7", "matches:ETH-USD", CAME + 2),
            ("9", "matches:BTC-USD", CAME + 3),
        ]
        assert result.at == after(3)

    @pytest.mark.parametrize(
        "time", ["2024-03-13T11:00:17Z", "2024-03-13T11:00:17.3Z", "2024-03-13T11:00:17.000000001Z"]
    )
    def test_times_have_as_many_digits_as_they_take(self, time: str) -> None:
        result = understood(match(1, time=time))
        assert result.trades is not None
        assert result.trades["ts"].to_physical().to_list() == [parse_time(time)]
        assert result.at == parse_time(time)


class TestWords:
    """A heartbeat is a word of its product's trades: which was the last, at what time."""

    def test_a_heartbeat_says_which_trade_was_the_last(self) -> None:
        result = understood(beat(20, 28.464459), match(21, 28.5), beat(7, 28.6, "A-B"), beat(21, 29.4))
        assert result.words == [
            Word("matches:BTC-USD", after(28.464459), 20),
            Word("matches:A-B", after(28.6), 7),
            Word("matches:BTC-USD", after(29.4), 21),
        ]

    @pytest.mark.parametrize("last", [b'"last_trade_id":0,', b'"last_trade_id":null,', b""])
    def test_one_without_an_id_is_a_word_all_the_same(self, last: bytes) -> None:
        bare = b'{"type":"heartbeat",%s"product_id":"A-B","time":"2024-03-13T11:00:30Z"}' % last
        assert understood(bare).words == [Word("matches:A-B", after(30))]

    def test_nothing_else_is_one(self) -> None:
        frames = match(1, 1), match(2, 1, "last_match"), update("buy 1 1", 2), listed(matches=["A-B"])
        assert understood(*frames).words == []

    def test_ids_that_are_missing_are_not_judged_here(self) -> None:
        """What comes late, never or twice is the same to the adapter: rows as they came."""
        result = understood(match(10, 1), match(12, 2), match(12, 2), beat(15, 30), match(11, 1))
        assert result.trades is not None
        assert result.trades["trade_id"].to_list() == ["10", "12", "12", "11"]
        assert (result.at, result.state) == (after(30), None)

    def test_channels_say_so(self) -> None:
        for data_type in (TRADES, OHLC):
            channel = LIVE.channels[data_type]
            assert (channel.consecutive, channel.beats, channel.fills_quiet) == (True, SECOND, False)
        assert (LIVE.channels[BOOK].consecutive, LIVE.channels[BOOK].beats) == (False, None)


class TestBooks:
    def test_a_snapshot_is_whole_and_tells_no_time(self) -> None:
        result = understood(snapshot("10101.10 0.45,10101 1.000", "10102.55 0.5"))
        [change] = result.books
        assert (change.topic, change.at, change.whole) == ("level2_batch:BTC-USD", None, True)
        assert change.bids == [("10101.10", "0.45"), ("10101", "1.000")]
        assert change.asks == [("10102.55", "0.5")]
        assert (change.first, change.last, change.previous, change.checksum) == (None, None, None, None)
        assert result.at is None

    def test_a_snapshot_that_tells_its_time_is_believed(self) -> None:
        result = understood(snapshot("", "", time=written(4)))
        assert (result.books[0].at, result.at) == (after(4), after(4))

    def test_the_sides_of_changes_are_those_of_the_orders(self) -> None:
        result = understood(update("sell 11 1.0,buy 10 2,sell 12 0.0", 1.25))
        [change] = result.books
        assert (change.whole, change.at, result.at) == (False, after(1.25), after(1.25))
        assert change.bids == [("10", "2")]
        assert change.asks == [("11", "1.0"), ("12", "0.0")]

    @pytest.mark.parametrize("zero", ["0", "0.0", "0.00000000", "00"])
    def test_a_zero_of_any_spelling_takes_a_level_away(self, zero: str) -> None:
        book = Book(LIVE.channels[BOOK])
        for change in understood(snapshot("10 1,9 1", "11 1"), update(f"buy 10 {zero}", 1)).books:
            assert book.apply(change)
        assert book.bids.best(9) == [("9", "1")]

    def test_another_spelling_of_a_price_is_the_same_level(self) -> None:
        book = Book(LIVE.channels[BOOK])
        for change in understood(snapshot("10.50 1", "11 1"), update("buy 10.5 3", 1)).books:
            assert book.apply(change)
        assert book.bids.best(9) == [("10.5", "3")]

    def test_a_book_that_stays_crossed_is_lost_and_begins_anew_with_a_whole_one(self) -> None:
        book = Book(LIVE.channels[BOOK])
        changes = understood(
            snapshot("10 1", "11 1"), update("buy 11 1", 1), update("buy 9 1", 30), snapshot("11 1", "12 1")
        ).books
        assert [book.apply(change) for change in changes] == [True, True, False, True]

    def test_books_of_several_products_keep_their_order(self) -> None:
        result = understood(
            snapshot("1 1", "2 1"), snapshot("5 1", "6 1", "A-B"), update("buy 1 2", 1), update("", 2)
        )
        assert [(change.topic[13:], change.at) for change in result.books] == [
            ("BTC-USD", None),
            ("A-B", None),
            ("BTC-USD", after(1)),
            ("BTC-USD", after(2)),
        ]

    def test_a_snapshot_of_megabytes_is_read(self) -> None:
        bids = [[f"{price}.5", "1.25"] for price in range(50_000, 0, -1)]
        text = msgspec.json.encode({"type": "snapshot", "product_id": "A-B", "bids": bids, "asks": []})
        assert len(understood(text).books[0].bids) == 50_000


class TestAnswers:
    def test_a_list_answers_for_every_topic_in_it(self) -> None:
        result = understood(
            listed(level2_50=["BTC-USD", "ETH-USD"], matches=["BTC-USD"], heartbeat=["BTC-USD"])
        )
        assert result.acks == [
            Ack("level2_batch:BTC-USD"),
            Ack("level2_batch:ETH-USD"),
            Ack("matches:BTC-USD"),
        ]

    def test_a_book_may_be_listed_by_either_name(self) -> None:
        assert understood(listed(level2_batch=["A-B"])).acks == [Ack("level2_batch:A-B")]
        assert understood(listed()).acks == []

    def test_an_error_is_of_no_topic_and_counts_once_however_many_channels_it_fails(self) -> None:
        assert understood(REFUSED, REFUSED).acks == [
            Ack(error="Failed to subscribe: A-B is not a valid product"),
        ]
        other = REFUSED.replace(b"A-B", b"C-D")
        assert len(understood(REFUSED, other).acks) == 2

    @pytest.mark.parametrize("message", ["ErrSlowConsume", "Message too big", "odd"])
    def test_other_errors_end_the_connection(self, message: str) -> None:
        text = msgspec.json.encode({"type": "error", "message": message, "reason": "because"})
        result = understood(match(1, 1), text)
        assert result.restart == f"Coinbase says {message}: because"
        assert result.acks == []
        assert result.trades is not None

    def test_one_product_that_cannot_be_left_ends_no_connection(self) -> None:
        text = b'{"type":"error","message":"Failed to unsubscribe","reason":"A-B is not subscribed"}'
        result = understood(match(1, 1), text)
        assert (result.restart, result.acks) == (None, [])

    @pytest.mark.parametrize("reason", ["Too many subscriptions", "subscription limit reached", "max 10"])
    def test_l13_a_refusal_may_mean_that_there_are_too_many(self, reason: str) -> None:
        text = msgspec.json.encode({"type": "error", "message": "Failed to subscribe", "reason": reason})
        assert understood(text).acks == [Ack(error=f"Failed to subscribe: {reason}", full=True)]

    def test_fields_that_are_not_used_are_not_required(self) -> None:
        text = (
            b'{"type":"subscriptions","channels":[{"name":"status"},{"name":"level2_50","product_ids":null}]}'
        )
        assert understood(text).acks == []
        bare = b'{"type":"heartbeat","product_id":"A-B","last_trade_id":null,"time":"2024-03-13T11:00:09Z"}'
        assert understood(bare).at == after(9)

    def test_an_error_may_come_without_a_reason(self) -> None:
        assert understood(b'{"type":"error","message":"odd"}').restart == "Coinbase says odd: "

    def test_a_heartbeat_tells_the_time_and_no_row(self) -> None:
        result = understood(beat(20, 28.464459))
        assert (result.at, result.trades, result.bars, result.books, result.acks) == (
            *(after(28.464459), None, None),
            *([], []),
        )


class TestTopicsOfBadMessages:
    """One product's spoilt message touches what is wanted of that product."""

    NEVER = b'{"type":"l2update","product_id":"OLD-USD","changes":[],"time":"0001-01-01T00:00:00.000000Z"}'

    @pytest.mark.parametrize(
        ("text", "topics"),
        [
            (NEVER, ("level2_batch:OLD-USD",)),
            (snapshot("40531.19 0.-10000", "", "OLD-USD"), ("level2_batch:OLD-USD",)),
            (match(1, price="x"), ("matches:BTC-USD",)),
            (match(1, kind="last_match", price="x"), ("matches:BTC-USD",)),
            (match(1, kind="match_too"), ("matches:BTC-USD", "level2_batch:BTC-USD")),
            (beat(1, 1).replace(b'"time"', b'"when"'), ("matches:BTC-USD",)),
            (b'}"type" : "match", "product_id": "A-B"', ("matches:A-B",)),
            (b'{"product_id":"A-B","ty', ("matches:A-B", "level2_batch:A-B")),
            (b'{"type":"match","product_id":"A-', ()),
            (b'{"type":"match","product_id":"A-B","x":"\xff', ("matches:A-B",)),
            (b'{"type":"match","product_id":"A\xff-B"}', ()),
            (b'{"type":"match","product_id":7}', ()),
            (b'{"type":"l2up', ()),
            (match(1) + b"," + match(2, product="A-B"), ("matches:BTC-USD", "matches:A-B")),
            (b'{"type":"status","products":[]}', ("status",)),
            (b'{"type":"status","products":[', ()),
            (b'{"type":"subscriptions"}', ("subscriptions",)),
            (b"{}", ()),
            (b"", ()),
        ],
    )
    def test_l8_they_are_read_out_of_what_is_left(self, text: bytes, topics: tuple[str, ...]) -> None:
        assert [frame for frame, _ in decoded(text).bad] == [text]
        assert LIVE.topics_in(text, None) == topics

    def test_l8_other_products_of_its_batch_are_kept(self) -> None:
        first, other = snapshot("10 1", "11 1"), snapshot("5 1", "6 1", "A-B")
        bad = snapshot("40531.19 0.-10000", "", "OLD-USD")
        result = decoded(first, self.NEVER, other, bad, update("buy 10 2", 1))
        assert [frame for frame, _ in result.bad] == [self.NEVER, bad]
        assert [change.topic[13:] for change in result.books] == ["BTC-USD", "A-B", "BTC-USD"]


class TestBadMessages:
    @pytest.mark.parametrize(
        "bad",
        [
            *(b"", b"{", b"hello", b"[]", b"null", b"7", b"{}", b'{"type":"what"}', b'{"type":7}'),
            b'{"type":"ticker","product_id":"BTC-USD"}',
            b'{"product_id":"BTC-USD","trade_id":1}',
            *(match(2, side=side) for side in ("BUY", "")),
            *(match(2, time=time) for time in ("", "2024-03-13", "0001-01-01T00:00:00.000000Z")),
            *(match(2, price=price) for price in ("", "1,5", "x")),
            match(2).replace(b'"trade_id":2', b'"trade_id":"2"'),
            match(2).replace(b'"trade_id":2', b'"trade_id":-2'),
            match(2).replace(b'"size":"0.5"', b'"size":0.5'),
            match(2).replace(b'"product_id":"BTC-USD",', b""),
            beat(2, 1).replace(b'"time"', b'"when"'),
            update("bid 1 1", 1),
            update("buy 1", 1),
            update("buy 1 1 1", 1),
            update("buy 1 x", 1),
            update("buy nan 1", 1),
            update("buy 1 1", 1).replace(b'"time"', b'"when"'),
            snapshot("1 1", "-2 1"),
            snapshot("1 1", "2"),
            snapshot("1 1", "2 1").replace(b'"asks"', b'"offers"'),
            snapshot("1 1", "2 1", time="soon"),
            b'{"type":"subscriptions"}',
            b'{"type":"error"}',
        ],
    )
    def test_only_the_bad_message_is_lost(self, bad: bytes) -> None:
        EAR.spoils_no_other(bad, match(1, 1), beat(1, 2), update("buy 1 1", 3))

    def test_two_values_in_one_message_are_no_two_messages(self) -> None:
        double = match(1, 1) + b"," + match(2, 1)
        assert [text for text, _ in decoded(match(3, 1), double).bad] == [double]

    def test_nothing_says_nothing(self) -> None:
        result = decoded()
        assert (result.trades, result.books, result.acks, result.bad, result.at) == (None, [], [], [], None)

    def test_fields_unheard_of_change_nothing(self) -> None:
        assert understood(match(1, 1, more="yes"), beat(1, 1).replace(b"{", b'{"x":[1],')).at == after(1)
