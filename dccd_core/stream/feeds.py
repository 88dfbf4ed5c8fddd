"""What came of all topics of one kind on one connection, on its way into the rows of a segment. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeAlias

import polars as pl

from dccd_core.adapter.live import Word
from dccd_core.bars.live import FinalBars
from dccd_core.domain.timespan import ZERO, Us
from dccd_core.lake.live.coverage import Mark
from dccd_core.stream import tables
from dccd_core.stream.bartopics import BarTopic, BuiltTopic, ClosedBar, quiet_bars
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.claim import Claim, Moment
from dccd_core.stream.pages import PagedTopic
from dccd_core.stream.trades import TopicSummary, TradeTopic, summarize
from dccd_core.stream.wanted import Kind, Seen, Wanted
from dccd_core.tables import Completeness

AnyTopic: TypeAlias = TradeTopic | PagedTopic | BarTopic | BuiltTopic | BookTopic


@dataclass(slots=True)
class Line:
    """One dataset. ``accepted``: when the venue agreed to send it, on our steady clock."""

    name: str
    wanted: Wanted
    seen: Seen
    topic: AnyTopic
    accepted: Us | None = None
    symbol: str = field(init=False)
    bar: Us = field(init=False)
    """How long after its time a row of it is told of: the length of a bar."""

    def __post_init__(self) -> None:
        self.symbol, self.bar = str(self.wanted.dataset.symbol), self.wanted.dataset.span or ZERO

    @property
    def claim(self) -> Claim:
        return self.topic.claim

    @property
    def known_until(self) -> Us | None:
        """Up to when all of it came, as far as its own messages show; None: nothing is claimed."""
        known = self.topic.known_until if isinstance(self.topic, PagedTopic) else None
        return self.claim.reached if known is None else known


@dataclass(frozen=True)
class Incoming:
    """What came since it was last looked at.

    ``spoilt`` are topics of which something may have been lost; ``numbered``: ids prove some of the trades.
    """

    trades: pl.DataFrame | None
    bars: pl.DataFrame | None
    words: Sequence[Word]
    spoilt: frozenset[str]
    numbered: bool = True

    @cached_property
    def traded(self) -> Mapping[str, TopicSummary]:
        """What came of each topic of trades."""
        return {} if self.trades is None else summarize(self.trades, numbered=self.numbered)

    def trades_of(self, name: str) -> Callable[[], pl.DataFrame]:
        """Return what gives the trades of one topic."""

        def rows() -> pl.DataFrame:
            assert self.trades is not None
            return self.trades if len(self.traded) == 1 else self.trades.filter(topic=name)

        return rows


class Feed(Protocol):
    """``lines`` are those of the feed's kind."""

    lines: list[Line]

    def take(self, incoming: Incoming, moment: Moment) -> pl.DataFrame | None:
        """Let the topics have what came; return the rows to keep, with ``topic`` and ``received``."""
        ...


@dataclass(slots=True)
class TradesFeed:
    """Trades: all that came is kept, whatever it proves."""

    lines: list[Line] = field(default_factory=list[Line])

    def take(self, incoming: Incoming, moment: Moment) -> pl.DataFrame | None:
        own = set[str]()
        for line in self.lines if incoming.traded else ():
            assert isinstance(line.topic, TradeTopic | PagedTopic)
            if (summary := incoming.traded.get(line.name)) is not None:
                rows = incoming.trades_of(line.name)
                line.topic.take(summary, rows, moment, spoilt=line.name in incoming.spoilt)
                _count(line, summary)
                own.add(line.name)
        _take_words(self.lines, incoming, moment)
        return incoming.trades if len(own) == len(incoming.traded) else tables.of_topics(incoming.trades, own)


