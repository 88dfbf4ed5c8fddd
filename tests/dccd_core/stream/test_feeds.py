"""Each kind of data goes to its own topics, and comes out in the columns of its segment."""

import polars as pl

from dccd_core.adapter.frames import TaggedRows, live_bars, live_trades
from dccd_core.adapter.live import BookChange, Channel, Topic, Word
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us
from dccd_core.stream import tables
from dccd_core.stream.bartopics import BarTopic, BuiltTopic
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.feeds import (
    BarsFeed,
    BooksFeed,
    Feed,
    Incoming,
    Line,
    TradesFeed,
    feed_of,
    stored,
    topic_of,
)
from dccd_core.stream.pages import PagedTopic
from dccd_core.stream.trades import TradeTopic
from dccd_core.stream.wanted import Kind, Seen, Wanted
from dccd_core.tables import DataType
from tests.dccd_core.stream.claims import moment, seconds

PLAIN = Channel(docs="")
TRADES: Kind = (DataType.TRADES, None)
BARS: Kind = (DataType.OHLC, MINUTE)
BOOKS: Kind = (DataType.ORDERBOOK, None)
SETTLE = Us(5 * SECOND)


def wanted(symbol: str, kind: Kind, channel: Channel = PLAIN, contract: float | None = None) -> Wanted:
    data_type, span = kind
    one = Symbol.parse(symbol)
    topic = Topic(data_type, symbol, one.market_type, span)
    return Wanted(Dataset("x", one, data_type, span), topic, channel, SETTLE, contract, depth=1)


def line(name: str, one: Wanted) -> Line:
    return Line(name, one, Seen(), topic_of(one, ZERO))


def fed(feed: Feed, *lines: Line) -> Feed:
    for one in lines:
        one.topic.accept(moment(0))
        feed.lines.append(one)
    return feed


def trades(*rows: tuple[str, float, int]) -> pl.DataFrame:
    came = TaggedRows[int]()
    for topic, _, number in rows:
        came.add(topic, Us(7), number)
    frame = live_trades(
        came,
        ts=pl.Series([seconds(at) for _, at, _ in rows]),
        price=[float(number) for _, _, number in rows],
        amount=[2.0] * len(rows),
        trade_id=came.rows,
    )
    assert frame is not None
    return frame


class Bar:
    open = high = low = close = 1.0


def bars(*rows: tuple[str, int, bool | None]) -> pl.DataFrame:
    came = TaggedRows[Bar]()
    for topic, _, _ in rows:
        came.add(topic, Us(7), Bar())
    opens = pl.Series([minute * MINUTE for _, minute, _ in rows])
    frame = live_bars(came, [flag for _, _, flag in rows], ts=opens, volume=[1.0] * len(rows))
    assert frame is not None
    return frame


def incoming(
    *,
    trades: pl.DataFrame | None = None,
    bars: pl.DataFrame | None = None,
    words: tuple[Word, ...] = (),
    spoilt: tuple[str, ...] = (),
) -> Incoming:
    return Incoming(trades, bars, words, frozenset(spoilt))


def test_what_follows_a_topic_is_told_by_what_is_wanted() -> None:
    built = Channel(docs="", from_trades=True, consecutive=True)
    assert isinstance(topic_of(wanted("A/USD", TRADES), ZERO), PagedTopic)
    for counted in (Channel(docs="", consecutive=True), Channel(docs="", beats=Us(SECOND))):
        assert isinstance(topic_of(wanted("A/USD", TRADES, counted), ZERO), TradeTopic)
    assert isinstance(topic_of(wanted("A/USD", BARS), ZERO), BarTopic)
    assert isinstance(topic_of(wanted("A/USD", BARS, built), ZERO), BuiltTopic)
    assert isinstance(topic_of(wanted("A/USD", BOOKS), ZERO), BookTopic)
    assert isinstance(feed_of(TRADES, SETTLE), TradesFeed)
    assert isinstance(feed_of(BARS, SETTLE), BarsFeed)
    assert isinstance(feed_of(BOOKS, SETTLE), BooksFeed)


class TestTrades:
    def test_rows_of_topics_that_are_not_wanted_are_left_out(self) -> None:
        feed = fed(TradesFeed(), line("a", wanted("A/USD", TRADES)))
        rows = feed.take(incoming(trades=trades(("b", 1, 1), ("a", 2, 2))), moment(2))
        assert rows is not None
        assert rows["trade_id"].to_list() == ["2"]
        assert feed.take(incoming(trades=trades(("b", 3, 3))), moment(3)) is None
        assert feed.take(incoming(), moment(3)) is None

    def test_each_topic_is_given_its_own_rows(self) -> None:
        numbered = Channel(docs="", consecutive=True)
        one, other = (
            line("a", wanted("A/USD", TRADES, numbered)),
            line("b", wanted("B/USD", TRADES, numbered)),
        )
        feed = fed(TradesFeed(), one, other)
        feed.take(incoming(trades=trades(("a", 10, 1), ("b", 10, 2), ("a", 11, 2), ("b", 11, 4))), moment(11))
        feed.take(incoming(trades=trades(("a", 15, 3), ("b", 15, 5))), moment(15))
        assert (one.claim.reached, other.claim.reached) == (seconds(13), seconds(10) + 1)  # b lacks 3

    def test_a_word_is_for_its_topic_alone_and_counts_after_the_rows(self) -> None:
        beating = Channel(docs="", beats=Us(15 * SECOND))
        one, other = line("a", wanted("A/USD", TRADES, beating)), line("b", wanted("B/USD", TRADES, beating))
        feed = fed(TradesFeed(), one, other)
        words = (Word("a", seconds(20)), Word("nobody", seconds(30)))
        feed.take(incoming(trades=trades(("a", 10, 1)), words=words), moment(20))
        assert (one.claim.began, one.claim.reached) == (seconds(10) + 1, seconds(18))
        assert other.claim.reached is None

    def test_a_word_in_a_spoilt_batch_is_a_sign_of_life_and_no_proof(self) -> None:
        one = line("a", wanted("A/USD", TRADES, Channel(docs="", beats=Us(SECOND))))
        feed = fed(TradesFeed(), one)
        feed.take(incoming(words=(Word("a", seconds(20)),), spoilt=("a",)), moment(20))
        assert (one.claim.reached, one.topic.pace.heard) == (None, seconds(20))

    def test_one_that_knows_the_last_id_proves_even_then(self) -> None:
        one = line("a", wanted("A/USD", TRADES, Channel(docs="", beats=Us(SECOND), consecutive=True)))
        feed = fed(TradesFeed(), one)
        feed.take(incoming(words=(Word("a", seconds(20), 7),), spoilt=("a",)), moment(20))
        assert one.claim.began == seconds(20) + 1


