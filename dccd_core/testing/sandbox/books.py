"""The order book of one market: a pure function of (exchange, symbol, version), readable at any version.

A version lasts ``BOOK_PERIOD``. Every price that orders may have is drawn anew each so many versions, how
many is its own: it then has another amount, or no orders until the next draw. So two versions differ by
few levels, more only when the price moves. Orders to buy lie strictly below the last trade's price, orders
to sell strictly above it. While the venue is shut and before the first trade there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.timespan import MILLISECOND, TimeRange, Us
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of
from dccd_core.testing.sandbox.tape import Tape

BOOK_PERIOD: Final = Us(100 * MILLISECOND)
_FINENESS: Final = 160_000
"""Into how many prices the usual price is cut at most. One trade moves the price by up to a 10,000th, which
should not sweep hundreds of levels away."""
_SHORTEST: Final = 8
"""How many versions there are at least between two draws of a price; at most 511 more."""
_BLOCK: Final = 32
"""How many versions are made at once: to numpy that is hardly more work than one."""
_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Levels:
    """Columns of equal length, the best price first. ``price`` in ticks, ``amount`` in lots.

    ``orders`` is how many share the amount, ``since`` the version that brought it.
    """

    price: Ints
    amount: Ints
    orders: Ints
    since: Ints

    def __post_init__(self) -> None:
        for column in (self.price, self.amount, self.orders, self.since):
            column.flags.writeable = False  # what one caller does to it is not what happened

    def rows(self, which: slice | Ints | NDArray[np.bool_]) -> "Levels":
        return Levels(self.price[which], self.amount[which], self.orders[which], self.since[which])


Sides: TypeAlias = tuple[Levels, Levels]
"""Bids, asks."""


class OrderBook:
    """All versions there ever are of one market's order book, the future included.

    Neighbouring versions are made together: whoever wants many asks for one after the other.
    """

    def __init__(self, exchange: str, tape: Tape, outages: Sequence[TimeRange]) -> None:
        symbol = str(tape.instrument.symbol)
        self._tape, self._outages = tape, outages
        self._prices: Final = seed_of(exchange, symbol, "book prices")
        self._draws: Final = seed_of(exchange, symbol, "book draws")
        self._step: Final = max(1, tape.instrument.base_ticks // _FINENESS)
        self._changed: Final = lru_cache(4)(self._changes)

    def version(self, at: Us) -> int:
        """Return the version that is in force at a moment."""
        return at // BOOK_PERIOD

    def time(self, version: int) -> Us:
        """Return the first moment of a version."""
        return Us(version * BOOK_PERIOD)

    def levels(self, version: int, depth: int) -> Sides:
        """Return the best ``depth`` levels of each side; fewer where prices end at zero."""
        block, place = divmod(version, _BLOCK)
        bids, asks = (side.levels(place + 1) for side in _block(self, block, depth))
        return bids, asks

    def changes(self, version: int, depth: int, *, tell_pushed_out: bool = True) -> Sides:
        """Return what makes the best ``depth`` levels out of those of the version before.

        Levels that are gone have amount 0. Not ``tell_pushed_out``: nothing says that a level is now too
        deep; whoever applies the changes cuts each side to ``depth``.
        """
        block, place = divmod(version, _BLOCK)
        return self._changed(block, depth, None if tell_pushed_out else depth)[place]

    def _changes(self, block: int, depth: int, kept: int | None) -> list[Sides]:
        bids, asks = (side.changes(kept) for side in _block(self, block, depth))
        return list(zip(bids, asks, strict=True))

    def made(self, block: int, depth: int) -> tuple["_Side", "_Side"]:
        """Make the versions of a block, and the one before them: bids, asks."""
        versions = np.arange(block * _BLOCK - 1, (block + 1) * _BLOCK)
        middles, there = self._middles(versions)
        bids, asks = (self._side(versions, middles, there, depth, away) for away in (-1, 1))
        return bids, asks

    def _middles(self, versions: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the price of the last trade before each version, and whether there is a book."""
        times = versions * BOOK_PERIOD
        first, end = (self._tape.count_before(Us(int(at))) for at in (times[0], times[-1]))
        trades = self._tape.by_id(max(0, first - 1), end - max(0, first - 1))
        older = np.searchsorted(trades.time, times)
        there = older > 0
        for span in self._outages:
            there &= (times < span.start) | (times >= span.end)
        middles = np.zeros(versions.size, np.int64)
        middles[there] = trades.price[older[there] - 1]
        return middles, there

    def _side(
        self, versions: Ints, middles: Ints, there: NDArray[np.bool_], depth: int, away: int
    ) -> "_Side":
        """Return one side; ``away``: 1 where prices grow from the middle on, -1 where they fall."""
        limits = np.where(there, middles * away, _NEVER)
        cells = middles[there] // self._step * away
        width = 3 * depth + 16  # three of eight prices have orders
        best, worst = (int(cells.min()), int(cells.max())) if cells.size else (0, -width - 1)
        while True:
            span = np.arange(best, worst + width + 1)
            near = (span * away)[span * away >= 0]
            side = self._drawn(versions, near, limits, depth, away)
            if near.size < span.size or (side.places[there, -1:] >= depth).all():
                return side
            width *= 2

    def _drawn(self, versions: Ints, cells: Ints, limits: Ints, depth: int, away: int) -> "_Side":
        """Draw what these prices have in these versions; one tick of each cell is a price."""
        own = mixed(self._prices, cells)
        price = cells * self._step + bits(own, 32, 16) % self._step
        phase, period = bits(own, 9, 10), bits(own, 0, 9) + _SHORTEST
        earliest, latest = ((versions[at] + phase) // period for at in (0, -1))
        counts = latest - earliest + 1
        cell, first = np.repeat(np.arange(cells.size), counts), np.cumsum(counts) - counts
        number = np.arange(cell.size) - (first - earliest)[cell]
        since = number * period[cell] - phase[cell]
        drawn = mixed(self._draws, (cells[cell] << 40) + number)
        amount = (bits(drawn, 8, 12) * bits(drawn, 24, 12) >> 8) + 1
        amount[(bits(drawn, 56, 3) >= 3) | (price[cell] <= 0)] = 0

        draw = np.zeros((versions.size, cells.size), np.int32)
        again = np.flatnonzero(since > versions[0])
        draw[since[again] - versions[0], cell[again]] = 1
        draw[0] = first
        np.cumsum(draw, axis=0, out=draw)
        held = np.take(amount > 0, draw) & (price * away > limits[:, np.newaxis])
        places = np.cumsum(held, axis=1, dtype=np.int32)
        shown = held & (places <= depth)
        columns = Levels(price[cell], amount, np.minimum(amount, bits(drawn, 40, 3) + 1), since)
        return _Side(versions, columns, draw, shown, places)


@dataclass(frozen=True, slots=True)
class _Side:
    """One side in consecutive versions: a row each, and a column for each price, the best first.

    ``draw`` says which of the ``draws`` is in force, ``places`` how many levels there are up to that price.
    """

    versions: Ints
    draws: Levels
    draw: NDArray[np.int32]
    shown: NDArray[np.bool_]
    places: NDArray[np.int32]

    def levels(self, row: int) -> Levels:
        return self.draws.rows(self.draw[row, self.shown[row]])

    def changes(self, kept: int | None) -> list[Levels]:
        """Return for each version but the first the levels that differ from the version before.

        ``kept``: those pushed out of that depth do not count.
        """
        draws, shown = self.draws, self.shown
        other = (shown[1:] != shown[:-1]) | (shown[1:] & (self.draw[1:] != self.draw[:-1]))
        if kept is not None:
            other &= shown[1:] | (self.places[1:] < kept)
        row, column = np.nonzero(other)
        before, after = (
            np.where(shown[at, column], draws.amount[self.draw[at, column]], 0) for at in (row, row + 1)
        )
        told = np.flatnonzero(before != after)
        row, draw, amount = row[told], self.draw[row[told] + 1, column[told]], after[told]
        whole = Levels(
            draws.price[draw],
            amount,
            np.where(amount > 0, draws.orders[draw], 0),
            np.where(amount > 0, draws.since[draw], self.versions[row + 1]),
        )
        ends = np.searchsorted(row, np.arange(self.versions.size)).tolist()
        return [whole.rows(slice(*both)) for both in pairwise(ends)]


@lru_cache(16)  # of all books together: one of great depth has a megabyte
def _block(book: OrderBook, block: int, depth: int) -> tuple[_Side, _Side]:
    return book.made(block, depth)
