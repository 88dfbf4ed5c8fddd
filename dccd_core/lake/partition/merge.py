"""Two sets of rows made one: each row once, in the exchange's order, a bounded piece of time at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.tables import ARRIVAL, RECEIVED, DataType, Table, ascends

TWICE: Final = "came twice with different contents"
_ENOUGH: Final = 100_000
"""Rows that are united at once; there are more of them where one moment has more."""
_WAS: Final = "_was"
_COPY: Final = "_copy"
_CAME: Final = "_came"


class Feed:
    """A source of rows in pieces, each of which is read when its time has come.

    Args:
        pieces: those that begin first before the others; they may overlap.
    """

    def __init__(self, pieces: Iterable["Piece"]) -> None:
        self._pieces = iter(pieces)
        self._next = next(self._pieces, None)

    @classmethod
    def of(cls, batches: Iterable[pl.DataFrame]) -> "Feed":
        """Take batches, ascending in time; one is read ahead."""
        return cls(
            Piece(first_ts(rows), order, partial(_itself, rows))
            for order, rows in enumerate(batches)
            if rows.height
        )

    def kept(self, keep: Callable[[pl.DataFrame], pl.DataFrame]) -> "Feed":
        """Return the source with what ``keep`` leaves of each piece; this one is used up by it."""
        pieces = iter(self._pieces if self._next is None else chain((self._next,), self._pieces))
        return Feed(Piece(piece.start, piece.order, partial(_kept, piece, keep)) for piece in pieces)

    @property
    def begins(self) -> Us | None:
        """When the next piece begins: nothing earlier comes any more. None: nothing comes at all."""
        return self._next.start if self._next else None

    def load(self) -> tuple[int, pl.DataFrame]:
        assert self._next is not None
        piece, self._next = self._next, next(self._pieces, None)
        return piece.order, piece.read()


def outside(feed: Feed, spans: Sequence[TimeRange]) -> Feed:
    """Return a source without its rows in ``spans``."""
    return feed.kept(lambda rows: rows.filter(~_within(spans))) if spans else feed


def _within(spans: Sequence[TimeRange]) -> pl.Expr:
    times = pl.col("ts").to_physical()
    return pl.any_horizontal((times >= span.start) & (times < span.end) for span in spans)


class Piece(NamedTuple):
    """``order`` tells which rows of a source came first, where their times do not."""

    start: Us
    order: int
    read: Callable[[], pl.DataFrame]


def merged(
    data_type: DataType,
    stored: Feed | None,
    fresh: Sequence[Feed],
    clashes: list[pl.DataFrame] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the union of sources in order of time, some pieces of each at once: see ``unite``.

    However rows are cut into pieces, the result is the same: rows wait until nothing comes any more that
    could be the same row, timed differently by another source (``Table.tolerance``).

    Args:
        data_type: whose table the rows follow.
        stored: rows that are in order, each once.
        fresh: sources of others; a later one's rows take the place of those before.
        clashes: takes fresh rows that contradict one another, some more than once.
    """
    table, enough = data_type.table, _ENOUGH
    sources = [_Window(table, feed) for feed in (stored or Feed(()), *fresh)]
    while waiting := [source for source in sources if source.feed.begins is not None]:
        min(waiting, key=lambda source: source.feed.begins or 0).load()
        cut = min((begins for source in sources if (begins := source.feed.begins) is not None), default=None)
        if cut is not None and sum(source.height for source in sources) < enough:
            continue
        edge = None if cut is None else Us(cut - table.tolerance)
        rows = _union(data_type, [source.rows() for source in sources], clashes)
        ready = rows if edge is None else rows.head(int(np.searchsorted(_times(rows), edge)))
        enough = _ENOUGH if ready.height else 2 * enough
        if ready.height:
            yield ready
        if edge is not None:
            for source in sources:
                source.keep(edge, ready)


def _union(
    data_type: DataType, windows: Sequence[pl.DataFrame], clashes: list[pl.DataFrame] | None
) -> pl.DataFrame:
    stored, *fresh = windows
    some = [rows for rows in fresh if rows.height]
    return reduce(lambda rows, more: unite(data_type, rows, more, clashes), some, stored)


class _Window:
    """What was read of a source and is not through yet."""

    def __init__(self, table: Table, feed: Feed) -> None:
        self.feed = feed
        self._table = table
        self._parts: list[tuple[int, pl.DataFrame]] = []

    @property
    def height(self) -> int:
        return sum(rows.height for _, rows in self._parts)

    def load(self) -> None:
        self._parts.append(self.feed.load())
        self._parts.sort(key=itemgetter(0))

    def rows(self) -> pl.DataFrame:
        return pl.concat([pl.DataFrame(schema=self._table.schema), *(rows for _, rows in self._parts)])

    def keep(self, edge: Us, ready: pl.DataFrame) -> None:
        """Forget what is ``ready``: all before ``edge``, and what is the same row as one that is."""
        at, since = pl.col("ts").to_physical(), edge - self._table.tolerance
        left = at >= edge
        if self._table.tolerance:
            gone = ready.filter(at >= since - self._table.tolerance)[self._table.key[0]].drop_nulls()
            named = pl.col(self._table.key[0])
            left = pl.when(named.is_null()).then(left).otherwise((at >= since) & ~named.is_in(gone.implode()))
        parts = [(order, rows.filter(left)) for order, rows in self._parts]
        self._parts = [(order, rows) for order, rows in parts if rows.height]


