import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import dagster as dg
import jsonschema
import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import HOUR, parse_time
from dccd_core.exchanges import NAMES
from dccd_core.lake.lake import Lake
from dccd_core.net.clock import SystemClock
from dccd_core.stream.api import StreamPlan
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.cli.capability_table import matrix_markdown
from dccd_pipeline.cli.doctor import examinable
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.cli.main import main
from dccd_pipeline.config.read import embedded_settings, parse_settings
from dccd_pipeline.config.settings import Origin
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.tags import STREAM
from tests.dccd_pipeline.held import HOURS, MINUTES, TRADES, bars, hold, whole
from tests.dccd_pipeline.streamed import FakeRecorder, health

CONFIG = """
store: ./lake
exchanges: {binance: {rest_url: "%s", budget: 0.5}}
collect:
  - {exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1h, start: 2024-01-01}
"""
BTC_HOURS = ("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1h")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of its own with a configuration whose exchange is nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def lake(project: Path) -> Lake:
    """A lake with a year of hours and, with a gap, a month of minutes."""
    lake = Lake(project / "lake")
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
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_a_sound_configuration_is_counted(project: Path) -> None:
    result = dccd("config", "check")
    assert result.exit_code == 0
    assert result.stdout == "dccd.yaml: 1 entries, 2 datasets, all can be collected\n"


def test_each_mistake_in_the_configuration_is_a_line(project: Path) -> None:
    (project / "dccd.yaml").write_text("stor: x\ncollect: [{exchange: binanc}]")
    result = dccd("config", "check")
    assert result.exit_code == 2
    assert {line.partition(": ")[0] for line in result.stderr.splitlines()} == {
        "stor",
        "collect[0].exchange",
        "collect[0].data_type",
        "collect[0].symbols",
    }
    assert dccd("inventory").exit_code == 2


