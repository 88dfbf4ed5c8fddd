"""``dccd stop``, and ``dccd stream resume`` after it."""

import os
from pathlib import Path

import dagster as dg
import pytest

from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.runs.processes import Process
from dccd_pipeline.tags import STREAM
from tests.dccd_pipeline.cli.terminal import dccd, refused

S = dg.DagsterRunStatus
pytestmark = pytest.mark.usefixtures("own_home")


@dg.job(name="stream_majors")
def streaming() -> None: ...


def begun(*, dead: bool = False) -> str:
    """Begin a run that nobody launched; ``dead``: its process is not there any more."""
    with open_instance() as instance:
        run_id = instance.create_run_for_job(streaming, tags={STREAM: "majors"}, status=S.STARTED).run_id
        if dead:
            instance.add_run_tags(run_id, Process(Process.this().host, 2**22 + 1).tag(run_id))
        return run_id


def status_of(run_id: str) -> dg.DagsterRunStatus:
    with open_instance() as instance:
        run = instance.get_run_by_id(run_id)
        assert run
        return run.status


def test_a_run_whose_process_is_gone_is_stopped_at_once(own_home: Path) -> None:
    run_id = begun(dead=True)
    done = dccd("stop", "majors")
    assert (done.exit_code, done.stdout) == (0, f"stream_majors: run {run_id} is stopped\n")
    assert status_of(run_id) is S.CANCELED
    again = dccd("stop", run_id[:8])
    assert again.stdout == f"stream_majors: run {run_id} has ended already (canceled)\n"


def test_one_that_does_not_end_is_said_and_is_no_success(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dccd_pipeline.cli.stop.PATIENCE_S", 0)
    run_id = begun()
    done = dccd("stop", "majors")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"stream_majors: run {run_id} is told to stop, and has not ended yet\n")
    assert status_of(run_id) is S.CANCELING


def test_where_nothing_runs_it_is_said_what_keeps_it_so(own_home: Path) -> None:
    assert dccd("stop", "majors").stdout == (
        "majors: nothing of it runs -> `dccd stream pause majors` keeps it from recording\n"
    )
    assert dccd("stop", "binance_ohlc_1h").stdout == "binance_ohlc_1h: nothing of it runs\n"
    assert refused("stop", "major").endswith("called major -> did you mean majors?")
    assert not Path(os.environ.get("DAGSTER_HOME", "nowhere")).exists()


def test_a_stream_that_was_stopped_goes_on_when_it_is_resumed(own_home: Path) -> None:
    run_id = begun(dead=True)
    assert dccd("stop", "majors").exit_code == 0
    assert "stopped by a user" in dccd("status").stdout
    done = dccd("stream", "resume", "majors")
    assert done.stdout == f"majors: was stopped by a user (run {run_id}) and goes on: the daemon starts it\n"
    assert dccd("stream", "resume", "majors").stdout == "majors: all of it was not paused\n"
    with open_instance() as instance:
        run = instance.get_run_by_id(run_id)
        assert run
        assert run.tags["dccd/stopped"] == f"{run_id} a user resumed it"
