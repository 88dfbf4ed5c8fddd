"""What lies where in a store of dccd 3, and what it is called here."""

from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import TimeRange
from dccd_core.imports.oldstore import open_old, symbol_of
from tests.dccd_core.imports.old import Old, at, bars, trades


@pytest.mark.parametrize(
    ("exchange", "slug", "symbol"),
    [
        ("binance", "BTC-USDT", "BTC/USDT"),
        ("binance", "BTC-USDT_PERP", "BTC/USDT:USDT"),
        ("kraken", "XBT-USD", "BTC/USD"),
        ("kraken", "eth-xbt", "ETH/BTC"),
        ("bitmex", "BTC-USD", "BTC/USD:BTC"),
    ],
)
def test_pairs_are_understood_as_dccd_3_spells_them(exchange: str, slug: str, symbol: str) -> None:
    assert str(symbol_of(exchange, slug)) == symbol


@pytest.mark.parametrize(
    ("exchange", "slug", "why"),
    [
        ("binance", "BTC-USDT_NEXT_QUARTER", "one quarterly contract after another"),
        ("binance", "BTCUSDT", "no pair"),
        ("bitmex", "ETH-USD", "count contracts"),
        ("bitmex", "BTC-USDT", "count contracts"),
    ],
)
def test_what_is_no_market_here_says_why(exchange: str, slug: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        symbol_of(exchange, slug)


def test_files_are_told_by_dataset_in_order_of_time(tmp_path: Path) -> None:
    old = Old(tmp_path)
    for name in ("2024-02-01", "2024-01-31"):
        old.put(f"okx/trades/BTC-USDT/{name}.parquet", trades([]))
    for folder in ("XBT-USD", "BTC-USD"):
        old.put(f"kraken/ohlc/{folder}/3600s/2024.parquet", bars("2024-01-01", 1))
    hours, ticks = open_old(tmp_path).datasets
    assert str(hours.dataset) == "kraken/ohlc/BTC-USD/1h"
    assert [file.name.split("/")[2] for file in hours.files] == ["BTC-USD", "XBT-USD"]
    assert str(ticks.dataset) == "okx/trades/BTC-USDT"
    assert [file.period for file in ticks.files] == [
        TimeRange(at("2024-01-31"), at("2024-02-01")),
        TimeRange(at("2024-02-01"), at("2024-02-02")),
    ]


@pytest.mark.parametrize(
    "name", ["2024-13-01.parquet", "2024.parquet", "0000-01-01.parquet", "x.csv", "2024-01-31"]
)
def test_a_file_that_is_of_no_day_is_left_out(tmp_path: Path, name: str) -> None:
    Old(tmp_path).put(f"okx/trades/BTC-USDT/{name}", trades([]))
    (left,) = open_old(tmp_path).left_out
    assert (left.name, left.harmless) == (f"okx/trades/BTC-USDT/{name}", False)


def test_a_folder_where_a_file_should_be_is_left_out(tmp_path: Path) -> None:
    Old(tmp_path).put("okx/trades/BTC-USDT/2024-01-31.parquet/x", trades([]))
    (left,) = open_old(tmp_path).left_out
    assert left.name == "okx/trades/BTC-USDT/2024-01-31.parquet"


def test_what_is_no_old_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        open_old(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="nothing that dccd 3 wrote"):
        open_old(tmp_path)
    (tmp_path / "dccd.json").write_text("{}")
    with pytest.raises(ConfigError, match="a lake of this dccd already"):
        open_old(tmp_path)


def test_a_database_of_dccd_3_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    Old(tmp_path).put("okx/trades/BTC-USDT/2024-01-31.parquet", trades([]))
    (tmp_path / ".dccd").mkdir()
    (tmp_path / ".dccd" / "coverage.db").write_text("not a database")
    assert open_old(tmp_path).left_out == ()
