"""Which file is still the one that was read: a mark of each partition file, without opening it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dccd_core.lake.layout import DATA, HELD, PERIOD


@dataclass(frozen=True, slots=True)
class Ending:
    """The last bytes of a file that has ``size`` of them.

    ``mark`` is what ``marks`` tells of the very file that was read, "" where nothing does. ``changed`` is
    when it last was: ns, by the clock of what keeps it; 0 where no mark is ever given to two files.
    """

    tail: bytes
    size: int
    mark: str
    changed: int = 0


def mark(status: os.stat_result) -> str:
    """Return what two files of one path do not share.

    Who keeps a file's size and sets back its time is found out by its inode, and who writes into the very
    inode by ``st_ctime_ns``, which nobody can set. All that can deceive it are two changes within one tick of
    the file system's clock: who remembers a mark asks ``changed`` whether it is old enough.
    """
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def changed(status: os.stat_result) -> int:
    """Return when a file, or its name, was changed last: ns, by the clock of its file system."""
    return max(status.st_mtime_ns, status.st_ctime_ns)


def marks(root: str, folder: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each partition file below ``root``/``folder`` with its mark, in no order.

    Where a partition is held elsewhere, that of its record. What else its folder holds is not looked
    at. What goes meanwhile is not there.

    Raises:
        OSError: a folder cannot be listed.
    """
    try:
        with os.scandir(f"{root}/{folder}") as entries:
            inside = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return
    for name, is_folder in inside:
        path = f"{folder}/{name}"
        if is_folder and not name.startswith(PERIOD):
            yield from marks(root, path)
        elif is_folder:
            yield from _of_partition(root, path)
        elif name == DATA and (found := _mark_of(f"{root}/{path}")) is not None:
            yield path, found


def _of_partition(root: str, folder: str) -> Iterator[tuple[str, str]]:
    for name in (DATA, HELD, DATA):  # the file may come back while the record is looked for
        path = f"{folder}/{name}"
        if (found := _mark_of(f"{root}/{path}")) is not None:
            yield path, found
            return


def named(root: str, folder: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of these names in partitions' own folders below a folder, each with its mark.

    Raises:
        OSError: a folder cannot be listed.
    """
    try:
        with os.scandir(f"{root}/{folder}") as entries:
            inside = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for one in inside:
        path = f"{folder}/{one}"
        if not one.startswith(PERIOD):
            yield from named(root, path, names)
            continue
        for name in names:
            if found := _mark_of(f"{root}/{path}/{name}"):
                yield f"{path}/{name}", found


def _mark_of(file: str) -> str | None:
    """Return the mark of a file; "" of one that cannot be looked at, None where there is none."""
    try:
        return mark(os.stat(file))  # noqa: PTH116 -- of ten thousand files: a Path of each costs more
    except OSError:
        return "" if os.path.lexists(file) else None
