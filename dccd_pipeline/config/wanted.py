"""What time is wanted of a configured dataset. Pure, and without Dagster: ``dccd inventory`` asks, too."""

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.planner import settled
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.settings import Settings


def first_moment(entry: Entry, dataset: Dataset) -> Us:
    """Return from when on it is wanted: it cannot be behind before."""
    listed = entry.life_of(dataset.symbol).bounds.listed or Us(0)
    return max(parse_time(str(entry.start)), listed, get(dataset.exchange).since)


def wanted_of(entry: Entry, dataset: Dataset, now: Us) -> TimeRange | None:
    """Return what is wanted of a dataset by now: from its start or listing until what can be final now.

    None while that has not begun.
    """
    exchange = get(dataset.exchange)
    within = entry.within
    ends = [settled(dataset, now, exchange.finality_delay), within.end if within else None]
    ends += [entry.life_of(dataset.symbol).bounds.ended, exchange.closed]
    start, end = first_moment(entry, dataset), min(at for at in ends if at is not None)
    return TimeRange(start, end) if start < end else None


def wanted_times(settings: Settings, now: Us) -> dict[Dataset, TimeRange]:
    """Return what is wanted of each dataset that is collected and has begun."""
    found = ((one, wanted_of(entry, one, now)) for entry in settings.collect for one in entry.datasets)
    return {dataset: span for dataset, span in found if span}
