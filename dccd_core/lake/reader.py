"""Many partitions, and what streams recorded beside them, as one lazy table."""

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import polars as pl
from polars.io.plugins import register_io_source

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.layout import StreamKey, data_path, dataset_folder, parse_part_path
from dccd_core.lake.live import segments
from dccd_core.lake.live.coverage import SegmentCoverage, withdrawn
from dccd_core.lake.live.runs import SortedRuns
from dccd_core.lake.live.segments import SYMBOL
from dccd_core.lake.live.shelf import Shelf
from dccd_core.lake.partition.held import Bring
from dccd_core.lake.partition.merge import Feed, merged
from dccd_core.lake.partition.parquet import Reader, State
from dccd_core.lake.store.folder import Store, writing
from dccd_core.tables import TIME

_IN_MEMORY: Final = 1 << 26
"""Bytes of live rows, packed, that are not put on disk while they are read: some two million trades."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: files, live rows, and ``fetch``, which has here what is held elsewhere, or raises."""

    store: Store
    live: Shelf
    fetch: Bring


def partitions(store: Store, dataset: Dataset, span: TimeRange | None = None) -> dict[str, str]:
    """Return the paths of the partitions that there are and that share time with ``span``, by key, in order.

    Of those that are held elsewhere that of their record.
    """
    places = [(path, parse_part_path(path)) for path in store.marks(dataset_folder(dataset))]
    found = {place[1]: path for path, place in places if place and place[0] == dataset}
    return {
        key: path
        for key, path in found.items()
        if span is None or partition_span(dataset.grain, key).clip(span)
    }


def is_live(live: Shelf, dataset: Dataset) -> bool:
    """Return whether a row of the dataset is in a live segment."""
    symbol = pl.col(SYMBOL) == str(dataset.symbol)
    family = StreamKey(dataset.exchange, dataset.data_type, dataset.span)
    batches = (batch for segment in live.each_of(family) for batch in segment.batches())
    return any(
        not segments.frame(dataset.data_type, [batch.rows]).filter(symbol).is_empty() for batch in batches
    )


@dataclass(frozen=True, slots=True)
class LiveRows:
    """Rows in live segments: the times of the ``first`` and the ``last``.

    ``asked``: somebody asked for all of them, so each is there once, and in no partition unless its ledger
    says so; what streams record may be there twice.
    """

    first: Us
    last: Us
    asked: bool

    def joined(self, other: "LiveRows") -> "LiveRows":
        first, last = min(self.first, other.first), max(self.last, other.last)
        return LiveRows(first, last, self.asked and other.asked)


def live_rows(live: Shelf) -> dict[Dataset, LiveRows]:
    """Return the datasets of which a row is in a live segment."""
    found, ts = dict[Dataset, LiveRows](), pl.col("ts").to_physical()
    for family in {family for _, family in live.find()}:
        for segment in live.each_of(family):
            for batch in segment.batches():
                rows = segments.frame(family.data_type, [batch.rows])
                ends = rows.group_by(SYMBOL).agg(ts.min().alias("first"), ts.max().alias("last"))
                for symbol, first, last in ends.iter_rows():
                    one = LiveRows(Us(first), Us(last), bool(batch.notes.answers))
                    dataset = family.dataset(str(symbol))
                    found[dataset] = one.joined(found.get(dataset, one))
    return found


def scan(source: Source, dataset: Dataset, span: TimeRange | None) -> pl.LazyFrame:
    """Return the stored rows within ``span``: those that are there when they are collected.

    Not Polars' own scan of many files: that one remembers footers, so it fails on a file that was replaced
    since, and its errors do not name the file.
    """

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        if limit is None:  # all at once: who needs a few rows may need one partition
            paths = partitions(source.store, dataset, span)
            source.fetch(dataset, [key for key, path in paths.items() if path != data_path(dataset, key)])
        for path, found in _shown(source, dataset, span):
            rows = found if predicate is None else found.filter(predicate)
            rows = rows if columns is None else rows.select(columns)
            rows = rows if limit is None else rows.head(limit)
            for batch in _collected(source.store, dataset, path, rows):
                limit = None if limit is None else limit - batch.height
                yield batch
            if limit == 0:
                return

    return register_io_source(batches, schema=dataset.data_type.table.schema)


def portions(source: Source, dataset: Dataset, span: TimeRange) -> Iterator[pl.DataFrame]:
    """Yield the rows within ``span`` in order, a portion at a time; none of them is empty."""
    for path, found in _shown(source, dataset, span):
        yield from (rows for rows in _collected(source.store, dataset, path, found) if rows.height)


