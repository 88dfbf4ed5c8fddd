"""How a dataset is cut in Dagster: the grain's calendar, the open partition included.

Belongs here: partition definitions. Does not: what a partition holds (dccd_core.domain.dataset).
See https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

from datetime import UTC, date, datetime

import dagster as dg

from dccd_core.domain.dataset import FORMATS, Grain, partition_span
from dccd_core.domain.timespan import moment
from dccd_pipeline.config.collect import Entry

_CRONS = {Grain.YEAR: "0 0 1 1 *", Grain.MONTH: "0 0 1 * *", Grain.DAY: "0 0 * * *"}


def entry_partitions(entry: Entry) -> dg.TimeWindowPartitionsDefinition:
    return partitions_of(entry.datasets[0].grain, entry.start, entry.last_day)


def partitions_of(grain: Grain, start: date, end: date | None = None) -> dg.TimeWindowPartitionsDefinition:
    """Return the partitions from the one that holds ``start`` up to the one that holds ``end``.

    Without an end, and before it, the last one is the open one.
    """
    return dg.TimeWindowPartitionsDefinition(
        start=start.strftime(FORMATS[grain]),
        end=_after(grain, end) if end else None,
        fmt=FORMATS[grain],
        cron_schedule=_CRONS[grain],
        end_offset=1,
    )


def _after(grain: Grain, day: date) -> datetime:
    """Return when the partition that holds ``day`` ends."""
    return moment(partition_span(grain, day.strftime(FORMATS[grain])).end).astimezone(UTC)
