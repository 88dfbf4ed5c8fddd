"""What brings back by the configuration is shown as it is used in tests/dccd_pipeline/cli/test_restore.py."""

from pathlib import Path

import pytest

from dccd_core import Lake, LakeError
from tests.dccd_core.lake.samples import DAY, TRADES, numbered, store, take_away


def test_a_lake_that_the_configuration_does_not_know_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    lake = Lake(tmp_path / "mine")
    store(lake, numbered([1]))
    take_away(lake)
    with pytest.raises(LakeError, match=rf"{DAY}: not here, and no remote of .*mine is known"):
        lake.read(TRADES)


def test_remotes_of_its_configuration_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCCD_CONFIG", str(tmp_path / "dccd.yaml"))
    (tmp_path / "dccd.yaml").write_text("store: ./mine\nremotes: [{name: backup, to: copy}]\n")
    lake = Lake(tmp_path / "mine")
    store(lake, numbered([1]))
    take_away(lake)
    with pytest.raises(LakeError, match=rf"{DAY}: cannot be brought back: backup: not there"):
        lake.read(TRADES)
