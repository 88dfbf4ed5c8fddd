"""Stored bars against the venue's own: what both have is compared, and what differs is named."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.timespan import MINUTE, Ns
from dccd_core.fetch.compare import compared
from tests.dccd_core.fetch.world import World, bars, span, truth

PART = span("2024-05-31T10:00", "2024-05-31T11:00")
AT = Ns(PART.start + 7 * MINUTE)


def differing(world: World, mine: pl.DataFrame) -> tuple[int, list[Ns]]:
    return world.with_venue(lambda venue: compared(venue, bars(), mine))


def test_the_venue_s_own_bars_are_equal(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert differing(world, truth(world.market, bars(), PART)) == (60, [])


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_a_bar_that_differs_is_named(tmp_path: Path, column: str) -> None:
    world = World(tmp_path)
    wrong = pl.when(pl.col("ts").cast(pl.Int64) == AT).then(pl.col(column) * 1.001).otherwise(pl.col(column))
    mine = truth(world.market, bars(), PART).with_columns(wrong.alias(column))
    assert differing(world, mine) == (60, [AT])


def test_sums_may_differ_in_their_last_digit(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine = truth(world.market, bars(), PART).with_columns(pl.col("volume") * (1 + 1e-12))
    assert differing(world, mine) == (60, [])


def test_bars_that_the_venue_has_not_are_not_compared(tmp_path: Path) -> None:
    world = World(tmp_path)
    outage = span("2023-03-24T09:30", "2023-03-24T10:30")
    mine = truth(world.market, bars(), PART)
    moved = mine.with_columns(
        ts=(pl.col("ts").cast(pl.Int64) - PART.start + outage.start).cast(mine["ts"].dtype)
    )
    both, _ = differing(world, moved)
    assert both == 30
