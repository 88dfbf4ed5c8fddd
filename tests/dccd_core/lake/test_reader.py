from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Notes
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import (
    BARS,
    DAY,
    SPAN,
    TRADES,
    begin,
    live,
    many,
    numbered,
    often,
    record,
    store,
    stored,
    trades,
)

NEXT = "2024-02-01"
TOMORROW = trades((ONE_DAY + n * SECOND, str(100 + n), 1.0) for n in range(5))


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    """Two days: ids 0 to 4 and 100 to 104, one a second from midnight on."""
    lake = LakeStore(tmp_path)
    store(lake, numbered(range(5)))
    store(lake, TOMORROW, key=NEXT)
    return lake


def ids(rows: pl.LazyFrame) -> list[str]:
    return rows.collect()["trade_id"].to_list()


def test_partitions_are_one_table(lake: LakeStore) -> None:
    assert_frame_equal(lake.scan(TRADES).collect(), pl.concat([numbered(range(5)), TOMORROW]))


def test_a_span_is_half_open(lake: LakeStore) -> None:
    span = TimeRange(Us(SPAN.start + 3 * SECOND), Us(SPAN.end + SECOND))
    assert ids(lake.scan(TRADES, span)) == ["3", "4", "100"]


def test_a_span_decides_to_the_nanosecond(lake: LakeStore) -> None:
    assert ids(lake.scan(TRADES, TimeRange(Us(SPAN.start + SECOND - 1), Us(SPAN.start + SECOND)))) == []
    assert ids(lake.scan(TRADES, TimeRange(Us(SPAN.start + SECOND), Us(SPAN.start + SECOND + 1)))) == ["1"]


def test_filters_columns_and_limits_reach_the_files(lake: LakeStore) -> None:
    rows = lake.scan(TRADES).filter(pl.col("price") >= 1).select("trade_id")
    assert ids(rows) == ["1", "2", "3", "4", "100", "101", "102", "103", "104"]
    assert ids(lake.scan(TRADES).head(7)) == ["0", "1", "2", "3", "4", "100", "101"]
    assert ids(rows.head(2)) == ["1", "2"]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_both_engines_read_it(lake: LakeStore, engine: Literal["in-memory", "streaming"]) -> None:
    days = lake.scan(TRADES).group_by(pl.col("ts").dt.date().alias("day")).len().sort("day")
    assert days.collect(engine=engine)["len"].to_list() == [5, 5]
    both = lake.scan(TRADES, SPAN).join(lake.scan(TRADES), on="trade_id")
    assert both.collect(engine=engine).height == 5


def test_nothing_stored_is_an_empty_table(tmp_path: Path) -> None:
    assert LakeStore(tmp_path).scan(TRADES).collect().schema == DataType.TRADES.table.schema


