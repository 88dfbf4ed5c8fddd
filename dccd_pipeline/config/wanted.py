"""What time is wanted of a configured dataset. Pure, and without Dagster: ``dccd inventory`` asks, too."""

from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.planner import settled
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.settings import Settings

_NEVER: Final = Us(2**62)


def first_moment(entry: Entry, dataset: Dataset) -> Us:
    """Return from when on it is wanted: it cannot be behind before."""
    listed = entry.life_of(dataset.symbol).bounds.listed or Us(0)
    return max(parse_time(str(entry.start)), listed, get(dataset.exchange).since)


def wanted_of(entry: Entry, dataset: Dataset, now: Us) -> TimeRange | None:
    """Return what is wanted of a dataset by now: from its start or listing until what can be final now.

    None while that has not begun.
    """
    ever = _ever(entry, dataset)
    return ever and by_now(dataset, ever, now)


def by_now(dataset: Dataset, ever: TimeRange, now: Us) -> TimeRange | None:
    """Return the part of a time that can be final by now; None while there is none."""
    end = min(ever.end, settled(dataset, now, get(dataset.exchange).finality_delay))
    return TimeRange(ever.start, end) if ever.start < end else None


def wanted_times(settings: Settings, now: Us) -> dict[Dataset, TimeRange]:
    """Return what is wanted of each dataset that is collected and has begun."""
    found = ((one, wanted_of(entry, one, now)) for entry in settings.collect for one in entry.datasets)
    return {dataset: span for dataset, span in found if span}


def wanted_ever(settings: Settings) -> dict[Dataset, TimeRange]:
    """Return what is wanted of each dataset that is collected, now or later."""
    found = ((one, _ever(entry, one)) for entry in settings.collect for one in entry.datasets)
    return {dataset: span for dataset, span in found if span}


def _ever(entry: Entry, dataset: Dataset) -> TimeRange | None:
    ends = [
        entry.within.end if entry.within else None,
        entry.life_of(dataset.symbol).bounds.ended,
        get(dataset.exchange).closed,
    ]
    start, end = first_moment(entry, dataset), min((at for at in ends if at is not None), default=_NEVER)
    return TimeRange(start, end) if start < end else None