def test_the_schema_is_one_that_the_configuration_passes(project: Path) -> None:
    schema = json.loads(dccd("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    raw = yaml.safe_load((project / "dccd.yaml").read_text().replace("2024-01-01", "'2024-01-01'"))
    jsonschema.validate(raw, schema)


def test_what_exchanges_serve_is_a_table_or_json() -> None:
    table = dccd("exchanges").stdout
    assert all(word in table for word in ("binance", "ohlc", "trades", "orderbook", "full history"))
    rows = json.loads(dccd("exchanges", "kraken", "--json").stdout)
    assert [row["data_type"] for row in rows] == ["ohlc", "trades", "orderbook"]
    one = dccd("exchanges", "kraken").stdout
    assert "What Kraken serves" in one
    assert "1 per 1s a market (ohlc)" in one
    assert rows[0]["docs"] in one
    assert dccd("exchanges", "--markdown").stdout == matrix_markdown()
    assert refused("exchanges", "binanc") == "unknown exchange 'binanc' -> did you mean 'binance'?"


def test_the_inventory_is_a_table_or_json(lake: Lake) -> None:
    table = dccd("inventory").stdout
    assert "2 datasets" in table
    lines = {line.split("│")[1].strip(): line for line in table.splitlines() if "binance" in line}
    assert "available" in lines["binance/ohlc/BTC-USDT/1h"]
    assert "8,784" in lines["binance/ohlc/BTC-USDT/1h"]
    assert "degraded" in lines["binance/ohlc/BTC-USDT/1m"]

    hours, minutes = json.loads(dccd("inventory", "--json").stdout)
    assert (hours["dataset"], hours["condition"], hours["rows"]) == (str(HOURS), "available", 8_784)
    assert (minutes["dataset"], minutes["condition"], minutes["gaps"]) == (str(MINUTES), "degraded", 1)


def test_an_empty_lake_is_listed_too() -> None:
    assert "0 datasets" in dccd("inventory").stdout
    assert json.loads(dccd("inventory", "--json").stdout) == []


def test_rows_are_shown_as_a_table(lake: Lake) -> None:
    result = dccd("read", *BTC_HOURS, "--start", "2024-03-01", "--end", "2024-03-01T05:00Z")
    assert result.exit_code == 0
    assert "shape: (5, 8)" in result.stdout
    assert "2024-03-01 04:00:00 UTC" in result.stdout


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "rows.parquet": pl.read_parquet,
    "rows.json": pl.read_ndjson,
    "rows.csv": pl.read_csv,
}


@pytest.mark.parametrize("name", READERS)
def test_rows_are_written_to_a_file(lake: Lake, project: Path, name: str) -> None:
    span = ("--start", "2024-03-01", "--end", "2024-03-02")
    assert dccd("read", *BTC_HOURS, *span, "-o", name).exit_code == 0
    rows = READERS[name](project / name)
    assert rows.height == 24
    assert rows.columns == ["ts", "open", "high", "low", "close", "volume", "quote_volume", "trades"]
    if name.endswith(".parquet"):
        assert rows["ts"].to_physical().diff().unique().drop_nulls().to_list() == [HOUR]


def test_what_cannot_be_read_is_refused(lake: Lake) -> None:
    assert refused("read", *BTC_HOURS, "-o", "rows.xlsx") == (
        "cannot write rows.xlsx -> end it in .csv, .parquet, .json"
    )
    nothing = refused("read", "binance", "ETH/USDT", "--data-type", "trades")
    assert nothing.startswith("the lake holds nothing of binance/trades/ETH-USDT")


def test_a_damaged_file_is_an_error_of_the_data_not_of_the_question(lake: Lake) -> None:
    Path(lake.path(HOURS, "2024")).write_bytes(b"PAR1 not at all PAR1")
    result = dccd("read", *BTC_HOURS)
    assert result.exit_code == 1
    assert lake.path(HOURS, "2024") in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("binance", "BTC/USDT", "--data-type", "ohlc"), "--span goes with --data-type ohlc"),
        (("binance", "BTC/USDT", "--data-type", "trades", "--span", "1m"), "--span goes with --data-type"),
        (("binance", "BTCUSDT", "--data-type", "trades"), "not in unified notation"),
        (("binanc", "BTC/USDT", "--data-type", "trades"), "did you mean 'binance'?"),
        (("binance", "BTC/USDT", "--data-type", "ohlc", "--span", "7m"), "nearest is 5m"),
        (("binance", "BTC/USD:BTC", "--data-type", "trades"), "binance has no inverse markets"),
        (("kraken", "BTC/USD", "--data-type", "ohlc", "--span", "1m"), "Kraken serves the last 720 rows"),
        (("okx", "BTC/USDT", "--data-type", "trades"), "OKX serves the last 90 days of okx/trades/BTC-USDT"),
        (("bitmex", "BTC/USD:BTC", "--data-type", "trades"), "set exchanges.bitmex.rest_url"),
        (("binance", "BTC/USDT", "--data-type", "orderbook"), "shows only the present"),
    ],
    ids=" ".join,
)
def test_an_impossible_question_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    span = ("--start", "2024-01-01", "--end", "2024-02-01", "--dry-run")
    assert said in refused("backfill", *arguments, *span)


def test_a_time_that_is_none_is_explained() -> None:
    result = dccd("backfill", *BTC_HOURS, "--start", "lately")
    assert result.exit_code == 2
    assert "'lately' is no moment -> write 2024-01-31, 2024-01, 2024-01-31T12:00, yesterday" in result.stderr


def test_a_dry_run_says_what_it_would_cost(project: Path, sandbox: RunningSandbox) -> None:
    (project / "dccd.yaml").write_text(CONFIG % sandbox.rest_url("binance"))
    question = (*BTC_HOURS, "--start", "2023-05-01", "--end", "2025-01-01", "--dry-run")
    told = json.loads(dccd("backfill", *question, "--json").stdout)
    assert (told["partitions"], told["rows"]) == (2, 14_664)  # eight months of 2023 are asked for
    question = (*BTC_HOURS, "--start", "2024-01-01", "--end", "2025-01-01", "--dry-run")
    told = json.loads(dccd("backfill", *question, "--json").stdout)
    assert told == {
        "partitions": 1,
        "requests": 9,
        "weight": 18,
        "rows": 8_784,
        "bytes": 351_360,
        "minutes": 18 / 3_000,
    }
    said = dccd("backfill", *question).stdout
    assert said == ("1 partition: 9 requests, at the budget about 0.0 minutes, 8,784 rows, about 351.4 kB\n")
    trades = ("binance", "BTC/USDT", "--data-type", "trades", "--start", "2024-01-01", "--end", "2024-01-02")
    assert json.loads(dccd("backfill", *trades, "--dry-run", "--json").stdout)["rows"] == 6_000
    assert not (project / "lake").exists()


