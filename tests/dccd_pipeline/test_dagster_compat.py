"""What Dagster does not promise, tried: a new release that takes it away fails here, by name."""

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg

from dccd_pipeline import dagster_compat
from dccd_pipeline.dagster_compat import FINISHED_STATUSES, NOT_FINISHED_STATUSES, migration_heads


def test_all_of_it_is_there() -> None:
    assert [name for name in dagster_compat.__all__ if not hasattr(dagster_compat, name)] == []


def test_a_run_has_ended_or_has_not() -> None:
    known = set(FINISHED_STATUSES) | set(NOT_FINISHED_STATUSES)
    assert set(dg.DagsterRunStatus) - known == {dg.DagsterRunStatus.MANAGED}, "which Dagster never uses"
    assert not set(FINISHED_STATUSES) & set(NOT_FINISHED_STATUSES)


def test_a_database_that_dagster_makes_now_says_the_newest_version(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.get_runs()
    with closing(sqlite3.connect(tmp_path / "history" / "runs.db")) as database:
        [(version,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
    assert version in migration_heads()
