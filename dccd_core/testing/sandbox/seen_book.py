"""An order book as one subscription is told it: the truth, unless a fault makes it another one for a while.

The venue's numbers and checksums are made of what is told, so nothing but the truth shows that it is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.timespan import Us
from dccd_core.testing.sandbox.books import Levels, OrderBook, Sides

_DRIFTING: Final = 2
"""Which level of the bids goes wrong in a book that drifts, where there are so many."""

Twist: TypeAlias = Callable[[Sides, int], Sides]
"""True sides, and how many levels they may have, to what is told instead."""


@dataclass(frozen=True, slots=True)
class Warp:
    """What is wrong with a book from version ``since`` until before ``until``; None: for ever."""

    twist: Twist
    since: int
    until: int | None

    def holds(self, version: int) -> bool:
        return self.since <= version and (self.until is None or version < self.until)


class SeenBook:
    """The versions of an order book as one subscription is told them; see ``OrderBook``."""

    def __init__(self, true: OrderBook) -> None:
        self._true: Final = true
        self._warps: Final[list[Warp]] = []

    def warp(self, twist: Twist, since: int, until: int | None) -> None:
        """Tell another book from version ``since`` on, until before ``until`` or for ever."""
        self._warps.append(Warp(twist, since, until))

    def version(self, at: Us) -> int:
        return self._true.version(at)

    def time(self, version: int) -> Us:
        return self._true.time(version)

    def levels(self, version: int, depth: int) -> Sides:
        sides = self._true.levels(version, depth)
        for warp in self._warps:
            if warp.holds(version):
                sides = warp.twist(sides, depth)
        return sides

    def changes(self, version: int, depth: int, *, tell_pushed_out: bool = True) -> Sides:
        if not any(warp.holds(at) for warp in self._warps for at in (version - 1, version)):
            return self._true.changes(version, depth, tell_pushed_out=tell_pushed_out)
        both = zip(self.levels(version - 1, depth), self.levels(version, depth), (-1, 1), strict=True)
        cut = None if tell_pushed_out else depth
        bids, asks = (_differences(before, after, version, away, cut) for before, after, away in both)
        return bids, asks


def crossed(ticks: int) -> Twist:
    """Return what sets the best bid so many ticks above the best ask; 0 locks the book."""

    def twist(sides: Sides, depth: int) -> Sides:
        bids, asks = sides
        if not (bids.price.size and asks.price.size):
            return sides
        above = replace(bids.rows(slice(1)), price=asks.price[:1] + ticks)
        return _joined(above, bids.rows(slice(depth - 1))), asks

    return twist


def drifted(before: Sides) -> Twist:
    """Return what leaves one bid of a book as it never was, wherever the price goes: its changes are missed.

    Args:
        before: the book as it is just before.
    """
    bids, _ = before
    place = min(_DRIFTING, bids.price.size - 1)
    stale = replace(bids.rows(slice(place, place + 1)), amount=bids.amount[place : place + 1] + 1)

    def twist(sides: Sides, depth: int) -> Sides:
        bids, asks = sides
        if not (stale.price.size and bids.price.size):
            return sides
        whole = _joined(bids.rows(bids.price != stale.price[0]), stale)
        return whole.rows(np.argsort(-whole.price)[:depth]), asks

    return twist


def _joined(first: Levels, then: Levels) -> Levels:
    return Levels(
        np.concatenate((first.price, then.price)),
        np.concatenate((first.amount, then.amount)),
        np.concatenate((first.orders, then.orders)),
        np.concatenate((first.since, then.since)),
    )


def _differences(before: Levels, after: Levels, version: int, away: int, cut: int | None) -> Levels:
    """Return the levels that make one side out of the other, the best first; those that are gone have 0.

    ``cut``: what lies behind so many levels is not told to be gone.
    """
    told = after.rows(~np.isin(after.price, before.price) | _other(before, after))
    gone = ~np.isin(before.price, after.price)
    if cut is not None and after.price.size >= cut:
        gone &= before.price * away < after.price[-1] * away
    left = before.rows(gone)
    nothing = np.zeros(left.price.size, np.int64)
    all_of_it = _joined(told, Levels(left.price, nothing, nothing, nothing + version))
    return all_of_it.rows(np.argsort(all_of_it.price * away, kind="stable"))


def _other(before: Levels, after: Levels) -> NDArray[np.bool_]:
    """Return for each level after whether there was one of that price with another amount."""
    order = np.argsort(before.price)
    place = np.searchsorted(before.price[order], after.price)
    there = np.isin(after.price, before.price)
    amount = np.zeros(after.price.size, np.int64)
    amount[there] = before.amount[order][place[there]]
    return there & (amount != after.amount)
