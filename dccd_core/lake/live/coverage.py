"""What streams brought of each symbol, and why not the rest: told by the notes in live segments. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.lake.partition.ledger import Answer

BROKE_OFF: Final = "the recording broke off"


@dataclass(frozen=True, slots=True)
class Mark:
    """From ``at`` on (venue time) ``symbol`` is recorded (``began``), or no longer, for a ``reason``."""

    symbol: str
    at: Us
    began: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that was learnt later of ``[start, end)``: all rows of it are there, whoever brought them.

    With a ``reason`` the contrary: they are not, whatever was said before.
    """

    symbol: str
    start: Us
    end: Us
    reason: str = ""

    @property
    def span(self) -> TimeRange:
        return TimeRange(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Notes:
    """What an append to a segment says besides its rows, all of it venue time.

    ``at``: how far the venue's time had come; a loss lasts at least until then. ``marks``: where symbols
    began and ended, in order. ``reached``: up to when symbols that began and did not end are proven
    complete, each by itself. ``pieces``: what was learnt of the time before. ``answers``: what was asked for
    to get rows of a symbol that no stream brought, one for each partition.
    """

    at: Us | None = None
    marks: Sequence[Mark] = ()
    reached: Mapping[str, Us] = field(default_factory=dict[str, Us])
    pieces: Sequence[Piece] = ()
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict[str, Sequence[Answer]])


@dataclass(frozen=True, slots=True)
class _End:
    """A symbol was recorded until ``at``; its segment goes on until ``last``."""

    at: Us
    last: Us
    reason: str


class SegmentCoverage:
    """What one segment tells, append after append.

    A symbol's coverage goes from its beginning to its end or, where it has none, to where it had come.
    """

    def __init__(self) -> None:
        self._began = dict[str, Us]()
        self._reached = dict[str, Us]()
        self._covered = defaultdict[str, list[TimeRange]](list)
        self._ends = defaultdict[str, list[Mark]](list)
        self._lost = defaultdict[str, list[Piece]](list)
        self._filled = defaultdict[str, list[TimeRange]](list)
        self._answers = defaultdict[str, list[Answer]](list)
        self._at: Us | None = None
        self.streamed = False
        """Whether there are rows that nobody asked for, or may be."""

    def add(self, notes: Notes) -> None:
        self.streamed |= not notes.answers
        for mark in notes.marks:
            if mark.began:
                self._began.setdefault(mark.symbol, mark.at)
            else:
                self._cover(mark.symbol, self._began.pop(mark.symbol, mark.at), mark.at)
                self._reached.pop(mark.symbol, None)
                self._ends[mark.symbol].append(mark)
        for symbol, at in notes.reached.items():
            self._reached[symbol] = max(at, self._reached.get(symbol, at))
        for piece in notes.pieces:
            if piece.reason:
                self._lost[piece.symbol].append(piece)
            else:
                self._cover(piece.symbol, piece.start, piece.end)
                self._filled[piece.symbol].append(piece.span)
        for symbol, answers in notes.answers.items():
            self._answers[symbol] += answers
        if notes.at is not None:
            self._at = notes.at if self._at is None else max(notes.at, self._at)

    @property
    def symbols(self) -> set[str]:
        return {*self.recorded, *self.asked}

    @property
    def asked(self) -> set[str]:
        """Return the symbols of which the exchange was asked for rows."""
        return set(self._answers)

    @property
    def recorded(self) -> set[str]:
        """Return the symbols of which a stream tells something."""
        return {*self._began, *self._covered, *self._ends, *self._lost}

    def answers(self, symbol: str) -> list[Answer]:
        """Return what was asked of the exchange, and what it answered."""
        return list(self._answers.get(symbol, ()))

    def covered(self, symbol: str) -> list[TimeRange]:
        whole = list(self._covered.get(symbol, ()))
        began = self._began.get(symbol)
        if began is not None and began < (reached := self._reached.get(symbol, began)):
            whole.append(TimeRange(began, reached))
        return union(whole)

    def lost(self, symbol: str) -> list[Piece]:
        return list(self._lost.get(symbol, ()))

    def filled(self, symbol: str) -> list[TimeRange]:
        """Return what was asked for, and came, after it was known to be missing."""
        return list(self._filled.get(symbol, ()))

    def ends(self, symbol: str) -> list[_End]:
        """Return each end of the symbol's coverage, the segment's own last: it may be no end at all."""
        ends = [
            _End(mark.at, max(mark.at, self._at or mark.at), mark.reason)
            for mark in self._ends.get(symbol, ())
        ]
        began = self._began.get(symbol)
        if began is None:
            return ends
        last = max(began, self._reached.get(symbol, began))
        return [*ends, _End(last, last, BROKE_OFF)]

    def _cover(self, symbol: str, start: Us, end: Us) -> None:
        if start < end:
            self._covered[symbol].append(TimeRange(start, end))


def covered(segments: Sequence[SegmentCoverage], symbol: str) -> list[TimeRange]:
    whole = union(span for segment in segments for span in segment.covered(symbol))
    gone = [piece.span for piece in withdrawn(segments, symbol)]
    return union(part for span in whole for part in span.minus(gone))


def answers(segments: Sequence[SegmentCoverage], symbol: str, partition: TimeRange) -> list[Answer]:
    """Return what was asked of a partition, in the order of the segments."""
    told = (answer for segment in segments for answer in segment.answers(symbol))
    return [answer for answer in told if any(span.clip(partition) for span in answer.spans)]


def withdrawn(segments: Sequence[SegmentCoverage], symbol: str) -> list[Piece]:
    """Return what is said not to be there, whatever was said of it before, in these segments or earlier.

    What was asked for since then is there.
    """
    filled = [span for segment in segments for span in segment.filled(symbol)]
    gone = (
        (one, part) for segment in segments for one in segment.lost(symbol) for part in one.span.minus(filled)
    )
    pieces = [Piece(symbol, part.start, part.end, one.reason) for one, part in gone]
    return sorted(pieces, key=lambda one: one.start)


def lost(segments: Sequence[SegmentCoverage], symbol: str) -> list[tuple[TimeRange, str]]:
    """Return what lies between an end and the next beginning, in whichever segment, with the end's reason.

    An end that no beginning follows lasts as long as its segment; one with a reason a moment at least, so
    that it is there for whoever finds the next beginning. One that is told again counts once.
    """
    whole = covered(segments, symbol)
    starts = [span.start for span in whole]
    ends = dict[Us, _End]()
    for end in (end for segment in segments for end in segment.ends(symbol)):
        known = ends.get(end.at)
        if not _holds(whole, starts, end.at) and (known is None or known.reason == BROKE_OFF):
            ends[end.at] = end
    stops = sorted([*starts, *ends])
    found: list[tuple[TimeRange, str]] = []
    for piece in withdrawn(segments, symbol):
        found += [(part, piece.reason) for part in piece.span.minus(span for span, _ in found)]
    for at, end in sorted(ends.items()):
        after = bisect_right(stops, at)
        least = at if end.reason == BROKE_OFF else at + 1
        stop = stops[after] if after < len(stops) else max(end.last, least)
        loss = TimeRange(at, Us(stop))
        found += [(part, end.reason) for part in loss.minus(span for span, _ in found)]
    return sorted(found)


def _holds(spans: Sequence[TimeRange], starts: Sequence[Us], at: Us) -> bool:
    n = bisect_right(starts, at) - 1
    return n >= 0 and at < spans[n].end
