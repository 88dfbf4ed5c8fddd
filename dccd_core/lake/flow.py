"""Two sources of rows in order, read side by side as one: neither is longer in memory than it has to wait."""

from collections.abc import Iterator

import polars as pl

from dccd_core.domain.datatype import DataType, empty
from dccd_core.domain.timespan import SECOND, ZERO, Us
from dccd_core.lake.merge import unite


def united(
    data_type: DataType, stored: Iterator[pl.DataFrame], fresh: Iterator[pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """Yield the union of two sources, each ascending in time; cuts fall on whole seconds, see ``merged``."""
    old, new = _Flow(data_type, stored), _Flow(data_type, fresh)
    while open_ones := [flow for flow in (old, new) if flow.complete is not None]:
        slow = min(open_ones, key=lambda flow: flow.complete or ZERO)
        yield from _union(data_type, old.until(slow.complete), new.until(slow.complete))
        slow.load()
    yield from _union(data_type, old.until(None), new.until(None))


class _Flow:
    """``complete``: no row before this second comes any more; None once none comes at all."""

    def __init__(self, data_type: DataType, batches: Iterator[pl.DataFrame]) -> None:
        self._batches = batches
        self._left = empty(data_type)
        self.complete: Us | None = ZERO

    def load(self) -> None:
        batch = next(self._batches, None)
        if batch is None:
            self.complete = None
        elif batch.height:
            self._left = pl.concat([self._left, batch])
            self.complete = second(Us(int(batch["ts"].cast(pl.Int64)[-1])))

    def until(self, cut: Us | None) -> pl.DataFrame:
        rows = self._left
        here = rows.height if cut is None else int(rows["ts"].cast(pl.Int64).search_sorted(cut))
        self._left = rows.slice(here)
        return rows.head(here)


def second(at: Us) -> Us:
    """Return the whole second at or before ``at``."""
    return Us(at - at % SECOND)


def _union(data_type: DataType, old: pl.DataFrame, new: pl.DataFrame) -> Iterator[pl.DataFrame]:
    rows = unite(data_type, old, new) if new.height else old
    if rows.height:
        yield rows
