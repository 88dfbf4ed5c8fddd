"""``dccd diff``, as it is typed."""

import json
from pathlib import Path

import pytest

from dccd_core.bars.diff import Difference
from dccd_core.bars.differences import known_differences, note_differences
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import iso
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


def test_what_was_found_before_is_shown_until_both_agree(lake: LakeStore) -> None:
    trades = Dataset.parse("binance/trades/BTC-USDT")
    live = Difference(PART.start, "77", "missing here")
    note_differences(lake, trades, [PART], "Binance", [live], PART.end)
    part = ("--venue", "--start", "2024-05-31T10:30", "--end", "2024-05-31T11:00")
    told = json.loads(dccd("diff", str(trades), *part, "--json").stdout)
    assert (told["differ"], told["rows"]) == (0, [])
    assert [(one["name"], one["said"], one["against"]) for one in told["known"]] == [
        ("77", "missing here", "Binance")
    ]
    shown = dccd("diff", str(trades), *part)
    assert shown.exit_code == 1
    assert "1 found before" in shown.stdout
    assert "2024-05-31T10:00:00Z" in shown.stdout
    whole = ("--venue", "--start", "2024-05-31T10:00", "--end", "2024-05-31T11:00")
    settled = dccd("diff", str(trades), *whole)
    assert (settled.exit_code, "found before" in settled.stdout) == (0, False)
    assert known_differences(lake, [trades]) == {}


def test_what_it_finds_is_remembered_and_who_may_not_write_still_sees_it(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dccd("diff", NAME).exit_code == 1
    (known,) = known_differences(lake, [bars()])[bars()]
    assert (iso(known.at), known.against) == ("2024-05-31T10:07:00Z", "the stored trades")

    def refused_to(*_: object) -> None:
        raise LakeError("the disk is read-only")

    monkeypatch.setattr("dccd_pipeline.cli.diff.note_differences", refused_to)
    shown = dccd("diff", NAME)
    assert (shown.exit_code, ", 1 differ" in shown.stdout) == (1, True)
    assert "not remembered: the disk is read-only" in shown.stderr


def test_what_is_alike_makes_it_0(lake: LakeStore) -> None:
    assert dccd("diff", NAME, "--end", "2024-05-31T10:07").exit_code == 0
    assert dccd("diff", "binance/trades/BTC-USDT", "--venue").exit_code == 0


def test_what_cannot_be_compared_says_why(lake: LakeStore) -> None:
    nothing = dccd("diff", "binance/ohlc/ETH-USDT/1m")
    assert (nothing.exit_code, "nothing of it can be compared" in nothing.stdout) == (1, True)
    assert "compare it with --venue" in refused("diff", "binance/trades/BTC-USDT")
    assert "no exchange shows its past" in refused("diff", "binance/orderbook/BTC-USDT", "--venue")
    assert "is no dataset" in refused("diff", "x")
