"""What one connection has brought: rows, and from when to when they are all there is. Pure.

Time here is the venue's own, taken from its messages: a wrong clock of ours cannot claim what did not come.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.adapter.live import BookChange, Channel, Heard, Precision, Topic
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import SECOND, ZERO, Ns
from dccd_core.lake.coverage import BROKE_OFF, Mark
from dccd_core.stream import tables
from dccd_core.stream.bars import BuiltBars, FinalBars
from dccd_core.stream.book import Book
from dccd_core.stream.snapshots import BookKeeper, Turn

_SKEW: Final = Ns(2 * SECOND)
"""How much earlier one topic's message may arrive than another's of the same moment."""


_NOT_UNDERSTOOD: Final = "a message could not be understood"
_STATE_EVERY: Final = Ns(30 * SECOND)


Kind = tuple[DataType, Ns | None]
"""What shares a table and a segment: a data type, and for bars their length."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic and the dataset it is for; ``contract`` is what its amounts count, None: the base currency.

    ``bar`` and ``settle`` say when its bars are final; ``depth`` and ``every`` which pictures of its book
    are taken.
    """

    dataset: Dataset
    topic: Topic
    channel: Channel
    settle: Ns = ZERO
    contract: float | None = None
    precision: Precision | None = None
    depth: int = 0
    every: Ns = SECOND

    @property
    def kind(self) -> Kind:
        return self.dataset.data_type, self.dataset.span


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on their way to disk, with what they prove.

    ``standing`` says which datasets are complete after it, and up to when: a segment that begins there says
    so again.
    """

    rows: pl.DataFrame
    until: Ns | None
    marks: list[Mark]
    standing: list[Mark]


@dataclass(slots=True)
class Seen:
    """What came of one topic so far."""

    messages: int = 0
    rows: int = 0
    last: Ns | None = None
    lag: Ns | None = None
    invalid: int = 0
    invalid_since: Ns | None = None
    connections: int = field(default=0, compare=False)
    """How many record it: two while one takes over from the other."""

    def turn(self, turn: Turn) -> None:
        """Count a beginning or an end of one connection's recording."""
        self.connections += 1 if turn.began else -1
        if turn.began:
            self.invalid_since = None
        elif not self.connections:
            self.invalid, self.invalid_since = self.invalid + 1, turn.at


