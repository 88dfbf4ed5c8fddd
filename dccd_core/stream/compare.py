"""A kept order book held against a snapshot that the venue was asked for: a book can drift unseen. Pure.

What is compared is the book as it was when the comparison began and what changed in it since, because the
snapshot is of some moment between. Where the venue numbers it like the changes, that moment is known, and
every level has to be as it was then. Elsewhere a level that did not change meanwhile has to be as it is, and
one that did has to be as it was at some time: whatever was wrong with it, the venue has told it anew.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest
from typing import Final

from dccd_core.adapter.live import BookChange, Pairs
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.stream.book import Book, Side

LEEWAY: Final = Us(2 * SECOND)
"""How far a snapshot's time may be off against the times of changes. A comparison has to begin so long before
the snapshot is asked for, and to go on so long after it came, before a difference says anything."""
_DEEPER: Final = 100
"""How many levels more than are compared are known, for those that go away meanwhile."""
_BELOW: Final = 50
"""How many levels below those that are asked about are compared, too: they come up again."""
_MOST: Final = 50_000
"""How many changed levels are kept: a comparison that takes so long is begun anew."""


class Outcome(StrEnum):
    """What a comparison says.

    SAME: the book is the venue's. DRIFTED: it is not, though nothing that was told is missing. BEHIND: the
    venue knows updates that never came, so the book is right up to where it is known. WAIT: it cannot be said
    before more changes have come. UNKNOWN: it cannot be said with this snapshot, a later one may tell.
    """

    SAME = "same"
    DRIFTED = "drifted"
    BEHIND = "behind"
    WAIT = "wait"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a comparison, with the ``reason`` unless all is well.

    ``at``: the venue's time at which the book was right, at the earliest; None where it tells no time.
    ``current``: nothing has changed since, so the snapshot shows the book as it is now.
    """

    outcome: Outcome
    reason: str = ""
    at: Us | None = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the venue answered, and how it is to be read.

    ``depth``: the levels a side that it was asked for; a side with fewer has no others. 0: each side may be
    cut anywhere. ``decimals``: of its amounts, where it writes fewer than the changes have; None: all.
    """

    book: BookChange
    depth: int = 0
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class _Level:
    """A level that is not the same; ``sure``: no change that came meanwhile explains it."""

    text: str
    sure: bool


class Comparison:
    """Compares the best ``depth`` levels of a book with a snapshot that is asked for after it began.

    Args:
        book: as it is now; it must be known.
        depth: levels a side.
        at: the venue's time of the last change; None where it told none.
    """

    def __init__(self, book: Book, depth: int, at: Us | None) -> None:
        self.depth = depth
        self._book, self._at, self._last = book, at, book.last
        self._bids = _Side("bid", -1, book, book.bids, depth + _DEEPER)
        self._asks = _Side("ask", 1, book, book.asks, depth + _DEEPER)
        self._changes: list[tuple[Us | None, int | None]] = []
        """Time and number of each change since."""
        self._useless = ""
        """Why this comparison leads to nothing."""

    def update(self, change: BookChange) -> None:
        """Take a change that the book took."""
        if self._useless:
            return
        newest = self._newest
        if change.last is not None and newest is not None and change.last < newest:
            self._useless = "the venue counted anew meanwhile"
        self._changes.append((change.at, change.last if change.last is not None else newest))
        for side in (self._bids, self._asks):
            side.update(change, len(self._changes), self._book)
        if len(self._changes) + self._bids.heard + self._asks.heard > _MOST:
            self._useless = "too much changed meanwhile"
            self._changes.clear()
            self._bids.forget()
            self._asks.forget()

    def verdict(self, snapshot: Snapshot, *, late: bool = False) -> Verdict:
        """Say whether the book is what the snapshot shows.

        Args:
            snapshot: asked for after this began, by ``LEEWAY`` where the venue does not number it.
            late: no more changes are waited for; ``LEEWAY`` and more have passed since it came.
        """
        if self._useless:
            return Verdict(Outcome.UNKNOWN, self._useless)
        number, last, newest = snapshot.book.last, self._last, self._newest
        if number is None or last is None or newest is None:
            return self._without_numbers(snapshot, late=late)
        if number < last:
            return Verdict(Outcome.UNKNOWN, f"the snapshot ends at {number}, the book was at {last} already")
        if number > newest:
            said = f"the venue is at update {number}, the book has heard of none after {newest}"
            return Verdict(Outcome.BEHIND if late else Outcome.WAIT, said)
        return self._at_number(snapshot, number)

    @property
    def _newest(self) -> int | None:
        return self._changes[-1][1] if self._changes else self._last

    def _at_number(self, snapshot: Snapshot, number: int) -> Verdict:
        """Compare with the book as it was at exactly that number."""
        before = sum(1 for _, last in self._changes if last is not None and last <= number)
        reached = self._changes[before - 1][1] if before else self._last
        inside = reached != number  # amid the next change: the levels of that one may be either way
        for found in self._differences(snapshot, before, before, before + 1 if inside else 0):
            outcome = Outcome.DRIFTED if found.sure else Outcome.UNKNOWN
            return Verdict(outcome, found.text)
        at = snapshot.book.at if snapshot.book.at is not None else self._time(before)
        return Verdict(Outcome.SAME, at=at, current=not inside and before == len(self._changes))

    def _without_numbers(self, snapshot: Snapshot, *, late: bool) -> Verdict:
        """Compare with all that the book was since this began."""
        at, count = snapshot.book.at, len(self._changes)
        found = next(self._differences(snapshot, 0, count, 0), None)
        if found is None:
            return Verdict(Outcome.SAME, at=self._at if at is None else at, current=not count)
        if at is not None and self._at is not None and at < self._at - (0 if found.sure else LEEWAY):
            return Verdict(Outcome.UNKNOWN, "the snapshot is older than the comparison")
        newest = self._time(count)
        if not late and (at is None or newest is None or newest < at + LEEWAY):
            return Verdict(Outcome.WAIT, found.text)
        return Verdict(Outcome.DRIFTED if found.sure else Outcome.UNKNOWN, found.text)

    def _time(self, changes: int) -> Us | None:
        """Return the newest time told after so many changes."""
        times = (at for at, _ in reversed(self._changes[:changes]) if at is not None)
        return next(times, self._at)

    def _differences(self, snapshot: Snapshot, first: int, end: int, amid: int) -> Iterator[_Level]:
        """Go through the levels that are not as after any of ``first`` to ``end`` changes, sure ones first.

        What change ``amid`` tells may be so already, or not yet.
        """
        doubts: list[_Level] = []
        compared = 0
        for side, pairs in ((self._bids, snapshot.book.bids), (self._asks, snapshot.book.asks)):
            theirs = _Theirs(side, pairs, self.depth, snapshot)
            compared += min(self.depth, len(theirs.keys))
            for level in side.differences(theirs, (first, end, amid)):
                if level.sure:
                    yield level
                doubts.append(level)
        if not compared and not doubts:
            doubts.append(_Level("the snapshot is empty", sure=False))
        yield from doubts


class _Theirs:
    """One side of a snapshot: its best levels, and up to where it tells all there are.

    Those below ``depth`` say something only where both are sure of them.
    """

    def __init__(self, side: "_Side", pairs: Pairs, depth: int, snapshot: Snapshot) -> None:
        amounts = {side.sign * float(price): amount for price, amount in pairs}
        self.depth = depth
        self.keys = nsmallest(depth + side.below, amounts)
        self.amounts = {key: float(amounts[key]) for key in self.keys}
        cut = len(amounts) > len(self.keys) or len(pairs) >= snapshot.depth
        self.end = self.keys[-1] if cut and self.keys else -math.inf if cut else math.inf
        self.unit = 0.0 if snapshot.decimals is None else 10.0**-snapshot.decimals


class _Side:
    """One side of the book as it was when the comparison began, and what was told of it since."""

    def __init__(self, name: str, sign: int, book: Book, side: Side, depth: int) -> None:
        self.name, self.sign, self.side = name, sign, side
        keys = side.best_keys(depth)
        deeper = (len(side) - depth + _DEEPER) // 2  # so many changes are far from the end of a book
        self.below = 0 if book.cut_at(side) is not None else max(0, min(_BELOW, deeper))
        self.then = {key: float(amount) for key, (_, amount) in zip(keys, side.best(depth), strict=True)}
        self.end = keys[-1] if len(side) > depth else math.inf
        self.since: dict[float, list[tuple[int, float]]] = {}
        """What was told of a level: after how many changes, and its amount."""
        self.heard = 0
        if (known := book.end(side)) is not None:
            self.end = min(self.end, known)

    def update(self, change: BookChange, number: int, book: Book) -> None:
        pairs = change.bids if self.sign < 0 else change.asks
        told = {self.sign * float(price): float(amount) for price, amount in pairs}
        if change.whole:
            told = dict.fromkeys([*self.then, *self.since], 0.0) | told
        if (cut := book.cut_at(self.side)) is not None:
            told |= {key: 0.0 for key in {**self.then, **self.since} if key > cut}
        for key, amount in told.items():
            if key <= self.end:
                self.since.setdefault(key, []).append((number, amount))
                self.heard += 1

    def forget(self) -> None:
        self.since.clear()

    def differences(self, theirs: _Theirs, when: tuple[int, int, int]) -> Iterator[_Level]:
        for level, key in enumerate(theirs.keys):
            if key > self.end:
                if level < theirs.depth:
                    yield _Level(f"the price has left the best {self.name}s that were compared", sure=False)
                break
            yield from self._held_against(key, level, theirs, when)
        end = min(self.end, theirs.end)
        for key in {**self.then, **self.since}.keys() - theirs.amounts.keys():
            if key <= end:
                yield from self._held_against(key, bisect_left(theirs.keys, key), theirs, when)

    def _held_against(
        self, key: float, level: int, theirs: _Theirs, when: tuple[int, int, int]
    ) -> Iterator[_Level]:
        (first, end, amid), amount, unit = when, theirs.amounts.get(key, 0.0), theirs.unit
        told = self.since.get(key, [])
        ours = next((value for number, value in reversed(told) if number <= first), self.then.get(key, 0.0))
        meanwhile = [value for number, value in told if first < number <= end]
        if any(_same(value, amount, unit) for value in (ours, *meanwhile)):
            return
        if any(number == amid for number, _ in told):
            return
        ours, place = meanwhile[-1] if meanwhile else ours, f"{self.name} {level}, price {abs(key)!r}"
        text = f"{place}: we have {_amount(ours)}, the venue has {_amount(amount)}"
        if level < theirs.depth or not meanwhile:
            yield _Level(text, sure=not meanwhile)


def _same(ours: float, theirs: float, unit: float) -> bool:
    return ours == theirs or abs(ours - theirs) < unit * (1 + 1e-9)


def _amount(amount: float) -> str:
    return repr(amount) if amount else "nothing"
