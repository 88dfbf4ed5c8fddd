"""Partitions as Parquet: a writer that streams, a reader, and a partition's state from the footer alone."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import SEEK_END, BytesIO
from types import TracebackType
from typing import BinaryIO, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import Us
from dccd_core.lake.partition.digest import Digest
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.lake.partition.merge import Feed, Piece
from dccd_core.tables import TIME, DataType, empty

GROUP: Final = 1 << 17
"""Rows of a row group: what is in memory at once, and how finely time can be pruned."""
TAIL: Final = 1 << 16
"""Bytes from the end of a file that hold most footers whole."""

_LEDGER: Final = "dccd.ledger"
_SUMMARY: Final = "dccd.state"
_OWNER: Final = "dccd.partition"
_MAGIC: Final = 8
_UNREADABLE: Final = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    UnicodeDecodeError,
    OSError,
)
_RESTORE: Final = "`dccd verify --repair` asks for its rows anew; or restore it from a copy"

# Measured. Times and ids: half the size of pyarrow's defaults, and as fast.
_ENCODINGS: Final[Mapping[pl.DataType, str]] = {TIME: "DELTA_BINARY_PACKED", pl.String(): "DELTA_BYTE_ARRAY"}


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a partition without reading its rows. ``bytes`` is the size of its file."""

    path: str
    rows: int
    first: Us | None
    last: Us | None
    bytes: int
    content_hash: str
    ledger: Ledger
    owner: str = ""
    """Whose rows they are, as ``Writer`` was told; empty in files from before that was written."""
    unfolded: int = 0
    """Rows of ticks that are in the tail and in no file yet. Of a file alone there are none."""
    elsewhere: tuple[str, ...] = ()
    """The remotes that hold the file, where it is not here; ``bytes`` is its size there."""


def own(state: State | None, owner: str) -> State | None:
    """Return the state of a file that holds what it should.

    Raises:
        LakeError: it is another's: their names differ only in what this file system does not tell apart.
    """
    if state and state.owner not in ("", owner):
        raise LakeError(
            f"{state.path} holds {state.owner}, not {owner}",
            hint="a file system that takes both names for one cannot keep both: use another store for one",
        )
    return state


class Summary(msgspec.Struct):
    """What was written, as the footer says it. ``starts``: the time of each row group's first row."""

    rows: int
    starts: list[Us]
    last: Us | None
    content_hash: str


_READ_SUMMARY: Final = msgspec.json.Decoder(Summary)


class Writer:
    """Writes rows in order, in row groups of ``GROUP``; without ``seal`` the file is no Parquet file.

    ``owner`` names the partition, so that the file can be told from another's wherever it lies.
    """

    def __init__(self, file: BinaryIO, data_type: DataType, owner: str = "") -> None:
        self._owner = owner
        table = data_type.table
        encodings = {name: _ENCODINGS[of] for name, of in table.schema.items() if of in _ENCODINGS}
        self._file = pq.ParquetWriter(
            file,
            _to_arrow(empty(data_type)).schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=list(table.dictionaries),  # pyright: ignore[reportArgumentType] -- the stubs know only bool
            column_encoding=encodings,
            write_page_checksum=True,
        )
        self._digest = Digest(table)
        self._left = empty(data_type)
        self._rows = 0
        self._starts: list[Us] = []
        self._last: Us | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Let go of a file that was not sealed: on a full disk even closing it fails."""
        with suppress(OSError, pa.ArrowException):
            self._file.close()
        self._file.is_open = False

    def write(self, rows: pl.DataFrame) -> None:
        rows = pl.concat([self._left, rows])
        whole = rows.height - rows.height % GROUP
        if whole:
            self._put(rows.head(whole))
        self._left = rows.slice(whole).rechunk()

    def seal(self, ledger: Ledger) -> None:
        """Write what is left, and the footer."""
        if self._left.height:
            self._put(self._left)
        summary = Summary(self._rows, self._starts, self._last, self._digest.hexdigest())
        self._file.add_key_value_metadata(
            {
                _LEDGER: ledger.to_json(),
                _SUMMARY: msgspec.json.encode(summary).decode(),
                _OWNER: self._owner,
            }
        )
        self._file.close()

    def _put(self, rows: pl.DataFrame) -> None:
        times = rows["ts"].cast(pl.Int64)
        self._starts += [Us(int(times[n])) for n in range(0, rows.height, GROUP)]
        self._last = Us(int(times[-1]))
        self._rows += rows.height
        self._digest.add(rows)
        self._file.write_table(_to_arrow(rows), row_group_size=GROUP)
        pa.default_memory_pool().release_unused()  # else it keeps 10 MB that Polars could do with


class Reader:
    """A partition's file, open.

    Raises:
        DamagedFile: here and on reading, when it is not what ``Writer`` wrote. ``name`` says which.
    """

    def __init__(self, file: BinaryIO, data_type: DataType, name: str) -> None:
        self._name = name
        self._data_type = data_type
        with damage(name):
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
        self._starts = _summary(self._file.metadata, name).starts
        self.state = _state(self._file.metadata, file.seek(0, SEEK_END), name)

    def feed(self) -> Feed:
        return Feed(Piece(start, n, partial(self._group, n)) for n, start in enumerate(self._starts))

    def groups(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, a row group at a time."""
        return map(self._group, range(len(self._starts)))

    def verify(self) -> None:
        """Read every row again.

        Raises:
            DamagedFile: the rows are not in order, or not those that were written.
        """
        digest, last = Digest(self._data_type.table), None
        for rows in self.groups():
            digest.add(rows)
            times = rows["ts"].cast(pl.Int64)
            if not times.is_sorted() or (last is not None and times[0] < last):
                raise DamagedFile(f"{self._name}: rows are not in the order of time", hint=_RESTORE)
            last = times[-1]
        if digest.hexdigest() != self.state.content_hash:
            raise DamagedFile(f"{self._name}: the rows are not those that were written", hint=_RESTORE)

    def _group(self, n: int) -> pl.DataFrame:
        with damage(self._name):
            table = self._file.read_row_group(n)
            table.validate(full=True)  # Polars takes text and dictionary indices on trust
            rows = pl.DataFrame(pl.from_arrow(table))
        if rows.schema != self._data_type.table.schema:
            raise DamagedFile(f"{self._name} has other columns than its table: {rows.schema}", hint=_RESTORE)
        return rows


