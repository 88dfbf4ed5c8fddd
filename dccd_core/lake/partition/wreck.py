"""What can be read of a partition's file that may not be what was written: rows, ledger, what is lost.

Everybody else refuses such a file (parquet.py). This is to find out what is wrong with it, and to mend it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import SEEK_END
from itertools import chain, count
from typing import BinaryIO, Final

import polars as pl
import pyarrow.parquet as pq

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.partition.ledger import DAMAGED, Ledger
from dccd_core.lake.partition.parquet import Summary, Writer, damage, read_ledger, read_owner, read_summary
from dccd_core.lake.store.folder import Store, Stored, rewrite
from dccd_core.tables import DataType

_COPIED_AT_ONCE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Lost:
    """A row group that cannot be read. ``span``: the time of its rows; None: nobody can say."""

    span: TimeRange | None
    why: str


class Wreck:
    """A file, open; ``ledger`` and ``summary`` are what its footer says, None where it does not.

    ``owner``: which partition its footer says that it is; empty where it does not.

    Raises:
        DamagedFile: it is no Parquet file any more. ``name`` says which.
    """

    def __init__(self, file: BinaryIO, data_type: DataType, name: str) -> None:
        self._data_type, self._name = data_type, name
        with damage(name):
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
        self.bytes = file.seek(0, SEEK_END)
        self.owner = read_owner(self._file.metadata)
        self.ledger, self.summary = self._ledger(), self._summary()

    def pieces(self) -> Iterator[pl.DataFrame | Lost]:
        """Yield the rows as they lie in the file, a row group at a time; in its place one that is lost."""
        for n in range(self._file.metadata.num_row_groups):
            try:
                yield self._group(n)
            except DamagedFile as e:
                yield Lost(self._span(n), str(e))

    def _group(self, n: int) -> pl.DataFrame:
        with damage(self._name):
            table = self._file.read_row_group(n)
            table.validate(full=True)
            rows = pl.DataFrame(pl.from_arrow(table))
            return rows.select(self._data_type.table.schema.names()).cast(self._data_type.table.schema)

    def _span(self, n: int) -> TimeRange | None:
        """Return the time of a row group's rows, by the footer that counts as many groups as there are."""
        summary = self.summary
        if (
            summary is None
            or len(summary.starts) != self._file.metadata.num_row_groups
            or summary.last is None
        ):
            return None
        ends = [*summary.starts[1:], summary.last]
        return TimeRange(summary.starts[n], Us(ends[n] + 1))

    def _ledger(self) -> Ledger | None:
        try:
            return read_ledger(self._file.metadata, self._name)
        except DamagedFile:
            return None

    def _summary(self) -> Summary | None:
        try:
            return read_summary(self._file.metadata, self._name)
        except DamagedFile:
            return None


@dataclass(frozen=True, slots=True)
class Mending:
    """How to make a sound file of one that is none: nothing is claimed of the ``doubtful`` time any more.

    ``aside``: where the file is kept as it was; None: it is not.
    """

    doubtful: Sequence[TimeRange]
    aside: str | None


def mend(store: Store, path: str, data_type: DataType, owner: str, how: Mending) -> None:
    """Write a partition anew from the rows that can be read, those of one key once.

    What was claimed of the doubtful time is not any more: whoever fills the partition asks for it again.
    """
    if how.aside:
        rewrite(store, _own_name(store, path, how.aside), partial(_copy, store, path))
    rewrite(store, path, partial(_rewritten, store.url(path), data_type, owner, how))


def _own_name(store: Store, path: str, aside: str) -> str:
    """Return where to keep a file: not in the place of another one that was damaged before."""
    ours = _sha256(store, path)
    names = chain([aside], (f"{aside}_{n}" for n in count(2)))
    return next(name for name in names if _sha256(store, name) in ("", ours))


def _sha256(store: Store, path: str) -> str:
    """Return the hash of a file; empty where there is none."""
    with store.open(path) as stored:
        digest = hashlib.sha256()
        while stored and (block := stored.file.read(_COPIED_AT_ONCE)):
            digest.update(block)
        return digest.hexdigest() if stored else ""


def _copy(store: Store, path: str, file: BinaryIO, _: Stored | None) -> tuple[None, bool]:
    with store.open(path) as stored:
        while stored and (block := stored.file.read(_COPIED_AT_ONCE)):
            file.write(block)
    return None, True


def _rewritten(
    url: str, data_type: DataType, owner: str, how: Mending, file: BinaryIO, stored: Stored | None
) -> tuple[None, bool]:
    if stored is None:
        return None, False
    try:
        wreck: Wreck | None = Wreck(stored.file, data_type, url)
    except DamagedFile:
        wreck = None
    if wreck and wreck.owner not in ("", owner):
        wreck = None  # rows of another are none of ours
    pieces = wreck.pieces() if wreck else iter(())
    frames = (piece for piece in pieces if isinstance(piece, pl.DataFrame))  # a group at a time is in memory
    with Writer(file, data_type, owner) as writer:
        for rows in _sound(frames, data_type):
            writer.write(rows)
        writer.seal(without(wreck.ledger if wreck else None, how.doubtful))
    return None, True


def _sound(frames: Iterable[pl.DataFrame], data_type: DataType) -> Iterator[pl.DataFrame]:
    """Yield rows in order, none without a time; they were in order unless somebody shuffled them."""
    last: pl.Series | None = None
    for rows in frames:
        kept = rows.drop_nulls(data_type.table.required)
        if kept["ts"].is_sorted() and (last is None or kept.is_empty() or kept["ts"][0] >= last[0]):
            yield kept
            last = kept["ts"].tail(1) if kept.height else last
        else:  # nobody can say which of them are true: all of the partition is doubtful, and asked for again
            return


def without(ledger: Ledger | None, doubtful: Sequence[TimeRange]) -> Ledger:
    """Return a ledger that claims nothing of these spans, from whichever source, and says why.

    So whoever comes next knows what is to be asked for again, if nobody gets to it now. None: nobody knows
    what was claimed.
    """
    if ledger is None:
        return Ledger().lose((span, DAMAGED) for span in doubtful)
    asked = [replace(one, span=part) for one in ledger.asked for part in one.span.minus(doubtful)]
    holes = [hole for hole in ledger.holes if hole.span.minus(doubtful)]
    claimed = [part for one in ledger.covered() for span in doubtful if (part := one.clip(span))]
    left = replace(ledger, asked=tuple(asked), holes=tuple(holes))
    return left.lose((part, DAMAGED) for part in claimed)
