"""Where things live inside a store. Pure: datasets in, relative paths out, and back."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us
from dccd_core.tables import DataType

DATA: Final = "data.parquet"
"""The only name below a data type's folder that ends in ``.parquet``: globs find rows and nothing else."""
HELD: Final = "_held.json"
"""What stays of a partition whose file is held elsewhere only."""
QUARANTINE: Final = "_quarantine.ndjson"
WITHDRAWN: Final = "_withdrawn.ndjson"
DAMAGED: Final = "_damaged"
LOCKS: Final = ".dccd/locks"
LIVE: Final = ".dccd/live"
MANIFEST: Final = ".dccd/manifest"
REMOTES: Final = ".dccd/remotes"
DIFFERENCES: Final = ".dccd/differences"
PINS: Final = "pins"
PIN: Final = "pin.json"
"""What a pin holds, beside its ``dccd.json``."""
PERIOD: Final = "period="
SEGMENT: Final = ".arrow"

_FOLDER: Final = re.compile(
    r"(?P<data_type>\w+)/exchange=(?P<exchange>[^/]+)/symbol=(?P<slug>[^/]+)(?:/span=(?P<span>[^/]+))?"
)
_SEGMENT_NAME: Final = re.compile(rf"(?P<start>\d{{1,19}})-[0-9a-f]{{32}}{re.escape(SEGMENT)}")


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Datasets that differ in nothing but the symbol: what one live segment holds rows of."""

    exchange: str
    data_type: DataType
    span: Us | None = None

    @property
    def folder(self) -> str:
        """Where its live segments lie, below the folder of all live segments.

        >>> StreamKey("binance", DataType("ohlc"), Us(60_000_000)).folder
        'binance/ohlc-1m'
        """
        span = f"-{format_bar_span(self.span)}" if self.span else ""
        return f"{self.exchange}/{self.data_type}{span}"

    @classmethod
    def of(cls, dataset: Dataset) -> "StreamKey":
        return cls(dataset.exchange, dataset.data_type, dataset.span)

    def dataset(self, symbol: str) -> Dataset:
        return Dataset(self.exchange, Symbol.parse(symbol), self.data_type, self.span)


def parse_family(folder: str) -> StreamKey | None:
    """Return the family whose folder this is; None for a folder that is of none."""
    exchange, _, name = folder.partition("/")
    data_type, _, span = name.partition("-")
    try:
        family = StreamKey(exchange, DataType(data_type), parse_bar_span(span) if span else None)
    except (ConfigError, ValueError):
        return None
    ours = family.data_type.table.takes_span == (family.span is not None)
    return family if ours and family.folder == folder else None


def segment_name(start: Us, unique: str) -> str:
    return f"{start}-{unique}{SEGMENT}"


def segment_start(name: str) -> Us | None:
    """Return when a segment was begun; None for a file that is no segment."""
    match = _SEGMENT_NAME.fullmatch(name)
    return Us(int(match["start"])) if match else None


def dataset_folder(dataset: Dataset) -> str:
    """Return the folder that holds a dataset's partitions."""
    span = f"/span={format_bar_span(dataset.span)}" if dataset.span else ""
    return f"{dataset.data_type}/exchange={dataset.exchange}/symbol={dataset.symbol.slug}{span}"


def data_path(dataset: Dataset, key: str) -> str:
    """Return the file of one partition.

    Raises:
        ConfigError: the dataset has no partition of this name.

    >>> data_path(Dataset.parse("binance/trades/BTC-USDT"), "2024-01-31")
    'trades/exchange=binance/symbol=BTC-USDT/period=2024-01-31/data.parquet'
    """
    partition_span(dataset.grain, key)
    return f"{dataset_folder(dataset)}/{PERIOD}{key}/{DATA}"


def owner(dataset: Dataset, key: str) -> str:
    """Return what the footer of a partition's file calls it."""
    return f"{dataset}/{key}"


def quarantine_path(dataset: Dataset, key: str) -> str:
    return beside(data_path(dataset, key), QUARANTINE)


def withdrawn_path(dataset: Dataset, key: str) -> str:
    return beside(data_path(dataset, key), WITHDRAWN)


def held_path(dataset: Dataset, key: str) -> str:
    """Return the record of a partition whose file is held elsewhere only."""
    return beside(data_path(dataset, key), HELD)


def beside(path: str, name: str) -> str:
    """Return the file of this name in the folder of ``path``.

    >>> beside("trades/period=2024-01-31/data.parquet", HELD)
    'trades/period=2024-01-31/_held.json'
    """
    return f"{path.rpartition('/')[0]}/{name}"


def damaged_path(dataset: Dataset, key: str) -> str:
    """Return where a damaged file is kept as it was, when its partition is mended."""
    return data_path(dataset, key).removesuffix(DATA) + DAMAGED


def parse_data_path(path: str) -> tuple[Dataset, str] | None:
    """Return what ``data_path`` made ``path`` from; None for a path that it cannot have made."""
    return _parse_path(path, DATA)


def parse_part_path(path: str) -> tuple[Dataset, str] | None:
    """Return which partition a file is of, or a record of one; None for any other path."""
    return _parse_path(path, HELD if path.endswith(HELD) else DATA)


def _parse_path(path: str, file: str) -> tuple[Dataset, str] | None:
    folder, _, name = path.rpartition(f"/{PERIOD}")
    dataset, key = _parse_folder(folder), name.removesuffix(f"/{file}")
    if dataset is None or key == name:
        return None
    try:
        partition_span(dataset.grain, key)
    except ConfigError:
        return None
    return dataset, key


@lru_cache(maxsize=1 << 10)  # paths come sorted: those of one folder one after the other
def _parse_folder(folder: str) -> Dataset | None:
    """Return what ``dataset_folder`` made ``folder`` from; None for one that it cannot have made."""
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return None
    try:
        span = parse_bar_span(match["span"]) if match["span"] else None
        dataset = Dataset(
            match["exchange"], Symbol.from_slug(match["slug"]), DataType(match["data_type"]), span
        )
    except (ConfigError, ValueError):
        return None
    ours = dataset.data_type.table.takes_span == (span is not None) and dataset_folder(dataset) == folder
    return dataset if ours else None


def manifest_path(family: StreamKey) -> str:
    """Return the file that remembers the states of these datasets' partitions."""
    return f"{MANIFEST}/{family.folder}.json"
