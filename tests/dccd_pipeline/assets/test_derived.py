"""Bars built from trades, as Dagster sees them; how they are built is shown in tests/dccd_core/fetch."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.dataset import Dataset, partition_key, partition_keys, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, iso, parse_time, us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_core.net.ratelimit.limiter import RateLimiters
from dccd_core.quality.holes import BEFORE_LISTING, NoCheck
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.assets.checks import INTACT, UP_TO_DATE
from dccd_pipeline.assets.equal import CHECK
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.assets.spec import column_schema
from dccd_pipeline.build import build_definitions, silent
from dccd_pipeline.cli.backfill import backfill, keys_of, orders_of, run_order
from dccd_pipeline.cli.collect import chosen_entries
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.due import find
from tests.e2e.project import Project, ranged

KRAKEN = Dataset("kraken", Symbol("BTC", "USD"), DataType.OHLC, MINUTE)
BINANCE = Dataset("binance", Symbol("BTC", "USDT"), DataType.OHLC, MINUTE)
LISTED = "2024-03-30"
DAYS = [LISTED, "2024-03-31"]
MONTH = "2024-03"
SHARED = ("ts", "open", "high", "low", "close", "volume", "trades")
"""What is exact at Kraken too, which tells the quote volume by way of a rounded average price."""


def trades_of(bars: Dataset) -> Dataset:
    return Dataset(bars.exchange, bars.symbol, DataType.TRADES)


def asset(dataset: Dataset) -> dg.AssetKey:
    return dg.AssetKey(dataset.parts)


class Hasty(SystemClock):
    """Does not wait between attempts."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def roomy(exchange: Exchange, *arguments: Any, **options: Any) -> RateLimiters:
    """Make the budgets of an exchange that allows ten thousand times as much."""
    limits = tuple(replace(limit, amount=10_000 * limit.amount) for limit in exchange.limits)
    return RateLimiters(replace(exchange, limits=limits), *arguments, **options)


def configuration(store: str, urls: dict[str, str], start: str, listed: str | None) -> dict[str, Any]:
    """Collect the trades of both exchanges, and build bars of them."""
    exchanges: dict[str, Any] = {name: {"rest_url": url} for name, url in urls.items()}
    collect: list[dict[str, Any]] = []
    for bars in (KRAKEN, BINANCE):
        if listed:
            exchanges[bars.exchange]["symbols"] = {str(bars.symbol): {"listed": listed}}
        trades = {"exchange": bars.exchange, "symbols": [str(bars.symbol)], "data_type": "trades"}
        derived = {**trades, "data_type": "ohlc", "span": "1m", "derive_from": "trades", "every": "5m"}
        collect += [{**trades, "start": start}, {**derived, "start": start}]
    return {"store": store, "exchanges": exchanges, "collect": collect}


