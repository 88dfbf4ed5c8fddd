"""Old runs go with all that is left of them; what a partition stands on stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import DAY, Us
from dccd_core.net.clock import ManualClock
from dccd_pipeline.config.runs import KeepRuns
from dccd_pipeline.runs.prune import PRUNE, prune_job, remove, superfluous
from dccd_pipeline.tags import CATCH_UP, EXCHANGE, STREAM

OURS = {EXCHANGE: "binance"}
TICK = {**OURS, CATCH_UP: "true"}
KEYS = dg.StaticPartitionsDefinition(["2024-01", "2024-02"])
ROWS = dg.AssetKey("rows")


@dg.asset(name="rows", partitions_def=KEYS)
def rows(context: dg.AssetExecutionContext) -> None:
    if "fail" in context.run.tags:
        raise dg.Failure("the venue is down")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def materialized(instance: dg.DagsterInstance, key: str, tags: dict[str, str]) -> str:
    result = dg.materialize([rows], instance=instance, partition_key=key, tags=tags, raise_on_error=False)
    return result.run_id


def old(instance: dg.DagsterInstance, days: float, keep: KeepRuns | None = None) -> set[str]:
    return set(superfluous(instance, keep or KeepRuns(), datetime.now(UTC) + timedelta(days=days)))


def files_of(folder: Path, run_id: str) -> list[Path]:
    return [path for path in folder.rglob("*") if run_id in str(path) and path.is_file()]


def test_a_tick_goes_after_two_days_unless_a_partition_stands_on_it(instance: dg.DagsterInstance) -> None:
    first, other, last = (materialized(instance, key, TICK) for key in ("2024-01", "2024-02", "2024-01"))
    assert old(instance, 1.9) == set()
    assert old(instance, 2.1) == {first}
    assert old(instance, 1_000) == {first}
    newest = materialized(instance, "2024-02", OURS)
    assert old(instance, 2.1) == {first, other}
    assert not {last, newest} & old(instance, 1_000)


def test_a_tick_that_is_too_old_in_two_ways_is_named_once(instance: dg.DagsterInstance) -> None:
    first, _ = materialized(instance, "2024-01", TICK), materialized(instance, "2024-01", TICK)
    assert list(superfluous(instance, KeepRuns(), datetime.now(UTC) + timedelta(days=40))) == [first]


def test_what_failed_is_kept_longer_and_days_are_the_users(instance: dg.DagsterInstance) -> None:
    done = materialized(instance, "2024-01", OURS)
    materialized(instance, "2024-01", OURS)
    failed = materialized(instance, "2024-01", {**OURS, "fail": "yes"})
    assert [old(instance, days) for days in (29, 31, 89, 91)] == [set(), {done}, {done}, {done, failed}]
    assert old(instance, 8, KeepRuns(days=7, failed=7)) == {done, failed}


def test_runs_that_go_on_or_are_somebody_elses_stay(instance: dg.DagsterInstance) -> None:
    @dg.job
    def other() -> None: ...

    for status, tags in (
        (dg.DagsterRunStatus.STARTED, {**OURS, STREAM: "majors"}),
        (dg.DagsterRunStatus.STARTED, TICK),
        (dg.DagsterRunStatus.SUCCESS, {}),
        (dg.DagsterRunStatus.SUCCESS, {CATCH_UP: "true"}),
    ):
        instance.create_run_for_job(other, tags=tags, status=status)
    assert old(instance, 1_000) == set()
    ended = instance.create_run_for_job(other, tags={STREAM: "majors"}, status=dg.DagsterRunStatus.CANCELED)
    assert old(instance, 1_000) == {ended.run_id}


def test_more_runs_than_one_page_shows_are_found(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dccd_pipeline.runs.prune._BATCH", 2)

    @dg.job
    def other() -> None: ...

    made = {
        instance.create_run_for_job(other, tags=OURS, status=dg.DagsterRunStatus.SUCCESS).run_id
        for _ in range(5)
    }
    assert old(instance, 31) == made


def test_nothing_is_left_of_a_run_and_the_partition_is_still_there(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        first, last = materialized(instance, "2024-01", TICK), materialized(instance, "2024-01", TICK)
        assert len(files_of(tmp_path, first)) >= 3, "a database and what was printed"
        before = files_of(tmp_path, last)
        remove(instance, first)
        assert files_of(tmp_path, first) == []
        assert files_of(tmp_path, last) == before
        assert instance.get_run_by_id(first) is None
        assert instance.get_materialized_partitions(ROWS) == {"2024-01"}
        assert instance.all_logs(last)


def test_the_job_removes_what_is_too_old(instance: dg.DagsterInstance) -> None:
    first, last = materialized(instance, "2024-01", TICK), materialized(instance, "2024-01", TICK)
    clock = ManualClock(Us(int(datetime.now(UTC).timestamp()) * 1_000_000 + 3 * DAY))
    result = prune_job(KeepRuns(), clock).execute_in_process(instance=instance)
    assert result.success
    assert {run.run_id for run in instance.get_runs()} == {last, result.run_id}
    assert first not in str(instance.get_runs())
    assert result.dagster_run.job_name == PRUNE
