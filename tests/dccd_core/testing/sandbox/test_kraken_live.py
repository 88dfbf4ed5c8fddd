from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import BookChange, DecodedBatch, Precision, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges.kraken import market
from dccd_core.exchanges.kraken_live import LIVE as ADAPTER
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.kraken_live import LIVE
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import Act, Close, Message
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, DOGE = (Symbol.parse(f"{base}/USD") for base in ("BTC", "ETH", "DOGE"))
MARKET = Market(trades_per_day={"BTC/USD": 500_000, "DOGE/USD": 300})
BOOKS = ADAPTER.channels[DataType.ORDERBOOK]
ONLINE = '{"channel":"status","type":"update","data":[{"version":"2.0.0","system":"online",'


def talk(now: Us = NOW) -> Talk:
    return Talk(LIVE, "/v2", now, MARKET)


def topic(data_type: DataType, symbol: Symbol, bar: str = "1m", depth: int = 10) -> Topic:
    span = parse_bar_span(bar) if data_type is DataType.OHLC else None
    levels = depth if data_type is DataType.ORDERBOOK else 0
    return Topic(data_type, market(symbol), bar=span, depth=levels, live_name=str(symbol))


def subscribed(*topics: Topic, now: Us = NOW) -> tuple[Talk, list[Act]]:
    """Subscribe as the adapter does; return what was answered too."""
    connection = talk(now)
    words = [ADAPTER.subscribe([one], number).decode() for number, one in enumerate(topics, 1)]
    return connection, [act for text in words for act in connection.say(text)]


def order(channel: str, *symbols: str, **params: object) -> dict[str, object]:
    return {"method": "subscribe", "params": {"channel": channel, "symbol": symbols, **params}, "req_id": 7}


def heard(acts: Sequence[Act], state: object = None) -> DecodedBatch:
    """Return what our adapter makes of it."""
    sent = messages(acts)
    result = ADAPTER.decode([one.text.encode() for one in sent], [one.at for one in sent], state)
    assert result.bad == []
    return result


def rows(frame: pl.DataFrame | None, data_type: DataType) -> pl.DataFrame:
    assert frame is not None
    return asked(frame, data_type)


def data(acts: Sequence[Act], name: str) -> list[Any]:
    return [row for message in told(acts, name) for row in _rows(message)]


def _rows(message: Any) -> list[Any]:
    return message["data"]


class TestTrades:
    NAME = "trade@BTC/USD"

    def test_trades_of_one_moment_share_a_message(self) -> None:
        connection, _ = subscribed(topic(DataType.TRADES, BTC))
        sizes = [len(_rows(message)) for message in told(connection.until(Us(NOW + MINUTE)), self.NAME)]
        assert max(sizes) > 10
        assert min(sizes) == 1

    def test_numbers_are_no_text_and_sides_are_the_takers(self) -> None:
        connection, _ = subscribed(topic(DataType.TRADES, BTC))
        first = messages(connection.until(Us(NOW + MINUTE)), self.NAME)[0]
        assert '"price":"' not in first.text
        row = _rows(msgspec.json.decode(first.text))[0]
        tape = MARKET.tape("kraken", BTC).by_id(row["trade_id"] - 1, 1)
        assert row["side"] == ("sell" if tape.buyer_is_maker[0] else "buy")

    def test_a_snapshot_of_the_last_fifty_comes_only_if_wanted(self) -> None:
        assert len(told(talk().say(order("trade", "BTC/USD")))) == 1
        assert len(told(talk().say(order("trade", "BTC/USD", snapshot=False)))) == 1
        snapshot = told(talk().say(order("trade", "BTC/USD", snapshot=True)))[1]
        assert snapshot["type"] == "snapshot"
        last = MARKET.tape("kraken", BTC).count_before(NOW)
        assert [row["trade_id"] for row in _rows(snapshot)] == list(range(last - 49, last + 1))


