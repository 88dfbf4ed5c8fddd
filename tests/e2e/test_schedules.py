"""Ticks evaluated against a real instance on disk, and what they ask for executed."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.build import build_definitions
from dccd_pipeline.tags import CATCH_UP
from tests.e2e.project import (
    BTC_HOURS,
    RANGE,
    Project,
    asset,
    bars,
    materialised,
    ranged,
    stored,
    truth,
)

pytestmark = pytest.mark.e2e
ETH_HOURS = Dataset("binance", Symbol("ETH", "USDT"), DataType.OHLC, HOUR)
BOOKS = [Dataset("binance", Symbol(base, "USDT"), DataType.ORDERBOOK) for base in ("BTC", "ETH")]
JOB = "binance_ohlc_1h"
NOW = datetime.now(UTC)
YEARS = [str(year) for year in range(2024, NOW.year + 1)]
AT_ONCE = timedelta()
LATER = timedelta(minutes=16)


class Desk:
    """One project in this process: evaluate ticks, run what they ask for."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project = project
        self.instance = instance
        self._definitions = build_definitions(project.settings)

    def tick(self, after: timedelta = AT_ONCE, job: str = JOB) -> dg.RunRequest | str:
        """Return what a tick asks for that comes so much later, or why it asks for nothing."""
        schedule = self._definitions.resolve_schedule_def(f"{job}_schedule")
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.now(UTC) + after,
            repository_def=self._definitions.get_repository_def(),
        )
        told = schedule.evaluate_tick(context)
        if not told.run_requests:
            return told.skip_message or ""
        (request,) = told.run_requests
        return request

    def request(self, after: timedelta = AT_ONCE, job: str = JOB) -> dg.RunRequest:
        request = self.tick(after, job)
        assert isinstance(request, dg.RunRequest)
        return request

    def run(self, request: dg.RunRequest, job: str = JOB) -> dg.ExecuteInProcessResult:
        result = self._definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, asset_selection=list(request.asset_selection or ()), tags=request.tags
        )
        assert result.success
        return result

    def fill(self, *years: str) -> None:
        """Materialise as a user does, all of the job's assets."""
        self.run(dg.RunRequest(tags=ranged(years[0], years[-1]), asset_selection=[asset(BTC_HOURS)]))

    def started_run(self) -> dg.DagsterRun:
        """Make a run that is at work, as far as anybody can see."""
        job = self._definitions.resolve_job_def(JOB)
        return self.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)


