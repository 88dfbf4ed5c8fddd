"""What the sandbox sends is the truth, as soon as the adapter has read it."""

from functools import partial
from itertools import pairwise

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, DecodedBatch, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import okx_live
from dccd_core.exchanges.okx import market
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.books import BOOK_PERIOD
from dccd_core.testing.sandbox.live import Act, Close, Message
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.okx_live import LIVE
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.listener import Listener, kept_of, same_book, understood
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, PERP, INVERSE = map(Symbol.parse, ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
SYMBOLS = [BTC, PERP, INVERSE]
MARKET = Market(trades_per_day={str(symbol): 500_000 for symbol in SYMBOLS})
ADAPTER = okx_live.LIVE
BUSINESS, PUBLIC = LIVE.paths[1], LIVE.paths[0]
SHUT = TimeRange(parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00"))


def topic_of(symbol: Symbol, data_type: DataType = DataType.TRADES, bar: Us | None = None) -> Topic:
    depth = 400 if data_type is DataType.ORDERBOOK else 0
    return Topic(data_type, market(symbol), symbol.market_type, bar, depth)


BOOK = topic_of(BTC, DataType.ORDERBOOK)
BOOKS = ("okx", "spot", DataType.ORDERBOOK)


def talk(path: str = BUSINESS, now: Us = NOW, *, enforced: bool = False) -> Talk:
    return Talk(LIVE, path, now, MARKET, enforced=enforced)


heard = partial(understood, "okx")


def subscribed(*topics: Topic, now: Us = NOW, enforced: bool = False) -> Listener:
    """Return a connection that was agreed to."""
    listener = Listener("okx", *topics, market=MARKET, now=now, enforced=enforced)
    acks = [ack for heard in listener.heard for ack in heard.acks]
    assert acks == [Ack(ADAPTER.name(topic)) for topic in topics]
    return listener


class TestTrades:
    def test_each_fill_is_a_message_of_its_own_and_counts_nothing(self) -> None:
        rows = told(subscribed(topic_of(BTC)).talk.until(Us(NOW + MINUTE)))
        for row in rows:
            [fill] = msgspec.convert(row["data"], list[dict[str, str]])
            assert list(fill) == ["instId", "tradeId", "px", "sz", "side", "ts", "source"]


class TestBars:
    @pytest.mark.parametrize("text", ["6h", "12h", "1d"])
    def test_long_ones_open_when_the_day_does_here(self, text: str) -> None:
        bar, midnight = parse_bar_span(text), parse_time("2024-06-06")
        topic = topic_of(BTC, DataType.OHLC, bar)
        bars = subscribed(topic, now=Us(midnight - 5 * SECOND)).until(Us(midnight + 3 * SECOND)).bars
        assert bars is not None
        times = bars.select(pl.col("ts").cast(pl.Int64), "closed").rows()
        assert times == [(midnight - bar, False)] * 5 + [(midnight - bar, True)] + [(midnight, False)] * 2
        wanted = MARKET.truth_bars("okx", BTC, bar, TimeRange(Us(midnight - bar), midnight))
        assert asked(bars.filter("closed"), DataType.OHLC).equals(wanted)

    def test_they_come_every_second_and_tell_no_more_than_that_they_have_begun_or_ended(self) -> None:
        listener = subscribed(topic_of(ETH, DataType.OHLC, MINUTE))
        acts = listener.talk.until(Us(NOW + 3 * MINUTE))
        assert {after.at - before.at for before, after in pairwise(messages(acts))} == {SECOND}
        for act in acts:
            found = listener.hear([act])
            assert found.bars is not None
            opened = found.bars["ts"].dt.epoch("us")[0]
            assert found.at == opened + (MINUTE if found.bars["closed"][0] else 0)
            assert act.at - act.at % MINUTE == found.at

    def test_contracts_stand_in_a_cell_of_their_own(self) -> None:
        rows = told(subscribed(topic_of(PERP, DataType.OHLC, MINUTE)).talk.until(Us(NOW + MINUTE)))
        for row in rows:
            [cells] = msgspec.convert(row["data"], list[list[str]])
            assert len(cells) == 9
            assert float(cells[5]) == pytest.approx(float(cells[6]) * 100)


class TestBooks:
    def test_it_begins_whole_and_each_change_names_the_one_before(self) -> None:
        listener = subscribed(BOOK)
        listener.until(Us(NOW + 5 * SECOND))
        begun, *rest = listener.books
        assert (begun.whole, begun.previous, begun.last) == (True, None, NOW // BOOK_PERIOD)
        assert [len(begun.bids), len(begun.asks)] == [400, 400]
        assert begun.at == NOW - NOW % BOOK_PERIOD
        assert '"prevSeqId":-1,' in messages(listener.acts, "books:BTC-USDT")[0].text
        for before, change in pairwise([begun, *rest]):
            assert not change.whole
            assert change.previous == before.last
            assert change.last == (change.at or 0) // BOOK_PERIOD

    def test_there_is_no_checksum_and_a_level_that_is_gone_has_none_of_anything(self) -> None:
        listener = subscribed(BOOK)
        acts = listener.talk.until(Us(NOW + 2 * SECOND))
        assert all('"checksum":0,' in act.text for act in messages(acts))
        assert any('","0","0","0"]' in act.text for act in messages(acts))
        assert all(change.checksum is None for change in listener.hear(acts).books)

    def test_where_nothing_changes_it_says_so_every_minute(self) -> None:
        listener = subscribed(BOOK, now=Us(SHUT.start - SECOND // 2))
        listener.until(Us(SHUT.start + 4 * MINUTE))
        listener.talk.now = Us(SHUT.end - 30 * SECOND)
        listener.until(Us(SHUT.end + SECOND))
        changes = listener.books
        inside = [change for change in changes if SHUT.start < (change.at or 0) < SHUT.end]
        assert [change.at for change in inside] == [SHUT.start + n * MINUTE for n in (1, 2, 3)]
        assert {(*change.bids, *change.asks, change.previous, change.last) for change in inside} == {
            (SHUT.start // BOOK_PERIOD, SHUT.start // BOOK_PERIOD)
        }
        book = kept_of(BOOKS, BOOK, MARKET, BTC)
        assert all(book.apply(change) for change in changes)
        same_book(BOOKS, BOOK, book, MARKET, BTC, changes[-1].at or NOW)


class TestWords:
    def test_each_argument_is_answered_for_itself_with_the_number_of_its_message(self) -> None:
        args = [{"channel": "trades-all", "instId": name} for name in ("BTC-USDT", "NO-PE", "ETH-USDT")]
        connection = talk()
        first, wrong, last = told(connection.say({"id": "12", "op": "subscribe", "args": args}))
        number = first["connId"]
        assert first == {"id": "12", "event": "subscribe", "arg": args[0], "connId": number}
        assert last == {"id": "12", "event": "subscribe", "arg": args[2], "connId": number}
        assert wrong == {
            "event": "error",
            "code": "60018",
            "msg": "Wrong URL or channel:trades-all,instId:NO-PE doesn't exist. "
            "Please use the correct URL, channel and parameters referring to API document.",
            "connId": number,
        }
        assert list(connection.side.feeds) == ["trades-all:BTC-USDT", "trades-all:ETH-USDT"]

    def test_who_subscribes_twice_is_agreed_to_twice_and_sent_once(self) -> None:
        listener = subscribed(BOOK)
        assert listener.say(ADAPTER.subscribe([BOOK], 2)) == DecodedBatch(acks=[Ack("books:BTC-USDT")])
        changes = listener.until(Us(NOW + SECOND)).books
        assert len({change.last for change in changes}) == len(changes)

    def test_a_message_without_a_number_is_answered_without_one(self) -> None:
        arg = {"channel": "books", "instId": "BTC-USDT"}
        answers = told(talk(PUBLIC).say({"op": "unsubscribe", "args": [arg]}))
        assert [list(answer) for answer in answers] == [["event", "arg", "connId"]]

    @pytest.mark.parametrize(
        ("path", "channel", "code"),
        [
            (PUBLIC, "trades-all", "64001"),
            (PUBLIC, "candle1m", "64001"),
            (PUBLIC, "books-l2-tbt", "64003"),
            (PUBLIC, "songs", "60018"),
            (BUSINESS, "books", "60018"),
            (BUSINESS, "books-l2-tbt", "60018"),
            (BUSINESS, "trades", "60018"),
            (BUSINESS, "candle1D", "60018"),
            (BUSINESS, "candle7m", "60018"),
        ],
    )
    def test_what_cannot_be_had_is_refused(self, path: str, channel: str, code: str) -> None:
        arg = {"channel": channel, "instId": "BTC-USDT"}
        [ack] = heard(talk(path).say({"id": "1", "op": "subscribe", "args": [arg]})).acks
        assert (ack.topic, ack.id) == (None, None)
        assert ack.error is not None
        assert ack.error.startswith(f"{code} ")

    @pytest.mark.parametrize("words", ["garbage", "", {"op": "sing", "args": []}, {"op": "subscribe"}])
    def test_what_it_does_not_understand_is_an_error(self, words: object) -> None:
        [answer] = told(talk().say(words))
        assert answer["code"] == "60012"
        assert str(answer["msg"]).startswith("Invalid request: ")


class TestLimits:
    def test_too_many_requests_in_an_hour_are_an_error(self) -> None:
        words = '{"op":"unsubscribe","args":[]}'
        connection, free = talk(enforced=True), talk()
        assert not any(connection.say(words) for _ in range(480))
        assert [answer["code"] for answer in told(connection.say(words))] == ["60014"]
        assert [ack.full for ack in heard(connection.say(words)).acks] == [True]
        assert [message.text for message in messages(connection.say("ping"))] == ["pong"]
        assert not any(free.say(words) for _ in range(481))
        connection.now = Us(NOW + HOUR)
        assert connection.say(words) == []

    @pytest.mark.parametrize(("length", "code"), [(64 * 1_024, None), (64 * 1_024 + 1, 1009)])
    def test_a_request_may_be_so_long(self, length: int, code: int | None) -> None:
        ends = closes(talk(enforced=True).say("x" * length))
        assert [close.code for close in ends] == ([] if code is None else [code])
        assert closes(talk().say("x" * length)) == []

    def test_a_quiet_connection_is_closed(self) -> None:
        assert quiet_until(talk(enforced=True)) == Close(
            Us(NOW + 30 * SECOND), 4004, "No data received in 30s"
        )
        assert closes(seconds(talk(), 100)) == []

    def test_a_word_or_data_keep_it_open(self) -> None:
        spoken = talk(enforced=True)
        seconds(spoken, 20)
        spoken.say("ping")
        assert quiet_until(spoken).at == NOW + 50 * SECOND
        pushed = subscribed(topic_of(BTC, DataType.OHLC, MINUTE), enforced=True).talk
        assert closes(seconds(pushed, 100)) == []

    def test_it_is_the_last_word_that_counts(self) -> None:
        now = Us(SHUT.start - 2 * SECOND)
        connection = subscribed(topic_of(BTC, DataType.OHLC, MINUTE), now=now, enforced=True).talk
        last = [act for act in seconds(connection, 10) if isinstance(act, Message)][-1].at
        assert quiet_until(connection).at == last + 30 * SECOND

    def test_a_jump_of_the_clock_leaves_the_client_time(self) -> None:
        connection = talk(enforced=True)
        assert connection.until(Us(NOW + DAY)) == []
        assert quiet_until(connection).at == NOW + DAY + 30 * SECOND


def seconds(connection: Talk, count: int) -> list[Act]:
    return [act for _ in range(count) for act in connection.until(Us(connection.now + SECOND))]


def quiet_until(connection: Talk) -> Close:
    """Let time pass until the connection is closed."""
    while True:
        if found := closes(seconds(connection, 1)):
            return found[0]
