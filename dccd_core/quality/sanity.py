"""Rows that cannot be true. They never enter a partition; they are kept beside it with the reason."""

from functools import cache
from typing import Final

import polars as pl

from dccd_core.domain.datatype import TABLES, DataType, empty
from dccd_core.domain.timespan import MONDAY, WEEK, Us

_HUGE: Final = 1e24
_PRICES: Final = ("open", "high", "low", "close")


def sift(
    data_type: DataType, rows: pl.DataFrame, bar: Us | None, *, carried_open: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part ``rows`` into good ones and bad ones; the bad ones carry a column ``reason``."""
    if not rows.select(_any_fault(data_type, bar, carried_open)).item():
        return rows, _nothing(data_type)
    judged = rows.with_columns(reason=_reason(data_type, bar, carried_open))
    return judged.filter(pl.col("reason").is_null()).drop("reason"), judged.drop_nulls("reason")


def faults(data_type: DataType, bar: Us | None, *, carried_open: bool = False) -> dict[str, pl.Expr]:
    """Return what can be wrong with a row: a reason, and the expression that is true where it holds.

    ``carried_open``: the open is the close of the bar before, so it may lie outside low and high.
    """
    found = {f"{name} is missing": pl.col(name).is_null() for name in TABLES[data_type].required}
    if data_type is DataType.OHLC:
        assert bar is not None
        inside = ("close",) if carried_open else ("open", "close")
        found |= {f"{name} is no positive number": ~_positive(name) for name in _PRICES}
        found |= {
            "high is below another price": pl.col("high") < pl.max_horizontal("low", *inside),
            "low is above another price": pl.col("low") > pl.min_horizontal("high", *inside),
            "volume is negative or no number": ~_finite("volume") | (pl.col("volume") < 0),
            "quote volume is negative or no number": ~_finite("quote_volume") | (pl.col("quote_volume") < 0),
            "trade count is negative": pl.col("trades") < 0,
            "nothing was traded, but it closes elsewhere than it opens": _moved_by_nothing(),
            "open time is off the bar grid": _off_grid(bar),
        }
    else:
        found |= {f"{name} is no positive number": ~_positive(name) for name in ("price", "amount")}
    return found


@cache
def _any_fault(data_type: DataType, bar: Us | None, carried_open: bool) -> pl.Expr:  # noqa: FBT001 -- for the cache
    """Whether any row has any fault: quickly answered, and mostly no."""
    found = faults(data_type, bar, carried_open=carried_open).values()
    return pl.any_horizontal(holds.any() for holds in found).fill_null(value=False)


@cache
def _nothing(data_type: DataType) -> pl.DataFrame:
    return empty(data_type).with_columns(reason=pl.lit(None, pl.String))


@cache
def _reason(data_type: DataType, bar: Us | None, carried_open: bool) -> pl.Expr:  # noqa: FBT001 -- for the cache
    """The first fault of each row, null for a good one."""
    chain = pl.lit(None, dtype=pl.String)
    for reason, holds in reversed(faults(data_type, bar, carried_open=carried_open).items()):
        chain = pl.when(holds.fill_null(value=False)).then(pl.lit(reason)).otherwise(chain)
    return chain


def _finite(name: str) -> pl.Expr:
    """Whether it is a number, and one that a market can have: no price or amount has 24 digits."""
    return pl.col(name).abs() < _HUGE


def _moved_by_nothing() -> pl.Expr:
    """A venue may round a small volume to 0, so it takes both: no volume and no trade."""
    return (pl.col("volume") == 0) & (pl.col("trades") == 0) & (pl.col("open") != pl.col("close"))


def _positive(name: str) -> pl.Expr:
    return _finite(name) & (pl.col(name) > 0)


def _off_grid(bar: Us) -> pl.Expr:
    anchor = MONDAY if bar % WEEK == 0 else 0
    return (pl.col("ts").to_physical() - anchor) % bar != 0
