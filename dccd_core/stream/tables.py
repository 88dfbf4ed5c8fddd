"""Frames of rows on their way from messages to segments. Pure."""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from dccd_core.adapter.wire import micros
from dccd_core.domain.timespan import Us
from dccd_core.stream.snapshots import BookSnapshot
from dccd_core.tables import DataType


def columns(data_type: DataType) -> pl.Schema:
    """Return what a segment holds: the table, and whose row it is."""
    return pl.Schema({**data_type.table.schema, "symbol": pl.String()})


def joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame | None:
    """Return the rows of all frames, in one piece; None when there are none.

    In the pieces in which they came every later step would be taken for each piece: half of what it costs.
    """
    some = [frame for frame in frames if frame.height]
    return pl.concat(some, rechunk=True) if some else None


def alone(rows: pl.DataFrame) -> str | None:
    """Return the topic that all rows are of; None when there are several."""
    topics = rows["topic"]
    return topics[0] if (topics == topics[0]).all() else None


def of_topics(rows: pl.DataFrame | None, names: Collection[str]) -> pl.DataFrame | None:
    """Return the rows of these topics; None when there are none."""
    if rows is None:
        return None
    own = rows.filter(pl.col("topic").is_in(names))
    return own if own.height else None


def pictures(topic: str, snapshots: Sequence[BookSnapshot]) -> pl.DataFrame:
    """Return the levels of all snapshots as rows: prices and amounts as the venue wrote them."""
    sides = [
        (taken, side, levels)
        for taken in snapshots
        for side, levels in (("bid", taken.bids), ("ask", taken.asks))
    ]
    received = [taken.received for taken, _, levels in sides for _ in levels]
    return pl.DataFrame(
        {
            "ts": micros([taken.at for taken, _, levels in sides for _ in levels], Us(1)),
            "side": [side for _, side, levels in sides for _ in levels],
            "level": [level for _, _, levels in sides for level in range(len(levels))],
            "price": [price for _, _, levels in sides for price, _ in levels],
            "amount": [amount for _, _, levels in sides for _, amount in levels],
            "received": pl.Series(received, dtype=pl.Int64),
        }
    ).with_columns(topic=pl.lit(topic))


def stored(data_type: DataType, rows: pl.DataFrame | None, symbols: Mapping[str, str]) -> pl.DataFrame:
    """Bring rows into the columns of a segment; ``symbols`` says whose they are, by topic."""
    schema = columns(data_type)
    if rows is None:
        return schema.to_frame()
    if (name := alone(rows)) is not None:
        symbol = pl.lit(symbols[name])
    else:
        symbol = pl.col("topic").replace_strict(symbols, return_dtype=pl.String)
    return rows.select(
        (symbol if name == "symbol" else pl.col(name)).cast(kept).alias(name) for name, kept in schema.items()
    )


def in_base(rows: pl.DataFrame, contracts: Mapping[str, float], inverse: Collection[str]) -> pl.DataFrame:
    """Turn counts of contracts into amounts of the base currency.

    Args:
        rows: of any topics.
        contracts: what a contract is worth, by topic; other topics count the base already.
        inverse: the topics whose contracts are worth an amount of the quote.
    """
    contract = pl.col("topic").replace_strict(contracts, default=1.0, return_dtype=pl.Float64)
    amount, price = (pl.col(name).cast(pl.Float64) for name in ("amount", "price"))
    price = pl.when(pl.col("topic").is_in(inverse)).then(price).otherwise(1.0)
    return rows.with_columns(amount=amount * contract / price)
