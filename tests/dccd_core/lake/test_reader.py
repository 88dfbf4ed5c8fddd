from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dccd_core.domain.datatype import TABLES, DataType
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import SECOND, Ns, TimeSpan
from dccd_core.lake.lake import Lake
from tests.dccd_core.lake.samples import DAY, SPAN, TRADES, numbered, store, trades

NEXT = "2024-02-01"
TOMORROW = trades((ONE_DAY + n * SECOND, str(100 + n), 1.0) for n in range(5))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two days: ids 0 to 4 and 100 to 104, one a second from midnight on."""
    lake = Lake(tmp_path)
    store(lake, numbered(range(5)))
    store(lake, TOMORROW, key=NEXT)
    return lake


def ids(rows: pl.LazyFrame) -> list[str]:
    return rows.collect()["trade_id"].to_list()


def test_partitions_are_one_table(lake: Lake) -> None:
    assert_frame_equal(lake.scan(TRADES).collect(), pl.concat([numbered(range(5)), TOMORROW]))


def test_a_span_is_half_open(lake: Lake) -> None:
    span = TimeSpan(Ns(SPAN.start + 3 * SECOND), Ns(SPAN.end + SECOND))
    assert ids(lake.scan(TRADES, span)) == ["3", "4", "100"]


def test_a_span_decides_to_the_nanosecond(lake: Lake) -> None:
    assert ids(lake.scan(TRADES, TimeSpan(Ns(SPAN.start + SECOND - 1), Ns(SPAN.start + SECOND)))) == []
    assert ids(lake.scan(TRADES, TimeSpan(Ns(SPAN.start + SECOND), Ns(SPAN.start + SECOND + 1)))) == ["1"]


def test_filters_columns_and_limits_reach_the_files(lake: Lake) -> None:
    rows = lake.scan(TRADES).filter(pl.col("price") >= 1).select("trade_id")
    assert ids(rows) == ["1", "2", "3", "4", "100", "101", "102", "103", "104"]
    assert ids(lake.scan(TRADES).head(7)) == ["0", "1", "2", "3", "4", "100", "101"]
    assert ids(rows.head(2)) == ["1", "2"]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_both_engines_read_it(lake: Lake, engine: Literal["in-memory", "streaming"]) -> None:
    days = lake.scan(TRADES).group_by(pl.col("ts").dt.date().alias("day")).len().sort("day")
    assert days.collect(engine=engine)["len"].to_list() == [5, 5]
    both = lake.scan(TRADES, SPAN).join(lake.scan(TRADES), on="trade_id")
    assert both.collect(engine=engine).height == 5


def test_nothing_stored_is_an_empty_table(tmp_path: Path) -> None:
    assert Lake(tmp_path).scan(TRADES).collect().schema == TABLES[DataType.TRADES].schema


def test_each_collect_reads_what_is_there_by_then(lake: Lake) -> None:
    rows = lake.scan(TRADES, SPAN)
    assert len(ids(rows)) == 5
    store(lake, numbered(range(5, 3_000)))
    assert len(ids(rows)) == 3_000


def test_partitions_outside_the_span_are_not_opened(lake: Lake) -> None:
    Path(lake.path(TRADES, NEXT)).write_bytes(b"damaged")
    assert ids(lake.scan(TRADES, SPAN)) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("damage", ["cut", "rotten", "empty"])
def test_a_damaged_file_is_an_error_that_names_it(lake: Lake, damage: str) -> None:
    path = Path(lake.path(TRADES, NEXT))
    whole = path.read_bytes()
    rotten = whole[:4] + bytes(byte ^ 0x55 for byte in whole[4:400]) + whole[400:]
    path.write_bytes({"cut": whole[:-20], "rotten": rotten, "empty": b""}[damage])
    with pytest.raises(DamagedFile, match=f"date={NEXT}.*restore"):
        lake.scan(TRADES).collect()


def test_a_query_that_cannot_be_answered_is_not_blamed_on_the_file(lake: Lake) -> None:
    with pytest.raises(pl.exceptions.ComputeError, match="conversion"):
        lake.scan(TRADES).filter(pl.col("trade_id").replace("1", "x").cast(pl.Int64) > 0).collect()


def test_other_tools_read_a_data_type_as_one_table(lake: Lake, tmp_path: Path) -> None:
    lake.quarantine(TRADES, DAY, numbered([9]).with_columns(reason=pl.lit("bad")))
    with lake.draft(TRADES, DAY):
        rows = pl.scan_parquet(tmp_path / "trades" / "**" / "*.parquet", hive_partitioning=True).collect()
    assert rows.height == 10
    assert rows.select("exchange", "symbol").unique().rows() == [("binance", "BTC-USDT")]
    assert [str(day) for day in rows["date"].unique().sort()] == [DAY, NEXT]


def test_duckdb_reads_a_data_type_as_one_table(lake: Lake, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select count(*), min(trade_id), max(symbol) from '{tmp_path}/trades/**/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(10, "0", "BTC-USDT")]
