"""Whether missing bars are a loss: the trades know, as far as they reach back."""

from dataclasses import replace
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Reach
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.witness import quiet_parts, trade_oracle
from dccd_core.tables import DataType
from tests.dccd_core.fetch.world import World, bars, span

OUTAGE = span("2023-03-24T10:00", "2023-03-24T11:00")


@pytest.mark.parametrize(
    "part",
    [OUTAGE, span("2023-03-24T10:00", "2023-03-24T11:05"), span("2023-03-24T09:55", "2023-03-24T11:00")],
)
def test_h4_the_trades_know_which_bars_are_empty(tmp_path: Path, part: TimeRange) -> None:
    world = World(tmp_path)
    found = world.with_venue(lambda venue: quiet_parts(venue, bars(), part))
    assert OUTAGE in found
    assert all(world.market.truth_trades("binance", bars().symbol, one).is_empty() for one in found)
    assert found == [OUTAGE], "a quiet minute beside it is as lost as its neighbours"
    assert world.requests() <= 6


def test_h4_after_some_bars_with_trades_nobody_asks_on(tmp_path: Path) -> None:
    world, part = World(tmp_path), span("2023-03-24T10:00", "2023-03-24T11:30")
    assert OUTAGE not in world.with_venue(lambda venue: quiet_parts(venue, bars(), part))
    assert world.requests() == 8


def test_h4_where_trades_are_asked_for_by_time_they_know_it_too(tmp_path: Path) -> None:
    """From the start: the venue gives the first trade from a moment on."""
    world = World(tmp_path, exchange="bitfinex", outages=["2023-03-24T10:00/2023-03-24T11:00"])
    dataset = replace(bars(), exchange="bitfinex")
    part = span("2023-03-24T09:57", "2023-03-24T11:00")
    found = world.with_venue(lambda venue: quiet_parts(venue, dataset, part))
    assert found == [OUTAGE]


def test_without_trades_by_id_there_is_no_witness(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.with_venue(known) is True
    world.exchange = replace(
        world.exchange, endpoints={DataType.OHLC: world.exchange.endpoints[DataType.OHLC]}
    )
    assert world.with_venue(known) is False
    assert world.with_venue(lambda venue: quiet_parts(venue, bars(), OUTAGE)) == []
    assert world.requests() == 0


async def known(venue: Venue) -> bool:
    return trade_oracle(venue, bars(), OUTAGE.start) is not None


def test_trades_that_do_not_reach_back_prove_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    trades = replace(world.exchange.endpoints[DataType.TRADES], reach=Reach(period=Us(90 * DAY)))
    world.exchange = replace(world.exchange, endpoints={**world.exchange.endpoints, DataType.TRADES: trades})
    assert world.with_venue(lambda venue: quiet_parts(venue, bars(), OUTAGE)) == []
    assert world.requests() == 0
