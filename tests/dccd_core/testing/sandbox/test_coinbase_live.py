from collections.abc import Sequence
from itertools import pairwise

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, DecodedBatch, Topic
from dccd_core.bars.live import BuiltBars
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import coinbase, coinbase_live
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.coinbase import VENUE
from dccd_core.testing.sandbox.coinbase_live import LIVE
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import Act, Close
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector
from dccd_core.testing.sandbox.venue import Ask, Hidden
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, DOGE = (Symbol.parse(f"{base}/USD") for base in ("BTC", "ETH", "DOGE"))
OUTAGE = TimeRange(parse_time("2024-06-05T13:00"), parse_time("2024-06-05T13:10:30"))
MARKET = Market(trades_per_day={"BTC/USD": 300_000, "DOGE/USD": 500}, outages=[OUTAGE])
ADAPTER = coinbase_live.LIVE
BOOKS = ADAPTER.channels[DataType.ORDERBOOK]
REFUSAL = {"type": "error", "message": "Failed to subscribe"}


def topic(data_type: DataType, symbol: Symbol = BTC) -> Topic:
    return Topic(data_type, coinbase.market(symbol))


TRADES, BOOK = topic(DataType.TRADES), topic(DataType.ORDERBOOK)


class Listener:
    """The adapter at the other end of a connection."""

    def __init__(self, *topics: Topic, now: Us = NOW) -> None:
        self.talk = Talk(LIVE, "", now, MARKET)
        self.state: object = None
        self.first = self.say(ADAPTER.subscribe(topics, 1))

    def say(self, words: bytes) -> DecodedBatch:
        return self.hear(self.talk.say(words.decode()))

    def until(self, end: Us) -> DecodedBatch:
        return self.hear(self.talk.until(end))

    def hear(self, acts: Sequence[Act]) -> DecodedBatch:
        frames = [act.text.encode() for act in messages(acts)]
        heard = ADAPTER.decode(frames, [act.at for act in acts], self.state)
        self.state = heard.state
        return heard


def subscribe(**channels: list[str]) -> dict[str, object]:
    return {
        "type": "subscribe",
        "channels": [{"name": name, "product_ids": own} for name, own in channels.items()],
    }


def talk(*words: object, now: Us = NOW, enforced: bool = False) -> Talk:
    connection = Talk(LIVE, "", now, MARKET, enforced=enforced)
    for word in words:
        connection.say(word)
    return connection


def table(*frames: pl.DataFrame | None) -> pl.DataFrame:
    return asked(pl.concat(frame for frame in frames if frame is not None), DataType.TRADES)


def same_book(book: Book, at: Us, symbol: Symbol = BTC) -> None:
    truth = MARKET.truth_book("coinbase", symbol, at, 1_200)
    for name, side in (("bid", book.bids), ("ask", book.asks)):
        levels = [(float(price), float(amount)) for price, amount in side.best(9_999)]
        assert levels == truth.filter(side=name).select("price", "amount").rows()


