"""What else keeps a lake from being complete: stopped schedules, shut budgets, full disks, dead runs.

Belongs here: a line for each, with what helps. Does not: datasets (dataset.py).
"""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import dagster as dg
from rich.filesize import decimal

from dccd_core.domain.timespan import MINUTE, SECOND, Us, iso, us
from dccd_core.exchanges import get
from dccd_core.net.clock import Clock
from dccd_core.net.ratelimit.limiter import open_breakers
from dccd_core.stream.api import Phase
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.settings import ExchangeSettings, Settings
from dccd_pipeline.dagster_compat import SCHEDULER, cron_string_iterator
from dccd_pipeline.streams.sensor import seconds
from dccd_pipeline.streams.states import said_of_dataset
from dccd_pipeline.streams.status import BY_A_USER, RunState, StreamState
from dccd_pipeline.ticks.schedules import schedule_name

_STALE: Final = 5 * MINUTE
"""A daemon gives a sign of life each half minute."""
LEAST_FREE: Final = 2 << 30
"""Where no alert says otherwise: the default of ``alerts.low_disk``."""
_WELL: Final = {Phase.RECORDING, Phase.DRAINING, Phase.PAUSED, "getting ready", "queued", "starting"}
"""States of a stream that need nobody."""

_SCHEDULED: Final = {
    "lake_report": "no page is made at night",
    "prune_runs": "Dagster's storage grows",
    "reconcile": "nothing that is stored is held against what others say of it",
}
"""What does not happen while which schedule is off, though all rows come."""
_WATCHED: Final = {
    "streams": "streams are neither started nor stopped",
    "silent_runs": "a run whose process is gone holds back the next ones",
    "alerts": "nobody is told what is wrong",
    "run_failures": "nobody is told of runs that fail",
    "run_recoveries": "nobody is told that a job is well again",
    "silent_streams": "nobody is told of streams that bring nothing",
    "configuration": "Dagster's page does not show mistakes in dccd.yaml",
}
"""What does not happen while which sensor is off."""


def next_tick(entry: Entry, now: Us, off: Collection[str] = ()) -> Us | None:
    """Return when the schedule of an entry comes next; None: it has none, or it is ``off``."""
    if not entry.scheduled or schedule_name(entry) in off:
        return None
    return us(next(islice(cron_string_iterator(now / SECOND, entry.cron_schedule, entry.zone), 1)))


def stopped_schedules(settings: Settings, off: Collection[str]) -> list[str]:
    """Name what is configured to come by itself and does not, for its schedule is ``off``."""
    meant = [(one.name, schedule_name(one), "enabled: false") for one in settings.collect if one.scheduled]
    meant += [(one.job, f"{one.job}_schedule", "enabled: false") for one in settings.remotes if one.scheduled]
    meant += [("purge", "purge_schedule", "take purge: out")] if settings.purge else []
    return [
        f"{name}: its schedule is stopped -> `dccd schedules on {name}`, or {else_}"
        for name, schedule, else_ in meant
        if schedule in off
    ]


def stopped_helpers(off: Collection[str]) -> list[str]:
    """Name what is ``off`` and keeps no row away, with what does not happen meanwhile."""
    schedules = [
        f"{name}: its schedule is stopped, so {what} -> `dccd schedules on {name}`"
        for name, what in _SCHEDULED.items()
        if f"{name}_schedule" in off
    ]
    sensors = [
        f"{name}: its sensor is stopped, so {what} -> turn it on under Automation of Dagster's page"
        for name, what in _WATCHED.items()
        if name in off
    ]
    return schedules + sensors


def no_daemon(instance: dg.DagsterInstance, now: Us) -> str:
    """Say that nobody starts schedules and streams; empty when somebody does."""
    beat = instance.get_daemon_heartbeats().get(SCHEDULER)
    at = seconds(beat.timestamp) if beat else None
    if at is not None and now - at < _STALE:
        return ""
    since = "" if at is None else f" since {iso(at)}"
    return f"no Dagster daemon runs{since}: schedules and streams do not start by themselves -> `dccd up`"


def stream_problems(streams: Sequence[StreamState], enabled: Collection[str]) -> list[str]:
    """Name the streams that are to record and do not, and what of the others the venue refuses."""
    meant = [one for one in streams if one.name in enabled]
    return [line for one in meant for line in (_refused(one) if one.state in _WELL else _stream(one))]


def _stream(one: StreamState) -> list[str]:
    here = f"`dccd stream {one.name}` records it here"
    if one.state == BY_A_USER:
        return [f"{one.name}: {one.said} -> `dccd stream resume {one.name}` lets it go on"]
    if one.run_id is None:
        why = f" ({one.why})" if one.why else ""
        return [f"{one.name}: {one.said}{why} -> `dccd up` starts it; {here}"]
    return [f"{one.name}: {one.said} -> `dccd logs {one.name}` says more; {here}"]


def _refused(one: StreamState) -> list[str]:
    datasets = one.beat.datasets if one.beat else ()
    return [
        f"{one.name}: {row.dataset}: {said_of_dataset(row)} -> mend `symbols` or `data_types` of the stream"
        for row in datasets
        if row.refused
    ]


def failed_jobs(runs: Sequence[RunState], told: Collection[str]) -> list[str]:
    """Name the jobs whose last run failed; of those in ``told`` it is said already."""
    newest = {run.job: run for run in reversed(runs)}
    return [
        f"{job}: run {run.run_id[:8]} failed: {(run.why.splitlines() or ['no reason is known'])[0]}"
        f" -> `dccd logs {run.run_id[:8]}`"
        for job, run in sorted(newest.items())
        if run.status == "failure" and job not in told
    ]


def shut_budgets(settings: Settings, exchanges: Collection[str], clock: Clock) -> list[str]:
    """Name the exchanges that let nobody of this machine ask at present."""
    found = list[str]()
    for name in sorted(exchanges):
        own = settings.exchanges.get(name, ExchangeSettings())
        for breaker in open_breakers(get(name), own.rest_url, clock):
            until = iso(breaker.until)
            found.append(f"{name}: no request goes out before {until}: {breaker.reason} -> wait until then")
    return found


def full_disks(places: Mapping[str, Path], limit: int = LEAST_FREE) -> Iterator[str]:
    """Name the disks with hardly any room left, by what is on them."""
    for what, place in places.items():
        there = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), Path("/"))
        disk = shutil.disk_usage(there)
        if disk.free < limit:
            used = 1 - disk.free / max(1, disk.total)
            yield f"the disk of {what} ({there}) is {used:.0%} full, {decimal(disk.free)} free -> free space"