@pytest.fixture
def desk(sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    entries = (
        bars("BTC/USDT, ETH/USDT", "2024-01-01", span="1h"),
        "{exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: orderbook, depth: 5}",
    )
    project = Project.make(tmp_path / "project", sandbox.rest_url("binance"), *entries)
    with project.instance() as instance:
        yield Desk(project, instance)


def keys(request: dg.RunRequest) -> tuple[str, str]:
    assert request.tags[CATCH_UP] == "true"
    return request.tags[RANGE[0]], request.tags[RANGE[1]]


def assets(request: dg.RunRequest) -> set[dg.AssetKey]:
    return set(request.asset_selection or ())


def events(desk: Desk, dataset: Dataset) -> Counter[str | None]:
    """Return how many materialisations each partition has."""
    records = desk.instance.fetch_materializations(asset(dataset), limit=100).records
    return Counter(record.partition_key for record in records)


def test_at_first_all_is_behind_then_only_the_open_partition(desk: Desk, sandbox: RunningSandbox) -> None:
    first = desk.request()
    assert keys(first) == (YEARS[0], YEARS[-1])
    assert assets(first) == {asset(BTC_HOURS), asset(ETH_HOURS)}
    desk.run(first)
    for dataset in (BTC_HOURS, ETH_HOURS):
        assert materialised(desk.instance, dataset) == set(YEARS)
        rows = stored(desk.project, dataset)
        until = Us(int(rows["ts"].to_physical()[-1]) + HOUR)
        assert rows.equals(truth(sandbox, dataset, TimeRange(parse_time("2024-01-01"), until)))

    asked = sandbox.stats().count()
    second = desk.request()
    assert keys(second) == (YEARS[-1], YEARS[-1])
    assert assets(second) == {asset(BTC_HOURS), asset(ETH_HOURS)}
    desk.run(second)
    assert sandbox.stats().count() - asked <= 2  # an hour may just have ended

    new_year = datetime(NOW.year + 1, 1, 1, 0, 5, tzinfo=UTC) - datetime.now(UTC)
    assert keys(desk.request(new_year)) == (YEARS[-1], str(NOW.year + 1))


def test_a_tick_asks_only_for_what_is_behind(desk: Desk) -> None:
    desk.fill("2024")
    request = desk.request()
    assert keys(request) == (YEARS[0], YEARS[-1])  # ETH is behind from the start on
    assert assets(request) == {asset(BTC_HOURS), asset(ETH_HOURS)}
    desk.run(request)
    assert events(desk, BTC_HOURS) == Counter(YEARS)  # nobody touched 2024 again

    desk.instance.wipe_assets([asset(BTC_HOURS)])
    desk.run(desk.request())
    assert events(desk, BTC_HOURS) == Counter(YEARS)  # the lake held it all, Dagster knows it again


def test_a_gap_is_left_alone_until_its_time_has_come(
    desk: Desk, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = TimeRange(parse_time("2025-03-01T05:00"), parse_time("2025-03-01T08:00"))
    hidden = Fault(kind=FaultKind.GAPS, path="klines", symbol="BTCUSDT", start=gap.start, end=gap.end)
    sandbox.faults([hidden])
    desk.run(desk.request())
    assert gaps(desk) == [gap]

    assert keys(desk.request()) == (YEARS[-1], YEARS[-1])
    later = desk.request(LATER)
    assert keys(later) == ("2025", YEARS[-1])
    asked = len(sandbox.stats().requests)
    desk.run(later)  # the run's own clock says that it is too early
    assert events(desk, BTC_HOURS)["2025"] == 1
    assert gap_requests(sandbox, gap, asked) == 0

    sandbox.faults([])
    sandbox.clock(Us(SystemClock().now() + ns_of(LATER)), frozen=False)
    monkeypatch.setattr("dccd_pipeline.resources.SystemClock", LateClock)
    desk.run(desk.request(LATER))
    assert gap_requests(sandbox, gap, asked) == 1
    assert events(desk, BTC_HOURS)["2025"] == 2
    assert events(desk, ETH_HOURS)["2025"] == 1
    assert gaps(desk) == []
    whole = TimeRange(parse_time("2025-01-01"), parse_time("2026-01-01"))
    rows = desk.project.lake.scan(BTC_HOURS, whole).collect()
    assert rows.equals(truth(sandbox, BTC_HOURS, whole))
    assert keys(desk.request(LATER)) == (YEARS[-1], YEARS[-1])


class LateClock(SystemClock):
    def now(self) -> Us:
        return Us(super().now() + ns_of(LATER))


def ns_of(delta: timedelta) -> Us:
    return Us(delta // timedelta(seconds=1) * SECOND)


def gaps(desk: Desk) -> list[TimeRange]:
    state = desk.project.lake.state(BTC_HOURS, "2025")
    assert state
    found = [gap.span for gap in state.ledger.gaps()]
    assert condition_of(BTC_HOURS, "2025", state) is (Condition.DEGRADED if found else Condition.AVAILABLE)
    return found


def gap_requests(sandbox: RunningSandbox, gap: TimeRange, after: int) -> int:
    """Count the requests since ``after`` that asked for exactly the gap."""
    start, end = f"{gap.start // MILLISECOND}", f"{gap.end // MILLISECOND - 1}"
    asked = [dict(pairs) for _, pairs in sandbox.stats().requests[after:]]
    return sum((one.get("startTime"), one.get("endTime")) == (start, end) for one in asked)


def test_a_run_that_has_not_ended_holds_the_next_back(desk: Desk) -> None:
    run = desk.started_run()
    assert desk.tick() == f"run {run.run_id} of this job has not ended"
    # its process was killed and nobody said so: that must not stop the collection for ever
    assert keys(desk.request(timedelta(hours=2))) == (YEARS[0], YEARS[-1])

    desk.instance.report_run_failed(run)
    assert keys(desk.request()) == (YEARS[0], YEARS[-1])


def test_of_an_order_book_only_the_present_is_asked_for(desk: Desk, sandbox: RunningSandbox) -> None:
    job = "binance_orderbook"
    for later in range(2):  # a spot book takes its time from the answer's date, in whole seconds
        sandbox.clock(Us(SystemClock().now() + later * SECOND), frozen=False)
        request = desk.request(job=job)
        assert keys(request) == (f"{datetime.now(UTC):%Y-%m-%d}",) * 2
        assert assets(request) == {asset(book) for book in BOOKS}
        desk.run(request, job)
    for book in BOOKS:
        rows = stored(desk.project, book)
        assert rows["ts"].n_unique() == 2
        assert rows.height == 2 * 2 * 5
        assert sum(events(desk, book).values()) == 2


def test_the_open_partition_goes_on_where_its_ledger_ends(desk: Desk, sandbox: RunningSandbox) -> None:
    start = parse_time(f"{NOW.year}-01-01")
    if SystemClock().now() - start < 4 * HOUR:
        pytest.skip("the year is too young: no hour of it was final at half its age")
    middle = Us(start + (SystemClock().now() - start) // 2)
    sandbox.clock(middle)  # for the venue it is still spring: nothing later is final
    desk.fill(YEARS[-1])
    first = bar_open(Us(middle - get("binance").finality_delay), HOUR)
    assert stored(desk.project, BTC_HOURS).equals(truth(sandbox, BTC_HOURS, TimeRange(start, first)))

    sandbox.clock(None)
    asked = len(sandbox.stats().requests)
    desk.fill(YEARS[-1])
    rows = stored(desk.project, BTC_HOURS)
    until = Us(int(rows["ts"].to_physical()[-1]) + HOUR)
    assert until > SystemClock().now() - HOUR - MINUTE
    assert rows.equals(truth(sandbox, BTC_HOURS, TimeRange(start, until)))
    new = [dict(pairs) for _, pairs in sandbox.stats().requests[asked:]]
    assert min(int(one["startTime"]) for one in new) == first // MILLISECOND
    assert len(new) == -(-(until - first) // (1_000 * HOUR))
