"""``dccd status``: the verdict comes first, the exit code says the same, and so does JSON."""

import json
from pathlib import Path

import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from tests.dccd_pipeline.cli.terminal import CONFIG, dccd
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

pytestmark = pytest.mark.usefixtures("own_home")

ONE = """
store: lake
collect:
  - {exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1h, start: 2024-01-01, end: 2025-01-01}
"""


def test_the_verdict_comes_first_and_the_exit_code_says_the_same(project: Path) -> None:
    (project / "dccd.yaml").write_text(ONE)
    told = dccd("status")
    assert told.exit_code == 1
    assert told.stdout.startswith("not well: 1 of 1 datasets (1 never collected)")
    assert "! binance/ohlc/BTC-USDT/1h: never collected -> `dccd collect binance_ohlc_1h`" in told.stdout
    hold(LakeStore(project / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")))
    told = dccd("status")
    assert told.exit_code == 0, told.stdout
    assert told.stdout.startswith(
        "all is well: 1 dataset is complete, proven at least until 2025-01-01T00:00:00Z"
    )
    assert "100.0%" in told.stdout


def test_json_says_the_same(project: Path) -> None:
    (project / "dccd.yaml").write_text(ONE)
    hold(LakeStore(project / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")[:-3]))
    result = dccd("status", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["well"]) == (1, False)
    (one,) = told["datasets"]
    assert (one["dataset"], one["gaps"], one["missing"]) == (str(HOURS), 1, 3)
    assert one["wanted"] == {"start": parse_time("2024-01-01"), "end": parse_time("2025-01-01")}
    assert told["problems"][:1] == one["problems"]


def test_a_broken_configuration_is_a_problem_and_the_last_good_one_is_looked_at(
    project: Path,
) -> None:
    (project / "dccd.yaml").write_text(ONE)
    hold(LakeStore(project / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")))
    (project / ".dagster").mkdir(exist_ok=True)
    assert dccd("status").exit_code == 0
    (project / "dccd.yaml").write_text(CONFIG % "not an address")
    told = dccd("status")
    assert told.exit_code == 1
    assert "the last good configuration is used instead" in told.stdout


def test_r11_without_a_dccd_yaml_nothing_is_said_to_come_by_itself(project: Path) -> None:
    """36c92f8: "or let its schedule run", with a next tick in five minutes; its schedules are off."""
    (project / "dccd.yaml").unlink()
    told = dccd("status")
    assert told.exit_code == 1
    first = "! there is no dccd.yaml: these are examples, nothing is collected by itself -> `dccd init`"
    assert told.stdout.splitlines()[1] == first
    assert "let its schedule run" not in told.stdout
    assert "daemon" not in told.stdout
    assert all(one["next_tick"] is None for one in json.loads(dccd("status", "--json").stdout)["datasets"])