def failures_of(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return why a run failed."""
    return [event.step_failure_data.error_display_string for event in result.get_step_failure_events()]


class Desk:
    """An instance, a lake, and the jobs of the trades and of the bars of them."""

    def __init__(self, instance: dg.DagsterInstance, raw: dict[str, Any]) -> None:
        self.instance = instance
        self.settings = settings_of(raw)
        self.lake = LakeStore(self.settings.store)
        self.definitions = build_definitions(self.settings)

    def run(self, dataset: Dataset, *keys: str, **tags: str) -> dg.ExecuteInProcessResult:
        span = f"_{dataset.parts[-1]}" if dataset.span else ""
        job = self.definitions.resolve_job_def(f"{dataset.exchange}_{dataset.data_type}{span}")
        result = self.executed(job, {**ranged(keys[0], keys[-1]), **tags})
        assert result.success
        return result

    def executed(self, job: dg.JobDefinition, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        return job.execute_in_process(
            instance=self.instance, tags=tags, run_config=quiet, raise_on_error=False
        )

    def due(self, bars: Dataset, at: str) -> list[str]:
        """Return the partitions that a tick of the bars asks for at a moment."""
        [entry] = (one for one in self.settings.collect if bars in one.datasets)
        return find(entry, self.lake, self.instance, parse_time(at)).due[bars]

    def tick(self, bars: Dataset) -> list[dg.AssetMaterialization | dg.AssetObservation]:
        """Run a tick of the bars; return what it tells of partitions."""
        job = self.definitions.resolve_job_def(f"{bars.exchange}_ohlc_1m_tick")
        result = self.executed(job, {})
        assert result.success, failures_of(result)
        return self.told(result, bars)

    def told(
        self, result: dg.ExecuteInProcessResult, bars: Dataset
    ) -> list[dg.AssetMaterialization | dg.AssetObservation]:
        """Return what a run tells of partitions."""
        records = [
            *self.instance.fetch_materializations(asset(bars), limit=100).records,
            *self.instance.fetch_observations(asset(bars), limit=100).records,
        ]
        own = (record for record in records if record.run_id == result.run_id)
        told = [record.asset_materialization or record.asset_observation for record in own]
        return [one for one in told if one]

    def rows(self, dataset: Dataset) -> pl.DataFrame:
        return self.lake.scan(dataset).collect()

    def condition(self, dataset: Dataset, key: str) -> Condition:
        return condition_of(dataset, key, self.lake.state(dataset, key))


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox(trades_per_day={"BTC/USD": 2_000, "BTC/USDT": 2_000}) as running:
        yield running


@pytest.fixture
def sandbox(running: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("dccd_core.net.http.RateLimiters", roomy)
    monkeypatch.setattr("dccd_pipeline.resources.SystemClock", Hasty)
    running.reset()
    return running


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def raw(sandbox: RunningSandbox, tmp_path: Path) -> dict[str, Any]:
    """Configure symbols that were listed two days before a month ends: so its bars are soon complete."""
    urls = {name: sandbox.rest_url(name) for name in ("kraken", "binance")}
    return configuration(str(tmp_path / "lake"), urls, "2024-03-01", LISTED)


@pytest.fixture
def desk(instance: dg.DagsterInstance, raw: dict[str, Any]) -> Desk:
    return Desk(instance, raw)


def expected(sandbox: RunningSandbox, bars: Dataset, *days: str) -> pl.DataFrame:
    """Return the venue's own bars of these days, from the first trade in them on."""
    span = TimeRange(partition_span(trades_of(bars).grain, days[0]).start, day_end(days[-1]))
    first = sandbox.market.truth_trades(bars.exchange, bars.symbol, span)["ts"][0]
    bar = bars.span or MINUTE
    truth = sandbox.market.truth_bars(bars.exchange, bars.symbol, bar, span)
    return truth.filter(pl.col("ts") + pl.duration(microseconds=bar) > first).select(SHARED)


def day_end(key: str) -> Us:
    return Us(parse_time(key) + DAY)


def verdict(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """Return what the comparison with the venue said."""
    (found,) = [e for e in result.get_asset_check_evaluations() if e.check_name == CHECK]
    return found


def said(evaluation: dg.AssetCheckEvaluation) -> str:
    return str(evaluation.metadata["found"].value)


def read_again(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return of how many partitions the checks of what is stored saw the rows."""
    checks = [e for e in result.get_asset_check_evaluations() if e.check_name == INTACT]
    return {str(e.metadata["partitions_read"].value) for e in checks}


def test_bars_are_downstream_of_the_trades_of_their_months(desk: Desk) -> None:
    graph = desk.definitions.get_repository_def().asset_graph
    trades = trades_of(KRAKEN)
    assert graph.get(asset(KRAKEN)).parent_keys == {asset(trades)}
    assert graph.get(asset(trades)).child_keys == {asset(KRAKEN)}
    months, days = graph.get(asset(KRAKEN)).partitions_def, graph.get(asset(trades)).partitions_def
    assert months
    assert days
    mapping = graph.get_partition_mapping(asset(KRAKEN), asset(trades))
    for key in (MONTH, "2024-04"):
        subset = months.subset_with_partition_keys([key])
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, months, days)
        wanted = partition_keys(trades.grain, partition_span(KRAKEN.grain, key))
        assert sorted(found.partitions_subset.get_partition_keys()) == list(wanted)


def test_what_a_run_stored_is_described_in_the_instance(tmp_path: Path, raw: dict[str, Any]) -> None:
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        desk = Desk(instance, raw)
        for day in DAYS:  # the days of one run end in any order
            desk.run(trades_of(BINANCE), day)
        desk.run(BINANCE, MONTH)
        for dataset, key in ((trades_of(BINANCE), DAYS[1]), (BINANCE, MONTH)):
            event = instance.get_latest_materialization_event(asset(dataset))
            assert event is not None
            told = event.asset_materialization
            assert told is not None
            assert told.partition == key
            stored, whole = desk.lake.scan(dataset).collect(), partition_span(dataset.grain, key)
            held = desk.lake.scan(dataset, whole).collect()
            said = {name: value.value for name, value in told.metadata.items()}
            assert said["dagster/row_count"] == stored.height
            assert said["dagster/partition_row_count"] == held.height
            assert str(said["dagster/uri"]).removeprefix("file://") == desk.lake.path(dataset, key)
            assert said["dagster/column_schema"] == column_schema(dataset.data_type)
            rows = told.metadata["last_rows"]
            assert isinstance(rows, dg.TableMetadataValue)
            assert [row.data["ts"] for row in rows.records] == [iso(us(at)) for at in held["ts"][-10:]]
            assert ("dagster/column_lineage" in said) is (dataset == BINANCE)


def test_a_month_in_whose_middle_the_trades_begin_has_the_others_upstream(
    instance: dg.DagsterInstance, raw: dict[str, Any]
) -> None:
    late = configuration(raw["store"], {"kraken": "http://k", "binance": "http://b"}, "2024-03-30", None)
    graph = Desk(instance, late).definitions.get_repository_def().asset_graph
    months, days = (graph.get(asset(one)).partitions_def for one in (KRAKEN, trades_of(KRAKEN)))
    assert months
    assert days
    mapping = graph.get_partition_mapping(asset(KRAKEN), asset(trades_of(KRAKEN)))
    found = mapping.get_upstream_mapped_partitions_result_for_partitions(
        months.subset_with_partition_keys([MONTH]), months, days
    )
    assert list(found.partitions_subset.get_partition_keys()) == DAYS
    assert not found.required_but_nonexistent_subset


@pytest.mark.parametrize("bars", [KRAKEN, BINANCE], ids=str)
def test_bars_built_from_trades_are_those_of_the_venue(
    desk: Desk, sandbox: RunningSandbox, bars: Dataset
) -> None:
    desk.run(trades_of(bars), *DAYS)
    asked = sandbox.stats().count()
    result = desk.run(bars, MONTH)
    assert sandbox.stats().count() == asked + 1  # for the comparison
    assert desk.rows(bars).select(SHARED).equals(expected(sandbox, bars, *DAYS))
    assert desk.condition(bars, MONTH) is Condition.AVAILABLE
    assert read_again(result) == {"1"}
    failed = {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}
    assert failed == {UP_TO_DATE}, "that was two days, long ago"
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == asset(bars)
    state = desk.lake.state(bars, MONTH)
    assert state
    assert [hole.proof for hole in state.ledger.holes][:1] == [BEFORE_LISTING]
    assert state.ledger.requests == 0

    assert read_again(desk.run(bars, MONTH)) == {"0"}  # there was nothing to build


def test_the_newest_bars_equal_those_that_kraken_still_shows(
    instance: dg.DagsterInstance, raw: dict[str, Any]
) -> None:
    days = [partition_key(trades_of(KRAKEN).grain, at) for at in (Us(present() - DAY), present())]
    desk = Desk(instance, configuration(raw["store"], urls_of(raw), days[0], None))
    desk.run(trades_of(KRAKEN), *days)
    found = verdict(desk.run(KRAKEN, days[0][:7], days[1][:7]))
    assert found.passed
    open_month = desk.rows(KRAKEN).filter(pl.col("ts").dt.strftime("%Y-%m") == days[1][:7])
    assert said(found) == f"{min(500, open_month.height)} bars compared, 0 differ"


def urls_of(raw: dict[str, Any]) -> dict[str, str]:
    return {name: one["rest_url"] for name, one in raw["exchanges"].items()}


def test_a_wrong_bar_fails_the_check_and_is_named(desk: Desk) -> None:
    desk.run(trades_of(BINANCE), *DAYS)
    found = verdict(desk.run(BINANCE, MONTH))
    assert found.passed
    assert said(found) == "500 bars compared, 0 differ"

    wrong = desk.rows(BINANCE).tail(1).with_columns(close=pl.col("close") + 0.01, high=pl.col("high") + 0.01)
    with desk.lake.draft(BINANCE, MONTH) as draft:
        draft.append(wrong)
        draft.commit([], NoCheck)
    found = verdict(desk.run(BINANCE, MONTH))
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert said(found) == "500 bars compared, 1 differ"
    [line] = str(found.metadata["bars"].value).splitlines()
    assert line.startswith(f"- {iso(Us(day_end(DAYS[-1]) - MINUTE))}: ")
    assert " was " in line

    again = verdict(only_the_check(desk))  # as the button of the check does
    assert not again.passed
    assert said(again) == "500 bars compared, 1 differ"


def only_the_check(desk: Desk) -> dg.ExecuteInProcessResult:
    chosen = dg.AssetSelection.checks(dg.AssetCheckKey(asset(BINANCE), CHECK))
    jobs = dg.Definitions(jobs=[dg.define_asset_job("only_the_check", selection=chosen)])
    definitions = dg.Definitions.merge(desk.definitions, jobs)
    result = desk.executed(definitions.resolve_job_def("only_the_check"), {})
    assert result.success
    assert not result.get_asset_materialization_events()
    return result


def test_bars_are_built_without_a_network_and_nobody_confirms_them(
    desk: Desk, sandbox: RunningSandbox, instance: dg.DagsterInstance, raw: dict[str, Any]
) -> None:
    desk.run(trades_of(BINANCE), *DAYS)
    nowhere = dict.fromkeys(urls_of(raw), "http://127.0.0.1:9")
    alone = Desk(instance, configuration(raw["store"], nowhere, "2024-03-01", LISTED))
    result = alone.run(BINANCE, MONTH)
    assert alone.rows(BINANCE).select(SHARED).equals(expected(sandbox, BINANCE, *DAYS))
    assert alone.condition(BINANCE, MONTH) is Condition.AVAILABLE
    found = verdict(result)
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert said(found).startswith("could not be compared: [binance /api/v3/klines BTC/USDT] ConnectError")


def test_a_span_that_the_venue_has_not_is_not_compared(
    instance: dg.DagsterInstance, raw: dict[str, Any]
) -> None:
    raw["collect"][1]["span"] = "10m"
    graph = Desk(instance, raw).definitions.get_repository_def().asset_graph
    with_check = {key.asset_key for key in graph.asset_check_keys if key.name == CHECK}
    assert with_check == {asset(BINANCE)}


def test_the_schedule_builds_what_new_trades_allow(
    raw: dict[str, Any], sandbox: RunningSandbox, tmp_path: Path
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:  # a tick takes no other
        check_schedule(Desk(instance, raw), sandbox)


def check_schedule(desk: Desk, sandbox: RunningSandbox) -> None:
    assert desk.due(KRAKEN, "2024-03-30T12:00") == [MONTH]
    [early] = desk.tick(KRAKEN)
    assert isinstance(early, dg.AssetObservation)
    assert early.partition == MONTH
    assert desk.rows(KRAKEN).is_empty()  # all that is known: it was not listed before

    for day, known in zip(DAYS, (Condition.PENDING, Condition.AVAILABLE), strict=True):
        desk.run(trades_of(KRAKEN), day)
        told = desk.tick(KRAKEN)
        whole = known is Condition.AVAILABLE
        assert [(type(one), one.partition) for one in told] == [(dg.AssetMaterialization, MONTH)] * whole
        assert desk.condition(KRAKEN, MONTH) is known
        assert not desk.tick(KRAKEN)  # there are no trades that it does not know
    assert desk.rows(KRAKEN).select(SHARED).equals(expected(sandbox, KRAKEN, *DAYS))
    assert desk.due(KRAKEN, "2024-04-01T00:05") == ["2024-04"]


def test_bars_end_with_the_life_of_their_symbol(
    instance: dg.DagsterInstance, raw: dict[str, Any], sandbox: RunningSandbox
) -> None:
    raw["exchanges"]["kraken"]["symbols"] = {"BTC/USD": {"listed": LISTED, "delisted": LISTED}}
    desk = Desk(instance, raw)
    desk.run(trades_of(KRAKEN), LISTED)
    desk.run(KRAKEN, MONTH)
    assert desk.condition(KRAKEN, MONTH) is Condition.AVAILABLE
    assert desk.rows(KRAKEN).select(SHARED).equals(expected(sandbox, KRAKEN, LISTED))


def test_bars_are_not_built_after_the_end_of_their_entry(
    instance: dg.DagsterInstance, raw: dict[str, Any], sandbox: RunningSandbox
) -> None:
    """0e899d4 knows no end; until now it was read, and the days after it were built all the same."""
    (built,) = (one for one in raw["collect"] if one["exchange"] == "kraken" and "derive_from" in one)
    desk = Desk(instance, raw)
    desk.run(trades_of(KRAKEN), *DAYS)
    built["end"] = DAYS[1]
    desk = Desk(instance, raw)
    desk.run(KRAKEN, MONTH)
    assert desk.rows(KRAKEN).select(SHARED).equals(expected(sandbox, KRAKEN, DAYS[0]))


def test_the_command_builds_bars_as_the_entry_says(desk: Desk, sandbox: RunningSandbox) -> None:
    start, end = (parse_time(day) for day in (DAYS[0], "2024-04-01"))
    for bars, keys in ((trades_of(KRAKEN), DAYS), (KRAKEN, [MONTH])):
        assert keys_of(desk.settings, bars, start, end) == keys
        done = backfill(desk.settings, bars, keys, desk.instance, silent)
        assert done.complete
    assert desk.rows(KRAKEN).select(SHARED).equals(expected(sandbox, KRAKEN, *DAYS))
    assert done.job == "kraken_ohlc_1m"


HOURS, DAILY = (replace(KRAKEN, span=span) for span in (HOUR, DAY))
YEAR = "2024"


def chained(raw: dict[str, Any]) -> dict[str, Any]:
    """Build hours of the minutes, and days of the hours; the entries stand in the wrong order."""
    bars = {"exchange": "kraken", "symbols": ["BTC/USD"], "data_type": "ohlc"}
    days, hours = {**bars, "span": "1d", "derive_from": "1h"}, {**bars, "span": "1h", "derive_from": "1m"}
    return {**raw, "collect": [days, hours, *raw["collect"]]}


def test_bars_of_bars_are_downstream_of_those(instance: dg.DagsterInstance, raw: dict[str, Any]) -> None:
    desk = Desk(instance, chained(raw))
    graph = desk.definitions.get_repository_def().asset_graph
    for dataset, source in ((DAILY, HOURS), (HOURS, KRAKEN), (KRAKEN, trades_of(KRAKEN))):
        assert graph.get(asset(dataset)).parent_keys == {asset(source)}
        metadata = graph.get(asset(dataset)).metadata
        columns = metadata["dagster/column_lineage"].value.deps_by_column
        assert {dep.asset_key for deps in columns.values() for dep in deps} == {asset(source)}
    assert columns["volume"][0].column_name == "amount"
    hourly = graph.get(asset(HOURS))
    columns = hourly.metadata["dagster/column_lineage"].value.deps_by_column
    assert {name: [dep.column_name for dep in deps] for name, deps in columns.items()} == {
        name: [name] for name in KRAKEN.data_type.table.schema
    }
    assert hourly.description == "Kraken BTC/USD ohlc, built from its 1m bars."
    assert hourly.tags["dccd/market_type"] == "spot"
    assert [str(entry.start) for entry in desk.settings.collect][:2] == ["2024-03-01"] * 2


def test_bars_of_bars_are_those_of_the_venue_and_come_after_what_they_are_built_of(
    raw: dict[str, Any], sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """In a chain, as `dccd collect` runs it; what is to come is built when it is there, and nothing twice."""
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        desk = Desk(instance, chained(raw))
        desk.run(trades_of(KRAKEN), DAYS[0])
        entries = [entry for entry, _ in chosen_entries(desk.settings, ["kraken"])]
        assert [entry.name for entry in entries] == [
            *("kraken_trades", "kraken_ohlc_1m", "kraken_ohlc_1h", "kraken_ohlc_1d")
        ]
        for day in DAYS:
            desk.run(trades_of(KRAKEN), day)
            asked = sandbox.stats().count()
            desk.run(KRAKEN, MONTH)
            for dataset in (HOURS, DAILY):
                (told,) = desk.told(desk.run(dataset, YEAR), dataset)
                assert (type(told), told.partition) == (dg.AssetObservation, YEAR)  # more is to come of it
                assert "dagster/column_lineage" in told.metadata
                truth = expected(sandbox, dataset, *DAYS[: DAYS.index(day) + 1])
                assert desk.rows(dataset).select(SHARED).equals(truth)
                state = desk.lake.state(dataset, YEAR)
                assert state
                assert (state.ledger.gaps(), state.ledger.requests) == ((), 0)
                assert state.ledger.covered() == [TimeRange(parse_time("2024-01-01"), day_end(day))]
            assert sandbox.stats().count() == asked + 3  # for the comparisons
        assert read_again(desk.run(DAILY, YEAR)) == {"0"}


def test_the_command_builds_bars_of_bars(
    instance: dg.DagsterInstance, raw: dict[str, Any], sandbox: RunningSandbox
) -> None:
    desk = Desk(instance, chained(raw))
    start, end = (parse_time(day) for day in (DAYS[0], "2024-04-01"))
    for bars in (trades_of(KRAKEN), KRAKEN, HOURS, DAILY):
        (order,) = orders_of(desk.settings, [bars], start, end)
        done = run_order(desk.settings, order, instance, silent)
        assert done.complete, done.failure
    assert done.job == "kraken_ohlc_1d"
    assert desk.rows(DAILY).select(SHARED).equals(expected(sandbox, DAILY, *DAYS))


def test_the_command_builds_bars_from_before_the_entry_begins(
    instance: dg.DagsterInstance, raw: dict[str, Any], sandbox: RunningSandbox
) -> None:
    desk = Desk(instance, configuration(raw["store"], urls_of(raw), "2024-04-01", LISTED))
    none = backfill(desk.settings, KRAKEN, [MONTH], instance, silent)
    assert none.succeeded
    assert not none.complete
    assert backfill(desk.settings, trades_of(KRAKEN), DAYS, instance, silent).complete
    assert backfill(desk.settings, KRAKEN, [MONTH], instance, silent).complete
    assert desk.rows(KRAKEN).select(SHARED).equals(expected(sandbox, KRAKEN, *DAYS))


@pytest.mark.e2e
def test_job_execute_fills_the_trades_and_then_the_bars(
    raw: dict[str, Any], running: RunningSandbox, tmp_path: Path
) -> None:
    project = Project.make(tmp_path / "project", "http://127.0.0.1:9")
    (project.folder / "dccd.yaml").write_text(yaml.safe_dump({**raw, "store": "./data"}))
    for job, tags in (("binance_trades", ranged(*DAYS)), ("binance_ohlc_1m", {"dagster/partition": MONTH})):
        done = project.job(job, tags)
        assert done.returncode == 0, done.stderr
    rows = project.lake.scan(BINANCE).collect()
    assert rows.select(SHARED).equals(expected(running, BINANCE, *DAYS))
    with project.instance() as instance:
        assert instance.get_materialized_partitions(asset(BINANCE)) == {MONTH}
        assert instance.get_materialized_partitions(asset(trades_of(BINANCE))) == set(DAYS)
