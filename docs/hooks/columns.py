"""What the tables hold, from the tables."""

from typing import Final

import polars as pl

from dccd_core.domain.timespan import HOUR, MINUTE, Us
from dccd_core.tables import DataType
from dccd_core.tables.table import Grain, Table
from docs.hooks.markdown import code, table

_HEAD: Final = """# Tables

Written by `make docs` from the tables themselves. Each data type is one table: the columns below, and
`exchange`, `symbol`, `span` (bars) and `period` from the paths. Times are UTC in microseconds. Where the
files lie, and what engines should know: [the lake](../lake.md).

"""
_CUT: Final = {Grain.YEAR: "a year", Grain.MONTH: "a month", Grain.DAY: "a day"}


def columns_page() -> str:
    return _HEAD + "\n".join(_said(one.table) for one in DataType)


def _said(one: Table) -> str:
    rows = [
        (code(name), code(_type(of)), "" if name in one.required else "may be null", one.descriptions[name])
        for name, of in one.schema.items()
    ]
    about = f"A row is a {one.row}. A file holds {_cut(one)}. Two rows differ by {_listed(one.key)}."
    if one.built_from:
        about += f" It can be built of {code(one.built_from)}."
    return f"## {one.name}\n\n{about}\n\n" + table(("column", "type", "", "what, and its unit"), rows)


def _type(of: pl.DataType) -> str:
    """Write a type in short.

    >>> _type(pl.Enum(["bid", "ask"])), _type(pl.Datetime("us", "UTC"))
    ('Enum(bid, ask)', 'Datetime(us, UTC)')
    """
    match of:
        case pl.Enum():
            return f"Enum({', '.join(of.categories)})"
        case pl.Datetime():
            return f"Datetime({of.time_unit}, {of.time_zone})"
        case _:
            return str(of)


def _cut(one: Table) -> str:
    if not one.takes_span:
        return _CUT[one.grain(None)]
    short, long = (_CUT[one.grain(Us(span))] for span in (MINUTE, HOUR))
    return f"{short} of bars shorter than an hour, {long} of others"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(code, names))
