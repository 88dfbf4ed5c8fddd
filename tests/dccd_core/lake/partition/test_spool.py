import errno
from io import BytesIO
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dccd_core.lake.partition.merge import merged
from dccd_core.lake.partition.parquet import GROUP
from dccd_core.lake.partition.spool import Pile, RowSpool
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import many, numbered, trades


def all_of(spool: RowSpool) -> pl.DataFrame:
    feed, pieces = spool.feed(), [trades([])]
    while feed.begins is not None:
        pieces.append(feed.load()[1])
    return pl.concat(pieces)


def test_rows_come_back_in_any_portions_and_more_than_once() -> None:
    spool = RowSpool(BytesIO(), DataType.TRADES)
    for start in range(0, 1_000, 100):
        spool.append(many(start, 100))
    assert_frame_equal(all_of(spool), many(0, 1_000))
    spool.append(many(1_000, 5))
    assert_frame_equal(all_of(spool), many(0, 1_005))


def test_a_large_portion_is_read_again_in_pieces() -> None:
    spool = RowSpool(BytesIO(), DataType.TRADES)
    spool.append(many(0, 2 * GROUP + 1))
    assert len(list(merged(DataType.TRADES, spool.feed(), []))) == 3
    assert_frame_equal(all_of(spool), many(0, 2 * GROUP + 1))


def test_nothing_appended_is_nothing() -> None:
    assert_frame_equal(all_of(RowSpool(BytesIO(), DataType.TRADES)), trades([]))


class Full(BytesIO):
    """A disk that is full now and then."""

    full = False

    def write(self, data: Any, /) -> int:
        if self.full:
            super().write(memoryview(data)[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_costs_no_row_once_it_has_room_again() -> None:
    file = Full()
    spool = RowSpool(file, DataType.TRADES)
    spool.append(numbered([1]))
    file.full = True
    with pytest.raises(OSError, match="No space"):
        spool.append(many(1_000, 2 * GROUP))
    file.full = False
    assert all_of(spool)["trade_id"].to_list() == [
        "1",
        *many(1_000, 2 * GROUP)["trade_id"].to_list(),
    ]


def test_a_pile_gives_each_frame_by_its_number() -> None:
    pile = Pile(BytesIO())
    assert [pile.put(numbered([n]).with_columns(more=pl.lit(n))) for n in range(3)] == [0, 1, 2]
    assert [pile.get(n)["more"].item() for n in (2, 0, 1)] == [2, 0, 1]
    assert len(pile) == 3