def _shown(
    source: Source, dataset: Dataset, span: TimeRange | None
) -> Iterator[tuple[str | None, pl.LazyFrame]]:
    """Yield the rows in order, those of a file with its path, without what was withdrawn."""
    with _live_rows(source.live, dataset, span) as (runs, gone):  # before the partitions: see ``each_of``
        for path, rows in _pieces(source, dataset, span, runs):
            yield path, rows.filter(~pl.any_horizontal(_inside(one) for one in gone)) if gone else rows


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


@contextmanager
def _live_rows(
    live: Shelf, dataset: Dataset, span: TimeRange | None
) -> Generator[tuple[SortedRuns, list[TimeRange]]]:
    """Read what segments hold of a dataset; little of it stays in memory.

    With the rows come the spans in which none is to be shown, stored or not: pictures were wrong there.
    """
    family = StreamKey(dataset.exchange, dataset.data_type, dataset.span)
    wanted = pl.col(SYMBOL) == str(dataset.symbol)
    if span:
        wanted &= _inside(span)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        runs, coverages = SortedRuns(family, cast("BinaryIO", file), wanted), list[SegmentCoverage]()
        with writing(tempfile.gettempdir()):
            for segment in live.each_of(family):
                coverages.append(told := SegmentCoverage())
                for batch in segment.batches():
                    told.add(batch.notes)
                    runs.add(batch.rows, batch.notes.answers)
                runs.end_segment()
        goes = dataset.data_type.table.pictures
        yield runs, [one.span for one in withdrawn(coverages, str(dataset.symbol))] if goes else []


def _pieces(
    source: Source, dataset: Dataset, span: TimeRange | None, runs: SortedRuns
) -> Iterator[tuple[str | None, pl.LazyFrame]]:
    """Yield the rows in order, those of a file with its path."""
    paths, live = partitions(source.store, dataset, span), {key for _, key in runs.parts()}
    for key in sorted({*paths, *live}):
        if key not in paths:
            yield from ((None, rows.lazy()) for rows in runs.rows(dataset, key))
            continue
        path = data_path(dataset, key)
        if paths[key] != path:
            source.fetch(dataset, [key])
        stored = _stored(source, dataset, key, span)
        if key in live:
            yield from _beside(source.store, dataset, path, stored, runs.feeds(dataset, key))
        else:
            yield path, stored


def _stored(source: Source, dataset: Dataset, key: str, span: TimeRange | None) -> pl.LazyFrame:
    """Return what a partition's file has within ``span``; it may be taken away while it is looked for.

    Raises:
        LakeError: it is gone, and nobody says that it is held elsewhere; or it cannot be brought back.
    """
    path = data_path(dataset, key)
    try:
        return _within(source.store, path, span)
    except FileNotFoundError:
        source.fetch(dataset, [key])
    try:
        return _within(source.store, path, span)
    except FileNotFoundError as e:
        raise _went(source.store.url(path)) from e


def _went(url: str) -> LakeError:
    return LakeError(f"{url}: went while it was read", hint="read it again")


def _beside(
    store: Store, dataset: Dataset, path: str, rows: pl.LazyFrame, live: list[Feed]
) -> Iterator[tuple[str | None, pl.LazyFrame]]:
    """Yield a file's rows and live ones, united only where both may be: the file's older rows stay lazy."""
    first = min(begins for feed in live if (begins := feed.begins) is not None)
    cut = pl.lit(first - dataset.data_type.table.tolerance, dtype=TIME)
    yield path, rows.filter(pl.col("ts") < cut)
    stored = Feed.of(_collected(store, dataset, path, rows.filter(pl.col("ts") >= cut)))
    yield from ((None, rows.lazy()) for rows in merged(dataset.data_type, stored, live))


def _within(store: Store, path: str, span: TimeRange | None) -> pl.LazyFrame:
    """Return a file's rows within ``span``; a local one is opened here, and may be replaced from then on.

    Polars opens a path more than once, and would read one file by the footer of another.
    """
    url, access = store.url(path), store.access()
    with nullcontext(url) if "://" in url else Path(url).open("rb") as source:
        rows = pl.scan_parquet(source, glob=False, hive_partitioning=False, storage_options=access or None)
    return rows if span is None else rows.filter(_inside(span))


def _inside(span: TimeRange) -> pl.Expr:
    start, end = (pl.lit(at, dtype=TIME) for at in (span.start, span.end))
    return (pl.col("ts") >= start) & (pl.col("ts") < end)


def _collected(
    store: Store, dataset: Dataset, path: str | None, rows: pl.LazyFrame
) -> Iterator[pl.DataFrame]:
    try:
        yield from rows.collect_batches()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as e:
        if path and verify(store, dataset, path) is None:  # raises when it is the file's fault, and names it
            raise _went(store.url(path)) from e
        raise
