"""The data types we keep: one schema, one key and one order for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import polars as pl

from dccd_core.domain.timespan import SECOND, ZERO, Us

TIME: Final = pl.Datetime("us", "UTC")


RECEIVED: Final = "received"
"""The column, of those tables that have it, that says when a row came to us; null for what was asked for."""


class DataType(StrEnum):
    OHLC = "ohlc"
    TRADES = "trades"
    ORDERBOOK = "orderbook"


@dataclass(frozen=True, slots=True)
class Table:
    """What every frame of one data type looks like, whatever the exchange.

    ``required`` columns are never null. ``key`` names the columns that tell two rows apart; trades
    without an id have none, so there equal rows are told apart by counting them. ``received`` is our own
    clock's and tells no rows apart: where one source brings it and the other does not, it is kept.
    """

    schema: pl.Schema
    required: tuple[str, ...]
    key: tuple[str, ...]
    tolerance: Us = ZERO
    """How far apart two sources may time one row; its key then is a name without the time."""


TABLES: Final[Mapping[DataType, Table]] = {
    DataType.OHLC: Table(
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
        required=("ts", "open", "high", "low", "close", "volume"),
        key=("ts",),
    ),
    DataType.TRADES: Table(
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
        required=("ts", "price", "amount"),
        key=("trade_id",),
        tolerance=SECOND,
    ),
    DataType.ORDERBOOK: Table(
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
        required=("ts", "side", "level", "price", "amount"),
        key=("ts", "side", "level"),
    ),
}


def empty(data_type: DataType) -> pl.DataFrame:
    return pl.DataFrame(schema=TABLES[data_type].schema)
