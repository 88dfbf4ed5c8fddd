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
        old = dict.fromkeys(line for line in stored.file if line.endswith(b"\n")) if stored else {}
        whole = old | dict.fromkeys(lines)
        file.writelines(whole)
        return len(whole), len(whole) > len(old)

    return rewrite(store, path, fill)


def append(store: Store, path: str, rows: pl.DataFrame) -> None:
    """Add rows without a look at those that are there: what that costs does not grow with them."""
    if rows.height:
        store.append(path, rows.write_ndjson().encode())


def read(store: Store, path: str, data_type: DataType) -> pl.DataFrame:
    """Return the rows, each once: the data type's table and ``reason``."""
    schema = {**data_type.table.schema, REASON: pl.String()}
    text = b"".join(_lines(store, path))
    with damage(store.url(path)):
        return pl.read_ndjson(BytesIO(text), schema=schema) if text else pl.DataFrame(schema=schema)


def count(store: Store, path: str) -> int:
    return len(_lines(store, path))


def _lines(store: Store, path: str) -> dict[bytes, None]:
    """Return each line once. A last one without its end is being written, or its writer was killed."""
    with store.open(path) as stored:
        return dict.fromkeys(line for line in stored.file if line.endswith(b"\n")) if stored else {}
