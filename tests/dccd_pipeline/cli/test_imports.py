"""``dccd import`` and ``dccd import-config``, as they are typed."""

import json
from pathlib import Path

import pytest

from dccd_core.lake.lake import LakeStore
from tests.dccd_core.imports.old import Old, bars
from tests.dccd_pipeline.cli.terminal import dccd, refused

pytestmark = pytest.mark.usefixtures("project")
NAME = "binance/ohlc/BTC-USDT/1m"
FILE = "binance/ohlc/BTC-USDT/1m/2024.parquet"
OLD = """
settings: {data_path: /old, ui_port: 8080}
jobs:
  - {exchange: binance, pairs: [BTC/USDT], data_type: ohlc, span: 60, start: "2024-01-01", every: 300}
"""


@pytest.fixture
def old(project: Path) -> Old:
    return Old(project / "old")


def test_an_import_says_what_was_taken_and_what_proves_it(project: Path, old: Old) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    result = dccd("import", str(old.root))
    assert result.exit_code == 0, result.output
    assert "1 dataset taken" in result.stdout
    assert "1 dataset not proven yet -> dccd collect" in result.stdout
    told = json.loads(dccd("inventory", "--json").stdout)
    assert [one["why"] for one in told] == ["2024-01: imported, never asked for"]
    assert [(one["dataset"], one["rows"], one["coverage"]) for one in told] == [
        ("binance/ohlc/BTC-USDT/1m", 60, 0.0)
    ]
    assert (
        "shape: (60, 8)" in dccd("read", "binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1m").stdout
    )


def test_what_is_not_taken_is_named_and_makes_it_1(old: Old) -> None:
    old.put("binance/funding/BTC-USDT_PERP/2024.parquet", bars("2024-01-01", 1))
    old.put(FILE, bars("2024-01-01", 2).with_columns(high=0.5))
    result = dccd("import", str(old.root))
    assert result.exit_code == 1
    assert "binance/funding: not taken: there is no data type funding here" in result.stdout
    assert "2 rows refused: high is below another price" in result.stdout
    assert "binance/ohlc/BTC-USDT-1m.ndjson" in result.stdout


def test_a_dry_run_as_json_stores_nothing(project: Path, old: Old) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    told = json.loads(dccd("import", str(old.root), "--dry-run", "--json").stdout)
    assert (told["dry_run"], told["whole"]) == (True, True)
    assert [(one["dataset"], one["taken"]) for one in told["datasets"]] == [(NAME, 60)]
    assert LakeStore(project / "lake").datasets() == []


def test_what_is_trusted_is_named(old: Old) -> None:
    old.put(FILE, bars("2024-01-01", 60))
    assert "to trust -> did you mean" in refused(
        "import", str(old.root), "--trust", "binance/ohlc/BTC-USDT/2m"
    )
    assert "trusted" in dccd("import", str(old.root), "--trust", "binance/ohlc/BTC-USDT/1m").stdout


def test_no_store_is_one_line(project: Path) -> None:
    assert "is no folder" in refused("import", str(project / "nowhere"))
    assert "share a folder" in refused("import", str(project))


def test_an_old_configuration_becomes_one_that_passes(project: Path) -> None:
    (project / "config.yml").write_text(OLD)
    shown = dccd("import-config", "config.yml")
    assert shown.exit_code == 0
    assert "settings.ui_port: dropped: the web interface is Dagster's" in shown.stderr
    written = dccd("import-config", "config.yml", "-o", "new.yaml")
    assert written.stdout == ""
    assert (project / "new.yaml").read_text() == shown.stdout
    (project / "dccd.yaml").write_text(shown.stdout)
    assert "1 entry, 1 dataset" in dccd("config", "check").stdout
    assert "is there already" in refused("import-config", "config.yml", "-o", "new.yaml")


def test_what_is_no_old_configuration_is_one_line(project: Path) -> None:
    (project / "config.yml").write_text("a: b")
    assert "no configuration of dccd 2 or 3" in refused("import-config", "config.yml")
    assert "config.yaml" in refused("import-config", "config.yaml")
