import json
import os
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.stream.api import StreamPlan
from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.cli.instance import open_instance
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.tags import STREAM
from tests.dccd_pipeline.cli.terminal import BTC_HOURS, CONFIG, STREAMS, dccd, refused, said
from tests.dccd_pipeline.held import HOURS, TRADES
from tests.dccd_pipeline.streamed import health

pytestmark = pytest.mark.usefixtures("project")


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
    [line] = said(told).splitlines()
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
    assert shown.count("times of Europe/Paris") == 3  # datasets, streams, runs
    assert "2026-07-01T14:00:00+02:00" in shown


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
    assert len(LakeStore(project / "lake").datasets()) == 2
    asked = sandboxed.stats().count()
    again = dccd("collect", "binance", "BTC/USDT")
    assert again.exit_code == 0, again.output
    assert sandboxed.stats().count() <= asked + 1  # the open year, of which an hour may have ended
    with open_instance() as instance:
        assert all(run.tags["dccd/catch_up"] == "true" for run in instance.get_runs())


def test_d3_the_status_names_what_vanished(project: Path, sandboxed: RunningSandbox) -> None:
    assert dccd("collect").exit_code == 0
    assert json.loads(dccd("status", "--json").stdout)["gone"] == []
    Path(LakeStore(project / "lake").path(HOURS, "2024")).unlink()
    line = (
        "binance/ohlc/BTC-USDT/1h: gone: 2024, the files vanished; ticks leave them alone"
        " -> `dccd backfill binance BTC/USDT --data-type ohlc --span 1h` restores them"
    )
    assert json.loads(dccd("status", "--json").stdout)["gone"] == [line]
    assert line in dccd("status").stdout
    assert dccd("backfill", *BTC_HOURS).exit_code == 0
    assert json.loads(dccd("status", "--json").stdout)["gone"] == []
