"""An order book kept from what a venue pushes, with the venue's own proof that nothing is missing. Pure."""

from collections import deque
from itertools import islice
from typing import Final

from sortedcontainers import SortedDict

from dccd_core.adapter.live import BookChange, Channel, Pairs, Precision
from dccd_core.domain.timespan import MINUTE, SECOND, Us

NEW: Final = "no snapshot yet"
_MOST_WAITING: Final = 5_000
"""Changes kept until the snapshot they build on has come, the newest: at ten a second, minutes of them."""
_MOST_LEVELS_WAITING: Final = 20_000
"""How many levels they may have, all together."""
_FEW: Final = 5
"""How often in a row the venue may repeat itself while its time goes on."""
_MANY: Final = 100
"""How often it may where no time goes on: that proves nothing, but somebody has to say so."""
_APART: Final = Us(5 * SECOND)
_SOON: Final = MINUTE
"""A snapshot may be ahead of changes that are on their way, when they are about to reach it."""
_CROSSED: Final = Us(3 * SECOND)
"""A bid may be at or above an ask for so long by the venue's time, less for how long it was not meanwhile."""
CROSSED: Final = "the best bid"
"""So the reason begins for which a book is lost that is crossed."""
_TRIES: Final = 3
"""Snapshots that met no change before it is said that they never will."""
_HARMLESS: Final = ""


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
        set_again = super(SortedDict, levels).__setitem__
        for price, amount in pairs:
            key = sign * float(price)
            if float(amount):
                if key in levels:
                    set_again(key, (price, amount))  # pyright: ignore[reportAbstractUsage] -- a dict's
                else:
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

    def shows(self, pairs: Pairs) -> bool:
        """Whether its best levels are these."""
        best = {float(price): float(amount) for price, amount in self.best(len(pairs))}
        return best == {float(price): float(amount) for price, amount in pairs}

    def best_keys(self, depth: int) -> list[float]:
        """Return how far from the best the levels are priced, as ``price_at`` tells it."""
        return list(islice(self._levels, depth))

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
        """Whether the last change was news: what was told before says nothing of the time it comes at."""
        self.joined = False
        """Whether the changes were seen to go on from the snapshot; one that was pushed is one of them."""
        self.failed = 0
        """How many snapshots that were asked for met no change, since one last did."""
        self.last: int | None = None
        """The number of the last update that the book knows."""
        self.crossed_since: Us | None = None
        """The venue's time when the best bid was first seen not to be below the best ask; None: it is."""
        self._crossed_before: tuple[Us, Us] | None = None
        """For how long it was crossed before that, less for how long it was not; and until when."""
        self._channel, self._depth, self._precision = channel, depth, precision
        self._at: Us | None = None
        """The time of the last change that told one."""
        self._joining = False
        """Whether the next change is the first one on a snapshot, which may lie before, in or after it."""
        self._since: tuple[Us, int] | None = None
        """Where the changes were, time and number, when the snapshot that they have not met yet came."""
        self._repeats: tuple[int | None, int] = None, 0
        """How often in a row nothing new was told, after which number."""
        self._waiting: deque[BookChange] = deque(maxlen=_MOST_WAITING)
        self._levels_waiting = 0
        self._ends: dict[Side, float | None] = {}
        """Where the levels end that a cut snapshot knew."""

    def apply(self, change: BookChange) -> bool:
        """Take a change; return whether the book is, with it, what the venue has."""
        last, previous = self.last, change.previous
        if (
            self.joined
            and self.crossed_since is None
            and self._crossed_before is None
            and not change.whole
            and (last is None or (change.first == last + 1 if previous is None else previous == last))
        ):  # as nearly all do: it is new and follows
            self.fresh, self._joining = True, False
            self._put(change)
        else:
            self._judge(change)
        return self.lost is None

    def _judge(self, change: BookChange) -> None:
        self.fresh = False
        if self.lost is not None and not change.whole:
            self._wait(change)
        elif (wrong := self._misfit(change)) is None:
            self.fresh, self.joined, self.failed = True, True, 0
            if change.whole:
                self._begin(change, going_on=self.lost is None and self.continues(change))
            else:
                self._put(change)
            self.joined, self._joining = self.lost is None, change.whole
        elif wrong != _HARMLESS:
            self.lose(wrong)
            self._wait(change)

    def join(self, start: BookChange) -> list[BookChange]:
        """Begin with a snapshot that was asked for; return the changes that waited for it, to be applied."""
        waiting = list(self._waiting)
        self._begin(start, going_on=False)
        self._joining, self.joined = True, False
        self._since = None if start.at is None else (start.at, start.last or 0)
        for one in reversed(waiting):
            if self._since is None and one.at is not None and one.last is not None:
                self._since = one.at, one.last
        cut = self._channel.start.levels if self._channel.start else 0
        self._ends = {side: side.price_at(cut - 1) for side in (self.bids, self.asks)}
        return waiting

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask, as it should be: it is equal or above."""
        bid, ask = self.bids.price, self.asks.price
        return bid is not None and ask is not None and bid >= ask

    @property
    def doubtful(self) -> bool:
        """Whether it is crossed and nothing proves it: it may be amid the changes of one moment."""
        return self.crossed_since is not None and not self._proven

    @property
    def strange(self) -> bool:
        """Whether it is crossed, or was lately, although it is proven: it is lost if it stays so for long."""
        return self.suspicious and self._proven

    @property
    def _proven(self) -> bool:
        return self.last is not None or self._channel.checksum is not None

    def look(self) -> None:
        """Note whether the book is crossed now: one that numbers prove is not looked at with each change.

        Where each level is a message of its own, a crossed book is not for moments.
        """
        since, at = self.crossed_since, self._at
        if self.crossed:
            self.crossed_since = at if since is None else since
        elif since is not None and at is not None:
            self._crossed_before, self.crossed_since = (self._crossed_for(since, at), at), None
        elif self._crossed_before is not None and at is not None:
            before, until = self._crossed_before
            self._crossed_before = None if at - until > before else self._crossed_before

    @property
    def suspicious(self) -> bool:
        """Whether it is crossed, or was lately: then it is looked at with each change."""
        return self.crossed_since is not None or self._crossed_before is not None

    def _crossed_for(self, since: Us, at: Us) -> Us:
        """Return for how long it is crossed by ``at``, less for how long it was not in between."""
        if self._crossed_before is None:
            return Us(at - since)
        before, until = self._crossed_before
        return Us(max(0, before - (since - until)) + at - since)

    def shows(self, depth: int) -> bool:
        """Whether the best ``depth`` levels are all known: a price may walk out of a cut snapshot."""
        for side, end in self._ends.items():
            last = side.price_at(min(depth, len(side)) - 1)
            if end is not None and (last is None or last > end):
                return False
        return True

    def end(self, side: Side) -> float | None:
        """Return the last price (see ``price_at``) of the cut snapshot that it began with, if it was cut."""
        return self._ends.get(side)

    def cut_at(self, side: Side) -> float | None:
        """Return the price beyond which levels were taken away without a message, if any can have been."""
        return side.price_at(self._depth - 1) if self._channel.cuts else None

    def continues(self, change: BookChange) -> bool:
        """Whether a whole book is known to come right after the one there is, or is the same again.

        One with the same number and other levels is another beginning: numbers begin anew somewhere.
        """
        if change.last is None or self.last is None:
            return False
        if change.last == self.last:
            return self.bids.shows(change.bids) and self.asks.shows(change.asks)
        return change.last == self.last + 1

    def lose(self, reason: str) -> None:
        """Give the book up until a whole one comes."""
        self.lost = reason
        self.joined = False
        self._waiting.clear()
        self._levels_waiting = 0

    def _begin(self, change: BookChange, *, going_on: bool) -> None:
        self.bids.clear()
        self.asks.clear()
        self._waiting.clear()
        self._levels_waiting = 0
        self.lost, self.last, self._repeats = None, None, (None, 0)
        if not going_on:
            self.crossed_since = self._at = self._crossed_before = None
        self._put(change)

    def _wait(self, change: BookChange) -> None:
        """Keep what may follow the snapshot that is being asked for; of too much only the newest."""
        if not self._channel.start:
            return
        if len(self._waiting) == _MOST_WAITING:
            self._levels_waiting -= _levels(self._waiting.popleft())
        self._waiting.append(change)
        self._levels_waiting += _levels(change)
        while self._levels_waiting > _MOST_LEVELS_WAITING:
            self._levels_waiting -= _levels(self._waiting.popleft())

    def _put(self, change: BookChange) -> None:
        self.bids.put(change.bids)
        self.asks.put(change.asks)
        if self._channel.cuts:
            self.bids.cut(self._depth)
            self.asks.cut(self._depth)
        if change.last is not None:
            self.last = change.last
        if change.at is not None:
            self._at = change.at
        if change.checksum is not None and (wrong := self._disproof(change.checksum)) is not None:
            self.lose(wrong)
        elif (
            self.crossed_since is not None
            or self._crossed_before is not None  # as long as it was so lately, it is looked at each time
            or (change.last is None and change.checksum is None and self.crossed)
        ):
            self.look()

    def _misfit(self, change: BookChange) -> str | None:
        """Say why a change is not to be applied; ``_HARMLESS`` when it only repeats what is known."""
        if self.crossed_since is not None and (wrong := self._too_long_crossed(change)) is not None:
            return wrong
        last, previous = self.last, change.previous
        if change.whole or last is None or change.last is None:
            return None
        if previous == last or (previous is None and change.first == last + 1):
            return None
        if self._told_before(change.last, previous):
            return self._repeated(change, change.last)
        return self._gap(change)

    def _told_before(self, number: int, previous: int | None) -> bool:
        """Whether this is a repetition, or known to a snapshot.

        Numbers that follow one another never go back without a new book; a chain of them may, and says so.
        """
        assert self.last is not None
        if not self.joined and number == self.last:
            return False  # where the snapshot ends: they meet
        if previous is None or self._joining:
            return number <= self.last
        return number == self.last

    def _gap(self, change: BookChange) -> str | None:
        """Say what is missing between the book and this change, if anything is."""
        last, first, previous = self.last, change.first, change.previous
        assert last is not None
        before = previous if previous is not None else first - 1 if first is not None else last
        if before <= last if previous is None or self._joining else before == last:
            return None
        if not self.joined:
            return self._unmet(f"the first change {_beginning(change)}", change)
        if previous is not None:
            return f"an update follows {previous}, not {last}"
        return f"updates {last + 1} to {before} are missing"

    def _repeated(self, change: BookChange, number: int) -> str:
        """Say what is wrong when what the book knows is told once more: nothing, once."""
        last, at = self.last, change.at
        assert last is not None
        after, repeats = self._repeats
        repeats = repeats + 1 if after == last else 1
        self._repeats = last, repeats
        if not self.joined:
            return self._apart(change, number, repeats)
        goes_on = at is not None and self._at is not None and at > self._at
        if goes_on and number < last:
            return f"the numbers of updates went back from {last} to {number}"
        if repeats > (_FEW if goes_on else _MANY):
            return f"after update {last} came nothing but what was told before, {repeats} times"
        return _HARMLESS

    def _apart(self, change: BookChange, number: int, repeats: int) -> str:
        """Say when changes do not get to where the snapshot is."""
        assert self.last is not None
        if change.at is None:
            return _HARMLESS
        if self._since is None:
            self._since = change.at, number
        since, begun = self._since
        passed, gained, left = change.at - since, number - begun, self.last - number
        if repeats <= _FEW or passed < _APART or left * passed <= gained * _SOON:
            return _HARMLESS
        return self._unmet(f"{passed // SECOND} s later the changes were at {number}", change)

    def _unmet(self, seen: str, change: BookChange) -> str:
        """Say that a snapshot and the changes do not meet, and how often that was so by now."""
        self.failed += 1
        if self.failed < _TRIES:
            return f"the snapshot ends at {self.last}, {seen}"
        return (
            f"the snapshot's numbers ({self.last}) and the changes' ({change.last}) never meet: "
            f"{self.failed} snapshots did not"
        )

    def _too_long_crossed(self, change: BookChange) -> str | None:
        since, at = self.crossed_since, change.at
        if since is None or at is None or (crossed := self._crossed_for(since, at)) <= _CROSSED:
            return None
        if change.whole and not self.continues(change):
            return None
        return (
            f"{CROSSED}, {self.bids.price}, is not below the best ask, {self.asks.price}, "
            f"for {crossed / SECOND:.1f} s"
        )

    def _disproof(self, checksum: int) -> str | None:
        channel = self._channel
        if channel.checksum is None:
            return None
        best = self.bids.best(channel.checked), self.asks.best(channel.checked)
        ours = channel.checksum(*best, self._precision)
        return None if ours == checksum else f"checksum {ours}, the venue says {checksum}"


def _levels(change: BookChange) -> int:
    return len(change.bids) + len(change.asks)


def _beginning(change: BookChange) -> str:
    if change.previous is not None:
        return f"follows {change.previous}"
    return f"begins at {change.first}"
