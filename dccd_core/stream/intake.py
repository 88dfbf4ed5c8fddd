"""What one connection has brought: rows, and from when to when they are all there is. Pure.

Time here is the venue's own, taken from its messages: a wrong clock of ours cannot claim what did not come.
Each topic vouches for itself alone: that others are heard of proves nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from dccd_core.adapter.live import BookChange, DecodedBatch, Word
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, SECOND, TimeRange, Us
from dccd_core.lake.live.coverage import Mark, Notes, Piece
from dccd_core.stream import tables
from dccd_core.stream.bartopics import BarTopic, BuiltTopic
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.claim import ANEW, NOT_UNDERSTOOD, Moment
from dccd_core.stream.compare import Outcome
from dccd_core.stream.feeds import BarsFeed, Feed, Incoming, Line, feed_of, standing, stored, topic_of
from dccd_core.stream.pages import PagedTopic
from dccd_core.stream.silence import Pace
from dccd_core.stream.snapshots import Turn
from dccd_core.stream.trades import TradeTopic
from dccd_core.stream.venuetime import VenueTime, by_time
from dccd_core.stream.wanted import Kind, Question, Seen, Wanted
from dccd_core.stream.windows import Windows
from dccd_core.tables import RECEIVED, TIME

_AGES: Final = Us(3_650 * DAY)
"""What is older than that is not of its time: nobody pushes it."""
_STRANGE: Final = "something told a time that cannot be"
_WORKS: Final = Us(5 * SECOND)
"""How long after it was agreed to a quiet topic is taken for one that works, as far as others wait for it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on their way to disk, with what they prove.

    ``standing`` says which datasets are complete after it, and up to when: a segment that begins there says
    so again.
    """

    rows: pl.DataFrame
    notes: Notes
    standing: list[Mark]

    @property
    def news(self) -> bool:
        """Whether there is more to say than that time went on."""
        return bool(self.rows.height or self.notes.marks or self.notes.pieces)


@dataclass(frozen=True, slots=True)
class MisplacedRows:
    """Rows of a dataset's table that cannot be of the time they tell, each with a ``reason``."""

    dataset: Dataset
    rows: pl.DataFrame


