"""What Dagster loads: the configuration that stands where it is started."""

import runpy
import sys
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.errors import ConfigError

CONFIG = """
store: ./lake
collect:
  - {exchange: binance, symbols: [%s], data_type: ohlc, span: 1h, start: 2024-01-01}
"""
REPORT = "collect/binance_ohlc_1h"


def keys() -> set[str]:
    defs = runpy.run_module("dccd_pipeline.definitions")["defs"]
    assert isinstance(defs, dg.Definitions)
    dg.Definitions.validate_loadable(defs)
    return {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "dccd_pipeline.definitions", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "dccd.yaml"


def test_it_is_what_the_file_says_whenever_it_is_loaded(project: Path) -> None:
    project.write_text(CONFIG % "BTC/USDT")
    assert keys() == {"binance/ohlc/BTC-USDT/1h", REPORT, "lake/report"}
    project.write_text(CONFIG % "ETH/USDT")
    assert keys() == {"binance/ohlc/ETH-USDT/1h", REPORT, "lake/report"}


def test_a_mistake_in_the_file_is_said_when_nothing_was_right_before(project: Path) -> None:
    project.write_text(CONFIG % "BTC/USDT" + "colour: red\n")
    with pytest.raises(ConfigError, match="colour: unknown key"):
        keys()
