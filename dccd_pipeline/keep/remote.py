"""One asset, one job and one schedule per remote: to materialise ``remote/NAME`` is to sync now.

Belongs here: how the run begins and ends. Does not: copying (dccd_core.keep), what is told (report.py).
See https://docs.dagster.io/guides/build/assets
"""

import asyncio
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final

import dagster as dg

from dccd_core.domain.timespan import MINUTE, ZERO, Us
from dccd_core.keep.aside import begun
from dccd_core.keep.copies import Copies
from dccd_core.keep.remotes.remote import Outside, kind_of, open_remote
from dccd_core.keep.sync import Follow, Progress, Synced, sync
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.failures import plain_failures
from dccd_pipeline.config.remotes import RemoteEntry
from dccd_pipeline.dagster_compat import NOT_FINISHED_STATUSES, UnresolvedAssetJobDefinition
from dccd_pipeline.keep.report import failure_of, metadata, remote_key, report
from dccd_pipeline.resources import LakeResource
from dccd_pipeline.runs.silent import is_silent
from dccd_pipeline.runs.stops import ends_as_canceled, run_stoppable
from dccd_pipeline.tags import REMOTE

_A_WORD_EVERY: Final = MINUTE
_PATIENCE_S: Final = 8.0


def remote_asset(entry: RemoteEntry) -> dg.AssetsDefinition:
    """Return the asset of a remote; it is materialised when all that is here is there, too."""

    @dg.asset(
        key=remote_key(entry.name),
        group_name="remotes",
        kinds={kind_of(entry.to).module},
        description=(
            f"A copy of the lake at {entry.to}. To materialise it is to sync now: what is new here is copied "
            "there and proven; nothing there is replaced by less."
        ),
    )
    def remote(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult[Any]:
        with ends_as_canceled(context.instance, context.run.run_id), plain_failures():
            opened = lake.open()
            run = SyncRun(context, entry, opened, Outside(lake.client))
            run_stoppable(run.run(), context.instance, context.run.run_id)
            synced, last = run.synced, Copies(opened.store, entry.name).last()
            assert synced
            if said := failure_of(synced):
                context.log_event(report(synced, last))
                raise dg.Failure(said)
            return dg.MaterializeResult(metadata=metadata(synced, last))

    return remote


def remote_job(entry: RemoteEntry) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        entry.job,
        selection=dg.AssetSelection.assets(remote_key(entry.name)),
        tags={REMOTE: entry.name},
        description=f"Copies what is new in the lake to {entry.to}, and proves it there.",
    )


def remote_schedule(entry: RemoteEntry, *, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule of that job; ``running`` says whether it is on before anybody touches it."""

    @dg.schedule(
        name=f"{entry.job}_schedule",
        job_name=entry.job,
        cron_schedule=entry.cron_schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
        description=f"Copies what is new in the lake to {entry.to}.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        unfinished = dg.RunsFilter(tags={REMOTE: entry.name}, statuses=list(NOT_FINISHED_STATUSES))
        for record in context.instance.get_run_records(unfinished):
            if not is_silent(record, context.instance, context.scheduled_execution_time):
                return dg.SkipReason(f"run {record.dagster_run.run_id} to {entry.name} has not ended")
        return dg.RunRequest()

    return schedule


@dataclass(slots=True)
class SyncRun:
    """A sync in a run: it says now and then how far it is, and ends when it is told to."""

    context: dg.AssetExecutionContext
    entry: RemoteEntry
    lake: LakeStore
    outside: Outside
    clock: Clock = field(default_factory=SystemClock)
    halt: Event = field(default_factory=Event)
    synced: Synced | None = None
    _said: Us = ZERO

    async def run(self) -> None:
        doing = asyncio.wrap_future(begun(self._sync))
        try:
            self.synced = await asyncio.shield(doing)
        except asyncio.CancelledError:
            self.halt.set()
            await asyncio.wait([doing], timeout=_PATIENCE_S)  # what hangs longer is left behind
            raise

    def _sync(self) -> Synced:
        self._said = self.clock.steady()
        remote = open_remote(self.entry.place, self.outside)
        return sync(self.lake, remote, self.clock.now(), follow=Follow(self._tell, self.halt.is_set))

    def _tell(self, far: Progress) -> None:
        now = self.clock.steady()
        if now - self._said >= _A_WORD_EVERY:
            self._said = now
            said = (far.done, far.files, far.done_bytes, far.bytes, far.path)
            self.context.log.info("%d of %d files, %d of %d bytes; %s", *said)