class TestTrades:
    def test_a_subscriber_gets_the_last_trade_and_all_that_come(self) -> None:
        listener = Listener(TRADES)
        end = Us(NOW + 2 * MINUTE)
        rows = table(listener.first.trades, listener.until(end).trades)
        truth = MARKET.truth_trades("coinbase", BTC, TimeRange(Us(NOW - HOUR), end))
        before = MARKET.truth_trades("coinbase", BTC, TimeRange(Us(NOW - HOUR), NOW)).height
        assert rows.equals(truth.slice(before - 1))
        assert rows.height > 200

    def test_they_have_the_fields_of_history_and_a_sequence_with_leaps(self) -> None:
        acts = talk(subscribe(matches=["BTC-USD"])).until(Us(NOW + MINUTE))
        rows = told(acts, "matches:BTC-USD")
        route = next(route for route in VENUE.routes if route.path == "/products/{product}/trades")
        ask = Ask(MARKET, {"product": "BTC-USD"}, Us(NOW + MINUTE), Rule(1, SECOND), Hidden())
        page = msgspec.json.decode(route.answer(ask))[: len(rows)]
        names = ("trade_id", "side", "time")
        assert [[row[name] for name in names] for row in rows] == [
            [row[name] for name in names] for row in reversed(page)
        ]
        assert {(row["type"], row["product_id"]) for row in rows} == {("match", "BTC-USD")}
        assert len(
            {row["maker_order_id"] for row in rows} | {row["taker_order_id"] for row in rows}
        ) == 2 * len(rows)
        sequences = [int(str(row["sequence"])) for row in rows]
        assert all(after > before + 1 for before, after in pairwise(sequences))

    def test_the_last_trade_may_be_old_or_none(self) -> None:
        shut = Listener(TRADES, now=Us(OUTAGE.end - SECOND))
        assert shut.first.trades is not None
        assert shut.first.trades["ts"].to_physical()[0] < OUTAGE.start
        listed = MARKET.instruments[BTC].listed
        assert Listener(TRADES, now=Us(listed - DAY)).first.trades is None

    def test_bars_built_of_them_are_those_of_history(self) -> None:
        listener = Listener(TRADES, topic(DataType.TRADES, DOGE), now=Us(OUTAGE.start - 7 * MINUTE))
        start, end = listener.talk.now, Us(OUTAGE.end + 10 * MINUTE)
        heard = listener.until(end)
        assert heard.trades is not None
        assert heard.at is not None
        for symbol in (BTC, DOGE):
            built = BuiltBars(MINUTE, Us(0), start)
            built.add(heard.trades.filter(topic=f"matches:{coinbase.market(symbol)}"))
            bars = built.settled(heard.at)
            truth = MARKET.truth_bars("coinbase", symbol, MINUTE, TimeRange(built.since, end)).filter(
                pl.col("ts").cast(pl.Int64) + MINUTE <= heard.at
            )
            assert bars is not None
            ours = bars.select(truth.columns)
            exact = [name for name in truth.columns if name != "volume"]
            assert ours.select(exact).equals(truth.select(exact))
            assert ours["volume"].to_list() == pytest.approx(truth["volume"].to_list(), rel=1e-12)
            assert truth.height > 2


class TestBooks:
    def test_nothing_numbers_or_proves_it(self) -> None:
        connection = talk()
        [_, first] = told(connection.say(subscribe(level2_batch=["BTC-USD"])))
        rows = told(connection.until(Us(NOW + SECOND)))
        assert list(first) == ["type", "product_id", "asks", "bids"]
        assert {tuple(row) for row in rows} == {("type", "product_id", "changes", "time")}
        assert (LIVE.sequence, LIVE.checksum) == (None, None)

    def test_who_leaves_and_comes_back_gets_a_whole_one(self) -> None:
        """So a lost book begins anew."""
        listener, book = Listener(BOOK, TRADES), Book(BOOKS)
        left = listener.say(ADAPTER.unsubscribe([BOOK], 2, listener.state))
        assert (left.acks, left.books) == ([Ack("matches:BTC-USD")], [])
        later = listener.until(Us(NOW + 30 * SECOND))
        assert later.books == []
        assert later.trades is not None
        assert later.at is not None
        back = listener.say(ADAPTER.subscribe([BOOK], 3))
        assert back.acks == [Ack("matches:BTC-USD"), Ack("level2_batch:BTC-USD")]
        changes = back.books + listener.until(Us(NOW + 32 * SECOND)).books
        assert all(book.apply(change) for change in changes)
        same_book(book, Us(NOW + 32 * SECOND - 1))

    def test_a_lost_change_shows_only_when_prices_cross(self) -> None:
        """The venue gives no proof: most of what is lost is never noticed."""
        listener = Listener(BOOK)
        changes = listener.first.books + listener.until(Us(NOW + 20 * SECOND)).books
        outcomes = set[bool]()
        for lost in range(1, len(changes), 6):
            book = Book(BOOKS)
            left = [change for at, change in enumerate(changes) if at != lost]
            outcomes.add(any(book.crossed for change in left if book.apply(change)))
        assert outcomes == {True, False}


def spoilt(listener: Listener, acts: Sequence[Act], *faults: StreamFault) -> DecodedBatch:
    """Hear acts, of which faults spoilt some."""
    line = Line("coinbase", LIVE, listener.talk.side, lambda _fault, _message: None)
    return listener.hear(line.sent(acts, StreamInjector(faults, 1), listener.talk.now))