def findings(exit_code: int, *names: str) -> dict[str, set[bool]]:
    """Return for each exchange in the order of the answer which marks it got."""
    result = dccd("doctor", *names, "--json")
    assert result.exit_code == exit_code, result.output
    marks: dict[str, set[bool]] = {}
    for one in json.loads(result.stdout):
        assert one.keys() == {"exchange", "subject", "ok", "said", "hint"}
        marks.setdefault(one["exchange"], set()).add(one["ok"])
    return marks


def test_the_doctor_asks_the_configured_exchanges_or_those_named(
    project: Path, sandbox: RunningSandbox
) -> None:
    urls = ", ".join(f'{name}: {{rest_url: "{sandbox.rest_url(name)}"}}' for name in ("kraken", "binance"))
    (project / "dccd.yaml").write_text(f"exchanges: {{{urls}}}")
    assert findings(0) == {"binance": {True}, "kraken": {True}}
    assert findings(0, "kraken") == {"kraken": {True}}
    said = dccd("doctor", "kraken")
    assert said.exit_code == 0
    assert said.stdout.startswith("ok   kraken connection: answered in ")
    assert refused("doctor", "krakn") == "unknown exchange 'krakn' -> did you mean 'kraken'?"
    assert refused("doctor", "bitmex").startswith("BitMEX closed on 2026-09-23 -> set exchanges.bitmex")


