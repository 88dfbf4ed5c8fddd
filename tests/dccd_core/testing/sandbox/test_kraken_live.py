from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from dccd_core.adapter.live import BookChange, Precision, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges.kraken import market
from dccd_core.exchanges.kraken_live import LIVE as ADAPTER
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.kraken_live import LIVE
from dccd_core.testing.sandbox.live import Act, Close, Message
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.dccd_core.testing.sandbox.listener import Listener, kept_of, same_book, struck, understood
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


BOOK = topic(DataType.ORDERBOOK, BTC)
SERVED = ("kraken", "spot", DataType.ORDERBOOK)


heard = partial(understood, "kraken")


def subscribed(*topics: Topic, now: Us = NOW) -> Listener:
    return Listener("kraken", *topics, market=MARKET, now=now)


def data(acts: Sequence[Act], name: str) -> list[Any]:
    return [row for message in told(acts, name) for row in rows(message)]


def rows(message: Any) -> list[Any]:
    return message["data"]


def order(channel: str, *symbols: str, **params: object) -> dict[str, object]:
    return {"method": "subscribe", "params": {"channel": channel, "symbol": symbols, **params}, "req_id": 7}


class TestTrades:
    NAME = "trade@BTC/USD"

    def test_trades_of_one_moment_share_a_message(self) -> None:
        connection = subscribed(topic(DataType.TRADES, BTC)).talk
        sizes = [len(rows(message)) for message in told(connection.until(Us(NOW + MINUTE)), self.NAME)]
        assert max(sizes) > 10
        assert min(sizes) == 1

    def test_numbers_are_no_text_and_sides_are_the_takers(self) -> None:
        connection = subscribed(topic(DataType.TRADES, BTC)).talk
        first = messages(connection.until(Us(NOW + MINUTE)), self.NAME)[0]
        assert '"price":"' not in first.text
        row = rows(msgspec.json.decode(first.text))[0]
        tape = MARKET.tape("kraken", BTC).by_id(row["trade_id"] - 1, 1)
        assert row["side"] == ("sell" if tape.buyer_is_maker[0] else "buy")

    def test_a_snapshot_of_the_last_fifty_comes_only_if_wanted(self) -> None:
        assert len(told(talk().say(order("trade", "BTC/USD")))) == 1
        assert len(told(talk().say(order("trade", "BTC/USD", snapshot=False)))) == 1
        snapshot = told(talk().say(order("trade", "BTC/USD", snapshot=True)))[1]
        assert snapshot["type"] == "snapshot"
        last = MARKET.tape("kraken", BTC).count_before(NOW)
        assert [row["trade_id"] for row in rows(snapshot)] == list(range(last - 49, last + 1))


class TestBars:
    def test_nothing_is_told_of_quiet_bars_nor_when_one_ends(self) -> None:
        connection = subscribed(topic(DataType.OHLC, ETH)).talk
        pushed = data(connection.until(Us(NOW + 2 * HOUR)), "ohlc-1@ETH/USD")
        assert all(row["trades"] > 0 for row in pushed)
        assert "closed" not in pushed[0]
        opens = [parse_time(row["interval_begin"]) for row in pushed]
        assert max(after - before for before, after in pairwise(opens)) > MINUTE
        keys = [(row["interval_begin"], row["trades"]) for row in pushed]
        assert len(keys) == len(set(keys))

    def test_the_time_that_looks_like_one_is_where_the_bar_ends(self) -> None:
        connection = subscribed(topic(DataType.OHLC, BTC, "5m")).talk
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
        [row] = data(subscribed(topic(DataType.OHLC, ETH), now=now).acts, "ohlc-1@ETH/USD")
        last = Us(int(tape.by_id(tape.count_before(now) - 1, 1).time[0]))
        assert parse_time(row["interval_begin"]) == last - last % MINUTE < now - now % MINUTE - MINUTE

    def test_before_the_first_trade_the_snapshot_is_empty(self) -> None:
        new = Symbol.parse("NEW/USDT")
        listener = subscribed(topic(DataType.OHLC, new), now=parse_time("2024-02-10T07:59"))
        assert told(listener.acts, "ohlc-1@NEW/USDT")[0]["data"] == []
        assert all(heard.bars is None for heard in listener.heard)


class TestBooks:
    def test_at_depth_10_levels_pushed_out_are_not_told(self) -> None:
        listener, never_cut = subscribed(BOOK), Book(ADAPTER.channels[DataType.TRADES])
        listener.until(Us(NOW + 10 * SECOND))
        for change in listener.books:
            never_cut.apply(change)
        assert len(never_cut.bids) + len(never_cut.asks) > 20

    def test_numbers_have_fewer_decimals_than_the_checksum_counts(self) -> None:
        [change] = subscribed(BOOK).books
        assert {len(amount.partition(".")[2]) for _, amount in change.asks} == {5}
        assert change.checksum == self.checksum(change, Precision(2, 8))
        assert change.checksum != self.checksum(change, None)

    def checksum(self, change: BookChange, precision: Precision | None) -> int:
        assert BOOKS.checksum is not None
        return BOOKS.checksum(change.bids[:10], change.asks[:10], precision)

    def faulty(self, kind: StreamFaultKind, nth: int) -> Book:
        """Return a book at depth 10 after one fault has struck."""
        fault = StreamFault(kind=kind, topic="book@*", nth=nth)
        book = kept_of(SERVED, BOOK, MARKET, BTC)
        for change in struck(subscribed(BOOK), fault, seconds=5).books:
            if not book.apply(change):
                break
        return book

    def test_a_wrong_checksum_is_noticed(self) -> None:
        book = self.faulty(StreamFaultKind.WRONG_CHECKSUM, 5)
        assert str(book.lost).startswith("checksum ")

    def test_a_lost_update_is_noticed_or_made_up_for_by_the_next(self) -> None:
        noticed = 0
        for nth in range(2, 20):
            book = self.faulty(StreamFaultKind.DROP, nth)
            noticed += str(book.lost).startswith("checksum ")
            if book.lost is None:
                same_book(SERVED, BOOK, book, MARKET, BTC, Us(NOW + 5 * SECOND))
        assert noticed > 12

    def test_a_moment_that_changes_nothing_is_not_told(self) -> None:
        changes = subscribed(topic(DataType.ORDERBOOK, ETH)).until(Us(NOW + 30 * SECOND)).books
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
        connection = subscribed(topic(DataType.TRADES, BTC), now=Us(start - 90 * SECOND)).talk
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
        connection = subscribed(BOOK).talk
        [answer] = told(connection.say(order("book", "BTC/USD", depth=25)))
        assert answer["error"] == "Already subscribed"


class TestKeepingAlive:
    def test_heartbeats_come_only_while_nothing_else_does(self) -> None:
        quiet = subscribed(topic(DataType.TRADES, ETH)).talk
        acts = messages(quiet.until(Us(NOW + 10 * MINUTE)))
        beats = [act for act in acts if act.text == '{"channel":"heartbeat"}']
        assert 100 < len(beats) < 600
        assert max(after.at - before.at for before, after in pairwise(acts)) < 2 * SECOND
        assert all(beat.at - before.at > 0 for before, beat in pairwise(acts) if beat in beats)
        busy = subscribed(BOOK).talk
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
        subscriber = subscribed(topic(DataType.TRADES, ETH)).talk
        assert closes(subscriber.until(Us(NOW + HOUR))) == []
