from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, TimeRange, Us, iso
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Hole
from dccd_core.tables import DataType
from dccd_pipeline.assets.metadata import (
    last_rows,
    partition_event,
    partition_metadata,
    partition_view,
    price_chart,
)
from dccd_pipeline.assets.plots import SIZE
from dccd_pipeline.assets.spec import column_schema, uri_of
from tests.dccd_core.lake.samples import take_away
from tests.dccd_pipeline.drawn import ink
from tests.dccd_pipeline.held import BOOKS, MINUTES, TRADES, bars, hold, state, whole

START = partition_span(MINUTES.grain, "2024-01").start


def said(metadata: dict[str, dg.MetadataValue]) -> dict[str, object]:
    return {name: value.value for name, value in metadata.items()}


def test_a_partition_describes_itself() -> None:
    gap = Hole(TimeRange(START, Us(START + 2 * MINUTE)), 2, (START,))
    quiet = Hole(TimeRange(Us(START + HOUR), Us(START + HOUR + MINUTE)), 1, (), "nothing was traded")
    states = {
        "2023-12": state(MINUTES, "2023-12"),
        "2024-01": state(MINUTES, "2024-01", gap, quiet, until=Us(START + 5 * HOUR), quarantined=7),
    }
    told = partition_metadata(MINUTES, "2024-01", states)
    assert said(told) == {
        "condition": "degraded",
        "dagster/partition_row_count": 3,
        "dagster/row_count": 6,
        "dagster/uri": uri_of("2024-01/data.parquet"),
        "first": "2024-01-01T00:00:00Z",
        "last": "2024-01-01T02:00:00Z",
        "covered_until": "2024-01-01T05:00:00Z",
        "requests": 2,
        "gaps": 1,
        "holes": "| from | to | missing | explained by |\n|---|---|---|---|\n"
        "| 2024-01-01T00:00:00Z | 2024-01-01T00:02:00Z | 2 | **gap** |\n"
        "| 2024-01-01T01:00:00Z | 2024-01-01T01:01:00Z | 1 | nothing was traded |",
        "quarantined": 7,
        "bytes": 456,
        "path": "2024-01/data.parquet",
        "content_hash": "hash of 2024-01",
        "dagster/column_schema": column_schema(DataType.OHLC),
    }


def test_dagster_is_told_of_a_complete_partition_in_full_and_of_an_open_one_briefly() -> None:
    whole = partition_span(MINUTES.grain, "2024-01")
    states = {
        "2024-01": state(MINUTES, "2024-01"),
        "2024-02": state(MINUTES, "2024-02", until=Us(whole.end + HOUR)),
    }
    full = partition_event(MINUTES, "2024-01", states, {}, whole.end)
    brief = partition_event(MINUTES, "2024-02", states, {}, Us(whole.end + HOUR))
    assert isinstance(full, dg.AssetMaterialization)
    rate = {"gap_ppm": dg.MetadataValue.float(0.0)}
    assert full.metadata == partition_metadata(MINUTES, "2024-01", states) | rate
    assert full.tags == {"dagster/data_version": "hash of 2024-01"}
    assert isinstance(brief, dg.AssetObservation)
    assert set(full.metadata) - set(brief.metadata) == {"dagster/column_schema"}  # the asset itself has it


def test_the_gap_rate_of_a_partition_is_a_number_that_is_plotted() -> None:
    whole = partition_span(MINUTES.grain, "2024-01")
    gap = Hole(TimeRange(START, Us(START + 31 * MINUTE)), 31, (START,))
    states = {
        "2024-01": state(MINUTES, "2024-01", gap),
        "2024-02": state(MINUTES, "2024-02", until=whole.end),
    }
    closed = partition_event(MINUTES, "2024-01", states, {}, Us(whole.end + HOUR))
    assert closed.metadata["gap_ppm"] == dg.MetadataValue.float(round(31 / (31 * 24 * 60) * 1e6, 3))
    half = partition_event(MINUTES, "2024-02", states, {}, Us(whole.end + 2 * HOUR))
    assert half.metadata["gap_ppm"] == dg.MetadataValue.float(1e6), "nothing of what can be had is proven"
    book = {"2024-01-01": state(BOOKS, "2024-01-01")}
    assert "gap_ppm" not in partition_event(BOOKS, "2024-01-01", book, {}, whole.end).metadata


def test_of_many_holes_the_first_are_shown_and_the_rest_counted() -> None:
    holes = [
        Hole(TimeRange(Us(START + n * HOUR), Us(START + n * HOUR + MINUTE)), 1, (), "nothing was traded")
        for n in range(25)
    ]
    states = {"2024-01": state(MINUTES, "2024-01", *holes)}
    text = str(said(partition_metadata(MINUTES, "2024-01", states))["holes"])
    assert text.count("nothing was traded") == 20
    assert text.endswith("\n5 more in the ledger")


