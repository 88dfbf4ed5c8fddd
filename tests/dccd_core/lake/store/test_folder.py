import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from filelock import Timeout

from dccd_core.domain.errors import LakeError
from dccd_core.lake.store.folder import Folder, Stored, rewrite, writing

PATH = "trades/period=2024-01-31/data.parquet"


class Append:
    """Writes what was there and ``text``; counts how often it was asked to."""

    def __init__(self, text: bytes, *, changed: bool = True) -> None:
        self._text = text
        self._changed = changed
        self.calls = 0

    def __call__(self, file: BinaryIO, stored: Stored | None) -> tuple[str, bool]:
        self.calls += 1
        file.write((stored.file.read() if stored else b"") + self._text)
        return "done", self._changed


def text(store: Folder) -> bytes | None:
    with store.open(PATH) as stored:
        return stored.file.read() if stored else None


RECORD = "trades/period=2024-01-31/_held.json"


def test_a_record_takes_the_place_of_a_file(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    rewrite(store, PATH, Append(b"one"))
    with store.open(PATH) as over, store.locked(PATH):
        assert over
        assert store.hold(PATH, over, RECORD, b"record")
    assert text(store) is None
    assert (tmp_path / RECORD).read_bytes() == b"record"
    assert (store.find("trades"), list(store.marks("trades"))) == ([], [RECORD])


def test_a_file_that_was_replaced_stays_and_there_is_no_record(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    rewrite(store, PATH, Append(b"one"))
    with store.open(PATH) as over:
        assert over
        rewrite(store, PATH, Append(b" two"))
        with store.locked(PATH):
            assert not store.hold(PATH, over, RECORD, b"record")
            assert not store.remove(PATH, over)
    assert text(store) == b"one two"
    assert not (tmp_path / RECORD).exists()


def test_a_disk_that_takes_no_record_keeps_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Folder(tmp_path)
    rewrite(store, PATH, Append(b"one"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with store.open(PATH) as over:
        assert over
        with pytest.raises(OSError, match="No space"):
            store.hold(PATH, over, RECORD, b"record")
    assert text(store) == b"one"
    assert [path.name for path in (tmp_path / PATH).parent.iterdir()] == ["data.parquet"]


def test_a_file_is_removed_with_the_folder_that_it_leaves_empty(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    rewrite(store, PATH, Append(b"one"))
    assert store.links(PATH) == 1
    (tmp_path / "other").hardlink_to(tmp_path / PATH)
    assert store.links(PATH) == 2
    assert (store.remove(PATH), store.remove(PATH)) == (True, False)
    assert not (tmp_path / PATH).parent.exists()


def test_a_file_is_rewritten_from_what_is_there(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    assert text(store) is None
    assert rewrite(store, PATH, Append(b"one")) == "done"
    rewrite(store, PATH, Append(b" two"))
    assert text(store) == b"one two"
    assert store.find("trades") == [PATH]


def test_what_did_not_change_is_not_replaced(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    assert rewrite(store, PATH, Append(b"one", changed=False)) == "done"
    assert text(store) is None


class Loser(Folder):
    """Somebody else is always faster."""

    def swap(self, file: BinaryIO, path: str, over: Stored | None) -> bool:
        return False


def test_a_race_that_is_never_won_ends_and_is_told(tmp_path: Path) -> None:
    fill = Append(b"one")
    with pytest.raises(LakeError, match="20 times in a row"):
        rewrite(Loser(tmp_path), PATH, fill)
    assert fill.calls == 20


def test_an_open_file_stays_as_it_is_while_it_is_replaced(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    rewrite(store, PATH, Append(b"one"))
    with store.open(PATH) as stored:
        rewrite(store, PATH, Append(b" two"))
        assert stored is not None
        assert stored.file.read() == b"one"


def test_the_tail_of_a_file(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    assert store.tail(PATH, 2) is None
    rewrite(store, PATH, Append(b"12345"))
    assert store.tail(PATH, 2) == (b"45", 5)
    assert store.tail(PATH, 9) == (b"12345", 5)


def test_a_lock_that_is_never_let_go_is_an_error_that_names_it() -> None:
    with (
        pytest.raises(LakeError, match=r"data.*another process has kept its lock.*the\.lock"),
        writing("data"),
    ):
        raise Timeout("the.lock")


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / PATH).mkdir(parents=True)
    with pytest.raises(LakeError, match=r"cannot read .*data\.parquet"):
        text(Folder(tmp_path))
    (tmp_path / "ohlc").touch()
    with pytest.raises(LakeError, match=r"cannot read .*ohlc"):
        Folder(tmp_path).find("ohlc")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_d13_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LakeError, match=r"has no file locks .*mount it with locks"), writing(str(tmp_path)):
        rewrite(Folder(tmp_path), PATH, Append(b"one"))


def test_d13_a_lock_that_somebody_has_is_waited_for(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    with store.locked(PATH):
        other = threading.Thread(target=lambda: rewrite(store, PATH, Append(b"one")))
        other.start()
        assert text(store) is None
    other.join()
    assert text(store) == b"one"


def scratched(store: Folder) -> None:
    with store.scratch():
        pass


USES: dict[str, Callable[[Folder], object]] = {
    "find": lambda store: store.find("ohlc"),
    "open": lambda store: text(store),
    "tail": lambda store: store.tail(PATH, 1),
    "write": lambda store: rewrite(store, PATH, Append(b"one")),
    "scratch": scratched,
}


def test_a_store_that_another_thread_makes_meanwhile_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick that folded in two threads failed with "is a file, no folder"."""
    root, there = tmp_path / "data", os.path.lexists

    def made_meanwhile(path: Path) -> bool:
        root.mkdir(exist_ok=True)
        return there(path)

    monkeypatch.setattr("os.path.lexists", made_meanwhile)
    assert Folder(root).find("ohlc") == []


@pytest.mark.parametrize("use", list(USES))
@pytest.mark.parametrize("kind", ["link", "file"])
def test_d13_a_store_that_is_a_dangling_link_or_a_file_is_said(tmp_path: Path, kind: str, use: str) -> None:
    root = tmp_path / "data"
    if kind == "link":
        root.symlink_to(tmp_path / "unmounted")
        said = r"data is a link to .*unmounted, which is not there"
    else:
        root.touch()
        said = "data is a file, no folder"
    with pytest.raises(LakeError, match=said), writing(str(root)):
        USES[use](Folder(root))
    assert not (tmp_path / "unmounted").exists()


def test_a_link_to_a_folder_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    rewrite(Folder(tmp_path / "data"), PATH, Append(b"one"))
    assert text(Folder(tmp_path / "disk")) == b"one"


def test_h12_where_case_makes_no_difference_a_folder_has_one_name(tmp_path: Path) -> None:
    """Played on a file system that does tell them apart: the other spelling leads to the same folder."""
    store = Folder(tmp_path)
    rewrite(store, "trades/exchange=x/symbol=KPEPE-USDT/data.parquet", Append(b"one"))
    (tmp_path / ".DCCD").symlink_to(tmp_path / ".dccd")
    assert store.find("trades/exchange=x/symbol=KPEPE-USDT")
    assert not store.find("trades/exchange=x/symbol=kPEPE-USDT")
    assert store.find("trades/exchange=x")
