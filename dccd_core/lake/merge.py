"""Two sets of rows made one: each row once, in the exchange's order, a bounded piece of time at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import polars as pl

from dccd_core.domain.datatype import RECEIVED, TABLES, DataType, empty
from dccd_core.domain.timespan import SECOND, Us

TWICE: Final = "came twice with different contents"
_AT: Final = "_at"
_WAS: Final = "_was"
_COPY: Final = "_copy"
_CAME: Final = "_came"

_NUMBER: Final = pl.col("trade_id").str.contains(r"^\d+$")
_ORDER: Final[Mapping[DataType, Sequence[pl.Expr]]] = {
    DataType.OHLC: [pl.col("ts")],
    # Ids that are numbers order as numbers: by length, then as text. Rows with another id or none keep the
    # order they came in (and come first, should one moment hold both).
    DataType.TRADES: [
        pl.col("ts"),
        pl.when(_NUMBER).then(pl.col("trade_id").str.len_bytes()),
        pl.when(_NUMBER).then("trade_id"),
        pl.col(_AT),
    ],
    DataType.ORDERBOOK: [pl.col("ts"), pl.col("side"), pl.col("level")],
}


class Feed:
    """Rows that lie in pieces, ascending in time, and are taken from the front.

    Args:
        data_type: whose table the rows follow.
        starts: the time of each piece's first row; pieces may share a moment at their border.
        piece: gives the rows of the n-th piece.
    """

    def __init__(
        self, data_type: DataType, starts: Sequence[Us], piece: Callable[[int], pl.DataFrame]
    ) -> None:
        self.starts = starts
        self._piece = piece
        self._next = 0
        self._left = empty(data_type)

    def until(self, cut: Us | None) -> pl.DataFrame:
        """Take the rows before ``cut``; None takes all that are left."""
        pieces = [self._left]
        while self._next < len(self.starts) and (cut is None or self.starts[self._next] < cut):
            pieces.append(self._piece(self._next))
            self._next += 1
        rows = pl.concat(pieces)
        here = rows.height if cut is None else int(rows["ts"].cast(pl.Int64).search_sorted(cut))
        self._left = rows.slice(here)
        return rows.head(here)


def merged(
    data_type: DataType, stored: Feed | None, fresh: Feed, clashes: list[pl.DataFrame] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the union of two feeds in order, as much at once as one piece of each.

    Cuts fall on whole seconds: ties are never split, and a trade that one source times more coarsely than
    the other still meets itself. ``clashes``: see ``unite``.
    """
    stored = stored or Feed(data_type, (), lambda _: empty(data_type))
    cuts = sorted({Us(start - start % SECOND) for feed in (stored, fresh) for start in feed.starts})
    for cut in [*cuts[1:], None]:
        old, new = stored.until(cut), fresh.until(cut)
        rows = unite(data_type, old, new, clashes) if new.height else old
        if rows.height:
            yield rows


def unite(
    data_type: DataType,
    stored: pl.DataFrame,
    fresh: pl.DataFrame,
    clashes: list[pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """Return both sets of rows as one, each row once, in order.

    Rows are told apart by the table's key; the fresh one of a pair takes the place of the stored one, and
    keeps when that was received.
    Trades without an id are counted: the n-th copy of a row here is the n-th copy there. Of fresh bars or
    trades with one key the last is taken; with ``clashes`` none is, where they differ: all go in there.
    """
    table = TABLES[data_type]
    if clashes is not None and data_type is not DataType.ORDERBOOK:
        fresh = _agreed(table.key, fresh, clashes)
    old = stored.with_row_index(_AT)
    new = fresh.with_row_index(_AT, offset=stored.height)
    if data_type is DataType.TRADES:
        named = pl.col("trade_id").is_not_null()
        parts = [
            _unite_by(table.key, old.filter(named), new.filter(named)),
            _unite_counted(_told(table.schema.names()), old.filter(~named), new.filter(~named)),
        ]
    else:
        parts = [_unite_by(table.key, old, new)]
    return pl.concat(parts).sort(_ORDER[data_type]).drop(_AT)


def _agreed(key: Sequence[str], rows: pl.DataFrame, clashes: list[pl.DataFrame]) -> pl.DataFrame:
    """Take out the rows that share a key and differ; what repeats a row word for word stays for others."""
    if rows.n_unique(key) == rows.height:
        return rows
    differ = (rows.select(pl.struct(_told(rows.columns)).n_unique().over(key) > 1)).to_series()
    differ &= rows.select(pl.all_horizontal(pl.col(key).is_not_null())).to_series()
    if differ.any():
        clashes.append(rows.filter(differ))
    return rows.filter(~differ)


def _unite_by(key: Sequence[str], old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Unite rows that ``key`` tells apart. A fresh row that was there before keeps its place."""
    timed = RECEIVED in new.columns
    if new.n_unique(key) < new.height:
        new = new.with_columns(pl.col(RECEIVED).min().over(key)) if timed else new
        new = new.unique(key, keep="last", maintain_order=True)
    if old.is_empty() or new.is_empty():
        return pl.concat([old, new])
    came = [pl.col(RECEIVED).alias(_CAME)] if timed else []
    places = old.select(*key, pl.col(_AT).alias(_WAS), *came)
    new = new.join(places, on=key, how="left", maintain_order="left")
    first = [pl.coalesce(_CAME, RECEIVED).alias(RECEIVED)] if timed else []
    new = new.with_columns(pl.coalesce(_WAS, _AT).alias(_AT), *first).select(old.columns)
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