def state_from_tail(read: Callable[[int], tuple[bytes, int] | None], name: str) -> State | None:
    """Return a file's state, reading no more than its footer; None when there is no file.

    Args:
        read: gives the last so many bytes of the file (all, when it has fewer) and the file's size.
        name: what errors call the file.
    """
    size = TAIL
    while (ending := read(size)) is not None:
        tail, whole = ending
        size = int.from_bytes(tail[-_MAGIC:-4], "little") + _MAGIC
        if len(tail) >= min(size, whole):
            with damage(name):
                metadata = pq.read_metadata(BytesIO(tail))
            return _state(metadata, whole, name)
    return None


def _state(metadata: pq.FileMetaData, size: int, name: str) -> State:
    known = _summary(metadata, name)
    first = known.starts[0] if known.starts else None
    ledger = read_ledger(metadata, name)
    owner = read_owner(metadata)
    return State(name, known.rows, first, known.last, size, known.content_hash, ledger, owner)


def read_owner(metadata: pq.FileMetaData) -> str:
    """Return which partition a footer says that the file is; empty where it says nothing."""
    return (metadata.metadata or {}).get(_OWNER.encode(), b"").decode(errors="replace")


def read_ledger(metadata: pq.FileMetaData, name: str) -> Ledger:
    """Return the ledger in a footer.

    Raises:
        DamagedFile: there is none, or it cannot be read.
    """
    try:
        return Ledger.from_json(_pair(metadata, _LEDGER, name))
    except DamagedFile as e:
        raise DamagedFile(f"{name}: {e.args[0]}", hint=e.hint) from e


def read_summary(metadata: pq.FileMetaData, name: str) -> Summary:
    """Return what a footer says was written, whether it is there or not.

    Raises:
        DamagedFile: it says nothing, or what cannot be read.
    """
    try:
        return _READ_SUMMARY.decode(_pair(metadata, _SUMMARY, name))
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise DamagedFile(f"{name}: its state cannot be read: {e}", hint=_RESTORE) from e


def _summary(metadata: pq.FileMetaData, name: str) -> Summary:
    known = read_summary(metadata, name)
    groups = -(-known.rows // GROUP)
    if (metadata.num_rows, metadata.num_row_groups, len(known.starts)) != (known.rows, groups, groups):
        raise DamagedFile(f"{name}: {metadata.num_rows} rows where {known.rows} were written", hint=_RESTORE)
    if known.starts != sorted(known.starts):
        raise DamagedFile(f"{name}: row groups are not in the order of time", hint=_RESTORE)
    return known


def _pair(metadata: pq.FileMetaData, key: str, name: str) -> bytes:
    value = (metadata.metadata or {}).get(key.encode())
    if value is None:
        raise DamagedFile(f"{name} was not written by dccd: it has no {key}", hint=_RESTORE)
    return value


def _to_arrow(rows: pl.DataFrame) -> pa.Table:
    """Give Arrow its older text layout: what every reader of Parquet understands."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


@contextmanager
def damage(name: str) -> Generator[None]:
    """Turn what the libraries say of a file that they cannot read into a DamagedFile."""
    try:
        yield
    except _UNREADABLE as e:
        raise DamagedFile(f"{name} cannot be read: {e}", hint=_RESTORE) from e