@dataclass(slots=True)
class _Line:
    """One dataset: since when it is complete. ``agreed`` is the venue's time when it agreed to send it."""

    name: str
    wanted: Wanted
    seen: Seen
    accepted: bool = False
    agreed: Ns | None = None
    began: Ns | None = None
    ended: Turn | None = None
    """Why it is not complete any more, until it is again."""
    book: BookKeeper | None = None
    final: FinalBars | None = None
    built: BuiltBars | None = None
    numbered: bool = False
    """Whether its messages are numbered, so that a missing one shows."""
    stated: Ns | None = None
    """Up to where the coverage of a book was written down."""

    @property
    def symbol(self) -> str:
        return str(self.wanted.dataset.symbol)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Rows to be written: ``all``, and the ``fresh`` ones among them."""

    all: pl.DataFrame | None
    fresh: pl.DataFrame | None


@dataclass(slots=True)
class _Rows:
    """Rows as they came. Nothing is complete from a ``doubted`` one on: something after it was lost."""

    doubted: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    fresh: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])

    def doubt(self) -> None:
        self.doubted += self.fresh
        self.fresh = []

    def taken(self) -> _Taken:
        """Hand over what there is."""
        fresh = tables.joined(self.fresh)
        every = tables.joined([*self.doubted, *self.fresh]) if self.doubted else fresh
        self.doubted, self.fresh = [], []
        return _Taken(every, fresh)


class Recording:
    """Takes what one connection brings and hands it over in batches, one per kind of segment.

    Args:
        wanted: what is wanted of each topic, by the name that the venue's messages use.
        seen: what came of each dataset so far, over all connections; it is counted on here.
    """

    def __init__(self, wanted: Mapping[str, Sequence[Wanted]], seen: Mapping[Dataset, Seen]) -> None:
        self.at: Ns | None = None
        """The newest time the venue told."""
        self._lines = [_line(name, one, seen[one.dataset]) for name, ones in wanted.items() for one in ones]
        self._books = {line.name: line for line in self._lines if line.book}
        self._kinds: dict[Kind, list[_Line]] = {}
        for line in self._lines:
            self._kinds.setdefault(line.wanted.kind, []).append(line)
        self._trades, self._bars = _Rows(), _Rows()
        self._marks: defaultdict[Kind, list[Mark]] = defaultdict(list)

    @property
    def kinds(self) -> list[Kind]:
        return list(self._kinds)

    @property
    def complete(self) -> bool:
        """Whether everything that the venue agreed to send is being recorded without a gap by now."""
        return all(line.began is not None or not line.accepted for line in self._lines)

    def follows(self, before: "Recording") -> bool:
        """Whether no time lies between another recording of the same and this one."""
        return all(
            one.began is None or other.began is None or one.began <= (before._reached(other) or ZERO)
            for one, other in zip(self._lines, before._lines, strict=True)
        )

    def accept(self, name: str) -> None:
        """Note that the venue agreed to send a topic."""
        for line in self._lines:
            if line.name == name:
                line.accepted, line.agreed = True, self.at

    def hear(self, heard: Heard, received: Ns) -> None:
        """Take what a batch of messages said; ``received`` is when its last one came."""
        before = self.at
        if heard.bad:
            self._lose_unproven_books()
        if heard.at is not None:
            self.at = max(heard.at, self.at or heard.at)
        for change in heard.books:
            if (line := self._books.get(change.topic)) is not None:
                _hear_book(line, change, received)
        if heard.trades is not None:
            self._trades.fresh.append(heard.trades)
        if heard.bars is not None:
            self._bars.fresh.append(heard.bars)
        if heard.bad:
            self._doubt(before)

    def join(self, name: str, start: BookChange, received: Ns) -> None:
        """Begin a book with the snapshot that was asked for."""
        keeper = self._books[name].book
        assert keeper is not None
        keeper.join(start, received)

    def lost_books(self) -> dict[str, str]:
        """Return the books that are to be begun anew, each with the reason."""
        return {
            name: line.book.book.lost
            for name, line in self._books.items()
            if line.accepted and line.book and line.book.book.lost
        }

    def batches(self) -> Iterator[tuple[Kind, Batch]]:
        """Hand over what came since this was last asked; a kind without news is left out."""
        trades, bars = self._trades.taken(), self._bars.taken()
        for kind, lines in self._kinds.items():
            match kind:
                case DataType.TRADES, _:
                    rows = self._all_trades(lines, trades)
                case DataType.OHLC, _:
                    rows = self._final_bars(lines, bars, trades)
                case _:
                    rows = self._pictures(lines)
            _count(lines, rows)
            marks = self._marks.pop(kind, [])
            if rows is not None or marks or any(line.began is not None for line in lines):
                yield (
                    kind,
                    Batch(_stored(kind[0], lines, rows), self.until(kind), marks, self._standing(kind)),
                )

    def until(self, kind: Kind) -> Ns | None:
        """Return up to where everything of a kind has come; None for books, each of which has its own."""
        return self._until(kind, self.at)

    def _until(self, kind: Kind, at: Ns | None) -> Ns | None:
        data_type, bar = kind
        if at is None or data_type is DataType.ORDERBOOK:
            return None
        if bar is None:
            return Ns(at - _SKEW)
        settle = max(line.wanted.settle for line in self._kinds[kind])
        return bar_open(Ns(at - settle), bar)

    def _reached(self, line: _Line) -> Ns | None:
        return line.book.known_until if line.book else self.until(line.wanted.kind)

    def _standing(self, kind: Kind) -> list[Mark]:
        marks: list[Mark] = []
        for line in self._kinds[kind]:
            known = self._reached(line)
            if line.began is not None:
                marks.append(Mark(line.symbol, max(line.began, known or line.began), began=True))
            elif line.ended is not None:
                marks.append(Mark(line.symbol, line.ended.at, began=False, reason=line.ended.reason))
        return marks

    def end(self, reason: str) -> None:
        """Note that nothing more will come; ``batches`` has the rest."""
        for line in self._lines:
            self._stop(line, reason, self.at)
        self._trades.doubt()
        self._bars.doubt()

    def _lose_unproven_books(self) -> None:
        """Lose the books that nothing proves: the bad message may be a change of any of them."""
        for line in self._books.values():
            channel = line.wanted.channel
            if line.book and not (channel.start or channel.checksum or line.numbered):
                line.book.lose(_NOT_UNDERSTOOD)

    def _doubt(self, before: Ns | None) -> None:
        """Let everything begin anew whose own numbers would not show that something of it was lost.

        It is complete up to the time ``before`` the batch that holds what nobody understands, and again from
        the first row that comes after that batch.
        """
        for line in self._lines:
            if not line.book:
                self._stop(line, _NOT_UNDERSTOOD, before)
        self._trades.doubt()
        self._bars.doubt()

    def _stop(self, line: _Line, reason: str, at: Ns | None) -> None:
        if line.book:
            line.book.lose(reason)
        elif line.began is not None:
            until = line.built.until if line.built else self._until(line.wanted.kind, at)
            self._turn(line, Turn(max(line.began, until or line.began), began=False, reason=reason))
            line.agreed, line.built = self.at, None

    def _all_trades(self, lines: Sequence[_Line], trades: _Taken) -> pl.DataFrame | None:
        if (fresh := _of(trades.fresh, lines)) is not None:
            self._begin_with(lines, fresh, Ns(1))  # of the first moment's trades some may have been missed
        self._begin_without(lines)
        return _of(trades.all, lines)

    def _final_bars(self, lines: Sequence[_Line], bars: _Taken, trades: _Taken) -> pl.DataFrame | None:
        found: list[pl.DataFrame] = []
        for line in lines:
            if line.wanted.channel.from_trades:
                found += self._built_bars(line, _of(trades.fresh, [line]))
        pushed = [line for line in lines if line.final]
        if (fresh := _of(bars.fresh, pushed)) is not None:
            self._begin_with(pushed, fresh, ZERO)
        if pushed and pushed[0].final:  # one holds those of all lines: they share the length of a bar
            if (own := _of(bars.all, pushed)) is not None:
                found.append(pushed[0].final.hear(own))
            if self.at is not None and (settled := pushed[0].final.settled(self.at)) is not None:
                found.append(settled)
        self._begin_without(pushed)
        return tables.joined(found)

    def _built_bars(self, line: _Line, own: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
        if line.began is None and line.accepted and own is not None and line.wanted.dataset.span:
            since = Ns(int(own["ts"].cast(pl.Int64)[0]) + 1)
            line.built = BuiltBars(line.wanted.dataset.span, line.wanted.settle, since)
            self._turn(line, Turn(line.built.since, began=True))
        if line.built and own is not None:
            line.built.hear(own)
        if line.built and self.at is not None and (bars := line.built.settled(self.at)) is not None:
            yield bars

    def _pictures(self, lines: Sequence[_Line]) -> pl.DataFrame | None:
        found: list[pl.DataFrame] = []
        for line in lines:
            assert line.book is not None
            shots, turns = line.book.taken()
            for turn in turns:
                self._turn(line, turn)
            if shots:
                found.append(tables.pictures(line.name, shots))
            self._state(line, _STATE_EVERY)
        return tables.joined(found)

    def state(self) -> None:
        """Write down how far each book is covered, as before a segment is closed."""
        for line in self._books.values():
            self._state(line, ZERO)

    def _state(self, line: _Line, at_least: Ns) -> None:
        """Write down how far a book is covered, when that is news: it would be lost with the process."""
        until = line.book.known_until if line.book else None
        if line.began is None or until is None or line.book is None or line.book.turns:
            return
        if until - max(line.began, line.stated or line.began) > at_least:
            line.stated = until
            for began in (False, True):
                self._marks[line.wanted.kind].append(Mark(line.symbol, until, began, BROKE_OFF))

    def _begin_with(self, lines: Sequence[_Line], rows: pl.DataFrame, after: Ns) -> None:
        """Let datasets begin at the first row that came of them."""
        waiting = {line.name: line for line in lines if line.accepted and line.began is None}
        if not waiting:
            return
        first = rows.filter(pl.col("topic").is_in(list(waiting))).group_by("topic").agg(pl.col("ts").min())
        for name, ts in first.with_columns(pl.col("ts").cast(pl.Int64)).iter_rows():
            self._turn(waiting[name], Turn(Ns(ts + after), began=True))

    def _begin_without(self, lines: Sequence[_Line]) -> None:
        """Let quiet datasets begin: by the venue's time it is longer ago that it agreed to send them."""
        for line in lines:
            if not line.accepted or line.began is not None or self.at is None:
                continue
            line.agreed = self.at if line.agreed is None else line.agreed
            if self.at > line.agreed + _SKEW:
                bar = line.wanted.dataset.span
                at = bar_open(line.agreed, bar) if bar else Ns(line.agreed + _SKEW)
                self._turn(line, Turn(at, began=True))

    def _turn(self, line: _Line, turn: Turn) -> None:
        line.began, line.ended = (turn.at, None) if turn.began else (None, turn)
        line.seen.turn(turn)
        self._marks[line.wanted.kind].append(Mark(line.symbol, turn.at, turn.began, turn.reason))


