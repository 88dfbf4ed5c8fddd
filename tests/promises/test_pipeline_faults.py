"""Faults that were found by trying dccd, as a user meets them: each test is named after its row.

Only what dccd had from the beginning is imported here, so that these can be run against older versions.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest
from click.testing import CliRunner, Result

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, TimeRange, Us, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.build import build_definitions, silent
from dccd_pipeline.cli.backfill import backfill
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.main import main
from dccd_pipeline.config.read import SettingsError, parse_settings, settings_of
from dccd_pipeline.config.settings import Alerts, Origin, Settings
from dccd_pipeline.runs.failures import failure_sensor
from tests.dccd_core.lake.samples import SPAN, live, record, trades
from tests.dccd_pipeline.held import HOURS, MINUTES, TRADES, bars, hold, whole

CONFIG = """
store: ./lake
exchanges: {binance: {rest_url: "%s", budget: 0.5}}
collect:
  - {exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1h, start: 2024-01-01}
"""
ENTRY = "collect: [{exchange: binance, symbols: [%s], data_type: %s, %s}]"
BTC_HOURS = ("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1h")
NOW = parse_time("2026-11-28")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of its own; the configuration's exchange is nowhere, the instance beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    (tmp_path / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def sandboxed(project: Path, sandbox: RunningSandbox) -> RunningSandbox:
    """The configuration reaches the sandbox, which has forgotten what it was asked."""
    (project / "dccd.yaml").write_text(CONFIG % sandbox.rest_url("binance"))
    sandbox.reset()
    return sandbox


@pytest.fixture
def lake(project: Path) -> LakeStore:
    """A lake with a year of hours and, with a gap, a month of minutes."""
    lake = LakeStore(project / "lake")
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    opens = list(whole(MINUTES, "2024-01"))
    hold(lake, MINUTES, "2024-01", bars(opens[:100] + opens[110:]))
    return lake


def dccd(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def refused(*arguments: str) -> str:
    """Return the one line that says why not."""
    result = dccd(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    return line


def said_before(result: Result) -> str:
    """Return what was said before the line that names configuration and store."""
    *before, where = result.stderr.splitlines(keepends=True)
    assert where.startswith("configuration: ")
    return "".join(before)


def stored(project: Path, dataset: Dataset) -> pl.DataFrame:
    return LakeStore(project / "lake").scan(dataset).collect()


def tick(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Do what the schedule does."""
    job = build_definitions(settings).resolve_job_def(settings.collect[0].tick)
    assert job.execute_in_process(instance=instance).success


def years(store: str, sandbox: RunningSandbox) -> Settings:
    entry = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}
    reach = {"binance": {"rest_url": sandbox.rest_url("binance")}}
    collect = [{**entry, "start": "2023-01-01"}]
    return settings_of({"store": store, "exchanges": reach, "collect": collect})


def test_d3_ticks_leave_a_partition_alone_whose_file_vanished(
    project: Path, sandboxed: RunningSandbox
) -> None:
    """0e899d4: once an event tells of the others only, the next tick downloads it again."""
    settings = years(str(project / "lake"), sandboxed)
    with open_instance() as instance:
        tick(settings, instance)
        lake = LakeStore(settings.store)
        assert list(lake.states(HOURS)) == ["2023", "2024", "2025", "2026"]
        for year in ("2024", "2025"):
            Path(lake.path(HOURS, year)).unlink()
        assert backfill(
            settings, HOURS, ["2025"], instance, silent
        ).complete  # after this the event forgets 2024
        for _ in range(3):
            tick(settings, instance)
            assert list(lake.states(HOURS)) == ["2023", "2025", "2026"]


def test_progress_belongs_to_a_store(project: Path, sandboxed: RunningSandbox) -> None:
    """0e899d4: the years that the old store finished are never asked for in the new one."""
    with open_instance() as instance:
        tick(years(str(project / "lake"), sandboxed), instance)
        other = years(str(project / "other"), sandboxed)
        tick(other, instance)
        assert list(LakeStore(other.store).states(HOURS)) == ["2023", "2024", "2025", "2026"]


