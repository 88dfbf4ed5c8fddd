"""Where bytes live. A store replaces a file whole or not at all; this one is a folder, bucket.py another."""

import errno
import fcntl
import os
import unicodedata
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import SEEK_END
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO, Final, Protocol, TypeVar, cast
from uuid import uuid4

from filelock import FileLock, Timeout

from dccd_core.domain.errors import LakeError
from dccd_core.lake.layout import DATA, LOCKS
from dccd_core.lake.store.marks import Ending, changed, mark, marks, named
from dccd_core.lake.store.memo import Memo, folder_memo, sweep

T = TypeVar("T")

_PATIENCE_S: Final = 600
_ATTEMPTS: Final = 20
_LONGEST_LINE: Final = 1 << 20
_OTHER_CASE: Final = PurePosixPath(LOCKS).parent.name.swapcase()
_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as it was at one moment, open for reading. ``version`` tells whether it is still the same."""

    file: BinaryIO
    version: str = ""


class Store(Protocol):
    """Paths are relative, with ``/``. What the outside world refuses is raised as ``LakeError``."""

    def url(self, path: str) -> str: ...

    def access(self) -> dict[str, str]:
        """Return what Polars needs to read a file by its ``url``."""
        ...

    def find(self, folder: str) -> list[str]:
        """Return the paths of all partition files below ``folder``, sorted."""
        ...

    def marks(self, folder: str) -> dict[str, str]:
        """Return what ``find`` does, each with a mark that changes with the file; "" where nothing tells.

        Of a partition that is held elsewhere the path of its record is among them.
        """
        ...

    def named(self, folder: str, names: Sequence[str]) -> dict[str, str]:
        """Return the files of these names beside partitions below ``folder``, sorted, each with its mark."""
        ...

    def first(self, folder: str) -> str | None:
        """Return the path of what is first below a dataset's folder, without looking at all of it."""
        ...

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        """Return the last ``size`` bytes of a file (all, when it has fewer), and how many it has."""
        ...

    def ending(self, path: str, size: int) -> Ending | None:
        """Return what ``tail`` does, and which file it was."""
        ...

    def open(self, path: str) -> AbstractContextManager[Stored | None]:
        """Open a file that stays as it is while it is read; None when there is none."""
        ...

    def locked(self, path: str) -> AbstractContextManager[None]:
        """Keep other writers of this folder out, where that can be; elsewhere ``swap`` finds them out."""
        ...

    def scratch(self) -> AbstractContextManager[BinaryIO]:
        """Open a new file without a name, for reading and writing: it ends with its process."""
        ...

    def draft(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file, for reading and writing, that may become ``path``. It does not outlive its use."""
        ...

    def append(self, path: str, lines: bytes) -> None:
        """Add whole lines to a file, durably; in a bucket that writes all of it anew."""
        ...

    def objects(self) -> "PinnedObjects | None":
        """Return what lies beside the partitions for all machines to see; None: there is one machine."""
        ...

    def memo(self, path: str) -> AbstractContextManager[Memo | None]:
        """Open a file that can be made anew at any time, to be replaced whole; None where none can be."""
        ...

    def swap(self, file: BinaryIO, path: str, over: Stored | None) -> bool:
        """Put a draft in the place of ``path``, durably; False when ``over`` is no longer what is there."""
        ...

    def hold(self, path: str, over: Stored, record_path: str, record: bytes) -> bool:
        """Put a record in the place of a file that is ``locked``, durably; False when it is not ``over``."""
        ...

    def remove(self, path: str, over: Stored | None = None) -> bool:
        """Remove a file that is ``locked``, durably, where it is still ``over``; False when it is not."""
        ...

    def links(self, path: str) -> int:
        """Return how many names a file has: with more than one, removing one frees nothing."""
        ...


class Objects(Protocol):
    """A bucket, as far as segments need one."""

    def names(self, folder: str) -> list[str]:
        """Return the paths of all objects below ``folder``."""
        ...

    def put(self, path: str, body: bytes) -> None:
        """Write an object that nobody else writes."""
        ...

    def remove(self, path: str) -> object:
        """Remove an object; one that is gone is no error."""
        ...

    def open(self, path: str) -> AbstractContextManager[Stored | None]: ...


class PinnedObjects(Objects, Protocol):
    """... and as far as pins do."""

    def copy(self, path: str, to: str, mark: str) -> bool:
        """Have the service copy an object that still has this mark; False when it is another, or gone."""
        ...

    def below(self, folder: str) -> Store:
        """Return the store in a folder of this one."""
        ...


def rewrite(store: Store, path: str, fill: Callable[[BinaryIO, Stored | None], tuple[T, bool]]) -> T:
    """Replace ``path`` by what ``fill`` writes, told what is there; again when somebody else was faster.

    ``fill`` returns what to return from here, and whether the file is to be replaced at all.
    """
    for _ in range(_ATTEMPTS):
        with store.draft(path) as file, store.locked(path), store.open(path) as stored:
            result, changed = fill(file, stored)
            if not changed or store.swap(file, path, stored):
                return result
    raise LakeError(
        f"{store.url(path)}: {_ATTEMPTS} times in a row another process wrote it first",
        hint="nothing is lost; run it again, with fewer processes on one partition",
    )


@contextmanager
def writing(url: str) -> Generator[None]:
    """Turn what the operating system says while ``url`` is written into a LakeError."""
    try:
        yield
    except Timeout as e:
        raise LakeError(
            f"{url}: another process has kept its lock for {_PATIENCE_S} s",
            hint="see what holds the lock file " + e.lock_file,
        ) from e
    except OSError as e:
        disk = gettempdir() if "://" in url else url
        advice = f"free space on the disk of {disk}" if e.errno in _NO_ROOM else f"see to {disk}"
        raise LakeError(
            f"cannot write {url}: {e.strerror or e}",
            hint=f"{advice} and run it again; what was stored before is untouched",
        ) from e


@contextmanager
def letting_go(file: BinaryIO) -> Generator[None]:
    """Close a draft in the end. What it still buffers may not fit on a full disk, and nobody misses it."""
    try:
        yield
    finally:
        with suppress(OSError):
            file.close()


class Folder:
    """A store in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._base = f"{self._root}".rstrip("/")

    def url(self, path: str) -> str:
        return f"{self._base}/{path}"

    def access(self) -> dict[str, str]:
        return {}

    def find(self, folder: str) -> list[str]:
        return [path for path in self.marks(folder) if path.endswith(f"/{DATA}")]

    def marks(self, folder: str) -> dict[str, str]:
        self._refuse_no_folder()
        if not self._is_there(PurePosixPath(folder)):
            return {}
        try:
            return dict(sorted(marks(self._base, folder)))
        except OSError as e:
            raise _unreadable(e) from e

    def named(self, folder: str, names: Sequence[str]) -> dict[str, str]:
        self._refuse_no_folder()
        try:
            return dict(sorted(named(self._base, folder, names)))
        except OSError as e:
            raise _unreadable(e) from e

    def first(self, folder: str) -> str | None:
        try:
            names = [path.name for path in (self._root / folder).iterdir()]
        except OSError as e:
            return _unless_absent(e)
        periods = sorted(name for name in names if "=" in name)
        return f"{folder}/{periods[0]}/{DATA}" if periods else None

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        found = self.ending(path, size)
        return (found.tail, found.size) if found else None

    def ending(self, path: str, size: int) -> Ending | None:
        with self.open(path) as stored:
            if stored is None:
                return None
            status = os.fstat(stored.file.fileno())
            stored.file.seek(max(0, status.st_size - size))
            return Ending(stored.file.read(), status.st_size, mark(status), changed(status))

    @contextmanager
    def open(self, path: str) -> Generator[Stored | None]:
        file = self._open(self._root / path)
        with file or nullcontext():
            yield Stored(file) if file else None

    @contextmanager
    def locked(self, path: str) -> Generator[None]:
        lock = self._root / LOCKS / f"{PurePosixPath(path).parent}.lock"
        self._make(lock.parent)
        _try_locking(lock)
        with FileLock(lock, timeout=_PATIENCE_S):
            yield

    @contextmanager
    def scratch(self) -> Generator[BinaryIO]:
        folder = (self._root / LOCKS).parent  # on the disk that holds the data, not where /tmp is
        self._make(folder)
        file = cast("BinaryIO", TemporaryFile(dir=folder))  # noqa: SIM115 -- closing it may fail, and shall not
        with letting_go(file):
            yield file

    @contextmanager
    def draft(self, path: str) -> Generator[BinaryIO]:
        target = self._root / path
        draft = target.with_name(f".{target.name}.{uuid4().hex}.draft")
        with self.locked(path):
            self._make(target.parent)
            sweep(target.parent)
            file = draft.open("x+b")
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            with letting_go(file):
                yield file
        finally:
            draft.unlink(missing_ok=True)
            if not target.exists():
                with self.locked(path), suppress(OSError):
                    target.parent.rmdir()

    def append(self, path: str, lines: bytes) -> None:
        target = self._root / path
        with self.locked(path):
            self._make(target.parent)
            with target.open("a+b") as file:
                made = file.tell() == 0
                _cut_torn_line(file)
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            if made:
                self._sync_folders(target)

    def objects(self) -> None:
        return None

    def memo(self, path: str) -> AbstractContextManager[Memo | None]:
        return folder_memo((self._root / LOCKS).parent, self._root / path)

    def _open(self, path: Path) -> BinaryIO | None:
        try:
            return path.open("rb")
        except OSError as e:
            self._refuse_no_folder()
            return _unless_absent(e)

    def _make(self, folder: Path) -> None:
        self._refuse_no_folder()
        folder.mkdir(parents=True, exist_ok=True)

    def _refuse_no_folder(self) -> None:
        """Say so where the store is a file, or a link to what is not there: neither is an empty store.

        Raises:
            LakeError: it is.
        """
        if not os.path.lexists(self._root) or self._root.is_dir():  # somebody may make it in between
            return
        if self._root.exists():
            said, hint = "is a file, no folder", "set store to a folder"
        else:
            said = f"is a link to {self._root.readlink()}, which is not there"
            hint = "mount or make that folder; nothing was read or stored"
        raise LakeError(f"the store {self._root} {said}", hint=hint)

    def _is_there(self, folder: PurePosixPath) -> bool:
        """Tell whether a folder has this very name: some file systems take ``kPEPE`` for ``KPEPE``."""
        if not (self._root / _OTHER_CASE).exists():
            return True  # this one tells them apart
        at = self._root
        for part in folder.parts:
            if at.is_dir() and not any(_same(path.name, part) for path in at.iterdir()):
                return False
            at /= part
        return True

    def swap(self, file: BinaryIO, path: str, over: Stored | None) -> bool:  # noqa: ARG002 -- the lock keeps it
        target = self._root / path
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).replace(target)
        self._sync_folders(target)
        return True

    def hold(self, path: str, over: Stored, record_path: str, record: bytes) -> bool:
        target, beside = self._root / path, self._root / record_path
        if not _is_still(target, over):
            return False
        draft = beside.with_name(f".{beside.name}.{uuid4().hex}.draft")
        try:
            with draft.open("xb") as file:
                file.write(record)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(beside)
        finally:
            draft.unlink(missing_ok=True)
        self._sync_folders(beside)
        return self.remove(path)

    def remove(self, path: str, over: Stored | None = None) -> bool:
        target = self._root / path
        if not (target.exists() if over is None else _is_still(target, over)):
            return False
        target.unlink()
        _sync_folder(target.parent)
        with suppress(OSError):  # it is not empty
            target.parent.rmdir()
        return True

    def links(self, path: str) -> int:
        try:
            return (self._root / path).stat().st_nlink
        except FileNotFoundError:
            return 0

    def _sync_folders(self, target: Path) -> None:
        for folder in target.parents:
            _sync_folder(folder)
            if folder == self._root:
                break


