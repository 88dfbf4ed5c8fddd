"""Ticks evaluated against a real instance on disk, and what they ask for executed."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from msgspec.structs import replace

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
from dccd_pipeline.dagster_compat import SCHEDULE_NAME_TAG
from dccd_pipeline.ticks.due import find
from dccd_pipeline.ticks.memory import read_memory, write_memory
from tests.e2e.project import (
    BTC_HOURS,
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
Due = tuple[set[Dataset], str, str]
AT_ONCE = timedelta()
LATER = timedelta(minutes=16)


class Desk:
    """One project in this process: evaluate ticks, run what they ask for."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self.project = project
        self.instance = instance
        self._definitions = build_definitions(project.settings)

    def due(self, after: timedelta = AT_ONCE, job: str = JOB) -> Due:
        """Return what a tick asks for so much later: datasets, the first and the last partition."""
        (entry,) = (one for one in self.project.settings.collect if one.name == job)
        found = find(entry, self.project.lake, self.instance, Us(SystemClock().now() + us_of(after)))
        due = {dataset: keys for dataset, keys in found.due.items() if keys}
        wanted = sorted(key for keys in due.values() for key in keys)
        return set(due), wanted[0], wanted[-1]

    def skipped(self, after: timedelta = AT_ONCE) -> str:
        """Return why there is no tick so much later; empty when there is one."""
        schedule = self._definitions.resolve_schedule_def(f"{JOB}_schedule")
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.now(UTC) + after,
            repository_def=self._definitions.get_repository_def(),
        )
        told = schedule.evaluate_tick(context)
        assert not told.run_requests or schedule.job_name == f"{JOB}_tick"
        return told.skip_message or ""

    def tick(self, job: str = JOB) -> dg.ExecuteInProcessResult:
        """Run what a schedule starts."""
        made = self._definitions.resolve_job_def(f"{job}_tick")
        result = made.execute_in_process(instance=self.instance, tags={SCHEDULE_NAME_TAG: f"{job}_schedule"})
        assert result.success
        return result

    def fill(self, *years: str) -> None:
        """Materialise as a user does."""
        result = self._definitions.resolve_job_def(JOB).execute_in_process(
            instance=self.instance, asset_selection=[asset(BTC_HOURS)], tags=ranged(years[0], years[-1])
        )
        assert result.success

    def started_run(self) -> dg.DagsterRun:
        """Make a run that is at work, as far as anybody can see."""
        job = self._definitions.resolve_job_def(f"{JOB}_tick")
        return self.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=job.tags)


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


def events(desk: Desk, dataset: Dataset) -> Counter[str | None]:
    """Return how many materialisations each partition has."""
    records = desk.instance.fetch_materializations(asset(dataset), limit=100).records
    return Counter(record.partition_key for record in records)


def observed(desk: Desk, dataset: Dataset) -> Counter[str | None]:
    """Return how many observations each partition has."""
    records = desk.instance.fetch_observations(asset(dataset), limit=100).records
    return Counter(record.partition_key for record in records)


def test_at_first_all_is_behind_then_only_the_open_partition(desk: Desk, sandbox: RunningSandbox) -> None:
    both = {BTC_HOURS, ETH_HOURS}
    assert desk.due() == (both, YEARS[0], YEARS[-1])
    desk.tick()
    for dataset in both:
        assert materialised(desk.instance, dataset) == set(YEARS[:-1])  # green means complete
        assert observed(desk, dataset) == {YEARS[-1]: 1}
        rows = stored(desk.project, dataset)
        until = Us(int(rows["ts"].to_physical()[-1]) + HOUR)
        assert rows.equals(truth(sandbox, dataset, TimeRange(parse_time("2024-01-01"), until)))

    asked = sandbox.stats().count()
    assert desk.due() == (both, YEARS[-1], YEARS[-1])
    desk.tick()
    assert sandbox.stats().count() - asked <= 2  # an hour may just have ended

    new_year = datetime(NOW.year + 1, 1, 1, 0, 5, tzinfo=UTC) - datetime.now(UTC)
    assert desk.due(new_year) == (both, YEARS[-1], str(NOW.year + 1))


