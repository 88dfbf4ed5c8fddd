"""``python -m tests.promises.filler JOB``: fill partitions in a process of one's own, as JSON tells.

Prints a line when it is ready and waits for one on stdin; then one per page; at the end what it cost.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dccd_core.adapter.contract import Limit
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import DccdError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, Ns
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import Lake
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import open_transport


class Job(msgspec.Struct, kw_only=True):
    """``limit_weight`` per ``window_s`` holds nothing back unless it is told; ``stop_after_s`` ends early."""

    url: str
    lake: str
    keys: list[str]
    symbol: str = "BTC/USDT"
    bar: int | None = None
    limit_weight: int = 10**9
    window_s: int = 60
    share: float = 0.95
    stop_after_s: float | None = None

    @property
    def dataset(self) -> Dataset:
        data_type = DataType.OHLC if self.bar else DataType.TRADES
        return Dataset("binance", Symbol.parse(self.symbol), data_type, Ns(self.bar) if self.bar else None)


class Report(msgspec.Struct):
    requests: int
    rows: int
    errors: list[str]
    peak_mb: int
    cpu_s: float


@dataclass(slots=True)
class Filler:
    """A filling process, seen from outside."""

    process: subprocess.Popen[bytes]

    def go(self) -> None:
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

    def report(self) -> Report:
        assert self.process.stdout
        last = self.process.stdout.read().splitlines()[-1]
        assert self.process.wait() == 0
        return msgspec.json.decode(last, type=Report)


@contextmanager
def filler(state_dir: Path, job: Job) -> Generator[Filler]:
    """Start a filling process that is ready to go; it does not outlive the ``with`` block."""
    command = [sys.executable, "-m", "tests.promises.filler", msgspec.json.encode(job).decode()]
    environment = {"DCCD_STATE_DIR": str(state_dir), "PATH": ""}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=root
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield Filler(process)
        finally:
            process.kill()


def page_came(dataset: Dataset, key: str, rows: int, until: Ns) -> None:
    print("page", flush=True)  # noqa: T201


async def work(job: Job) -> Report:
    exchange = replace(get("binance"), limits=(Limit(job.limit_weight, Ns(job.window_s * SECOND)),))
    lake, outcomes = Lake(job.lake), list[Outcome]()
    async with open_transport(exchange, rest_url=job.url, share=job.share) as transport:
        venue = Venue(exchange, transport, SystemClock())

        async def fill_one(dataset: Dataset, key: str) -> Filled:
            return await fill(venue, lake, dataset, key, page_came)

        jobs = [(job.dataset, key) for key in job.keys]
        with suppress(TimeoutError):
            await asyncio.wait_for(fill_all(jobs, fill_one, outcomes.append), job.stop_after_s)
        requests = transport.requests
    results = [outcome.result for outcome in outcomes]
    return Report(
        requests,
        sum(result.rows for result in results if isinstance(result, Filled)),
        [f"{type(result).__name__}: {result}" for result in results if isinstance(result, DccdError)],
        peak_mb(),
        time.process_time(),
    )


def peak_mb() -> int:
    """Return the most memory this process had; getrusage would also tell of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    print(msgspec.json.encode(asyncio.run(work(msgspec.json.decode(sys.argv[1], type=Job)))).decode())  # noqa: T201
