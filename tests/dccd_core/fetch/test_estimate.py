"""A dry run comes close to what the fill then does."""

from pathlib import Path

import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, Ns, parse_time
from dccd_core.fetch.estimate import Estimate, estimate
from tests.dccd_core.fetch.world import TRADES, World, bars


def estimated(world: World, dataset: Dataset, key: str) -> Estimate:
    return world.with_venue(lambda venue: estimate(venue, world.lake, dataset, key))


@pytest.mark.parametrize(
    ("dataset", "key"),
    [(bars(), "2024-05"), (bars(Ns(5 * MINUTE)), "2024-05"), (TRADES, "2024-05-31")],
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
    world.at(Ns(world.clock.now() + HOUR))
    assert estimated(world, bars(), "2024-06").rows == 60
    told = estimated(world, TRADES, "2024-06-05")
    assert told.rows == world.fill(TRADES, "2024-06-05").rows
    assert told + Estimate(1, 2, 3, 4) == Estimate(
        told.requests + 1, told.weight + 2, told.rows + 3, told.bytes + 4
    )
