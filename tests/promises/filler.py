"""``python -m tests.promises.filler JOBS``: fill partitions in a process of one's own, as JSON tells.

Prints a line when it is ready and waits for one on stdin; then one per page; at the end what it cost.
The jobs of a process are done at the same time.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import msgspec

from dccd_core.adapter.contract import Exchange, Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock, SystemClock
from dccd_core.net.http import Transport, open_transport
from dccd_core.tables import DataType
from tests.promises.memory import peak_mb


class Job(msgspec.Struct, kw_only=True):
    """``limit_weight`` per ``window_s`` holds nothing back unless it is told; None: the venue's own limits.

    ``page_limit`` replaces the venue's, ``stop_after_s`` ends early. ``apart``: each partition goes into a
    lake of its own, so that a key that is told again is asked again.
    """

    url: str
    lake: str
    keys: list[str]
    exchange: str = "binance"
    symbol: str = "BTC/USDT"
    bar: int | None = None
    limit_weight: int | None = 10**9
    window_s: int = 60
    share: float = 0.95
    page_limit: int | None = None
    in_flight: int = 32
    stop_after_s: float | None = None
    apart: bool = False

    @property
    def dataset(self) -> Dataset:
        data_type = DataType.OHLC if self.bar else DataType.TRADES
        return Dataset(
            self.exchange, Symbol.parse(self.symbol), data_type, Us(self.bar) if self.bar else None
        )

    def venue(self) -> Exchange:
        exchange, asked = get(self.exchange), self.dataset
        if self.limit_weight is not None:
            limits = [
                replace(limit, amount=self.limit_weight, period=Us(self.window_s * SECOND))
                for limit in exchange.limits
            ]
            exchange = replace(exchange, limits=tuple(limits))
        if self.page_limit is None:
            return exchange
        endpoint = exchange.endpoint(asked.symbol.market_type, asked.data_type)
        assert endpoint
        special = {
            **exchange.special,
            (asked.symbol.market_type, asked.data_type): replace(endpoint, page_limit=self.page_limit),
        }
        return replace(exchange, special=special)


class Answered(msgspec.Struct, array_like=True):
    """A request that was answered ``at``; ``place`` names its pool, and its market if that has its own."""

    place: str
    at: int
    weight: int


class Report(msgspec.Struct):
    """``idle``: all was filled before it was told to stop."""

    requests: int
    rows: int
    errors: list[str]
    answered: list[Answered]
    idle: bool
    peak_mb: int
    cpu_s: float


@dataclass(slots=True)
class Filler:
    """A filling process, seen from outside."""

    process: subprocess.Popen[bytes]
    is_ready: bool = False

    def ready(self) -> None:
        """Wait until it is ready to go."""
        assert self.process.stdout
        self.is_ready = self.is_ready or self.process.stdout.readline() == b"ready\n"
        assert self.is_ready

    def go(self) -> None:
        self.ready()
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def pages(self, count: int) -> None:
        """Wait until so many pages came."""
        assert self.process.stdout
        for _ in range(count):
            assert self.process.stdout.readline().startswith(b"page"), "it ended before"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def reports(self) -> list[Report]:
        """Return one for each job, in order."""
        assert self.process.stdout
        last = self.process.stdout.read().splitlines()[-1]
        assert self.process.wait() == 0
        return msgspec.json.decode(last, type=list[Report])

    def report(self) -> Report:
        [report] = self.reports()
        return report


@contextmanager
def filler(state_dir: Path, *jobs: Job, extra: Mapping[str, str] | None = None) -> Generator[Filler]:
    """Start a filling process; it does not outlive the ``with`` block. ``extra``: of its environment."""
    command = [sys.executable, "-m", "tests.promises.filler", msgspec.json.encode(jobs).decode()]
    environment = {"DCCD_STATE_DIR": str(state_dir), "PATH": "", **(extra or {})}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=root
    ) as process:
        try:
            yield Filler(process)
        finally:
            process.kill()


def page_came(dataset: Dataset, key: str, rows: int, until: Us) -> None:
    print("page", flush=True)  # noqa: T201


@dataclass(slots=True)
class Watched:
    """A way to a venue that notes what was answered when."""

    transport: Transport
    answered: list[Answered] = field(default_factory=list[Answered])

    async def send(self, request: Request) -> Response:
        response = await self.transport.send(request)
        place = "/".join(part for part in (request.pool, request.market) if part)
        self.answered.append(Answered(place, response.received, request.weight))
        return response


async def work(job: Job, clock: Clock) -> Report:
    exchange, lakes, outcomes, idle = job.venue(), count(), list[Outcome](), True
    async with open_transport(
        exchange, rest_url=job.url, share=job.share, clock=clock, max_in_flight=job.in_flight
    ) as transport:
        watched = Watched(transport)
        venue = Venue(exchange, watched, clock)

        async def fill_one(dataset: Dataset, key: str) -> Filled:
            lake = LakeStore(f"{job.lake}/{next(lakes)}" if job.apart else job.lake)
            return await fill(venue, lake, dataset, key, page_came)

        jobs = [(job.dataset, key) for key in job.keys]
        try:
            await asyncio.wait_for(fill_all(jobs, fill_one, outcomes.append), job.stop_after_s)
        except TimeoutError:
            idle = False
        requests = transport.requests
    results = [outcome.result for outcome in outcomes]
    return Report(
        requests,
        sum(result.rows for result in results if isinstance(result, Filled)),
        [f"{type(result).__name__}: {result}" for result in results if isinstance(result, DccdError)],
        watched.answered,
        idle,
        peak_mb(),
        time.process_time(),
    )


async def work_on_all(jobs: list[Job], clock: Clock) -> list[Report]:
    return await asyncio.gather(*(work(job, clock) for job in jobs))


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    told = msgspec.json.decode(sys.argv[1], type=list[Job])
    print(msgspec.json.encode(asyncio.run(work_on_all(told, SystemClock()))).decode())  # noqa: T201
