"""Many partitions as one lazy table."""

from collections.abc import Iterator

import polars as pl
from polars.io.plugins import register_io_source

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.datatype import TABLES, TIME
from dccd_core.domain.timespan import TimeSpan
from dccd_core.lake.layout import dataset_folder, parse_data_path
from dccd_core.lake.parquet import Reader, State
from dccd_core.lake.store import Store


def partitions(store: Store, dataset: Dataset, span: TimeSpan | None = None) -> dict[str, str]:
    """Return the paths of the partitions that are there and share time with ``span``, by key, in order."""
    places = [(path, parse_data_path(path)) for path in store.find(dataset_folder(dataset))]
    found = {place[1]: path for path, place in places if place and place[0] == dataset}
    return {
        key: path
        for key, path in found.items()
        if span is None or partition_span(dataset.grain, key).clip(span)
    }


def scan(store: Store, dataset: Dataset, span: TimeSpan | None) -> pl.LazyFrame:
    """Return the stored rows within ``span``: those that are there when they are collected.

    Not Polars' own scan of many files: that one remembers footers, so it fails on a file that was replaced
    since, and its errors do not name the file.
    """

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for path in partitions(store, dataset, span).values():
            rows = _within(store.url(path), span)
            rows = rows if predicate is None else rows.filter(predicate)
            rows = rows if columns is None else rows.select(columns)
            rows = rows if limit is None else rows.head(limit)
            for batch in _collected(store, dataset, path, rows):
                limit = None if limit is None else limit - batch.height
                yield batch
            if limit == 0:
                return

    return register_io_source(batches, schema=TABLES[dataset.data_type].schema)


def verify(store: Store, dataset: Dataset, path: str) -> State | None:
    """Read every row of a partition; None when there is none.

    Raises:
        DamagedFile: it is not what was written.
    """
    with store.open(path) as stored:
        if stored is None:
            return None
        reader = Reader(stored.file, dataset.data_type, store.url(path))
        reader.verify()
        return reader.state


def _within(url: str, span: TimeSpan | None) -> pl.LazyFrame:
    rows = pl.scan_parquet(url, glob=False, hive_partitioning=False)
    if span is None:
        return rows
    start, end = (pl.lit(at, dtype=TIME) for at in (span.start, span.end))
    return rows.filter(pl.col("ts") >= start, pl.col("ts") < end)


def _collected(store: Store, dataset: Dataset, path: str, rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    try:
        yield from rows.collect_batches()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        verify(store, dataset, path)  # raises when it is the file's fault, and names it
        raise
