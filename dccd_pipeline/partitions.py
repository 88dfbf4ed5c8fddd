"""How a dataset is cut in Dagster: the grain's calendar, the open partition included.

Belongs here: partition definitions. Does not: what a partition holds (dccd_core.domain.dataset).
See https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

from datetime import date

import dagster as dg

from dccd_core.domain.dataset import FORMATS, Grain

_CRONS = {Grain.YEAR: "0 0 1 1 *", Grain.MONTH: "0 0 1 * *", Grain.DATE: "0 0 * * *"}


def partitions_of(grain: Grain, start: date) -> dg.TimeWindowPartitionsDefinition:
    """Return the partitions from the one that holds ``start`` up to the open one."""
    first = start.strftime(FORMATS[grain])
    return dg.TimeWindowPartitionsDefinition(
        start=first, fmt=FORMATS[grain], cron_schedule=_CRONS[grain], end_offset=1
    )
