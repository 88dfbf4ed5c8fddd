"""``dccd pin``, as it is typed."""

import json
from pathlib import Path

import pytest

from dccd_core import Lake
from dccd_core.keep.pins import Pins
from dccd_core.lake.lake import LakeStore
from tests.dccd_pipeline.cli.terminal import dccd, refused
from tests.dccd_pipeline.held import HOURS, MINUTES

pytestmark = pytest.mark.usefixtures("project")


def test_a_pin_is_made_listed_and_dropped(lake: LakeStore) -> None:
    result = dccd("pin", "paper-1")
    assert result.exit_code == 0
    assert result.stdout.startswith("paper-1: 2 partitions of 2 datasets, 53,414 rows, ")
    assert result.stdout.endswith(f"in {lake.url}/pins/paper-1\n") or "/lake/pins/paper-1" in result.stdout
    assert Lake(lake.url).pin("paper-1").read(HOURS).height == 8_784

    listed = dccd("pin", "--list")
    assert listed.exit_code == 0
    assert "paper-1" in listed.stdout
    assert "53,414" in listed.stdout

    dropped = dccd("pin", "--drop", "paper-1")
    assert (dropped.exit_code, dropped.stdout) == (0, "paper-1 is gone; 0 bytes freed\n")
    assert "0 pins" in dccd("pin", "--list").stdout


def test_a_dataset_and_a_time_are_pinned(lake: LakeStore) -> None:
    told = json.loads(
        dccd("pin", "one", str(HOURS), "--start", "2024-03", "--end", "2024-04", "--json").stdout
    )
    assert (told["datasets"], told["partitions"], told["rows"]) == ([str(HOURS)], 1, 8_784)
    assert (told["start"], told["end"]) == ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z")
    (listed,) = json.loads(dccd("pin", "--list", "--json").stdout)
    assert listed == told | {"own_bytes": 0}
    assert json.loads(dccd("pin", "--drop", "one", "--json").stdout) == {"dropped": "one", "freed": 0}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("one", "--list"),
        ("one", "--drop", "two"),
        ("--list", "--drop", "two"),
        ("--list", "--start", "2024"),
    ],
)
def test_one_thing_at_a_time(lake: LakeStore, arguments: tuple[str, ...]) -> None:
    assert "dccd pin NAME [DATASET...], dccd pin --list, or dccd pin --drop NAME" in refused(
        "pin", *arguments
    )


def test_what_cannot_be_pinned_is_a_line(lake: LakeStore) -> None:
    dccd("pin", "one", str(MINUTES))
    assert "there is a pin one already" in refused("pin", "one")
    assert f"did you mean {MINUTES}" in refused("pin", "two", "binance/ohlc/BTC-USDT/2m")
    assert "did you mean one" in refused("pin", "--drop", "ono")


def test_a_damaged_pin_is_listed_as_such(lake: LakeStore) -> None:
    dccd("pin", "one")
    manifest = Path(Pins(lake).url("one"), "pin.json")
    manifest.unlink()
    result = dccd("pin", "--list")
    assert result.exit_code == 0
    assert "is gone" in " ".join(result.stdout.split())
    (told,) = json.loads(dccd("pin", "--list", "--json").stdout)
    assert told["name"] == "one"
    assert "pin.json is gone" in told["damaged"]
