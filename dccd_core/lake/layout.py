"""Where things live inside a store. Pure: datasets in, relative paths out, and back."""

import re
from typing import Final

from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol

DATA: Final = "data.parquet"
"""The only name below a data type's folder that ends in ``.parquet``: globs find rows and nothing else."""
QUARANTINE: Final = "_quarantine.ndjson"
LOCKS: Final = ".dccd/locks"

_DATA_PATH: Final = re.compile(
    r"(?P<data_type>\w+)/exchange=(?P<exchange>[^/]+)/symbol=(?P<slug>[^/]+)/"
    rf"(?:span=(?P<span>[^/]+)/)?(?P<grain>\w+)=(?P<key>[^/]+)/{re.escape(DATA)}"
)


def dataset_folder(dataset: Dataset) -> str:
    """Return the folder that holds a dataset's partitions."""
    span = f"/span={format_bar_span(dataset.span)}" if dataset.span else ""
    return f"{dataset.data_type}/exchange={dataset.exchange}/symbol={dataset.symbol.slug}{span}"


def data_path(dataset: Dataset, key: str) -> str:
    """Return the file of one partition.

    Raises:
        ConfigError: the dataset has no partition of this name.

    >>> data_path(Dataset("binance", Symbol("BTC", "USDT"), DataType.TRADES), "2024-01-31")
    'trades/exchange=binance/symbol=BTC-USDT/date=2024-01-31/data.parquet'
    """
    partition_span(dataset.grain, key)
    return f"{dataset_folder(dataset)}/{dataset.grain}={key}/{DATA}"


def quarantine_path(dataset: Dataset, key: str) -> str:
    return data_path(dataset, key).removesuffix(DATA) + QUARANTINE


def parse_data_path(path: str) -> tuple[Dataset, str] | None:
    """Return what ``data_path`` made ``path`` from; None for a path that it cannot have made."""
    match = _DATA_PATH.fullmatch(path)
    if match is None:
        return None
    try:
        span = parse_bar_span(match["span"]) if match["span"] else None
        data_type = DataType(match["data_type"])
        dataset = Dataset(match["exchange"], Symbol.from_slug(match["slug"]), data_type, span)
        ours = (data_type is DataType.OHLC) == (span is not None) and data_path(dataset, match["key"]) == path
    except (ConfigError, ValueError):
        return None
    return (dataset, match["key"]) if ours else None