def _is_still(target: Path, over: Stored) -> bool:
    """Tell whether a file is the one that was opened: files are replaced, never written into."""
    try:
        return os.path.samestat(target.stat(), os.fstat(over.file.fileno()))
    except FileNotFoundError:
        return False


def _cut_torn_line(file: BinaryIO) -> None:
    """Remove what a killed writer left of its last line: nobody was told that it is kept."""
    end = file.seek(0, SEEK_END)
    start = max(0, end - _LONGEST_LINE)
    file.seek(start)
    kept = start + file.read().rfind(b"\n") + 1
    if kept < end:
        file.truncate(kept)


def _same(name: str, other: str) -> bool:
    """Compare names as written; some file systems take letters apart."""
    return unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)


def _unless_absent(error: OSError) -> None:
    """Nothing there is an answer; something that cannot be read is not."""
    if not isinstance(error, FileNotFoundError):
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> LakeError:
    where = error.filename
    return LakeError(f"cannot read {where}: {error.strerror}", hint=f"see to {where}")


def _try_locking(lock: Path) -> None:
    """Say so where a file system has no locks: waiting for one would not help.

    Raises:
        LakeError: it has none.
    """
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                return  # somebody has it: the lock itself is waited for
            raise LakeError(
                f"the file system of {lock.parent} has no file locks ({e.strerror})",
                hint="mount it with locks (NFS: lockd, not nolock), or set store to a disk of this machine",
            ) from e


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
