"""``dccd inventory`` and ``dccd read``, as they are typed."""

import json
from pathlib import Path

import pytest

from dccd_core.lake.lake import LakeStore
from tests.dccd_pipeline.cli.terminal import BTC_HOURS, dccd, said
from tests.dccd_pipeline.held import HOURS, MINUTES

pytestmark = pytest.mark.usefixtures("project")


def test_the_inventory_is_a_table_or_json(lake: LakeStore) -> None:
    table = dccd("inventory").stdout
    assert "2 datasets" in table
    lines = {line.split("│")[1].strip(): line for line in table.splitlines() if "binance" in line}
    assert "available" in lines["binance/ohlc/BTC-USDT/1h"]
    assert "8,784" in lines["binance/ohlc/BTC-USDT/1h"]
    assert "degraded" in lines["binance/ohlc/BTC-USDT/1m"]

    hours, minutes = json.loads(dccd("inventory", "--json").stdout)
    assert (hours["dataset"], hours["condition"], hours["rows"]) == (str(HOURS), "available", 8_784)
    assert (minutes["dataset"], minutes["condition"], minutes["gaps"]) == (str(MINUTES), "degraded", 1)


def test_r7_a_damaged_dataset_is_listed_and_exits_1(lake: LakeStore) -> None:
    Path(lake.path(HOURS, "2024")).write_bytes(b"")
    result = dccd("inventory", "--json")
    hours, minutes = json.loads(result.stdout)
    assert (result.exit_code, hours["damaged"], minutes["rows"]) == (1, True, 44_630)


def test_an_empty_lake_is_listed_too() -> None:
    assert "0 datasets" in dccd("inventory").stdout
    assert json.loads(dccd("inventory", "--json").stdout) == []


def test_rows_are_shown_as_a_table(lake: LakeStore) -> None:
    result = dccd("read", *BTC_HOURS, "--start", "2024-03-01", "--end", "2024-03-01T05:00Z")
    assert result.exit_code == 0
    assert "shape: (5, 8)" in result.stdout
    assert "2024-03-01 04:00:00 UTC" in result.stdout


def test_a_damaged_file_is_an_error_of_the_data_not_of_the_question(lake: LakeStore) -> None:
    Path(lake.path(HOURS, "2024")).write_bytes(b"PAR1 not at all PAR1")
    result = dccd("read", *BTC_HOURS)
    assert result.exit_code == 1
    assert lake.path(HOURS, "2024") in result.stderr
    assert len(said(result).splitlines()) == 1
