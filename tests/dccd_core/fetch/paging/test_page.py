"""What pages share: rows that are told once, a window of them, their borders."""

import polars as pl

from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.page import TradeRef, earliest, latest, once, taken, trade_ref, within
from dccd_core.lake.partition.merge import TWICE
from dccd_core.tables import TIME


def rows(*cells: tuple[int, str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series([at for at, _, _ in cells], dtype=pl.Int64).cast(TIME),
            "trade_id": pl.Series([name for _, name, _ in cells], dtype=pl.String),
            "price": pl.Series([price for _, _, price in cells], dtype=pl.Float64),
        }
    )


def test_equal_rows_are_one_and_of_unequal_ones_none_is_believed() -> None:
    told = rows((1, "a", 1.0), (2, "b", 1.0), (2, "b", 1.0), (3, "c", 1.0), (3, "c", 2.0))
    kept, clash = once(told, "trade_id")
    assert kept["trade_id"].to_list() == ["a", "b"]
    assert clash is not None
    assert clash["price"].to_list() == [1.0, 2.0]
    assert set(clash["reason"]) == {TWICE}


def test_where_no_time_is_told_twice_all_is_kept() -> None:
    told = rows((1, "a", 1.0), (2, "b", 1.0))
    kept, clash = once(told)
    assert kept.equals(told)
    assert clash is None


def test_a_window_is_half_open() -> None:
    told = rows((1, "a", 1.0), (2, "b", 1.0), (3, "c", 1.0))
    assert within(told, TimeRange(Us(1), Us(3)))["trade_id"].to_list() == ["a", "b"]
    assert within(told, TimeRange(Us(4), Us(9))).is_empty()


def test_borders_of_nothing_are_none() -> None:
    told = rows((1, "7", 1.0), (3, "8", 1.0))
    assert (earliest(told), latest(told), trade_ref(told)) == (1, 3, TradeRef(7, Us(1)))
    assert (earliest(rows()), latest(rows()), trade_ref(rows())) == (None, None, None)


def test_misplaced_rows_are_given_once() -> None:
    misplaced = [rows((1, "a", 1.0)), rows()]
    given = taken(misplaced)
    assert given is not None
    assert given.height == 1
    assert taken(misplaced) is None
