from collections.abc import Iterator
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.lake.flow import second, united
from dccd_core.lake.merge import unite
from tests.dccd_core.lake.samples import numbered, often, trades

HALF = Us(SECOND // 2)


def cut(rows: pl.DataFrame, borders: list[int]) -> Iterator[pl.DataFrame]:
    """Batches of ``rows``, some of them empty."""
    return (rows.slice(a, b - a) for a, b in pairwise([0, *sorted(borders), rows.height]) if b >= a)


ids = st.sets(st.integers(0, 40), max_size=25).map(lambda some: numbered(sorted(some), HALF))
borders = st.lists(st.integers(0, 25), max_size=6)


@often
@given(old=ids, new=ids, one=borders, other=borders)
def test_batches_make_no_difference(
    old: pl.DataFrame, new: pl.DataFrame, one: list[int], other: list[int]
) -> None:
    flows = united(DataType.TRADES, cut(old, one), cut(new, other))
    assert_frame_equal(pl.concat([trades([]), *flows]), unite(DataType.TRADES, old, new))


@pytest.mark.parametrize("mine", [0, 1])
def test_neither_source_runs_ahead_of_the_other(mine: int) -> None:
    read = [0, 0]

    def source(number: int) -> Iterator[pl.DataFrame]:
        for n in range(100):
            read[number] += 1
            yield numbered([n * (10 if number == mine else 1)])

    for rows in united(DataType.TRADES, source(0), source(1)):
        done = int(rows["trade_id"].to_list()[-1])
        if done < 99:
            assert read[1 - mine] <= done + 12
            assert read[mine] <= done // 10 + 3


def test_fresh_rows_take_the_place_of_stored_ones() -> None:
    rows = list(united(DataType.TRADES, iter([numbered([1])]), iter([trades([(SECOND, "1", 9.0)])])))
    assert pl.concat(rows)["price"].to_list() == [9.0]


def test_a_whole_second() -> None:
    assert [second(Us(at)) for at in (0, SECOND - 1, SECOND)] == [0, 0, SECOND]
