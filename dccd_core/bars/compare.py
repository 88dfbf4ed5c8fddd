"""Stored bars held against those that the venue itself gives for the same time."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import polars as pl

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us
from dccd_core.fetch.collect import collect
from dccd_core.fetch.paging.page import earliest, latest
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.venue import Venue

_NEAR: Final = 1e-9
"""How far apart, as a share, two sums of the same amounts may be."""


_PRICES: Final = ("open", "high", "low", "close")
_AFTER: Final = (HOUR, DAY)
"""How long after its end a sample is asked for again: venues correct themselves for a while."""
_LOOKS_BACK: Final = Us(2 * DAY)


async def compared(venue: Venue, dataset: Dataset, bars: pl.DataFrame) -> tuple[int, list[Us]]:
    """Ask for the bars of the same time and return how many both have, and which of them differ.

    The average price and the count are not compared: venues round the one and count orders or fills.

    Raises:
        DccdError: the venue cannot be asked.
    """
    both, differ = await beside(venue, dataset, bars)
    return both, [Us(at) for at in differ["ts"].cast(pl.Int64)]


async def beside(venue: Venue, dataset: Dataset, bars: pl.DataFrame) -> tuple[int, pl.DataFrame]:
    """Ask for the bars of the same time; return how many both have, and those that differ, side by side.

    The venue's columns end in ``_venue``; else as ``compared``.
    """
    first, last = earliest(bars), latest(bars)
    assert first is not None
    assert last is not None
    assert dataset.span is not None
    span = TimeRange(first, Us(last + dataset.span))
    theirs = [page.rows async for page in collect(venue, dataset, span, FetchStats())]
    both = bars.join(pl.concat(theirs), on="ts", suffix="_venue", maintain_order="left")
    same = pl.all_horizontal(
        *(pl.col(name) == pl.col(f"{name}_venue") for name in _PRICES),
        (pl.col("volume") - pl.col("volume_venue")).abs() <= _NEAR * pl.col("volume"),
    )
    return both.height, both.filter(~same)


def said(row: Mapping[str, object]) -> str:
    """Say how a bar that ``beside`` found differs.

    >>> said({"open": 1.0, "open_venue": 1.0, "close": 2.0, "close_venue": 2.5})
    'close was 2.0, is 2.5'
    """
    names = (name for name in (*_PRICES, "volume") if name in row)
    pairs = ((name, row[name], row[f"{name}_venue"]) for name in names)
    return ", ".join(f"{name} was {ours}, is {theirs}" for name, ours, theirs in pairs if ours != theirs)


def samples(dataset: Dataset, before: Us, now: Us, finality_delay: Us) -> list[TimeRange]:
    """Return which bars to ask for again now, where that was last thought of at ``before``.

    Of every day an hour's bars, or the one bar that holds it, an hour and a day after they were final. Which
    hour depends on the dataset and the day alone: nothing has to be remembered, and datasets take turns.
    """
    assert dataset.span is not None
    before, found = max(before, Us(now - _LOOKS_BACK)), set[TimeRange]()
    for day in range((before - _LOOKS_BACK - dataset.span) // DAY, now // DAY + 1):
        turn = int.from_bytes(sha256(f"{dataset} {day}".encode()).digest()[:4], "big") % 24
        start = bar_open(Us(day * DAY + turn * HOUR), dataset.span)
        sample = TimeRange(start, Us(start + max(HOUR, dataset.span)))
        if any(before < sample.end + finality_delay + after <= now for after in _AFTER):
            found.add(sample)
    return sorted(found)