class TestBars:
    def test_nothing_is_told_of_quiet_bars_nor_when_one_ends(self) -> None:
        connection, _ = subscribed(topic(DataType.OHLC, ETH))
        pushed = data(connection.until(Us(NOW + 2 * HOUR)), "ohlc-1@ETH/USD")
        assert all(row["trades"] > 0 for row in pushed)
        assert "closed" not in pushed[0]
        opens = [parse_time(row["interval_begin"]) for row in pushed]
        assert max(after - before for before, after in pairwise(opens)) > MINUTE
        keys = [(row["interval_begin"], row["trades"]) for row in pushed]
        assert len(keys) == len(set(keys))

    def test_the_time_that_looks_like_one_is_where_the_bar_ends(self) -> None:
        connection, _ = subscribed(topic(DataType.OHLC, BTC, "5m"))
        acts = connection.until(Us(NOW + MINUTE))
        row = data(acts, "ohlc-5@BTC/USD")[0]
        assert row["interval_begin"] == "2024-06-05T12:00:00.000000000Z"
        assert row["timestamp"] == "2024-06-05T12:05:00.000000Z"
        assert heard(messages(acts, "ohlc-5@BTC/USD")).at is None

    def test_the_snapshot_is_the_bar_of_the_last_trade_however_old(self) -> None:
        now = Us(NOW + MINUTE)
        tape = MARKET.tape("kraken", ETH)
        while tape.count_before(now) != tape.count_before(Us(now - 3 * MINUTE)):
            now = Us(now + 10 * SECOND)
        _, first = subscribed(topic(DataType.OHLC, ETH), now=now)
        [row] = data(first, "ohlc-1@ETH/USD")
        last = Us(int(tape.by_id(tape.count_before(now) - 1, 1).time[0]))
        assert parse_time(row["interval_begin"]) == last - last % MINUTE < now - now % MINUTE - MINUTE

    def test_before_the_first_trade_the_snapshot_is_empty(self) -> None:
        new = Symbol.parse("NEW/USDT")
        _, first = subscribed(topic(DataType.OHLC, new), now=parse_time("2024-02-10T07:59"))
        assert told(first, "ohlc-1@NEW/USDT")[0]["data"] == []
        assert heard(first).bars is None


class TestBooks:
    def book(self, symbol: Symbol, depth: int) -> Book:
        return Book(BOOKS, depth, Precision(MARKET.instruments[symbol].price_scale, 8))

    def top(self, book: Book, depth: int) -> list[tuple[float, float]]:
        both = [*book.bids.best(depth), *book.asks.best(depth)]
        return [(float(price), float(amount)) for price, amount in both]

    def test_at_depth_10_levels_pushed_out_are_not_told(self) -> None:
        connection, first = subscribed(topic(DataType.ORDERBOOK, BTC))
        changes = heard([*first, *connection.until(Us(NOW + 10 * SECOND))]).books
        never_cut = Book(ADAPTER.channels[DataType.TRADES])
        for change in changes:
            never_cut.apply(change)
        assert len(never_cut.bids) + len(never_cut.asks) > 20

    def test_numbers_have_fewer_decimals_than_the_checksum_counts(self) -> None:
        _, first = subscribed(topic(DataType.ORDERBOOK, BTC))
        [change] = heard(first).books
        assert {len(amount.partition(".")[2]) for _, amount in change.asks} == {5}
        assert change.checksum == self.checksum(change, Precision(2, 8))
        assert change.checksum != self.checksum(change, None)

    def checksum(self, change: BookChange, precision: Precision | None) -> int:
        assert BOOKS.checksum is not None
        return BOOKS.checksum(change.bids[:10], change.asks[:10], precision)

    def faulty(self, fault: StreamFault) -> Book:
        """Return a book at depth 10 after one fault has struck."""
        connection, first = subscribed(topic(DataType.ORDERBOOK, BTC))
        acts = [*first, *connection.until(Us(NOW + 5 * SECOND))]
        struck = list[Message]()
        line = Line("kraken", LIVE, connection.side, lambda _, message: struck.append(message))
        sent = line.sent(acts, StreamInjector([fault], 0), connection.now)
        assert len(struck) == 1
        book = self.book(BTC, 10)
        for change in heard(sent).books:
            if not book.apply(change):
                break
        return book

    def test_a_wrong_checksum_is_noticed(self) -> None:
        book = self.faulty(StreamFault(kind=StreamFaultKind.WRONG_CHECKSUM, topic="book@*", nth=5))
        assert str(book.lost).startswith("checksum ")

    def test_a_lost_update_is_noticed_or_made_up_for_by_the_next(self) -> None:
        noticed = 0
        truth = MARKET.truth_book("kraken", BTC, Us(NOW + 5 * SECOND), 10).select("price", "amount").rows()
        for nth in range(2, 20):
            book = self.faulty(StreamFault(kind=StreamFaultKind.DROP, topic="book@*", nth=nth))
            noticed += str(book.lost).startswith("checksum ")
            assert book.lost is not None or self.top(book, 10) == truth
        assert noticed > 12

    def test_a_moment_that_changes_nothing_is_not_told(self) -> None:
        connection, _ = subscribed(topic(DataType.ORDERBOOK, ETH))
        changes = heard(connection.until(Us(NOW + 30 * SECOND))).books
        assert 0 < len(changes) < 300
        assert all(change.bids or change.asks for change in changes)


