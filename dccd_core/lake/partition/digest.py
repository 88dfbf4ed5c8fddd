"""A hash of rows that does not depend on how their file is encoded or cut."""

import hashlib
from collections.abc import Iterator
from typing import Final

import polars as pl

from dccd_core.tables import Table

_NO_CATEGORY: Final = 255
_NO_TEXT: Final = -1
_TEXT: Final = ".text"


class Digest:
    """sha256 over each column's values, little-endian, row after row; nulls differ from every value.

    A column is hashed as one stream or as two, each of which only grows at its end, wherever rows are cut.
    """

    def __init__(self, table: Table) -> None:
        streams = [stream for column in table.schema for stream in _streams(table, column)]
        self._hashes = {name: hashlib.sha256() for name, _ in streams}
        # all in one query: each costs a millisecond, whatever it is asked
        self._values = {name: of for name, of in streams if not name.endswith(_TEXT)}
        self._texts = {name: of for name, of in streams if name.endswith(_TEXT)}

    def add(self, rows: pl.DataFrame) -> None:
        for values in rows.select(**self._values).iter_columns():
            self._hashes[values.name].update(values.to_numpy().tobytes())
        if self._texts:
            for name, text in rows.select(**self._texts).row(0, named=True).items():
                self._hashes[name].update(text.encode())

    def hexdigest(self) -> str:
        whole = hashlib.sha256()
        for name, stream in self._hashes.items():
            whole.update(name.encode() + stream.digest())
        return whole.hexdigest()


def _streams(table: Table, name: str) -> Iterator[tuple[str, pl.Expr]]:
    """Yield what to hash of a column: a value for each row, of ``_TEXT`` one for all of them."""
    column, of = pl.col(name), table.schema[name]
    if of == pl.String:
        yield f"{name}.length", column.str.len_bytes().cast(pl.Int32).fill_null(_NO_TEXT)
        yield f"{name}{_TEXT}", column.str.join()
    elif isinstance(of, pl.Enum):
        yield f"{name}.value", column.to_physical().cast(pl.UInt8).fill_null(_NO_CATEGORY)
    else:
        yield f"{name}.value", column.to_physical().fill_null(0)
        if name not in table.required:
            yield f"{name}.null", column.is_null().cast(pl.UInt8)
