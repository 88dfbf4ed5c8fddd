"""Stored rows, for a file."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.timespan import HOUR, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.read import NoRowsError, rows_of, write_rows
from tests.dccd_pipeline.cli.terminal import BTC_HOURS, dccd, refused
from tests.dccd_pipeline.held import HOURS, MINUTES, TRADES, hold

pytestmark = pytest.mark.usefixtures("project")


READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "rows.parquet": pl.read_parquet,
    "rows.json": pl.read_ndjson,
    "rows.csv": pl.read_csv,
}


@pytest.mark.parametrize("name", READERS)
def test_rows_are_written_to_a_file(lake: LakeStore, project: Path, name: str) -> None:
    span = ("--start", "2024-03-01", "--end", "2024-03-02")
    assert dccd("read", *BTC_HOURS, *span, "-o", name).exit_code == 0
    rows = READERS[name](project / name)
    assert rows.height == 24
    assert rows.columns == ["ts", "open", "high", "low", "close", "volume", "quote_volume", "trades"]
    if name.endswith(".parquet"):
        assert rows["ts"].to_physical().diff().unique().drop_nulls().to_list() == [HOUR]


def test_what_cannot_be_read_is_refused(lake: LakeStore) -> None:
    assert refused("read", *BTC_HOURS, "-o", "rows.xlsx") == (
        "cannot write rows.xlsx -> end it in .csv, .parquet, .json"
    )
    nothing = refused("read", "binance", "ETH/USDT", "--data-type", "trades")
    assert nothing.startswith("the lake holds nothing of binance/trades/ETH-USDT")


def test_where_there_is_nothing_is_said_with_what_there_is(lake: LakeStore) -> None:
    span = ("--start", "2030-01-01", "--end", "2030-01-02")
    result = dccd("read", *BTC_HOURS, *span)
    assert result.exit_code == 1
    assert "no rows of binance/ohlc/BTC-USDT/1h in this time -> it has some from 2024-01-01" in result.stderr
    nothing = refused("read", "binance", "ETH/USDT", "--data-type", "trades")
    assert nothing.endswith(f"it holds {HOURS}, {MINUTES}, or fill it with dccd backfill")
    elsewhere = refused("read", "okx", "ETH/USDT", "--data-type", "trades")
    assert elsewhere.endswith("see dccd inventory, or fill it with dccd backfill")


def test_a_dataset_whose_answers_were_empty_has_no_rows_at_all(lake: LakeStore) -> None:
    hold(lake, TRADES, "2024-01-05", pl.DataFrame(schema=TRADES.data_type.table.schema))
    with pytest.raises(NoRowsError, match="it has none at all"):
        rows_of(lake, TRADES, TimeRange(Us(0), HOUR))


def test_a_place_that_takes_no_file_is_said(lake: LakeStore, project: Path) -> None:
    rows = lake.scan(HOURS)
    with pytest.raises(ConfigError, match=r"there is no folder .*make it first"):
        write_rows(rows, project / "none" / "rows.csv")
    (project / "rows.csv").mkdir()
    with pytest.raises(LakeError, match=r"cannot write .*rows\.csv: .*choose another place"):
        write_rows(rows, project / "rows.csv")
