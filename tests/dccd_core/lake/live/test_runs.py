from collections.abc import Sequence
from io import BytesIO

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY as ONE_DAY
from dccd_core.domain.timespan import MILLISECOND, MINUTE, Us
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live import runs as runs_module
from dccd_core.lake.live.runs import SortedRuns
from dccd_core.lake.live.segments import segment_schema
from dccd_core.lake.partition import merge as merge_module
from dccd_core.lake.partition.merge import unite
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import BARS, DAY, SPAN, TRADED, TRADES, live, many, numbered, often, trades

ETH = Dataset("binance", Symbol("ETH", "USDT"), DataType.TRADES)
NOTHING = trades([])


def batch(rows: pl.DataFrame) -> pa.RecordBatch:
    plain = rows.cast({"side": pl.String}) if "side" in rows.columns else rows
    table = plain.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    [one] = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=segment_schema(DataType.TRADES))]
    return one


def taken(segments: Sequence[Sequence[pl.DataFrame]], wanted: pl.Expr | None = None) -> SortedRuns:
    runs = SortedRuns(TRADED, BytesIO(), wanted)
    for segment in segments:
        for rows in segment:
            runs.add(batch(rows))
        runs.end_segment()
    return runs


def rows(runs: SortedRuns, dataset: Dataset = TRADES, key: str = DAY) -> pl.DataFrame:
    return pl.concat([live(NOTHING).drop("symbol"), *runs.rows(dataset, key)])


def test_each_symbol_and_day_is_a_part_of_its_own() -> None:
    tomorrow = trades([(ONE_DAY, "9", 1.0)])
    runs = taken([[live(pl.concat([numbered([1]), tomorrow])), live(numbered([2]), "ETH/USDT")], []])
    assert set(runs.parts()) == {(TRADES, DAY), (TRADES, "2024-02-01"), (ETH, DAY)}
    assert rows(runs)["trade_id"].to_list() == ["1"]
    assert rows(runs, key="2024-02-01")["trade_id"].to_list() == ["9"]
    assert rows(runs, ETH)["trade_id"].to_list() == ["2"]
    assert rows(runs, ETH, "2024-02-01").is_empty()
    assert runs.rows_taken == 3


@pytest.mark.parametrize(("span", "key"), [(MINUTE, "2024-01"), (ONE_DAY, "2024")])
def test_bars_fall_into_months_and_years(span: Us, key: str) -> None:
    family = StreamKey("binance", DataType.OHLC, span)
    bar = dict.fromkeys(["open", "high", "low", "close", "volume", "quote_volume"], 1.0)
    bars = live(pl.DataFrame([{"ts": SPAN.start, **bar, "trades": 1}]).cast({"ts": pl.Datetime("us", "UTC")}))
    runs = SortedRuns(family, BytesIO())
    runs.add(batch(bars))
    runs.end_segment()
    assert runs.parts() == [(Dataset(BARS.exchange, BARS.symbol, BARS.data_type, span), key)]


def test_only_what_is_wanted_is_taken() -> None:
    runs = taken([[live(numbered(range(9)))]], pl.col("price") > 6)
    assert rows(runs)["trade_id"].to_list() == ["7", "8"]
    assert taken([[live(numbered([1]))]], pl.col("price") > 6).parts() == []


def test_equal_trades_without_ids_are_counted_by_segment() -> None:
    """One connection told them apart; two connections heard the same ones."""
    once, twice = live(trades([(0, None, 1.0)])), live(trades([(0, None, 1.0)] * 2))
    assert rows(taken([[once, once]])).height == 2
    assert rows(taken([[once], [twice]])).height == 2
    assert rows(taken([[twice], [once]])).height == 2


def test_other_ids_keep_the_order_in_which_they_came() -> None:
    portions = [live(trades([(0, name, 1.0), (5, f"{name}5", 1.0)])) for name in "zxy"]
    assert rows(taken([portions]))["trade_id"].to_list() == ["z", "x", "y", "z5", "x5", "y5"]


def test_other_ids_keep_it_although_a_later_append_goes_further_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "_HELD", 1)
    first, then = live(trades([(5, "z", 1.0)])), live(trades([(1, "a", 1.0), (5, "y", 1.0)]))
    assert rows(taken([[first, then]]))["trade_id"].to_list() == ["a", "z", "y"]


def facts(number: int) -> tuple[int, str, float]:
    """The one trade of this number; several share a moment, more share a second."""
    return number // 3 * 400 * MILLISECOND, str(number), float(number)


numbers = st.lists(st.integers(0, 60), max_size=12)
connections = st.lists(st.lists(numbers, max_size=5), max_size=4)


@often
@given(segments=connections, held=st.integers(1, 20), group=st.integers(1, 10))
def test_however_rows_are_split_over_connections_and_appends_they_are_the_same(
    segments: list[list[list[int]]], held: int, group: int
) -> None:
    """They may come late, twice, and by several connections at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "_HELD", held)
        patch.setattr(runs_module, "GROUP", group)
        patch.setattr(merge_module, "_ENOUGH", group)
        runs = taken([[live(trades(map(facts, each))) for each in segment] for segment in segments])
        frames = list(runs.rows(TRADES, DAY))
    expected = trades(map(facts, sorted({n for segment in segments for each in segment for n in each})))
    found = pl.concat([live(NOTHING).drop("symbol"), *frames])
    assert_frame_equal(found, live(unite(DataType.TRADES, NOTHING, expected)).drop("symbol"))


def test_rows_come_in_pieces() -> None:
    runs = taken([[live(many(start, 100_000)) for start in range(0, 900_000, 100_000)]])
    frames = list(runs.rows(TRADES, DAY))
    assert max(frame.height for frame in frames) < 3 * runs_module.GROUP
    assert_frame_equal(pl.concat(frames), live(many(0, 900_000)).drop("symbol"))
