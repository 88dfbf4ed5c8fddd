from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from dccd_core.tables.table import TIME
from dccd_pipeline.assets.plots import SIZE, picture
from tests.dccd_pipeline.drawn import ink, png

DAY = datetime(2024, 2, 1, tzinfo=UTC)


def drawn(values: list[float], axis: str = "close, USDT") -> str:
    times = pl.Series([DAY + timedelta(hours=n) for n in range(len(values))], dtype=TIME)
    return picture("close", axis, times, pl.Series(values, dtype=pl.Float64))


def test_the_line_goes_where_the_values_go() -> None:
    heights = ink(drawn([1.0, 2.0, 3.0, 3.0]))
    assert heights[::40] == sorted(heights[::40], reverse=True)
    assert heights[0] - heights[-1] > SIZE[1] / 2
    assert len(heights) > SIZE[0] / 2


def test_it_has_axes_with_their_units() -> None:
    """Another unit, other numbers, other days: other ink beside the line."""
    chart = drawn([1.0, 2.0])
    assert png(chart).size == SIZE
    others = [drawn([1.0, 2.0], "close, BTC"), drawn([10.0, 20.0]), drawn([1.0, *[1.5] * 40, 2.0])]
    assert all(png(one).tobytes() != png(chart).tobytes() for one in others)


def test_one_picture_leaves_nothing_on_the_next() -> None:
    first = drawn([1.0, 5.0, 2.0])
    drawn([1e9, 2e9], "held there, MB")
    assert drawn([1.0, 5.0, 2.0]) == first


@pytest.mark.parametrize("values", [[], [7.0]], ids=["none", "one"])
def test_less_than_two_values_are_axes_without_a_line(values: list[float]) -> None:
    chart = drawn(values)
    assert png(chart).size == SIZE
    assert ink(chart) == []


def test_it_is_small_as_dagster_keeps_each_for_ever() -> None:
    wild = [100.0 + (n * 7919 % 101) for n in range(360)]
    assert len(drawn(wild)) < 6_000
