"""What a run said, as lines: its own words, from Dagster's storage.

Belongs here: from a name to lines. Does not: printing them (logs.py).
"""

import logging
import time
from collections.abc import Iterator
from typing import Final

import dagster as dg

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import SECOND, Us, iso
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.runs.ending import named_runs

_LOOK_S: Final = 1.0
_PAGE: Final = 1_000


def run_lines(
    instance: dg.DagsterInstance,
    settings: Settings,
    name: str,
    count: int,
    *,
    follow: bool = False,
    look_s: float = _LOOK_S,
) -> Iterator[str]:
    """Yield the last lines of a run: by its id, or the youngest of a name; then what comes until it ends.

    Raises:
        ConfigError: there is no such run, or none yet.
    """
    runs = named_runs(instance, settings, name, under_way=False)
    if not runs:
        raise ConfigError(f"nothing of {name} has run yet", hint="dccd status shows what has")
    run_id = runs[0].run_id
    last = instance.get_records_for_run(run_id, limit=max(1, count), ascending=False)
    newest, cursor = (last.records[0].storage_id if last.records else -1), last.cursor
    for record in reversed(last.records[:count]):
        yield _line(record.event_log_entry)
    while follow:
        run = instance.get_run_by_id(run_id)
        over = run is None or run.is_finished
        found = instance.get_records_for_run(run_id, cursor=cursor, limit=_PAGE)
        for record in found.records:
            if record.storage_id > newest:  # the cursor is that of the oldest one that was shown
                yield _line(record.event_log_entry)
        cursor = found.cursor
        if over and not found.has_more:
            return
        if not found.records:
            time.sleep(look_s)


def _line(entry: dg.EventLogEntry) -> str:
    at = Us(round(entry.timestamp * SECOND))
    level = logging.getLevelName(entry.level) if isinstance(entry.level, int) else entry.level
    step = f"{entry.step_key}: " if entry.step_key else ""
    return f"{iso(Us(at - at % SECOND))} {level:<8} {step}{entry.message or _kind(entry)}"


def _kind(entry: dg.EventLogEntry) -> str:
    """Say what an event without words is, as Dagster calls it: ``run starting``."""
    event = entry.dagster_event
    return event.event_type.name.lower().replace("_", " ") if event else ""
