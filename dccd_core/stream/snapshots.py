"""Snapshots of an order book on a fixed grid of time, each proven by the change that came after it. Pure."""

from dataclasses import dataclass
from typing import Final

from dccd_core.adapter.live import BookChange, Pairs
from dccd_core.domain.timespan import Ns
from dccd_core.stream.book import Book

_ANEW: Final = "the venue began the book anew"


@dataclass(frozen=True, slots=True)
class Shot:
    """The best levels of both sides at the moment ``at``; ``received`` is when its proof came."""

    at: Ns
    bids: Pairs
    asks: Pairs
    received: Ns


@dataclass(frozen=True, slots=True)
class Turn:
    """From ``at`` on the book is known (``began``), or is not any more, for a ``reason``."""

    at: Ns
    began: bool
    reason: str = ""


class BookKeeper:
    """Keeps one book and takes its picture every ``every``, ``depth`` levels a side.

    The picture of a moment counts when the next change is seen to follow the ones before: until then
    something may be missing. So no picture ever shows a book that was not the venue's.
    """

    def __init__(self, book: Book, depth: int, every: Ns) -> None:
        self.book = book
        self.shots: list[Shot] = []
        self.turns: list[Turn] = []
        self.known_until: Ns | None = None
        """The time of the last change of a book that is known; None while it is not, or tells no time yet."""
        self._depth, self._every = depth, every

    def hear(self, change: BookChange, received: Ns) -> None:
        """Take a change as it came."""
        pictures = self._pictures(change.at, received)
        anew = change.whole and not self.book.continues(change)
        known = self.book.apply(change)
        if anew or not known:
            self._end(self.book.lost or _ANEW)
        else:
            self.shots += pictures
        if known and self.book.fresh:
            self._know(change.at)
        if known and not self.book.shows(self._depth):
            self.lose("the price has left the snapshot that the book began with")

    def join(self, start: BookChange, received: Ns) -> None:
        """Begin with a snapshot that was asked for."""
        self._end(_ANEW)
        waiting = self.book.join(start)
        self._know(start.at)
        for change in waiting:
            self.hear(change, received)

    def lose(self, reason: str) -> None:
        """Give the book up until a whole one comes."""
        self.book.lose(reason)
        self._end(reason)

    def taken(self) -> tuple[list[Shot], list[Turn]]:
        """Hand over the pictures and turns there are."""
        new = self.shots, self.turns
        self.shots, self.turns = [], []
        return new

    def _pictures(self, until: Ns | None, received: Ns) -> list[Shot]:
        """Return the book as it is, for each moment of the grid from the last change to before ``until``."""
        if self.known_until is None or until is None:
            return []
        first = -(-self.known_until // self._every) * self._every
        if first >= until:
            return []
        best = self.book.bids.best(self._depth), self.book.asks.best(self._depth)
        return [Shot(Ns(at), *best, received) for at in range(first, until, self._every)]

    def _know(self, at: Ns | None) -> None:
        if at is None:
            return
        if self.known_until is None:
            self.turns.append(Turn(at, began=True))
        self.known_until = max(at, self.known_until or at)

    def _end(self, reason: str) -> None:
        if self.known_until is not None:
            self.turns.append(Turn(self.known_until, began=False, reason=reason))
        self.known_until = None
