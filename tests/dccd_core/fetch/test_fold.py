"""What lies in the tail goes into its partition, with what it claims: each row once, each claim once."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import polars as pl
import pytest

from dccd_core.domain.timespan import MINUTE, TimeRange, Us, parse_time
from dccd_core.fetch.fill import Halted
from dccd_core.fetch.fold import Recorded, fold
from dccd_core.fetch.venue import Venue
from tests.dccd_core.fetch.world import TRADES, World, same, truth

DAY_KEY = "2024-06-05"
START = parse_time("2024-06-05T08:00")


def minutes(first: int, last: int) -> TimeRange:
    return TimeRange(Us(START + first * MINUTE), Us(START + last * MINUTE))


def test_a_fold_that_is_told_to_stop_does_so_in_the_middle_of_a_partition(tmp_path: Path) -> None:
    world, halt = World(tmp_path), Event()
    rows = truth(world.market, TRADES, minutes(0, 20))
    held = truth(world.market, TRADES, minutes(30, 40))

    def portions() -> Iterator[pl.DataFrame]:
        yield rows
        halt.set()

    async def go(venue: Venue) -> None:
        fold(venue, world.lake, TRADES, DAY_KEY, Recorded([held], [minutes(30, 40)]))
        with pytest.raises(Halted):
            fold(venue, world.lake, TRADES, DAY_KEY, Recorded(portions(), [minutes(0, 20)], halt=halt))

    world.with_venue(go)
    assert same(world.stored(TRADES, DAY_KEY), held)
