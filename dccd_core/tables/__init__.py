"""The data types: one file each, and one line here. Nothing outside names one but exchanges and bars."""

from enum import StrEnum

import polars as pl

from dccd_core.tables import ohlc, orderbook, trades
from dccd_core.tables.table import ARRIVAL, RECEIVED, TIME, Completeness, Grain, Table, ascends

__all__ = ["ARRIVAL", "RECEIVED", "TIME", "Completeness", "DataType", "Grain", "Table", "ascends", "empty"]


class DataType(StrEnum):
    """The name of a data type, with all there is to know of it."""

    _value_: str
    table: Table

    def __new__(cls, table: Table) -> "DataType":
        name = str.__new__(cls, table.name)
        name._value_ = table.name
        name.table = table
        return name

    OHLC = ohlc.TABLE
    TRADES = trades.TABLE
    ORDERBOOK = orderbook.TABLE


def empty(data_type: DataType) -> pl.DataFrame:
    return data_type.table.empty()