@dataclass(slots=True)
class BooksFeed:
    """Order books: their pictures."""

    lines: list[Line] = field(default_factory=list[Line])

    def take(self, incoming: Incoming, moment: Moment) -> pl.DataFrame | None:
        _take_words(self.lines, incoming, moment)
        found: list[pl.DataFrame] = []
        for line in self.lines:
            assert isinstance(line.topic, BookTopic)
            if snapshots := line.topic.taken():
                found.append(tables.pictures(line.name, snapshots))
                line.seen.crossed += sum(snapshot.crossed for snapshot in snapshots)
                line.seen.rows += found[-1].height
            book = line.topic.keeper.book
            line.seen.bid, line.seen.ask = book.bids.price, book.asks.price
        return tables.joined(found)


class BarsFeed:
    """Bars of one length: those that are final, pushed by the venue or built from its trades.

    ``price``: the column that says at what price a bar ends.
    """

    def __init__(self, bar: Us, finality_delay: Us, price: str = "close") -> None:
        self.lines: list[Line] = []
        self._price = price
        self._final = FinalBars(bar, finality_delay)
        self._proven: list[pl.DataFrame] = []

    def take(self, incoming: Incoming, moment: Moment) -> pl.DataFrame | None:
        found, self._proven = self._proven, []
        self._break_off(incoming, moment)
        built = [(line, line.topic) for line in self.lines if isinstance(line.topic, BuiltTopic)]
        for line, topic in built:
            if (summary := incoming.traded.get(line.name)) is not None:
                rows = incoming.trades_of(line.name)
                found += topic.take(summary, rows, moment, spoilt=line.name in incoming.spoilt)
        found += self._flagged(incoming, moment)
        _take_words(self.lines, incoming, moment)
        for _, topic in built:
            found += topic.settled()
        found += self._unflagged()
        final = tables.joined(found)
        whole = None if final is None else tables.joined([final, *self._chained(final)])
        summaries = {} if whole is None else summarize(whole, self._price)
        for line in self.lines:
            if line.name in summaries:
                _count(line, summaries[line.name])
        return whole

    def held(self, name: str) -> pl.DataFrame | None:
        """Return what came of a topic and is not final yet."""
        return self._final.of(name)

    def drop(self, name: str) -> None:
        """Forget what came of a topic and is not final yet: something after it was missed."""
        self._final.drop(name)

    def prove(self, name: str, rows: pl.DataFrame, received: Us) -> None:
        """Keep bars that REST told, as if they had been pushed."""
        if rows.height:
            more = rows.with_columns(topic=pl.lit(name), received=pl.lit(received, pl.Int64))
            self._proven.append(more)
            self._final.know(name, before=Us(int(rows["ts"].to_physical()[-1]) + 1))

    def _pushed(self) -> list[tuple[Line, BarTopic]]:
        return [(line, line.topic) for line in self.lines if isinstance(line.topic, BarTopic)]

    def _break_off(self, incoming: Incoming, moment: Moment) -> None:
        """Forget what is held back of topics that are heard of again after their beat was late."""
        beating = [(line.name, topic) for line, topic in self._pushed() if topic.beats]
        if beating and (incoming.words or incoming.bars is not None):
            names = {word.topic for word in incoming.words}
            names |= set() if incoming.bars is None else set(incoming.bars["topic"].unique().to_list())
            for name in [name for name, topic in beating if name in names and topic.break_off(moment)]:
                self._final.drop(name)

    def _flagged(self, incoming: Incoming, moment: Moment) -> list[pl.DataFrame]:
        own = tables.of_topics(incoming.bars, [line.name for line, _ in self._pushed()])
        if own is None:
            return []
        summaries, unflagged = summarize(own, self._price), set[str]()
        if own["closed"].null_count():
            unflagged = set(own.filter(pl.col("closed").is_null())["topic"].to_list())
        for line, topic in self._pushed():
            if line.name in summaries:
                spoilt, flagged = line.name in incoming.spoilt, line.name not in unflagged
                if not topic.take(summaries[line.name], moment, spoilt=spoilt, flagged=flagged):
                    self._final.drop(line.name, before=summaries[line.name].first)
        return [self._final.add(own)]

    def _unflagged(self) -> list[pl.DataFrame]:
        alive = {line.name: topic.alive for line, topic in self._pushed() if topic.alive is not None}
        settled = self._final.settled(alive)
        return [] if settled is None else [settled]

    def _chained(self, final: pl.DataFrame) -> list[pl.DataFrame]:
        """Let the claims go on to the end of the bars that are final; return the quiet ones between them."""
        topics = {line.name: topic for line, topic in self._pushed()}
        close = pl.col(self._price).alias("close")
        by_topic = final.select("topic", pl.col("ts").to_physical(), close, "received").sort("ts")
        quiet: list[pl.DataFrame] = []
        told = by_topic.group_by("topic", maintain_order=True).agg("ts", "close", pl.col("received").max())
        for name, opens, closes, received in told.iter_rows():
            if name in topics:
                bars = [ClosedBar(Us(at), close) for at, close in zip(opens, closes, strict=True)]
                if missing := topics[name].finish(bars):
                    quiet.append(quiet_bars(name, missing, received).select(final.columns))
        return quiet


