import errno
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from dccd_core.lake.store.folder import Folder
from dccd_core.lake.store.memo import folder_memo

PATH = ".dccd/manifest/binance/trades.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dccd").mkdir()
    return tmp_path


def write(root: Path, body: bytes) -> bool:
    """Write a memo; return whether that seemed to be possible."""
    with Folder(root).memo(PATH) as memo:
        if memo:
            memo.write(body)
        return memo is not None


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_memo_is_replaced_whole(root: Path) -> None:
    assert write(root, b"one")
    assert write(root, b"another")
    assert (root / PATH).read_bytes() == b"another"
    assert files(root) == [PATH]


def test_one_that_is_not_written_leaves_what_was_there(root: Path) -> None:
    write(root, b"one")
    with Folder(root).memo(PATH) as memo:
        assert memo is not None
    assert (root / PATH).read_bytes() == b"one"
    assert files(root) == [PATH]


def test_of_two_at_once_the_last_whole_one_stays(root: Path) -> None:
    with Folder(root).memo(PATH) as one, Folder(root).memo(PATH) as other:
        assert one
        assert other
        other.write(b"other")
        one.write(b"one")
    assert (root / PATH).read_bytes() == b"one"
    assert files(root) == [PATH]


@pytest.mark.parametrize("folder", ["store", "store/data"])
def test_who_reads_makes_no_store_and_no_folder_that_writers_need(tmp_path: Path, folder: str) -> None:
    """A ``.dccd`` that another user made would keep the writers of this store from their locks."""
    if folder != "store":
        (tmp_path / "store").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert not write(tmp_path / "store", b"one")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_writer_left_goes(root: Path) -> None:
    write(root, b"one")
    dead, living = (root / PATH).with_name(".a.draft"), (root / PATH).with_name(".b.draft")
    dead.touch()
    with living.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write(root, b"two")
        assert not dead.exists()
        assert living.exists()


def refusing(number: int) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(number, "no")

    return refuse


@pytest.mark.parametrize(
    ("of", "number"),
    [("mkdir", errno.EROFS), ("open", errno.EACCES), ("open", errno.ENOSPC), ("glob", errno.EIO)],
)
def test_where_nothing_can_be_written_there_is_no_memo(
    root: Path, monkeypatch: pytest.MonkeyPatch, of: str, number: int
) -> None:
    monkeypatch.setattr(Path, of, refusing(number))
    assert not write(root, b"one")
    monkeypatch.undo()
    assert files(root) == []


def test_without_locks_there_is_no_memo(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    assert not write(root, b"one")
    assert files(root) == []


@pytest.mark.parametrize("of", ["replace", "unlink"])
def test_a_disk_that_fails_on_the_way_is_no_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    write(root, b"one")
    monkeypatch.setattr(Path, of, refusing(errno.ENOSPC))
    assert write(root, b"two")
    assert (root / PATH).read_bytes() == (b"one" if of == "replace" else b"two")


def test_a_full_disk_is_no_error(root: Path) -> None:
    """``/dev/full`` takes a memo's bytes only until they are to be on the disk."""
    (root / ".dccd" / "manifest").mkdir()
    draft: list[Path] = []

    class Full(type(root)):
        def open(self, mode: str = "r", *_: object, **__: object) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            draft.append(Path(self))
            return Path("/dev/full").open("r+b", buffering=1 << 20)

    target = Full(root / ".dccd" / "manifest" / "trades.json")
    with folder_memo(root / ".dccd", target) as memo:
        assert memo
        memo.write(b"one" * 100)
    assert len(draft) == 1
    assert files(root) == []
