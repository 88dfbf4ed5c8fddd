"""The job of a tick: one op, of which Dagster plans no assets, so that it stores few events.

Belongs here: how the run begins and ends. Does not: what happens in it (run.py), nor when (schedules.py).
See https://docs.dagster.io/guides/build/ops
"""

import dagster as dg
from pydantic import Field

from dccd_core.fetch.fill import Progress as PageProgress
from dccd_pipeline.assets.failures import plain_failures
from dccd_pipeline.assets.runlog import RunLog
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.dagster_compat import SCHEDULE_NAME_TAG
from dccd_pipeline.resources import LakeResource, Venues
from dccd_pipeline.runs.stops import ends_as_canceled, run_stoppable
from dccd_pipeline.tags import CATCH_UP, ENTRY, EXCHANGE
from dccd_pipeline.ticks.run import TickRun


class TickConfig(dg.Config):
    """Which symbols of the entry; none named: all of them."""

    symbols: list[str] = Field(default_factory=list[str])


def tick_job(entry: Entry) -> dg.JobDefinition:
    """Return the job that brings all that is behind of ``entry`` up to date."""

    @dg.op(
        name=tick_op(entry),
        description=f"Brings {entry.name} up to date: what was missed, what has gaps, what is new.",
        pool=entry.exchange,
    )
    def tick(
        context: dg.OpExecutionContext,
        config: TickConfig,
        lake: LakeResource,
        venues: Venues,
        progress: dg.ResourceParam[PageProgress],
    ) -> None:
        named = config.symbols
        datasets = [one for one in entry.datasets if not named or str(one.symbol) in named]
        by_hand = SCHEDULE_NAME_TAG not in context.run.tags
        with ends_as_canceled(context.instance, context.run_id), plain_failures():
            log = RunLog(context.log, progress)
            run = TickRun(context, entry, lake.open(), datasets, log, by_hand)
            run_stoppable(run.run(venues), context.instance, context.run_id)
            run.raise_failures()

    @dg.job(
        name=entry.tick,
        executor_def=dg.in_process_executor,
        tags={ENTRY: entry.name, EXCHANGE: entry.exchange, CATCH_UP: "true"},
        description=f"A tick of {entry.name}: its schedule runs it; what came of it stands on its asset.",
    )
    def job() -> None:
        tick()

    return job


def tick_op(entry: Entry) -> str:
    """Return what the op of the tick is called, in run configurations."""
    return f"collect_{entry.name}"
