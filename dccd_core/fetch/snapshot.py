"""The present order book, once: there is no asking for one of the past."""

import polars as pl

from dccd_core.adapter.salvage import Salvage
from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.errors import ConfigError, Unavailable, Where
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.paging.page import earliest
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.audit import Auditor
from dccd_core.quality.holes import NoCheck
from dccd_core.quality.sanity import split_valid


async def snapshot(venue: Venue, lake: LakeStore, dataset: Dataset, key: str, depth: int) -> Filled:
    """Add the present order book, ``depth`` levels a side, to the partition of today."""
    rows, asked = await picture(venue, lake, dataset, key, depth)
    with lake.draft(dataset, key) as draft:
        draft.append(rows)
        auditor = Auditor(dataset)
        state = draft.commit([asked], lambda: auditor.beside(NoCheck()))
        return Filled(state, 1, rows.height, audit=auditor.audit)


async def picture(
    venue: Venue, lake: LakeStore, dataset: Dataset, key: str, depth: int
) -> tuple[pl.DataFrame, Asked]:
    """Return the present order book, which belongs to the partition of today, and what was asked for it.

    Raises:
        ConfigError: another partition is wanted.
        Unavailable: by the venue's clock it belongs to another one.
    """
    endpoint, now = await venue.served(dataset), venue.clock.now()
    if key != partition_key(dataset.grain, now):
        raise ConfigError(
            f"{dataset}: order books of {key} cannot be asked for, the venue only shows the present",
            hint=f"materialise {partition_key(dataset.grain, now)}",
        )
    request = endpoint.request(venue.query(dataset, TimeRange(now, now), depth))
    found = await venue.ask(dataset, request, Salvage(endpoint.decode).read)
    rows = found.rows.filter(pl.col("level") < depth)
    at = earliest(rows) or now
    if key != partition_key(dataset.grain, at):
        raise Unavailable(
            f"the venue's clock says {iso(at)}, which is not of {key}",
            hint="run it again: at midnight, or where a clock is wrong, the days differ",
            where=Where(venue.exchange.name, endpoint.path, str(dataset.symbol)),
        )
    good, bad = split_valid(dataset.data_type, rows, None)
    bad = pl.concat([found.refused, bad])
    if bad.height:
        lake.quarantine(dataset, key, bad)
    return good, Asked(TimeRange(at, Us(at + 1)), Source.REST, now, 1, good.height)
