"""Market data from exchanges to a proven Parquet lake; knows nothing of Dagster.

    from dccd_core import Lake
    Lake("./data").read("binance/ohlc/BTC-USDT/1m", "2024-01-01", "2024-02-01")

Those names are imported when they are used; everything else by its own module:

domain     nouns: time, symbols, datasets, errors
tables     a data type is one file: its columns, its order, its sanity
adapter    what an exchange file is made of: plain values and pure functions
exchanges  an exchange is one file, its WebSocket one beside it; and the registry
net        network and clock
lake       partitions in a store: layout, atomic Parquet, ledger, reader
quality    pure checks over rows and ledger
imports    a store of dccd 3 taken over
keep       what the lake holds is kept: copies elsewhere, views that never change
fetch      history: plan, page, collect, fill a partition
bars       bars out of trades, longer ones out of shorter: built, read, compared
stream     live: sessions, order books, recordings; folded into the same partitions
api        one class for whoever reads, fills and records: ``Lake``
testing    shipped doubles: the sandbox
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dccd_core.api.lake import Lake as Lake
    from dccd_core.domain.dataset import Dataset as Dataset
    from dccd_core.domain.errors import ConfigError as ConfigError
    from dccd_core.domain.errors import DccdError as DccdError
    from dccd_core.domain.errors import ExchangeError as ExchangeError
    from dccd_core.domain.errors import IncompleteError as IncompleteError
    from dccd_core.domain.errors import LakeError as LakeError
    from dccd_core.domain.timespan import TimeRange as TimeRange

_ERRORS: Final = "dccd_core.domain.errors"
_FOUND_IN: Final = {
    "Lake": "dccd_core.api.lake",
    "Dataset": "dccd_core.domain.dataset",
    "TimeRange": "dccd_core.domain.timespan",
    "DccdError": _ERRORS,
    "ConfigError": _ERRORS,
    "ExchangeError": _ERRORS,
    "IncompleteError": _ERRORS,
    "LakeError": _ERRORS,
}
"""In which module each name of the API is."""


def __getattr__(name: str) -> object:
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FOUND_IN[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FOUND_IN})
