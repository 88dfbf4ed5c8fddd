"""What the sandbox sends is the truth, as soon as the adapter has read it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import bybit as adapter
from dccd_core.exchanges.bybit_live import LIVE as OURS
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.books import BOOK_PERIOD
from dccd_core.testing.sandbox.bybit import VENUE
from dccd_core.testing.sandbox.bybit_live import LIVE
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import ABORTED, Act, Close, Message
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector
from dccd_core.testing.sandbox.venue import Ask, Hidden
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, PERP, INVERSE = map(Symbol.parse, ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
SYMBOLS = [BTC, PERP, INVERSE]
MARKET = Market(trades_per_day={str(symbol): 500_000 for symbol in SYMBOLS})
SHUT = TimeRange(parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00"))
TRADES, OHLC, ORDERBOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK


def trades_of(symbol: Symbol) -> Topic:
    return Topic(TRADES, adapter.market(symbol), symbol.market_type)


def bars_of(symbol: Symbol, bar: Us) -> Topic:
    return Topic(OHLC, adapter.market(symbol), symbol.market_type, bar)


def book_of(symbol: Symbol, depth: int = 50) -> Topic:
    return Topic(ORDERBOOK, adapter.market(symbol), symbol.market_type, depth=depth)


def talk(kind: str = "spot", now: Us = NOW, *, enforced: bool = False) -> Talk:
    return Talk(LIVE, f"/v5/public/{kind}", now, MARKET, enforced=enforced)


def said(connection: Talk, message: bytes) -> list[Act]:
    return connection.say(message.decode())


def heard(acts: Sequence[Act], state: object = None) -> DecodedBatch:
    came = messages(acts)
    found = OURS.decode([act.text.encode() for act in came], [act.at for act in came], state)
    assert found.bad == []
    return found


def subscribed(*topics: Topic, now: Us = NOW, enforced: bool = False) -> tuple[Talk, list[Act]]:
    """Return a connection that was agreed to, and all that it sent."""
    [url] = {OURS.url(topic) for topic in topics}
    assert url.removeprefix("wss://stream.bybit.com") in LIVE.paths
    connection = talk(topics[0].market_type, now, enforced=enforced)
    acts = said(connection, OURS.subscribe(topics, 7))
    assert heard(acts).acks == [Ack(id=7)]
    return connection, acts


def listened(topic: Topic, end: Us, now: Us = NOW) -> DecodedBatch:
    connection, acts = subscribed(topic, now=now)
    return heard([*acts, *connection.until(end)])


def table(frame: pl.DataFrame | None, data_type: DataType) -> pl.DataFrame:
    assert frame is not None
    return asked(frame, data_type)


def in_base(symbol: Symbol) -> pl.Expr:
    """Convert amounts as the engine does where a channel counts contracts, here of a dollar."""
    channels = [OURS.channel(symbol.market_type, data_type) for data_type in (TRADES, ORDERBOOK)]
    [contracts] = {channel.contracts for channel in channels if channel}
    return pl.col("amount") / (pl.col("price") if contracts else 1.0)


class TestTrades:
    def test_the_trades_of_a_moment_are_one_message(self) -> None:
        acts = subscribed(trades_of(BTC))[0].until(Us(NOW + MINUTE))
        rows: list[Any] = told(acts)
        assert max(len(row["data"]) for row in rows) > 1
        for row in rows:
            assert {trade["T"] for trade in row["data"]} == {row["ts"]}
            assert (row["topic"], row["type"]) == ("publicTrade.BTCUSDT", "snapshot")
        assert all(before.at < after.at for before, after in pairwise(acts))


class TestBars:
    def test_a_name_that_spot_shares_with_a_contract_keeps_its_volumes(self) -> None:
        """The topic alone does not tell whether it is dollars that are counted."""
        spot = Symbol.parse("BTC/USD")
        assert bars_of(spot, MINUTE).market == bars_of(INVERSE, MINUTE).market
        for symbol in (spot, INVERSE):
            bars = listened(bars_of(symbol, MINUTE), Us(NOW + HOUR)).bars
            assert bars is not None
            wanted = MARKET.truth_bars(
                "bybit", symbol, MINUTE, TimeRange(Us(NOW - NOW % MINUTE), Us(NOW + HOUR - NOW % MINUTE))
            )
            assert table(bars.filter("closed"), OHLC).equals(wanted)

    def test_a_quiet_minute_is_pushed_and_confirmed_too(self) -> None:
        bars = listened(bars_of(ETH, MINUTE), Us(NOW + HOUR)).bars
        assert bars is not None
        quiet = bars.filter(pl.col("closed") & (pl.col("volume") == 0))
        assert quiet.height
        assert quiet.select((pl.col("open") == pl.col("close")).all()).item()


class TestBooks:
    def test_it_begins_with_what_the_rest_interface_says_and_grows_by_one(self) -> None:
        topic = book_of(BTC, 1_000)
        begun, *rest = listened(topic, Us(NOW + SECOND)).books
        route = next(route for route in VENUE.routes if route.path == "/v5/market/orderbook")
        params = {"category": "spot", "symbol": topic.market, "limit": "1000"}
        body: Any = msgspec.json.decode(route.answer(Ask(MARKET, params, NOW, Rule(1, SECOND), Hidden())))
        asked = body["result"]
        assert [[list(level) for level in side] for side in (begun.bids, begun.asks)] == [
            asked["b"],
            asked["a"],
        ]
        assert (begun.last, begun.at) == (asked["u"], asked["cts"] * MILLISECOND)
        assert begun.at == NOW - NOW % BOOK_PERIOD
        numbers = [change.last for change in (begun, *rest)]
        assert numbers == [*range(asked["u"], asked["u"] + 11)]

    def test_the_subscriber_of_a_version_s_first_moment_gets_it_once(self) -> None:
        now = Us(NOW - NOW % BOOK_PERIOD)
        connection, acts = subscribed(book_of(BTC), now=now)
        assert [change.last for change in heard(acts).books] == [now // BOOK_PERIOD]
        assert connection.until(Us(now + BOOK_PERIOD)) == []
        assert len(connection.until(Us(now + BOOK_PERIOD + 1))) == 1

    def test_a_message_says_when_it_was_sent_and_when_the_book_was_made(self) -> None:
        _, acts = subscribed(book_of(BTC))
        [_, first] = told(acts)
        assert (first["ts"], first["cts"]) == (NOW // MILLISECOND, (NOW - NOW % BOOK_PERIOD) // MILLISECOND)
        assert heard(acts).at == NOW

    def test_what_is_gone_has_size_0_and_nothing_stays_beyond_the_depth(self) -> None:
        connection, acts = subscribed(book_of(BTC))
        book = book_kept(BTC)
        acts += connection.until(Us(NOW + 10 * SECOND))
        for change in heard(acts).books:
            book.apply(change)
            assert (len(book.bids), len(book.asks)) == (50, 50)
        assert any('","0"]' in act.text for act in messages(acts))
        assert not any("0.00000000" in act.text for act in messages(acts))


class TestFaults:
    @pytest.mark.parametrize("nth", [2, 7])
    def test_numbers_may_begin_anew_with_1_and_a_whole_book(self, nth: int) -> None:
        changes = struck(StreamFault(kind=StreamFaultKind.RESET, nth=nth))
        numbers = [change.last for change in changes]
        assert numbers[nth - 1 :] == [*range(1, len(numbers) - nth + 2)]
        assert changes[nth - 1].whole
        book = book_kept(BTC)
        assert all(book.apply(change) for change in changes)
        at = changes[-1].at
        assert at is not None
        assert rows_of(book, BTC, at).equals(MARKET.truth_book("bybit", BTC, at, 50).drop("received"))


class TestWords:
    @pytest.mark.parametrize(("kind", "text"), [("spot", "subscribe"), ("linear", ""), ("inverse", "")])
    def test_an_answer_tells_the_number_of_its_request(self, kind: str, text: str) -> None:
        ticker = "BTCUSD" if kind == "inverse" else "BTCUSDT"
        words = {"req_id": "a", "op": "subscribe", "args": [f"publicTrade.{ticker}", f"kline.M.{ticker}"]}
        [answer] = told(talk(kind).say(words))
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": text, "req_id": "a", "op": "subscribe"}

    @pytest.mark.parametrize(
        ("kind", "topic"),
        [
            ("spot", "publicTrade.NOPEUSDT"),
            ("spot", "publicTrade.btcusdt"),
            ("linear", "publicTrade.BTCUSD"),
            ("inverse", "publicTrade.BTCUSDT"),
            ("spot", "orderbook.500.BTCUSDT"),
            ("spot", "orderbook.BTCUSDT"),
            ("spot", "kline.7.BTCUSDT"),
            ("spot", "kline.1m.BTCUSDT"),
            ("spot", "trade.BTCUSDT"),
            ("spot", "orderBookL2_25.BTCUSDT"),
            ("spot", "*"),
        ],
    )
    def test_one_unknown_topic_refuses_its_whole_request(self, kind: str, topic: str) -> None:
        connection = talk(kind)
        good = "publicTrade.BTCUSD" if kind == "inverse" else "publicTrade.BTCUSDT"
        words = {"req_id": f"{kind}:4", "op": "subscribe", "args": [good, topic]}
        answer = connection.say(words)
        assert heard(answer).acks == [Ack(id=4, error=f"error:handler not found,topic:{topic}")]
        assert connection.until(Us(NOW + MINUTE)) == []

    def test_a_topic_that_is_on_is_refused_and_goes_on(self) -> None:
        connection, _ = subscribed(trades_of(BTC))
        answer = said(connection, OURS.subscribe([trades_of(BTC)], 8))
        assert [row["success"] for row in told(answer)] == [False]
        assert heard(answer).acks == [Ack(topic="publicTrade.BTCUSDT")]
        rows = heard(connection.until(Us(NOW + MINUTE))).trades
        wanted = MARKET.truth_trades("bybit", BTC, TimeRange(NOW, Us(NOW + MINUTE)))
        assert table(rows, TRADES).equals(wanted)

    @pytest.mark.parametrize(("kind", "refused"), [("spot", True), ("linear", False)])
    def test_spot_takes_ten_topics_a_request(self, kind: str, *, refused: bool) -> None:
        minutes = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
        names = [f"kline.{n}.BTCUSDT" for n in minutes]
        connection = talk(kind)
        answers = [
            *told(connection.say({"op": "subscribe", "args": ["publicTrade.BTCUSDT", *names]})),
            *told(talk(kind).say({"op": "subscribe", "args": names})),
        ]
        assert [row["success"] for row in answers] == [not refused, True]
        assert (answers[0]["ret_msg"] == "args size >10") == refused

    def test_the_topics_of_a_connection_have_so_many_characters(self) -> None:
        connection, _ = subscribed(trades_of(PERP))
        left = 21_000 - len("publicTrade.BTCUSDT")
        for length, text in ((left, "handler not found"), (left + 1, "args too long")):
            [answer] = told(connection.say({"op": "subscribe", "args": ["x" * length]}))
            assert text in str(answer["ret_msg"])

    def test_a_ping_is_answered(self) -> None:
        [answer] = told(talk().say({"req_id": "9", "op": "ping"}))
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": "pong", "req_id": "9", "op": "ping"}
        assert OURS.ping
        assert heard(said(talk("linear"), OURS.ping(3))) == DecodedBatch()

    def test_an_operation_that_it_does_not_know_is_none_of_a_topic(self) -> None:
        acts = talk().say({"op": "sing"})
        assert [(answer["success"], answer["ret_msg"]) for answer in told(acts)] == [
            (False, "error:invalid op")
        ]
        assert heard(acts) == DecodedBatch()

    @pytest.mark.parametrize("words", ["garbage", "", {"op": "subscribe", "args": "x"}, []])
    def test_what_it_does_not_understand_is_an_error(self, words: object) -> None:
        connection = talk()
        [ack] = heard(connection.say(words)).acks
        assert ack.error
        assert (ack.topic, ack.id) == (None, None)


class TestLimits:
    def test_a_quiet_connection_is_cut_after_ten_minutes(self) -> None:
        cut = Close(Us(NOW + 10 * MINUTE), ABORTED)
        quiet = talk(enforced=True)
        assert closes(quiet.until(cut.at)) == []
        assert closes(quiet.until(Us(cut.at + 1))) == [cut]
        assert closes(talk(enforced=True).until(Us(NOW + HOUR))) == [cut]
        assert closes(talk().until(Us(NOW + HOUR))) == []

    def test_words_and_data_keep_it_open(self) -> None:
        pinging = talk(enforced=True)
        for minute in range(9, 60, 9):
            assert closes(pinging.until(Us(NOW + minute * MINUTE))) == []
            pinging.say({"op": "ping"})
        pushed, _ = subscribed(bars_of(BTC, MINUTE), enforced=True)
        for minute in range(9, 60, 9):
            assert closes(pushed.until(Us(NOW + minute * MINUTE))) == []
        said(pushed, OURS.unsubscribe([bars_of(BTC, MINUTE)], 2, None))
        assert closes(pushed.until(Us(NOW + DAY))) == [Close(Us(NOW + 64 * MINUTE), ABORTED)]

    def test_so_many_may_connect_in_five_minutes(self) -> None:
        ours = OURS.connects
        assert LIVE.connects == Rule(500, Us(5 * MINUTE)) == Rule(ours.amount, ours.period)
        assert LIVE.refused.status == 403

    def test_a_full_connection_of_ours_has_fewer_characters(self) -> None:
        longest = Topic(ORDERBOOK, "1000000BABYDOGEUSDT", "linear", depth=1_000)
        assert OURS.most * len(OURS.name(longest)) < 21_000


def channel_of(symbol: Symbol) -> Channel:
    channel = OURS.channel(symbol.market_type, ORDERBOOK)
    assert channel is not None
    return channel


def book_kept(symbol: Symbol) -> Book:
    return Book(channel_of(symbol))


def rows_of(book: Book, symbol: Symbol, at: Us) -> pl.DataFrame:
    """Return a book in our table, in the base currency."""
    assert book.lost is None
    sides = [("bid", book.bids.best(9_999)), ("ask", book.asks.best(9_999))]
    found = [
        (at, side, level, float(price), float(amount))
        for side, levels in sides
        for level, (price, amount) in enumerate(levels)
    ]
    schema = {name: of for name, of in ORDERBOOK.table.schema.items() if name != "received"}
    frame = pl.DataFrame(found, schema=list(schema), orient="row")
    return frame.cast({name: schema[name] for name in schema}).with_columns(in_base(symbol))


def line(connection: Talk, fault: StreamFault, acts: Sequence[Act]) -> list[Act]:
    reports: list[Message] = []
    wire = Line("bybit", LIVE, connection.side, lambda _, message: reports.append(message))
    return wire.sent(acts, StreamInjector([fault], 1), connection.now)


def struck(fault: StreamFault | None) -> list[BookChange]:
    """Return what comes of three seconds of a book, its first snapshot included, that meet a fault."""
    connection, acts = subscribed(book_of(BTC))
    acts += connection.until(Us(NOW + 3 * SECOND))
    return heard(line(connection, fault, acts) if fault else acts).books
