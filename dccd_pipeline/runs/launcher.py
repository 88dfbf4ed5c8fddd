"""The launcher of runs, which can also tell whether the process of one it launched is still there.

Dagster's own cannot: after a hard stop of everything (power cut, kill -9 of the code server) its runs stay
STARTED for ever. With this one, run monitoring marks them failed within a minute, and what restarts failed
runs can do so. The code server is not asked: after a reload it does not know runs that go on all the same.
"""

import os
from pathlib import Path
from typing import Final

import dagster as dg
import msgspec

from dccd_pipeline.dagster_compat import GRPC_INFO_TAG, CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dccd_pipeline.runs.processes import is_there, process_of, stat

_HERE: Final = (None, "localhost", "127.0.0.1", "::1")
_FIRST_EVENTS: Final = 20
_SLACK_S: Final = 5.0


class WatchfulRunLauncher(DefaultRunLauncher):
    """Launches runs in processes of the code server, and looks after those of this machine."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say whether the process of ``run`` lives; of others nobody here can tell, so they are let be.

        These are runs of code servers on other machines, and those that nobody launched: ``dccd backfill``,
        ``dagster job execute``. ``dccd stream`` says in a tag which process it is.
        """
        own = process_of(run.run_id, run.tags)
        if own and own.gone:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"its process (pid {own.pid}) died")
        if not _launched_here(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not launched on this machine")
        found = _process(self._instance, run.run_id)
        if found is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it has not said which process it is")
        pid, since = found
        if _alive(pid, since):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"its process (pid {pid}) died")


def _launched_here(run: dg.DagsterRun) -> bool:
    told = run.tags.get(GRPC_INFO_TAG)
    return told is not None and msgspec.json.decode(told, type=dict[str, object]).get("host") in _HERE


def _process(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Return which process a run is in, and when it said so."""
    first = instance.get_records_for_run(run_id, limit=_FIRST_EVENTS).records
    for record in first:
        event = record.event_log_entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event and event.is_engine_event else None
        if isinstance(pid, dg.TextMetadataValue) and pid.text:
            return int(pid.text), record.timestamp
    return None


def _alive(pid: int, since: float) -> bool:
    """Tell whether a process is there, and no younger one with the same number."""
    if not is_there(pid):
        return False
    began = _began(pid)
    return began is None or began <= since + _SLACK_S


def _began(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch; None where the system does not tell."""
    told = stat(pid)
    try:
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except OSError:
        return None
    return int(boot.split()[1]) + told[1] / os.sysconf("SC_CLK_TCK") if told else None
