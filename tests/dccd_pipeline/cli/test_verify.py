"""``dccd verify``, as it is typed."""

import json
from pathlib import Path

import pytest

from dccd_core.keep.pins import Pins
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from tests.dccd_pipeline.cli.terminal import dccd, refused
from tests.dccd_pipeline.held import HOURS, MINUTES, bars, hold, whole

pytestmark = pytest.mark.usefixtures("project")


def test_a_pin_is_held_against_the_lake(lake: LakeStore) -> None:
    dccd("pin", "one")
    result = dccd("verify", "--pin", "one")
    assert result.exit_code == 0
    assert "intact: all rows are those of 20" in result.stdout
    assert "the lake still has 2 of 2 partitions as pinned" in result.stdout

    hold(lake, MINUTES, "2024-01", bars(whole(MINUTES, "2024-01")))
    hold(lake, MINUTES, "2024-02", bars(whole(MINUTES, "2024-02")))
    result = dccd("verify", "--pin", "one")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert f"changed in the lake: {MINUTES} 2024-01: 44,630 rows were pinned, the lake has 44,640" in lines
    assert f"new in the lake: {MINUTES} 2024-02" in lines
    assert lines[-1] == "the lake still has 1 of 2 partitions as pinned"
    told = json.loads(dccd("verify", "--pin", "one", "--json").stdout)
    assert (told["intact"], told["same"], told["new"]) == (True, 1, [f"{MINUTES} 2024-02"])
    assert [*told["changed"]] == [f"{MINUTES} 2024-01"]


def test_a_damaged_pin_is_named_and_exits_1(lake: LakeStore) -> None:
    dccd("pin", "one")
    Path(Pins(lake).url("one"), data_path(HOURS, "2024")).unlink()
    result = dccd("verify", "--pin", "one")
    assert result.exit_code == 1
    assert f"damaged: {HOURS} 2024: its file is gone from the pin" in result.stdout
    assert "intact" not in result.stdout
    told = json.loads(dccd("verify", "--pin", "one", "--json").stdout)
    assert (told["intact"], len(told["damage"])) == (False, 1)


def test_a_pin_that_is_not_there_is_refused(lake: LakeStore) -> None:
    assert "has no pin one" in refused("verify", "--pin", "one")
