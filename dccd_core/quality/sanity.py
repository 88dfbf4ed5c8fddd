"""Rows that cannot be true. They never enter a partition; they are kept beside it with the reason."""

from functools import cache

import polars as pl

from dccd_core.domain.timespan import Us
from dccd_core.tables import DataType, empty


def split_valid(
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
    table = data_type.table
    missing = {f"{name} is missing": pl.col(name).is_null() for name in table.required}
    return {**missing, **table.sanity(bar, carried_open)}


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
