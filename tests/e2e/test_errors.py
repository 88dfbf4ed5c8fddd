import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, TimeRange, Us, parse_time
from dccd_core.lake.partition.ledger import Condition
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.assets.partitions import partitions_of
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.build import build_definitions
from tests.e2e.project import (
    BTC,
    BTC_HOURS,
    NEVER,
    YEAR,
    Project,
    asset,
    bars,
    materialised,
    months,
    pages,
    ranged,
    stored,
    truth,
)

pytestmark = pytest.mark.e2e
NOPE = Dataset("binance", Symbol("NOPE", "USDT"), DataType.OHLC, HOUR)
ETH_HOURS = Dataset("binance", Symbol("ETH", "USDT"), DataType.OHLC, HOUR)
UNLISTED = (
    "binance/ohlc/NOPE-USDT/1h 2024: [binance /api/v3/klines NOPE/USDT] HTTP 400: -1121 Invalid symbol."
    " -> Binance does not list this symbol; see `dccd symbols binance`"
)


def status(instance: dg.DagsterInstance, project: Project, dataset: Dataset, key: str) -> object:
    """Return what the UI shows of a partition."""
    partitions = partitions_of(dataset.grain, project.settings.collect[0].start)
    found = instance.get_status_by_partition(asset(dataset), [key], partitions)
    return found[key] if found else None


def test_an_unlisted_symbol_fails_and_its_neighbour_does_not(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT, NOPE/USDT", "2024-01-01", NEVER, span="1h")
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    done = project.job("binance_ohlc_1h", {"dagster/partition": "2024"})

    assert done.returncode == 1
    assert UNLISTED in done.stderr
    assert "1 of 2 datasets failed" in done.stderr
    assert stored(project, BTC_HOURS).equals(truth(sandbox, BTC_HOURS, YEAR))
    assert project.lake.datasets() == [BTC_HOURS]
    with project.instance() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert materialised(instance, BTC_HOURS) == {"2024"}
        assert materialised(instance, NOPE) == set()
        assert status(instance, project, BTC_HOURS, "2024") is dg.AssetPartitionStatus.MATERIALIZED
        assert status(instance, project, NOPE, "2024") is dg.AssetPartitionStatus.FAILED
        assert not instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)


def test_a_refusal_in_the_middle_stores_what_came_before_it(sandbox: RunningSandbox, tmp_path: Path) -> None:
    entry = bars("BTC/USDT", "2024-01-01", NEVER)
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    february = partition_span(BTC.grain, "2024-02")
    third = Us(february.start + 2_000 * MINUTE)
    page = str(third // MILLISECOND)  # a fault meets the requests that have its symbol as a parameter
    said = '{"code":-1102,"msg":"Mandatory parameter is malformed."}'
    sandbox.faults([Fault(kind=FaultKind.STATUS, path="klines", status=400, body=said, symbol=page)])
    done = project.job("binance_ohlc_1m", ranged("2024-01", "2024-03"))

    assert done.returncode == 1
    place = "binance/ohlc/BTC-USDT/1m 2024-02: [binance /api/v3/klines BTC/USDT]"
    assert f"{place} HTTP 400: -1102 Mandatory parameter is malformed." in done.stderr
    held = project.lake.states(BTC)
    assert condition_of(BTC, "2024-01", held["2024-01"]) is Condition.AVAILABLE
    assert condition_of(BTC, "2024-02", held["2024-02"]) is Condition.PENDING
    assert held["2024-02"].ledger.covered() == [TimeRange(february.start, third)]
    known = project.lake.scan(BTC, TimeRange(parse_time("2024-01-01"), february.end)).collect()
    assert known.equals(truth(sandbox, BTC, TimeRange(parse_time("2024-01-01"), third)))
    with project.instance() as instance:
        assert "2024-01" in materialised(instance, BTC)
        assert "2024-02" not in materialised(instance, BTC)
        assert status(instance, project, BTC, "2024-02") is dg.AssetPartitionStatus.FAILED

        sandbox.faults([])
        asked = sandbox.stats().count()
        done = project.job("binance_ohlc_1m", {"dagster/partition": "2024-02"})
        assert done.returncode == 0
        assert sandbox.stats().count() - asked == pages("2024-02") - 2
        assert status(instance, project, BTC, "2024-02") is dg.AssetPartitionStatus.MATERIALIZED
    known = project.lake.scan(BTC, months("2024-01", "2024-02")).collect()
    assert known.equals(truth(sandbox, BTC, months("2024-01", "2024-02")))


def test_the_command_says_by_its_exit_code_how_it_went(sandbox: RunningSandbox, tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), bars("BTC/USDT", "2024-01-01"))
    year = ("--start", "2024-01-01", "--end", "2025-01-01")

    impossible = project.dccd("backfill", "binance", "BTC/USDT", "--data-type", "ohlc", *year)
    assert impossible.returncode == 2
    assert impossible.stderr.splitlines() == [
        "--span goes with --data-type ohlc, and only with it -> for example --span 1m"
    ]

    failed = project.dccd("backfill", "binance", "NOPE/USDT", "--data-type", "ohlc", "--span", "1h", *year)
    assert failed.returncode == 1
    *told, where = failed.stderr.splitlines()
    assert told == ["1 of 1 datasets failed", UNLISTED]
    store = f"{project.folder}/data, which does not exist yet"
    assert where == f"configuration: {project.folder}/dccd.yaml; store: {store}"
    assert "missing, 1 partition: binance/ohlc/NOPE-USDT/1h 2024" in failed.stdout

    start, end = parse_time("2024-03-01T05:00"), parse_time("2024-03-01T08:00")
    sandbox.faults([Fault(kind=FaultKind.GAPS, path="klines", start=start, end=end)])
    degraded = project.dccd(
        "backfill", "binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1h", *year, "--json"
    )
    assert degraded.returncode == 1
    assert json.loads(degraded.stdout)["partitions"] == {"binance/ohlc/BTC-USDT/1h 2024": "degraded"}
    assert degraded.stderr == ""
    with project.instance() as instance:
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS", "FAILURE"]


