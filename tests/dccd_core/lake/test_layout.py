import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, Us
from dccd_core.lake.layout import (
    StreamKey,
    beside,
    data_path,
    held_path,
    manifest_path,
    parse_data_path,
    parse_family,
    parse_part_path,
    quarantine_path,
    segment_name,
    segment_start,
    withdrawn_path,
)
from dccd_core.tables import DataType
from tests.dccd_core.lake.samples import BARS, BOOKS, BTC, DAY, MONTH, TRADES

HOURS = Dataset("okx", Symbol("BTC", "USDT", "USDT"), DataType.OHLC, HOUR)


@pytest.mark.parametrize(
    ("dataset", "key", "path"),
    [
        (TRADES, DAY, "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"),
        (BOOKS, DAY, "orderbook/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet"),
        (BARS, MONTH, "ohlc/exchange=binance/symbol=BTC-USDT/span=1m/period=2024-01/data.parquet"),
        (HOURS, "2024", "ohlc/exchange=okx/symbol=BTC-USDT_USDT/span=1h/period=2024/data.parquet"),
    ],
)
def test_a_partition_has_one_place_and_the_place_names_the_partition(
    dataset: Dataset, key: str, path: str
) -> None:
    assert data_path(dataset, key) == path
    assert parse_data_path(path) == (dataset, key)


@pytest.mark.parametrize(
    "path",
    [
        "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/other.parquet",
        "trades/exchange=binance/symbol=BTC-USDT/period=2024-13-01/data.parquet",
        "trades/exchange=binance/symbol=BTC-USDT/period=2024-01/data.parquet",
        "trades/exchange=binance/symbol=BTC-USDT/span=1m/period=2024-01-31/data.parquet",
        "trades/exchange=binance/symbol=BTCUSDT/period=2024-01-31/data.parquet",
        "ohlc/exchange=binance/symbol=BTC-USDT/period=2024/data.parquet",
        "ohlc/exchange=binance/symbol=BTC-USDT/span=60s/period=2024-01/data.parquet",
        "quotes/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet",
    ],
)
def test_other_paths_are_no_partitions(path: str) -> None:
    assert parse_data_path(path) is None


def test_a_record_lies_beside_its_file_and_is_no_partition_file() -> None:
    path = held_path(TRADES, DAY)
    assert path == beside(data_path(TRADES, DAY), "_held.json")
    assert path == "trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/_held.json"
    assert (parse_data_path(path), parse_part_path(path)) == (None, (TRADES, DAY))
    assert parse_part_path(data_path(TRADES, DAY)) == (TRADES, DAY)
    assert parse_part_path(quarantine_path(TRADES, DAY)) is None


def test_a_key_of_another_grain_is_refused() -> None:
    with pytest.raises(ConfigError, match="2024"):
        data_path(TRADES, "2024")


def test_only_data_files_end_in_parquet() -> None:
    assert withdrawn_path(Dataset("okx", BTC, DataType.ORDERBOOK), DAY) == (
        "orderbook/exchange=okx/symbol=BTC-USDT/period=2024-01-31/_withdrawn.ndjson"
    )
    assert quarantine_path(Dataset("okx", BTC, DataType.TRADES), DAY) == (
        "trades/exchange=okx/symbol=BTC-USDT/period=2024-01-31/_quarantine.ndjson"
    )


@pytest.mark.parametrize(
    ("family", "folder"),
    [
        (StreamKey("okx", DataType.TRADES), "okx/trades"),
        (StreamKey("okx", DataType.OHLC, HOUR), "okx/ohlc-1h"),
    ],
)
def test_a_family_has_one_folder_and_the_folder_names_the_family(family: StreamKey, folder: str) -> None:
    assert family.folder == folder
    assert parse_family(folder) == family


@pytest.mark.parametrize(
    "folder", ["okx", "okx/ohlc", "okx/trades-1h", "okx/ohlc-60m", "okx/quotes", "okx/ohlc-x"]
)
def test_other_folders_are_of_no_family(folder: str) -> None:
    assert parse_family(folder) is None


def test_a_segment_is_named_by_when_it_was_begun() -> None:
    name = segment_name(Us(17), "0123456789abcdef" * 2)
    assert name == "17-0123456789abcdef0123456789abcdef.arrow"
    assert segment_start(name) == 17
    assert segment_start(f"{name}.part") is segment_start(".harvest.lock") is None


def test_datasets_that_differ_in_the_symbol_have_one_manifest() -> None:
    """Not below a data type's folder, where engines look for rows."""
    assert manifest_path(StreamKey.of(HOURS)) == ".dccd/manifest/okx/ohlc-1h.json"
    assert manifest_path(StreamKey.of(TRADES)) == ".dccd/manifest/binance/trades.json"
