"""What is in the tail and what in files is one: every answer is that of a lake in which all is in files."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dccd_core import Lake
from dccd_core.bars.derive import Style, derive
from dccd_core.bars.lengthen import Short, lengthen
from dccd_core.domain.dataset import UNKNOWN, Dataset, partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us
from dccd_core.fetch.estimate import estimate
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.planner import Plan
from dccd_core.fetch.tick import Due
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Ledger, Source
from dccd_pipeline.cli.inventory import holdings
from tests.dccd_core.fetch.test_tick import (
    DAY_KEY,
    ETH,
    MONTH,
    at,
    begun,
    by_hand,
    folded,
    known,
    leave_out,
    recorded,
    ticked,
)
from tests.dccd_core.fetch.world import BTC, TRADES, World, bars, same

FIVE = Us(5 * MINUTE)
LATER = at(24 * 60)
STEPS = st.lists(st.sampled_from(["tick", "tick", "miss", "fold", "hand", "stream"]), min_size=1, max_size=6)


def key_of(dataset: Dataset) -> str:
    return MONTH if dataset.span else DAY_KEY


def split(folder: Path, dataset: Dataset, steps: list[str]) -> World:
    """A world in which some of a dataset is in its file, and the rest in the tail."""
    world, now = begun(folder, dataset), 0
    for step in steps:
        now += 7
        world.at(at(now))
        if step == "miss":
            leave_out(world, at(now - 4))
        if step == "stream":
            recorded(world, dataset, TimeRange(at(now - 6), at(now - 3)))
        elif step in ("fold", "hand"):
            folded(world, dataset) if step == "fold" else by_hand(world, dataset)
        else:
            ticked(world, dataset)
        world.alter = lambda _, response: response
    return world


def answers(world: World, folder: Path, dataset: Dataset) -> dict[str, Any]:
    """All that can be asked of a lake without changing it."""
    lake = world.lake = Lake(folder)
    told = {key: plain(one.ledger) for key, one in lake.all_known(dataset).items()}
    span, held = partition_span(dataset.grain, key_of(dataset)), known(world, dataset)
    cost = world.with_venue(lambda venue: estimate(venue, lake, dataset, key_of(dataset)))

    async def plan(venue: Venue) -> Plan:
        return venue.plan(dataset, span, held.ledger, venue.clock.now(), UNKNOWN)

    return {
        "known": told,
        "rows": lake.read(dataset),
        "coverage": [lake.coverage(dataset), lake.coverage(dataset, "2024-06-05", "2024-06-06")],
        "gaps": [lake.gaps(dataset), lake.gaps(dataset, "2024-06-05T07", "2024-06-05T10")],
        "inventory": [replace(one, live_rows=0, bytes=0) for one in holdings(lake, LATER)],
        "longer": lake.read(dataset, span="5m") if dataset.span else None,
        "cost": cost,
        "plan": world.with_venue(plan),
    }


def plain(ledger: Ledger) -> Ledger:
    """Leave out when a stream's rows were folded, and how many: its tail does not know it yet."""
    live = (replace(one, at=Us(0), rows=0) if one.source is Source.STREAM else one for one in ledger.asked)
    return replace(ledger, asked=tuple(live))


def built(folder: Path, source: Dataset) -> list[pl.DataFrame | Filled]:
    """Bars that are built of what a lake holds: of trades, or of shorter bars."""
    lake, bars_of_five = LakeStore(folder), bars(FIVE)
    if source.span:
        filled = lengthen(lake, bars_of_five, MONTH, Short(MINUTE, Style()), LATER, unheeded)
    else:
        filled = derive(lake, bars_of_five, MONTH, Style(), LATER, unheeded)
    assert filled.state
    return [lake.scan(bars_of_five).collect(), replace(filled, state=replace(filled.state, path=""))]


def unheeded(_dataset: Dataset, _key: str, _rows: int, _until: Us) -> None:
    """Let the pages pass."""


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        pairs = zip(cast("list[object]", one), cast("list[object]", other), strict=True)
        return all(alike(*pair) for pair in pairs)
    return same(one, other) if isinstance(one, pl.DataFrame) else bool(one == other)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, dataset=st.sampled_from([bars(), TRADES]))
def test_whatever_is_in_the_tail_every_answer_is_that_of_files_alone(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], dataset: Dataset
) -> None:
    folder = tmp_path_factory.mktemp("world")
    world = split(folder, dataset, steps)
    apart, whole = folder / "lake", folder / "whole/lake"
    shutil.copytree(apart, whole)
    world.lake = LakeStore(whole)
    folded(world, dataset)
    assert world.lake.segments() == []
    one, other = (answers(world, place, dataset) for place in (apart, whole))
    assert [name for name in one if not alike(one[name], other[name])] == []
    assert alike(built(apart, dataset), built(whole, dataset))


def test_a_fill_by_hand_asks_for_nothing_that_the_tail_has(tmp_path: Path) -> None:
    world = begun(tmp_path, bars())
    ticked(world.at(at(5)), bars())
    asked = world.requests()
    filled = world.fill(bars(), MONTH)
    assert (filled.requests, world.requests()) == (0, asked)
    world.at(at(8))
    assert world.fill(bars(), MONTH).rows == 3  # the tail keeps the others
    assert known(world, bars()).ledger.covered()[0].end == at(7)
    assert len(world.lake.segments()) == 1


def test_nothing_is_to_pay_for_what_the_tail_has(tmp_path: Path) -> None:
    world = begun(tmp_path, bars())
    ticked(world.at(at(5)), bars())
    cost = world.with_venue(lambda venue: estimate(venue, world.lake, bars(), MONTH))
    assert (cost.requests, cost.rows) == (0, 0)


def test_rows_of_a_tick_are_counted_without_reading_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = bars(), bars(symbol=ETH)
    world = begun(tmp_path, *both)
    ticked(world.at(at(30)), *both)
    expected = {one: world.lake.scan(one).collect()["ts"].cast(pl.Int64) for one in both}
    monkeypatch.setattr(LakeStore, "scan", None)
    for one in holdings(world.lake, LATER):
        times = expected[one.dataset]
        assert (one.rows, one.first, one.last) == (times.len(), times[0], times[-1])
        assert (one.live_rows, one.partitions) == (30, 1)


def test_what_only_a_stream_has_begun_counts_by_what_it_claims(tmp_path: Path) -> None:
    world = World(tmp_path, now=at(60))
    recorded(world, TRADES, TimeRange(at(0), at(30)))
    lake = Lake(tmp_path / "lake")
    assert lake.coverage(TRADES, "2024-06-05T08:00", "2024-06-05T09:00") == 0.5
    (one,) = holdings(lake, at(60))
    assert (one.partitions, one.coverage, one.rows) == (0, 0.5, lake.read(TRADES).height)


def test_bars_are_built_of_trades_that_are_in_no_file(tmp_path: Path) -> None:
    world = World(tmp_path, now=at(60))
    day = partition_span(TRADES.grain, DAY_KEY)
    ticked(world, Due(TRADES, DAY_KEY, within=TimeRange(day.start, at(0))))
    ticked(world.at(at(180)), TRADES)
    assert known(world, TRADES).unfolded > 0
    derive(world.lake, bars(HOUR), "2024", Style(), LATER, unheeded)
    hours = world.stored(bars(HOUR), "2024")
    assert same(hours, world.market.truth_bars("binance", BTC, HOUR, TimeRange(day.start, at(120))))
