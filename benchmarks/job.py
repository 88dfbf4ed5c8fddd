"""What one measured process is told to fetch or to record; it comes as JSON in its first argument."""

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


class StreamJob(msgspec.Struct, frozen=True, kw_only=True):
    """So many trades of ``symbols`` are pushed at ``url``, the REST side is at ``rest_url``.

    What is recorded goes below ``store``; ``options`` are for one variant alone.
    """

    url: str
    rest_url: str
    symbols: list[str]
    messages: int
    store: str
    options: dict[str, int] = {}


class Timing(msgspec.Struct, frozen=True):
    """What so many messages took, from when the first ones were done until all were."""

    messages: int
    wall_s: float
    cpu_s: float


def read_stream_job() -> StreamJob:
    return msgspec.json.decode(sys.argv[1], type=StreamJob)
