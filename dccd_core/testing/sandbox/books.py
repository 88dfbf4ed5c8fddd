"""The order book of one market: a pure function of (exchange, symbol, version), readable at any version.

A version lasts ``BOOK_PERIOD``. Every price that orders may have is drawn anew each so many versions, how
many is its own: it then has another amount, or no orders until the next draw. So two versions differ by
few levels, more only when the price moves. Orders to buy lie strictly below the last trade's price, orders
to sell strictly above it. While the venue is shut and before the first trade there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.timespan import MILLISECOND, Ns, TimeSpan
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of
from dccd_core.testing.sandbox.tape import Tape

BOOK_PERIOD: Final = Ns(100 * MILLISECOND)
_FINENESS: Final = 160_000
"""Into how many prices the usual price is cut at most. One trade moves the price by up to a 10,000th, which
should not sweep hundreds of levels away."""
_SHORTEST: Final = 8
"""How many versions there are at least between two draws of a price; at most 511 more."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Columns of equal length, the best price first. ``price`` in ticks, ``amount`` in lots.

    ``orders`` is how many share the amount, ``since`` the version that brought it.
    """

    price: Ints
    amount: Ints
    orders: Ints
    since: Ints

    def rows(self, which: slice | Ints | NDArray[np.bool_]) -> "Levels":
        return Levels(self.price[which], self.amount[which], self.orders[which], self.since[which])


Sides: TypeAlias = tuple[Levels, Levels]
"""Bids, asks."""

_NOBODY: Final = np.zeros(0, np.int64)
_EMPTY: Final = Levels(_NOBODY, _NOBODY, _NOBODY, _NOBODY)


class OrderBook:
    """All versions there ever are of one market's order book, the future included."""

    def __init__(self, exchange: str, tape: Tape, outages: Sequence[TimeSpan]) -> None:
        symbol = str(tape.instrument.symbol)
        self._tape, self._outages = tape, outages
        self._prices: Final = seed_of(exchange, symbol, "book prices")
        self._draws: Final = seed_of(exchange, symbol, "book draws")
        self._step: Final = max(1, tape.instrument.base_ticks // _FINENESS)
        self._read: Final = lru_cache(16)(self._levels)

    def version(self, at: Ns) -> int:
        """Return the version that is in force at a moment."""
        return at // BOOK_PERIOD

    def time(self, version: int) -> Ns:
        """Return the first moment of a version."""
        return Ns(version * BOOK_PERIOD)

    def levels(self, version: int, depth: int) -> Sides:
        """Return the best ``depth`` levels of each side; fewer where prices end at zero."""
        return self._read(version, depth)

    def changes(self, version: int, depth: int, *, tell_pushed_out: bool = True) -> Sides:
        """Return what makes the best ``depth`` levels out of those of the version before.

        Levels that are gone have amount 0. Not ``tell_pushed_out``: nothing says that a level is now too
        deep; whoever applies the changes cuts each side to ``depth``.
        """
        before, after = self._read(version - 1, depth), self._read(version, depth)
        kept = None if tell_pushed_out else depth
        bids, asks = (
            _changed(old, new, away, version, kept)
            for old, new, away in zip(before, after, (-1, 1), strict=True)
        )
        return bids, asks

    def _levels(self, version: int, depth: int) -> Sides:
        middle = self._middle(version)
        if middle is None:
            return _EMPTY, _EMPTY
        cell, width = middle // self._step, 3 * depth + 16  # three of eight prices have orders
        while True:
            found = self._drawn(version, np.arange(max(0, cell - width), cell + width + 1))
            below, above = (int(np.searchsorted(found.price, middle, side)) for side in ("left", "right"))
            bids = found.rows(slice(below)).rows(slice(None, -depth - 1, -1))
            asks = found.rows(slice(above, above + depth))
            if asks.price.size == depth and (bids.price.size == depth or width > cell):
                return bids, asks
            width *= 2

    def _middle(self, version: int) -> int | None:
        """Return the price of the last trade before a version, None while there is no book."""
        at = self.time(version)
        if any(span.start <= at < span.end for span in self._outages):
            return None
        before = self._tape.count_before(at)
        return int(self._tape.by_id(before - 1, 1).price[0]) if before else None

    def _drawn(self, version: int, cells: Ints) -> Levels:
        """Return the prices of a range that have orders, ascending; one tick of each cell is a price."""
        own = mixed(self._prices, cells)
        number, age = np.divmod(version + bits(own, 9, 10), bits(own, 0, 9) + _SHORTEST)
        drawn = mixed(self._draws, (cells << 40) + number)
        price = cells * self._step + bits(own, 32, 16) % self._step
        amount = (bits(drawn, 8, 12) * bits(drawn, 24, 12) >> 8) + 1
        held = np.flatnonzero((bits(drawn, 56, 3) < 3) & (price > 0))
        orders = np.minimum(amount, bits(drawn, 40, 3) + 1)
        columns = [column[held] for column in (price, amount, orders, version - age)]
        for column in columns:
            column.flags.writeable = False  # what one caller does to it is not what happened
        return Levels(*columns)


def _changed(old: Levels, new: Levels, away: int, version: int, kept: int | None) -> Levels:
    """Return the levels of one side that differ; ``kept``: those pushed out of that depth do not count."""
    before, after = old.price * away, new.price * away
    at, known = _find(before, after)
    fresh = ~known
    fresh[known] = new.amount[known] != old.amount[at[known]]
    gone = ~_find(after, before)[1]
    if kept == after.size:
        gone &= before < after[-1]
    nothing = np.zeros(int(gone.sum()), np.int64)
    told, left = new.rows(fresh), old.price[gone]
    both = Levels(
        np.concatenate((told.price, left)),
        np.concatenate((told.amount, nothing)),
        np.concatenate((told.orders, nothing)),
        np.concatenate((told.since, nothing + version)),
    )
    return both.rows(np.argsort(both.price * away))


def _find(keys: Ints, sought: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return where among ascending keys each one sought is, and whether it is there."""
    at = np.searchsorted(keys, sought)
    known = np.zeros(sought.size, np.bool_)
    within = at < keys.size
    known[within] = keys[at[within]] == sought[within]
    return at, known
