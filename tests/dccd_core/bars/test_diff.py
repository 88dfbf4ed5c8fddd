"""Where two sources of one dataset differ: every difference is found, and nothing else."""

from pathlib import Path
from random import Random

import polars as pl
import pytest

from dccd_core.bars.diff import MOST, Diff, against_trades, against_venue, newest_hour
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars, span, truth

PART = span("2024-05-31T10:00", "2024-05-31T14:00")
WIDE = span("2024-05-31T09:00", "2024-05-31T14:00")
"""With an hour before it: a minute without trades takes its price from there."""


def hold(lake: LakeStore, dataset: Dataset, key: str, rows: pl.DataFrame, known: TimeRange = PART) -> None:
    with lake.draft(dataset, key) as draft:
        draft.append(rows)
        draft.commit([Asked(known, Source.STREAM, NOW, 1, rows.height)], NoCheck)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, trades_per_day={"BTC/USDT": 20_000})


def spoiled(rows: pl.DataFrame, numbers: list[int], column: str) -> pl.DataFrame:
    """Change a column of some rows by a thousandth."""
    here = pl.int_range(pl.len()).is_in(numbers)
    return rows.with_columns(pl.when(here).then(pl.col(column) * 1.001).otherwise(column).alias(column))


def times(rows: pl.DataFrame, numbers: list[int]) -> list[int]:
    return [int(rows["ts"].to_physical()[n]) for n in sorted(numbers)]


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_every_bar_that_was_changed_by_a_thousandth_is_found(world: World, column: str) -> None:
    mine = truth(world.market, bars(), PART)
    hold(world.lake, TRADES, "2024-05-31", truth(world.market, TRADES, WIDE), WIDE)
    wrong = Random(column).sample(range(mine.height), 3)
    hold(world.lake, bars(), "2024-05", spoiled(mine, wrong, column))
    found = against_trades(world.lake, bars())
    assert (found.compared, found.differ) == (240, 3)
    assert [one.at for one in found.found] == times(mine, wrong)
    assert all(one.said.startswith(f"{column} is ") for one in found.found)


def test_bars_that_are_those_of_the_trades_do_not_differ(world: World) -> None:
    hold(world.lake, TRADES, "2024-05-31", truth(world.market, TRADES, WIDE), WIDE)
    hold(world.lake, bars(), "2024-05", truth(world.market, bars(), PART))
    assert against_trades(world.lake, bars()) == Diff(240)
    hour = TimeRange(PART.start, Us(PART.start + HOUR))
    assert against_trades(world.lake, bars(), hour) == Diff(60)


def test_a_bar_that_only_one_of_them_has_is_a_difference(world: World) -> None:
    mine = truth(world.market, bars(), PART)
    hold(world.lake, TRADES, "2024-05-31", truth(world.market, TRADES, WIDE), WIDE)
    hold(world.lake, bars(), "2024-05", mine.filter(pl.int_range(pl.len()) != 7))
    (one,) = against_trades(world.lake, bars()).found
    assert (one.at, one.said) == (PART.start + 7 * MINUTE, "missing here")


def test_only_what_both_can_prove_is_compared(world: World) -> None:
    hour = TimeRange(WIDE.start, Us(PART.start + HOUR + 30 * SECOND))
    hold(world.lake, TRADES, "2024-05-31", truth(world.market, TRADES, hour), hour)
    hold(world.lake, bars(), "2024-05", truth(world.market, bars(), PART))
    assert against_trades(world.lake, bars()) == Diff(60)


def test_live_trades_are_held_against_those_of_the_venue(world: World) -> None:
    mine = truth(world.market, TRADES, PART)
    wrong = spoiled(mine, [5], "price").filter(pl.int_range(pl.len()) != 9)
    late = pl.when(pl.int_range(pl.len()) == 20).then(pl.col("ts").dt.offset_by("1ms")).otherwise("ts")
    hold(
        world.lake, TRADES, "2024-05-31", wrong.with_columns(late.alias("ts")).sort("ts", maintain_order=True)
    )
    found = world.with_venue(lambda venue: against_venue(venue, world.lake, TRADES, PART))
    assert (found.compared, found.differ) == (mine.height, 2)
    assert [(one.at, one.name) for one in found.found] == [
        (at, name) for at, name in zip(times(mine, [5, 9]), mine["trade_id"].gather([5, 9]), strict=True)
    ]
    assert [one.said.split(" is ")[0] for one in found.found] == ["price", "missing here"]


def test_a_live_bar_that_differs_from_rest_is_found(world: World) -> None:
    hour = TimeRange(PART.start, Us(PART.start + HOUR))
    mine = truth(world.market, bars(), hour)
    hold(world.lake, bars(), "2024-05", spoiled(mine, [3], "close"), hour)
    assert newest_hour(world.lake, bars(), NOW) == hour
    found = world.with_venue(lambda venue: against_venue(venue, world.lake, bars(), hour))
    assert (found.compared, [one.at for one in found.found]) == (60, times(mine, [3]))


def test_what_is_not_final_yet_is_not_compared(world: World) -> None:
    to_come = TimeRange(Us(NOW + HOUR), Us(NOW + 2 * HOUR))
    assert world.with_venue(lambda venue: against_venue(venue, world.lake, TRADES, to_come)) == Diff()
    assert newest_hour(world.lake, TRADES, NOW) is None


def test_of_very_many_differences_only_the_first_are_told() -> None:
    rows = pl.DataFrame({name: range(MOST + 5) for name in ("ts", "close")}).cast(
        {"ts": pl.Datetime("us", "UTC")}
    )
    diff = Diff()
    diff.add(bars(), rows, rows.with_columns(close=-1))
    assert (diff.differ, len(diff.found)) == (MOST + 5, MOST)
