"""Trades added up to bars. Pure.

Sums are exact: prices and amounts are short decimals, so they are added as whole numbers, as the venue
does it.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import Us
from dccd_core.tables import TIME, DataType, empty

_SHARED: Final = 12
"""Decimals that prices and amounts are brought to before they are added."""
_WHOLE: Final = pl.Int128()
PRICES: Final = (
    pl.col("open").drop_nulls().first(),
    pl.col("high").max(),
    pl.col("low").min(),
    pl.col("close").drop_nulls().last(),
)
"""The prices of one bar out of shorter ones, in order of time; those that are null are none of it."""


@dataclass(slots=True)
class Sums:
    """Adds up trades, a portion of a day at a time; portions follow one another in time."""

    bar: Us
    parts: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])

    def add(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        price_decimals, amount_decimals = decimals_of(rows["price"]), decimals_of(rows["amount"])
        amount = whole_numbers(pl.col("amount"), amount_decimals)
        quote = whole_numbers(pl.col("price"), price_decimals) * amount
        opens = pl.col("ts").cast(pl.Int64)
        anchor = bar_open(Us(int(rows["ts"].cast(pl.Int64)[0])), self.bar)
        self.parts.append(
            rows.group_by(ts=(opens - anchor) // self.bar * self.bar + anchor, maintain_order=True).agg(
                open=pl.col("price").first(),
                high=pl.col("price").max(),
                low=pl.col("price").min(),
                close=pl.col("price").last(),
                volume=amount.sum() * 10 ** (_SHARED - amount_decimals),
                quote_volume=quote.sum() * 10 ** (2 * _SHARED - amount_decimals - price_decimals),
                trades=pl.len().cast(pl.Int64),
            )
        )

    def bars(self) -> pl.DataFrame:
        if not self.parts:
            return empty(DataType.OHLC)
        bars = (
            pl.concat(self.parts)
            .group_by("ts", maintain_order=True)
            .agg(
                *PRICES,
                pl.col("volume", "quote_volume", "trades").sum(),
            )
        )
        return bars.with_columns(
            divided(bars["volume"], _SHARED),
            divided(bars["quote_volume"], 2 * _SHARED),
            bars["ts"].cast(TIME),
        ).select(DataType.OHLC.table.schema.names())


def decimals_of(values: pl.Series) -> int:
    """Return how many decimals tell all values exactly; ``_SHARED`` where even that many do not."""
    floats = values.to_numpy()
    for decimals in range(_SHARED):
        if bool((np.round(floats * 10.0**decimals) / 10.0**decimals == floats).all()):
            return decimals
    return _SHARED


def whole_numbers(values: pl.Expr, decimals: int) -> pl.Expr:
    return (values * 10.0**decimals).round(0).cast(_WHOLE)


def divided(values: pl.Series, decimals: int) -> pl.Series:
    """Divide whole numbers by a power of ten; Python does it without rounding twice."""
    return pl.Series(
        values.name,
        [None if value is None else value / 10**decimals for value in values.to_list()],
        dtype=pl.Float64,
    )