def first_ts(rows: pl.DataFrame) -> Us:
    return Us(int(_times(rows)[0]))


def _times(rows: pl.DataFrame) -> np.ndarray:
    return rows["ts"].cast(pl.Int64).to_numpy()


def _kept(piece: Piece, keep: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    return keep(piece.read())


def _itself(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


def unite(
    data_type: DataType,
    stored: pl.DataFrame,
    fresh: pl.DataFrame,
    clashes: list[pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """Return both sets of rows as one, each row once, in order.

    Rows are told apart by the table's key; the fresh one of a pair takes the place of the stored one, and
    keeps when that was received.
    Rows without one are counted: the n-th copy of a row here is the n-th copy there. Of fresh rows with one
    key the last is taken; with ``clashes`` none is, where they differ: all go in there (see ``last_wins``).
    """
    table = data_type.table
    distinct = fresh.n_unique(table.key) == fresh.height
    if stored.is_empty() and distinct and _in_order(table, fresh):
        return fresh
    if clashes is not None and not table.last_wins and not distinct:
        fresh = _agreed(table.key, fresh, clashes)
    old = stored.with_row_index(ARRIVAL)
    new = fresh.with_row_index(ARRIVAL, offset=stored.height)
    if table.nameless:
        named = pl.all_horizontal(pl.col(table.key).is_not_null())
        parts = [
            _unite_by(table.key, old.filter(named), new.filter(named), distinct=distinct),
            _unite_counted(_told(table.schema.names()), old.filter(~named), new.filter(~named)),
        ]
    else:
        parts = [_unite_by(table.key, old, new, distinct=distinct)]
    return pl.concat(parts).sort(table.order).drop(ARRIVAL)


def _in_order(table: Table, rows: pl.DataFrame) -> bool:
    """Tell whether rows are sorted already, and no two of them tie: as they mostly come."""
    by = [of for of in table.order if of.meta.root_names() != [ARRIVAL]]
    keys = rows.select(of.alias(str(n)) for n, of in enumerate(by))
    return bool(keys.select(ascends([pl.col(name) for name in keys.columns])).item())


def _agreed(key: Sequence[str], rows: pl.DataFrame, clashes: list[pl.DataFrame]) -> pl.DataFrame:
    """Take out the rows that share a key and differ; what repeats a row word for word stays for others."""
    differ = (rows.select(pl.struct(_told(rows.columns)).n_unique().over(key) > 1)).to_series()
    differ &= rows.select(pl.all_horizontal(pl.col(key).is_not_null())).to_series()
    if differ.any():
        clashes.append(rows.filter(differ))
    return rows.filter(~differ)


def _unite_by(key: Sequence[str], old: pl.DataFrame, new: pl.DataFrame, *, distinct: bool) -> pl.DataFrame:
    """Unite rows that ``key`` tells apart. A fresh row that was there before keeps its place."""
    timed = RECEIVED in new.columns
    if not distinct and new.n_unique(key) < new.height:
        new = new.with_columns(pl.col(RECEIVED).min().over(key)) if timed else new
        new = new.unique(key, keep="last", maintain_order=True)
    if old.is_empty() or new.is_empty():
        return pl.concat([old, new])
    came = [pl.col(RECEIVED).alias(_CAME)] if timed else []
    places = old.select(*key, pl.col(ARRIVAL).alias(_WAS), *came)
    new = new.join(places, on=key, how="left", maintain_order="left")
    first = [pl.coalesce(_CAME, RECEIVED).alias(RECEIVED)] if timed else []
    new = new.with_columns(pl.coalesce(_WAS, ARRIVAL).alias(ARRIVAL), *first).select(old.columns)
    return pl.concat([old.join(new, on=key, how="anti"), new])


def _told(columns: Sequence[str]) -> list[str]:
    """Return the columns that say what happened, not when we heard of it."""
    return [name for name in columns if name != RECEIVED]


def _unite_counted(columns: Sequence[str], old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Unite rows that only the number of their copies tells apart."""
    if old.is_empty() or new.is_empty():
        return pl.concat([old, new])
    copy = pl.int_range(pl.len()).over(columns).alias(_COPY)
    old, new = old.with_columns(copy), new.with_columns(copy)
    key = [*columns, _COPY]
    added = new.join(old, on=key, how="anti", nulls_equal=True)
    came = new.select(*key, pl.col(RECEIVED).alias(_CAME))
    old = old.join(came, on=key, how="left", nulls_equal=True, maintain_order="left")
    old = old.with_columns(pl.coalesce(RECEIVED, _CAME).alias(RECEIVED)).select(added.columns)
    return pl.concat([old, added]).drop(_COPY)
