"""Whether a lake is complete and right: what is wrong is named in a line, and what was mended is well."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from dccd_core.adapter.contract import Request
from dccd_core.bars.diff import Difference
from dccd_core.bars.differences import note_differences
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from dccd_core.net.ratelimit.limiter import RateLimiters
from dccd_core.stream.api import StreamPlan
from dccd_pipeline.answer.gather import Answer, answer
from dccd_pipeline.assets.remembered import remember_held, remember_store, write_findings
from dccd_pipeline.config.lastgood import Loaded
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.dagster_compat import SCHEDULER, InstigatorStatus
from dccd_pipeline.runs.outbox import Outbox
from dccd_pipeline.streams.heartbeat import beat_of, write_beat
from dccd_pipeline.tags import STREAM
from dccd_pipeline.ticks.memory import Memory, failed_again, write_memory
from tests.dccd_pipeline.held import HOURS, TRADES, bars, hold, whole
from tests.dccd_pipeline.streamed import health

NOW = parse_time("2024-03-01T12:30")
END = parse_time("2024-03-01T12:00")
"""Up to where bars are final."""
ETH = Dataset.parse("binance/ohlc/ETH-USDT/1h")


@dataclass
class World:
    """A configuration, a lake that is complete, and an instance of which a daemon takes care."""

    folder: Path
    instance: dg.DagsterInstance
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    mistake: str = ""
    unkept: str = ""
    beats: dict[str, SimpleNamespace] = field(default_factory=dict[str, SimpleNamespace])
    schedules: list[SimpleNamespace] = field(default_factory=list[SimpleNamespace])
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))

    def __post_init__(self) -> None:
        self.config = {
            "store": str(self.folder / "lake"),
            "collect": [
                {
                    "exchange": "binance",
                    "symbols": ["BTC/USDT"],
                    "data_type": "ohlc",
                    "span": "1h",
                    "start": "2024-01-01",
                    "every": "1h",
                    "name": "bars",
                }
            ],
        }

    @property
    def lake(self) -> LakeStore:
        return LakeStore(self.config["store"])

    def fill(self, dataset: Dataset = HOURS, *, skip: slice = slice(0, 0)) -> None:
        opens = [at for at in whole(dataset, "2024") if at < END]
        del opens[skip]
        hold(self.lake, dataset, "2024", bars(opens), until=END, at=NOW)

    def ask(self, digests: dict[str, str] | None = None) -> Answer:
        settings = settings_of(self.config)
        return answer(Loaded(settings, self.mistake, self.unkept), self.instance, digests or {}, self.clock)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        world = World(tmp_path, instance)
        monkeypatch.setattr(instance, "get_daemon_heartbeats", lambda: world.beats)

        def schedules() -> list[SimpleNamespace]:
            return world.schedules

        monkeypatch.setattr(instance, "all_instigator_state", schedules)
        beat(world, NOW)
        yield world


def beat(world: World, at: Us) -> None:
    """Let the daemon have given a sign of life."""
    world.beats[SCHEDULER] = SimpleNamespace(timestamp=at / SECOND)


def only(found: Answer) -> str:
    """Return the one thing that is wrong."""
    assert len(found.problems) == 1, found.problems
    assert not found.well
    assert found.verdict.startswith("not well: ")
    return found.problems[0]


def test_what_ended_long_ago_says_nothing_of_how_far_the_others_are_proven(world: World) -> None:
    """36c92f8: "17 datasets are complete, proven at least until 2019-10-01" of what is up to date."""
    until = parse_time("2024-02-01")
    old = {"end": "2024-02-01", "symbols": ["ETH/USDT"], "name": "old"}
    world.config["collect"].append(world.config["collect"][0] | old)
    world.fill()
    opens = [at for at in whole(ETH, "2024") if at < until]
    hold(world.lake, ETH, "2024", bars(opens), until=until, at=NOW)
    assert world.ask().verdict.endswith("2 datasets are complete, proven at least until 2024-03-01T12:00:00Z")


def test_what_is_complete_is_well_and_says_until_when(world: World) -> None:
    world.fill()
    found = world.ask()
    assert found.verdict == "all is well: 1 dataset is complete, proven at least until 2024-03-01T12:00:00Z"
    assert found.well
    (one,) = found.datasets
    assert (one.coverage, one.behind, one.gaps, one.until) == (1.0, 0, 0, END)
    assert one.wanted is not None
    assert (one.wanted.start, one.wanted.end) == (parse_time("2024-01-01"), END)
    assert one.next_tick == parse_time("2024-03-01T13:00")


def test_what_was_never_collected_is_named_and_well_once_it_is(world: World) -> None:
    world.config["collect"][0]["symbols"].append("ETH/USDT")
    world.fill()
    said = only(world.ask())
    helps = "`dccd collect bars`, or let its schedule run at 2024-03-01T13:00:00Z"
    assert said == f"binance/ohlc/ETH-USDT/1h: never collected -> {helps}"
    assert world.ask().verdict == "not well: 1 of 2 datasets (1 never collected)"
    world.fill(ETH)
    assert world.ask().well


def test_a_dataset_that_stopped_long_ago_is_behind_and_not_covered(world: World) -> None:
    world.fill()
    world.clock.set(parse_time("2024-03-11T12:00"))
    beat(world, world.clock.now())
    found = world.ask()
    said = only(found)
    assert said.startswith(f"{HOURS}: behind by 9.9 days: nobody asked since 2024-03-01T12:30:00Z")
    (one,) = found.datasets
    assert one.coverage is not None
    assert 0.8 < one.coverage < 0.87


def test_an_unknown_symbol_is_named_with_its_next_try(world: World) -> None:
    world.config["collect"][0]["symbols"].append("NOPE/USDT")
    world.fill()
    failing = {"binance/ohlc/NOPE-USDT/1h": failed_again(None, "binance does not list NOPE/USDT", NOW)}
    write_memory(world.instance, world.lake.identity(), "bars", Memory(failing))
    assert only(world.ask()).endswith(": binance does not list NOPE/USDT")
    assert world.ask().failing == world.ask().problems
    write_memory(world.instance, world.lake.identity(), "bars", Memory())
    del world.config["collect"][0]["symbols"][1]
    assert world.ask().well


def test_a_gap_is_named_and_accepted_time_is_none(world: World) -> None:
    world.fill(skip=slice(100, 103))
    found = world.ask()
    assert "a gap from 2024-01-05T04:00:00Z to 2024-01-05T07:00:00Z" in only(found)
    (one,) = found.datasets
    assert (one.gaps, one.missing, one.longest) == (1, 3, 3 * HOUR)
    assert one.coverage is not None
    assert one.coverage < 1
    world.config["accepted"] = [
        {"dataset": str(HOURS), "start": "2024-01-05", "end": "2024-01-06", "why": "the venue was away"}
    ]
    found = world.ask()
    assert found.well, found.problems
    assert (found.datasets[0].accepted, found.datasets[0].coverage) == (1, 1.0)


def test_the_gap_rate_of_all_and_of_each_of_the_newest_days_is_told(world: World) -> None:
    world.fill(skip=slice(59 * 24 + 1, 59 * 24 + 4))
    (one,) = world.ask().datasets
    assert one.gap_ppm_days == {f"2024-02-{day}": 0.0 for day in range(23, 29)} | {"2024-02-29": 125_000.0}
    assert one.gap_ppm == round(3 / (60 * 24 + 12) * 1e6, 3)


def test_a_vanished_file_is_named(world: World) -> None:
    world.config["collect"][0]["start"] = "2023-01-01"
    world.fill()
    hold(world.lake, HOURS, "2023", bars(whole(HOURS, "2023")))
    remember_held(world.instance, world.lake.identity(), ["2023", "2024"], {HOURS: ["2023", "2024"]})
    assert world.ask().well
    Path(world.lake.path(HOURS, "2023")).unlink()
    assert only(world.ask()).startswith(f"{HOURS}: gone: 2023")  # a tick asks for nothing of it
    assert [one.gaps for one in world.ask().datasets] == [1]
    hold(world.lake, HOURS, "2023", bars(whole(HOURS, "2023")))
    assert world.ask().well


def test_a_damaged_file_is_named_and_its_neighbours_are_judged(world: World) -> None:
    """Of a dataset with one damaged file it was said that the files of all partitions had vanished."""
    world.config["collect"][0]["symbols"].append("ETH/USDT")
    world.config["collect"][0]["start"] = "2023-01-01"
    world.fill()
    world.fill(ETH)
    for dataset in (HOURS, ETH):
        hold(world.lake, dataset, "2023", bars(whole(dataset, "2023")))
    held = {HOURS: ["2023", "2024"], ETH: ["2023", "2024"]}
    remember_held(world.instance, world.lake.identity(), ["2023", "2024"], held)
    Path(world.lake.path(ETH, "2024")).write_bytes(b"no parquet at all, but long enough to have a footer")
    found = world.ask()
    assert only(found).startswith(f"{ETH}: ")
    assert [one.well for one in found.datasets] == [True, False]


def test_r7_a_damaged_file_of_what_is_not_configured_is_named(world: World) -> None:
    """36c92f8: "all is well", exit code 0, and neither a line of it nor one to paste."""
    world.fill()
    world.fill(ETH)
    Path(world.lake.path(ETH, "2024")).write_bytes(b"no parquet at all, but long enough to have a footer")
    found = world.ask()
    assert only(found).startswith(f"{ETH}: ")
    assert found.verdict == "not well: 1 thing around them"
    assert [one.well for one in found.datasets] == [True]


def test_what_the_checks_found_stays_said(world: World) -> None:
    world.fill()
    write_findings(
        world.instance, {HOURS: {"2024": {"order": ["row 7 is older than row 6"]}}}, world.lake.identity()
    )
    assert "2024 is not right (order: row 7 is older than row 6)" in only(world.ask())


def test_rows_that_another_source_tells_otherwise_are_named_until_both_agree(world: World) -> None:
    world.fill()
    part = TimeRange(parse_time("2024-02-01"), parse_time("2024-02-02"))
    differ = [Difference(Us(part.start + n * HOUR), "", "close was 1.0, is 2.0") for n in range(3)]
    note_differences(world.lake, HOURS, [part], "Binance", differ, NOW)
    found = world.ask()
    assert only(found) == (
        f"{HOURS}: 3 rows differ: 3 from Binance; the first 2024-02-01T00:00:00Z: close was 1.0, is 2.0"
        f" -> `dccd diff {HOURS}` shows them"
    )
    assert found.datasets[0].differ == 3
    world.config["accepted"] = [
        {"dataset": str(HOURS), "start": "2024-02-01", "end": "2024-02-02", "why": "the venue's own mistake"}
    ]
    assert world.ask().well
    del world.config["accepted"]
    note_differences(world.lake, HOURS, [part], "Binance", [], NOW)
    assert world.ask().well


def test_what_differs_of_what_only_a_stream_records_is_named(world: World) -> None:
    world.fill()
    world.config["stream"] = [
        {
            "name": "m",
            "exchange": "binance",
            "symbols": ["BTC/USDT"],
            "data_types": ["trades"],
            "enabled": False,
        }
    ]
    part = TimeRange(END, NOW)
    note_differences(world.lake, TRADES, [part], "Binance", [Difference(END, "7", "missing here")], NOW)
    assert only(world.ask()).startswith(f"{TRADES}: 1 row differs: 1 from Binance; the first ")


def test_another_store_than_before_is_named(world: World) -> None:
    world.fill()
    store = world.lake.identity()
    assert store
    remember_store(world.instance, store, world.config["store"])
    world.config["store"] = str(world.folder / "elsewhere")
    said = world.ask().problems
    assert any(
        f"is not the one that was filled before, {world.folder / 'lake'} -> set `store:` back" in one
        for one in said
    )
    world.config["store"] = str(world.folder / "lake")
    assert world.ask().well


def test_a_stopped_schedule_is_named(world: World) -> None:
    world.fill()
    turn(world, InstigatorStatus.STOPPED)
    assert only(world.ask()) == (
        "bars: its schedule is stopped -> `dccd schedules on bars`, or enabled: false"
    )
    assert [one.next_tick for one in world.ask().datasets] == [None]
    turn(world, InstigatorStatus.RUNNING)
    assert world.ask().well


def turn(world: World, status: InstigatorStatus, name: str = "bars_schedule") -> None:
    """Turn a schedule or a sensor on or off, as the UI does."""
    world.schedules[:] = [SimpleNamespace(instigator_name=name, status=status)]


def test_what_is_stopped_and_keeps_no_row_away_is_a_note(world: World) -> None:
    world.fill()
    turn(world, InstigatorStatus.STOPPED, "prune_runs_schedule")
    found = world.ask()
    assert found.well
    assert found.notes == (
        "prune_runs: its schedule is stopped, so Dagster's storage grows -> `dccd schedules on prune_runs`",
    )


def test_no_daemon_is_a_note_as_long_as_all_is_well(world: World) -> None:
    world.fill()
    beat(world, Us(NOW - 10 * MINUTE))
    found = world.ask()
    assert found.well
    assert any(line.startswith("no Dagster daemon runs since 2024-03-01T12:20:00Z") for line in found.notes)
    Path(world.lake.path(HOURS, "2024")).unlink()
    assert "`dccd up`" in world.ask().problems[-1]


def test_a_dead_stream_is_named(world: World) -> None:
    world.fill()
    world.config["stream"] = [
        {"name": "majors", "exchange": "binance", "symbols": ["BTC/USDT"], "data_types": ["trades"]}
    ]
    assert only(world.ask({"majors": "digest"})).startswith("majors: never started -> ")

    @dg.job(name="stream_majors")
    def streaming() -> None: ...

    run = world.instance.create_run_for_job(
        streaming, tags={STREAM: "majors"}, status=dg.DagsterRunStatus.STARTED
    )
    world.clock.set(parse_time("2100-01-01"))  # after the run's own time
    world.config["collect"] = []
    at = world.clock.now()
    write_beat(
        world.instance,
        "majors",
        beat_of(run.run_id, "digest", at, health(StreamPlan("majors", (TRADES,)), at)),
    )
    beat(world, at)
    found = world.ask({"majors": "digest"})
    assert found.well, found.problems
    assert found.verdict.endswith("1 stream records")
    starting = dg.DagsterRunStatus.STARTING
    other = world.instance.create_run_for_job(streaming, tags={STREAM: "others"}, status=starting)
    assert world.ask({"majors": "digest", "others": "digest"}).verdict.endswith("1 of 2 streams records")
    world.instance.delete_run(other.run_id)
    world.clock.set(parse_time("2100-01-01T01:00"))
    beat(world, world.clock.now())
    assert only(world.ask({"majors": "digest"})).startswith("majors: hangs: no sign of life since 2100-01-01")


def test_a_venue_that_lets_nobody_in_is_named(world: World) -> None:
    world.fill()
    binance = get("binance")
    limiters = RateLimiters(binance, binance.rest_url, 0.9, world.clock)
    request = Request("/api/v3/time", {})
    limiters.trip(request, Us(NOW + 10 * MINUTE), "HTTP 418: banned for ten minutes", banned=True)
    limiters.close()
    assert only(world.ask()) == (
        "binance: no request goes out before 2024-03-01T12:40:00Z: HTTP 418: banned for ten minutes"
        " -> wait until then"
    )
    world.clock.set(Us(NOW + 11 * MINUTE))
    assert world.ask().well


def test_a_full_disk_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill()

    def nearly_full(_: Path) -> SimpleNamespace:
        return SimpleNamespace(total=10**12, free=10**8)

    monkeypatch.setattr("shutil.disk_usage", nearly_full)
    said = world.ask().problems
    assert len(said) == 2
    assert said[0].startswith("the disk of the store (")
    assert "is 100% full, 100.0 MB free -> free space" in said[0]


def test_an_address_that_takes_no_alerts_is_named(world: World) -> None:
    world.fill()
    world.config["alerts"] = {"to": ["http://tok3n@127.0.0.1:9/tok3n"]}
    alerts = settings_of(world.config).alerts
    assert alerts
    Outbox(world.instance, alerts).tell(["it failed"], NOW)
    said = only(world.ask())
    assert said.startswith(
        "alerts.to[0] (http) takes no alerts since 2024-03-01T12:30:00Z: no connection; 1 "
    )
    assert "tok3n" not in said


def test_a_mistake_in_the_configuration_is_named(world: World) -> None:
    world.fill()
    world.mistake = "dccd.yaml:3: collect: unknown key"
    assert only(world.ask()).startswith("dccd.yaml:3: collect: unknown key -> mend it")
    world.mistake, world.unkept = "", "the configuration cannot be kept"
    assert only(world.ask()) == "the configuration cannot be kept"


def test_what_is_held_and_not_configured_comes_with_its_line(world: World) -> None:
    world.fill()
    world.fill(ETH)
    found = world.ask()
    assert found.well
    line = "- {exchange: binance, symbols: [ETH/USDT], data_type: ohlc, span: 1h, start: 2024-01-01}"
    assert found.unnamed == (line,)
    entry = {"exchange": "binance", "symbols": ["BTC/USDT", "ETH/USDT"]}
    world.config["collect"][0] |= entry
    assert world.ask().unnamed == ()


def test_a_failed_run_is_named_until_one_succeeds(world: World) -> None:
    world.fill()

    @dg.op
    def fails() -> None:
        msg = "the code did not load"
        raise dg.Failure(msg)

    @dg.job(name="sync_nas")
    def failing() -> None:
        fails()

    @dg.job(name="sync_nas")
    def works() -> None: ...

    failing.execute_in_process(instance=world.instance, raise_on_error=False)
    assert only(world.ask()).startswith("sync_nas: run ")
    works.execute_in_process(instance=world.instance)
    assert world.ask().well


def test_nothing_configured_is_no_success(world: World) -> None:
    world.config["collect"] = []
    assert world.ask().verdict == "nothing is configured: dccd.yaml names no dataset"
