"""A project with a remote that holds all that is here."""

from pathlib import Path

import pytest

from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.sync import sync
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.keep.scene import NOW
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

YEARS = ("2022", "2023")
NAME = "binance/ohlc/BTC-USDT/1h"
READ = ("read", "binance", "BTC/USDT", "--data-type", "ohlc", "--span", "1h")
CONFIG = """
store: lake
remotes: [{name: nas, to: copy}]
purge: {older_than: 1d}
"""


def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    """Stand in a folder with two years of hours, which ``nas`` holds."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "home"))
    (folder / "dccd.yaml").write_text(CONFIG)
    lake = LakeStore(folder / "lake")
    for key in YEARS:
        hold(lake, HOURS, key, bars(whole(HOURS, key)))
    assert sync(lake, FolderRemote("nas", folder / "copy"), NOW).well
    return lake
