"""What the sandbox sends is the truth, as soon as the adapter has read it."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
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
    @pytest.mark.parametrize("symbol", SYMBOLS, ids=str)
    def test_a_subscriber_gets_exactly_the_trades_of_its_time(self, symbol: Symbol) -> None:
        end = Us(NOW + MINUTE)
        found = heard(subscribed(topic_of(symbol))[0].until(end))
        rows, wanted = (
            truth(found.trades, DataType.TRADES),
            MARKET.truth_trades("okx", symbol, span(NOW, end)),
        )
        assert wanted.height > 100
        worth = WORTH[symbol.market_type] / (pl.col("price") if symbol.market_type == "inverse" else 1.0)
        assert rows.drop("amount").equals(wanted.drop("amount"))
        amounts = rows.select(pl.col("amount") * worth)["amount"]
        assert amounts.to_list() == pytest.approx(wanted["amount"].to_list(), rel=1e-12)
        assert found.trades is not None
        assert found.trades["topic"].unique().to_list() == [f"trades-all:{market(symbol)}"]
        assert found.at == wanted["ts"].dt.epoch("us")[-1]

    def test_each_fill_is_a_message_of_its_own_and_counts_nothing(self) -> None:
        rows = told(subscribed(topic_of(BTC))[0].until(Us(NOW + MINUTE)))
        for row in rows:
            [fill] = msgspec.convert(row["data"], list[dict[str, str]])
            assert list(fill) == ["instId", "tradeId", "px", "sz", "side", "ts", "source"]

    def test_who_leaves_gets_no_more_and_who_comes_late_nothing_of_before(self) -> None:
        topic = topic_of(BTC)
        connection, _ = subscribed(topic)
        left, back, end = (Us(NOW + seconds * SECOND) for seconds in (10, 20, 30))
        before = heard(connection.until(left)).trades
        assert heard(said(connection, adapter.LIVE.unsubscribe([topic], 8, None))) == DecodedBatch()
        assert messages(connection.until(back)) == []
        said(connection, adapter.LIVE.subscribe([topic], 9))
        after = heard(connection.until(end)).trades
        for rows, (first, last) in ((before, (NOW, left)), (after, (back, end))):
            wanted = MARKET.truth_trades("okx", BTC, span(first, last))["trade_id"]
            assert truth(rows, DataType.TRADES)["trade_id"].to_list() == wanted.to_list()


class TestBars:
    @pytest.mark.parametrize("symbol", SYMBOLS, ids=str)
    @pytest.mark.parametrize("text", ["1m", "15m"])
    def test_the_closing_ones_are_the_bars_of_history(self, text: str, symbol: Symbol) -> None:
        bar, end = parse_bar_span(text), Us(NOW + HOUR)
        bars = heard(subscribed(topic_of(symbol, DataType.OHLC, bar))[0].until(end)).bars
        assert bars is not None
        first = Us(NOW - NOW % bar)
        wanted = MARKET.truth_bars("okx", symbol, bar, span(first, Us(end - end % bar)))
        assert wanted.height == HOUR // bar
        assert truth(bars.filter("closed"), DataType.OHLC).equals(wanted)

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

    def test_an_outage_is_silent(self) -> None:
        topics = [topic_of(BTC), topic_of(BTC, DataType.OHLC, MINUTE)]
        acts = subscribed(*topics, now=Us(SHUT.start - 30 * SECOND))[0].until(Us(SHUT.end + 90 * SECOND))
        assert [act for act in acts if SHUT.start < act.at < SHUT.end] == []
        bars = heard(acts).bars
        assert bars is not None
        closed = bars.filter("closed")["ts"].dt.epoch("us").to_list()
        assert closed == [SHUT.start - MINUTE, SHUT.end]


class TestBooks:
    @pytest.mark.parametrize("symbol", [*SYMBOLS, Symbol.parse("DOGE/USDT")], ids=str)
    def test_snapshot_and_changes_are_the_book_at_any_time(self, symbol: Symbol) -> None:
        connection, first = subscribed(topic_of(symbol, DataType.ORDERBOOK))
        changes = heard([*first, *connection.until(Us(NOW + 5 * SECOND))]).books
        assert len(changes) > 40
        book = Book(channel_of(symbol))
        for change in changes:
            assert book.apply(change)
            assert change.at is not None
            assert level_rows(book) == truth_rows(symbol, change.at)

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

    def test_who_comes_before_the_first_trade_or_in_an_outage_is_told_that_there_is_no_book(self) -> None:
        new, listed = Symbol.parse("NEW/USDT"), parse_time("2024-02-10T08:00")
        for symbol, now in ((BTC, Us(SHUT.start + MINUTE)), (new, Us(listed - 5 * MINUTE))):
            connection, first = subscribed(topic_of(symbol, DataType.ORDERBOOK), now=now)
            changes = heard([*first, *connection.until(Us(now + 2 * MINUTE + SECOND))]).books
            assert [change.whole for change in changes] == [True, False, False]
            assert all((*change.bids, *change.asks) == () for change in changes)

    @given(steps=st.lists(st.integers(1, SECOND), min_size=1, max_size=4))
    def test_it_does_not_matter_how_often_one_looks(self, steps: list[int]) -> None:
        topic = topic_of(ETH, DataType.ORDERBOOK)
        (whole, _), (parts, _) = subscribed(topic), subscribed(topic)
        at, pieces = NOW, list[Act]()
        for step in steps:
            at = Us(at + step)
            pieces += parts.until(at)
        assert pieces == whole.until(at)

    @pytest.mark.parametrize("kind", [StreamFaultKind.DROP, StreamFaultKind.WRONG_SEQUENCE])
    def test_what_is_missing_is_noticed(self, kind: StreamFaultKind) -> None:
        fault = StreamFault(kind=kind, nth=5)
        book, changes = Book(channel_of(BTC)), struck(fault)
        known = [book.apply(change) for change in changes]
        assert known.index(False) == 4
        assert book.lost is not None
        assert book.lost.startswith("an update follows ")
        assert not any(known[4:])

    def test_a_message_that_comes_twice_never_makes_the_book_wrong(self) -> None:
        book, changes = Book(channel_of(BTC)), struck(StreamFault(kind=StreamFaultKind.DUPLICATE, nth=5))
        assert changes[4] == changes[5]
        for change in changes:
            if book.apply(change):
                assert level_rows(book) == truth_rows(BTC, change.at or NOW)

    @pytest.mark.parametrize("nth", [2, 5])
    def test_numbers_may_begin_anew_and_the_chain_still_holds(self, nth: int) -> None:
        changes = struck(StreamFault(kind=StreamFaultKind.RESET, nth=nth))
        book = Book(channel_of(BTC))
        assert all(book.apply(change) for change in changes)
        [reset] = [n for n, change in enumerate(changes) if (change.last or 0) < (change.previous or 0)]
        assert (reset, changes[reset].last) == (nth - 1, 1)
        assert level_rows(book) == truth_rows(BTC, changes[-1].at or NOW)

    def test_only_changes_of_books_can_be_numbered_anew(self) -> None:
        connection, [snapshot] = subscribed(topic_of(BTC, DataType.ORDERBOOK), now=Us(NOW + 50 * MILLISECOND))
        assert isinstance(snapshot, Message)
        assert connection.side.restarted(snapshot.topic, TimeRange(snapshot.at, Us(snapshot.at + 1))) is None
        trades, _ = subscribed(topic_of(BTC))
        assert trades.side.restarted("trades-all:BTC-USDT", TimeRange(NOW, Us(NOW + SECOND))) is None

    def test_who_leaves_and_comes_back_begins_anew(self) -> None:
        topic = topic_of(BTC, DataType.ORDERBOOK)
        connection, _ = subscribed(topic)
        connection.until(Us(NOW + SECOND))
        said(connection, adapter.LIVE.unsubscribe([topic], 2, None))
        assert messages(connection.until(Us(NOW + 2 * SECOND))) == []
        [change] = heard(said(connection, adapter.LIVE.subscribe([topic], 3))).books
        assert (change.whole, change.last) == (True, connection.now // BOOK_PERIOD)


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

    def test_a_ping_is_answered(self) -> None:
        assert adapter.LIVE.ping is not None
        acts = said(talk(), adapter.LIVE.ping(1))
        assert [act.text for act in messages(acts)] == ["pong"]
        assert heard(acts) == DecodedBatch()

    def test_it_says_that_it_will_go_down(self) -> None:
        assert heard(talk().side.notice(NOW)).restart is not None


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

    def test_three_may_connect_in_a_second(self) -> None:
        assert LIVE.connects is not None
        assert (LIVE.connects.amount, LIVE.connects.period) == (3, SECOND)


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