class Intake:
    """Takes what one connection brings and hands it over in batches, one per kind of segment.

    ``steady`` in its methods is now on our clock that is never stepped.

    Args:
        seen: what came of each dataset so far, over all connections; it is counted on here.
        time: the venue's clock.
        windows: is told where recordings begin and end.
    """

    def __init__(self, seen: Mapping[Dataset, Seen], time: VenueTime, windows: Windows) -> None:
        self.misplaced: list[MisplacedRows] = []
        """What is to be kept aside; whoever takes it empties the list."""
        self._seen, self._time, self._windows = seen, time, windows
        self._feeds: dict[Kind, Feed] = {}
        self._by_name: defaultdict[str, list[Line]] = defaultdict(list)
        self._trades, self._bars = list[pl.DataFrame](), list[pl.DataFrame]()
        self._words = list[Word]()
        self._ready = defaultdict[Kind, list[pl.DataFrame]](list)
        self._marks = defaultdict[Kind, list[Mark]](list)
        self._withdrawn = defaultdict[Kind, list[Piece]](list)
        self._numbered = False
        self._spoilt = set[str]()
        """Topics of which something may have been lost since rows were last taken."""
        self._pace: Pace | None = None
        """How often anything comes."""

    @property
    def lines(self) -> Iterator[Line]:
        for feed in self._feeds.values():
            yield from feed.lines

    def add(self, name: str, wanted: Wanted, steady: Us) -> None:
        """Record a dataset too, of the topic of this name."""
        feed = self._feeds.setdefault(wanted.kind, feed_of(wanted.kind, wanted.finality_delay))
        self._pace = self._pace or Pace(steady)
        line = Line(name, wanted, self._seen[wanted.dataset], topic_of(wanted, steady))
        if (end := self._windows.last_end(wanted.dataset)) is not None:
            self._say_end(line, end)
        if any(other.accepted is not None for other in self._of(name)):
            self._accept(line, steady)
        feed.lines.append(line)
        self._numbered = self._numbered or wanted.channel.consecutive
        self._by_name[name].append(line)

    def resume(self, recorded: Mapping[Dataset, Turn]) -> None:
        """Note where earlier runs stopped recording datasets, so that the time since then has a reason."""
        for line in self.lines:
            end = recorded.get(line.wanted.dataset)
            if end is None or line.claim.ended is not None:
                continue
            if line.claim.began is None:
                line.claim.ended = end
                self._marks[line.wanted.kind].append(
                    Mark(line.symbol, end.at, began=False, reason=end.reason)
                )
            elif line.claim.began > end.at:
                gone = Piece(line.symbol, end.at, line.claim.began, end.reason)
                self._withdrawn[line.wanted.kind].append(gone)

    def drop(self, dataset: Dataset, reason: str, steady: Us) -> None:
        """Record a dataset no longer."""
        self._take(steady)
        for feed in self._feeds.values():
            for line in [one for one in feed.lines if one.wanted.dataset == dataset]:
                self._leave(line, reason, self._moment(steady))
                feed.lines.remove(line)
                self._by_name[line.name].remove(line)

    def complete(self, steady: Us) -> bool:
        """Whether everything that the venue agreed to send is being recorded without a gap by now."""
        return all(
            line.claim.began is not None or line.accepted is None or steady - line.accepted > _WORKS
            for line in self.lines
        )

    def follows(self, before: "Intake") -> bool:
        """Whether no time lies between another recording of the same and this one, as far as both know."""
        others = {line.wanted.dataset: line.known_until for line in before.lines}
        pairs = ((line.claim.began, others.get(line.wanted.dataset)) for line in self.lines)
        return all(began is None or reached is None or began <= reached for began, reached in pairs)

    def accept(self, name: str, steady: Us) -> None:
        """Note that the venue agreed to send a topic, perhaps anew."""
        self._take(steady)
        for line in self._of(name):
            self._accept(line, steady)

    def receive(
        self, batch: DecodedBatch, received: Us, steady: Us, concerned: frozenset[str] = frozenset()
    ) -> None:
        """Take what a batch of messages said.

        Args:
            batch: what.
            received: when its last message came.
            steady: now.
            concerned: the topics that its bad messages may have been of; empty: of any.
        """
        latest, moment = self._time.latest(steady), self._moment(steady)
        if self._pace is not None and (batch.books or batch.trades is not None or batch.bars is not None):
            self._pace.count(steady, 1)
        if batch.at is not None and batch.at <= latest:
            self._time.sample(batch.at, steady)
        if batch.bad:
            self._take(steady)  # what came before it is beyond doubt
            self._spoil(concerned, NOT_UNDERSTOOD, moment)
        self._take_books(batch, received, moment, concerned)
        trades, bars = (self._believed(rows, latest, moment) for rows in (batch.trades, batch.bars))
        self._trades += [trades] if trades is not None else []
        self._bars += [bars] if bars is not None else []
        self._words += [word for word in batch.words if word.at <= latest]
        if self._spoilt:
            self._take(steady)  # and so is what comes after its batch

    def join(self, name: str, start: BookChange, received: Us) -> None:
        """Begin a book with the snapshot that was asked for."""
        for line in self._of(name):
            if isinstance(line.topic, BookTopic):
                line.topic.join(start, received)

    def lost_books(self) -> dict[str, str]:
        """Return the books that are to be begun anew, each with the reason."""
        books = ((line, line.topic) for line in self.lines if isinstance(line.topic, BookTopic))
        return {line.name: book.lost for line, book in books if line.accepted is not None and book.lost}

    def failing_books(self) -> set[str]:
        """Return the books that do not stand yet, or no more."""
        books = ((line.name, line.topic) for line in self.lines if isinstance(line.topic, BookTopic))
        return {name for name, book in books if not book.stands}

    def books_to_compare(self, steady: Us) -> list[tuple[str, Wanted]]:
        """Return the books that are to be held against what REST says."""
        moment = self._moment(steady)
        books = ((line, line.topic) for line in self.lines if isinstance(line.topic, BookTopic))
        return [(line.name, line.wanted) for line, book in books if book.compare_due(moment)]

    def compare(self, name: str, steady: Us) -> BookTopic | None:
        """Begin to compare a book; None when that makes no sense now."""
        books = [line.topic for line in self._of(name) if isinstance(line.topic, BookTopic)]
        return next((book for book in books if book.compare(self._moment(steady))), None)

    def compared(self, book: BookTopic, outcome: Outcome, steady: Us) -> None:
        """Note what came of a comparison."""
        book.compared(outcome, self._moment(steady))

    def waits(self, name: str, steady: Us) -> bool:
        """Whether a snapshot of a book is of use now: something came that may follow it, or nothing will."""
        agreed = [(line.topic.pace, line.accepted) for line in self._of(name) if line.accepted is not None]
        return any(pace.heard > since or steady - since > _WORKS for pace, since in agreed)

    def silent(self, steady: Us) -> bool:
        """Whether nothing at all came for longer than all its markets together explain.

        What the venue says of topics or of the connection is not counted: it has answers, but no data.
        """
        return self._pace is not None and self._pace.silent(steady)

    def hushed(self, name: str, steady: Us) -> bool:
        """Whether one topic is silent for longer than its market explains."""
        return any(line.topic.pace.silent(steady) for line in self._of(name))

    def look(self, steady: Us) -> dict[str, str]:
        """Return the topics that are to be subscribed to anew, each with the reason; their claims end."""
        moment = self._moment(steady)
        told = [(line.name, line.topic.look(moment)) for line in self.lines]
        found = {name: why for name, why in told if why}
        for name, why in found.items():
            self.give_up(name, why, steady)
        return found

    def give_up(self, name: str, reason: str, steady: Us) -> None:
        """End what is recorded of a topic until the venue agrees to it anew."""
        self._take(steady)
        for line in self._of(name):
            self._end(line, reason)

    def questions(self, steady: Us) -> list[Question]:
        """Return what only REST can settle, and is due."""
        moment = self._moment(steady)
        told = [(line, line.topic.question(moment)) for line in self.lines if line.accepted is not None]
        return [
            Question(line.name, line.wanted, since, line.topic.pace.lag)
            for line, since in told
            if since is not None
        ]

    def ask(self, question: Question, steady: Us) -> None:
        """Note that a question is being asked."""
        for line in self._asked(question):
            if isinstance(line.topic, PagedTopic | BarTopic):
                line.topic.ask(steady)
            else:
                line.topic.pace.ask(steady)

    def answer(self, question: Question, rows: pl.DataFrame, span: TimeRange, steady: Us) -> str | None:
        """Take what there was from the question's ``since`` on; say why its topic is dead, if it is.

        Args:
            question: what was asked.
            rows: of the table of its data type.
            span: no row of this time is missing in ``rows``. It begins after the question's ``since`` only
                where a venue shows its newest rows alone.
            steady: now.
        """
        self._take(steady)
        moment, dead = self._moment(steady), None
        for line in self._asked(question):
            topic, feed = line.topic, self._feeds[line.wanted.kind]
            if isinstance(topic, BarTopic) and isinstance(feed, BarsFeed):
                why, proven = topic.answer(rows, feed.held(line.name), span.end, moment)
                feed.prove(line.name, proven, moment.venue)
            elif isinstance(topic, PagedTopic):
                why = topic.answer(rows, span, moment)
            else:
                assert not isinstance(topic, BarTopic | BookTopic)
                why = topic.answer(rows, span.end, moment)
            dead = why or dead
        if dead:
            self.give_up(question.name, dead, steady)
        return dead

    def batches(self, steady: Us) -> Iterator[tuple[Kind, Batch]]:
        """Hand over what came since this was last asked; a kind without news is left out."""
        self._take(steady)
        for kind, feed in self._feeds.items():
            rows, marks = self._ready.pop(kind, []), self._marks.pop(kind, [])
            reached = {line.symbol: at for line in feed.lines if (at := line.claim.reached) is not None}
            gone = self._withdrawn.pop(kind, [])
            if rows or marks or reached or gone:
                notes = Notes(self._time.now(steady), marks, reached, gone)
                whole = pl.concat(rows) if rows else tables.columns(kind[0]).to_frame()
                yield kind, Batch(whole, notes, standing(feed))

    def end(self, reason: str, steady: Us) -> None:
        """Note that nothing more will come; ``batches`` has the rest."""
        self._take(steady)
        for line in self.lines:
            self._end(line, reason)

    def _say_end(self, line: Line, end: Turn) -> None:
        """Say where another recording ended: whoever finds the next beginning here finds the reason, too."""
        line.claim.ended = end
        self._marks[line.wanted.kind].append(Mark(line.symbol, end.at, began=False, reason=end.reason))

    def _moment(self, steady: Us) -> Moment:
        return Moment(steady, self._time.now(steady))

    def _of(self, name: str) -> list[Line]:
        return self._by_name.get(name, [])

    def _asked(self, question: Question) -> list[Line]:
        """Return whom a question is for, as long as the venue sends it."""
        own = [line for line in self._of(question.name) if line.wanted == question.wanted]
        return [line for line in own if line.accepted is not None]

    def _take(self, steady: Us) -> None:
        """Let the topics have what came."""
        incoming = Incoming(
            tables.joined(self._trades),
            tables.joined(self._bars),
            self._words,
            frozenset(self._spoilt),
            self._numbered,
        )
        self._trades, self._bars, self._words = [], [], []
        self._spoilt.clear()
        moment = self._moment(steady)
        for kind, feed in self._feeds.items():
            if (rows := feed.take(incoming, moment)) is not None:
                self._ready[kind].append(stored(kind, feed.lines, rows))
            for line in feed.lines:
                if line.claim.turns:
                    self._doubt_others(line)
                    self._turn(line)

    def _doubt_others(self, line: Line) -> None:
        """Where one topic shows that a message was lost, those that nothing counts may lack one, too."""
        ends = [one for one in line.claim.turns if not one.began and one.reason not in (ANEW, NOT_UNDERSTOOD)]
        if ends and not isinstance(line.topic, PagedTopic | BarTopic):
            for other in self.lines:
                if isinstance(other.topic, PagedTopic | BarTopic):
                    other.topic.doubt(ends[0].at, f"of {line.symbol} something was lost: {ends[0].reason}")

    def _turn(self, line: Line) -> None:
        """Take note of where a dataset began and ended."""
        for turn in line.claim.taken():
            line.seen.turn(turn)
            self._marks[line.wanted.kind].append(Mark(line.symbol, turn.at, turn.began, turn.reason))
            if turn.since is not None and turn.since < turn.at:
                gone = Piece(line.symbol, turn.since, turn.at, turn.reason)
                self._withdrawn[line.wanted.kind].append(gone)
            if turn.began:
                self._windows.began(line.wanted.dataset, id(self), turn.at, turn.id)
            else:
                self._windows.ended(line.wanted.dataset, id(self), turn)

    def _accept(self, line: Line, steady: Us) -> None:
        line.accepted, moment = steady, self._moment(steady)
        line.topic.accept(moment)
        agreed = bar_open(moment.venue, line.bar) if line.bar else moment.venue
        self._windows.agreed(line.wanted.dataset, id(self), agreed)

    def _end(self, line: Line, reason: str) -> None:
        self._windows.gone(line.wanted.dataset, id(self))
        line.accepted = None
        line.topic.end(reason)
        if isinstance(feed := self._feeds[line.wanted.kind], BarsFeed):
            feed.drop(line.name)
        if isinstance(line.topic, BookTopic):
            line.topic.taken()  # its end, too, is told by this
        self._turn(line)

    def _leave(self, line: Line, reason: str, moment: Moment) -> None:
        """End it; where nothing was known of it, that time from now on has another reason all the same."""
        known = line.claim.reached is not None
        self._end(line, reason)
        if not known:
            end = Turn(moment.venue, began=False, reason=reason)
            self._say_end(line, end)
            self._windows.left(line.wanted.dataset, end)

    def _spoil(self, concerned: frozenset[str], reason: str, moment: Moment) -> None:
        """Doubt every topic that something lost may have been of; nobody concerned: of any."""
        for line in self.lines:
            if not concerned or line.name in concerned:
                line.topic.spoil(reason)
                if isinstance(line.topic, TradeTopic | PagedTopic | BuiltTopic):
                    line.topic.lose_until(moment.venue)
                if isinstance(feed := self._feeds[line.wanted.kind], BarsFeed):
                    feed.drop(line.name)  # a later version of what is held back may be what was lost
                self._spoilt.add(line.name)

    def _take_books(
        self, batch: DecodedBatch, received: Us, moment: Moment, concerned: frozenset[str]
    ) -> None:
        """Let books have what came of them.

        What was not understood may have come amid it. Where no number would show that, what came in its batch
        is no book, not even a whole one; where a checksum does, the doubt goes on after the batch.
        """
        latest, doubted = self._time.latest(moment.steady), dict[str, BookTopic]()
        if batch.bad:
            books = ((line.name, line.topic) for line in self.lines if isinstance(line.topic, BookTopic))
            doubted = {name: topic for name, topic in books if not concerned or name in concerned}
        for change in batch.books:
            topic = doubted.get(change.topic)
            if topic is None or topic.proven or change.last is not None:
                self._take_book(change, received, moment, latest)
        for topic in doubted.values():
            topic.spoil(NOT_UNDERSTOOD)

    def _take_book(self, change: BookChange, received: Us, moment: Moment, latest: Us) -> None:
        at = change.at
        strange = at is not None and not moment.venue - _AGES <= at <= latest
        believed = replace(change, at=None) if strange else change
        for line in self._by_name.get(change.topic, ()):
            topic, seen = line.topic, line.seen
            if isinstance(topic, BookTopic):
                seen.messages += 1
                seen.last = received
                if believed.at is not None:
                    seen.lag = Us(received - believed.at)
                topic.update(believed, received, moment)

    def _believed(self, rows: pl.DataFrame | None, latest: Us, moment: Moment) -> pl.DataFrame | None:
        """Return the rows whose time can be; the others are kept aside, and missing where they belong."""
        if rows is None or not rows.height:
            return None
        believed, aside = by_time(rows, TimeRange(Us(moment.venue - _AGES), Us(latest + 1)))
        if aside is None:
            return rows
        self._take(moment.steady)
        self._spoil(frozenset(aside["topic"].unique().to_list()), _STRANGE, moment)
        for line in self.lines:
            names = line.wanted.dataset.data_type.table.schema.names()
            own = aside.filter(topic=line.name)
            if own.height and set(names) <= set(own.columns):
                kept = [pl.col(name).cast(TIME) if name == RECEIVED else pl.col(name) for name in names]
                self.misplaced.append(MisplacedRows(line.wanted.dataset, own.select(*kept, "reason")))
        return believed
