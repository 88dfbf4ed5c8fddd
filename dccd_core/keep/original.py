"""A file of the lake, and whether others hold a copy of it at this moment."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from dccd_core.domain.errors import LakeError
from dccd_core.keep.claim import check
from dccd_core.keep.remotes.remote import Remote
from dccd_core.lake.store.identity import IDENTITY
from dccd_core.lake.store.marks import mark

_BLOCK: Final = 1 << 20
_GIVE_UP: Final = 3
"""After so many failures of a remote one after another it is not asked any more: each may take minutes."""


@dataclass(frozen=True, slots=True)
class Original:
    """A file as it was read. ``mark``: of the very file, as a folder's listing has it."""

    path: str
    size: int
    sha256: str
    mark: str

    @classmethod
    def of(cls, path: str, file: BinaryIO) -> "Original":
        status = os.fstat(file.fileno())
        return cls(path, status.st_size, sha256_of(file), mark(status))


def sha256_of(file: BinaryIO) -> str:
    """Return the SHA-256 of a whole file, which is left at its beginning.

    >>> from io import BytesIO
    >>> sha256_of(BytesIO(b"abc"))[:16]
    'ba7816bf8f01cfea'
    """
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


@dataclass(slots=True)
class Holders:
    """Remotes that may hold copies of files of the store ``store``.

    Each is asked once whether it is a copy of that store: a place that is the store itself by another way
    has every file of it, and goes with it. One that fails again and again is left alone.
    """

    remotes: Sequence[Remote]
    store: str
    _none: dict[str, str] = field(default_factory=dict[str, str])
    """Why a place counts for nothing, by its name; empty where it counts."""
    _ids: dict[str, str] = field(default_factory=dict[str, str])
    _in_a_row: Counter[str] = field(default_factory=Counter[str])

    def copies_of(self, file: Original, wanted: int) -> tuple[list[str], list[str]]:
        """Ask remotes, until ``wanted`` of them hold a file, each one of its own.

        Returns:
            The names of those that do, and a line for each that does not, with the reason.
        """
        holders, missing, files = list[str](), list[str](), dict[str, str]()
        for remote in self.remotes:
            if len(holders) == wanted:
                break
            why = self._why_none(remote) or self._why_not(remote, file)
            if not why:
                same = files.setdefault(_very_file(remote, file.path), remote.name)
                why = "" if same == remote.name else f"what is there is the very file that {same} holds"
            if why:
                missing.append(f"{remote.name}: {why}")
            else:
                holders.append(remote.name)
        return holders, missing

    def _why_none(self, remote: Remote) -> str:
        if remote.name not in self._none:
            try:
                same = self._ids.setdefault(check(remote, self.store), remote.name)
                self._none[remote.name] = "" if same == remote.name else _said_same(remote.name, same)
            except LakeError as e:
                self._none[remote.name] = str(e)
        return self._none[remote.name]

    def _why_not(self, remote: Remote, file: Original) -> str:
        try:
            why = why_no_copy(remote, file)
        except LakeError as e:
            self._in_a_row[remote.name] += 1
            if self._in_a_row[remote.name] == _GIVE_UP:
                self._none[remote.name] = f"was left alone after {_GIVE_UP} failures: {e}"
            return str(e)
        self._in_a_row[remote.name] = 0
        return why


def _said_same(name: str, other: str) -> str:
    return (
        f"is the same place as {other}, by its {IDENTITY}: where it is one of its own, "
        f"`dccd sync {name} --anew` says so"
    )


def _very_file(remote: Remote, path: str) -> str:
    """Return what tells a file from any other: on a disk it may have several names, by links too."""
    url = remote.url(path)
    try:
        status = os.stat(url)  # noqa: PTH116 -- of what may be no path at all
    except OSError:
        return url
    return f"{status.st_dev}-{status.st_ino}"


def why_no_copy(remote: Remote, file: Original) -> str:
    """Ask a remote at this moment whether it holds a copy; say why not, empty when it does.

    Raises:
        LakeError: it does not answer.
    """
    found = remote.found(file.path)
    if found is None:
        return "not there"
    if found.mark == file.mark:
        return "what is there is the very file that is here"
    if found.size != file.size:
        return f"another file is there, of {found.size:,} bytes instead of {file.size:,}"
    stored = found.sha256 or remote.sha256(file.path)
    if stored is None:
        return "not there"
    return "" if stored == file.sha256 else "not verified: what is there has another SHA-256"
