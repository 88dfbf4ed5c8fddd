"""One file; what many are is in test_sync.py."""

from pathlib import Path
from typing import BinaryIO

import pytest

from dccd_core.domain.timespan import Us
from dccd_core.keep.copies import Copy
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.remote import Found
from dccd_core.keep.transfer import Outcome, Transfer
from dccd_core.lake.lake import LakeStore
from tests.dccd_core.keep.scene import FILE, NOW, Through, body, fill, ours, put


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    return LakeStore(tmp_path / "lake")


@pytest.fixture
def remote(tmp_path: Path) -> Through:
    return Through(FolderRemote("nas", tmp_path / "copy"))


def transfer(lake: LakeStore, remote: Through, *, halt: bool = False, deep: bool = False) -> Transfer:
    return Transfer(lake.store, remote, NOW, lambda: halt, lambda _: None, deep=deep)


def test_what_is_known_of_a_copy_is_what_was_proven(lake: LakeStore, remote: Through) -> None:
    state = fill(lake, range(9))
    result = transfer(lake, remote).run(FILE, None, None)
    there = remote.found(FILE)
    assert there
    assert result.outcome is Outcome.COPIED
    sha256, mark = remote.sha256(FILE), lake.store.marks("trades")[FILE]
    assert sha256
    assert result.copy == Copy(state.bytes, sha256, state.content_hash, mark, there.mark, NOW)


def test_what_is_gone_here_is_gone(lake: LakeStore, remote: Through) -> None:
    assert transfer(lake, remote).run(FILE, None, None).outcome is Outcome.GONE


def test_a_stop_leaves_nothing_there(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(9))
    assert transfer(lake, remote, halt=True).run(FILE, None, None).outcome is Outcome.HALTED
    assert remote.found(FILE) is None


def test_what_somebody_writes_again_and_again_is_not_overwritten(lake: LakeStore, tmp_path: Path) -> None:
    class Busy(Through):
        """Somebody uploads the same file, and is always a little further."""

        def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
            self.sent += 100
            put(self.to, path, ours(lake, path)[: self.sent])
            return self.to.write(path, file, over)

    fill(lake, range(9))
    remote = Busy(FolderRemote("nas", tmp_path / "copy"))
    result = transfer(lake, remote).run(FILE, None, None)
    assert (result.outcome, result.why) == (Outcome.FAILED, "somebody else wrote it there meanwhile")
    assert body(remote, FILE) == ours(lake, FILE)[:200]


def test_a_listing_that_is_not_whole_is_not_believed(lake: LakeStore, remote: Through) -> None:
    """2b3d88c: all that it left out had failed: "somebody else wrote it there meanwhile"."""
    fill(lake, range(9))
    known = transfer(lake, remote).run(FILE, None, None).copy
    sent = remote.sent
    assert transfer(lake, remote).run(FILE, None, known).outcome is Outcome.PROVEN
    assert remote.sent == sent * 2, "it was offered once, and refused"


def test_a_listing_that_is_old_is_not_believed(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(5), until=5)
    transfer(lake, remote).run(FILE, None, None)
    old = remote.found(FILE)
    fill(lake, range(5, 9), until=9)
    transfer(lake, remote).run(FILE, old, None)
    fill(lake, range(9, 20))
    assert transfer(lake, remote).run(FILE, old, None).outcome is Outcome.COPIED
    assert body(remote, FILE) == ours(lake, FILE)


def test_what_somebody_else_put_there_is_kept(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(9))
    put(remote, FILE, b"somebody's")
    result = transfer(lake, remote).run(FILE, None, None)
    assert result.outcome is Outcome.CONFLICT
    assert result.why.startswith("it cannot be read there: ")
    assert body(remote, FILE) == b"somebody's"


def test_the_beginning_of_a_file_is_an_upload_that_was_cut_off(lake: LakeStore, remote: Through) -> None:
    fill(lake, range(9))
    put(remote, FILE, ours(lake, FILE)[:100])
    result = transfer(lake, remote).run(FILE, remote.found(FILE), None)
    assert (result.outcome, result.why) == (Outcome.MENDED, "its upload was cut off")


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_that_nobody_remembers_is_proven(lake: LakeStore, remote: Through, *, deep: bool) -> None:
    fill(lake, range(9))
    put(remote, FILE, ours(lake, FILE))
    result = transfer(lake, remote, deep=deep).run(FILE, remote.found(FILE), None)
    assert result.outcome is Outcome.PROVEN
    assert result.copy
    assert result.copy.verified == NOW
    assert remote.read_back == ([] if deep else [FILE])


def test_where_nothing_tells_a_copy_from_another_it_is_hashed_each_time(
    lake: LakeStore, remote: Through
) -> None:
    fill(lake, range(9))
    put(remote, FILE, ours(lake, FILE))
    found = remote.found(FILE)
    assert found
    known = Copy(found.size, "no such hash", "", "", "", Us(1))
    unmarked = type(found)(found.size, "")
    assert transfer(lake, remote).run(FILE, unmarked, known).outcome is Outcome.PROVEN
