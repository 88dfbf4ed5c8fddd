"""Rows that were refused, kept beside their partition: one JSON object a line, with the reason."""

from io import BytesIO
from typing import BinaryIO, Final

import polars as pl

from dccd_core.lake.partition.parquet import damage
from dccd_core.lake.store.folder import Store, Stored, rewrite
from dccd_core.tables import DataType

REASON: Final = "reason"


def add(store: Store, path: str, rows: pl.DataFrame) -> int:
    """Add the rows that are not there yet, word for word; return how many are there now."""
    lines = rows.write_ndjson().encode().splitlines(keepends=True)

    def fill(file: BinaryIO, stored: Stored | None) -> tuple[int, bool]:
        old = stored.file.readlines() if stored else []
        whole = dict.fromkeys([*old, *lines])
        file.writelines(whole)
        return len(whole), len(whole) > len(old)

    return rewrite(store, path, fill)


def read(store: Store, path: str, data_type: DataType) -> pl.DataFrame:
    """Return the rows: the data type's table and ``reason``."""
    schema = {**data_type.table.schema, REASON: pl.String()}
    with store.open(path) as stored:
        text = stored.file.read() if stored else b""
    with damage(store.url(path)):
        return pl.read_ndjson(BytesIO(text), schema=schema) if text else pl.DataFrame(schema=schema)


def count(store: Store, path: str) -> int:
    with store.open(path) as stored:
        return sum(1 for _ in stored.file) if stored else 0