def test_a_damaged_file_stops_its_dataset_and_no_other(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    entry = bars("BTC/USDT, ETH/USDT", "2024-01-01", NEVER, span="1h")
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    job = build_definitions(project.settings).resolve_job_def("binance_ohlc_1h")
    with project.instance() as instance:
        assert job.execute_in_process(instance=instance, partition_key="2024").success
        file = Path(project.lake.path(BTC_HOURS, "2024"))
        file.write_bytes(file.read_bytes()[:-100])
        result = job.execute_in_process(instance=instance, partition_key="2025", raise_on_error=False)
        assert not result.success
        assert materialised(instance, BTC_HOURS) == {"2024"}
        assert materialised(instance, ETH_HOURS) == {"2024", "2025"}
        (failure,) = result.get_step_failure_events()
        assert failure.step_failure_data.user_failure_data
        head, line = str(failure.step_failure_data.user_failure_data.description).splitlines()
        assert head == "1 of 2 datasets failed"
        assert line.startswith(f"binance/ohlc/BTC-USDT/1h as stored: {file}")


@pytest.mark.parametrize("broken", ["history.materialise", "run.judge"])
def test_a_defect_of_ours_is_called_one_and_not_tried_again(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(f"dccd_pipeline.assets.{broken}", stumble)
    entry = bars("BTC/USDT", "2024-01-01", NEVER, span="1h")
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry)
    job = build_definitions(project.settings).resolve_job_def("binance_ohlc_1h")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, partition_key="2024", raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data
    assert failure.step_failure_data.user_failure_data.description == (
        "a defect of dccd, please report it: ZeroDivisionError: unforeseen"
    )
    assert not [e for e in result.all_events if e.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY]


@contextmanager
def webhook() -> Generator[tuple[str, list[str]]]:
    """Run a webhook; give its address and the texts that it is sent."""
    texts: list[str] = []

    class Note(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            texts.append(body.decode())
            self.send_response(204)
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None: ...

    with HTTPServer(("127.0.0.1", 0), Note) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", texts
        finally:
            server.shutdown()
            thread.join()


def test_failures_in_a_row_are_told_to_the_webhook(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    with webhook() as (url, texts):
        entry = bars("BTC/USDT, NOPE/USDT", "2024-01-01", NEVER, span="1h")
        alerts = f'alerts: {{webhook_url: "{url}", after_failures: 2}}'
        project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), entry, more=alerts)
        definitions = build_definitions(project.settings)
        sensor = definitions.resolve_sensor_def("run_failures")

        with project.instance() as instance:

            def fill(*datasets: Dataset) -> dg.DagsterEvent | None:
                result = definitions.resolve_job_def("binance_ohlc_1h").execute_in_process(
                    instance=instance,
                    asset_selection=[asset(dataset) for dataset in datasets],
                    partition_key="2024",
                    raise_on_error=False,
                )
                if result.success:
                    return None
                event = next(e for e in result.all_events if e.is_failure and e.is_job_event)
                context = dg.build_run_status_sensor_context(sensor.name, event, instance, result.dagster_run)
                sensor(context.for_run_failure())
                return event

            assert fill(BTC_HOURS, NOPE)
            assert texts == []
            assert fill(NOPE)
            assert [text.splitlines()[1:] for text in texts] == [["1 of 1 datasets failed", UNLISTED]]
            assert texts[0].startswith("binance_ohlc_1h failed (run ")
            assert fill(BTC_HOURS) is None
            assert fill(NOPE)
            assert len(texts) == 1
