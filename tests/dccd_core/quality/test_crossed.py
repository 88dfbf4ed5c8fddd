"""Crossed and locked pictures are counted, wherever the rows are cut."""

import polars as pl
import pytest

from dccd_core.domain.timespan import Us
from dccd_core.quality.crossed import CrossedPictures
from dccd_core.tables import DataType

PICTURES = {
    1: (10.0, 11.0),
    2: (11.0, 11.0),
    3: (12.0, 11.0),
    4: (10.0, None),
    5: (10.0, 10.5),
    6: (10.5, 10.0),
}


def rows() -> pl.DataFrame:
    found = [
        {"ts": ts, "side": side, "level": level, "price": best + step * level, "amount": 1.0}
        for ts, (bid, ask) in PICTURES.items()
        for side, best, step in (("bid", bid, -5), ("ask", ask, 5))
        if best is not None
        for level in (0, 1)
    ]
    return pl.DataFrame(found).with_columns(received=None).cast(DataType.ORDERBOOK.table.schema)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_l12_crossed_and_locked_pictures_are_counted_with_their_times(size: int) -> None:
    crossed = CrossedPictures()
    for chunk in rows().iter_slices(size):
        crossed.see(chunk)
        crossed.see(chunk.clear())
    crossed.finish()
    assert (crossed.count, crossed.first, crossed.last) == (3, Us(2), Us(6))


def test_no_rows_are_no_crossed_pictures() -> None:
    crossed = CrossedPictures()
    crossed.finish()
    assert crossed == CrossedPictures()
