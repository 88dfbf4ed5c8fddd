"""Which files of an old store are done, and what they came to, in the lake: so that an import goes on.

It only saves time: a file that is done twice adds nothing. What is not of this format says nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from dccd_core.imports.clean import Counts
from dccd_core.imports.oldstore import OldFile
from dccd_core.imports.report import FileResult
from dccd_core.lake.store.folder import Store

_FOLDER: Final = ".dccd/imports"
_FORMAT: Final = 1


class _Done(msgspec.Struct, array_like=True):
    """``mark``: of the file as it was. ``keys``: the partitions that have its rows."""

    mark: str
    trusted: bool
    read: int
    taken: int
    known: int
    keys: tuple[str, ...]
    repaired: dict[str, int]
    refused: dict[str, int]
    remarks: list[str]


class _Written(msgspec.Struct):
    format: int
    store: str
    files: dict[str, _Done]


_READ: Final = msgspec.json.Decoder(_Written)


class Journal:
    """What is known of the files of one old store, by their names in it.

    Args:
        store: the lake's.
        root: the old store.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store, self._root = store, str(root.absolute())
        name = hashlib.sha256(self._root.encode()).hexdigest()[:16]
        self._path = f"{_FOLDER}/{name}.json"
        self._files = self._recalled()

    def done(self, file: OldFile, keys: Iterable[str], *, trusted: bool) -> FileResult | None:
        """Return what came of a file that is as it was; None: it is to be taken.

        ``keys``: the partitions that the lake has of its dataset; one that went is to be made again.
        """
        one = self._files.get(file.name)
        if one is None or (one.mark, one.trusted) != (file.mark, trusted) or not set(one.keys) <= set(keys):
            return None
        counts = Counts(one.read, Counter(one.repaired), Counter(one.refused), set(one.remarks))
        return FileResult(counts, one.taken, one.known, one.keys)

    def note(self, file: OldFile, result: FileResult, *, trusted: bool) -> None:
        """Remember what came of a file; of one that could not be read nothing: it may be mended."""
        if result.error:
            return
        counts = result.counts
        self._files[file.name] = _Done(
            file.mark,
            trusted,
            counts.read,
            result.taken,
            result.known,
            result.keys,
            dict(counts.repaired),
            dict(counts.refused),
            sorted(counts.remarks),
        )

    def write(self) -> None:
        """Write all of it down; where that cannot be, the next import does more than it must."""
        with self._store.memo(self._path) as memo:
            if memo:
                memo.write(msgspec.json.encode(_Written(_FORMAT, self._root, self._files)))

    def _recalled(self) -> dict[str, _Done]:
        with self._store.open(self._path) as stored:
            text = stored.file.read() if stored else b""
        try:
            told = _READ.decode(text)
        except msgspec.MsgspecError:
            return {}
        return told.files if (told.format, told.store) == (_FORMAT, self._root) else {}
