"""The bars of one market: exactly the sums of its trades, in whole ticks and lots.

Only what traded is kept, by minutes and by days in bounded caches; a page of bars is cut from that and
its quiet bars are filled in flat at the last price.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.timespan import DAY, MINUTE, SECOND, TimeRange, Us
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.tape import Tape

_BLOCK_TRADES: Final = 100_000
"""About how many trades are summed at once: enough to be quick, little enough to be kept."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Columns of equal length, oldest first.

    The open time is in us, prices are in ticks, volumes in lots, quote volumes in ticks times lots;
    ``trades`` counts, ``bought`` and ``quote_bought`` are the part that takers bought.
    """

    time: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote_volume: Ints
    trades: Ints
    bought: Ints
    quote_bought: Ints

    def rows(self, which: slice | Ints | NDArray[np.bool_]) -> "Bars":
        return Bars(*(column[which] for column in self.columns()))

    def columns(self) -> list[Ints]:
        return [getattr(self, field.name) for field in fields(self)]

    def summed(self, key: Ints) -> "Bars":
        """Join neighbours of equal ``key`` into one bar; its time is the key."""
        if not key.size:
            return self
        first = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
        last = np.append(first[1:], key.size) - 1
        sums = (self.volume, self.quote_volume, self.trades, self.bought, self.quote_bought)
        return Bars(
            key[first],
            self.open[first],
            np.maximum.reduceat(self.high, first),
            np.minimum.reduceat(self.low, first),
            self.close[last],
            *(np.add.reduceat(column, first) for column in sums),
        )


def joined(parts: list[Bars]) -> Bars:
    if len(parts) == 1:
        return parts[0]
    return Bars(*(np.concatenate(columns) for columns in zip(*(p.columns() for p in parts), strict=True)))


class BarBook:
    """Bars of any length from one tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape: Final = tape
        days = max(1, min(8, _BLOCK_TRADES // tape.instrument.trades_per_day))
        self._block: Final = Us(days * DAY)
        self._minutes: Final = lru_cache(32)(self._minutes_of_block)
        self._days: Final = lru_cache(4_096)(self._days_of_block)

    def bars(self, opens: Ints, closes: Ints) -> Bars:
        """Return one bar for each ``[open, close)``; they are in order and do not overlap.

        All of them lie at or after the market's first trade; where nothing traded the bar is flat.
        """
        traded = self._traded(TimeRange(Us(int(opens[0])), Us(int(closes[-1]))), _unit(opens))
        slot = np.searchsorted(opens, traded.time, "right") - 1
        inside = traded.time < closes[slot]
        summed = traded.rows(inside).summed(slot[inside])
        flat = self._last_prices(traded, opens)
        dense = Bars(opens, *(flat.copy() for _ in range(4)), *(np.zeros_like(opens) for _ in range(5)))
        for target, source in zip(dense.columns()[1:], summed.columns()[1:], strict=True):
            target[summed.time] = source
        return dense

    def last_prices(self, opens: Ints) -> Ints:
        """Return the price of the last trade before each open; before the first trade of all, its own."""
        first = int(self._tape.by_id(0, 1).price[0])
        traded = self._traded(TimeRange(Us(int(opens[0])), Us(int(opens[-1]))), _unit(opens))
        last = self._last_prices(traded, opens)
        return np.where(last == 0, first, last)

    def _last_prices(self, traded: Bars, opens: Ints) -> Ints:
        """Return the price of the last trade before each open; before the first trade of all, 0."""
        before = self._tape.count_before(Us(int(opens[0])))
        last = self._tape.by_id(before - 1, 1).price if before else np.zeros(1, np.int64)
        return np.concatenate((last, traded.close))[np.searchsorted(traded.time, opens)]

    def _traded(self, span: TimeRange, unit: Us) -> Bars:
        """Return the bars of ``unit`` that traded; what is left at the end comes in a finer unit."""
        if unit == SECOND:
            return _bars_of(self._tape, span, SECOND)
        whole = Us(span.end - span.end % unit)
        cached, finer = (self._days, MINUTE) if unit == DAY else (self._minutes, SECOND)
        if whole <= span.start:
            return self._traded(span, finer)
        blocks = range(span.start // self._block, -(-whole // self._block))
        bars = joined([cached(block) for block in blocks])
        first, last = np.searchsorted(bars.time, (span.start, whole))
        rest = [self._traded(TimeRange(whole, span.end), finer)] if whole < span.end else []
        return joined([bars.rows(slice(first, last)), *rest])

    def _minutes_of_block(self, block: int) -> Bars:
        start = Us(block * self._block)
        return _bars_of(self._tape, TimeRange(start, Us(start + self._block)), MINUTE)

    def _days_of_block(self, block: int) -> Bars:
        minutes = self._minutes_of_block(block)
        return minutes.summed(minutes.time - minutes.time % DAY)


def _bars_of(tape: Tape, span: TimeRange, unit: Us) -> Bars:
    trades = tape.between(span)
    price, quote = trades.price, trades.price * trades.amount
    bought = ~trades.buyer_is_maker
    each = Bars(
        trades.time,
        *(price, price, price, price),
        trades.amount,
        quote,
        np.ones_like(price),
        trades.amount * bought,
        quote * bought,
    )
    return each.summed(trades.time - trades.time % unit)


def _unit(opens: Ints) -> Us:
    """Return the longest kept unit that every open is a whole number of."""
    return next(unit for unit in (DAY, MINUTE, SECOND) if not np.any(opens % unit))