@dg.op(config_schema={"line": str})
def fails(context: dg.OpExecutionContext) -> None:
    raise dg.Failure(context.op_config["line"])


@dg.job
def collecting() -> None:
    fails()


@dg.job
def other_job() -> None:
    fails()


def test_d2_a_tick_that_posts_for_one_job_and_not_for_another_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0e899d4 returns a SkipReason for the other: a CheckError, and every post again in 30 seconds."""
    posted = list[Any]()

    def post(url: str, **sent: Any) -> httpx.Response:
        posted.append(sent)
        return httpx.Response(200, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    sensor = failure_sensor(Alerts(webhook_url="https://example.org/hook", after_failures=3))
    with dg.DagsterInstance.ephemeral() as instance:
        for job in (collecting, collecting, collecting, other_job):
            run_config = {"ops": {"fails": {"config": {"line": "1 of 1 datasets failed"}}}}
            result = job.execute_in_process(run_config, instance=instance, raise_on_error=False)
            event = next(e for e in result.all_events if e.event_type is dg.DagsterEventType.RUN_FAILURE)
            context = dg.build_run_status_sensor_context("r", event, instance, result.dagster_run)
            assert sensor(context.for_run_failure()) is None
        assert len(posted) == 1


def test_d6_a_typo_does_not_take_the_code_location_away(project: Path) -> None:
    """0e899d4: the definitions raise, and all jobs, schedules and streams are gone."""
    with open_instance():
        assert "binance_ohlc_1h" in loaded()
        (project / "dccd.yaml").write_text("collect: [{exchange: binanc}]")
        assert "binance_ohlc_1h" in loaded()


def loaded() -> list[str]:
    """Load what workspace.yaml names anew; return its jobs."""
    sys.modules.pop("dccd_pipeline.definitions", None)
    definitions = importlib.import_module("dccd_pipeline.definitions").defs
    return [job.name for job in definitions.resolve_all_job_defs()]


@pytest.mark.parametrize(
    ("what", "dataset", "rows"),
    [
        (("--data-type", "ohlc", "--span", "1m"), MINUTES, 1),
        (("--data-type", "ohlc", "--span", "1h"), HOURS, 1),  # the one that holds the minute
        (("--data-type", "trades"), TRADES, None),
    ],
)
def test_h9_only_what_was_asked_for_is_fetched_and_judged(
    project: Path, sandboxed: RunningSandbox, what: tuple[str, ...], dataset: Dataset, rows: int | None
) -> None:
    """0e899d4 fetches the day, month or year, and where that is not over ends with 1 and pending."""
    window = ("--start", "2024-05-28T17:42", "--end", "2024-05-28T17:43")
    done = dccd("backfill", "binance", "BTC/USDT", *what, *window)
    assert done.exit_code == 0, done.output
    span = wider(TimeRange(parse_time("2024-05-28T17:42"), parse_time("2024-05-28T17:43")), dataset.span)
    market = sandboxed.market
    truth = (
        market.truth_bars("binance", dataset.symbol, dataset.span, span)
        if dataset.span
        else market.truth_trades("binance", dataset.symbol, span)
    )
    found = stored(project, dataset)
    assert found.equals(truth)
    assert rows is None or found.height == rows
    assert "available, 1 partition" in done.stdout
    assert sandboxed.stats().count() <= 6  # the listing, and the borders of ids
    asked = sandboxed.stats().count()
    assert dccd("backfill", "binance", "BTC/USDT", *what, *window).exit_code == 0
    assert sandboxed.stats().count() == asked


def test_h9_several_symbols_are_one_run_and_written_as_people_do(
    project: Path, sandboxed: RunningSandbox
) -> None:
    day = ("--data-type", "ohlc", "--span", "1h", "--start", "2024-01-01", "--end", "2024-01-02")
    done = dccd("backfill", "Binance", "btc/usdt", "ETH-USDT", *day, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["partitions"] == {
        "binance/ohlc/BTC-USDT/1h 2024": "available",
        "binance/ohlc/ETH-USDT/1h 2024": "available",
    }
    with open_instance() as instance:
        assert instance.get_runs_count() == 1
    assert {one.symbol.base for one in LakeStore(project / "lake").datasets()} == {"BTC", "ETH"}


def test_h9_without_a_start_the_configured_one_counts_and_only_the_rest_is_asked(
    project: Path, sandboxed: RunningSandbox
) -> None:
    span = ("--data-type", "ohlc", "--span", "1h")
    nothing = refused("backfill", "binance", "LTC/USDT", *span)
    assert nothing.startswith("nothing says since when binance/ohlc/LTC-USDT/1h is wanted: it is not in dccd")
    assert "--start origin" in nothing
    assert dccd("backfill", "binance", "BTC/USDT", *span, "--end", "2026-01").exit_code == 0
    rows = stored(project, HOURS)
    assert rows.height == 2 * 8_760 + 24
    asked = sandboxed.stats().count()
    assert dccd("backfill", "binance", "BTC/USDT", *span, "--end", "2026-01-02").exit_code == 0
    assert asked < sandboxed.stats().count() <= asked + 2  # the new year and its listing


def test_d7_live_rows_are_read_and_counted(project: Path) -> None:
    """0e899d4: "the lake holds nothing of binance/trades/BTC-USDT"."""
    lake, at = LakeStore(project / "lake"), SPAN.start
    record(lake, live(trades((n * SECOND, str(n), 1.0) for n in range(3))))
    result = dccd("read", "binance", "BTC/USDT", "--data-type", "trades")
    assert result.exit_code == 0, result.output
    assert "shape: (3, 6)" in result.stdout
    (held,) = json.loads(dccd("inventory", "--json").stdout)
    assert (held["dataset"], held["rows"], held["live_rows"]) == (str(TRADES), 3, 3)
    assert (held["first"], held["last"]) == (at, at + 2 * SECOND)
    assert "recorded, in no partition yet" in dccd("inventory").stdout


def test_d15_what_cannot_be_written_or_is_not_there_is_said_in_a_line(lake: LakeStore, project: Path) -> None:
    """0e899d4: a traceback; an empty table and exit code 0."""
    assert refused("read", *BTC_HOURS, "-o", "nodir/a.csv") == (
        "cannot write nodir/a.csv: there is no folder nodir -> make it first"
    )
    nothing = dccd("read", *BTC_HOURS, "--start", "2031", "--end", "2032", "-o", "a.csv")
    assert nothing.exit_code == 1
    assert said_before(nothing) == (
        "no rows of binance/ohlc/BTC-USDT/1h in this time"
        " -> it has some from 2024-01-01T00:00:00Z to 2024-12-31T23:00:00Z\n"
    )
    assert not (project / "a.csv").exists()
    for written in ("btc/usdt", "BTC-USDT", "btc-usdt"):
        assert dccd("read", "Binance", written, *BTC_HOURS[2:], "--end", "2024-01-02").exit_code == 0


def test_d15_who_only_looks_makes_nothing_and_says_where_he_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0e899d4: "0 datasets", and a new folder .dagster."""
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    for command, code in (("inventory", 0), ("status", 1)):  # nothing was ever collected here
        said = dccd(command)
        assert said.exit_code == code, said.output
        assert list(empty.iterdir()) == []
        where = f"configuration: embedded defaults; store: {empty}/data, which does not exist yet\n"
        assert said.stderr == where
    assert list(empty.iterdir()) == []


