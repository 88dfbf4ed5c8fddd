"""What a tick tells Dagster of partitions; the rest is shown in test_run.py."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.clock import ManualClock
from dccd_pipeline.assets.checks import check_names
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.came import Came, Change
from dccd_pipeline.ticks.due import Found
from dccd_pipeline.ticks.tell import Telling
from tests.dccd_core.lake.samples import DAY, trades
from tests.dccd_pipeline.held import TRADES, hold, state

AT = parse_time("2026-01-01")
BEFORE = "2024-01-30"
(ENTRY,) = settings_of(
    {
        "collect": [
            {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "trades", "start": "2024-01-01"}
        ]
    }
).collect


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class World:
    """A lake with a complete day of trades, and what Dagster is told of it in an op."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self.lake = instance, LakeStore(folder)
        self.state = hold(self.lake, TRADES, DAY, trades([(n, str(n), 1.0) for n in range(3)]))
        self.came = Came(ENTRY, Found({TRADES: {DAY: self.state}}))

    def told(self, act: Callable[[Telling], None]) -> tuple[list[str], list[str]]:
        """Return the partitions that were materialised, and those that were observed."""
        events = self.run(act).all_events
        green = [e.partition for e in events if e.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION]
        seen = [e.partition for e in events if e.event_type is dg.DagsterEventType.ASSET_OBSERVATION]
        return [str(one) for one in green], [str(one) for one in seen]

    def run(self, act: Callable[[Telling], None]) -> dg.ExecuteInProcessResult:
        @dg.op
        def op(context: dg.OpExecutionContext) -> None:
            act(Telling(context, self.lake, self.came, ManualClock(AT)))

        @dg.job
        def job() -> None:
            op()

        return job.execute_in_process(instance=self.instance)


@pytest.fixture
def world(instance: dg.DagsterInstance, tmp_path: Path) -> World:
    return World(instance, tmp_path)


def test_what_dagster_does_not_know_of_what_is_complete_it_is_told_once(world: World) -> None:
    world.came.states[TRADES][BEFORE] = state(TRADES, BEFORE, until=parse_time(f"{BEFORE}T12:00"))
    assert world.told(Telling.remind) == ([DAY], [])
    assert world.told(Telling.remind) == ([], [])
    world.instance.wipe_assets([dg.AssetKey(TRADES.parts)])
    assert world.told(Telling.remind) == ([DAY], [])


def test_a_partition_that_is_complete_with_its_tail_is_not_said_to_be_in_its_file(world: World) -> None:
    world.came.states[TRADES][DAY] = replace(world.state, unfolded=2)
    assert world.told(Telling.remind) == ([], [])
    world.came.states[TRADES][DAY] = world.state  # as it is once that is folded
    assert world.told(Telling.remind) == ([DAY], [])


def half(state: State, rows: int = 1) -> State:
    """Return the state of an open partition with these rows."""
    asked = replace(
        state.ledger.asked[0], span=replace(state.ledger.asked[0].span, end=parse_time("2024-01-31T12:00"))
    )
    return replace(
        state, rows=rows, content_hash=f"{rows} rows", ledger=replace(state.ledger, asked=(asked,))
    )


def test_of_open_partitions_a_new_file_and_another_condition_are_news(world: World) -> None:
    whole, some, more = world.state, half(world.state), half(world.state, 2)

    def told(before: State | None, after: State) -> tuple[list[str], list[str]]:
        world.came.states[TRADES][DAY] = after
        return world.told(lambda telling: telling.change(Change(TRADES, DAY, before, after)))

    assert told(None, some) == ([], [DAY])
    assert told(some, more) == ([], [])
    assert told(more, replace(more, unfolded=5)) == ([], [])  # no file was written
    assert told(more, whole) == ([DAY], [])
    assert told(whole, replace(whole, content_hash="written again")) == ([DAY], [])


def test_a_check_that_an_update_brings_is_told_a_few_datasets_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand datasets were a thousand events in the first tick after an update."""
    symbols = [Symbol(f"S{n:03d}", "USDT") for n in range(100)]
    datasets = [replace(TRADES, symbol=one) for one in symbols]
    entry = ENTRY.model_copy(update={"symbols": tuple(symbols)})
    world.came = Came(entry, Found({one: {DAY: replace(world.state, owner="")} for one in datasets}))

    def told() -> list[dg.AssetCheckEvaluation]:
        return list(world.run(lambda telling: telling.checks({}, (), AT)).get_asset_check_evaluations())

    def nothing(*_: object) -> Iterator[dg.AssetCheckResult]:
        return iter(())

    with monkeypatch.context() as before:
        before.setattr("dccd_pipeline.assets.checks.agreement", nothing)
        names = check_names(TRADES)
        assert sorted(one.check_name for one in told()) == sorted(names * 100)  # Dagster knew none of them
        assert told() == []
    told_of = list[dg.AssetKey]()
    for _ in range(3):
        found = told()
        assert {one.check_name for one in found} == {"agrees"}
        assert len(found) <= 40
        told_of += [one.asset_key for one in found]
    assert sorted(told_of) == sorted(dg.AssetKey(one.parts) for one in datasets)
    assert told() == []
