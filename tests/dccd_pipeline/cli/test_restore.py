"""``dccd restore``, and ``dccd read`` of what only remotes hold, as they are typed."""

from pathlib import Path

import pytest

from dccd_core import Lake, LakeError
from dccd_core.lake.lake import LakeStore
from tests.dccd_pipeline.cli.keeping import CONFIG, NAME, READ, kept
from tests.dccd_pipeline.cli.terminal import dccd, refused
from tests.dccd_pipeline.held import HOURS


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    lake = kept(tmp_path, monkeypatch)
    assert dccd("purge").exit_code == 0
    assert lake.elsewhere(HOURS) == ["2022", "2023"]
    return lake


def test_a_part_of_a_dataset_or_all_of_it_comes_back(lake: LakeStore) -> None:
    result = dccd("restore", NAME, "--start", "2023-06-01", "--end", "2023-07-01")
    assert (result.exit_code, result.stdout) == (0, f"{NAME}: 1 partition here again\n")
    assert result.stderr.startswith(f"{NAME}: brings back 2023 from nas: ")
    assert lake.elsewhere(HOURS) == ["2022"]
    assert dccd("restore", NAME).stdout == f"{NAME}: 1 partition here again\n"
    assert dccd("restore", NAME).stdout == f"{NAME}: nothing of that time is held elsewhere only\n"
    assert refused("restore", "binance/ohlc/ETH-USDT/1h").startswith(
        "the lake holds nothing of binance/ohlc/ETH"
    )


def test_a_read_brings_back_what_it_needs_and_says_so_in_a_line(lake: LakeStore) -> None:
    span = ("--start", "2023-03-01", "--end", "2023-03-02")
    forbidden = dccd(*READ, *span, "--no-restore")
    assert forbidden.exit_code == 1
    assert f"{NAME}: 2023: not here, but held by nas -> " in forbidden.stderr
    result = dccd(*READ, *span)
    assert (result.exit_code, "shape: (24, 8)" in result.stdout) == (0, True)
    (line,) = [one for one in result.stderr.splitlines() if "brings back" in one]
    assert line.startswith(f"{NAME}: brings back 2023 from nas: ")
    assert lake.elsewhere(HOURS) == ["2022"]
    assert "brings back" not in dccd(*READ, *span).stderr


def test_room_that_is_to_stay_free_is_not_used(lake: LakeStore, tmp_path: Path) -> None:
    (tmp_path / "dccd.yaml").write_text(CONFIG.replace("older_than: 1d", "keep_free: 900TB"))
    result = dccd("restore", NAME)
    assert result.exit_code == 1
    assert "900,000,000,000,000 are to stay free" in result.stderr
    assert lake.elsewhere(HOURS) == ["2022", "2023"]


def test_in_python_it_comes_back_by_the_configuration(
    lake: LakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(LakeError, match="2023: not here, but held by nas"):
        Lake().scan(NAME, "2023", "2024", restore=False)
    assert Lake("lake").read(NAME, "2023-01-01", "2023-01-02").height == 24
    assert f"{NAME}: brings back 2023 from nas" in caplog.text
    assert lake.elsewhere(HOURS) == ["2022"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(LakeError, match=r"2022: not here, and no remote of .* is known.*DCCD_CONFIG"):
        Lake(tmp_path / "lake").read(NAME, "2022", "2023")


def test_the_inventory_says_how_many_are_elsewhere(lake: LakeStore) -> None:
    assert "2 (2" in dccd("inventory").stdout