def test_d12_every_degraded_says_why_and_coverage_is_proven_time(lake: LakeStore, project: Path) -> None:
    """0e899d4: a coverage of 1 beside ten missing bars, and no word why."""
    year = (CONFIG % "http://127.0.0.1:9").replace("start: 2024-01-01", "start: 2024-01-01, end: 2025-01-01")
    (project / "dccd.yaml").write_text(year)
    hours, minutes = json.loads(dccd("inventory", "--json").stdout)
    assert hours["coverage"] == 1
    assert minutes["coverage"] == pytest.approx(1 - 10 / 44_640)
    assert (hours["why"], minutes["why"]) == ("", "2024-01: 1 gap, 10 missing")
    table = dccd("inventory").stdout
    assert "99.9%" in table
    assert "100.0%" in table


def test_d9_a_wrong_word_on_the_command_line_is_answered(lake: LakeStore) -> None:
    said = dccd("read", "binance", "BTC/USDT", "--data-type", "candles", "--span", "1h")
    assert said.exit_code == 2
    assert "unknown data type 'candles' -> did you mean ohlc?" in said.stderr
    perp = refused("backfill", "binance", "BTC/USDT:perp", "--data-type", "trades", "--start", "7d")
    assert "BTC/USDT:USDT for the perpetual" in perp


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY % ("BTC/USDT:perp", "trades", ""), "BTC/USDT:USDT for the perpetual"),
        (ENTRY % ("BTC/USDT:banana", "trades", ""), "'BTC/USDT:banana' is no market"),
        (
            ENTRY % ("BTC/USDT:quarter", "trades", ""),
            "the currency it is settled in -> write BTC/USDT for spot",
        ),
        (
            ENTRY % ("'BTC/*'", "trades", ""),
            "written one by one -> list them; `dccd symbols binance 'BTC/*'`",
        ),
        (ENTRY % ("NO", "trades", ""), "YAML reads this symbol as true or false -> put it into quotes"),
        (ENTRY % ("BTC/USDT", "candles", ""), "unknown data type 'candles' -> did you mean ohlc?"),
        (ENTRY % ("BTC/USDT", "trades", "start: last"), "'last' is a word of dccd 3 -> write the first day"),
        (ENTRY % ("BTC/USDT", "trades", "start: origin"), "'origin' is a word of dccd 3 -> leave start out"),
        (ENTRY % ("BTC/USDT", "ohlc", "timeframe: 1m"), "timeframe: unknown key -> did you mean span?"),
        ("exchanges: {binance: {websocket_url: x}}", "websocket_url: unknown key -> did you mean ws_url?"),
        ("collect:\n - exchange: binance\n   cron: */5 * * * *", "-> put into quotes what begins with *"),
        (
            "exchanges: {binance: {symbols: {BTC/USTD: {listed: 2020-01-01}}}}\n"
            + ENTRY % ("BTC/USDT", "trades", ""),
            "exchanges.binance.symbols.BTC/USTD is of no entry -> did you mean BTC/USDT?",
        ),
    ],
)
def test_d9_a_wrong_word_is_answered_with_the_right_one(text: str, said: str) -> None:
    """0e899d4 accepts some of these, and of others says what does not help."""
    with pytest.raises(SettingsError) as e:
        parse_settings(text, Origin("dccd.yaml", Path()))
    assert said in str(e.value)
    assert len(e.value.lines) == 1


