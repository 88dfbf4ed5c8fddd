"""Order books: pictures of their best levels."""

from typing import Final

import polars as pl

from dccd_core.domain.timespan import Us
from dccd_core.tables.table import TIME, Completeness, Table, by_day, positive


def _sanity(_: Us | None, __: bool) -> dict[str, pl.Expr]:  # noqa: FBT001 -- as ``Table.sanity`` is called
    return {f"{name} is no positive number": ~positive(name) for name in ("price", "amount")}


TABLE: Final = Table(
    name="orderbook",
    title="order book",
    row="level",
    schema=pl.Schema(
        {
            "ts": TIME,
            "side": pl.Enum(["bid", "ask"]),
            "level": pl.Int32(),
            "price": pl.Float64(),
            "amount": pl.Float64(),
            "received": TIME,
        }
    ),
    descriptions={
        "ts": "when the book was so, by the exchange's clock, UTC",
        "side": "bid or ask",
        "level": "place on its side, 0 for the best price",
        "price": "price of the level, in the quote currency",
        "amount": "amount on the level, in the base currency",
        "received": "when the newest change in it came to us, UTC; null for what was asked for",
    },
    required=("ts", "side", "level", "price", "amount"),
    key=("ts", "side", "level"),
    order=(pl.col("ts"), pl.col("side"), pl.col("level")),
    grain=by_day,
    completeness=Completeness.PICTURES,
    sanity=_sanity,
    chart="price",
    dictionaries=("side", "level", "price", "amount"),
    bytes_per_row=2,
    last_wins=True,
    takes_depth=True,
    two_sided=True,
    synonyms=("book", "books", "orderbooks", "order_book", "depth", "l2", "level2"),
)