class TestWhatIsMissing:
    def after(self, *faults: StreamFault, seconds: int = 30) -> DecodedBatch:
        listener = Listener(TRADES)
        acts = listener.talk.until(Us(NOW + seconds * SECOND))
        pieces = [
            [act for act in acts if act.at // SECOND == at] for at in {act.at // SECOND: 0 for act in acts}
        ]
        line = Line("coinbase", LIVE, listener.talk.side, lambda _fault, _message: None)
        injector = StreamInjector(faults, 1)
        heard, trades = DecodedBatch(), list[pl.DataFrame]()
        for piece in pieces:
            one = listener.hear(line.sent(piece, injector, piece[-1].at))
            heard.bad += one.bad
            heard.words += one.words
            trades += [one.trades] if one.trades is not None else []
        heard.trades = pl.concat(trades)
        return heard

    def missing(self, heard: DecodedBatch) -> list[int]:
        """Return the trades after the first that came which only other numbers and heartbeats tell of."""
        assert heard.trades is not None
        came = {int(number) for number in heard.trades["trade_id"]}
        [last] = {word.last_id for word in heard.words[-1:]}
        assert last
        return sorted({*range(min(came), last + 1)} - came)

    def test_without_a_fault_nothing_is(self) -> None:
        heard = self.after()
        assert (heard.bad, self.missing(heard)) == ([], [])
        assert heard.words[-1].at > NOW + 28 * SECOND
        assert {word.topic for word in heard.words} == {"matches:BTC-USD"}

    def test_a_dropped_trade_shows(self) -> None:
        heard = self.after(StreamFault(kind=StreamFaultKind.DROP, topic="matches:*", nth=20))
        assert (heard.bad, len(self.missing(heard))) == ([], 1)

    def test_the_last_trade_is_known_to_the_heartbeat(self) -> None:
        listener = Listener(TRADES, now=Us(OUTAGE.start - 10 * SECOND))
        acts = listener.talk.until(Us(OUTAGE.start + 10 * SECOND))
        last = messages(acts, "matches:BTC-USD")[-1]
        heard = listener.hear([act for act in acts if act != last])
        assert self.missing(heard) == [msgspec.json.decode(last.text)["trade_id"]]

    def test_order_and_repeats_do_not_matter(self) -> None:
        heard = self.after(
            StreamFault(kind=StreamFaultKind.REORDER, topic="matches:*", probability=0.2),
            StreamFault(kind=StreamFaultKind.DUPLICATE, probability=0.2),
        )
        assert (heard.bad, self.missing(heard)) == ([], [])

    def test_a_spoilt_message_counts_once(self) -> None:
        heard = self.after(StreamFault(kind=StreamFaultKind.GARBAGE, topic="matches:*", nth=20))
        assert len(heard.bad) == len(self.missing(heard)) == 1
        assert "unexpected message" in heard.bad[0][1]
        assert ADAPTER.topics_in(heard.bad[0][0], None) == ("matches:BTC-USD",)

    @pytest.mark.parametrize("kind", [StreamFaultKind.TRUNCATED, StreamFaultKind.WRONG_TYPE])
    def test_a_spoilt_book_is_noticed(self, kind: StreamFaultKind) -> None:
        listener = Listener(BOOK)
        acts = listener.talk.until(Us(NOW + 2 * SECOND))
        heard = spoilt(listener, acts, StreamFault(kind=kind, topic="level2_batch:*", nth=3))
        assert len(heard.bad) == 1
        assert len(heard.books) == len(messages(acts, "level2_batch:BTC-USD")) - 1


class TestHeartbeats:
    def test_one_a_second_for_each_product_knows_its_last_trade(self) -> None:
        connection = talk(subscribe(heartbeat=["BTC-USD", "DOGE-USD"]))
        acts = connection.until(Us(OUTAGE.end))
        rows = told(acts)
        assert {act.topic for act in messages(acts)} == {""}
        for symbol in (BTC, DOGE):
            own = [row for row in rows if row["product_id"] == coinbase.market(symbol)]
            times = [parse_time(str(row["time"])) for row in own]
            assert times == list(range(NOW + SECOND, OUTAGE.end, SECOND))
            tape = MARKET.tape("coinbase", symbol)
            assert [row["last_trade_id"] for row in own[::97]] == [
                tape.count_before(at) for at in times[::97]
            ]

    def test_they_go_on_where_nothing_is_traded(self) -> None:
        listener = Listener(TRADES, now=Us(OUTAGE.start + MINUTE))
        heard = listener.until(Us(OUTAGE.start + 2 * MINUTE))
        assert (heard.trades, heard.bad) == (None, [])
        assert heard.at == OUTAGE.start + 2 * MINUTE - SECOND


class TestConnection:
    def test_every_change_is_answered_with_all_that_is_subscribed_to(self) -> None:
        connection = talk()
        assert connection.greeting == []
        first = told(connection.say(subscribe(level2_batch=["BTC-USD"], heartbeat=["BTC-USD"])))[0]
        assert first == {
            "type": "subscriptions",
            "channels": [
                {"name": "level2_50", "product_ids": ["BTC-USD"], "account_ids": None},
                {"name": "heartbeat", "product_ids": ["BTC-USD"], "account_ids": None},
            ],
        }
        more = {"type": "subscribe", "product_ids": ["ETH-USD"], "channels": ["heartbeat", "level2_50"]}
        second = told(connection.say(more))[0]
        assert [(one["name"], one["product_ids"]) for one in channels(second)] == [
            ("level2_50", ["BTC-USD", "ETH-USD"]),
            ("heartbeat", ["BTC-USD", "ETH-USD"]),
        ]
        left = told(
            connection.say({**subscribe(level2_batch=["BTC-USD", "DOGE-USD"]), "type": "unsubscribe"})
        )
        assert [(one["name"], one["product_ids"]) for one in channels(left[0])] == [
            ("level2_50", ["ETH-USD"]),
            ("heartbeat", ["BTC-USD", "ETH-USD"]),
        ]

    def test_again_is_no_change(self) -> None:
        connection = talk(subscribe(matches=["BTC-USD"], level2_batch=["BTC-USD"]))
        answers = told(connection.say(subscribe(matches=["BTC-USD"], level2_50=["BTC-USD"])))
        assert [row["type"] for row in answers] == ["subscriptions"]

    def test_a_product_nobody_knows_fails_no_other(self) -> None:
        connection = talk()
        answers = told(connection.say(subscribe(matches=["A-B", "BTC-USD"], heartbeat=["A-B"])))
        assert answers[:2] == [{**REFUSAL, "reason": "A-B is not a valid product"}] * 2
        assert [row["type"] for row in answers[2:]] == ["subscriptions", "last_match"]

    @pytest.mark.parametrize(
        ("words", "message", "reason"),
        [
            (
                subscribe(matches=["BTC-USDT:USDT"]),
                *("Failed to subscribe", "BTC-USDT:USDT is not a valid product"),
            ),
            (subscribe(matches=[]), *("Failed to subscribe", " is not a valid product")),
            (subscribe(candles=["BTC-USD"]), *("Failed to subscribe", "candles is not a valid channel")),
            (
                subscribe(level2=["BTC-USD"]),
                *("Failed to subscribe", "level2, level3, and full channels now require authentication"),
            ),
            ({"type": "subscribe"}, *("Failed to subscribe", "No channels provided")),
            (
                {**subscribe(matches=["A-B"]), "type": "unsubscribe"},
                *("Failed to unsubscribe", "A-B is not a valid product"),
            ),
            ("{", "Malformed message", None),
            ({"type": "sing"}, "Malformed message", None),
            ({"no": "type"}, "Malformed message", None),
        ],
    )
    def test_what_is_not_served_is_refused(self, words: object, message: str, reason: str | None) -> None:
        [answer] = told(talk().say(words))
        assert (answer["type"], answer["message"]) == ("error", message)
        assert answer["reason"] == (reason if reason is not None else answer["reason"])

    @pytest.mark.parametrize("enforced", [True, False])
    def test_who_subscribes_to_nothing_for_five_seconds_is_cut_off(self, enforced: bool) -> None:  # noqa: FBT001 -- a case
        end = Us(NOW + 5 * SECOND)
        silent, late = talk(enforced=enforced), talk("{", enforced=enforced)
        speaks = talk(subscribe(heartbeat=["BTC-USD"]), enforced=enforced)
        for connection in (silent, late):
            assert closes(connection.until(end)) == []
            cut = [Close(end, 1008, "nothing was subscribed to")] if enforced else []
            assert closes(connection.until(Us(end + SECOND))) == cut
        assert closes(speaks.until(Us(NOW + HOUR))) == []

    def test_too_many_messages_end_the_connection(self) -> None:
        words = subscribe(heartbeat=["BTC-USD"])
        connection, free = talk(enforced=True), talk()
        assert not any(closes(connection.say(words)) for _ in range(100))
        [close] = closes(connection.say(words))
        assert close.code == 1008
        assert not any(closes(free.say(words)) for _ in range(200))


class Subscribed(msgspec.Struct):
    channels: list[dict[str, object]]


def channels(answer: dict[str, object]) -> list[dict[str, object]]:
    return msgspec.convert(answer, Subscribed).channels