@pytest.mark.parametrize(
    "tags",
    [
        {"dagster/asset_partition_range_start": "2010-01", "dagster/asset_partition_range_end": "2010-03"},
        {"dagster/asset_partition_range_start": "2010-01", "dagster/asset_partition_range_end": "2024-03"},
        {"dagster/partition": "2010-01"},
    ],
    ids=lambda tags: " ".join(tags.values()),
)
def test_d11_a_range_before_the_start_is_refused_in_a_line(project: Path, tags: dict[str, str]) -> None:
    """0e899d4: "a defect of dccd, please report it"."""
    entry = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1m"}
    settings = settings_of({"store": str(project / "lake"), "collect": [entry]})
    job = build_definitions(settings).resolve_job_def("binance_ohlc_1m")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data
    said = str(failure.step_failure_data.user_failure_data.description)
    assert said.startswith("binance_ohlc_1m has partitions from 2017-07 to 20")
    assert said.endswith("not 2010-01 -> let it start earlier in dccd.yaml, or use `dccd backfill --start`")


def wider(span: TimeRange, bar: Us | None) -> TimeRange:
    """Return the whole bars that lie in ``span`` in part."""
    return TimeRange(Us(span.start // bar * bar), Us(-(-span.end // bar) * bar)) if bar else span