class TestBars:
    def test_bars_without_a_flag_are_kept_until_their_own_topic_goes_on(self) -> None:
        one, other = line("a", wanted("A/USD", BARS)), line("b", wanted("B/USD", BARS))
        feed = fed(BarsFeed(MINUTE, SETTLE), one, other)
        assert feed.take(incoming(bars=bars(("a", 3, None), ("b", 3, None))), moment(236)) is None
        rows = feed.take(incoming(bars=bars(("a", 4, None))), moment(245))
        assert rows is not None
        assert rows.select("topic", pl.col("ts").to_physical()).rows() == [("a", 3 * MINUTE)]
        assert (one.claim.reached, other.claim.reached) == (4 * MINUTE, 3 * MINUTE)

    def test_the_last_version_counts(self) -> None:
        feed = fed(BarsFeed(MINUTE, SETTLE), line("a", wanted("A/USD", BARS)))
        first = bars(("a", 3, None))
        feed.take(incoming(bars=first), moment(225))
        feed.take(incoming(bars=first.with_columns(close=pl.lit(2.0))), moment(235))
        rows = feed.take(incoming(bars=bars(("a", 4, None))), moment(245))
        assert rows is not None
        assert rows["close"].to_list() == [2.0]

    def test_what_rest_proved_is_kept_as_if_it_had_been_pushed_and_only_once(self) -> None:
        one = line("a", wanted("A/USD", BARS))
        feed = BarsFeed(MINUTE, SETTLE)
        fed(feed, one)
        feed.take(incoming(bars=bars(("a", 3, None))), moment(200))
        assert isinstance(one.topic, BarTopic)
        held = feed.held("a")
        assert held is not None
        told = bars(("a", 3, True)).select(DataType.OHLC.table.schema.names())
        dead, proven = one.topic.answer(told, held, Us(4 * MINUTE), moment(250))
        assert dead is None
        feed.prove("a", proven, Us(99))
        feed.prove("a", proven.clear(), Us(99))
        rows = feed.take(incoming(), moment(251))
        assert rows is not None
        assert rows.select("topic", "received").rows() == [("a", 99)]
        assert feed.take(incoming(bars=bars(("a", 3, None))), moment(251)) is None  # it comes late
        assert feed.take(incoming(bars=bars(("a", 4, None))), moment(252)) is None

    def test_what_is_dropped_never_becomes_final(self) -> None:
        feed = BarsFeed(MINUTE, SETTLE)
        fed(feed, line("a", wanted("A/USD", BARS)))
        feed.take(incoming(bars=bars(("a", 3, None))), moment(200))
        feed.drop("a")
        assert feed.take(incoming(bars=bars(("a", 4, None))), moment(225)) is None


class TestBooks:
    def test_pictures_and_the_best_prices(self) -> None:
        one = line("a", wanted("A/USD", BOOKS))
        feed = fed(BooksFeed(), one)
        assert isinstance(one.topic, BookTopic)
        for at in (1, 2.5):
            whole = BookChange("a", seconds(at), [("10", "1")], [("11", "1")], whole=at == 1, last=round(at))
            one.topic.update(whole, seconds(at), moment(at))
        rows = feed.take(incoming(), moment(3))
        assert rows is not None
        assert (rows.height, one.seen.bid, one.seen.ask, one.seen.crossed) == (4, 10.0, 11.0, 0)
        assert feed.take(incoming(), moment(4)) is None


class TestStored:
    def test_columns_symbols_and_counts(self) -> None:
        one, other = line("a", wanted("A/USD", TRADES)), line("b", wanted("B/USD", TRADES))
        came = trades(("a", 1, 5), ("b", 2, 6), ("a", 3, 8))
        rows = stored(
            TRADES, [one, other], fed(TradesFeed(), one, other).take(incoming(trades=came), moment(4))
        )
        assert rows.schema == tables.columns(DataType.TRADES)
        assert rows["symbol"].to_list() == ["A/USD", "B/USD", "A/USD"]
        assert (one.seen.rows, one.seen.messages, one.seen.price, one.seen.last) == (2, 2, 8.0, 7)
        assert (other.seen.rows, other.seen.price) == (1, 6.0)
        assert one.seen.lag == 7 - 3 * SECOND

    def test_nothing_is_an_empty_table(self) -> None:
        assert stored(TRADES, [], None).schema == tables.columns(DataType.TRADES)

    def test_contracts_become_amounts_of_the_base(self) -> None:
        linear = line("a", wanted("A/USD:USD", TRADES, contract=0.01))
        inverse = line("b", wanted("A/USD:A", TRADES, contract=100.0))
        rows = stored(TRADES, [linear, inverse], trades(("a", 1, 5), ("b", 1, 4)))
        assert rows["amount"].to_list() == [0.02, 50.0]
