"""A hash of rows that does not depend on how their file is encoded or cut."""

import hashlib
from collections.abc import Iterator
from typing import Final

import polars as pl

from dccd_core.tables import Table

_NO_CATEGORY: Final = 255
_NO_TEXT: Final = -1


class Digest:
    """sha256 over each column's values, little-endian, row after row; nulls differ from every value."""

    def __init__(self, table: Table) -> None:
        self._table = table
        nothing = pl.DataFrame(schema=table.schema)
        self._hashes = {name: hashlib.sha256() for name, _ in _streams(nothing, table)}

    def add(self, rows: pl.DataFrame) -> None:
        for name, values in _streams(rows, self._table):
            self._hashes[name].update(values)

    def hexdigest(self) -> str:
        whole = hashlib.sha256()
        for name, stream in self._hashes.items():
            whole.update(name.encode() + stream.digest())
        return whole.hexdigest()


def _streams(rows: pl.DataFrame, table: Table) -> Iterator[tuple[str, bytes]]:
    """Yield what to hash of each column. A stream only grows at its end, wherever rows are cut."""
    for name, column in zip(rows.columns, rows.iter_columns(), strict=True):
        if column.dtype == pl.String:
            yield f"{name}.length", _bytes(column.str.len_bytes().cast(pl.Int32).fill_null(_NO_TEXT))
            yield f"{name}.text", str(column.str.join().item()).encode()
        elif isinstance(column.dtype, pl.Enum):
            yield f"{name}.value", _bytes(column.to_physical().cast(pl.UInt8).fill_null(_NO_CATEGORY))
        else:
            yield f"{name}.value", _bytes(column.to_physical().fill_null(0))
            if name not in table.required:
                yield f"{name}.null", _bytes(column.is_null().cast(pl.UInt8))


def _bytes(column: pl.Series) -> bytes:
    return column.to_numpy().tobytes()
