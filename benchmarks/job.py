"""What one measured process is told to fetch; it comes as JSON in its first argument."""

import sys
from typing import Final

import msgspec

BAR_MS: Final = 60_000
PAGE: Final = 1_000
IN_FLIGHT: Final = 32


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """``spans_ms`` are the partitions ``keys``, half-open, UTC; rows go to Parquet files below ``store``.

    ``limited`` keeps the venue's rate limits, ``options`` are for one variant alone.
    """

    url: str
    symbol: str
    data_type: str
    keys: list[str]
    spans_ms: list[tuple[int, int]]
    store: str
    limited: bool = True
    options: dict[str, int] = {}


def read_job() -> Job:
    return msgspec.json.decode(sys.argv[1], type=Job)
