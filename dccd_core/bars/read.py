"""Longer bars read out of the lake: made of shorter ones that are stored, while they are read."""

from collections.abc import Iterable, Iterator

import polars as pl
from polars.io.plugins import register_io_source

from dccd_core.bars.longer import Length, divides, longer, next_open, pieces, proven, whole_bars
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange
from dccd_core.lake.lake import LakeStore


def longest_source(stored: Iterable[Dataset], dataset: Dataset, length: Length) -> Dataset | None:
    """Return which stored bars of the same market longer ones are made of; None: there are none that fit."""
    fitting = [
        (one.span, one)
        for one in stored
        if one.span and divides(one.span, length) and _market(one) == _market(dataset)
    ]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def scan_longer(
    lake: LakeStore, source: Dataset, length: Length, wanted: TimeRange | None, *, restore: bool = True
) -> pl.LazyFrame:
    """Return the long bars that open within ``wanted``, made of what is there when they are collected.

    Only those of which the ledger proves all of the time. ``restore``: see ``LakeStore.scan``.
    """

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        for rows in _made(lake, source, length, wanted, restore=restore):
            found = rows if predicate is None else rows.filter(predicate)
            found = found if columns is None else found.select(columns)
            found = found if limit is None else found.head(limit)
            limit = None if limit is None else limit - found.height
            yield found
            if limit == 0:
                return

    return register_io_source(batches, schema=source.data_type.table.schema)


def _made(
    lake: LakeStore, source: Dataset, length: Length, wanted: TimeRange | None, *, restore: bool
) -> Iterator[pl.DataFrame]:
    assert source.span is not None
    known = proven(state.ledger for state in lake.all_known(source).values())
    for run in whole_bars(known, length):
        part = _opening_in(run, wanted, length) if wanted else run
        for piece in pieces(part, source.span, length) if part else ():
            yield longer(lake.scan(source, piece, restore=restore).collect(), length, [piece])


def _opening_in(run: TimeRange, wanted: TimeRange, length: Length) -> TimeRange | None:
    """Return the whole bars of ``run`` that open within ``wanted``."""
    shared = run.clip(wanted)
    if shared is None:
        return None
    start, end = (next_open(at, length) for at in (shared.start, shared.end))
    return TimeRange(start, end) if start < end else None


def _market(dataset: Dataset) -> tuple[object, ...]:
    return dataset.exchange, dataset.symbol, dataset.data_type