def _line(name: str, wanted: Wanted, seen: Seen) -> _Line:
    line = _Line(name, wanted, seen)
    if wanted.dataset.data_type is DataType.ORDERBOOK:
        book = Book(wanted.channel, wanted.topic.depth, wanted.precision)
        line.book = BookKeeper(book, wanted.depth, wanted.every)
    elif wanted.dataset.span and not wanted.channel.from_trades:
        line.final = FinalBars(wanted.dataset.span, wanted.settle)
    return line


def _hear_book(line: _Line, change: BookChange, received: Ns) -> None:
    assert line.book is not None
    seen = line.seen
    seen.messages, seen.last = seen.messages + 1, received
    seen.lag = seen.lag if change.at is None else Ns(received - change.at)
    line.numbered = line.numbered or change.last is not None
    line.book.hear(change, received)


def _count(lines: Sequence[_Line], rows: pl.DataFrame | None) -> None:
    """Note what came."""
    if rows is None:
        return
    by_name = {line.name: line for line in lines}
    newest = rows.group_by("topic").agg(pl.len(), pl.col("received").max(), pl.col("ts").max())
    for name, count, received, ts in newest.with_columns(pl.col("ts").cast(pl.Int64)).iter_rows():
        seen = by_name[name].seen
        seen.rows += count
        if not by_name[name].book:
            seen.messages, seen.last = seen.messages + count, received
            seen.lag = Ns(received - ts - (by_name[name].wanted.dataset.span or 0))


def _of(rows: pl.DataFrame | None, lines: Sequence[_Line]) -> pl.DataFrame | None:
    return tables.of_topics(rows, [line.name for line in lines])


def _stored(data_type: DataType, lines: Sequence[_Line], rows: pl.DataFrame | None) -> pl.DataFrame:
    """Bring rows into the columns of a segment: our symbols and units."""
    contracts = {line.name: line.wanted.contract for line in lines if line.wanted.contract is not None}
    if rows is not None and contracts and data_type is not DataType.OHLC:
        inverse = [line.name for line in lines if line.wanted.dataset.symbol.market == "inverse"]
        rows = tables.in_base(rows, contracts, inverse)
    return tables.stored(data_type, rows, {line.name: line.symbol for line in lines})
