"""What the sandbox sends is the truth, as soon as the adapter has read it."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import okx_live as adapter
from dccd_core.exchanges.okx import market
from dccd_core.stream.book import Book
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.books import BOOK_PERIOD
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import Act, Close, Message
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.okx_live import LIVE
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamInjector
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.talk import Talk, closes, messages, told

NOW = parse_time("2024-06-05T12:00:20.05")
BTC, ETH, PERP, INVERSE = map(Symbol.parse, ("BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"))
SYMBOLS = [BTC, PERP, INVERSE]
WORTH = {"spot": 1.0, "linear": 0.01, "inverse": 100.0}
MARKET = Market(trades_per_day={str(symbol): 500_000 for symbol in SYMBOLS})
BUSINESS, PUBLIC = LIVE.paths[1], LIVE.paths[0]
SHUT = TimeRange(parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00"))


def topic_of(symbol: Symbol, data_type: DataType = DataType.TRADES, bar: Us | None = None) -> Topic:
    return Topic(data_type, market(symbol), symbol.market_type, bar)


def talk(path: str = BUSINESS, now: Us = NOW, *, enforced: bool = False) -> Talk:
    return Talk(LIVE, path, now, MARKET, enforced=enforced)


def said(talk: Talk, message: bytes) -> list[Act]:
    return talk.say(message.decode())


def subscribed(*topics: Topic, now: Us = NOW, enforced: bool = False) -> tuple[Talk, list[Act]]:
    """Return a connection that was agreed to, and what it sent since."""
    [url] = {adapter.url(topic) for topic in topics}
    connection = talk(url.removeprefix("wss://ws.okx.com:8443"), now, enforced=enforced)
    acts = said(connection, adapter.LIVE.subscribe(topics, 7))
    assert heard(messages(acts, "")).acks == [Ack(adapter.name(topic)) for topic in topics]
    return connection, [act for act in messages(acts) if act.topic]


def heard(acts: Sequence[Act]) -> DecodedBatch:
    came = messages(acts)
    found = adapter.LIVE.decode([act.text.encode() for act in came], [act.at for act in came], None)
    assert found.bad == []
    return found


def truth(frame: pl.DataFrame | None, data_type: DataType) -> pl.DataFrame:
    assert frame is not None
    return asked(frame, data_type)


class TestTrades:
    def test_each_fill_is_a_message_of_its_own_and_counts_nothing(self) -> None:
        rows = told(subscribed(topic_of(BTC))[0].until(Us(NOW + MINUTE)))
        for row in rows:
            [fill] = msgspec.convert(row["data"], list[dict[str, str]])
            assert list(fill) == ["instId", "tradeId", "px", "sz", "side", "ts", "source"]


class TestBars:
    @pytest.mark.parametrize("text", ["6h", "12h", "1d"])
    def test_long_ones_open_when_the_day_does_here(self, text: str) -> None:
        bar, midnight = parse_bar_span(text), parse_time("2024-06-06")
        topic = topic_of(BTC, DataType.OHLC, bar)
        bars = heard(
            subscribed(topic, now=Us(midnight - 5 * SECOND))[0].until(Us(midnight + 3 * SECOND))
        ).bars
        assert bars is not None
        times = bars.select(pl.col("ts").cast(pl.Int64), "closed").rows()
        assert times == [(midnight - bar, False)] * 5 + [(midnight - bar, True)] + [(midnight, False)] * 2
        wanted = MARKET.truth_bars("okx", BTC, bar, span(Us(midnight - bar), midnight))
        assert truth(bars.filter("closed"), DataType.OHLC).equals(wanted)

    def test_they_come_every_second_and_tell_no_more_than_that_they_have_begun_or_ended(self) -> None:
        acts = subscribed(topic_of(ETH, DataType.OHLC, MINUTE))[0].until(Us(NOW + 3 * MINUTE))
        assert {after.at - before.at for before, after in pairwise(messages(acts))} == {SECOND}
        for act in acts:
            found = heard([act])
            assert found.bars is not None
            opened = found.bars["ts"].dt.epoch("us")[0]
            assert found.at == opened + (MINUTE if found.bars["closed"][0] else 0)
            assert act.at - act.at % MINUTE == found.at

    def test_contracts_stand_in_a_cell_of_their_own(self) -> None:
        rows = told(subscribed(topic_of(PERP, DataType.OHLC, MINUTE))[0].until(Us(NOW + MINUTE)))
        for row in rows:
            [cells] = msgspec.convert(row["data"], list[list[str]])
            assert len(cells) == 9
            assert float(cells[5]) == pytest.approx(float(cells[6]) * 100)


class TestBooks:
    def test_it_begins_whole_and_each_change_names_the_one_before(self) -> None:
        connection, first = subscribed(topic_of(BTC, DataType.ORDERBOOK))
        begun, *rest = heard([*first, *connection.until(Us(NOW + 5 * SECOND))]).books
        assert (begun.whole, begun.previous, begun.last) == (True, None, NOW // BOOK_PERIOD)
        assert [len(begun.bids), len(begun.asks)] == [400, 400]
        assert begun.at == NOW - NOW % BOOK_PERIOD
        assert '"prevSeqId":-1,' in messages(first)[0].text
        for before, change in pairwise([begun, *rest]):
            assert not change.whole
            assert change.previous == before.last
            assert change.last == (change.at or 0) // BOOK_PERIOD

    def test_the_subscriber_of_a_version_s_first_moment_gets_it_once(self) -> None:
        now = Us(NOW - NOW % BOOK_PERIOD)
        connection, first = subscribed(topic_of(BTC, DataType.ORDERBOOK), now=now)
        assert [change.last for change in heard(first).books] == [now // BOOK_PERIOD]
        assert [act.at for act in connection.until(Us(now + 1))] == []

    def test_there_is_no_checksum_and_a_level_that_is_gone_has_none_of_anything(self) -> None:
        acts = subscribed(topic_of(BTC, DataType.ORDERBOOK))[0].until(Us(NOW + 2 * SECOND))
        assert all('"checksum":0,' in act.text for act in messages(acts))
        assert any('","0","0","0"]' in act.text for act in messages(acts))
        assert all(change.checksum is None for change in heard(acts).books)

    def test_where_nothing_changes_it_says_so_every_minute(self) -> None:
        connection, first = subscribed(topic_of(BTC, DataType.ORDERBOOK), now=Us(SHUT.start - SECOND // 2))
        acts = [*first, *connection.until(Us(SHUT.start + 4 * MINUTE))]
        connection.now = Us(SHUT.end - 30 * SECOND)
        acts += connection.until(Us(SHUT.end + SECOND))
        changes = heard(acts).books
        inside = [change for change in changes if SHUT.start < (change.at or 0) < SHUT.end]
        assert [change.at for change in inside] == [SHUT.start + n * MINUTE for n in (1, 2, 3)]
        assert {(*change.bids, *change.asks, change.previous, change.last) for change in inside} == {
            (SHUT.start // BOOK_PERIOD, SHUT.start // BOOK_PERIOD)
        }
        book = Book(channel_of(BTC))
        assert all(book.apply(change) for change in changes)
        assert level_rows(book) == truth_rows(BTC, changes[-1].at or NOW)

    @pytest.mark.parametrize("nth", [2, 5])
    def test_numbers_may_begin_anew_and_the_chain_still_holds(self, nth: int) -> None:
        changes = struck(StreamFault(kind=StreamFaultKind.RESET, nth=nth))
        book = Book(channel_of(BTC))
        assert all(book.apply(change) for change in changes)
        [reset] = [n for n, change in enumerate(changes) if (change.last or 0) < (change.previous or 0)]
        assert (reset, changes[reset].last) == (nth - 1, 1)
        assert level_rows(book) == truth_rows(BTC, changes[-1].at or NOW)


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
        topic = topic_of(BTC, DataType.ORDERBOOK)
        connection, _ = subscribed(topic)
        assert heard(said(connection, adapter.LIVE.subscribe([topic], 2))) == DecodedBatch(
            acks=[Ack("books:BTC-USDT")]
        )
        changes = heard(connection.until(Us(NOW + SECOND))).books
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
        acts = talk(path).say({"id": "1", "op": "subscribe", "args": [arg]})
        [ack] = heard(acts).acks
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
        pushed, _ = subscribed(topic_of(BTC, DataType.OHLC, MINUTE), enforced=True)
        assert closes(seconds(pushed, 100)) == []

    def test_it_is_the_last_word_that_counts(self) -> None:
        now = Us(SHUT.start - 2 * SECOND)
        connection, _ = subscribed(topic_of(BTC, DataType.OHLC, MINUTE), now=now, enforced=True)
        last = [act for act in seconds(connection, 10) if isinstance(act, Message)][-1].at
        assert quiet_until(connection).at == last + 30 * SECOND

    def test_a_jump_of_the_clock_leaves_the_client_time(self) -> None:
        connection = talk(enforced=True)
        assert connection.until(Us(NOW + DAY)) == []
        assert quiet_until(connection).at == NOW + DAY + 30 * SECOND


def span(start: Us, end: Us) -> TimeRange:
    return TimeRange(start, end)


def seconds(connection: Talk, count: int) -> list[Act]:
    return [act for _ in range(count) for act in connection.until(Us(connection.now + SECOND))]


def quiet_until(connection: Talk) -> Close:
    """Let time pass until the connection is closed."""
    while True:
        if found := closes(seconds(connection, 1)):
            return found[0]


def channel_of(symbol: Symbol) -> Channel:
    channel = adapter.LIVE.channel(symbol.market_type, DataType.ORDERBOOK)
    assert channel is not None
    return channel


def level_rows(book: Book) -> list[tuple[float, float]]:
    levels = [*book.bids.best(1_000), *book.asks.best(1_000)]
    return [(float(price), float(amount)) for price, amount in levels]


def truth_rows(symbol: Symbol, at: Us) -> list[tuple[float, float]]:
    """Return the levels there are, with amounts counted as the venue counts them."""
    rows = MARKET.truth_book("okx", symbol, at, 400)
    worth = (pl.col("price") if symbol.market_type == "inverse" else 1.0) / pl.lit(WORTH[symbol.market_type])
    return rows.select("price", (pl.col("amount") * worth).round(9)).rows()


def struck(fault: StreamFault) -> list[BookChange]:
    """Return what comes of BTC's book, with a fault."""
    connection, first = subscribed(topic_of(BTC, DataType.ORDERBOOK))
    struck = list[Message]()
    line = Line("okx", LIVE, connection.side, lambda _, message: struck.append(message))
    injector, end = StreamInjector([fault], 1), Us(NOW + 3 * SECOND)
    acts = [*line.sent(first, injector, NOW), *line.sent(connection.until(end), injector, end)]
    assert len(struck) == 1
    return heard(acts).books
