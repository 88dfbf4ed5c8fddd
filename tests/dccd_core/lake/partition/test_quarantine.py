from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dccd_core.domain.errors import DamagedFile
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import BARS, DAY, MONTH, TRADES, numbered, store, stored, trades


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path)


def refused(rows: pl.DataFrame, reason: str = "price is not positive") -> pl.DataFrame:
    return rows.with_columns(reason=pl.lit(reason))


def test_rows_come_back_as_they_were(lake: LakeStore) -> None:
    rows = refused(trades([(123_456_789, "1", 0.1), (5, None, -1.0)]))
    assert lake.quarantine(TRADES, DAY, rows) == 2
    assert_frame_equal(lake.quarantined(TRADES, DAY), rows)


def test_a_row_is_kept_once_however_often_it_comes(lake: LakeStore) -> None:
    assert lake.quarantine(TRADES, DAY, refused(numbered([1, 2]))) == 2
    assert lake.quarantine(TRADES, DAY, refused(numbered([2, 3]))) == 3
    assert lake.quarantine(TRADES, DAY, refused(numbered([1, 2, 3]))) == 3
    assert lake.quarantined(TRADES, DAY)["trade_id"].to_list() == ["1", "2", "3"]


def test_the_same_row_for_another_reason_is_another_finding(lake: LakeStore) -> None:
    lake.quarantine(TRADES, DAY, refused(numbered([1])))
    assert lake.quarantine(TRADES, DAY, refused(numbered([1]), "its time contradicts its id")) == 2


def test_missing_and_impossible_values_are_kept(lake: LakeStore) -> None:
    rows = refused(numbered([1, 2])).with_columns(
        ts=pl.Series([None, 0]).cast(DataType.TRADES.table.schema["ts"]),
        price=pl.Series([None, float("nan")]),
    )
    lake.quarantine(TRADES, DAY, rows)
    assert lake.quarantined(TRADES, DAY).rows() == rows.with_columns(price=pl.lit(None, pl.Float64)).rows()


def test_without_refused_rows_there_is_an_empty_table_and_no_file(lake: LakeStore, tmp_path: Path) -> None:
    assert lake.quarantine(BARS, MONTH, refused(pl.DataFrame(schema=DataType.OHLC.table.schema))) == 0
    assert lake.quarantined(BARS, MONTH).schema == {**DataType.OHLC.table.schema, "reason": pl.String()}
    assert not list(tmp_path.rglob("*quarantine*"))


def test_a_file_that_cannot_be_read_is_damage(lake: LakeStore, tmp_path: Path) -> None:
    lake.quarantine(TRADES, DAY, refused(numbered([1])))
    (path,) = tmp_path.rglob("_quarantine.ndjson")
    path.write_text('{"ts":\n')
    with pytest.raises(DamagedFile, match=r"_quarantine\.ndjson"):
        lake.quarantined(TRADES, DAY)


def test_what_comes_in_a_stream_is_told_once_and_may_come_by_both_ways(lake: LakeStore) -> None:
    lake.set_aside(TRADES, DAY, refused(numbered([1, 2])))
    lake.set_aside(TRADES, DAY, refused(numbered([2, 3])))
    assert lake.quarantine(TRADES, DAY, refused(numbered([3, 4]))) == 4
    lake.set_aside(TRADES, DAY, refused(numbered([4, 5])))
    lake.set_aside(TRADES, DAY, refused(numbered([])))
    assert lake.quarantined(TRADES, DAY)["trade_id"].to_list() == ["1", "2", "3", "4", "5"]
    assert store(lake, numbered([6])).ledger.quarantined == 5


def test_a_line_that_a_killed_writer_left_is_none_and_gone_with_the_next(
    lake: LakeStore, tmp_path: Path
) -> None:
    lake.set_aside(TRADES, DAY, refused(numbered([1])))
    (path,) = tmp_path.rglob("_quarantine.ndjson")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    assert lake.quarantined(TRADES, DAY)["trade_id"].to_list() == ["1"]
    lake.set_aside(TRADES, DAY, refused(numbered([2])))
    assert lake.quarantined(TRADES, DAY)["trade_id"].to_list() == ["1", "2"]
    path.write_bytes(whole[:30])
    lake.set_aside(TRADES, DAY, refused(numbered([3])))
    assert lake.quarantined(TRADES, DAY)["trade_id"].to_list() == ["3"]


def test_the_ledger_counts_them_and_the_rows_stay_out(lake: LakeStore) -> None:
    lake.quarantine(TRADES, DAY, refused(numbered([9])))
    assert store(lake, numbered([1])).ledger.quarantined == 1
    assert stored(lake)["trade_id"].to_list() == ["1"]
