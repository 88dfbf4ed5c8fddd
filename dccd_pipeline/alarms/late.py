"""What should have ended well by now, and has not: a sync of a remote that is late.

A kind of work that a schedule starts is an asset that is materialised only when all of it was done: its name
and how often that is wanted stand in ``dues``, a line for each kind.

Belongs here: what is late. Does not: work that failed (runs/failures.py).
"""

from typing import Final, NamedTuple

import dagster as dg

from dccd_core.domain.timespan import SECOND, Us
from dccd_pipeline.alarms.look import Found, Look
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.alerts import said_length
from dccd_pipeline.runs.instigators import stopped

_INTERVALS: Final = 2
"""So many may pass, or still be under way, before somebody is told."""


class Due(NamedTuple):
    """How often an asset is to be materialised (us), by which job, and by which command a user does it."""

    every: Us
    job: str
    command: str


def dues(settings: Settings) -> dict[str, Due]:
    """Return what is due, by the name of its asset."""
    synced = [one for one in settings.remotes if one.scheduled]
    return {
        f"remote/{one.name}": Due(one.every, one.job, f"dccd sync {one.name}")
        for one in synced
        if isinstance(one.every, int)
    }


def late(look: Look) -> Found:
    """Say of each asset that is due whether it is late; who stopped its schedule is told so, too."""
    found = dict[str, str | None]()
    for name, due in dues(look.settings).items():
        first = min([look.now, *look.memory.get(name, ())])  # none of a clock that was ahead
        look.memory[name] = [first]
        last = _materialised(look.instance, dg.AssetKey(name.split("/")))
        last = last if last and last <= look.now else None
        waited = Us(look.now - max(first, last or 0))
        well = (
            f"ended well last {said_length(waited)} ago"
            if last
            else f"has not ended well in {said_length(waited)}"
        )
        said = f"{name} is late: it {well}, wanted is every {said_length(due.every)}"
        found[name] = f"{said}{_why(look, due)}" if waited > _INTERVALS * due.every else ""
    return found


def _why(look: Look, due: Due) -> str:
    if f"{due.job}_schedule" in stopped(look.instance):
        return f"; its schedule is stopped -> `dccd schedules on {due.job}`"
    return f" -> `{due.command}` says why"


def _materialised(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Us | None:
    event = instance.get_latest_materialization_event(asset)
    return None if event is None else Us(round(event.timestamp * SECOND))
