"""``dccd schedules``."""

import json
from pathlib import Path

import pytest

from tests.dccd_pipeline.cli.terminal import dccd, refused

pytestmark = pytest.mark.usefixtures("own_home")


def states() -> dict[str, bool]:
    return {one["name"]: one["on"] for one in json.loads(dccd("schedules", "--json").stdout)}


OTHERS = {"lake_report_schedule": True, "prune_runs_schedule": True, "reconcile_schedule": True}
"""Those that there are whatever is configured."""


def test_schedules_are_listed_and_turned_off_and_on(own_home: Path) -> None:
    assert states() == {"binance_ohlc_1h_schedule": True, **OTHERS}
    assert not (own_home / ".dagster").exists(), "who only looks makes nothing"
    assert "binance_ohlc_1h " in dccd("schedules").stdout
    done = dccd("schedules", "off", "binance_ohlc_1h")
    assert (done.exit_code, done.stdout) == (0, "binance_ohlc_1h_schedule: off\n")
    assert states() == {"binance_ohlc_1h_schedule": False, **OTHERS}
    again = dccd("schedules", "off").stdout.splitlines()
    assert again == ["binance_ohlc_1h_schedule: off, as it was", *(f"{name}: off" for name in OTHERS)]
    assert dccd("schedules", "on").exit_code == 0
    assert set(states().values()) == {True}


def test_a_name_of_nothing_is_answered() -> None:
    line = refused("schedules", "off", "binance_ohlc_1")
    assert line == "there is no schedule of binance_ohlc_1 -> did you mean binance_ohlc_1h?"
