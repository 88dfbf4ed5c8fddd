"""``dccd diff``, as it is typed."""

import json
from pathlib import Path

import pytest

from dccd_core.lake.lake import LakeStore
from dccd_core.testing.sandbox.process import RunningSandbox
from tests.dccd_core.bars.test_diff import hold, spoiled
from tests.dccd_core.fetch.world import TRADES, bars, span, truth
from tests.dccd_pipeline.cli.terminal import CONFIG, dccd, refused

PART = span("2024-05-31T10:00", "2024-05-31T11:00")
WIDE = span("2024-05-31T09:00", "2024-05-31T11:00")
NAME = "binance/ohlc/BTC-USDT/1m"


@pytest.fixture
def lake(project: Path, sandbox: RunningSandbox) -> LakeStore:
    """An hour of bars, one of which is wrong, and of the trades they are of."""
    (project / "dccd.yaml").write_text(CONFIG % sandbox.rest_url("binance"))
    lake = LakeStore(project / "lake")
    hold(lake, bars(), "2024-05", spoiled(truth(sandbox.market, bars(), PART), [7], "close"), PART)
    hold(lake, TRADES, "2024-05-31", truth(sandbox.market, TRADES, WIDE), WIDE)
    return lake


@pytest.mark.parametrize("how", [(), ("--venue", "--start", "2024-05-31T10:00", "--end", "2024-05-31T11:00")])
def test_a_difference_is_a_row_of_a_table_and_makes_it_1(lake: LakeStore, how: tuple[str, ...]) -> None:
    shown = dccd("diff", NAME, *how)
    assert shown.exit_code == 1
    assert "2024-05-31T10:07:00Z" in shown.stdout
    assert "60 rows compared with" in shown.stdout
    assert ", 1 differ" in shown.stdout
    told = json.loads(dccd("diff", NAME, *how, "--json").stdout)
    assert (told["compared"], told["differ"]) == (60, 1)
    assert told["rows"][0]["said"].startswith("close is ")


def test_what_is_alike_makes_it_0(lake: LakeStore) -> None:
    assert dccd("diff", NAME, "--end", "2024-05-31T10:07").exit_code == 0
    assert dccd("diff", "binance/trades/BTC-USDT", "--venue").exit_code == 0


def test_what_cannot_be_compared_says_why(lake: LakeStore) -> None:
    nothing = dccd("diff", "binance/ohlc/ETH-USDT/1m")
    assert (nothing.exit_code, "nothing of it can be compared" in nothing.stdout) == (1, True)
    assert "compare it with --venue" in refused("diff", "binance/trades/BTC-USDT")
    assert "no exchange shows its past" in refused("diff", "binance/orderbook/BTC-USDT", "--venue")
    assert "is no dataset" in refused("diff", "x")
