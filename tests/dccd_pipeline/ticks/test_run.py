"""Ticks against the sandbox: what they store, what they tell Dagster, and what they leave for the next."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, Us, moment
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.process import RunningSandbox, running_sandbox
from dccd_pipeline.assets.equal import CHECK
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.dagster_compat import SCHEDULE_NAME_TAG
from dccd_pipeline.tags import FAILING
from dccd_pipeline.ticks.memory import read_memory
from dccd_pipeline.ticks.report import collect_asset
from dccd_pipeline.ticks.status import failing_lines

SYMBOLS = [f"{base}/USDT" for base in ("BTC", "ETH", "SOL", "XRP")]
DATASETS = [Dataset("binance", Symbol.parse(one), DataType.OHLC, MINUTE) for one in SYMBOLS]
NAME = "binance_ohlc_1m"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
UNKNOWN = Fault(
    kind=FaultKind.STATUS,
    status=400,
    path="klines",
    symbol="ETHUSDT",
    body='{"code":-1121,"msg":"Invalid symbol."}',
)
DOWN = Fault(kind=FaultKind.STATUS, status=400, path="klines", symbol="ETHUSDT")


class World:
    """An entry, its store, an instance, and the time that the venue and we have."""

    def __init__(self, instance: dg.DagsterInstance, sandbox: RunningSandbox, folder: Path) -> None:
        self.instance, self.sandbox = instance, sandbox
        start = f"{moment(Us(SystemClock().now() - 2 * DAY)):%Y-%m-%d}"
        entry = {"exchange": "binance", "symbols": SYMBOLS, "data_type": "ohlc", "span": "1m", "start": start}
        reach = {"binance": {"rest_url": sandbox.rest_url("binance")}}
        self.settings = settings_of({"store": str(folder), "exchanges": reach, "collect": [entry]})
        self.lake = LakeStore(folder)
        self.definitions = build_definitions(self.settings)

    def tick(self, *symbols: str, scheduled: bool = True) -> dg.ExecuteInProcessResult:
        chosen = {"ops": {f"collect_{NAME}": {"config": {"symbols": list(symbols)}}}} if symbols else {}
        return self.definitions.resolve_job_def(f"{NAME}_tick").execute_in_process(
            instance=self.instance,
            run_config={**QUIET, **chosen},
            tags={SCHEDULE_NAME_TAG: "its schedule"} if scheduled else {},
            raise_on_error=False,
        )

    def asked(self, symbol: str) -> int:
        """Return how often bars of a symbol were asked for."""
        requests = self.sandbox.stats().requests
        return sum(dict(pairs).get("symbol") == symbol for path, pairs in requests if "klines" in path)

    def events(self, result: dg.ExecuteInProcessResult) -> Counter[str]:
        logs = self.instance.all_logs(result.run_id)
        return Counter(one.dagster_event.event_type_value for one in logs if one.dagster_event)

    def report(self) -> dict[str, Any]:
        """Return the last report, and whether it was green."""
        key = collect_asset(NAME)
        green = self.instance.fetch_materializations(key, limit=1).records
        other = self.instance.fetch_observations(key, limit=1).records
        last = max((*green, *other), key=lambda record: record.storage_id)
        told = last.asset_materialization or last.asset_observation
        assert told
        numbers = {name: value.value for name, value in told.metadata.items() if name != "shown"}
        shown = told.metadata.get("shown")
        rows = [one.data for one in shown.records] if isinstance(shown, dg.TableMetadataValue) else []
        return {**numbers, "green": last.asset_materialization is not None, "rows": rows}


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def world(shared: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    shared.reset()
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield World(instance, shared, tmp_path / "lake")


def later(world: World, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """Let so much time pass, for the venue and for us."""

    class Later(SystemClock):
        def now(self) -> Us:
            return Us(super().now() + minutes * MINUTE)

    world.sandbox.clock(Later().now(), frozen=False)
    monkeypatch.setattr("dccd_pipeline.resources.SystemClock", Later)
    monkeypatch.setattr("dccd_pipeline.ticks.run.SystemClock", Later)


def test_events_are_few_however_many_datasets_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.tick()
    assert first.success
    assert world.report()["rows"]  # all of them, once an hour
    later(world, monkeypatch, 10)
    second = world.tick()
    assert second.success
    told = world.events(second)
    assert (told["ASSET_MATERIALIZATION"], told["ASSET_OBSERVATION"]) == (1, 0)
    assert told["ASSET_MATERIALIZATION_PLANNED"] == told["ASSET_CHECK_EVALUATION_PLANNED"] == 0
    checked = [one.check_name for one in second.get_asset_check_evaluations()]
    assert set(checked) <= {CHECK}  # a sample of the bars may just be an hour old
    assert len(world.instance.all_logs(second.run_id)) <= 15 + len(checked)
    report = world.report()
    assert (report["green"], report["datasets"], report["up_to_date"], report["rows"]) == (True, 4, 4, [])
    assert 40 <= report["new_rows"] <= 200  # how long the first tick took is a matter of load
    assert report["requests"] == 4
    assert len(world.lake.segments()) == 1  # of all of them one file


def test_a_symbol_that_the_exchange_renamed_fails_no_tick_and_is_named_and_asked_ever_more_rarely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ae6bd10: "nobody asked since ...", though each tick asked, and was told: no such symbol."""
    assert world.tick().success
    world.sandbox.faults([UNKNOWN])
    minutes, tried = 0, list[int]()
    for _ in range(6):
        minutes += 5
        later(world, monkeypatch, minutes)
        before = world.asked("ETHUSDT")
        result = world.tick()
        run = world.instance.get_run_by_id(result.run_id)
        assert run
        assert (result.success, FAILING in run.tags) == (True, False)
        if world.asked("ETHUSDT") > before:
            tried.append(minutes)
    assert tried == [5, 10, 15, 25]
    (line,) = failing_lines(world.settings, world.instance)
    assert line.startswith(f"{DATASETS[1]}: fails since")
    assert "Invalid symbol" in line
    assert "it was delisted or renamed: set exchanges.binance.symbols.ETH/USDT" in line
    assert [row["dataset"] for row in world.report()["rows"]] == [str(DATASETS[1])]

    world.sandbox.faults([])
    assert world.tick("ETH/USDT", scheduled=False).success
    assert failing_lines(world.settings, world.instance) == []


