"""History: the datasets of one ``collect`` entry, filled together on one event loop.

Belongs here: key -> partition -> fill -> materialisation. Does not: paging, parsing, storing (dccd_core).
See https://docs.dagster.io/guides/build/assets/defining-assets#multi-asset
"""

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.fill import Progress as PageProgress
from dccd_core.fetch.fold import fold_one, materialise
from dccd_core.fetch.snapshot import snapshot
from dccd_pipeline.assets.checks import check_specs
from dccd_pipeline.assets.equal import CHECK, compare_parts, due_samples, equal_specs, newest_part
from dccd_pipeline.assets.failures import plain_failures
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.run import Run
from dccd_pipeline.assets.spec import dataset_spec
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.resources import LakeResource, Venues
from dccd_pipeline.runs.stops import Stopped, ends_as_canceled, run_stoppable

Gather = Callable[[Run, Venues], Coroutine[object, object, None]]
"""How a run gets its rows: calls ``run.each`` with what fills one partition."""


def history_assets(entry: Entry, store: str) -> dg.AssetsDefinition:
    """Return one asset per dataset of ``entry``, filled by asking the exchange; ``store``: where it goes."""
    exchange = get(entry.exchange)
    specs = [
        dataset_spec(
            dataset,
            store,
            f"{exchange.title} {dataset.symbol} {dataset.data_type}. "
            f"Source: {entry.source(dataset.symbol).docs}",
        )
        for dataset in entry.datasets
    ]
    asked_again = "a sample of the bars, asked for again an hour and a day later, is as it was stored"
    return entry_assets(entry, specs, _ask, equal_specs(entry.datasets, asked_again))


def entry_assets(
    entry: Entry,
    specs: Sequence[dg.AssetSpec],
    gather: Gather,
    more_checks: Sequence[dg.AssetCheckSpec] = (),
) -> dg.AssetsDefinition:
    """Return the assets of ``specs``; they share a run, a connection pool and the budget."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy

        @dg.multi_asset(
            name=f"fill_{entry.name}",
            specs=specs,
            check_specs=[
                *(spec for dataset in entry.datasets for spec in check_specs(dataset)),
                *more_checks,
            ],
            partitions_def=entry_partitions(entry),
            backfill_policy=dg.BackfillPolicy.single_run(),
            can_subset=True,
            pool=entry.exchange,
        )
        def history(
            context: dg.AssetExecutionContext,
            lake: LakeResource,
            venues: Venues,
            progress: dg.ResourceParam[PageProgress],
        ) -> Iterator[dg.AssetCheckResult]:
            with ends_as_canceled(context.instance, context.run.run_id), plain_failures():
                run = Run(context, entry, lake.open(), progress)
                try:
                    run_stoppable(gather(run, venues), context.instance, context.run.run_id)
                except Stopped:
                    run.tell_what_is_kept()
                    raise
                yield from run.checks()
                run.raise_failures()

    return history


async def _ask(run: Run, venues: Venues) -> None:
    """Fill partitions by asking the exchange."""
    compared = run.selected(CHECK)
    if not run.wanted and not compared:
        return
    entry, before = run.entry, {dataset: dict(run.states.get(dataset, {})) for dataset in compared}
    async with venues.connect(entry.exchange) as venue:

        async def fill_one(dataset: Dataset, key: str) -> Filled:
            if entry.depth:
                await asyncio.to_thread(fold_one, venue, run.lake, dataset, key)
                return await snapshot(venue, run.lake, dataset, key, entry.depth)
            life = entry.life_of(dataset.symbol).bounds
            return await materialise(venue, run.lake, dataset, key, run.log.page, life, within=run.within)

        await run.each(fill_one, venue.clock.now())
        parts = due_samples({d: before[d] for d in compared if d in run.wanted}, venue.clock.now())
        alone = [(d, newest_part(d, before[d])) for d in compared if d not in run.wanted]
        parts += [(dataset, part) for dataset, part in alone if part]
        run.more += await compare_parts(venue, run.lake, parts)
        run.context.log.info("%s", venue.transport)
