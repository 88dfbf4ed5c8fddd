"""Stored rows, for a file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.timespan import HOUR, TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Answer, Asked, Source
from dccd_pipeline.cli.read import NoRowsError, rows_of, write_rows
from tests.buckets import own_bucket, s3_server
from tests.dccd_core.lake import samples
from tests.dccd_pipeline.cli.terminal import BTC_HOURS, CONFIG, STREAMS, dccd, refused, said
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


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a store in a bucket of its own."""
    with s3_server() as endpoint:
        yield f"s3://{own_bucket(endpoint, monkeypatch)}/data"


def test_of_a_lake_in_a_bucket_another_machine_sees_ticks_and_hears_where_the_stream_is(
    project: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks append to the bucket itself; what a stream records stays with it until it is folded."""
    config = (CONFIG % "http://127.0.0.1:9").replace("store: ./lake", f"store: {bucket}")
    (project / "dccd.yaml").write_text(config)
    question = ("read", "binance", "BTC/USDT", "--data-type", "trades")
    here, asked = LakeStore(bucket), samples.asked(0, 3, rows=3)
    by_tick = samples.live(samples.numbered(range(3)))
    here.tail(samples.TRADES).append(by_tick, {"BTC/USDT": [Answer((asked,))]}, samples.at(3))
    with samples.begin(here) as writer:
        by_stream = samples.live(samples.numbered(range(3, 8)))
        writer.append(by_stream, samples.notes(samples.at(8), [samples.began(3)]))
    assert "shape: (8, 6)" in dccd(*question).stdout
    assert said(dccd(*question)) == ""

    monkeypatch.setenv("DCCD_STATE_DIR", str(project / "another machine"))
    assert "shape: (3, 6)" in dccd(*question).stdout
    assert said(dccd(*question)) == ""  # nobody told it
    line = f"{samples.TRADES} is streamed: its newest rows are seen only on the machine that records them"
    (project / "dccd.yaml").write_text(config + STREAMS)
    assert said(dccd(*question)).startswith(line)
    assert "shape: (3, 6)" in dccd(*question).stdout

    (project / "dccd.yaml").write_text(config)
    streamed = Asked(samples.SPAN, Source.STREAM, samples.SPAN.end, 0, 1)
    with here.draft(samples.TRADES, samples.DAY) as draft:
        draft.append(samples.numbered([9]))
        draft.commit([streamed], samples.Witness)
    assert said(dccd(*question)).startswith(line)  # its newest partition says so
