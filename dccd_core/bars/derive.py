"""Bars built from stored trades: deep history where a venue has none of its own.

A bar is built only when the ledger of the trades covers all of it, without a gap in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from dccd_core.bars.aggregate import Sums
from dccd_core.bars.claims import claims, opening_in, touched
from dccd_core.domain.dataset import (
    UNKNOWN,
    Dataset,
    ListingPeriod,
    partition_key,
    partition_keys,
    partition_span,
)
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.fetch.fill import Filled, Progress
from dccd_core.fetch.planner import due
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.audit import Auditor
from dccd_core.quality.holes import NO_TRADES, BarCheck, Evidence
from dccd_core.tables import TIME, DataType


@dataclass(frozen=True, slots=True)
class Style:
    """How the venue makes its bars. ``sparse``: none where nothing was traded, else flat at the last price.

    ``carries_open``: a bar opens at the close of the one before. Outside of the market's ``life``, as far as
    that is known, there is nothing to build.
    """

    sparse: bool = False
    carries_open: bool = False
    life: ListingPeriod = UNKNOWN


def derive(  # noqa: PLR0913 -- where to, which part of what, and whom to tell
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    style: Style,
    now: Us,
    progress: Progress,
    *,
    within: TimeRange | None = None,
) -> Filled:
    """Build what is due of a partition of bars from the trades of the same symbol in the lake.

    Nothing is built outside of ``within``; a bar that lies in it in part is left out.

    Raises:
        LakeError: a partition of trades, or this one, cannot be read or written.
    """
    assert dataset.span is not None
    trades = Dataset(dataset.exchange, dataset.symbol, DataType.TRADES)
    bar = dataset.span
    held, span = lake.known(dataset, key), partition_span(dataset.grain, key)
    wanted = due(span, held.ledger if held else None, span.end)
    if within:
        wanted = [part for one in wanted if (part := one.clip(within))]
    known = union(part for day in known_trades(lake, trades, touched(span, bar)) for part in day)
    found = claims(span, wanted, known, bar, style.life, now)
    if not found.parts and not found.outside:
        return Filled(held)
    proven = list(found.outside)
    asked = [Asked(part, Source.DERIVED, now, 0, 0) for part, _ in proven]
    with lake.draft(dataset, key) as draft:
        for part in found.parts:
            opening = opening_in(part, bar)
            bars = built_bars(lake, trades, opening, bar, style, partial(progress, dataset, key, 0))
            progress(dataset, key, bars.height, part.end)
            draft.append(bars)
            asked.append(Asked(part, Source.DERIVED, now, 0, bars.height))
            if not style.sparse and (quiet := _before_first(bars, opening)):
                proven.append((quiet, NO_TRADES))
        quiet_runs = Us(span.length + 1) if style.sparse else Us(0)
        evidence = Evidence(now, [one.span for one in asked], proven, quiet=quiet_runs)
        auditor = Auditor(dataset, carried_open=style.carries_open)
        state = draft.commit(asked, lambda: auditor.beside(BarCheck(bar, evidence)))
    return Filled(state, 0, sum(one.rows for one in asked), audit=auditor.audit)


def known_trades(lake: LakeStore, trades: Dataset, span: TimeRange) -> Iterator[list[TimeRange]]:
    """Yield, day by day, the time in which every trade is known."""
    tail = lake.tail(trades).read()
    for day in partition_keys(trades.grain, span):
        if state := lake.known(trades, day, tail):
            gaps = [gap.span for gap in state.ledger.gaps()]
            yield [part for covered in state.ledger.covered() for part in covered.minus(gaps)]


def _before_first(bars: pl.DataFrame, part: TimeRange) -> TimeRange | None:
    """Return the time before the first bar: quiet, but at no known price."""
    first = Us(int(bars["ts"].cast(pl.Int64)[0])) if bars.height else part.end
    return TimeRange(part.start, first) if first > part.start else None


def built_bars(
    lake: LakeStore,
    trades: Dataset,
    span: TimeRange,
    bar: Us,
    style: Style,
    told: Callable[[Us], object] = lambda _: None,
) -> pl.DataFrame:
    """Build the bars of ``span``; ``told`` hears up to which moment trades were read, and may end it."""
    sums = Sums(bar)
    for rows in lake.rows(trades, span):
        sums.add(rows)
        told(Us(int(rows["ts"].cast(pl.Int64)[-1])))
    bars = sums.bars()
    before = _price_before(lake, trades, span.start)
    if not style.sparse:
        bars = _filled(bars, span, bar, before)
    return _carried(bars, before) if style.carries_open else bars


def _price_before(lake: LakeStore, trades: Dataset, at: Us) -> float | None:
    """Return the price of the last trade before ``at``, of the same day or the one before it."""
    day = partition_span(trades.grain, partition_key(trades.grain, Us(at - 1)))
    price = None
    for rows in lake.rows(trades, TimeRange(day.start, at)):
        price = rows["price"][-1]
    return price


def _filled(bars: pl.DataFrame, span: TimeRange, bar: Us, before: float | None) -> pl.DataFrame:
    """Add a flat bar at the last price wherever nothing was traded."""
    grid = pl.DataFrame({"ts": pl.Series(np.arange(span.start, span.end, bar), dtype=pl.Int64).cast(TIME)})
    filled = grid.join(bars, on="ts", how="left", maintain_order="left")
    last = pl.col("close").forward_fill().fill_null(pl.lit(before, pl.Float64))
    return filled.with_columns(
        *(pl.col(name).fill_null(last) for name in ("open", "high", "low")),
        close=last,
        volume=pl.col("volume").fill_null(0.0),
        quote_volume=pl.col("quote_volume").fill_null(0.0),
        trades=pl.col("trades").fill_null(0),
    ).drop_nulls("close")


def _carried(bars: pl.DataFrame, before: float | None) -> pl.DataFrame:
    return bars.with_columns(
        open=pl.col("close").shift(1).fill_null(pl.lit(before, pl.Float64)).fill_null(pl.col("open"))
    )
