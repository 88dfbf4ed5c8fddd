"""A remote in a folder: another disk, a share of the network. It is written as a lake's own folder is."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.remote import BLOCK, Found, Outside, Pace, Place, absent, copied, receiving
from dccd_core.lake.store.folder import Folder, writing
from dccd_core.lake.store.marks import mark


def open_place(place: Place, outside: Outside) -> "FolderRemote":
    return FolderRemote(place.name, Path(place.to).expanduser(), outside.pace_of(place))


class FolderRemote:
    """Copies in a folder of this machine, or one that is mounted here.

    ``mark``: as the lake's own (lake/store/marks.py).
    """

    def __init__(self, name: str, root: Path, pace: Pace | None = None) -> None:
        self.name = name
        self._pace = pace
        self._root = root.absolute()
        self._folder = Folder(root)

    def url(self, path: str) -> str:
        return self._folder.url(path)

    def find(self, folder: str) -> dict[str, Found]:
        found, top = dict[str, Found](), len(self._folder.url(""))
        for at, _, names in os.walk(self._root / folder, onerror=_refuse):
            for name in names:
                if name.startswith("."):
                    continue
                with suppress(OSError):  # what cannot be looked at is named when it is needed; others go on
                    found[f"{at}/{name}"[top:]] = _found(os.stat(f"{at}/{name}"))  # noqa: PTH116 -- of many files
        return dict(sorted(found.items()))

    def found(self, path: str) -> Found | None:
        try:
            return _found((self._root / path).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            raise _unreadable(e) from e

    def sha256(self, path: str) -> str | None:
        with self._folder.open(path) as stored:
            if stored is None:
                return None
            handle, digest = stored.file.fileno(), hashlib.sha256()
            # What this machine remembers of its own writing is let go: the disk itself is asked.
            with suppress(OSError, AttributeError):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                while block := os.read(handle, BLOCK):
                    digest.update(block)
            except OSError as e:
                e.filename = self.url(path)
                raise _unreadable(e) from e
            return digest.hexdigest()

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        try:
            return self._folder.tail(path, size)
        except OSError as e:
            e.filename = self.url(path)
            raise _unreadable(e) from e

    def read(self, path: str, into: BinaryIO) -> None:
        with self._folder.open(path) as stored:
            if stored is None:
                raise absent(self.url(path))
            with receiving(self.url(path)):
                copied(stored.file, into)

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        with writing(self.url(path)), self._folder.draft(path) as draft:
            copied(file, draft, self._pace)
            draft.flush()
            os.fsync(draft.fileno())  # before others are locked out: that is the part that takes long
            with self._folder.locked(path):
                return self.found(path) == over and self._folder.swap(draft, path, None)


def _found(status: os.stat_result) -> Found:
    return Found(status.st_size, mark(status))


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> LakeError:
    return LakeError(
        f"cannot read {error.filename}: {error.strerror}", hint="see to that disk; nothing is lost"
    )
