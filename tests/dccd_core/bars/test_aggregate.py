"""Sums of trades are exact, and do not depend on the portions in which they come."""

import polars as pl
import pytest

from dccd_core.bars.aggregate import Sums, decimals_of, divided
from dccd_core.domain.timespan import HOUR, SECOND, WEEK, moment, parse_time
from dccd_core.tables import TIME, DataType, empty

START = parse_time("2024-02-28T23:00")


def trades(*rows: tuple[int, float, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series([START + at for at, _, _ in rows]).cast(TIME),
            "price": [price for _, price, _ in rows],
            "amount": [amount for _, _, amount in rows],
        }
    )


ROWS = [(n * 600 * SECOND, 10.0 + n % 3, 0.1) for n in range(20)]


@pytest.mark.parametrize("cut", [1, 3, 7, 20])
def test_portions_make_no_difference(cut: int) -> None:
    sums = Sums(HOUR)
    for at in range(0, len(ROWS), cut):
        sums.add(trades(*ROWS[at : at + cut]))
    bars = sums.bars()
    assert bars["ts"][0] == moment(START)
    assert bars["volume"].to_list() == [0.6, 0.6, 0.6, 0.2]  # floats that are added make 0.6 another number
    assert bars["trades"].to_list() == [6, 6, 6, 2]
    assert bars.row(0)[1:5] == (10.0, 12.0, 10.0, 12.0)
    assert bars.schema == DataType.OHLC.table.schema


def test_a_week_opens_on_monday() -> None:
    sums = Sums(WEEK)
    sums.add(trades(*ROWS))
    assert sums.bars()["ts"].dt.strftime("%Y-%m-%d").to_list() == ["2024-02-26"]


def test_of_nothing_there_are_no_bars() -> None:
    sums = Sums(HOUR)
    sums.add(trades())
    assert sums.bars().equals(empty(DataType.OHLC))


def test_as_many_decimals_as_the_values_have() -> None:
    assert decimals_of(pl.Series([1.0, 2.0])) == 0
    assert decimals_of(pl.Series([1.5, 0.001])) == 3
    assert divided(pl.Series("v", [15, None]), 1).to_list() == [1.5, None]
