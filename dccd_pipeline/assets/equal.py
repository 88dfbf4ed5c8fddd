"""The check ``equals_the_venue``: stored bars held against those that the venue gives for the same time.

Belongs here: check specs and results. Does not: what is compared, and when (dccd_core.bars.compare).
See https://docs.dagster.io/guides/test/asset-checks
"""

from collections.abc import Iterable, Mapping
from typing import Final

import dagster as dg
import polars as pl

from dccd_core.bars.compare import beside, said, samples
from dccd_core.bars.diff import Difference
from dccd_core.bars.differences import note_differences
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import TimeRange, Us, iso, us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State

CHECK: Final = "equals_the_venue"
_MOST: Final = 500
_SHOWN: Final = 20


def own_bars(dataset: Dataset) -> bool:
    """Tell whether the venue has bars of this length itself."""
    endpoint = get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)
    return (
        dataset.source is not None
        and dataset.span is not None
        and endpoint is not None
        and dataset.span in endpoint.spans
    )


def equal_specs(datasets: Iterable[Dataset], description: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(CHECK, asset=dg.AssetKey(dataset.parts), description=description)
        for dataset in datasets
        if own_bars(dataset)
    ]


def newest_part(dataset: Dataset, states: Mapping[str, State]) -> TimeRange | None:
    """Return the time of the newest bars that are stored, a page of them at most."""
    last = max((state.last for state in states.values() if state.last is not None), default=None)
    endpoint = get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)
    if last is None or endpoint is None or dataset.span is None:
        return None
    rows = min(_MOST, endpoint.page_limit)
    return TimeRange(Us(last - (rows - 1) * dataset.span), Us(last + dataset.span))


def due_samples(before: Mapping[Dataset, Mapping[str, State]], now: Us) -> list[tuple[Dataset, TimeRange]]:
    """Return which stored bars to ask for again, given what was known before this run."""
    found: list[tuple[Dataset, TimeRange]] = []
    for dataset, states in before.items():
        asked = max((one.at for state in states.values() for one in state.ledger.asked), default=None)
        if asked is not None and own_bars(dataset):
            parts = samples(dataset, asked, now, get(dataset.exchange).finality_delay)
            found += [(dataset, part) for part in parts]
    return found


async def compare_parts(
    venue: Venue, lake: LakeStore, parts: Iterable[tuple[Dataset, TimeRange]]
) -> list[dg.AssetCheckResult]:
    """Hold stored bars of each part against the venue's; where it has none of them, nothing is said.

    What differs is noted in the lake: see ``dccd_core.bars.differences``.
    """
    bars: dict[Dataset, list[pl.DataFrame]] = {}
    for dataset, part in parts:
        if lake.elsewhere(dataset, part):
            continue  # it is not brought back to be compared
        rows = lake.scan(dataset, part).collect()
        if rows.height:
            bars.setdefault(dataset, []).append(rows)
    results = [await _compared(venue, lake, dataset, found) for dataset, found in bars.items()]
    return [result for result in results if result]


async def _compared(
    venue: Venue, lake: LakeStore, dataset: Dataset, parts: list[pl.DataFrame]
) -> dg.AssetCheckResult | None:
    try:
        found = [await beside(venue, dataset, part) for part in parts]
    except DccdError as e:  # the bars stand on their own: that nobody can confirm them is no failure
        return result(dataset, f"could not be compared: {e}")
    both = sum(count for count, _ in found)
    differ = pl.concat([rows for _, rows in found])
    rows = [Difference(us(row["ts"]), "", said(row)) for row in differ.iter_rows(named=True)]
    spans = [_time_of(dataset, part) for part, (has, _) in zip(parts, found, strict=True) if has]
    note_differences(lake, dataset, spans, venue.exchange.title, rows, venue.clock.now())
    return result(dataset, f"{both} bars compared, {differ.height} differ", differ) if both else None


def _time_of(dataset: Dataset, bars: pl.DataFrame) -> TimeRange:
    opens = bars["ts"].to_physical()
    return TimeRange(Us(int(opens[0])), Us(int(opens[-1]) + (dataset.span or 1)))


def result(dataset: Dataset, found: str, differ: pl.DataFrame | None = None) -> dg.AssetCheckResult:
    """Return what came of the comparison; without ``differ`` there was none."""
    shown = [] if differ is None else list(differ.head(_SHOWN).iter_rows(named=True))
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(dataset.parts),
        check_name=CHECK,
        passed=differ is not None and not differ.height,
        severity=dg.AssetCheckSeverity.WARN if differ is None else dg.AssetCheckSeverity.ERROR,
        metadata={
            "found": found,
            "bars": dg.MetadataValue.md("\n".join(f"- {iso(us(row['ts']))}: {said(row)}" for row in shown)),
        },
    )
