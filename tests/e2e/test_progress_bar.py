"""A bar that is seen: on a terminal, while the run goes on, although Dagster redirects the descriptors."""

import os
import pty
import re
import select
import subprocess
import termios
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox
from tests.e2e.project import NEVER, Project, bars

pytestmark = pytest.mark.e2e


def drawn(process: "subprocess.Popen[str]", terminal: int) -> str:
    """Return all that is written to the terminal until the process ends."""
    said = b""
    while process.poll() is None or select.select([terminal], [], [], 0)[0]:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                said += os.read(terminal, 65_536)
            except OSError:
                break
    return said.decode(errors="replace")


def on_a_terminal(project: Project, *arguments: str) -> tuple[str, str]:
    """Run a command that succeeds; return what it prints, and what it draws on the terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = project.started("-m", "dccd_pipeline", *arguments, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    said = drawn(process, ours)
    out = process.communicate()[0]
    os.close(ours)
    assert process.returncode == 0, said
    return out, said


def test_the_bar_is_drawn_while_the_run_goes_on(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """0e899d4 draws nothing before the run has ended."""
    project = Project.make(
        tmp_path / "project", sandbox.rest_url("binance"), bars("BTC/USDT", "2024-01-01", NEVER)
    )
    sandbox.faults([Fault(kind=FaultKind.SLOW, path="klines", seconds=0.3)])
    question = (
        "binance",
        "BTC/USDT",
        "--data-type",
        "ohlc",
        "--span",
        "1m",
        "--start",
        "2024-01",
        "--end",
        "2024-05",
    )
    out, said = on_a_terminal(project, "backfill", *question)
    shares = [int(share) for share in re.findall(r"(\d+)%", said)]
    assert any(0 < share < 100 for share in shares)
    assert "binance/ohlc/BTC-USDT" in said  # of 80 columns what is left
    assert re.search(r"%, \d+ (s|min) left", said)
    closing = out.splitlines()[-1]
    assert re.fullmatch(
        rf"174,240 rows, [\d.]+ MB in {re.escape(str(project.folder))}/data, [\d.]+ s", closing
    )
    with project.instance() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS


def test_exchanges_that_are_collected_side_by_side_have_one_bar(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """Before, each drew a bar of its own over those of the others."""
    since = f"{datetime.now(UTC):%Y-01-01}"
    own = bars("BTC/USDT", since, NEVER)
    project = Project.make(
        tmp_path / "project", sandbox.rest_url("binance"), own, own.replace("binance", "bybit")
    )
    file = project.folder / "dccd.yaml"
    reach = f'exchanges: {{bybit: {{rest_url: "{sandbox.rest_url("bybit")}"}}, '
    file.write_text(file.read_text().replace("exchanges: {", reach))
    sandbox.faults([Fault(kind=FaultKind.SLOW, path="kline", seconds=0.3)])
    out, said = on_a_terminal(project, "collect")
    closings = [line for line in out.splitlines() if re.search(r" rows, .* in .*/data, [\d.]+ s$", line)]
    assert len(closings) == 2
    assert "binance/ohlc/BTC" in said
    assert "bybit/ohlc/BTC" in said
    shares = [int(share) for share in re.findall(r"(\d+)%", said)]
    assert any(0 < share < 100 for share in shares)
    assert shares == sorted(shares)
