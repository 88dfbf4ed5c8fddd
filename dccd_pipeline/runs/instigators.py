"""Which schedules are on, turning them on and off without a webserver, and what somebody stopped.

Dagster keeps that by code location, repository and name, whatever process asks.

Belongs here: from a name to Dagster's storage. Does not: which schedules there are (build.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from dccd_core.domain.timespan import SECOND, Us
from dccd_pipeline.dagster_compat import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    cron_string_iterator,
    schedule_origin,
)
from dccd_pipeline.tags import LOCATION


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """A schedule. ``last``: its newest tick and what came of it; ``next``: when it is due, None while off."""

    name: str
    job: str
    cron: str
    on: bool
    last: Us | None = None
    outcome: str = ""
    next: Us | None = None


def schedule_states(
    instance: dg.DagsterInstance, schedules: Iterable[dg.ScheduleDefinition], now: Us
) -> list[ScheduleState]:
    """Return how these schedules are, by name."""
    stored = _stored(instance)
    return [
        _state(instance, one, stored.get(one.name), now)
        for one in sorted(schedules, key=lambda one: one.name)
    ]


def turn(
    instance: dg.DagsterInstance, schedules: Iterable[dg.ScheduleDefinition], now: Us, *, on: bool
) -> list[str]:
    """Turn schedules on or off; return the names of those that were not so before."""
    stored, turned = _stored(instance), list[str]()
    for one in schedules:
        before = stored.get(one.name)
        if _is_on(one, before) == on:
            continue
        status = InstigatorStatus.RUNNING if on else InstigatorStatus.STOPPED
        data = ScheduleInstigatorData(_cron(one), now / SECOND if on else None)
        if before:
            instance.update_instigator_state(before.with_status(status).with_data(data))
        else:
            origin = schedule_origin(LOCATION, one.name)
            instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))
        turned.append(one.name)
    return turned


def stopped(instance: dg.DagsterInstance) -> set[str]:
    """Return the names of the schedules and sensors that somebody stopped."""
    if instance.schedule_storage is None:  # nobody has made an instance yet, or it is forgotten again
        return set()
    states = instance.all_instigator_state()
    on = {one.instigator_name for one in states if one.status is not InstigatorStatus.STOPPED}
    return {one.instigator_name for one in states} - on


def _stored(instance: dg.DagsterInstance) -> Mapping[str, InstigatorState]:
    """Return what Dagster's storage holds of our schedules; of most of them, nothing."""
    if instance.schedule_storage is None:  # it is forgotten again, and was never anybody's
        return {}
    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    own = schedule_origin(LOCATION, "").repository_origin
    return {
        one.instigator_name: one
        for one in states
        if one.repository_selector.location_name == LOCATION
        and one.repository_selector.repository_name == own.repository_name
    }


def _state(
    instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition, stored: InstigatorState | None, now: Us
) -> ScheduleState:
    origin, on = schedule_origin(LOCATION, schedule.name), _is_on(schedule, stored)
    kept = instance.schedule_storage is not None
    ticks = instance.get_ticks(origin.get_id(), _selector(schedule.name), limit=1) if kept else ()
    last = Us(round(ticks[0].timestamp * SECOND)) if ticks else None
    outcome = ticks[0].status.value.lower() if ticks else ""
    zone = schedule.execution_timezone or "UTC"
    due = next(cron_string_iterator(now / SECOND, _cron(schedule), zone)) if on else None
    next_one = Us(round(due.timestamp()) * SECOND) if due else None
    return ScheduleState(schedule.name, schedule.job_name, _cron(schedule), on, last, outcome, next_one)


def _selector(name: str) -> str:
    origin = schedule_origin(LOCATION, name)
    data = ScheduleInstigatorData("* * * * *", None)
    return InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.STOPPED, data).selector_id


def _is_on(schedule: dg.ScheduleDefinition, stored: InstigatorState | None) -> bool:
    if stored is None or stored.status is InstigatorStatus.DECLARED_IN_CODE:
        return schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    return stored.status is InstigatorStatus.RUNNING


def _cron(schedule: dg.ScheduleDefinition) -> str:
    return schedule.cron_schedule if isinstance(schedule.cron_schedule, str) else schedule.cron_schedule[0]
