"""An order book kept from what a venue pushes, with the venue's own proof that nothing is missing. Pure."""

from collections import deque
from itertools import islice
from typing import Final

from sortedcontainers import SortedDict

from dccd_core.adapter.live import BookChange, Channel, Pairs, Precision

NEW: Final = "no snapshot yet"
_MOST_WAITING: Final = 5_000
"""Changes kept until the snapshot they build on has come, the newest: at ten a second, minutes of them."""


class Side:
    """The levels of one side, best first; price and amount as the venue wrote them.

    Args:
        sign: 1 where the lowest price is the best, -1 where the highest is.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._levels: SortedDict[float, tuple[str, str]] = SortedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def put(self, pairs: Pairs) -> None:
        levels, sign = self._levels, self._sign
        for price, amount in pairs:
            key = sign * float(price)
            if float(amount):
                levels[key] = price, amount
            else:
                levels.pop(key, None)  # a venue may take away what it never showed us

    def clear(self) -> None:
        self._levels.clear()

    def cut(self, depth: int) -> None:
        while len(self._levels) > depth:
            self._levels.popitem()

    def price_at(self, level: int) -> float | None:
        """Return how far from the best a level is priced, as a number that grows; None when there is none."""
        return self._levels.peekitem(level)[0] if level < len(self._levels) else None

    def best(self, depth: int) -> list[tuple[str, str]]:
        return list(islice(self._levels.values(), depth))

    @property
    def price(self) -> float | None:
        return self._sign * self._levels.peekitem(0)[0] if self._levels else None


class Book:
    """One book. ``lost`` says why it is not to be trusted; it begins, and begins again, with a whole one.

    Args:
        channel: how the venue proves its books.
        depth: the levels a side that were subscribed to, where the venue keeps no more itself.
        precision: how the venue writes numbers, for its checksum.
    """

    def __init__(self, channel: Channel, depth: int = 0, precision: Precision | None = None) -> None:
        self.bids, self.asks = Side(-1), Side(1)
        self.lost: str | None = NEW
        self.fresh = False
        """Whether the last change was news: a snapshot that was asked for may know of later ones already."""
        self._channel, self._depth, self._precision = channel, depth, precision
        self._last: int | None = None
        self._joining = False
        """Whether the next change is the first one on a snapshot of another source."""
        self._waiting: deque[BookChange] = deque(maxlen=_MOST_WAITING)
        self._ends: dict[Side, float | None] = {}
        """Where the levels end that a cut snapshot knew."""

    def apply(self, change: BookChange) -> bool:
        """Take a change; return whether the book is, with it, what the venue has."""
        self.fresh = change.whole or not self._older(change)
        if change.whole:
            self._begin(change)
        elif self.lost is not None:
            self._wait(change)
            return False
        elif not self._told_before(change):
            if (gap := self._gap(change)) is not None:
                self.lose(gap)
                self._wait(change)
                return False
            self._put(change)
        return self.lost is None

    def join(self, start: BookChange) -> list[BookChange]:
        """Begin with a snapshot that was asked for; return the changes that waited for it, to be applied."""
        waiting = list(self._waiting)
        self._begin(start)
        self._joining = True
        cut = self._channel.start.levels if self._channel.start else 0
        self._ends = {side: side.price_at(cut - 1) for side in (self.bids, self.asks)}
        return waiting

    def shows(self, depth: int) -> bool:
        """Whether the best ``depth`` levels are all known: a price may walk out of a cut snapshot."""
        for side, end in self._ends.items():
            last = side.price_at(min(depth, len(side)) - 1)
            if end is not None and (last is None or last > end):
                return False
        return True

    def continues(self, change: BookChange) -> bool:
        """Whether a whole book is known to come right after the one there is."""
        return change.last is not None and self._last is not None and change.last - self._last in (0, 1)

    def lose(self, reason: str) -> None:
        """Give the book up until a whole one comes."""
        self.lost = reason
        self._waiting.clear()

    def _begin(self, change: BookChange) -> None:
        self.bids.clear()
        self.asks.clear()
        self._waiting.clear()
        self.lost, self._joining = None, False
        self._put(change)

    def _wait(self, change: BookChange) -> None:
        """Keep what may follow the snapshot that is being asked for."""
        if self._channel.start:
            self._waiting.append(change)

    def _put(self, change: BookChange) -> None:
        self.bids.put(change.bids)
        self.asks.put(change.asks)
        if self._channel.cuts:
            self.bids.cut(self._depth)
            self.asks.cut(self._depth)
        self._last = change.last if change.last is not None else self._last
        if (wrong := self._disproof(change)) is not None:
            self.lose(wrong)

    def _older(self, change: BookChange) -> bool:
        """Whether a snapshot that was asked for knows all of this change."""
        return change.last is not None and self._last is not None and change.last < self._last

    def _told_before(self, change: BookChange) -> bool:
        """Whether this is a repetition, or known to a snapshot that was asked for.

        Numbers that follow one another never go back without a new book; a chain of them may, and says so.
        """
        if self._joining and self._older(change):
            return True
        if change.last is None or self._last is None:
            return False
        if change.previous is None:
            return change.last <= self._last
        return change.last == self._last != change.previous

    def _gap(self, change: BookChange) -> str | None:
        """Say what is missing between the book and this change, if anything is."""
        last = self._last
        if last is None:
            return None
        if self._joining:
            self._joining = False
            if change.first is not None and change.first > last + 1:
                return f"the snapshot ends at {last}, the first change begins at {change.first}"
            return None
        if change.previous is not None:
            return None if change.previous == last else f"an update follows {change.previous}, not {last}"
        if change.first is not None and change.first > last + 1:
            return f"updates {last + 1} to {change.first - 1} are missing"
        return None

    def _disproof(self, change: BookChange) -> str | None:
        channel = self._channel
        if change.checksum is not None and channel.checksum is not None:
            best = self.bids.best(channel.checked), self.asks.best(channel.checked)
            ours = channel.checksum(*best, self._precision)
            return None if ours == change.checksum else f"checksum {ours}, the venue says {change.checksum}"
        if change.last is None and self._crossed():
            return f"the best bid, {self.bids.price}, is not below the best ask, {self.asks.price}"
        return None

    def _crossed(self) -> bool:
        bid, ask = self.bids.price, self.asks.price
        return bid is not None and ask is not None and bid >= ask