def test_the_chart_shows_the_prices_of_its_partition_alone(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    opens = whole(MINUTES, "2024-02")
    hold(lake, MINUTES, "2024-02", bars(opens).with_columns(close=pl.arange(pl.len()).cast(pl.Float64)))
    hold(lake, MINUTES, "2024-03", bars(whole(MINUTES, "2024-03")))
    chart = price_chart(lake, MINUTES, "2024-02")
    assert chart.startswith("![close](data:image/png;base64,")
    heights = ink(chart)
    assert heights[0] - heights[-1] > SIZE[1] / 2, "prices rise"
    assert heights[::40] == sorted(heights[::40], reverse=True)
    assert len(set(ink(price_chart(lake, MINUTES, "2024-03")))) == 1, "there they are the same all the time"


@pytest.mark.parametrize("dataset", [TRADES, BOOKS], ids=str)
def test_trades_and_books_are_drawn_by_their_price(dataset: Dataset, tmp_path: Path) -> None:
    span = partition_span(dataset.grain, "2024-01-01")
    rows = pl.DataFrame(
        {
            "ts": [span.start, span.start + HOUR, span.start + 2 * HOUR],
            "price": [1.0, 3.0, 2.0],
            "amount": [1.0] * 3,
            "side": ["buy"] * 3 if dataset is TRADES else ["bid"] * 3,
            "trade_id": ["1", "2", "3"],
            "level": [0] * 3,
            "received": [None] * 3,
        }
    )
    schema = dataset.data_type.table.schema
    typed = rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    hold(LakeStore(tmp_path), dataset, "2024-01-01", typed)
    chart = price_chart(LakeStore(tmp_path), dataset, "2024-01-01")
    assert chart.startswith("![price]")
    heights = ink(chart)
    assert heights[0] > heights[-1] > min(heights)


def test_no_price_and_one_price_draw_no_line(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    hold(lake, MINUTES, "2024-01", bars([]))
    hold(lake, MINUTES, "2024-02", bars([whole(MINUTES, "2024-02")[0]]))
    for key in ("2024-01", "2024-02"):
        assert ink(price_chart(lake, MINUTES, key)) == []


def test_the_last_ten_rows_are_shown_as_they_are_stored(tmp_path: Path) -> None:
    lake, opens = LakeStore(tmp_path), whole(MINUTES, "2024-02")[:12]
    hold(lake, MINUTES, "2024-02", bars(opens))
    told = last_rows(lake, MINUTES, "2024-02")
    assert isinstance(told, dg.TableMetadataValue)
    assert told.schema == column_schema(MINUTES.data_type)
    records = [dict(record.data) for record in told.records]
    assert [record["ts"] for record in records] == [f"2024-02-01T00:{n:02}:00Z" for n in range(2, 12)]
    stored = lake.scan(MINUTES).tail(10).drop("ts").collect().rows(named=True)
    assert [{name: value for name, value in record.items() if name != "ts"} for record in records] == stored


@pytest.mark.parametrize(
    "minutes",
    [range(41_760), [*range(30_000), 41_000], [0, *range(41_700, 41_709)], [0, 41_759], range(10)],
    ids=["evenly", "hardly any at the end", "crowded at the end", "two", "all at the start"],
)
def test_of_a_partition_no_more_is_read_than_its_last_rows_need(
    tmp_path: Path, minutes: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until now all of it was, a second time: 170 ms of CPU for a day of two million trades."""
    lake, asked = LakeStore(tmp_path), list[TimeRange]()
    span = partition_span(MINUTES.grain, "2024-02")
    opens = [Us(span.start + n * MINUTE) for n in minutes]
    hold(lake, MINUTES, "2024-02", bars(opens))
    scan = LakeStore.scan

    def watched(self: LakeStore, dataset: Dataset, part: TimeRange) -> pl.LazyFrame:
        asked.append(part)
        return scan(self, dataset, part)

    monkeypatch.setattr(LakeStore, "scan", watched)
    told = last_rows(lake, MINUTES, "2024-02")
    assert isinstance(told, dg.TableMetadataValue)
    assert [record.data["ts"] for record in told.records] == [iso(at) for at in opens[-10:]]
    if len(opens) == 41_760:
        assert sum(part.length for part in asked) < span.length / 100
    assert all(before.start > after.start for before, after in pairwise(asked))


def test_of_nothing_no_row_is_shown(tmp_path: Path) -> None:
    hold(LakeStore(tmp_path), MINUTES, "2024-01", bars([]))
    told = last_rows(LakeStore(tmp_path), MINUTES, "2024-01")
    assert isinstance(told, dg.TableMetadataValue)
    assert list(told.records) == []


def test_of_what_only_remotes_hold_it_is_said_where_it_is(tmp_path: Path) -> None:
    """Nothing is brought back to be shown."""
    lake = LakeStore(tmp_path)
    hold(lake, MINUTES, "2024-01", bars(whole(MINUTES, "2024-01")))
    take_away(lake, "2024-01", dataset=MINUTES)
    assert said(partition_view(lake, MINUTES, "2024-01")) == {"held_elsewhere": "backup"}
