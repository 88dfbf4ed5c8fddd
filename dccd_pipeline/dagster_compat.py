"""All that we use of Dagster and that it does not promise: a new release is tried against this page first.

Nothing else imports ``dagster._...`` (tests/architecture/test_dagster_compat.py). Each stands here with its
reason; where Dagster makes one public, its line goes.
"""

from pathlib import Path

import dagster as dg

# How Dagster's storage keeps that a schedule is on or off: by an origin, made here without a workspace.
from dagster._core.definitions.run_request import InstigatorType

# Types of what public functions take and return.
from dagster._core.definitions.target import ExecutableDefinition
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

# A launcher that can say whether a process still lives (runs/launcher.py).
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)

# A queue that tells the runs of a job's backfill their range (runs/coordinator.py).
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData

# Which states of a run are its last.
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES

# Where SQLite keeps what a run said, which outlives the run (runs/prune.py).
from dagster._core.storage.event_log import SqliteEventLogStorage

# Dagster documents these tags as text only: how a run names its partitions, its backfill, its code server,
# and what started it.
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    GRPC_INFO_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
    SCHEDULE_NAME_TAG,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

# The terminal names its run before it starts it.
from dagster._core.utils import make_new_run_id

# A cron is refused where it is typed, by the rules of who runs it.
from dagster._utils.schedules import (
    cron_string_iterator,
    has_out_of_range_cron_interval,
    is_valid_cron_string,
)

SCHEDULER = "SCHEDULER"
"""What the part of the daemon is called that starts ticks, in its signs of life."""

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "FINISHED_STATUSES",
    "GRPC_INFO_TAG",
    "MAX_RETRIES_TAG",
    "NOT_FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "SCHEDULER",
    "SCHEDULE_NAME_TAG",
    "CheckRunHealthResult",
    "DefaultRunLauncher",
    "ExecutableDefinition",
    "InstigatorState",
    "InstigatorStatus",
    "InstigatorType",
    "QueuedRunCoordinator",
    "ScheduleInstigatorData",
    "SubmitRunContext",
    "UnresolvedAssetJobDefinition",
    "WorkerStatus",
    "cron_string_iterator",
    "has_out_of_range_cron_interval",
    "is_valid_cron_string",
    "make_new_run_id",
    "migration_heads",
    "run_files",
    "schedule_origin",
]

_REPOSITORY = "__repository__"
"""What Dagster calls the one repository of Definitions."""


def migration_heads() -> list[str]:
    """Return the versions that an up-to-date SQLite database of Dagster's may say it has."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 -- half a second that hardly anybody needs
    from dagster._core.storage import sql  # noqa: PLC0415

    return list(ScriptDirectory.from_config(sql.get_alembic_config(sql.__file__)).get_heads())


def run_files(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """Return the files of a run's own database; there are none where all runs share one."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    database = storage.path_for_shard(run_id)
    return [Path(f"{database}{end}") for end in ("", "-wal", "-shm")]


def schedule_origin(module: str, name: str) -> RemoteInstigatorOrigin:
    """Return as what Dagster knows a schedule of the Definitions in ``module``."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name=module), module)
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, _REPOSITORY), name)
