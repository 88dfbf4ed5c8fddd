"""A file of the lake, and whether others hold a copy of it at this moment."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.remote import Remote
from dccd_core.lake.store.marks import mark

_BLOCK: Final = 1 << 20


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


def copies_of(file: Original, remotes: Sequence[Remote], wanted: int) -> tuple[list[str], list[str]]:
    """Ask remotes, until ``wanted`` of them hold a file.

    Returns:
        The names of those that do, and a line for each that does not, with the reason.
    """
    holders, missing, places = list[str](), list[str](), dict[str, str]()
    for remote in remotes:
        if len(holders) == wanted:
            break
        same = places.setdefault(_place(remote), remote.name)
        why = why_no_copy(remote, file) if same == remote.name else f"is the same place as {same}"
        if why:
            missing.append(f"{remote.name}: {why}")
        else:
            holders.append(remote.name)
    return holders, missing


def _place(remote: Remote) -> str:
    """Return what tells the place of a remote from any other: a folder may have several names."""
    url = remote.url("")
    try:
        status = os.stat(url)  # noqa: PTH116 -- of what may be no path at all
    except OSError:
        return url
    return f"{status.st_dev}-{status.st_ino}"


def why_no_copy(remote: Remote, file: Original) -> str:
    """Ask a remote at this moment whether it holds a copy; say why not, empty when it does."""
    try:
        found = remote.found(file.path)
        if found is None:
            return "not there"
        if found.mark == file.mark:
            return "what is there is the very file that is here"
        if found.size != file.size:
            return f"another file is there, of {found.size:,} bytes instead of {file.size:,}"
        stored = found.sha256 or remote.sha256(file.path)
    except LakeError as e:
        return str(e)
    if stored is None:
        return "not there"
    return "" if stored == file.sha256 else "not verified: what is there has another SHA-256"
