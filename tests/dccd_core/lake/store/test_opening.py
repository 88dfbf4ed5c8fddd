"""A store by what a user calls it, and where the live segments that belong to it lie."""

from pathlib import Path

import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.opening import live_folder, open_store


def test_live_segments_of_a_folder_lie_in_it(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path), Folder)
    assert live_folder(tmp_path) == tmp_path / ".dccd/live"


def test_of_a_bucket_they_lie_in_a_folder_of_its_own_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", "/state")
    mine, other = live_folder("s3://bucket/lake"), live_folder("s3://bucket/other")
    assert mine == live_folder("s3://bucket/lake/") != other
    assert mine.parent == other.parent == Path("/state/live")


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(ConfigError, match="ftp://host is no store"):
        open_store("ftp://host")
