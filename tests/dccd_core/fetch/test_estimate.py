"""A dry run comes close to what the fill then does."""

from dataclasses import replace
from pathlib import Path

import pytest

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, Us, parse_time
from dccd_core.fetch.estimate import Estimate, estimate
from dccd_core.fetch.fill import fill
from tests.dccd_core.fetch.world import TRADES, World, bars


def estimated(world: World, dataset: Dataset, key: str, life: ListingPeriod = UNKNOWN) -> Estimate:
    return world.with_venue(lambda venue: estimate(venue, world.lake, dataset, key, life))


@pytest.mark.parametrize(
    ("dataset", "key"),
    [(bars(), "2024-05"), (bars(Us(5 * MINUTE)), "2024-05"), (TRADES, "2024-05-31")],
    ids=str,
)
def test_an_estimate_is_close_and_stores_nothing(tmp_path: Path, dataset: Dataset, key: str) -> None:
    world = World(tmp_path, trades_per_day={"BTC/USDT": 60_000})
    told = estimated(world, dataset, key)
    assert world.lake.state(dataset, key) is None
    filled = world.fill(dataset, key)
    assert told.rows == filled.rows
    assert abs(told.requests - filled.requests) <= 1
    assert filled.state is not None
    assert 0.5 < told.bytes / filled.state.bytes < 2
    assert told.weight == told.requests * (2 if dataset.span else 4)


def test_what_is_there_costs_nothing_and_the_rest_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path, parse_time("2024-06-05T12:00:30"))
    world.fill(TRADES, "2024-06-05")
    world.fill(bars(), "2024-06")
    assert estimated(world, bars(), "2024-06") == Estimate()
    assert estimated(world, TRADES, "2024-06-05") == Estimate()
    assert estimated(world, TRADES, "2024-06-06") == Estimate()
    world.at(Us(world.clock.now() + HOUR))
    assert estimated(world, bars(), "2024-06").rows == 60
    told = estimated(world, TRADES, "2024-06-05")
    assert told.rows == world.fill(TRADES, "2024-06-05").rows
    assert told + Estimate(1, 2, 3, 4) == Estimate(
        told.requests + 1, told.weight + 2, told.rows + 3, told.bytes + 4
    )


@pytest.mark.parametrize(
    ("dataset", "key", "later"),
    [(bars(), "2024-05", "2024-06"), (TRADES, "2024-05-11", "2024-05-12")],
    ids=str,
)
@pytest.mark.parametrize("whose", ["symbol", "exchange"])
def test_after_the_end_of_trading_nothing_is_counted(
    tmp_path: Path, dataset: Dataset, key: str, later: str, whose: str
) -> None:
    """It promised requests that the fill never sends."""
    world, ended = World(tmp_path), parse_time("2024-05-11T06:00")
    life = ListingPeriod(ended=ended) if whose == "symbol" else UNKNOWN
    if whose == "exchange":
        world.exchange = replace(world.exchange, closed=ended)
    told = estimated(world, dataset, key, life)
    filled = world.with_venue(lambda venue: fill(venue, world.lake, dataset, key, world.progress, life))
    assert told.rows == filled.rows == world.truth(dataset, key, ended).height
    assert 0 < told.requests <= filled.requests <= told.requests + 1
    assert estimated(world, dataset, key, life) == estimated(world, dataset, later, life) == Estimate()


def test_before_the_listing_nothing_is_counted(tmp_path: Path) -> None:
    world, listed = World(tmp_path), parse_time("2024-05-30")
    assert estimated(world, bars(), "2024-05", ListingPeriod(listed)).rows == 2 * DAY // MINUTE
    assert estimated(world, bars(), "2024-04", ListingPeriod(listed)) == Estimate()
