"""What streams record is an asset, with the partitions that there are of it."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.exchanges import get
from dccd_core.lake.lake import LakeStore
from dccd_core.tables import DataType
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.streams.assets import first_days, recorded_spec, stream_spec
from dccd_pipeline.streams.report import stream_asset
from dccd_pipeline.tags import EXCHANGE
from tests.dccd_pipeline.held import BOOKS, HOURS, TRADES, bars, hold, whole
from tests.dccd_pipeline.streamed import settings_of

INVERSE = Dataset("binance", Symbol("BTC", "USD", "BTC"), DataType.TRADES)
FIRST = date(2024, 5, 7)


@pytest.fixture
def entry(tmp_path: Path) -> StreamEntry:
    [one] = settings_of(tmp_path).stream
    return one


def test_a_stream_is_an_asset_that_is_only_looked_at(entry: StreamEntry) -> None:
    spec = stream_spec(entry)
    assert spec.key == stream_asset("majors")
    assert (spec.kinds, spec.tags[EXCHANGE], spec.partitions_def) == ({"websocket"}, "binance", None)


def test_what_it_records_hangs_on_it_and_has_days_from_the_first_on(entry: StreamEntry) -> None:
    spec = recorded_spec(entry, TRADES, "s3://bucket", FIRST)
    assert [dep.asset_key for dep in spec.deps] == [stream_asset("majors")]
    assert spec.kinds == {"websocket", "parquet"}
    assert isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition)
    assert spec.partitions_def.get_first_partition_key() == "2024-05-07"
    live = get("binance").live
    assert live is not None
    assert str(spec.description).endswith(f"recorded live. Source: {live.channels[DataType.TRADES].docs}")


def test_bars_have_years(entry: StreamEntry) -> None:
    spec = recorded_spec(entry, HOURS, "s3://bucket", FIRST)
    assert isinstance(spec.partitions_def, dg.TimeWindowPartitionsDefinition)
    assert spec.partitions_def.get_first_partition_key() == "2024"


def test_what_is_held_tells_since_when(tmp_path: Path) -> None:
    lake = LakeStore(tmp_path)
    for key in ("2024", "2023"):
        hold(lake, HOURS, key, bars(whole(HOURS, key)))
    hold(lake, TRADES, "2024-05-07", TRADES.data_type.table.empty())
    assert first_days(lake, [HOURS, BOOKS, TRADES, INVERSE]) == {HOURS: date(2023, 1, 1), TRADES: FIRST}
    assert first_days(lake, []) == {}


def test_a_store_that_does_not_answer_keeps_nobody_from_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lake, looked = LakeStore(tmp_path), LakeStore.first_key
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))

    def broken(self: LakeStore, dataset: Dataset) -> str | None:
        if dataset == TRADES:
            raise LakeError("no route to host")
        return looked(self, dataset)

    monkeypatch.setattr(LakeStore, "first_key", broken)
    assert first_days(lake, [HOURS, TRADES]) == {}
    assert "nobody says since when it is recorded: no route to host" in caplog.text
