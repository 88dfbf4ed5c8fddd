"""Where the bars of an interval open and close, and the page of them that a venue cuts out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import DAY, MONDAY, WEEK, TimeRange, Us
from dccd_core.testing.sandbox.hashing import Ints

MONTH: Final = Us(31 * DAY)
"""Stands for a calendar month, whose length varies."""


@dataclass(frozen=True, slots=True)
class Page:
    """At most ``limit`` rows of ``[start, end)``: the oldest ones, or the newest."""

    start: int
    end: int
    limit: int
    newest: bool = False


def months(start: Us, end: Us) -> Ints:
    """Return the first moments of the calendar months that begin in ``[start, end)``."""
    first, last = (
        int(month) for month in np.array([start, end - 1], "M8[us]").astype("M8[M]").astype(np.int64)
    )
    opens = np.arange(first, last + 1).astype("M8[M]").astype("M8[us]").astype(np.int64)
    return opens[opens >= start]


def bar_opens(bar: Us, start: Us, end: Us) -> Ints:
    """Return the opens of the bars that open in ``[start, end)``."""
    if end <= start:
        return np.zeros(0, np.int64)
    if bar == MONTH:
        return months(start, end)
    anchor = MONDAY if bar % WEEK == 0 else 0
    return np.arange(start + (anchor - start) % bar, end, bar)


def bar_closes(bar: Us, opens: Ints) -> Ints:
    if bar != MONTH:
        return opens + bar
    return (opens.astype("M8[us]").astype("M8[M]") + 1).astype("M8[us]").astype(np.int64)


def _open_of(at: Us, bar: Us) -> Us:
    return Us(int(months(Us(at - MONTH), Us(at + 1))[-1])) if bar == MONTH else bar_open(at, bar)


def bar_page(bar: Us, page: Page, first_trade: Us, hidden: Sequence[TimeRange]) -> tuple[Ints, Ints]:
    """Return opens and closes of the page's bars.

    There are none before the one that holds ``first_trade``, nor those that lie wholly in a ``hidden`` span.
    """
    start, end = max(page.start, _open_of(first_trade, bar)), page.end
    reach = bar * (page.limit + 1 + sum(-(-span.length // bar) for span in hidden))
    if page.newest:
        start = max(start, end - reach)
    else:
        end = min(end, start + reach)
    opens = bar_opens(bar, Us(start), Us(end))
    closes = bar_closes(bar, opens)
    shown = np.ones(opens.size, np.bool_)
    for span in hidden:
        shown &= (opens < span.start) | (closes > span.end)
    which = slice(-page.limit, None) if page.newest else slice(page.limit)
    return opens[shown][which], closes[shown][which]


def id_page(page: Page, hidden: Sequence[tuple[int, int]]) -> Ints:
    """Return the ids of the page, without those in a ``hidden`` range (both ends included)."""
    reach = page.limit + sum(last - first + 1 for first, last in hidden)
    start, end = page.start, page.end
    if page.newest:
        start = max(start, end - reach)
    else:
        end = min(end, start + reach)
    ids = np.arange(start, end)
    for first, last in hidden:
        ids = ids[(ids < first) | (ids > last)]
    return ids[-page.limit :] if page.newest else ids[: page.limit]
