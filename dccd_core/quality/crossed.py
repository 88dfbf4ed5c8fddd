"""Pictures of an order book whose best bid is not below the best ask. Pure: rows in, findings out.

A venue shows such a book for moments, or before trading opens; longer, it is a wrong one.
"""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from dccd_core.domain.timespan import Us

_BEST: Final = 0


@dataclass(slots=True)
class CrossedPictures:
    """Sees stored rows of an order book once, in stored order; a picture may be cut in two.

    ``count``: pictures that are crossed (bid above ask) or locked (equal); ``first`` and ``last``: when.
    """

    count: int = 0
    first: Us | None = None
    last: Us | None = None
    _rest: pl.DataFrame | None = field(default=None, compare=False)
    """The best levels of the last picture: its other side may come with the next rows."""

    def see(self, rows: pl.DataFrame) -> None:
        best = rows.filter(pl.col("level") == _BEST)
        best = best if self._rest is None else pl.concat([self._rest, best])
        if best.height:
            newest = pl.col("ts") == best["ts"][-1]
            self._rest = best.filter(newest)
            self._take(best.filter(~newest))

    def finish(self) -> None:
        """Take note that no more rows come."""
        if self._rest is not None:
            self._take(self._rest)
            self._rest = None

    def _take(self, best: pl.DataFrame) -> None:
        price, side = pl.col("price"), pl.col("side")
        sides = best.group_by("ts").agg(
            bid=price.filter(side == "bid").max(), ask=price.filter(side == "ask").min()
        )
        times = sides.filter(pl.col("bid") >= pl.col("ask"))["ts"].cast(pl.Int64)
        if len(times):
            first, last = Us(int(times.min())), Us(int(times.max()))  # pyright: ignore[reportArgumentType] -- integers
            self.count += len(times)
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)
