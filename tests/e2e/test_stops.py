"""H8: a stop stops. What was fetched is stored, the run is canceled, and the next one asks for the rest."""

import random
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from tests.e2e.project import (
    BTC,
    HANGS_S,
    MONTHS,
    NEVER,
    YEAR,
    Project,
    Web,
    awaited,
    bars,
    daemon,
    job_command,
    months,
    ranged,
    stored,
    truth,
    webserver,
)
from tests.e2e.test_webserver import LAUNCH_RUN, LOCATION

pytestmark = pytest.mark.e2e
JOB = "binance_ohlc_1m"
DCCD = "-m", "dccd_pipeline"
SLOW = Fault(kind=FaultKind.SLOW, path="klines", seconds=0.4)
TRADES = Dataset("binance", Symbol("BTC", "USDT"), DataType.TRADES)
DAY = "2024-01-05"
STOP_S = 10
"""How long a stop may take, from the signal to the run's end; the slow tests measure it."""
ON_THE_WAY = 40
"""Requests that may come after a signal: those that were on their way."""
TERMINATE = """
mutation($run: String!) { terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } } }
"""


def question(project: Project) -> tuple[str, ...]:
    where = ("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1m")
    return (*DCCD, "backfill", *where, "--start", "2024-01-01", "--end", "2025-01-01")


