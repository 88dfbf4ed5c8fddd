"""Live rows as if they had been asked for: without when they came."""

import polars as pl

from dccd_core.tables import RECEIVED, DataType


def asked(frame: pl.DataFrame, data_type: DataType) -> pl.DataFrame:
    schema = data_type.table.schema
    return frame.select(
        pl.lit(None, of).alias(name) if name == RECEIVED else pl.col(name) for name, of in schema.items()
    )
