"""Symbols that go and exchanges that close: what was theirs stays, and nobody else is held up."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, ZERO, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.ratelimit.limiter import RateLimiters
from dccd_core.quality.holes import AFTER_END
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.assets.checks import INTACT, UP_TO_DATE
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.build import build_definitions, silent
from dccd_pipeline.cli.backfill import backfill, keys_of
from dccd_pipeline.cli.main import main
from dccd_pipeline.config.capabilities import present
from dccd_pipeline.config.read import parse_settings, settings_of
from dccd_pipeline.config.settings import Origin, Settings
from dccd_pipeline.ticks.due import find
from tests.e2e.project import ranged

BTC, OLD = (Dataset("binance", Symbol(base, "USDT"), DataType.OHLC, HOUR) for base in ("BTC", "OLD"))
pytestmark = pytest.mark.e2e
JOB = "binance_ohlc_1h"
LAST_DAY = "2024-06-30"
END = parse_time("2024-07-01")
UNKNOWN = '{"code":-1121,"msg":"Invalid symbol."}'
GONE = Fault(kind=FaultKind.STATUS, symbol="OLDUSDT", status=400, body=UNKNOWN)
SAID = "[binance /api/v3/klines OLD/USDT] HTTP 400: -1121 Invalid symbol."
BITMEX_BARS = Dataset("bitmex", Symbol("BTC", "USD", "BTC"), DataType.OHLC, HOUR)
BITMEX_MINUTES = replace(BITMEX_BARS, span=Us(5 * MINUTE))
BITMEX_TRADES = Dataset("bitmex", BITMEX_BARS.symbol, DataType.TRADES)
CLOSED = parse_time("2026-09-23T04:00")


def roomy(exchange: Exchange, *arguments: Any, **options: Any) -> RateLimiters:
    """Make the budgets of an exchange that allows ten thousand times as much."""
    limits = tuple(replace(limit, amount=10_000 * limit.amount) for limit in exchange.limits)
    return RateLimiters(replace(exchange, limits=limits), *arguments, **options)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    density = [(symbol, 1_000) for symbol in ("BTC/USDT", "OLD/USDT", "BTC/USD:BTC")]
    with running_sandbox(symbols=["OLD/USDT"], trades_per_day=dict(density)) as running:
        yield running


@pytest.fixture
def sandbox(running: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("dccd_core.net.http.RateLimiters", roomy)
    running.reset()
    return running


class Desk:
    """An instance, a lake, and the job of two symbols; what is known of one of them can be told later."""

    def __init__(self, instance: dg.DagsterInstance, store: Path, sandbox: RunningSandbox) -> None:
        self.instance = instance
        self.sandbox = sandbox
        self.lake = LakeStore(store)
        self._store = store
        self.tell()

    def tell(self, **life: str) -> None:
        """Write in the configuration what OLD/USDT lives through."""
        own = {"rest_url": self.sandbox.rest_url("binance"), "symbols": {"OLD/USDT": life}}
        entry = {
            "exchange": "binance",
            "symbols": ["BTC/USDT", "OLD/USDT"],
            "data_type": "ohlc",
            "span": "1h",
            "start": "2024-01-01",
        }
        raw = {"store": str(self._store), "exchanges": {"binance": own}, "collect": [entry]}
        self.settings = settings_of(raw)
        self.definitions = build_definitions(self.settings)

    def run(self, first: str, last: str, *, only: Dataset | None = None) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(JOB).execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(only.parts)] if only else None,
            tags=ranged(first, last),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def tick(self) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(f"{JOB}_tick").execute_in_process(
            instance=self.instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def due(self, at: str) -> dict[Dataset, list[str]]:
        """Return what a tick asks for at a moment."""
        (entry,) = self.settings.collect
        found = find(entry, self.lake, self.instance, parse_time(at)).due
        return {dataset: keys for dataset, keys in found.items() if keys}

    def warnings(self, result: dg.ExecuteInProcessResult) -> list[str]:
        logs = self.instance.all_logs(result.run_id)
        return [entry.user_message for entry in logs if entry.level == logging.WARNING]

    def rows(self, dataset: Dataset) -> pl.DataFrame:
        return self.lake.scan(dataset).collect()

    def conditions(self, dataset: Dataset) -> dict[str, Condition]:
        states = self.lake.states(dataset)
        return {key: condition_of(dataset, key, state) for key, state in states.items()}

    def truth(self, dataset: Dataset, start: str, end: str) -> pl.DataFrame:
        span = TimeRange(parse_time(start), parse_time(end))
        return self.sandbox.market.truth_bars("binance", dataset.symbol, HOUR, span)

    def last_asked(self) -> Us:
        """Return the last moment of OLD/USDT that bars were asked for."""
        asked = [dict(pairs) for _, pairs in self.sandbox.stats().requests]
        ends = [int(one["endTime"]) for one in asked if one.get("symbol") == "OLDUSDT" and "endTime" in one]
        return Us(max(ends) * MILLISECOND)


@pytest.fixture
def desk(sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Desk]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Desk(instance, tmp_path / "lake", sandbox)


def failure(result: dg.ExecuteInProcessResult) -> list[str]:
    (event,) = result.get_step_failure_events()
    assert event.step_failure_data.user_failure_data
    return str(event.step_failure_data.user_failure_data.description).splitlines()


def test_a_symbol_that_is_gone_holds_nobody_up(desk: Desk, sandbox: RunningSandbox) -> None:
    assert desk.run("2024", "2024").success
    sandbox.faults([GONE])
    result = desk.run("2024", "2025")
    assert result.success
    (warning,) = desk.warnings(result)
    assert warning == (
        f"binance/ohlc/OLD-USDT/1h 2025: {SAID} -> it was delisted or renamed:"
        " set exchanges.binance.symbols.OLD/USDT: {delisted: its last day}, or remove it"
    )
    assert desk.rows(BTC).equals(desk.truth(BTC, "2024-01-01", "2026-01-01"))
    assert desk.rows(OLD).equals(desk.truth(OLD, "2024-01-01", "2025-01-01"))
    events = {(e.asset_key, e.partition) for e in result.get_asset_materialization_events()}
    assert (dg.AssetKey(BTC.parts), "2025") in events
    assert (dg.AssetKey(OLD.parts), "2025") not in events
    checks = result.get_asset_check_evaluations()
    assert {check.asset_key for check in checks} == {dg.AssetKey(one.parts) for one in (BTC, OLD)}
    failed = {(check.asset_key, check.check_name): check for check in checks if not check.passed}
    late = failed.pop((dg.AssetKey(OLD.parts), UP_TO_DATE))
    assert late.severity is dg.AssetCheckSeverity.WARN
    assert str(late.metadata["found"].value).startswith(f"- behind since 2025-01-01T00:00:00Z: {SAID}")
    assert set(failed) <= {(dg.AssetKey(BTC.parts), UP_TO_DATE)}


def test_what_a_run_wrote_is_not_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """7146ed2: each partition was read a second time by its checks."""
    read, chunks = list[str](), LakeStore.chunks

    def noted(lake: LakeStore, dataset: Dataset, key: str) -> Iterator[pl.DataFrame]:
        read.append(f"{dataset} {key}")
        return chunks(lake, dataset, key)

    monkeypatch.setattr(LakeStore, "chunks", noted)
    result = desk.run("2024", "2024")
    assert read == []
    intact = [check for check in result.get_asset_check_evaluations() if check.check_name == INTACT]
    assert {check.asset_key for check in intact} == {dg.AssetKey(one.parts) for one in (BTC, OLD)}
    for check in intact:
        assert check.passed
        assert check.metadata["partitions_read"].value == 1


def test_who_asks_for_nothing_but_a_gone_symbol_is_told(desk: Desk, sandbox: RunningSandbox) -> None:
    assert desk.run("2024", "2024").success
    sandbox.faults([GONE])
    result = desk.run("2025", "2025", only=OLD)
    assert not result.success
    assert failure(result)[1].startswith(
        f"binance/ohlc/OLD-USDT/1h 2025: {SAID} -> it was delisted or renamed"
    )
    assert desk.tick().success


def test_a_symbol_that_was_never_there_fails_by_name(desk: Desk, sandbox: RunningSandbox) -> None:
    sandbox.faults([GONE])
    result = desk.run("2024", "2024")
    assert not result.success
    hint = "Binance does not list this symbol; see `dccd symbols binance`"
    assert failure(result) == [
        "1 of 2 datasets failed",
        f"binance/ohlc/OLD-USDT/1h 2024: {SAID} -> {hint}",
    ]
    assert desk.warnings(result) == []
    assert desk.rows(BTC).equals(desk.truth(BTC, "2024-01-01", "2025-01-01"))
    assert desk.conditions(OLD) == {}


def test_what_it_is_called_now_is_told(desk: Desk, sandbox: RunningSandbox) -> None:
    desk.tell(renamed_to="NEW/USDT")
    sandbox.faults([GONE])
    never_there = desk.run("2024", "2024")
    assert failure(never_there)[1].endswith(f"{SAID} -> it is called NEW/USDT now")

    sandbox.faults([])
    assert desk.run("2024", "2024").success
    sandbox.faults([GONE])
    gone = desk.run("2025", "2025")
    assert gone.success
    assert desk.warnings(gone) == [f"binance/ohlc/OLD-USDT/1h 2025: {SAID} -> it is called NEW/USDT now"]


def test_after_its_last_day_nothing_is_asked_and_nothing_is_missing(desk: Desk) -> None:
    desk.tell(delisted=LAST_DAY)
    assert desk.due("2025-03-01T00:00") == {BTC: ["2024", "2025"], OLD: ["2024"]}
    assert desk.tick().success
    assert desk.conditions(OLD) == {"2024": Condition.AVAILABLE}
    assert desk.rows(OLD).equals(desk.truth(OLD, "2024-01-01", "2024-07-01"))
    state = desk.lake.state(OLD, "2024")
    assert state
    assert [(hole.span.start, hole.proof) for hole in state.ledger.holes] == [(END, AFTER_END)]
    assert desk.last_asked() < END
    until = pl.col("ts") < datetime(2026, 1, 1, tzinfo=UTC)
    assert desk.rows(BTC).filter(until).equals(desk.truth(BTC, "2024-01-01", "2026-01-01"))

    assert desk.due("2026-03-01T00:00") == {BTC: ["2026"]}
    assert desk.run("2024", "2025").success  # by hand, all of it
    assert desk.last_asked() < END
    assert set(desk.conditions(OLD).values()) == {Condition.AVAILABLE}
    assert desk.rows(OLD).equals(desk.truth(OLD, "2024-01-01", "2024-07-01"))


def test_a_last_day_that_is_told_later_ends_the_matter(desk: Desk, sandbox: RunningSandbox) -> None:
    sandbox.clock(Us(END + HOUR))
    assert desk.run("2024", "2024").success
    before = desk.rows(OLD)
    sandbox.faults([GONE])
    sandbox.clock(None)
    desk.tell(delisted=LAST_DAY)
    assert desk.due("2024-12-31T00:00") == {BTC: ["2024"], OLD: ["2024"]}
    assert desk.tick().success
    assert desk.conditions(OLD) == {"2024": Condition.AVAILABLE}
    assert desk.rows(OLD).equals(before)
    assert OLD not in desk.due("2025-01-01T00:00")


def test_a_schedule_tries_yesterday_where_nobody_knows_how_far_back_it_goes(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    trades = Dataset("bybit", Symbol("ETH", "USDT"), DataType.TRADES)
    own = {"bybit": {"rest_url": sandbox.rest_url("bybit")}}
    entry = {"exchange": "bybit", "symbols": ["ETH/USDT"], "data_type": "trades", "start": "recent"}
    settings = settings_of({"store": str(tmp_path), "exchanges": own, "collect": [entry]})
    made = build_definitions(settings)
    days = [partition_key(trades.grain, Us(present() - back)) for back in (DAY, ZERO)]
    refusal = f"{days[0]} cannot be had: Bybit serves the last 60 rows"
    with dg.DagsterInstance.ephemeral() as instance:
        for scheduled in (True, False):
            job = made.resolve_job_def("bybit_trades_tick" if scheduled else "bybit_trades")
            tags = {} if scheduled else ranged(*days)
            result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
            logs = instance.all_logs(result.run_id)
            told = {entry.level for entry in logs if refusal in entry.user_message}
            lost = days[0] not in LakeStore(tmp_path).states(
                trades
            )  # a quarter of an hour after midnight it is not
            assert result.success is (scheduled or not lost)
            assert (logging.WARNING in told) is (scheduled and lost)
            assert LakeStore(tmp_path).scan(trades).collect().height > 20  # today is filled all the same


def bitmex(store: Path, rest_url: str | None) -> Settings:
    entries = [
        {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "ohlc", "span": "1h"},
        {"exchange": "bitmex", "symbols": ["BTC/USD:BTC"], "data_type": "trades"},
    ]
    own = {"bitmex": {"rest_url": rest_url}} if rest_url else {}
    collect = [{**entry, "start": "2026-09-01"} for entry in entries] if rest_url else []
    return settings_of({"store": str(store), "exchanges": own, "collect": collect})


@pytest.fixture
def closed(sandbox: RunningSandbox, tmp_path: Path) -> Settings:
    return bitmex(tmp_path / "lake", sandbox.rest_url("bitmex"))


def test_of_an_exchange_that_closed_nothing_is_scheduled(closed: Settings) -> None:
    repository = build_definitions(closed).get_repository_def()
    scheduled = {schedule.name for schedule in repository.schedule_defs}
    assert scheduled == {"prune_runs_schedule", "lake_report_schedule", "reconcile_schedule"}
    assert {"bitmex_ohlc_1h", "bitmex_trades"} <= {job.name for job in repository.get_all_jobs()}
    for dataset, last in ((BITMEX_BARS, "2026"), (BITMEX_TRADES, "2026-09-23")):
        partitions = repository.asset_graph.get(dg.AssetKey(dataset.parts)).partitions_def
        assert partitions
        assert partitions.get_last_partition_key() == last


@pytest.mark.parametrize(
    ("dataset", "start", "keys"),
    [
        (BITMEX_BARS, "2026-01-01", ["2026"]),
        (BITMEX_MINUTES, "2026-09-01", ["2026-09"]),
        (BITMEX_TRADES, "2026-09-22", ["2026-09-22", "2026-09-23"]),
    ],
    ids=str,
)
def test_its_past_is_complete_up_to_its_last_moment(
    closed: Settings, sandbox: RunningSandbox, dataset: Dataset, start: str, keys: list[str]
) -> None:
    assert keys_of(closed, dataset, parse_time(start), None) == keys
    with dg.DagsterInstance.ephemeral() as instance:
        done = backfill(closed, dataset, keys, instance, silent)
        assert done.failure == ""
        assert done.conditions == {(dataset, key): Condition.AVAILABLE for key in keys}
        asked = sandbox.stats().count()
        assert backfill(closed, dataset, keys, instance, silent).complete
        assert sandbox.stats().count() == asked
    span = TimeRange(partition_span(dataset.grain, keys[0]).start, CLOSED)
    market = sandbox.market
    truth = (
        market.truth_bars("bitmex", dataset.symbol, dataset.span, span)
        if dataset.span
        else market.truth_trades("bitmex", dataset.symbol, span)
    )
    assert LakeStore(closed.store).scan(dataset).collect().equals(truth)


def test_without_another_server_it_is_refused_with_the_day_it_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = (
        "BitMEX closed on 2026-09-23 -> set exchanges.bitmex.rest_url to a server that still has its history"
    )
    with pytest.raises(ConfigError, match=r"BitMEX closed on 2026-09-23 -> set exchanges\.bitmex\.rest_url"):
        keys_of(bitmex(tmp_path, None), BITMEX_BARS, parse_time("2026-01-01"), None)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    question = ("bitmex", "BTC/USD:BTC", "--data-type", "ohlc", "--span", "1h", "--start", "2026-01-01")
    asked = CliRunner().invoke(main, ["backfill", *question], catch_exceptions=False)
    assert (asked.exit_code, asked.stderr) == (2, f"{line}\n")

    text = 'collect: [{exchange: bitmex, symbols: ["BTC/USD:BTC"], data_type: trades, start: 2026-09-01}]'
    with pytest.raises(ConfigError) as e:
        parse_settings(text, Origin("dccd.yaml", tmp_path))
    assert f"collect[0].exchange: {line}" in str(e.value)
    assert get("bitmex").closed == CLOSED