def test_each_collect_reads_what_is_there_by_then(lake: LakeStore) -> None:
    rows = lake.scan(TRADES, SPAN)
    assert len(ids(rows)) == 5
    store(lake, numbered(range(5, 3_000)))
    assert len(ids(rows)) == 3_000


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect, replaced = pl.LazyFrame.collect_batches, list[bool]()

    def late(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
        if not replaced:
            replaced.append(True)
            store(lake, many(900_000, 300_000))
        return collect(rows)

    monkeypatch.setattr(pl.LazyFrame, "collect_batches", late)
    assert ids(lake.scan(TRADES, SPAN)) == ["0", "1", "2", "3", "4"]
    assert lake.scan(TRADES, SPAN).collect().height == 300_005


def test_partitions_outside_the_span_are_not_opened(lake: LakeStore) -> None:
    Path(lake.path(TRADES, NEXT)).write_bytes(b"damaged")
    assert ids(lake.scan(TRADES, SPAN)) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("damage", ["cut", "rotten", "empty"])
def test_a_damaged_file_is_an_error_that_names_it(lake: LakeStore, damage: str) -> None:
    path = Path(lake.path(TRADES, NEXT))
    whole = path.read_bytes()
    rotten = whole[:4] + bytes(byte ^ 0x55 for byte in whole[4:400]) + whole[400:]
    path.write_bytes({"cut": whole[:-20], "rotten": rotten, "empty": b""}[damage])
    with pytest.raises(DamagedFile, match=f"period={NEXT}.*restore"):
        lake.scan(TRADES).collect()


def test_a_query_that_cannot_be_answered_is_not_blamed_on_the_file(lake: LakeStore) -> None:
    with pytest.raises(pl.exceptions.ComputeError, match="conversion"):
        lake.scan(TRADES).filter(pl.col("trade_id").replace("1", "x").cast(pl.Int64) > 0).collect()


def test_other_tools_read_a_data_type_as_one_table(lake: LakeStore, tmp_path: Path) -> None:
    lake.quarantine(TRADES, DAY, numbered([9]).with_columns(reason=pl.lit("bad")))
    with lake.draft(TRADES, DAY):
        rows = pl.scan_parquet(tmp_path / "trades" / "**" / "*.parquet", hive_partitioning=True).collect()
    assert rows.height == 10
    assert rows.select("exchange", "symbol").unique().rows() == [("binance", "BTC-USDT")]
    assert [str(day) for day in rows["period"].unique().sort()] == [DAY, NEXT]


def test_duckdb_reads_a_data_type_as_one_table(lake: LakeStore, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"select count(*), min(trade_id), max(symbol) from '{tmp_path}/trades/**/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(10, "0", "BTC-USDT")]


def test_live_rows_are_there_at_once_with_those_of_the_partition(lake: LakeStore) -> None:
    with begin(lake) as writer:
        for n in range(3, 8):
            writer.append(live(numbered([n])), Notes())
            assert ids(lake.scan(TRADES, SPAN)) == [str(each) for each in range(max(5, n + 1))]
    assert list(lake.states(TRADES)) == [DAY, NEXT]


def test_a_partition_may_be_live_only(lake: LakeStore, tmp_path: Path) -> None:
    later = trades([(2 * ONE_DAY, "200", 1.0)])
    record(lake, live(later), live(numbered([7]), "ETH/USDT"))
    assert ids(lake.scan(TRADES))[-2:] == ["104", "200"]
    assert lake.datasets() == [TRADES]
    other = LakeStore(tmp_path / "other")
    record(other, live(later))
    assert_frame_equal(other.scan(TRADES).collect(), live(later).drop("symbol"))
    assert other.datasets() == []


def test_what_is_live_is_filtered_like_the_rest(lake: LakeStore) -> None:
    record(lake, live(numbered([2, 3, 6, 7])))
    span = TimeRange(Us(SPAN.start + 3 * SECOND), Us(SPAN.start + 7 * SECOND))
    assert ids(lake.scan(TRADES, span)) == ["3", "4", "6"]
    rows = lake.scan(TRADES).filter(pl.col("price") >= 4).select("trade_id")
    assert ids(rows) == ["4", "6", "7"]
    assert ids(rows.head(2)) == ["4", "6"]
    assert ids(lake.scan(TRADES).head(8)) == ["0", "1", "2", "3", "4", "6", "7", "100"]
    assert lake.scan(TRADES).select(pl.len()).collect().item() == 12


def test_a_live_row_takes_the_place_of_the_stored_one(lake: LakeStore) -> None:
    record(lake, live(trades([(SECOND, "1", 9.0)])))
    assert lake.scan(TRADES, SPAN).collect()["price"].to_list() == [0, 9, 2, 3, 4]


numbers = st.sets(st.integers(0, 30), max_size=12)


@settings(often, max_examples=20)
@given(held=numbers, recorded=st.lists(numbers, max_size=3))
def test_stored_and_live_rows_are_what_folding_them_would_give(
    held: set[int], recorded: list[set[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = LakeStore(tmp_path_factory.mktemp("lake"))
    if held:
        store(lake, numbered(sorted(held)))
    for ids in recorded:
        record(lake, live(numbered(sorted(ids))))
    rows = lake.scan(TRADES).collect()
    assert_frame_equal(rows.drop("received"), numbered(sorted(held.union(*recorded))).drop("received"))
    came = rows.filter(pl.col("received").is_not_null())["trade_id"].cast(int)
    assert set(came) == set().union(*recorded), "what came live keeps when it came, stored by REST or not"


def test_many_rows_stored_and_live_are_one_table(lake: LakeStore) -> None:
    store(lake, many(0, 400_000))
    record(lake, *(live(many(start, 100_000)) for start in (300_000, 500_000, 400_000)))
    rows = lake.scan(TRADES, SPAN).filter(pl.col("price") >= 0).collect()
    assert_frame_equal(rows.drop("received"), many(0, 600_000).drop("received"))
    assert stored(lake).height == 400_000


def test_what_is_there_to_read(lake: LakeStore, tmp_path: Path) -> None:
    assert lake.holds(TRADES)
    other = LakeStore(tmp_path / "other")
    record(other, live(numbered([1]), "ETH/USDT"))
    assert not other.holds(TRADES)
    assert not other.holds(BARS)
    record(other, live(numbered([1]), "ETH/USDT"), live(numbered([2])))
    assert other.holds(TRADES)


def test_a_live_segment_that_is_none_is_an_error_that_names_it(lake: LakeStore) -> None:
    path = record(lake, live(numbered([9])))
    Path(path).write_bytes(b"no segment at all")
    with pytest.raises(DamagedFile, match=path):
        lake.scan(TRADES).collect()
