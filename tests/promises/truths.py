"""What a lake claims, held against what really happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, SECOND, TimeRange, Us, iso, union
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.market import Market

_AT = pl.col("ts").cast(pl.Int64)


@dataclass(frozen=True)
class Claim:
    """What the ledgers of a dataset say. ``proven`` is what they call covered, without the holes in it.

    ``explained``: what is not there, for a reason that is named.
    """

    proven: list[TimeRange]
    explained: list[TimeRange]

    @property
    def silent(self) -> list[TimeRange]:
        """The time between the first and the last proof of which nothing at all is said.

        A reason holds until the next one, or until the next proof.
        """
        gaps = [TimeRange(before.end, after.start) for before, after in pairwise(self.proven)]
        return [part for gap in gaps if (part := self._unnamed(gap))]

    def _unnamed(self, gap: TimeRange) -> TimeRange | None:
        named = [part.start for span in self.explained if (part := span.clip(gap))]
        end = min(named, default=gap.end)
        return TimeRange(gap.start, end) if end > gap.start else None


@dataclass(frozen=True)
class Wrong:
    """What is not as it was: rows that are ``missing`` in proven time, and rows that never were."""

    dataset: Dataset
    span: TimeRange
    missing: pl.DataFrame
    extra: pl.DataFrame

    def __str__(self) -> str:
        lines = [f"{self.dataset}: told {shown(self.span)}, yet"]
        for word, rows in (("missing", self.missing), ("too much", self.extra)):
            if rows.height:
                times = TimeRange(Us(rows.select(_AT.min()).item()), Us(rows.select(_AT.max()).item()))
                lines.append(f"  {rows.height} rows {word}, {shown(times)}: {rows.row(0)}")
        return "\n".join(lines)


def shown(span: TimeRange) -> str:
    return f"{iso(span.start)} .. {iso(span.end)} ({span.length / SECOND:.3f} s)"


def claim(lake: LakeStore, dataset: Dataset) -> Claim:
    ledgers = [state.ledger for state in lake.states(dataset).values()]
    covered = union(span for ledger in ledgers for span in ledger.covered())
    holes = [hole for ledger in ledgers for hole in ledger.holes]
    proven = _without(covered, [hole.span for hole in holes])
    named = [hole.span for hole in holes if hole.reason or hole.proof]
    return Claim(proven, union([*named, *(span for ledger in ledgers for span in _lost(ledger))]))


def wrongs(lake: LakeStore, market: Market, dataset: Dataset, depth: int) -> list[Wrong]:
    """Return where a dataset is not what it claims, and the rows that never were, wherever they stand."""
    proven = claim(lake, dataset).proven
    rows = lake.scan(dataset).drop("received", strict=False).collect()
    found = list[Wrong]()
    for span in proven:
        there, true = _within(rows, [span]), truth(market, dataset, [span], depth)
        if not there.equals(true):
            found.append(Wrong(dataset, span, _lacking(true, there), _lacking(there, true)))
    beyond = rows.filter(~_any_of(proven))
    if beyond.height:
        moments = _seconds(beyond)
        near = [one for one in moments if one.start > moments[len(moments) // 2].start - DAY]
        whole = TimeRange(near[0].start, near[-1].end)  # what is older by so much never was
        spans = near if dataset.data_type is DataType.ORDERBOOK else [whole]
        invented = _lacking(beyond, truth(market, dataset, spans, depth))
        if invented.height:
            found.append(Wrong(dataset, TimeRange(moments[0].start, whole.end), rows.clear(), invented))
    return found


def truth(market: Market, dataset: Dataset, spans: Sequence[TimeRange], depth: int) -> pl.DataFrame:
    """Return what was in these spans, which are in order; of order books a picture every second."""
    if dataset.data_type is DataType.ORDERBOOK:
        moments = [
            Us(at) for span in spans for at in range(-(-span.start // SECOND) * SECOND, span.end, SECOND)
        ]
        return _pictures(market, dataset, moments, depth)
    made = [_rows(market, dataset, span) for span in spans]
    return pl.concat(made) if made else _rows(market, dataset, TimeRange(Us(0), Us(0)))


def _rows(market: Market, dataset: Dataset, span: TimeRange) -> pl.DataFrame:
    if dataset.span:
        return market.truth_bars(dataset.exchange, dataset.symbol, dataset.span, span)
    return market.truth_trades(dataset.exchange, dataset.symbol, span).drop("received", strict=False)


def _pictures(market: Market, dataset: Dataset, moments: Sequence[Us], depth: int) -> pl.DataFrame:
    """Return what ``Market.truth_book`` says of each moment, in one go: a frame for each takes a minute."""
    book, schema = market.orders(dataset.exchange, dataset.symbol), DataType.ORDERBOOK.table.schema
    found = [
        (at, side, levels)
        for at in moments
        for side, levels in zip(("bid", "ask"), book.levels(book.version(at), depth), strict=True)
    ]
    if not found:
        return pl.DataFrame(schema=schema).drop("received", strict=False)
    counts = [levels.price.size for _, _, levels in found]
    whole = _joined([levels for _, _, levels in found])
    amounts = market.book_amounts(dataset.exchange, dataset.symbol, whole)
    columns = {
        "ts": np.repeat([at for at, _, _ in found], counts),
        "side": np.repeat([side for _, side, _ in found], counts),
        "level": np.concatenate([np.arange(count) for count in counts]),
        "price": whole.price / 10 ** market.instruments[dataset.symbol].price_scale,
        "amount": amounts,
    }
    return pl.DataFrame(columns).cast({name: schema[name] for name in columns})


def _joined(levels: Sequence[Levels]) -> Levels:
    return Levels(
        *(
            np.concatenate([getattr(one, name) for one in levels])
            for name in ("price", "amount", "orders", "since")
        )
    )


def _lost(ledger: Ledger) -> list[TimeRange]:
    """Return the time of which a ledger says why it was lost."""
    return [one.span for one in ledger.lost if one.reason]


def _without(spans: Sequence[TimeRange], taken: Sequence[TimeRange]) -> list[TimeRange]:
    return [part for span in spans for part in span.minus(taken)]


def _within(rows: pl.DataFrame, spans: Sequence[TimeRange]) -> pl.DataFrame:
    return rows.filter(_any_of(spans))


def _any_of(spans: Sequence[TimeRange]) -> pl.Expr:
    nowhere: pl.Expr = pl.lit(value=False)
    return reduce(lambda any_of, span: any_of | _AT.is_between(span.start, span.end, "left"), spans, nowhere)


def _lacking(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the first that the second has not, or has less often."""
    names = rows.columns
    count = pl.int_range(pl.len()).over(names).alias("copy")
    return (
        rows.with_columns(count)
        .join(others.with_columns(count), on=[*names, "copy"], how="anti", nulls_equal=True)
        .drop("copy")
    )


def _seconds(rows: pl.DataFrame) -> list[TimeRange]:
    return [TimeRange(Us(at), Us(at + 1)) for at in rows.select(_AT.unique().sort()).to_series().to_list()]