def feed_of(kind: Kind, finality_delay: Us) -> Feed:
    """Return what takes the rows of a kind; ``finality_delay`` says when bars are final."""
    data_type, bar = kind
    match data_type.table.completeness:
        case Completeness.IDS:
            return TradesFeed()
        case Completeness.GRID:
            assert bar is not None
            return BarsFeed(bar, finality_delay, data_type.table.chart)
        case Completeness.PICTURES:
            return BooksFeed()


def topic_of(wanted: Wanted, now: Us) -> AnyTopic:
    """Return what follows a dataset's topic; ``now`` on our steady clock."""
    bar = wanted.dataset.span
    if bar is not None and wanted.channel.from_trades:
        return BuiltTopic(wanted.channel, bar, now)
    if bar is not None:
        return BarTopic(wanted.channel, bar, wanted.finality_delay, now)
    if wanted.dataset.data_type.table.numbered:
        counted = wanted.channel.consecutive or wanted.channel.beats
        return TradeTopic(wanted.channel, now) if counted else PagedTopic(wanted.channel, now)
    return BookTopic(wanted, now)


def stored(kind: Kind, lines: Sequence[Line], rows: pl.DataFrame | None) -> pl.DataFrame:
    """Bring rows into the columns of a segment, our symbols and units."""
    if rows is None:
        return tables.columns(kind[0]).to_frame()
    contracts = {line.name: line.wanted.contract for line in lines if line.wanted.contract is not None}
    if contracts and "amount" in kind[0].table.schema:
        inverse = [line.name for line in lines if line.wanted.dataset.symbol.market_type == "inverse"]
        rows = tables.in_base(rows, contracts, inverse)
    return tables.stored(kind[0], rows, {line.name: line.symbol for line in lines})


def _take_words(lines: Sequence[Line], incoming: Incoming, moment: Moment) -> None:
    """Tell the topics; one that came in a batch with something lost may have come before it."""
    if not incoming.words:
        return
    by_name = {line.name: line for line in lines}
    for word in incoming.words:
        if (line := by_name.get(word.topic)) is None:
            continue
        if word.topic in incoming.spoilt and word.last_id is None:
            line.topic.pace.beat(moment.steady)
        else:
            line.topic.word(word, moment)


def _count(line: Line, summary: TopicSummary) -> None:
    """Note what came."""
    seen, (height, _, last, _, received, price) = line.seen, summary
    seen.rows += height
    seen.messages += height
    seen.last, seen.price, seen.lag = received, price, Us(received - last - line.bar)


def standing(feed: Feed) -> list[Mark]:
    """Return of each dataset up to when it is known, or where and why it ended."""
    marks: list[Mark] = []
    for line in feed.lines:
        claim = line.claim
        if claim.reached is not None:
            marks.append(Mark(line.symbol, claim.reached, began=True))
        elif claim.ended is not None:
            marks.append(Mark(line.symbol, claim.ended.at, began=False, reason=claim.ended.reason))
    return marks
