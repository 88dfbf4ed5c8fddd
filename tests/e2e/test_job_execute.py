import shutil
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from tests.e2e.project import (
    BTC,
    MONTHS,
    NEVER,
    ROOT,
    YEAR,
    Project,
    bars,
    materialised,
    months,
    pages,
    ranged,
    stored,
    truth,
)

pytestmark = pytest.mark.e2e
JOB = "binance_ohlc_1m"


def test_job_execute_fills_a_partition_and_a_range(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)

    done = project.job(JOB, {"dagster/partition": "2024-01"})
    assert done.returncode == 0, done.stderr
    january = truth(sandbox, BTC, months("2024-01", "2024-01"))
    assert stored(project, BTC).equals(january)
    asked = sandbox.stats().count("klines")
    assert asked == pages("2024-01") + 1  # and once for the listing

    done = project.job(JOB, ranged("2024-01", "2024-12"))
    assert done.returncode == 0, done.stderr
    rows = stored(project, BTC)
    assert rows.height == 527_040
    assert rows.equals(truth(sandbox, BTC, YEAR))
    assert sandbox.stats().count("klines") - asked == sum(map(pages, MONTHS)) - pages("2024-01") + 1
    with project.instance() as instance:
        assert materialised(instance, BTC) == set(MONTHS)
        runs = instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
        steps = [instance.get_run_stats(run.run_id) for run in runs]
        assert [(step.steps_succeeded, step.steps_failed) for step in steps] == [(1, 0)] * 2
        for run in runs:
            assert not instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)


def test_the_command_fills_the_same_year_and_asks_for_it_once(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    question = ("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1m")
    year = ("--start", "2024-01-01", "--end", "2025-01-01")

    done = project.dccd("backfill", *question, *year)
    assert done.returncode == 0, done.stderr
    line, closing = done.stdout.splitlines()
    assert line == f"{JOB}: available, 12 partitions"
    assert closing.startswith("527,040 rows, ")
    assert stored(project, BTC).equals(truth(sandbox, BTC, YEAR))
    asked = sandbox.stats().count()

    files = {path: path.stat().st_mtime_ns for path in (project.folder / "data").rglob("*.parquet")}
    done = project.dccd("backfill", *question, *year, "--json")
    assert done.returncode == 0, done.stderr
    assert sandbox.stats().count() == asked
    assert files == {path: path.stat().st_mtime_ns for path in (project.folder / "data").rglob("*.parquet")}
    with project.instance() as instance:
        runs = instance.get_runs()
        assert [(run.job_name, run.status) for run in runs] == [(JOB, dg.DagsterRunStatus.SUCCESS)] * 2
        assert materialised(instance, BTC) == set(MONTHS)


def test_the_definitions_load_with_plain_dagster(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT, ETH/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    done = project.ran("-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml"))
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr

    shutil.rmtree(project.folder / "home" / "dccd")  # or the last good one would go on
    (project.folder / "dccd.yaml").write_text("collect: [{exchange: binanc}]")
    done = project.ran("-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml"))
    assert done.returncode == 1
    assert "unknown exchange 'binanc' -> did you mean 'binance'?" in done.stdout + done.stderr
