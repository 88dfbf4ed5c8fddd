"""Files that can be made anew at any time: to write them may fail, and nobody minds."""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Memo:
    """A file that may be written. ``now`` is when it was opened, by the clock of ``Ending.changed``."""

    now: int
    write: Callable[[bytes], object]
    """Replaces the file whole; does nothing where that cannot be."""


@contextmanager
def folder_memo(own: Path, target: Path) -> Generator[Memo | None]:
    """Open the memo ``target``, below the folder ``own`` of a store; None where nothing can be written.

    Who only reads makes no store, nor the folder ``own``: writers need it to be theirs.
    """
    draft = target.with_name(f".{target.name}.{uuid4().hex}.draft")
    try:
        file = _begin(own, draft)
    except OSError:
        yield None
        return
    try:
        yield Memo(os.fstat(file.fileno()).st_mtime_ns, lambda body: _replace(target, draft, file, body))
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove drafts whose writer is dead: a living one holds a lock on its draft."""
    for draft in folder.glob(".*.draft"):
        with suppress(FileNotFoundError, BlockingIOError), draft.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()


def _begin(own: Path, draft: Path) -> BinaryIO:
    for folder in [*reversed(draft.relative_to(own).parents)][1:]:
        (own / folder).mkdir(exist_ok=True)
    sweep(draft.parent)
    file = draft.open("x+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        draft.unlink(missing_ok=True)
        raise
    return file


def _replace(target: Path, draft: Path, file: BinaryIO, body: bytes) -> None:
    """Write in one go. It is not synced: who reads it finds out whether it is whole."""
    with suppress(OSError):
        file.write(body)
        file.flush()
        draft.replace(target)
