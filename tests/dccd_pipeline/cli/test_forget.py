"""``dccd forget``, as it is typed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dccd_core.bars.diff import Difference
from dccd_core.bars.differences import known_differences, note_differences
from dccd_core.domain.timespan import TimeRange, parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.cli.main import main
from tests.dccd_pipeline.cli.keeping import CONFIG, NAME, kept
from tests.dccd_pipeline.cli.terminal import dccd
from tests.dccd_pipeline.held import HOURS


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    return kept(tmp_path, monkeypatch)


def test_it_says_what_goes_and_asks(lake: LakeStore) -> None:
    assert dccd("purge").exit_code == 0
    assert dccd("restore", NAME, "--start", "2023").exit_code == 0
    no = CliRunner().invoke(main, ["forget", NAME], input="n\n")
    assert no.exit_code == 1
    assert no.stdout.startswith(f"{NAME}: 2 partitions, 2022 to 2023, 17,520 rows, ")
    assert "1 of them are held elsewhere only, by nas: that stays there" in no.stdout
    assert lake.keys(HOURS) == ["2022", "2023"]
    part = TimeRange(parse_time("2022-01-01"), parse_time("2022-01-02"))
    note_differences(lake, HOURS, [part], "Binance", [Difference(part.start, "", "missing here")], part.end)
    yes = CliRunner().invoke(main, ["forget", NAME], input="y\n")
    assert yes.exit_code == 0
    assert yes.stdout.endswith(f"{NAME}: 2 partitions removed\n")
    assert lake.datasets() == []
    assert known_differences(lake, [HOURS]) == {}


def test_what_is_collected_comes_again_and_that_is_said(lake: LakeStore, tmp_path: Path) -> None:
    entry = (
        "{exchange: binance, symbols: [BTC/USDT], data_type: ohlc, span: 1h, start: 2022-01-01, name: hours}"
    )
    (tmp_path / "dccd.yaml").write_text(f"{CONFIG}collect: [{entry}]\n")
    result = dccd("forget", NAME, "--yes")
    assert result.exit_code == 0
    assert "hours collects it: its next tick downloads it again -> take it out first" in result.stdout
    assert lake.datasets() == []
    assert (tmp_path / "copy").exists()
