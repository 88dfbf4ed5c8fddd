from io import BytesIO
from pathlib import Path

import pytest

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.remote import Place, open_remote
from tests.dccd_core.keep.remotes.promises import ASIDE, FILE, RemotePromises, put


@pytest.fixture
def remote(tmp_path: Path) -> FolderRemote:
    return FolderRemote("nas", tmp_path / "copy")


class TestFolder(RemotePromises):
    pass


def test_a_killed_writers_draft_is_no_file_and_goes_with_the_next(
    remote: FolderRemote, tmp_path: Path
) -> None:
    assert put(remote, FILE, b"whole")
    left = (tmp_path / "copy" / FILE).with_name(".data.parquet.abc.draft")
    left.write_bytes(b"half")
    assert list(remote.find("trades")) == [FILE]
    assert put(remote, FILE, b"anew")
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("a file, no folder")
    remote = FolderRemote("nas", tmp_path / "copy")
    with pytest.raises(LakeError, match="is a file, no folder"):
        remote.write(FILE, BytesIO(b"rows"), None)
    assert remote.found(FILE) is None


def test_who_only_looks_makes_no_folder(remote: FolderRemote, tmp_path: Path) -> None:
    assert remote.find("trades") == {}
    assert remote.found(FILE) is None
    assert not (tmp_path / "copy").exists()


def test_a_relative_folder_and_a_home_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert open_remote(Place("a", "~/copy")).url("x") == str(tmp_path / "copy/x")
    assert open_remote(Place("a", "copy")).url("x") == str(tmp_path / "copy/x")


def test_a_file_that_nobody_can_look_at_is_one_line_and_does_not_hide_the_others(
    remote: FolderRemote, tmp_path: Path
) -> None:
    """6e38909: a listing ended with the first of them, as `OSError`, and so did a sync."""
    loop = tmp_path / "copy" / FILE
    loop.parent.mkdir(parents=True)
    loop.symlink_to(loop.name)
    assert put(remote, ASIDE, b"aside")
    assert list(remote.find("trades")) == [ASIDE]
    with pytest.raises(LakeError, match=r"cannot read .*data\.parquet: Too many levels of symbolic links"):
        remote.found(FILE)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and does not read")
def test_a_disk_that_fails_while_it_is_read_is_one_line(remote: FolderRemote, tmp_path: Path) -> None:
    """6e38909: at the look for whose copy it is, a purge and a sync ended with `OSError`."""
    broken = tmp_path / "copy" / FILE
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/proc/self/mem")
    acts = (lambda: remote.tail(FILE, 10), lambda: remote.sha256(FILE), lambda: remote.read(FILE, BytesIO()))
    for act in acts:
        with pytest.raises(LakeError, match=r"data\.parquet.*: Input/output error"):
            act()
