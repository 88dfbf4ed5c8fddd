"""Dagster's newer command: what README shows first."""

import sys
from pathlib import Path
from subprocess import CompletedProcess

import dagster as dg
import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from tests.e2e.project import BTC, NEVER, ROOT, Project, bars, materialised, months, stored, truth

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
JOB = "binance_ohlc_1m"


def ran(project: Project, *arguments: str) -> CompletedProcess[str]:
    """Run ``dg`` on this repository, with the configuration and the instance of ``project``."""
    return project.ran(str(Path(sys.executable).with_name("dg")), *arguments, "--target-path", str(ROOT))


def test_dg_checks_lists_and_launches(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)

    checked = ran(project, "check", "defs")
    assert checked.returncode == 0, checked.stderr
    listed = ran(project, "list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    assert f'"{BTC}"' in listed.stdout
    assert JOB in listed.stdout

    for how in (("--job", JOB), ("--assets", f'key:"{BTC}"')):
        done = ran(project, "launch", *how, "--partition-range", "2024-01...2024-02")
        assert done.returncode == 0, done.stderr
    assert stored(project, BTC).equals(truth(sandbox, BTC, months("2024-01", "2024-02")))
    with project.instance() as instance:
        assert materialised(instance, BTC) == {"2024-01", "2024-02"}
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}


def test_dg_says_what_is_wrong_with_the_configuration(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project", "http://127.0.0.1:9", bars("BTC/USDT", "2024-01-01"))
    file = project.folder / "dccd.yaml"
    file.write_text(file.read_text().replace("span: 1m", "spn: 1m"))
    checked = ran(project, "check", "defs")
    assert checked.returncode != 0
    assert "did you mean span?" in checked.stdout + checked.stderr