def test_the_doctor_says_what_is_not_well(project: Path) -> None:
    (project / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9")
    result = dccd("doctor")
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("FAIL binance connection: ")
    assert " -> " in line


def test_without_a_configuration_every_open_exchange_is_examined() -> None:
    assert examinable(embedded_settings()) == [name for name in NAMES if name != "bitmex"]
    assert examinable(parse_settings("", Origin("dccd.yaml", Path()))) == examinable(embedded_settings())
    some = "exchanges: {bitmex: {rest_url: http://h}, kraken: {budget: 0.5}}"
    assert examinable(parse_settings(some, Origin("dccd.yaml", Path()))) == ["kraken"]


STREAMS = "\nstream:\n  - {name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}\n"


@pytest.fixture
def own_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a stream, and an instance beside it."""
    monkeypatch.setenv("DAGSTER_HOME", "restored at the end")
    monkeypatch.delenv("DAGSTER_HOME")
    (project / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9" + STREAMS)
    return project


@pytest.mark.slow  # SQLite waits for half a minute
@pytest.mark.parametrize("command", [("status",), ("stream", "pause", "majors"), ("collect",)])
def test_a_storage_that_is_locked_is_said_in_one_line(own_home: Path, command: tuple[str, ...]) -> None:
    """It was a trace of SQLAlchemy's."""
    with open_instance() as instance:
        instance.get_runs()
    home = Path(os.environ["DAGSTER_HOME"])
    with ExitStack() as held:
        for name in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
            database = held.enter_context(closing(sqlite3.connect(home / name, isolation_level=None)))
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("BEGIN EXCLUSIVE")
        told = dccd(*command)
    assert told.exit_code == 1, told.output
    [line] = told.stderr.strip().splitlines()
    assert "database is locked -> " in line
    assert isinstance(told.exception, SystemExit)


def test_the_status_of_streams_and_runs(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(dccd("status", "--json").stdout)
    assert told["runs"] == []
    assert [(one["name"], one["state"]) for one in told["streams"]] == [("majors", "never started")]

    @dg.job(name="stream_majors")
    def streaming() -> None: ...

    with open_instance() as instance:
        run = instance.create_run_for_job(
            streaming, tags={STREAM: "majors"}, status=dg.DagsterRunStatus.STARTED
        )
        now = SystemClock().now()
        told_health = health(StreamPlan("majors", (TRADES,)), now)
        write_beat(instance, "majors", beat_of(run.run_id, "digest", now, told_health))
    (stream,) = json.loads(dccd("status", "--json").stdout)["streams"]
    assert (stream["state"], stream["run_id"]) == ("recording", run.run_id)
    (row,) = stream["beat"]["datasets"]
    assert (row["dataset"], row["last"], row["messages"]) == (str(TRADES), now, 7)
    for word in ("recording", "binance/trades/BTC-USDT", "stream_majors", "a user started it"):
        assert word in dccd("status").stdout

    (own_home / "dccd.yaml").write_text(
        CONFIG % "http://127.0.0.1:9" + STREAMS + "\ntimezone: Europe/Paris\n"
    )
    with open_instance() as instance:
        told_health = health(StreamPlan("majors", (TRADES,)), parse_time("2026-07-01T12:00:00"))
        write_beat(instance, "majors", beat_of(run.run_id, "digest", now, told_health))
    monkeypatch.setattr("dccd_pipeline.cli.render.OUT", Console(width=400))
    shown = dccd("status").stdout
    assert shown.count("times of Europe/Paris") == 2
    assert "2026-07-01T14:00:00+02:00" in shown


def test_a_stream_that_is_not_configured_is_refused(own_home: Path) -> None:
    result = dccd("stream", "minors")
    assert result.exit_code == 2
    assert result.stderr == "there is no stream minors -> configured: majors\n"


def test_a_stream_is_paused_and_goes_on(own_home: Path) -> None:
    words = ("majors", "btc/usdt", "trades")
    assert dccd("stream", "pause", *words).stdout == (
        "majors: BTC/USDT trades is paused, until dccd stream resume majors BTC/USDT trades\n"
    )
    assert json.loads(dccd("status", "--json").stdout)["streams"][0]["paused"] == ["BTC/USDT trades"]
    assert "paused by a user: BTC/USDT trades" in " ".join(dccd("status").stdout.split())
    assert dccd("stream", "resume", "majors").stdout == "majors: all of it goes on\n"
    assert json.loads(dccd("status", "--json").stdout)["streams"][0]["paused"] == []
    assert refused("stream", "pause", "major") == "there is no stream called major -> did you mean majors?"


def test_the_word_record_may_be_left_out(own_home: Path) -> None:
    for words in (("minors",), ("record", "minors"), ("--here", "minors")):
        assert refused("stream", *words) == "there is no stream minors -> configured: majors"
    helped = dccd("stream", "--help").stdout
    for word in ("[NAME...]", "pause", "resume"):
        assert word in helped


def test_a_stream_here_says_why_it_failed(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dccd_pipeline.cli.record.record_live", FakeRecorder(error=LakeError("disk full")))
    result = dccd("stream", "--here", "majors")
    assert result.exit_code == 1
    assert result.stderr.endswith("failed: disk full\n")


def test_the_check_counts_streams(own_home: Path) -> None:
    assert dccd("config", "check").stdout.splitlines()[-1] == "1 streams, 1 datasets, all can be recorded"


@pytest.fixture
def sandboxed(own_home: Path, sandbox: RunningSandbox) -> RunningSandbox:
    """The configuration reaches the sandbox, which has forgotten what it was asked."""
    (own_home / "dccd.yaml").write_text(CONFIG % sandbox.rest_url("binance"))
    sandbox.reset()
    return sandbox


def test_a_tick_by_hand_brings_everything_up_to_date(project: Path, sandboxed: RunningSandbox) -> None:
    assert "requests" in dccd("collect", "--dry-run").stdout
    assert not (project / "lake").exists()
    done = dccd("collect")
    assert done.exit_code == 0, done.output
    assert len(Lake(project / "lake").datasets()) == 2
    asked = sandboxed.stats().count()
    again = dccd("collect", "binance", "BTC/USDT")
    assert again.exit_code == 0, again.output
    assert sandboxed.stats().count() <= asked + 1  # the open year, of which an hour may have ended
    with open_instance() as instance:
        assert all(run.tags["dccd/catch_up"] == "true" for run in instance.get_runs())


def test_d3_the_status_names_what_vanished(project: Path, sandboxed: RunningSandbox) -> None:
    assert dccd("collect").exit_code == 0
    assert json.loads(dccd("status", "--json").stdout)["gone"] == []
    Path(Lake(project / "lake").path(HOURS, "2024")).unlink()
    line = (
        "binance/ohlc/BTC-USDT/1h: gone: 2024, the files vanished; ticks leave them alone"
        " -> `dccd backfill binance BTC/USDT --data-type ohlc --span 1h` restores them"
    )
    assert json.loads(dccd("status", "--json").stdout)["gone"] == [line]
    assert line in dccd("status").stdout
    assert dccd("backfill", *BTC_HOURS).exit_code == 0
    assert json.loads(dccd("status", "--json").stdout)["gone"] == []