def test_a_failing_dataset_is_named_and_left_alone_for_longer_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dccd_pipeline.ticks.run.WAITS_S", ())
    assert world.tick().success
    world.sandbox.faults([DOWN])
    minutes, tried = 0, list[int]()
    for _ in range(8):
        minutes += 5
        later(world, monkeypatch, minutes)
        before = world.asked("ETHUSDT")
        result = world.tick()
        if world.asked("ETHUSDT") > before:
            tried.append(minutes)
            assert not result.success
        else:
            run = world.instance.get_run_by_id(result.run_id)
            assert run
            assert result.success
            assert run.tags[FAILING] == "1"  # no recovery
        report = world.report()
        assert (report["green"], report["failing"], report["up_to_date"]) == (False, 1, 3)
        assert [row["dataset"] for row in report["rows"]] == [str(DATASETS[1])]
    assert tried == [5, 10, 15, 25]
    (line,) = failing_lines(world.settings, world.instance)
    assert line.startswith(f"{DATASETS[1]}: fails since")
    assert "4 times" in line

    world.sandbox.faults([])
    assert world.tick("ETH/USDT", scheduled=False).success  # by hand it is tried at once
    assert failing_lines(world.settings, world.instance) == []
    assert read_memory(world.instance, world.lake.identity(), NAME).failing == {}


def test_a_dataset_whose_file_is_damaged_is_not_called_up_to_date(world: World) -> None:
    assert world.tick().success
    (key,) = world.lake.keys(DATASETS[1])[-1:]
    file = Path(world.lake.path(DATASETS[1], key))
    file.write_bytes(file.read_bytes()[:-100])
    assert not world.tick().success
    report = world.report()
    assert (report["green"], report["datasets"], report["up_to_date"], report["failing"]) == (False, 4, 3, 1)
    assert [row["dataset"] for row in report["rows"]] == [str(DATASETS[1])]


def test_some_symbols_by_hand_leave_the_others_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.tick().success
    later(world, monkeypatch, 130)  # more than two intervals
    before = world.asked("BTCUSDT"), world.asked("ETHUSDT")
    assert world.tick("BTC/USDT", scheduled=False).success
    assert world.asked("BTCUSDT") > before[0]
    assert world.asked("ETHUSDT") == before[1]
    report = world.report()
    assert (report["datasets"], report["up_to_date"], report["behind"]) == (4, 1, 3)
