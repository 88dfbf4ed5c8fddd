"""A run that fell silent is dead; one that speaks, or is somebody else's, is left alone."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from dccd_pipeline.runs import silent
from dccd_pipeline.runs.silent import SILENT_S, silent_runs

OURS = {"dccd/exchange": "binance"}


@dg.job
def collecting() -> None: ...


def begun(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]) -> str:
    run = instance.create_run_for_job(collecting, tags=tags, status=status)
    instance.report_engine_event("fetched up to somewhere", run)
    return run.run_id


@pytest.mark.parametrize(
    ("status", "tags", "minutes", "failed"),
    [
        (dg.DagsterRunStatus.STARTED, OURS, SILENT_S // 60 + 1, True),
        (dg.DagsterRunStatus.STARTED, OURS, SILENT_S // 60 - 1, False),
        (dg.DagsterRunStatus.STARTED, {}, 1_000, False),
        (dg.DagsterRunStatus.STARTED, {**OURS, "dccd/stream": "majors"}, 1_000, False),
    ],
)
def test_only_our_silent_runs_are_marked_failed(
    monkeypatch: pytest.MonkeyPatch,
    status: dg.DagsterRunStatus,
    tags: dict[str, str],
    minutes: int,
    *,
    failed: bool,
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "datetime":  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=minutes)

    monkeypatch.setattr(silent, "datetime", Later)
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = begun(instance, status, tags)
        silent_runs(dg.build_sensor_context(instance))
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status is (dg.DagsterRunStatus.FAILURE if failed else status)
