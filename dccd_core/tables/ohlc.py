"""Bars: what was traded in each step of a grid."""

from typing import Final

import polars as pl

from dccd_core.domain.timespan import HOUR, MONDAY, WEEK, Us
from dccd_core.tables.table import TIME, Completeness, Grain, Table, finite, positive

_PRICES: Final = ("open", "high", "low", "close")


def _grain(span: Us | None) -> Grain:
    assert span is not None
    return Grain.MONTH if span < HOUR else Grain.YEAR


def _sanity(bar: Us | None, carried_open: bool) -> dict[str, pl.Expr]:  # noqa: FBT001 -- as ``Table.sanity`` is called
    """``carried_open``: the open is the close of the bar before, so it may lie outside low and high."""
    assert bar is not None
    inside = ("close",) if carried_open else ("open", "close")
    return {f"{name} is no positive number": ~positive(name) for name in _PRICES} | {
        "high is below another price": pl.col("high") < pl.max_horizontal("low", *inside),
        "low is above another price": pl.col("low") > pl.min_horizontal("high", *inside),
        "volume is negative or no number": ~finite("volume") | (pl.col("volume") < 0),
        "quote volume is negative or no number": ~finite("quote_volume") | (pl.col("quote_volume") < 0),
        "trade count is negative": pl.col("trades") < 0,
        "nothing was traded, but it closes elsewhere than it opens": _moved_by_nothing(),
        "open time is off the bar grid": _off_grid(bar),
    }


def _moved_by_nothing() -> pl.Expr:
    """A venue may round a small volume to 0, so it takes both: no volume and no trade."""
    return (pl.col("volume") == 0) & (pl.col("trades") == 0) & (pl.col("open") != pl.col("close"))


def _off_grid(bar: Us) -> pl.Expr:
    anchor = MONDAY if bar % WEEK == 0 else 0
    return (pl.col("ts").to_physical() - anchor) % bar != 0


TABLE: Final = Table(
    name="ohlc",
    title="bars",
    row="bar",
    schema=pl.Schema(
        {
            "ts": TIME,
            "open": pl.Float64(),
            "high": pl.Float64(),
            "low": pl.Float64(),
            "close": pl.Float64(),
            "volume": pl.Float64(),
            "quote_volume": pl.Float64(),
            "trades": pl.Int64(),
        }
    ),
    descriptions={
        "ts": "when the bar opens, UTC",
        "open": "price of the first trade, in the quote currency",
        "high": "highest price, in the quote currency",
        "low": "lowest price, in the quote currency",
        "close": "price of the last trade, in the quote currency",
        "volume": "amount traded, in the base currency",
        "quote_volume": "amount traded, in the quote currency; null where the exchange does not tell it",
        "trades": "number of trades; null where the exchange does not tell it",
    },
    required=("ts", "open", "high", "low", "close", "volume"),
    key=("ts",),
    order=(pl.col("ts"),),
    grain=_grain,
    completeness=Completeness.GRID,
    sanity=_sanity,
    chart="close",
    dictionaries=("trades",),  # prices take 3/4 of the size and half the time without
    bytes_per_row=40,
    takes_span=True,
    built_from="trades",
    lineage={
        "ts": ("ts",),
        **dict.fromkeys(_PRICES, ("ts", "price")),
        "volume": ("amount",),
        "quote_volume": ("price", "amount"),
        "trades": ("ts",),
    },
    synonyms=("candle", "candles", "candlestick", "candlesticks", "kline", "klines", "bar", "bars", "ohlcv"),
)
