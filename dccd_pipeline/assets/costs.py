"""What an entry without a ``start`` will cost: rows, bytes and hours, before anything is fetched.

Belongs here: estimates of whole histories, and the free disk. Does not: how they are made (estimate.py).
"""

import asyncio
from typing import Final

from rich.filesize import decimal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError
from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.estimate import Estimate, estimate_span
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.venue import Venue
from dccd_core.keep.room import free_bytes
from dccd_core.net.http import DEFAULT_SHARE
from dccd_pipeline.assets.remaining import said_length
from dccd_pipeline.config.capabilities import limits_of, present, weight_per_minute
from dccd_pipeline.config.collect import Entry, is_unbounded
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.resources import Venues

_PATIENCE_S: Final = 10
MANY: Final = 100_000_000
"""Rows above which a start is asked for."""


async def cost_of(venue: Venue, entry: Entry, dataset: Dataset) -> Estimate:
    """Estimate the history of a dataset; where trades are not numbered, from how dense they are."""
    now = venue.clock.now()
    start = max(parse_time(str(entry.start)), entry.life_of(dataset.symbol).bounds.listed or Us(0))
    start = max(start, await venue.listed_since(dataset))
    whole = TimeRange(min(start, now), now)
    found = await estimate_span(venue, dataset, whole)
    if not style_of(venue.endpoint(dataset)).guesses or whole.length < 2 * DAY:
        return found
    day = await estimate_span(venue, dataset, TimeRange(Us(now - DAY), now))
    share = max(1, whole.length // DAY)  # it was quiet in the beginning: the mean of then and now
    return Estimate(*((a + b * share) // 2 for a, b in zip(_parts(found), _parts(day), strict=True)))


def _parts(one: Estimate) -> tuple[int, int, int, int]:
    return one.requests, one.weight, one.rows, one.bytes


def said_cost(entry: Entry, dataset: Dataset, cost: Estimate, share: float | None = None) -> str:
    """Say for people what a history costs."""
    limits = limits_of(get(dataset.exchange), dataset.symbol.market_type, dataset.data_type, present())
    minutes = cost.weight / (weight_per_minute(limits) * (share or DEFAULT_SHARE))
    length = said_length(Us(round(minutes * HOUR / 60)))
    return f"about {cost.rows:,} rows, {decimal(cost.bytes)}, {length} of asking, since {entry.start}"


def refuse_what_does_not_fit(dataset: Dataset, cost: Estimate, store: str) -> None:
    """Refuse a history that is larger than the free disk.

    Raises:
        ConfigError: it is.
    """
    free = free_bytes(store)
    if free is not None and cost.bytes > free:
        said = f"{dataset} needs about {decimal(cost.bytes)}, and {decimal(free)} are free in {store}"
        raise ConfigError(said, hint="write a start, the first day that you need")


async def unbounded_costs(settings: Settings, venues: Venues) -> list[str]:
    """Say what the entries without a start cost, those of which nothing is stored; refuse what cannot fit."""
    lines, lake = list[str](), settings.lake()
    for entry in settings.collect:
        new = [d for d in entry.datasets if is_unbounded(entry) and not lake.keys(d)]
        for dataset in new:
            own = settings.exchanges.get(entry.exchange)
            try:
                async with asyncio.timeout(_PATIENCE_S), venues.connect(entry.exchange) as venue:
                    cost = await cost_of(venue, entry, dataset)
            except (DccdError, TimeoutError) as e:
                why = str(e) or f"no answer within {_PATIENCE_S} s"
                lines.append(
                    f"{dataset}: no start: all since {entry.start}; what it costs nobody says: {why}"
                )
                continue
            refuse_what_does_not_fit(dataset, cost, settings.store)
            ask = " -> write a start" if cost.rows > MANY else ""
            lines.append(f"{dataset}: no start: {said_cost(entry, dataset, cost, own and own.budget)}{ask}")
    return lines
