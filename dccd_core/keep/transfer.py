"""One file on its way to a remote: sent when it is not there, and proven to be there afterwards.

What is there is replaced only by what holds all of it (compare.py), or when it is damaged and was, or began
as, what is here. All else is a conflict: it stays as it is, and is named.
"""

import hashlib
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import SEEK_END
from typing import BinaryIO, Final, cast

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import Us
from dccd_core.keep.compare import ANOTHER_PAST, has_all_lines, holds_all, less
from dccd_core.keep.copies import Copy
from dccd_core.keep.portion import Halted, Portion, whole_lines
from dccd_core.keep.remotes.remote import Found, Remote
from dccd_core.lake.layout import DATA, owner, parse_data_path, withdrawn_path
from dccd_core.lake.partition import quarantine
from dccd_core.lake.partition.parquet import Reader, State, own, state_from_tail
from dccd_core.lake.store.folder import Store

_ATTEMPTS: Final = 2
_CUT_OFF: Final = "its upload was cut off"
_DAMAGED: Final = "it was damaged there"
_LOST: Final = "it was gone there"
_MEANWHILE: Final = "somebody else wrote it there meanwhile"


class Outcome(StrEnum):
    COPIED = "copied"
    MENDED = "mended"
    PROVEN = "proven"
    """It was there already."""
    CONFLICT = "conflict"
    FAILED = "failed"
    GONE = "gone"
    """It is not here any more: purged, or removed."""
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a file, and why. ``copy``: what is known of it from now on, where that is proven."""

    path: str
    outcome: Outcome
    why: str = ""
    copy: Copy | None = None


@dataclass(slots=True)
class _Ours:
    """A file here, open. ``mark`` is from before it was opened: a later one is looked at again."""

    path: str
    file: BinaryIO
    size: int
    mark: str
    place: tuple[Dataset, str] | None
    sha256: str = ""
    reader: Reader | None = None

    @property
    def state(self) -> State | None:
        return self.reader.state if self.reader else None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What takes files of a store to a remote.

    ``replace``: names of partitions, or of datasets, that count as right here whatever is there.
    ``deep``: what is there is read back whole. ``told`` hears how many more bytes were sent.
    """

    store: Store
    remote: Remote
    now: Us
    halt: Callable[[], bool]
    told: Callable[[int], object]
    replace: frozenset[str] = frozenset()
    deep: bool = False

    def run(self, path: str, there: Found | None, known: Copy | None) -> Result:
        """Bring one file there, if that may be; ``there``: as it was listed. ``known``: its last proof."""
        try:
            with self._opened(path) as ours:
                if ours is None:
                    return Result(path, Outcome.GONE)
                done = self._brought(ours, there, known)
                if done.why == _MEANWHILE:  # or the listing was old, or not whole: the file itself is asked
                    done = self._brought(ours, self.remote.found(path), known)
                return done
        except Halted:
            return Result(path, Outcome.HALTED)
        except (LakeError, OSError) as e:
            return Result(path, Outcome.FAILED, str(e))

    @contextmanager
    def _opened(self, path: str) -> Generator[_Ours | None]:
        ending = self.store.ending(path, 1)
        with self.store.open(path) as stored:
            if stored is None or ending is None:
                yield None
                return
            file, place = stored.file, parse_data_path(path)
            size = file.seek(0, SEEK_END) if path.endswith(DATA) else whole_lines(file)
            ours = _Ours(path, file, size, ending.mark, place)
            if place:
                ours.reader = Reader(file, place[0].data_type, self.store.url(path))
                own(ours.reader.state, owner(*place))
            digest = hashlib.sha256()
            for block in Portion(file, size, self.halt).blocks():
                digest.update(block)
            ours.sha256 = digest.hexdigest()
            yield ours

    def _brought(self, ours: _Ours, there: Found | None, known: Copy | None) -> Result:
        if there is None:
            return self._sent(ours, None, Outcome.MENDED if known else Outcome.COPIED, _LOST if known else "")
        unchanged = known is not None and there == Found(known.size, known.theirs) and bool(there.mark)
        sha256 = known.sha256 if known and unchanged and not self.deep else self._sha256(ours.path)
        if sha256 == ours.sha256:
            return Result(ours.path, Outcome.PROVEN, copy=self._copy(ours, there))
        return self._replaced(ours, there, known)

    def _replaced(self, ours: _Ours, there: Found, known: Copy | None) -> Result:
        """Send what is here, if what is there is less, or damaged; else say why not."""
        if ours.reader:
            ours.reader.verify()  # or a damaged file here would mend a good one there
        outcome, why = self._judged(ours, there, known)
        if outcome is Outcome.CONFLICT and not self._is_to_be_replaced(ours):
            return Result(ours.path, outcome, why)
        return self._sent(ours, there, Outcome.COPIED if outcome is Outcome.CONFLICT else outcome, why)

    def _judged(self, ours: _Ours, there: Found, known: Copy | None) -> tuple[Outcome, str]:
        if ours.reader is None or ours.place is None:
            return self._lines_judged(ours)
        try:
            theirs = state_from_tail(
                lambda size: self.remote.tail(ours.path, size), self.remote.url(ours.path)
            )
            if theirs is None:
                return Outcome.MENDED, _LOST
            return self._rows_judged(ours, ours.reader, theirs, there)
        except DamagedFile as e:
            if known and known.content_hash == ours.reader.state.content_hash:
                return Outcome.MENDED, _DAMAGED
            if self._is_beginning(ours, there):
                return Outcome.MENDED, _CUT_OFF
            return Outcome.CONFLICT, f"it cannot be read there: {e}"

    def _rows_judged(self, ours: _Ours, reader: Reader, theirs: State, there: Found) -> tuple[Outcome, str]:
        assert ours.place
        aside = self._taken_back(*ours.place)
        if why := less(reader.state, theirs, aside.height):
            return Outcome.CONFLICT, why
        if (theirs.content_hash, theirs.ledger, there.size) == (
            reader.state.content_hash,
            reader.state.ledger,
            ours.size,
        ):
            return Outcome.MENDED, _DAMAGED
        data_type = ours.place[0].data_type
        if holds_all(data_type, reader, theirs, lambda: self._fetched(ours), aside):
            return Outcome.COPIED, ""
        return Outcome.CONFLICT, ANOTHER_PAST

    def _taken_back(self, dataset: Dataset, key: str) -> pl.DataFrame:
        """Return the rows that were in the partition once, and are kept beside it."""
        rows = quarantine.read(self.store, withdrawn_path(dataset, key), dataset.data_type)
        return rows.drop(quarantine.REASON)

    def _lines_judged(self, ours: _Ours) -> tuple[Outcome, str]:
        with tempfile.TemporaryFile() as file:
            into = cast("BinaryIO", file)
            self.remote.read(ours.path, into)
            into.seek(0)
            ours.file.seek(0)
            if has_all_lines(ours.file, into):
                return Outcome.COPIED, ""
            return Outcome.CONFLICT, "it has lines that are not here"

    @contextmanager
    def _fetched(self, ours: _Ours) -> Generator[Reader]:
        assert ours.place
        with tempfile.TemporaryFile() as file:
            into = cast("BinaryIO", file)
            self.remote.read(ours.path, into)
            yield Reader(into, ours.place[0].data_type, self.remote.url(ours.path))

    def _is_beginning(self, ours: _Ours, there: Found) -> bool:
        """Tell whether what is there is how what is here begins: an upload that was cut off."""
        if there.size >= ours.size:
            return False
        digest = hashlib.sha256()
        for block in Portion(ours.file, there.size, self.halt).blocks():
            digest.update(block)
        return digest.hexdigest() == self._sha256(ours.path)

    def _is_to_be_replaced(self, ours: _Ours) -> bool:
        place = ours.place or parse_data_path(f"{ours.path.rpartition('/')[0]}/{DATA}")
        return place is not None and not self.replace.isdisjoint((str(place[0]), owner(*place)))

    def _sent(self, ours: _Ours, over: Found | None, outcome: Outcome, why: str) -> Result:
        """Send a file, and prove that it arrived."""
        for _ in range(_ATTEMPTS):
            portion = cast("BinaryIO", Portion(ours.file, ours.size, self.halt, self.told))
            if not self.remote.write(ours.path, portion, over):
                return Result(ours.path, Outcome.FAILED, _MEANWHILE)
            after = self.remote.found(ours.path)
            if after and after.size == ours.size and self._proven(ours.path, after) == ours.sha256:
                return Result(ours.path, outcome, why, self._copy(ours, after))
            over, outcome, why = after, Outcome.MENDED, _CUT_OFF
        said = f"what arrived there is not what was sent, {_ATTEMPTS} times"
        return Result(ours.path, Outcome.FAILED, said)

    def _proven(self, path: str, found: Found) -> str | None:
        """Return the SHA-256 of what is there: the answer that showed it may have said it."""
        return found.sha256 if found.sha256 and not self.deep else self._sha256(path)

    def _sha256(self, path: str) -> str | None:
        if not self.deep:
            return self.remote.sha256(path)
        sink = _Hashing()
        self.remote.read(path, cast("BinaryIO", sink))
        return sink.digest.hexdigest()

    def _copy(self, ours: _Ours, there: Found) -> Copy:
        content_hash = ours.state.content_hash if ours.state else ""
        return Copy(ours.size, ours.sha256, content_hash, ours.mark, there.mark, self.now)


class _Hashing:
    """A file that keeps nothing of what is written to it but its hash."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.digest.update(block)
        return len(block)

    def writelines(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self.digest.update(block)
