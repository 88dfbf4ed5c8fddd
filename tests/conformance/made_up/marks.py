"""Mark prices, minute by minute: a data type that dccd does not have."""

from typing import Final

import polars as pl

from dccd_core.tables.table import TIME, Completeness, Table, by_day, positive

TABLE: Final = Table(
    name="marks",
    title="mark prices",
    row="mark price",
    schema=pl.Schema({"ts": TIME, "mark": pl.Float64()}),
    descriptions={"ts": "the minute, UTC", "mark": "the mark price at its end"},
    required=("ts", "mark"),
    key=("ts",),
    order=(pl.col("ts"),),
    grain=by_day,
    completeness=Completeness.GRID,
    sanity=lambda _, __: {"mark is no positive number": ~positive("mark")},
    chart="mark",
    dictionaries=(),
    bytes_per_row=8,
    takes_span=True,
)
