"""Whether missing bars are a loss: the trades know, as far as they reach back."""

from dataclasses import replace
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Reach
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import DAY, Ns, TimeSpan
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.witness import nothing_traded, witness
from tests.dccd_core.fetch.world import World, bars, span

OUTAGE = span("2023-03-24T10:00", "2023-03-24T11:00")


@pytest.mark.parametrize(
    ("part", "empty"),
    [
        (span("2023-03-24T10:00", "2023-03-24T11:00"), True),
        (span("2023-03-24T10:00", "2023-03-24T11:30"), False),
        (span("2023-03-24T09:00", "2023-03-24T11:00"), False),
    ],
)
def test_the_trades_know_whether_a_span_is_empty(tmp_path: Path, part: TimeSpan, empty: bool) -> None:  # noqa: FBT001
    world = World(tmp_path)
    assert world.with_venue(lambda venue: nothing_traded(venue, bars(), part)) is empty
    assert world.requests() == 1


def test_without_trades_by_id_there_is_no_witness(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.with_venue(known) is True
    world.exchange = replace(
        world.exchange, endpoints={DataType.OHLC: world.exchange.endpoints[DataType.OHLC]}
    )
    assert world.with_venue(known) is False
    assert world.with_venue(lambda venue: nothing_traded(venue, bars(), OUTAGE)) is False
    assert world.requests() == 0


async def known(venue: Venue) -> bool:
    return witness(venue, bars(), OUTAGE.start) is not None


def test_trades_that_do_not_reach_back_prove_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    trades = replace(world.exchange.endpoints[DataType.TRADES], reach=Reach(period=Ns(90 * DAY)))
    world.exchange = replace(world.exchange, endpoints={**world.exchange.endpoints, DataType.TRADES: trades})
    assert world.with_venue(lambda venue: nothing_traded(venue, bars(), OUTAGE)) is False
    assert world.requests() == 0