def test_a_tick_asks_only_for_what_is_behind(desk: Desk) -> None:
    desk.fill("2024")
    assert desk.due() == ({BTC_HOURS, ETH_HOURS}, YEARS[0], YEARS[-1])  # ETH is behind from the start on
    desk.tick()
    assert events(desk, BTC_HOURS) == Counter(YEARS[:-1])  # nobody touched 2024 again

    desk.instance.wipe_assets([asset(BTC_HOURS)])
    desk.tick()
    assert events(desk, BTC_HOURS) == Counter()
    store = desk.project.lake.identity()
    memory = read_memory(desk.instance, store, JOB)
    write_memory(desk.instance, store, JOB, replace(memory, table_at=0))  # an hour later
    desk.tick()
    assert events(desk, BTC_HOURS) == Counter(YEARS[:-1])  # the lake held it all, Dagster knows it again


def test_a_gap_is_left_alone_until_its_time_has_come(
    desk: Desk, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = TimeRange(parse_time("2025-03-01T05:00"), parse_time("2025-03-01T08:00"))
    hidden = Fault(kind=FaultKind.GAPS, path="klines", symbol="BTCUSDT", start=gap.start, end=gap.end)
    sandbox.faults([hidden])
    desk.tick()
    assert gaps(desk) == [gap]
    assert events(desk, BTC_HOURS)["2025"] == 0  # what has a gap is not green
    assert observed(desk, BTC_HOURS)["2025"] == 1

    both, open_one = {BTC_HOURS, ETH_HOURS}, (YEARS[-1], YEARS[-1])
    assert desk.due() == (both, *open_one)
    assert desk.due(LATER) == (both, "2025", YEARS[-1])
    asked = len(sandbox.stats().requests)
    desk.tick()  # it is too early
    assert gap_requests(sandbox, gap, asked) == 0

    sandbox.faults([])
    sandbox.clock(Us(SystemClock().now() + us_of(LATER)), frozen=False)
    monkeypatch.setattr("dccd_pipeline.resources.SystemClock", LateClock)
    monkeypatch.setattr("dccd_pipeline.ticks.run.SystemClock", LateClock)
    desk.tick()
    assert gap_requests(sandbox, gap, asked) == 1
    assert gaps(desk) == []
    assert events(desk, BTC_HOURS)["2025"] == 1
    assert events(desk, ETH_HOURS)["2025"] == 1
    whole = TimeRange(parse_time("2025-01-01"), parse_time("2026-01-01"))
    rows = desk.project.lake.scan(BTC_HOURS, whole).collect()
    assert rows.equals(truth(sandbox, BTC_HOURS, whole))
    assert desk.due(LATER) == (both, *open_one)


class LateClock(SystemClock):
    def now(self) -> Us:
        return Us(super().now() + us_of(LATER))


def us_of(delta: timedelta) -> Us:
    return Us(delta // timedelta(seconds=1) * SECOND)


def gaps(desk: Desk) -> list[TimeRange]:
    state = desk.project.lake.known(BTC_HOURS, "2025")
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
    assert desk.skipped() == f"run {run.run_id} of {JOB} has not ended"
    # its process was killed and nobody said so: that must not stop the collection for ever
    assert not desk.skipped(timedelta(hours=2))

    desk.instance.report_run_failed(run)
    assert not desk.skipped()


def test_of_an_order_book_only_the_present_is_asked_for(desk: Desk, sandbox: RunningSandbox) -> None:
    job = "binance_orderbook"
    for later in range(2):  # a spot book takes its time from the answer's date, in whole seconds
        sandbox.clock(Us(SystemClock().now() + later * SECOND), frozen=False)
        assert desk.due(job=job) == (set(BOOKS), *(f"{datetime.now(UTC):%Y-%m-%d}",) * 2)
        desk.tick(job)
    for book in BOOKS:
        rows = stored(desk.project, book)
        assert rows["ts"].n_unique() == 2
        assert rows.height == 2 * 2 * 5
        assert events(desk, book) == Counter()  # today is not over
        assert sum(observed(desk, book).values()) == 1  # of the first file


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
