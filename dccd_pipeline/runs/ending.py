"""Ending a run that goes on, as a user: by its id, or by the name of what it does.

Belongs here: which runs are meant, and telling them. Does not: how a run hears it (stops.py).
"""

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

import dagster as dg

from dccd_core.domain.errors import ConfigError
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.dagster_compat import NOT_FINISHED_STATUSES
from dccd_pipeline.runs.processes import process_of
from dccd_pipeline.tags import ENTRY, STREAM

SHORTEST: Final = 4
"""How much of a run's id is needed to name it."""
_SEARCHED: Final = 1_000
_BY: Final = "stopped by a user: dccd stop"
_LOG: Final = logging.getLogger(__name__)


def named_runs(
    instance: dg.DagsterInstance, settings: Settings, word: str, *, under_way: bool
) -> list[dg.DagsterRun]:
    """Return the runs that a user means, youngest first: one by (the beginning of) its id, or all of a name.

    The name of a stream, a ``collect`` entry or a job. ``under_way``: only those that have not ended; by an
    id also one that has.

    Raises:
        ConfigError: there is no run, and nothing configured, of that name.
    """
    if found := _by_id(instance, word):
        return [found]
    statuses = list(NOT_FINISHED_STATUSES) if under_way else None
    filters = (
        dg.RunsFilter(tags={STREAM: word}, statuses=statuses),
        dg.RunsFilter(tags={ENTRY: word}, statuses=statuses),
        dg.RunsFilter(job_name=word, statuses=statuses),
    )
    records = [record for one in filters for record in instance.get_run_records(one, limit=_SEARCHED)]
    records.sort(key=lambda record: record.create_timestamp, reverse=True)
    runs = {record.dagster_run.run_id: record.dagster_run for record in records}
    if not runs and word not in (known := _names(settings)):
        near = get_close_matches(word, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"configured: {', '.join(known) or 'nothing'}"
        raise ConfigError(f"there is no run, stream, entry or job called {word}", hint=hint)
    return list(runs.values())


def _names(settings: Settings) -> list[str]:
    """Return what runs are called."""
    entries = [name for entry in settings.collect for name in (entry.name, entry.tick)]
    streams = [name for entry in settings.stream for name in (entry.name, entry.job)]
    return list(dict.fromkeys((*streams, *entries)))


def _by_id(instance: dg.DagsterInstance, word: str) -> dg.DagsterRun | None:
    if exact := instance.get_run_by_id(word):
        return exact
    if len(word) < SHORTEST or set(word) - set("0123456789abcdef-"):
        return None
    runs = [one for one in instance.get_runs(limit=_SEARCHED) if one.run_id.startswith(word)]
    if len(runs) > 1:
        ids = ", ".join(one.run_id for one in runs)
        raise ConfigError(f"{word} begins the ids of {len(runs)} runs", hint=f"write more of it: {ids}")
    return runs[0] if runs else None


def end_runs(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> None:
    """Tell runs to end; one whose process is gone is marked as canceled."""
    for run in runs:
        process = process_of(run.run_id, run.tags)
        if process and process.gone:
            instance.report_run_canceled(run, message=f"{_BY}; its process (pid {process.pid}) was gone")
            continue
        try:
            heard = instance.run_coordinator.cancel_run(run.run_id)
        except Exception:  # noqa: BLE001 -- a code server that is gone says so in many ways
            _LOG.info("run %s: its code server does not answer", run.run_id, exc_info=True)
            heard = False
        again = instance.get_run_by_id(run.run_id)
        if not heard and again and not again.is_finished:  # it looks itself now and then (stops.py)
            instance.report_run_canceling(again, message=_BY)


def still_there(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> list[dg.DagsterRun]:
    """Return those of these runs that have not ended, as they are now."""
    if not runs:
        return []
    ids = [run.run_id for run in runs]
    return list(instance.get_runs(dg.RunsFilter(run_ids=ids, statuses=list(NOT_FINISHED_STATUSES))))