class TestWords:
    def test_it_greets_with_its_status(self) -> None:
        [greeting] = messages(talk().greeting)
        assert greeting.text.startswith(ONLINE)
        assert heard([greeting]).restart is None
        shut = talk(parse_time("2023-03-24T10:30")).greeting
        assert heard(shut).restart == "Kraken's engine is down: maintenance"

    def test_an_outage_is_said_to_begin_and_to_end(self) -> None:
        start, end = parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00")
        connection, _ = subscribed(topic(DataType.TRADES, BTC), now=Us(start - 90 * SECOND))
        acts = connection.until(Us(end + MINUTE))
        said = [(act.at, row["data"][0]["system"]) for act, row in self.statuses(acts)]
        assert said == [(start, "maintenance"), (end, "online")]
        assert messages([act for act in acts if start < act.at < end], "trade@BTC/USD") == []

    def statuses(self, acts: Sequence[Act]) -> list[tuple[Message, Any]]:
        both = [(one, msgspec.json.decode(one.text)) for one in messages(acts)]
        return [(act, row) for act, row in both if row["channel"] == "status"]

    def test_each_symbol_has_an_answer_of_its_own(self) -> None:
        answers = told(talk().say(order("trade", "BTC/USD", "XBT/USD", "ETH/USD", snapshot=False)))
        assert [answer["success"] for answer in answers] == [True, False, True]
        assert [answer["req_id"] for answer in answers] == [7, 7, 7]
        good, bad, _ = answers
        assert good["result"] == {"channel": "trade", "symbol": "BTC/USD", "snapshot": False}
        assert (bad["error"], bad["symbol"]) == ("Currency pair not supported XBT/USD", "XBT/USD")
        assert "result" not in bad
        assert good["time_in"] == good["time_out"] == "2024-06-05T12:00:20.050000Z"

    def test_answers_say_what_was_subscribed(self) -> None:
        book = told(talk().say(order("book", "BTC/USD")))
        assert book[0]["result"] == {"channel": "book", "symbol": "BTC/USD", "depth": 10, "snapshot": True}
        assert (book[1]["channel"], book[1]["type"]) == ("book", "snapshot")
        bars = told(talk().say(order("ohlc", "BTC/USD", interval=5, snapshot=False)))
        assert len(bars) == 1
        result: Any = bars[0]["result"]
        assert (result["interval"], len(result["warnings"])) == (5, 1)

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (order("book", "BTC/USD", depth=50), "Subscription book depth not supported"),
            (order("ohlc", "BTC/USD", interval=3), "Subscription ohlc interval not supported"),
            (order("ohlc", "BTC/USD", interval=10_080), "Subscription ohlc interval not supported"),
            (order("tape", "BTC/USD"), "Channel not supported"),
            (order("trade", "BTC/USD:BTC"), "Currency pair not supported BTC/USD:BTC"),
            (
                {"method": "unsubscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}},
                "Subscription Not Found",
            ),
            ({"method": "subscribe"}, "Channel not supported"),
            ("garbage", "Malformed request"),
            ({"method": "sing"}, "Malformed request"),
            (
                {"method": "subscribe", "params": {"channel": "book", "symbol": "BTC/USD"}},
                "Malformed request",
            ),
        ],
    )
    def test_what_it_cannot_do_is_an_error(self, words: object, error: str) -> None:
        connection = talk()
        [answer] = told(connection.say(words))
        assert (answer["error"], answer["success"]) == (error, False)
        assert not connection.side.feeds

    def test_nobody_subscribes_twice(self) -> None:
        connection, _ = subscribed(topic(DataType.ORDERBOOK, BTC))
        [answer] = told(connection.say(order("book", "BTC/USD", depth=25)))
        assert answer["error"] == "Already subscribed"


class TestKeepingAlive:
    def test_heartbeats_come_only_while_nothing_else_does(self) -> None:
        quiet, _ = subscribed(topic(DataType.TRADES, ETH))
        acts = messages(quiet.until(Us(NOW + 10 * MINUTE)))
        beats = [act for act in acts if act.text == '{"channel":"heartbeat"}']
        assert 100 < len(beats) < 600
        assert max(after.at - before.at for before, after in pairwise(acts)) < 2 * SECOND
        assert all(beat.at - before.at > 0 for before, beat in pairwise(acts) if beat in beats)
        busy, _ = subscribed(topic(DataType.ORDERBOOK, BTC))
        assert {act.topic for act in messages(busy.until(Us(NOW + 10 * SECOND)))} == {"book@BTC/USD"}

    def test_nobody_without_a_subscription_gets_any(self) -> None:
        assert messages(talk().until(Us(NOW + 50 * SECOND))) == []

    def test_who_subscribes_to_nothing_and_says_nothing_is_dropped_after_a_minute(self) -> None:
        connection = talk()
        connection.until(Us(NOW + 40 * SECOND))
        connection.say({"method": "ping"})
        assert closes(connection.until(Us(NOW + 100 * SECOND))) == []
        assert closes(connection.until(Us(NOW + 101 * SECOND))) == [
            Close(Us(NOW + 100 * SECOND), 1000, "idle")
        ]
        subscriber, _ = subscribed(topic(DataType.TRADES, ETH))
        assert closes(subscriber.until(Us(NOW + HOUR))) == []
