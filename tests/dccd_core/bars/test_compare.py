"""Stored bars against the venue's own: what both have is compared, and what differs is named."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.bars.compare import beside, compared, said, samples
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us
from tests.dccd_core.fetch.world import World, bars, span, truth

PART = span("2024-05-31T10:00", "2024-05-31T11:00")
SYMBOLS = [Symbol(f"{letter}{other}", "USDT") for letter in "ABCDEF" for other in "GHIJK"]
AT = Us(PART.start + 7 * MINUTE)


def differing(world: World, mine: pl.DataFrame) -> tuple[int, list[Us]]:
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


def test_h13_a_difference_is_told_by_what_it_was_and_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    here = pl.col("ts").cast(pl.Int64) == AT
    low = pl.when(here).then(1.5).otherwise("low").alias("low")
    mine = truth(world.market, bars(), PART).with_columns(low)
    both, differ = world.with_venue(lambda venue: beside(venue, bars(), mine))
    [row] = differ.iter_rows(named=True)
    assert both == 60
    assert said(row) == f"low was 1.5, is {row['low_venue']}"


SETTLE = Us(5 * SECOND)
NOW = Us(PART.start + 3 * DAY + 17 * MINUTE)


@pytest.mark.parametrize("every", [MINUTE, Us(5 * MINUTE), HOUR, Us(7 * HOUR)])
@pytest.mark.parametrize("length", ["1m", "5m", "1h", "4h", "1d", "3d", "1w"])
def test_h13_every_sample_is_asked_for_again_an_hour_and_a_day_later(length: str, every: int) -> None:
    """However far apart the runs are; each time once, and never before it is final for so long."""
    dataset, found = bars(parse_bar_span(length)), dict[TimeRange, list[Us]]()
    at = NOW
    while at < NOW + 20 * DAY:
        for part in samples(dataset, at, Us(at + every), SETTLE):
            found.setdefault(part, []).append(Us(at + every))
        at = Us(at + every)
    whole = {one: times for one, times in found.items() if one.start > NOW and one.end + 2 * DAY < at}
    assert len(whole) >= 20 * DAY // max(DAY, dataset.span or 0) - 5 if length != "1w" else len(whole) >= 1
    for part, times in whole.items():
        assert part.length == max(HOUR, dataset.span or 0)
        hour_later, day_later = (part.end + SETTLE + after for after in (HOUR, DAY))
        if len(times) == 2:
            assert hour_later <= times[0] < hour_later + every
        assert day_later <= times[-1] < day_later + every


def test_h13_datasets_take_turns_and_a_long_pause_asks_for_little() -> None:
    hours = [samples(bars(MINUTE, symbol), Us(NOW - DAY), NOW, SETTLE) for symbol in SYMBOLS]
    assert len({part.start % DAY for parts in hours for part in parts}) > 10
    assert len(samples(bars(), Us(0), NOW, SETTLE)) <= 6
    assert samples(bars(), NOW, NOW, SETTLE) == []
