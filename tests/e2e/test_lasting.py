"""D6 as it is lived: `dagster dev` runs, a typo is saved and loaded, all is started anew; then the fix."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from tests.e2e.project import Project, awaited, bars
from tests.e2e.test_configuration import reload, said_by_the_sensor, shown
from tests.e2e.test_streams import STREAM, dagster_dev, recording, sign_of, statuses, streaming

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
JOB = "binance_ohlc_1m"
TICK = f"{JOB}_tick"


def test_d6_streams_and_schedules_go_on_with_the_last_good_configuration(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """0e899d4: after the reload the location is an error, without jobs, schedules and streams."""
    project = streaming(sandbox, tmp_path)
    file = project.folder / "dccd.yaml"
    month = datetime.now(UTC).strftime("%Y-%m-01")
    entry = bars("BTC/USDT", month, 'cron: "* * * * *"')  # each minute has a bar of its own
    good = file.read_text() + f"collect:\n  - {entry}\n"
    bad = good.replace(STREAM, STREAM.replace("trades", "trade"))
    file.write_text(good)
    with dagster_dev(project) as web:
        first = recording(project, web)
        awaited(lambda: ticked(project, set()))
        file.write_text(bad)
        reload(web)
        assert {JOB, "stream_majors"} <= shown(web)
        assert "did you mean trades?" in said_by_the_sensor(web)
        before = runs_of(project)
        awaited(lambda: ticked(project, before))
        awaited(lambda: ((now := sign_of(project)) and now.messages > first.messages) or None)
        assert statuses(web)[first.run_id] == "STARTED"
    with dagster_dev(project) as web:  # a code server that begins with the mistake
        assert {JOB, "stream_majors"} <= shown(web)
        recording(project, web, besides=first.run_id)
        before = runs_of(project)
        awaited(lambda: ticked(project, before))
        file.write_text(good.replace("span: 1m", "span: 5m"))
        reload(web)
        assert "binance_ohlc_5m" in shown(web)
        assert said_by_the_sensor(web) == ""


def runs_of(project: Project) -> set[str]:
    """Return the runs that ticks of the schedule started."""
    with project.instance() as instance:
        return {run.run_id for run in instance.get_runs(dg.RunsFilter(job_name=TICK))}


def ticked(project: Project, besides: set[str]) -> str | None:
    """Return a run of the schedule that succeeded."""
    with project.instance() as instance:
        done = instance.get_runs(dg.RunsFilter(job_name=TICK, statuses=[dg.DagsterRunStatus.SUCCESS]))
        return next((run.run_id for run in done if run.run_id not in besides), None)
