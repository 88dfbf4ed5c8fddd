"""Fresh rows on disk until they are merged: Arrow streams one after another, cheap to write and to read."""

from functools import partial
from io import SEEK_END, BytesIO
from typing import BinaryIO

import polars as pl

from dccd_core.domain.timespan import Us
from dccd_core.lake.partition.merge import Feed, Piece, first_ts
from dccd_core.lake.partition.parquet import GROUP
from dccd_core.tables import DataType


class Pile:
    """Frames in a file, each to be read again by its number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._places)

    def put(self, rows: pl.DataFrame) -> int:
        """Add a frame and return its number."""
        stream = BytesIO()
        rows.write_ipc_stream(stream, compression="lz4")
        at = self._file.seek(0, SEEK_END)
        self._file.write(stream.getbuffer())
        self._places.append((at, stream.tell()))
        return len(self._places) - 1

    def get(self, number: int) -> pl.DataFrame:
        at, size = self._places[number]
        self._file.seek(at)
        return pl.read_ipc_stream(BytesIO(self._file.read(size)))


class RowSpool:
    """Takes rows in portions of any size and holds fewer than ``GROUP`` of them in memory."""

    def __init__(self, file: BinaryIO, data_type: DataType) -> None:
        self._pile = Pile(file)
        self._data_type = data_type
        self._held: list[pl.DataFrame] = []
        self._rows_held = 0
        self._starts: list[Us] = []

    def append(self, rows: pl.DataFrame) -> None:
        self._held.append(rows)
        self._rows_held += rows.height
        if self._rows_held >= GROUP:
            self._spill()

    def feed(self) -> Feed:
        """Return all rows appended so far, from the front; may be asked for again."""
        starts = self._starts
        if self._rows_held:
            rows = pl.concat(self._held)
            self._held, starts = [rows], [*starts, first_ts(rows)]
        return Feed(Piece(start, n, partial(self._piece, n)) for n, start in enumerate(tuple(starts)))

    def _spill(self) -> None:
        """Write whole pieces. Rows are let go only when they are written: a full disk may get room again."""
        rows = pl.concat(self._held)
        while rows.height >= GROUP:
            self._write(rows.head(GROUP))
            rows = rows.slice(GROUP)
            self._held, self._rows_held = [rows], rows.height

    def _write(self, rows: pl.DataFrame) -> None:
        self._pile.put(rows)
        self._starts.append(first_ts(rows))

    def _piece(self, n: int) -> pl.DataFrame:
        return self._held[0] if n == len(self._pile) else self._pile.get(n)
