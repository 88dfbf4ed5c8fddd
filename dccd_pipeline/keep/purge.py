"""The job ``purge`` and its hourly schedule: what others verifiably hold makes way here.

Belongs here: what is purged by settings, and what a run tells. Does not: purging (dccd_core.keep.purge).
See https://docs.dagster.io/guides/build/jobs
"""

from collections.abc import Mapping
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.sizes import said_size
from dccd_core.domain.timespan import ZERO, TimeRange
from dccd_core.keep.purge import Purge, PurgeReport, Rules
from dccd_core.keep.remotes.remote import Outside, open_remotes
from dccd_core.keep.room import free_bytes
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.tags import PURGE

JOB: Final = "purge"
_AT: Final = "41 * * * *"
_NAMED: Final = 20


def purge_of(settings: Settings, *, dry_run: bool = False, clock: Clock | None = None) -> Purge:
    """Return a purge by these settings; without ``purge`` in them all that remotes hold may go."""
    within = {dataset: entry.within for entry in settings.collect for dataset in entry.datasets}
    wanted = settings.purge
    rules = Rules(
        wanted.copies if wanted else 1,
        (wanted and wanted.older_than) or ZERO,
        wanted.keep_free if wanted else None,
        lambda dataset, key, state: _is_proven(within, dataset, key, state),
    )
    places = [entry.place for entry in settings.remotes if entry.enabled]
    return Purge(
        settings.lake(),
        open_remotes(places, Outside(settings.s3.keys.client)),
        rules,
        (clock or SystemClock()).now(),
        lambda: free_bytes(settings.store),
        dry_run,
    )


def _is_proven(within: Mapping[Dataset, TimeRange | None], dataset: Dataset, key: str, state: State) -> bool:
    return condition_of(dataset, key, state, within.get(dataset)) is Condition.AVAILABLE


def purge_job(settings: Settings) -> dg.JobDefinition:
    """Return the job that makes room as ``purge`` in ``dccd.yaml`` says."""

    @dg.op(name="make_room", description="Takes away what remotes verifiably hold; a record of each stays.")
    def make_room(context: dg.OpExecutionContext) -> None:
        try:
            report = purge_of(settings).run()
        except DccdError as e:
            raise dg.Failure(str(e)) from e
        for line in said(report):
            context.log.info(line)
        if report.lacking:
            raise dg.Failure(said_lacking(report))

    told = "Takes away here what remotes verifiably hold: purge of dccd.yaml."

    @dg.job(name=JOB, tags={PURGE: "true"}, description=told)
    def purge() -> None:
        make_room()

    return purge


def purge_schedule(*, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule of that job, hourly; ``running``: it is on before anybody touches it."""
    return dg.ScheduleDefinition(
        name=f"{JOB}_schedule",
        job_name=JOB,
        cron_schedule=_AT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
        description="Makes room as purge of dccd.yaml says.",
    )


def said(report: PurgeReport) -> list[str]:
    """Write what went, and why the others stay: a line for all of a dataset that stay for one reason."""
    lines = [
        f"{one.dataset} {one.key}: held by {', '.join(one.remotes)}, {one.bytes:,} bytes"
        for one in report.gone
    ]
    reasons = dict[str, list[str]]()
    for one in report.kept:
        reasons.setdefault(f"{one.dataset}: {one.why}", []).append(one.key)
    for why, keys in reasons.items():
        dataset, _, text = why.partition(": ")
        which = keys[0] if len(keys) == 1 else f"{len(keys)} partitions from {keys[0]} to {keys[-1]}"
        lines.append(f"{dataset} {which} stays: {text}")
    return lines


def said_lacking(report: PurgeReport) -> str:
    """Say that there is not as much room as there should be, and what keeps it."""
    why = next((line for line in said(report) if " stays: " in line), "nothing else is here")
    return (
        f"the purge could not free enough: {said_size(report.lacking)} are lacking; {why} -> see `dccd purge "
        "--dry-run`; sync what is not held elsewhere, or lower purge.keep_free"
    )