def missing_pages(project: Project) -> int:
    """Return how many pages the year lacks by its own ledgers."""
    held = project.lake.states(BTC)
    spans = [
        part
        for key in MONTHS
        for part in partition_span(BTC.grain, key).minus(held[key].ledger.covered() if key in held else [])
    ]
    return sum(-(-span.length // (1_000 * MINUTE)) for span in spans)


def left_by(process: "subprocess.Popen[str]", number: int) -> tuple[int, str]:
    """Send a signal; return how the process ended, and what it said."""
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=HANGS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, err


def pages_came(sandbox: RunningSandbox, count: int) -> None:
    before = sandbox.stats().count("klines")
    awaited(lambda: sandbox.stats().count("klines") - before >= count or None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_h8_a_signal_ends_a_backfill_and_the_next_one_asks_for_the_rest(
    sandbox: RunningSandbox, tmp_path: Path, number: signal.Signals
) -> None:
    project = Project.make(
        tmp_path / "project", sandbox.rest_url("binance"), bars("BTC/USDT", "2024-01-01", NEVER)
    )
    sandbox.faults([SLOW])
    process = project.started(*question(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pages_came(sandbox, 120)
    asked = sandbox.stats().count()
    code, said = left_by(process, number)
    assert sandbox.stats().count() - asked <= ON_THE_WAY
    assert code == 130
    stopped, where = said.splitlines()
    assert stopped == "stopped; what was fetched is stored: run it again for the rest"
    assert where.startswith("configuration: ")
    fetched, left = sandbox.stats().count("klines"), missing_pages(project)
    assert 0 < left < 12 * 45
    with project.instance() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.CANCELED
        assert not instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)

    sandbox.faults([])
    done = project.ran(*question(project))
    assert done.returncode == 0, done.stderr
    assert left <= sandbox.stats().count("klines") - fetched <= left + 2  # the listing
    assert stored(project, BTC).equals(truth(sandbox, BTC, YEAR))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_h8_a_signal_while_the_command_is_imported_ends_it_without_a_trace(
    sandbox: RunningSandbox, tmp_path: Path, number: signal.Signals
) -> None:
    """0e899d4: a traceback of KeyboardInterrupt; the import takes seconds."""
    project = Project.make(
        tmp_path / "project", sandbox.rest_url("binance"), bars("BTC/USDT", "2024-01-01", NEVER)
    )
    (project.folder / "click.py").write_text("import time; print('importing', flush=True); time.sleep(600)")
    process = project.started(*question(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == "importing\n"
    assert left_by(process, number) == (130, "")


def test_h8_an_interrupted_job_execute_is_canceled(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project = Project.make(
        tmp_path / "project", sandbox.rest_url("binance"), bars("BTC/USDT", "2024-01-01", NEVER)
    )
    sandbox.faults([SLOW])
    command = job_command(JOB, ranged("2024-01", "2024-12"))
    with (tmp_path / "log").open("w") as log:
        process = project.started(*command, stdout=log, stderr=log)
        pages_came(sandbox, 60)
        asked = sandbox.stats().count()
        left_by(process, signal.SIGINT)
    assert sandbox.stats().count() - asked <= ON_THE_WAY
    with project.instance() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.CANCELED
    rows = stored(project, BTC)
    year = truth(sandbox, BTC, months("2024-01", "2024-12"))
    assert 0 < rows.height < year.height
    assert rows.equals(year.join(rows, on="ts", how="semi"))


def test_h8_terminate_stops_a_run_and_nobody_tries_it_again(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project = Project.make(
        tmp_path / "project", sandbox.rest_url("binance"), bars("BTC/USDT", "2024-01-01", NEVER)
    )
    sandbox.faults([SLOW])
    with webserver(project) as web, daemon(project):
        run = launched(web, BTC, MONTHS[0], MONTHS[-1])
        pages_came(sandbox, 60)
        assert web.ask(TERMINATE, run=run)["terminateRun"]["__typename"] == "TerminateRunSuccess"
        with project.instance() as instance:
            assert awaited(lambda: over(instance, run)) is dg.DagsterRunStatus.CANCELED
            assert not instance.all_logs(run, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    fetched, left = sandbox.stats().count("klines"), missing_pages(project)
    assert 0 < left < 12 * 45
    sandbox.faults([])
    assert project.job(JOB, ranged("2024-01", "2024-12")).returncode == 0
    assert left <= sandbox.stats().count("klines") - fetched <= left + 2
    assert stored(project, BTC).equals(truth(sandbox, BTC, YEAR))


def launched(web: Web, dataset: Dataset, first: str, last: str) -> str:
    tags = [{"key": key, "value": value} for key, value in ranged(first, last).items()]
    selector = {**LOCATION, "jobName": JOB, "assetSelection": [{"path": list(dataset.parts)}]}
    params = {"selector": selector, "executionMetadata": {"tags": tags}}
    return str(web.ask(LAUNCH_RUN, params=params)["launchRun"]["run"]["runId"])


def over(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    run = instance.get_run_by_id(run_id)
    return run.status if run and run.is_finished else None


class Stops:
    """One project that is stopped again and again, in turns by each way there is."""

    def __init__(
        self, project: Project, sandbox: RunningSandbox, web: Web, question: tuple[str, ...]
    ) -> None:
        self.project, self.sandbox, self.web, self.question = project, sandbox, web, question
        self.chance = random.Random(8)

    def stop(self, turn: int) -> float:
        """Let it run for a while, and stop it; return how long that took, in seconds."""
        with self.project.instance() as instance:
            known = {run.run_id for run in instance.get_runs()}
            if turn % 3 == 2:
                run = self.launched()
                began = self.wait()
                assert self.web.ask(TERMINATE, run=run)["terminateRun"]["__typename"] == "TerminateRunSuccess"
                assert awaited(lambda: over(instance, run)) is dg.DagsterRunStatus.CANCELED
                return time.monotonic() - began
            command = (*DCCD, "backfill", *self.question)
            process = self.project.started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            began = self.wait()
            code, said = left_by(process, signal.SIGINT if turn % 3 else signal.SIGTERM)
            took = time.monotonic() - began
            assert code == 130, said
            assert "Traceback" not in said
            new = [run.status for run in instance.get_runs() if run.run_id not in known]
            assert new == [dg.DagsterRunStatus.CANCELED]
            return took

    def launched(self) -> str:
        return launched(self.web, BTC, MONTHS[0], MONTHS[-1])

    def wait(self) -> float:
        """Let a random number of requests come, and a moment more; return when that is (a steady clock)."""
        before, count = self.sandbox.stats().count(), self.chance.randrange(1, 60)
        awaited(lambda: self.sandbox.stats().count() - before >= count or None)
        time.sleep(self.chance.random() / 2)
        return time.monotonic()


@pytest.mark.slow
def test_h8_twenty_random_stops_of_twelve_partitions(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    sandbox.faults([Fault(kind=FaultKind.SLOW, path="klines", seconds=1.5)])
    with webserver(project) as web, daemon(project):
        stops, lefts = Stops(project, sandbox, web, question(project)[3:]), list[int]()
        took = list[float]()
        for turn in range(20):
            took.append(stops.stop(turn))
            lefts.append(missing_pages(project))
    assert max(took) <= STOP_S, took
    assert lefts == sorted(lefts, reverse=True)
    assert lefts[-1] > 0
    sandbox.faults([])
    before = sandbox.stats().count("klines")
    done = project.ran(*question(project))
    assert done.returncode == 0, done.stderr
    assert lefts[-1] <= sandbox.stats().count("klines") - before <= lefts[-1] + 2
    assert stored(project, BTC).equals(truth(sandbox, BTC, YEAR))


@pytest.mark.slow
def test_h8_twenty_random_stops_of_two_million_trades(tmp_path: Path) -> None:
    with running_sandbox(trades_per_day={"BTC/USDT": 2_000_000}) as sandbox:
        keys = f"symbols: [BTC/USDT], data_type: trades, start: {DAY}, name: {JOB}"
        entry = f"{{exchange: binance, {keys}, {NEVER}}}"
        project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
        where = ("binance", "BTC/USDT", "--data-type", "trades", "--start", DAY, "--end", "2024-01-06")
        sandbox.faults([Fault(kind=FaultKind.SLOW, path="Trades", seconds=0.5)])
        with webserver(project) as web, daemon(project):
            stops, rows, took = TradeStops(project, sandbox, web, where), list[int](), list[float]()
            for turn in range(20):
                took.append(stops.stop(turn))
                state = project.lake.state(TRADES, DAY)
                rows.append(state.rows if state else 0)
        assert max(took) <= STOP_S, took
        assert rows == sorted(rows)
        assert 0 < rows[-1] < 2_000_000
        sandbox.faults([])
        before = sandbox.stats().count()
        done = project.ran(*DCCD, "backfill", *where)
        assert done.returncode == 0, done.stderr
        left = 2_000_000 - rows[-1]
        assert sandbox.stats().count() - before <= -(-left // 1_000) + 10  # the borders among the ids
        day = partition_span(TRADES.grain, DAY)
        assert stored(project, TRADES).equals(sandbox.market.truth_trades("binance", TRADES.symbol, day))


class TradeStops(Stops):
    """Terminates runs of one day of trades."""

    def launched(self) -> str:
        return launched(self.web, TRADES, DAY, DAY)
