"""dccd's core alone, without Dagster: the same fill that a run does, into a lake of its own."""

import asyncio
from dataclasses import replace
from typing import Final

from benchmarks.job import Job, read_job
from dccd_core.adapter.contract import Limit
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, Us
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import open_transport
from dccd_core.tables import DataType

_NO_LIMIT: Final = Limit(1_000_000_000, MINUTE)


async def collect(job: Job) -> None:
    exchange, lake, clock = get("binance"), LakeStore(job.store), SystemClock()
    if not job.limited:
        exchange = replace(exchange, limits=(_NO_LIMIT,))
    data_type = DataType(job.data_type)
    dataset = Dataset(
        "binance", Symbol.parse(job.symbol), data_type, MINUTE if data_type is DataType.OHLC else None
    )
    async with open_transport(exchange, rest_url=job.url, clock=clock) as transport:
        venue = Venue(exchange, transport, clock)

        async def fill_one(dataset: Dataset, key: str) -> Filled:
            return await fill(venue, lake, dataset, key, _ignore)

        await fill_all([(dataset, key) for key in job.keys], fill_one, _raise_error)


def _ignore(_: Dataset, __: str, ___: int, ____: Us) -> None:
    """Nobody watches the progress."""


def _raise_error(outcome: Outcome) -> None:
    if isinstance(outcome.result, DccdError):
        raise outcome.result


if __name__ == "__main__":
    asyncio.run(collect(read_job()))
