"""``dccd exchanges`` and ``dccd doctor``, as they are typed."""

import json
from pathlib import Path

import pytest

from dccd_core.testing.sandbox.process import RunningSandbox
from dccd_pipeline.cli.capability_table import matrix_markdown
from tests.dccd_pipeline.cli.terminal import CONFIG, dccd, refused, said

pytestmark = pytest.mark.usefixtures("project")


def test_what_exchanges_serve_is_a_table_or_json() -> None:
    table = dccd("exchanges").stdout
    assert all(word in table for word in ("binance", "ohlc", "trades", "orderbook", "full history"))
    rows = json.loads(dccd("exchanges", "kraken", "--json").stdout)
    assert [row["data_type"] for row in rows] == ["ohlc", "trades", "orderbook"]
    one = dccd("exchanges", "kraken").stdout
    assert "What Kraken serves" in one
    assert "1 per 1s a market (ohlc)" in one
    assert rows[0]["docs"] in one
    assert dccd("exchanges", "--markdown").stdout == matrix_markdown()
    assert refused("exchanges", "binanc") == "unknown exchange 'binanc' -> did you mean 'binance'?"


def test_the_doctor_says_what_is_not_well(project: Path) -> None:
    (project / "dccd.yaml").write_text(CONFIG % "http://127.0.0.1:9")
    result = dccd("doctor")
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert line.startswith("FAIL binance connection: ")
    assert " -> " in line


def test_symbols_are_lines_or_json_and_none_is_an_error(project: Path, sandbox: RunningSandbox) -> None:
    (project / "dccd.yaml").write_text(CONFIG % sandbox.rest_url("binance"))
    listed = dccd("symbols", "binance", "BTC/USDT")
    assert listed.exit_code == 0
    assert listed.stdout.split()[:2] == ["BTC/USDT", "BTCUSDT"]
    assert json.loads(dccd("symbols", "binance", "BTC/USDT:*", "--json").stdout) == ["BTC/USDT:USDT"]
    nothing = dccd("symbols", "binance", "NOTHING/*")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert said(nothing) == "nothing at binance matches 'NOTHING/*'\n"
