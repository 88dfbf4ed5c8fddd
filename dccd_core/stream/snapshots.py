"""Snapshots of an order book on a fixed grid of time, each proven by the change that came after it. Pure."""

from dataclasses import dataclass
from typing import Final

from dccd_core.adapter.live import BookChange, Pairs
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream.book import CROSSED, Book
from dccd_core.stream.compare import Comparison, Outcome, Snapshot, Verdict

DRIFTED: Final = "the book has drifted"
_ANEW: Final = "the venue began the book anew"
_NO_TIME: Final = "the venue tells no time of a change"
_MOST_AT_ONCE: Final = 3_600
"""Pictures that one change may prove. It is no book that did not move for longer, but a wrong time."""


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The best levels of both sides at the moment ``at``; ``received`` is when its proof came.

    ``crossed``: the best bid is not below the best ask, though the venue's own numbers prove the book.
    """

    at: Us
    bids: Pairs
    asks: Pairs
    received: Us
    crossed: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """From ``at`` on the book is known (``began``), or is not any more, for a ``reason``.

    ``since``: what was said before of the time from then on to ``at`` is withdrawn, its pictures too: the
    book was wrong without showing it. None: nothing is. ``id``: where ids follow one another, the last one
    before the beginning, or before the end; None: nobody knows it.
    """

    at: Us
    began: bool
    reason: str = ""
    since: Us | None = None
    id: int | None = None


class BookKeeper:
    """Keeps one book and takes its picture every ``every``, ``depth`` levels a side.

    The picture of a moment counts when the next change is seen to follow the ones before: until then
    something may be missing. So no picture ever shows a book that was not the venue's. What was told before
    proves nothing, and neither does a snapshot that was asked for before a change is seen to go on from it.
    """

    def __init__(self, book: Book, depth: int, every: Us) -> None:
        self.book = book
        self.snapshots: list[BookSnapshot] = []
        self.turns: list[Turn] = []
        self.known_until: Us | None = None
        """The time of the last change of a book that is known; None while it is not, or tells no time yet."""
        self.compared_at: Us | None = None
        """The venue's time at which the book was last seen to be the venue's: it began or was compared."""
        self._depth, self._every = depth, every
        self._due: Us | None = None
        """The moment of the next picture."""
        self._begins: Us | None = None
        """From when on a snapshot is right, once a change is seen to go on from it."""
        self._crossing: Us | None = None
        """Since when nothing is said of a book that nothing proves, because it is crossed."""
        self._held: list[BookSnapshot] = []
        """The pictures of the time before that; of a book that is proven, those in which it is crossed."""
        self._doubted = False
        self._ended: Us | None = None
        """Where it was last known, before it was not."""
        self._comparison: Comparison | None = None

    def update(self, change: BookChange, received: Us) -> None:
        """Take a change as it came; one whose time is not to be believed without it."""
        book, at, due = self.book, change.at, self._due
        pictures = self._pictures(at, received) if due is not None and at is not None and due < at else []
        anew = change.whole and not book.continues(change)
        known = book.apply(change)
        if anew or not known:
            self._abandon(book.lost or _ANEW, None if known else self._wrong_since())
            pictures = []
        if not known or not book.fresh or self._unproven(change):
            return
        if self._comparison is not None:
            self._comparison.update(change)
        until = self.known_until
        crossed = book.crossed_since is not None or (pictures and book.suspicious)
        if crossed or self._held or self._crossing is not None:
            self._weigh(pictures, change)
        elif due is not None and at is not None and until is not None and at <= due:
            self.known_until = max(until, at)  # no picture is due yet, as mostly
        else:
            self._go_on(pictures, change)
        if not book.shows(self._depth):
            self.lose("the price has left the snapshot that the book began with")

    def _wrong_since(self) -> Us | None:
        """Return since when a book that is lost may have been wrong; None: it was not while it was known.

        What crosses it for seconds is mostly a level that was left over: who knows since when.
        """
        if self._crossing is not None or (self.book.lost or "").startswith(CROSSED):
            return self.compared_at
        return self.book.crossed_since

    def join(self, start: BookChange, received: Us) -> None:
        """Begin with a snapshot that was asked for."""
        self._abandon(_ANEW)
        waiting = self.book.join(start)
        if start.at is not None:
            self._begins, self._due = start.at, self._next(start.at)
        for change in waiting:
            self.update(change, received)

    def lose(self, reason: str) -> None:
        """Give the book up until a whole one comes."""
        self.book.lose(reason)
        self._abandon(reason)

    def doubt(self, reason: str) -> None:
        """Say nothing more of the book until its checksum is right again: a change of it may be lost."""
        self._end(reason)
        self._doubted = True

    def _unproven(self, change: BookChange) -> bool:
        self._doubted = self._doubted and change.checksum is None and not change.whole
        return self._doubted

    def drift(self, reason: str) -> None:
        """Give the book up, and withdraw what was said of it since it was last seen to be right."""
        self.book.lose(reason)
        self._abandon(reason, self.compared_at)

    def compare_begin(self) -> Comparison | None:
        """Begin to compare the book with a snapshot that is to be asked for; None while it is lost."""
        usable = self.book.lost is None and not self.book.doubtful
        self._comparison = Comparison(self.book, self._depth, self.known_until) if usable else None
        return self._comparison

    def compared(
        self, snapshot: Snapshot, received: Us, *, late: bool = False, silent: bool = False
    ) -> Verdict:
        """Hold the book against a snapshot that was asked for since ``compare_begin``; act on what it shows.

        A book that is the same is proven, one that has drifted or is behind is lost. On ``Outcome.WAIT`` the
        same snapshot is to be given again when more changes have come; ``late`` when none is waited for.
        ``silent``: nothing came of it for longer than its market explains. Then what differs is what did not
        come, and what was said before stays.
        """
        if self._comparison is None:
            return Verdict(Outcome.UNKNOWN, "the book was begun anew meanwhile")
        verdict = self._comparison.verdict(snapshot, late=late)
        if verdict.outcome is Outcome.WAIT:
            return verdict
        self._comparison = None
        if verdict.outcome is Outcome.SAME:
            self._agree(verdict, snapshot.book.at, received)
        elif verdict.outcome is Outcome.DRIFTED and silent:
            self.lose(f"it is silent, although it changed: {verdict.reason}")
        elif verdict.outcome is Outcome.DRIFTED:
            self.drift(f"{DRIFTED}: {verdict.reason}")
        elif verdict.outcome is Outcome.BEHIND:
            self.lose(verdict.reason)
        return verdict

    def prove(self, at: Us, received: Us) -> None:
        """Take note that the book as it is was the venue's at ``at``, by its time: a book that does not move.

        The pictures of the quiet time are taken, up to before ``at``.
        """
        if (
            self.book.lost is None
            and not (self.book.doubtful or self.book.strange)
            and at > (self.known_until or 0)
        ):
            pictures = self._pictures(at, received)
            self._go_on(pictures, BookChange("", at))

    def taken(self) -> tuple[list[BookSnapshot], list[Turn]]:
        """Hand over the pictures and turns there are."""
        new = self.snapshots, self.turns
        self.snapshots, self.turns = [], []
        return new

    def _agree(self, verdict: Verdict, at: Us | None, received: Us) -> None:
        if verdict.current and at is not None:
            self.prove(at, received)
        if verdict.at is not None and self.known_until is not None:
            self.compared_at = max(self.compared_at or verdict.at, min(verdict.at, self.known_until))

    def _pictures(self, until: Us | None, received: Us) -> list[BookSnapshot]:
        """Return the book as it is, for each moment of the grid that is due and before ``until``."""
        due, every = self._due, self._every
        if due is None or until is None or due >= until or until - due > _MOST_AT_ONCE * every:
            return []
        bids, asks = self.book.bids.best(self._depth), self.book.asks.best(self._depth)
        crossed = bool(bids and asks) and float(bids[0][0]) >= float(asks[0][0])
        if crossed:
            self.book.look()
        return [BookSnapshot(Us(at), bids, asks, received, crossed) for at in range(due, until, every)]

    def _go_on(self, pictures: list[BookSnapshot], change: BookChange) -> None:
        """Take note that the book was right up to a change and is so with it."""
        at, known = change.at, self.known_until
        if self._begins is not None and known is None:
            self._know(self._begins)
        self.snapshots += pictures
        if at is None:
            if change.bids or change.asks:  # the next pictures may be of before or after it
                self._end(_NO_TIME)
            return
        if self._due is not None and at - self._due > _MOST_AT_ONCE * self._every:
            self._end(f"the next change told a time {(at - self._due) // SECOND} s later")
        self._know(at)

    def _weigh(self, pictures: list[BookSnapshot], change: BookChange) -> None:
        """Say nothing of a book while it is crossed: it may be lost for that. What is held back counts later.

        The pictures of the crossed time itself never do where nothing proves the book.
        """
        if self.book.doubtful:
            if self._crossing is None:
                self._crossing, self._held = self.book.crossed_since, pictures
            return
        if self._crossing is not None:
            since, pictures = self._crossing, self._held
            self._crossing, self._held = None, []
            if self.known_until is not None:
                self._know(since)
                if self._due is not None and change.at is not None and self._due < change.at:
                    self.snapshots += pictures
                    pictures = []
                    self._end("the best bid was not below the best ask")
        elif self.book.strange:
            self._held += pictures
            self._due = self._due if change.at is None else max(self._due or change.at, self._next(change.at))
            return
        else:
            pictures, self._held = [*self._held, *pictures], []
        self._go_on(pictures, change)

    def _know(self, at: Us) -> None:
        if self.known_until is None:
            self.turns.append(Turn(at, began=True))
            self.known_until, self._due = at, self._next(at)
            self.compared_at = at if self.compared_at is None else self.compared_at
        elif at > self.known_until:
            self.known_until = at
            if self._due is None or at > self._due:
                self._due = self._next(at)

    def _next(self, at: Us) -> Us:
        """Return the first moment of the grid that is not before ``at``."""
        return Us(-(-at // self._every) * self._every)

    def _abandon(self, reason: str, since: Us | None = None) -> None:
        """Say no more of this book: another one begins, sooner or later."""
        self._end(reason, since)
        self.compared_at = self._comparison = None

    def _end(self, reason: str, since: Us | None = None) -> None:
        at = self.known_until
        if at is None and since is not None and self._ended is not None and since < self._ended:
            at = self._ended  # it was in doubt already, and is wrong since longer
        if at is not None:
            since = None if since is None else min(since, at)
            self.turns.append(Turn(at, began=False, reason=reason, since=since))
            self._ended = at
            if since is not None:
                self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.at < since]
        self.known_until = self._due = self._begins = self._crossing = None
        self._held = []
