"""What the sandbox sends is the truth, as soon as the adapter has read it."""

from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, DecodedBatch, Topic
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
from dccd_core.testing.sandbox.live import ABORTED, Close
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.venue import Ask, Hidden
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.listener import Listener, understood
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, PERP, INVERSE = map(Symbol.parse, ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
SYMBOLS = [BTC, PERP, INVERSE]
MARKET = Market(trades_per_day={str(symbol): 500_000 for symbol in SYMBOLS})
TRADES, OHLC, ORDERBOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK


def trades_of(symbol: Symbol) -> Topic:
    return Topic(TRADES, adapter.market(symbol), symbol.market_type)


def bars_of(symbol: Symbol, bar: Us) -> Topic:
    return Topic(OHLC, adapter.market(symbol), symbol.market_type, bar)


def book_of(symbol: Symbol, depth: int = 50) -> Topic:
    return Topic(ORDERBOOK, adapter.market(symbol), symbol.market_type, depth=depth)


def talk(kind: str = "spot", now: Us = NOW, *, enforced: bool = False) -> Talk:
    return Talk(LIVE, f"/v5/public/{kind}", now, MARKET, enforced=enforced)


heard = partial(understood, "bybit")


def subscribed(*topics: Topic, now: Us = NOW, enforced: bool = False) -> Listener:
    """Return a connection that was agreed to."""
    listener = Listener("bybit", *topics, market=MARKET, now=now, enforced=enforced)
    acks = [ack for heard in listener.heard for ack in heard.acks]
    assert acks == [Ack(id=number) for number in range(1, len(topics) + 1)]
    return listener


class TestTrades:
    def test_the_trades_of_a_moment_are_one_message(self) -> None:
        acts = subscribed(trades_of(BTC)).talk.until(Us(NOW + MINUTE))
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
            listener = subscribed(bars_of(symbol, MINUTE))
            listener.until(Us(NOW + HOUR))
            closed = listener.bars().filter("closed")
            wanted = MARKET.truth_bars(
                "bybit", symbol, MINUTE, TimeRange(Us(NOW - NOW % MINUTE), Us(NOW + HOUR - NOW % MINUTE))
            )
            assert asked(closed, OHLC).equals(wanted)

    def test_a_quiet_minute_is_pushed_and_confirmed_too(self) -> None:
        bars = subscribed(bars_of(ETH, MINUTE)).until(Us(NOW + HOUR)).bars
        assert bars is not None
        quiet = bars.filter(pl.col("closed") & (pl.col("volume") == 0))
        assert quiet.height
        assert quiet.select((pl.col("open") == pl.col("close")).all()).item()


class TestBooks:
    def test_it_begins_with_what_the_rest_interface_says_and_grows_by_one(self) -> None:
        topic = book_of(BTC, 1_000)
        listener = subscribed(topic)
        listener.until(Us(NOW + SECOND))
        begun, *rest = listener.books
        route = next(route for route in VENUE.routes if route.path == "/v5/market/orderbook")
        params = {"category": "spot", "symbol": topic.market, "limit": "1000"}
        body: Any = msgspec.json.decode(route.answer(Ask(MARKET, params, NOW, Rule(1, SECOND), Hidden())))
        told = body["result"]
        assert [[list(level) for level in side] for side in (begun.bids, begun.asks)] == [
            told["b"],
            told["a"],
        ]
        assert (begun.last, begun.at) == (told["u"], told["cts"] * MILLISECOND)
        assert begun.at == NOW - NOW % BOOK_PERIOD
        numbers = [change.last for change in (begun, *rest)]
        assert numbers == [*range(told["u"], told["u"] + 11)]

    def test_a_message_says_when_it_was_sent_and_when_the_book_was_made(self) -> None:
        listener = subscribed(book_of(BTC))
        [_, first] = told(listener.acts)
        assert (first["ts"], first["cts"]) == (NOW // MILLISECOND, (NOW - NOW % BOOK_PERIOD) // MILLISECOND)
        assert listener.heard[-1].at == NOW

    def test_what_is_gone_has_size_0_and_nothing_stays_beyond_the_depth(self) -> None:
        listener, book = subscribed(book_of(BTC)), Book(OURS.channels[ORDERBOOK])
        listener.until(Us(NOW + 10 * SECOND))
        for change in listener.books:
            book.apply(change)
            assert (len(book.bids), len(book.asks)) == (50, 50)
        assert any('","0"]' in act.text for act in messages(listener.acts))
        assert not any("0.00000000" in act.text for act in messages(listener.acts))


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
        listener = subscribed(trades_of(BTC))
        answer = listener.say(OURS.subscribe([trades_of(BTC)], 8))
        assert told(listener.acts)[-1]["success"] is False
        assert answer.acks == [Ack(topic="publicTrade.BTCUSDT")]
        rows = listener.until(Us(NOW + MINUTE)).trades
        wanted = MARKET.truth_trades("bybit", BTC, TimeRange(NOW, Us(NOW + MINUTE)))
        assert rows is not None
        assert asked(rows, TRADES).equals(wanted)

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
        connection = subscribed(trades_of(PERP)).talk
        left = 21_000 - len("publicTrade.BTCUSDT")
        for length, text in ((left, "handler not found"), (left + 1, "args too long")):
            [answer] = told(connection.say({"op": "subscribe", "args": ["x" * length]}))
            assert text in str(answer["ret_msg"])

    def test_a_ping_is_answered(self) -> None:
        [answer] = told(talk().say({"req_id": "9", "op": "ping"}))
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": "pong", "req_id": "9", "op": "ping"}
        assert OURS.ping
        assert heard(talk("linear").say(OURS.ping(3).decode())) == DecodedBatch()

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
        listener = subscribed(bars_of(BTC, MINUTE), enforced=True)
        for minute in range(9, 60, 9):
            assert closes(listener.talk.until(Us(NOW + minute * MINUTE))) == []
        listener.say(OURS.unsubscribe([bars_of(BTC, MINUTE)], 2, listener.state))
        assert closes(listener.talk.until(Us(NOW + DAY))) == [Close(Us(NOW + 64 * MINUTE), ABORTED)]

    def test_so_many_may_connect_in_five_minutes(self) -> None:
        ours = OURS.connects
        assert LIVE.connects == Rule(500, Us(5 * MINUTE)) == Rule(ours.amount, ours.period)
        assert LIVE.refused.status == 403

    def test_a_full_connection_of_ours_has_fewer_characters(self) -> None:
        longest = Topic(ORDERBOOK, "1000000BABYDOGEUSDT", "linear", depth=1_000)
        assert OURS.most * len(OURS.name(longest)) < 21_000
