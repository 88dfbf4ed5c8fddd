"""Bars built from what is stored: assets downstream of the trades, or shorter bars, of the same symbols.

Belongs here: key -> derive -> materialisation, and the comparison with the venue's own bars. Does not: how
bars are built (dccd_core.bars: derive, lengthen).
See https://docs.dagster.io/guides/build/assets/passing-data-between-assets
"""

import asyncio
import warnings
from collections.abc import Iterable
from dataclasses import replace

import dagster as dg

from dccd_core.adapter.contract import Endpoint
from dccd_core.bars.derive import Style, derive
from dccd_core.bars.lengthen import Short, lengthen
from dccd_core.domain.dataset import Dataset, ListingPeriod
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import TimeRange
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.fill import Progress as PageProgress
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_pipeline.assets.equal import CHECK, compare_parts, equal_specs, newest_part, own_bars, result
from dccd_pipeline.assets.history import entry_assets
from dccd_pipeline.assets.run import Run
from dccd_pipeline.assets.spec import dataset_spec, lineage
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.sources import said_source, short_span
from dccd_pipeline.resources import Venues


def derived_assets(entry: Entry, store: str) -> dg.AssetsDefinition:
    """Return one asset of bars per symbol of ``entry``, built from what it derives them from in ``store``."""
    checks = equal_specs(entry.datasets, "the newest bars are those of the venue itself")
    return entry_assets(entry, [_spec(entry, dataset, store) for dataset in entry.datasets], _build, checks)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)  # bars may begin in the middle of a month of trades
    _BY_TIME = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def _spec(entry: Entry, dataset: Dataset, store: str) -> dg.AssetSpec:
    source = entry.built_from(dataset)
    assert source is not None, "the configuration refuses it"
    title, rows = get(entry.exchange).title, said_source(entry.derive_from or "")
    spec = dataset_spec(
        dataset,
        store,
        f"{title} {dataset.symbol} {dataset.data_type}, built from its {rows}.",
        deps=[dg.AssetDep(dg.AssetKey(source.parts), partition_mapping=_BY_TIME)],
    )
    return spec.merge_attributes(metadata=lineage(dataset, source))


def _endpoint(dataset: Dataset) -> Endpoint | None:
    return get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)


async def _build(run: Run, venues: Venues) -> None:
    """Build partitions from what the lake holds, then hold the newest bars against the venue's."""
    clock, newest = SystemClock(), dict[Dataset, str]()

    async def fill_one(dataset: Dataset, key: str) -> Filled:
        filled = await build_one(run.entry, run.lake, dataset, key, run.log.page, within=run.within)
        if filled.state and filled.state.rows:
            newest[dataset] = max(key, newest.get(dataset, key))
        return filled

    await run.each(fill_one, clock.now())
    newest |= _newest_stored(run)
    asked = {d: key for d, key in newest.items() if own_bars(d) and d in run.selected(CHECK)}
    if asked:
        run.more += await _compare(run, venues, asked)


async def build_one(
    entry: Entry,
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    progress: PageProgress,
    *,
    within: TimeRange | None = None,
) -> Filled:
    """Build one partition of an entry that derives its bars."""
    endpoint, style = _endpoint(dataset), Style(life=_life(entry, dataset))
    if endpoint:
        style = replace(style, sparse=endpoint.sparse, carries_open=endpoint.carries_open)
    where, when = (lake, dataset, key), (SystemClock().now(), progress)
    if short := short_span(entry.derive_from):
        return await asyncio.to_thread(lengthen, *where, Short(short, style), *when, within=within)
    return await asyncio.to_thread(derive, *where, style, *when, within=within)


async def compare(
    entry: Entry, lake: LakeStore, venues: Venues, parts: Iterable[tuple[Dataset, TimeRange | None]]
) -> list[dg.AssetCheckResult]:
    """Hold stored bars of each part against the venue's; None: there are none."""
    some = [(dataset, part) for dataset, part in parts if part]
    try:
        async with venues.connect(entry.exchange) as venue:
            return await compare_parts(venue, lake, some)
    except DccdError as e:  # the bars stand on their own: that nobody can confirm them is no failure
        return [result(dataset, f"could not be compared: {e}") for dataset, _ in some]


def _life(entry: Entry, dataset: Dataset) -> ListingPeriod:
    """Return the symbol's life, which ends with its exchange's at the latest."""
    life, closed = entry.life_of(dataset.symbol).bounds, get(dataset.exchange).closed
    return ListingPeriod(
        life.listed, min((at for at in (life.ended, closed) if at is not None), default=None)
    )


def _newest_stored(run: Run) -> dict[Dataset, str]:
    """Return the newest partition with rows of each dataset of which only checks are asked for."""
    only_checked = {dataset: states for dataset, states in run.states.items() if dataset not in run.wanted}
    found = {
        dataset: [k for k, one in states.items() if one.rows] for dataset, states in only_checked.items()
    }
    return {dataset: keys[-1] for dataset, keys in found.items() if keys}


async def _compare(run: Run, venues: Venues, newest: dict[Dataset, str]) -> list[dg.AssetCheckResult]:
    parts = [
        (dataset, newest_part(dataset, {key: run.states[dataset][key]})) for dataset, key in newest.items()
    ]
    found = await compare(run.entry, run.lake, venues, parts)
    told = {one.asset_key for one in found}
    for dataset in (dataset for dataset in newest if dg.AssetKey(dataset.parts) not in told):
        run.context.log.info("%s: the venue shows none of the newest bars, nothing to compare", dataset)
    return found
