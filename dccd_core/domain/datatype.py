"""Where the data types stood: see ``dccd_core.tables``."""

from collections.abc import Mapping
from typing import Final

from dccd_core.tables import RECEIVED, TIME, DataType, Table, empty

__all__ = ["RECEIVED", "TABLES", "TIME", "DataType", "Table", "empty"]

TABLES: Final[Mapping[DataType, Table]] = {name: name.table for name in DataType}
