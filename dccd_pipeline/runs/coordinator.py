"""How runs are queued: as Dagster does it, but runs of a job's backfill say their range of partitions.

``dagster job backfill`` makes a run for each partition although the assets take a range in one, and then
Dagster's own server looks for the range in vain: it answers 500 for that backfill, and for lists with it.

Belongs here: what a run is told before it is queued. Does not: how many run at once (dagster.yaml).
"""

import dagster as dg

from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    QueuedRunCoordinator,
    SubmitRunContext,
)


class RangedRunCoordinator(QueuedRunCoordinator):
    """Dagster's own queue."""

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        run = context.dagster_run
        key = run.tags.get(PARTITION_NAME_TAG)
        if key and BACKFILL_ID_TAG in run.tags and ASSET_PARTITION_RANGE_START_TAG not in run.tags:
            said = {ASSET_PARTITION_RANGE_START_TAG: key, ASSET_PARTITION_RANGE_END_TAG: key}
            self._instance.add_run_tags(run.run_id, said)
        return super().submit_run(context)
