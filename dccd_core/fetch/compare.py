"""Stored bars held against those that the venue itself gives for the same time."""

from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Ns, TimeSpan
from dccd_core.fetch.collect import Course, collect
from dccd_core.fetch.pager import earliest, latest
from dccd_core.fetch.venue import Venue

_NEAR: Final = 1e-9
"""How far apart, as a share, two sums of the same amounts may be."""


async def compared(venue: Venue, dataset: Dataset, bars: pl.DataFrame) -> tuple[int, list[Ns]]:
    """Ask for the bars of the same time and return how many both have, and which of them differ.

    The average price and the count are not compared: venues round the one and count orders or fills.

    Raises:
        DccdError: the venue cannot be asked.
    """
    first, last = earliest(bars), latest(bars)
    assert first is not None
    assert last is not None
    assert dataset.span is not None
    span = TimeSpan(first, Ns(last + dataset.span))
    theirs = [page.rows async for page in collect(venue, dataset, span, Course())]
    both = bars.join(pl.concat(theirs), on="ts", suffix="_venue")
    same = pl.all_horizontal(
        *(pl.col(name) == pl.col(f"{name}_venue") for name in ("open", "high", "low", "close")),
        (pl.col("volume") - pl.col("volume_venue")).abs() <= _NEAR * pl.col("volume"),
    )
    return both.height, [Ns(at) for at in both.filter(~same)["ts"].cast(pl.Int64)]
