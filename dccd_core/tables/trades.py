"""Trades, each of them."""

from typing import Final

import polars as pl

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.tables.table import ARRIVAL, TIME, Completeness, Table, by_day, positive

_NUMBER: Final = pl.col("trade_id").str.contains(r"^\d+$")


def _sanity(_: Us | None, __: bool) -> dict[str, pl.Expr]:  # noqa: FBT001 -- as ``Table.sanity`` is called
    return {f"{name} is no positive number": ~positive(name) for name in ("price", "amount")}


TABLE: Final = Table(
    name="trades",
    title="trades",
    row="trade",
    schema=pl.Schema(
        {
            "ts": TIME,
            "price": pl.Float64(),
            "amount": pl.Float64(),
            "side": pl.Enum(["buy", "sell"]),
            "trade_id": pl.String(),
            "received": TIME,
        }
    ),
    descriptions={
        "ts": "when it was traded, by the exchange's clock, UTC",
        "price": "price, in the quote currency",
        "amount": "amount, in the base currency",
        "side": "the side that took: buy or sell; null where the exchange does not tell it",
        "trade_id": "the exchange's id of the trade; null where it has none",
        "received": "when it came to us, UTC; null for what was asked for later",
    },
    required=("ts", "price", "amount"),
    key=("trade_id",),
    # Ids that are numbers order as numbers: by length, then as text. Rows with another id or none keep the
    # order they came in (and come first, should one moment hold both).
    order=(
        pl.col("ts"),
        pl.when(_NUMBER).then(pl.col("trade_id").str.len_bytes()),
        pl.when(_NUMBER).then("trade_id"),
        pl.col(ARRIVAL),
    ),
    grain=by_day,
    completeness=Completeness.IDS,
    sanity=_sanity,
    chart="price",
    dictionaries=("price", "amount", "side"),
    bytes_per_row=14,
    tolerance=SECOND,
    vast=True,
    synonyms=("tick", "ticks", "trade", "aggtrades", "aggtrade"),
)
