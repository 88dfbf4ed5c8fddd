"""What the sandbox's side of every WebSocket owes: what it sends is the truth, once the adapter has read it.

A market of the adapter that has a simulation is tried here by having one, without a line of its own.
"""

from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import urlsplit

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.adapter.contract import Query
from dccd_core.adapter.live import Topic
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.stream.session import Session
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.books import BOOK_PERIOD
from dccd_core.testing.sandbox.live import Act
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.server import LIVES
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind
from tests.conformance.test_live import SERVED, each_open
from tests.dccd_core.testing.sandbox.asked import asked
from tests.dccd_core.testing.sandbox.inprocess import InProcess
from tests.dccd_core.testing.sandbox.listener import (
    WHOLE,
    Listener,
    Served,
    channel_of,
    contract_of,
    kept_of,
    live_of,
    same_book,
    struck,
)
from tests.dccd_core.testing.sandbox.talk import Talk, messages

TRADES, OHLC, ORDERBOOK = DataType.TRADES, DataType.OHLC, DataType.ORDERBOOK
NOW = parse_time("2024-06-05T12:00:20.05")
LATER = Us(NOW + 100 * DAY)
SHUT = TimeRange(parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00"))
"""An outage of every simulated venue."""
LISTED = parse_time("2024-02-10T08:00")
NEW = Symbol.parse("NEW/USDT")
BUSY = {"spot": "BTC/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}
QUIET = {"spot": "ETH/USDT", "linear": "ETH/USDT:USDT", "inverse": "ETH/USD:ETH"}
MARKET = Market(["ETH/USD:ETH"], dict.fromkeys(BUSY.values(), 500_000))
REST = InProcess(symbols=["ETH/USD:ETH"], trades_per_day=dict.fromkeys(BUSY.values(), 500_000))
SILENT = {"binance"}
"""Venues that accept what they do not have, and never send anything of it."""
UNANNOUNCED = {"bybit"}
"""Venues that cut their connections without a word before."""
PREFIXES = {
    ("bybit", "linear"): "linear:",
    ("bybit", "inverse"): "inverse:",
    ("binance", "linear"): "usdm:",
}
"""What the sandbox writes before a topic's name where kinds of market share names: faults name topics."""
GROWING = {"binance", "bybit", "kraken"}
"""Venues whose REST interface shows the bar that is running, and whose WebSocket is never behind it."""
RENUMBERED = {"bybit", "okx"}
"""Venues that number the changes of each book, by the moments of the simulation, and may do so anew."""
PROVEN = {"bybit", "okx", "bitfinex"}
"""Venues of which any change of a book that is missing shows at once."""

PUSHED = [served for served in SERVED if not channel_of(served).from_trades]
BOOKS = [served for served in SERVED if served[2] is ORDERBOOK and not channel_of(served).start]
"""Those that are pushed whole; where REST begins a book, the venue's own tests do."""


def of(served: Sequence[Served], *data_types: DataType) -> pytest.MarkDecorator:
    chosen = [one for one in served if one[2] in data_types]
    return pytest.mark.parametrize("served", chosen, ids="-".join)


def topic_of(served: Served, symbol: Symbol | None = None, bar: Us = MINUTE, depth: int = 50) -> Topic:
    name, kind, data_type = served
    wanted, channel = symbol or Symbol.parse(BUSY[kind]), channel_of(served)
    span = bar if data_type is OHLC else None
    levels = channel.depth(depth) if data_type is ORDERBOOK else 0
    assert levels is not None
    return Topic(
        data_type, get(name).market(wanted), kind, span, levels, str(wanted) if channel.named else ""
    )


def listening(name: str, *topics: Topic, now: Us = NOW) -> Listener:
    return Listener(name, *topics, market=MARKET, now=now)


def same_trades(served: Served, rows: pl.DataFrame, span: TimeRange) -> None:
    name, kind, _ = served
    truth, rows = MARKET.truth_trades(name, Symbol.parse(BUSY[kind]), span), asked(rows, TRADES)
    contract = contract_of(served)
    if contract is None:
        assert rows.equals(truth)
        return
    price = pl.col("price") if kind == "inverse" else 1.0
    amounts = rows.select(pl.col("amount") * contract / price)["amount"].to_list()
    assert rows.drop("amount").equals(truth.drop("amount"))
    assert amounts == pytest.approx(truth["amount"].to_list(), rel=1e-12)


class TestTrades:
    @pytest.mark.parametrize("now", [NOW, LATER], ids=["now", "days later"])
    @of(SERVED, TRADES)
    def test_a_subscriber_gets_exactly_the_trades_of_its_time(self, served: Served, now: Us) -> None:
        topic, end = topic_of(served), Us(now + MINUTE)
        listener = listening(served[0], topic, now=now)
        listener.until(end)
        rows = listener.trades(now)
        assert rows.height > 50
        same_trades(served, rows, TimeRange(now, end))
        assert rows["topic"].unique().to_list() == [listener.live.name(topic)]
        assert rows["received"].equals(rows["ts"].to_physical().alias("received"))
        at = max(heard.at for heard in listener.heard if heard.at is not None)
        assert end - 30 * SECOND < at < end

    @of(SERVED, TRADES)
    def test_who_leaves_gets_no_more_and_who_comes_late_nothing_of_before(self, served: Served) -> None:
        topic, (left, back, end) = topic_of(served), (Us(NOW + seconds * SECOND) for seconds in (30, 40, 60))
        listener = listening(served[0], topic)
        listener.until(left)
        same_trades(served, listener.trades(NOW), TimeRange(NOW, left))
        said = listener.say(listener.live.unsubscribe([topic], 8, listener.state))
        assert [ack.error for ack in said.acks if ack.error] == []
        assert listener.until(back).trades is None
        again = listener.say(listener.live.subscribe([topic], 9))
        assert [ack.error for ack in again.acks] == [None] * len(again.acks) != []
        listener.until(end)
        rows = listener.trades(back)
        same_trades(served, rows, TimeRange(back, end))


def told_bars(served: Served, symbol: Symbol, bar: Us, span: TimeRange) -> pl.DataFrame:
    """Return the bars of history without those that the channel says it does not tell."""
    truth = MARKET.truth_bars(served[0], symbol, bar, span)
    return truth.filter(pl.col("volume") > 0) if channel_of(served).fills_quiet else truth


class TestBars:
    @pytest.mark.parametrize("names", [BUSY, QUIET], ids=["busy", "quiet"])
    @pytest.mark.parametrize("bar", [MINUTE, Us(15 * MINUTE)], ids=["1m", "15m"])
    @of(PUSHED, OHLC)
    def test_the_last_word_on_each_is_the_bar_of_history(
        self, served: Served, bar: Us, names: dict[str, str]
    ) -> None:
        """With the quiet ones, unless the channel says that it tells none of those."""
        name, kind, _ = served
        symbol, end = Symbol.parse(names[kind]), Us(NOW + HOUR)
        listener = listening(name, topic_of(served, symbol, bar))
        listener.until(end)
        if listener.live.ping:
            listener.say(listener.live.ping(9))
        times = pl.col("ts").cast(pl.Int64)
        found = listener.bars().filter(times >= NOW - NOW % bar, times + bar <= end)
        span = TimeRange(Us(NOW - NOW % bar), Us(end - end % bar))
        assert asked(found, OHLC).equals(told_bars(served, symbol, bar, span))
        assert found["closed"].n_unique() == 1
        every = MARKET.truth_bars(name, symbol, bar, span).filter(pl.col("volume") > 0).height
        assert names is BUSY or bar > MINUTE or every < HOUR // MINUTE, "some are quiet"

    @of([one for one in PUSHED if one[0] in GROWING], OHLC)
    def test_a_running_one_is_what_the_rest_interface_says_at_that_moment(self, served: Served) -> None:
        name, kind, _ = served
        symbol, endpoint = Symbol.parse(QUIET[kind]), get(name).endpoint(kind, OHLC)
        assert endpoint
        for bar in {channel_of(served).spans[0], MINUTE, channel_of(served).spans[-1]}:
            topic = topic_of(served, symbol, bar)
            listener = listening(name, topic)
            first = len(listener.acts)
            listener.until(Us(NOW + 3 * MINUTE))
            pushed = messages(listener.acts[first:], named(served, topic))
            for act in (pushed[0], pushed[len(pushed) // 2], pushed[-1]):
                rows = listener.hear([act]).bars
                assert rows is not None
                opened = Us(int(rows["ts"].to_physical()[-1]))
                REST.clock(act.at)
                span = TimeRange(opened, Us(opened + bar))
                request = endpoint.request(Query(topic.market, span, 10, bar, market_type=kind))
                body = REST.send("GET", f"/{name}{request.path}", b"", **request.params).content
                told = endpoint.decode(body, act.at).filter(pl.col("ts").cast(pl.Int64) == opened)
                assert asked(rows[-1:], OHLC).equals(told)

    @of(PUSHED, OHLC)
    def test_an_outage_has_none(self, served: Served) -> None:
        name, kind, _ = served
        symbol, start, end = (
            Symbol.parse(BUSY[kind]),
            Us(SHUT.start - 90 * SECOND),
            Us(SHUT.end + 130 * SECOND),
        )
        listener = listening(name, topic_of(served), now=start)
        listener.until(end)
        if listener.live.ping:
            listener.say(listener.live.ping(9))
        inside = [act for act in messages(listener.acts) if SHUT.start + 6 * SECOND < act.at < SHUT.end]
        assert {act.topic for act in inside} <= {""}, "beats and news are of no topic"
        opens = listener.bars()["ts"].to_physical().to_list()
        first = Us(start - start % MINUTE)
        truth = told_bars(served, symbol, MINUTE, TimeRange(first, Us(SHUT.end + 2 * MINUTE)))["ts"]
        assert [at for at in opens if at >= first][: truth.len()] == truth.to_physical().to_list()
        assert truth.len() >= 2
        assert not [at for at in opens if SHUT.start <= at < SHUT.end]


DEPTHS = [
    pytest.param(served, depth, id="-".join((*served, str(depth))))
    for served in BOOKS
    for depth in channel_of(served).depths or (0,)
]


class TestBooks:
    @pytest.mark.parametrize(("served", "depth"), DEPTHS)
    def test_snapshot_and_changes_are_the_venue_s_book_at_any_time(self, served: Served, depth: int) -> None:
        """Also between the messages of one change, when the next is of a later moment."""
        symbol, topic = Symbol.parse(BUSY[served[1]]), topic_of(served, depth=depth)
        assert topic.depth == depth
        listener = listening(served[0], topic)
        listener.until(Us(NOW + 4 * SECOND))
        book, changes, compared = kept_of(served, topic, MARKET, symbol), listener.books, 0
        assert changes[0].whole
        for change, after in zip(changes, [*changes[1:], None], strict=True):
            assert book.apply(change)
            assert book.lost is None
            if change.at is not None and (after is None or after.at != change.at):
                same_book(served, topic, book, MARKET, symbol, change.at)
                compared += 1
        assert compared >= 5

    @of(BOOKS, ORDERBOOK)
    def test_an_outage_empties_it_and_it_comes_back(self, served: Served) -> None:
        symbol, topic = Symbol.parse(BUSY[served[1]]), topic_of(served)
        listener = listening(served[0], topic, now=Us(SHUT.start - SECOND))
        listener.until(Us(SHUT.start + SECOND))
        book = kept_of(served, topic, MARKET, symbol)
        before = listener.books
        assert all(book.apply(change) for change in before)
        assert (len(book.bids), len(book.asks), book.lost) == (0, 0, None)
        inside = listener.until(Us(SHUT.end - SECOND)).books
        assert all(not (change.bids or change.asks) and book.apply(change) for change in inside)
        end = Us(SHUT.end + 10 * SECOND)
        assert all(book.apply(change) for change in listener.until(end).books)
        same_book(served, topic, book, MARKET, symbol, Us(end - 1))
        assert len(book.bids) == len(book.asks) >= (topic.depth or WHOLE)

    @pytest.mark.parametrize(
        ("symbol", "now"),
        [(None, Us(SHUT.start + MINUTE)), (NEW, Us(LISTED - 5 * MINUTE))],
        ids=["in an outage", "before the first trade"],
    )
    @of([one for one in BOOKS if one[1] == "spot"], ORDERBOOK)
    def test_where_there_is_none_an_empty_one_is_told(
        self, served: Served, symbol: Symbol | None, now: Us
    ) -> None:
        [begun] = listening(served[0], topic_of(served, symbol), now=now).books
        assert (begun.whole, begun.bids, begun.asks) == (True, [], [])

    @of(BOOKS, ORDERBOOK)
    def test_who_leaves_and_comes_back_begins_anew(self, served: Served) -> None:
        symbol, topic = Symbol.parse(BUSY[served[1]]), topic_of(served)
        listener = listening(served[0], topic)
        listener.until(Us(NOW + SECOND))
        listener.say(listener.live.unsubscribe([topic], 8, listener.state))
        assert listener.until(Us(NOW + 2 * SECOND)).books == []
        begun = listener.say(listener.live.subscribe([topic], 9)).books
        book = kept_of(served, topic, MARKET, symbol)
        assert all(book.apply(change) for change in begun)
        assert begun[0].whole
        same_book(served, topic, book, MARKET, symbol, listener.talk.now)

    @pytest.mark.parametrize("kind", [StreamFaultKind.DROP, StreamFaultKind.WRONG_SEQUENCE])
    @of([one for one in BOOKS if one[0] in PROVEN], ORDERBOOK)
    def test_what_is_missing_is_noticed(self, served: Served, kind: StreamFaultKind) -> None:
        """By the number of the next change, which loses the book or, where all share them, the connection."""
        symbol, topic = Symbol.parse(BUSY[served[1]]), topic_of(served)
        fault = StreamFault(kind=kind, topic=named(served, topic), nth=5)
        heard = struck(listening(served[0], topic), fault)
        book = kept_of(served, topic, MARKET, symbol)
        known = [book.apply(change) for change in heard.books]
        assert heard.restart or (False in known and book.lost)
        assert heard.restart or known.index(False) in (4, 5)

    @of([one for one in BOOKS if one[0] in RENUMBERED], ORDERBOOK)
    def test_the_subscriber_of_a_version_s_first_moment_gets_it_once(self, served: Served) -> None:
        now = Us(NOW - NOW % BOOK_PERIOD)
        listener = listening(served[0], topic_of(served), now=now)
        assert [change.last for change in listener.books] == [now // BOOK_PERIOD]
        assert listener.talk.until(Us(now + BOOK_PERIOD)) == []
        assert len(listener.talk.until(Us(now + BOOK_PERIOD + 1))) == 1

    @pytest.mark.parametrize("nth", [2, 5, 7])
    @of([one for one in BOOKS if one[0] in RENUMBERED], ORDERBOOK)
    def test_numbers_may_begin_anew(self, served: Served, nth: int) -> None:
        """With a whole book, or with a change that names the one before it."""
        symbol, topic = Symbol.parse(BUSY[served[1]]), topic_of(served)
        fault = StreamFault(kind=StreamFaultKind.RESET, topic=named(served, topic), nth=nth)
        book, changes = (
            kept_of(served, topic, MARKET, symbol),
            struck(listening(served[0], topic), fault).books,
        )
        assert all(book.apply(change) for change in changes)
        numbers = [change.last or 0 for change in changes]
        [anew] = [place for place, (one, other) in enumerate(pairwise(numbers), 1) if other < one]
        assert (anew, numbers[anew]) == (nth - 1, 1)
        assert changes[anew].whole == (changes[anew].previous is None)
        assert changes[-1].at is not None
        same_book(served, topic, book, MARKET, symbol, changes[-1].at)

    @of([one for one in BOOKS if one[0] in RENUMBERED], ORDERBOOK)
    def test_a_change_that_comes_twice_never_makes_it_wrong(self, served: Served) -> None:
        symbol, topic = Symbol.parse(BUSY[served[1]]), topic_of(served)
        fault = StreamFault(kind=StreamFaultKind.DUPLICATE, topic=named(served, topic), nth=5)
        book, changes = (
            kept_of(served, topic, MARKET, symbol),
            struck(listening(served[0], topic), fault).books,
        )
        assert changes[4] == changes[5] != changes[6]
        for change in changes:
            if book.apply(change):
                assert change.at is not None
                same_book(served, topic, book, MARKET, symbol, change.at)

    @of([one for one in BOOKS if one[0] in RENUMBERED], ORDERBOOK)
    def test_only_changes_of_books_can_be_numbered_anew(self, served: Served) -> None:
        name, kind, _ = served
        topic, trades = topic_of(served), topic_of((name, kind, TRADES))
        for one, now in ((topic, Us(NOW - NOW % (100 * MILLISECOND))), (trades, NOW)):
            side = listening(name, one, now=now).talk.side
            assert side.restarted(named(served, one), TimeRange(now, Us(now + MILLISECOND))) is None


def named(served: Served, topic: Topic) -> str:
    """Return what a fault calls a topic."""
    return PREFIXES.get(served[:2], "") + live_of(served[0]).name(topic)


def looked(name: str, kind: str, data_types: Sequence[DataType], steps: Sequence[int]) -> None:
    """All that a connection is sent is the same in one piece and in many."""
    by_path: dict[str, list[Topic]] = {}
    for data_type in data_types:
        served = (name, kind, data_type)
        if served in PUSHED:
            for symbol in (BUSY[kind], QUIET[kind]):
                topic = topic_of(served, Symbol.parse(symbol))
                by_path.setdefault(live_of(name).url(topic), []).append(topic)
    for topics in by_path.values():
        whole, parts = listening(name, *topics), listening(name, *topics)
        at, pieces = NOW, list[Act]()
        for step in steps:
            at = Us(at + step)
            pieces += parts.talk.until(at)
        assert pieces == whole.talk.until(at)


KINDS = sorted({served[:2] for served in SERVED})
each_kind = pytest.mark.parametrize(("name", "kind"), KINDS)


@each_kind
@given(steps=st.lists(st.integers(1, 3 * MINUTE), min_size=1, max_size=6))
@settings(max_examples=12)
def test_it_does_not_matter_how_often_one_looks(name: str, kind: str, steps: list[int]) -> None:
    looked(name, kind, (TRADES, OHLC), steps)


@each_kind
@given(steps=st.lists(st.integers(1, 2 * SECOND), min_size=1, max_size=6))
@settings(max_examples=12)
def test_it_does_not_matter_how_often_one_looks_at_books(name: str, kind: str, steps: list[int]) -> None:
    looked(name, kind, (ORDERBOOK,), steps)


@of(PUSHED, *DataType)
def test_what_a_fault_meets_has_the_name_of_its_topic(served: Served) -> None:
    topic = topic_of(served)
    listener = listening(served[0], topic)
    acts = listener.talk.until(Us(NOW + MINUTE if served[2] is not ORDERBOOK else NOW + SECOND))
    assert {act.topic for act in messages(acts)} - {""} == {named(served, topic)}


@each_open
def test_a_connection_is_found_where_the_adapter_looks_for_it_and_may_be_opened_as_often(name: str) -> None:
    live, simulated = live_of(name), LIVES[name]
    paths = {urlsplit(live.url(topic_of(served))).path for served in SERVED if served[0] == name}
    assert paths <= set(simulated.paths)
    assert simulated.connects is not None
    assert simulated.connects.period == live.connects.period
    assert simulated.connects.amount >= live.connects.amount


@each_open
def test_a_ping_of_the_adapter_is_answered_and_says_nothing_of_topics(name: str) -> None:
    live = live_of(name)
    if live.ping is None:
        return
    heard = listening(name, topic_of((name, "spot", TRADES))).say(live.ping(3))
    assert [ack for ack in heard.acks if ack.topic or ack.error] == []
    assert (heard.books, heard.trades, heard.bars, heard.restart) == ([], None, None, None)


@each_open
def test_a_venue_that_says_it_goes_down_is_left(name: str) -> None:
    listener = listening(name, topic_of((name, "spot", TRADES)))
    heard = listener.hear(listener.talk.side.notice(NOW))
    assert (heard.restart is not None) == (name not in UNANNOUNCED)


@each_kind
def test_what_a_session_says_is_answered_and_one_unknown_topic_costs_no_other(name: str, kind: str) -> None:
    live, channels = live_of(name), [served for served in SERVED if served[:2] == (name, kind)]
    good = [
        topic_of(served, Symbol.parse(symbol)) for served in channels for symbol in (BUSY[kind], QUIET[kind])
    ]
    named = any(topic.live_name for topic in good)
    url = live.url(topic_of((name, kind, TRADES)))
    unknown = Topic(TRADES, "NO-PE", kind, live_name="NO/PE" if named else "")
    topics = {live.name(topic): topic for topic in (good[0], unknown, *good[1:]) if live.url(topic) == url}
    talk = Talk(LIVES[name], urlsplit(url).path, NOW, MARKET)
    session, steady = Session(live, topics, Us(0)), Us(0)
    session.receive(*_frames(talk.greeting), steady)
    while not session.settled and steady < MINUTE:
        for text in session.due(steady):
            session.receive(*_frames(talk.say(text.decode())), steady)
        steady = Us(steady + live.pace)
    assert session.settled
    bad = live.name(unknown)
    assert set(session.accepted()) == {*topics} - ({bad} if name not in SILENT else set())
    assert session.refused.keys() == ({bad} if name not in SILENT else set())
    assert all(session.refused.values())


def _frames(acts: Sequence[Act]) -> tuple[list[bytes], list[Us]]:
    return [act.text.encode() for act in messages(acts)], [act.at for act in messages(acts)]
