"""dccd's whole recorder, as a run of a stream has it: what it wrote when, how late, and what that took.

The instruments are put around two methods here, there are none in the product. A row is on disk when the
append that held it has returned.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.job import StreamJob, read_stream_job
from dccd_core.adapter.live import DecodedBatch
from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.live.coverage import Notes
from dccd_core.lake.live.segments import SegmentWriter
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import open_transport
from dccd_core.net.sockets import open_sockets
from dccd_core.stream import run
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.intake import Intake
from dccd_core.stream.recorder import Recorder
from dccd_core.tables import TIME, DataType

_LOOK_S: Final = 0.1
_SAMPLE_S: Final = 1.0
_PATIENCE_S: Final = 30.0
"""So long nothing may come before what is missing counts as lost."""
_PORTION: Final = 500_000
_FIRST_ID: Final = 3_000_000_001
"""Of the flood's trades; those that are stored before end right before it."""


class Sample(msgspec.Struct, frozen=True):
    """How far it was ``at`` a moment, by the monotonic clock."""

    at: float
    cpu_s: float
    rows: int
    messages: int
    memory_mb: float


class Lag(msgspec.Struct, frozen=True):
    """In milliseconds since receipt."""

    median: float
    p99: float
    most: float


class Recorded(msgspec.Struct):
    """What became of a recording. ``fold`` is the span of one that was ordered meanwhile."""

    samples: list[Sample]
    appends: list[Sample]
    connections: int = 0
    messages: int = 0
    fold: tuple[float, float] | None = None
    to_buffer: Lag | None = None
    to_disk: Lag | None = None
    notes: list[str] = []


class Meter:
    """Watches a recorder; it is its listener, too."""

    def __init__(self) -> None:
        self.rows = 0
        self.recorded = Recorded([], [])
        self.recorder: Recorder | None = None
        self.buffered = list[NDArray[np.int64]]()
        self._stored = list[NDArray[np.int64]]()

    def install(self) -> None:
        """Look over the shoulders of the recorder that is made next."""
        append, receive, made, meter = SegmentWriter.append, Intake.receive, run.Recorder, self

        def timed_append(self: SegmentWriter, rows: pl.DataFrame, notes: Notes) -> None:
            append(self, rows, notes)
            if rows.height:
                meter.take(rows)

        def timed_receive(
            self: Intake,
            batch: DecodedBatch,
            received: Us,
            steady: Us,
            concerned: frozenset[str] = frozenset(),
        ) -> None:
            receive(self, batch, received, steady, concerned)
            if batch.trades is not None:
                meter.buffered.append(_late(batch.trades))

        def noted(*arguments: object) -> Recorder:
            meter.recorder = made(*arguments)  # pyright: ignore[reportArgumentType] -- whatever they are
            return meter.recorder

        SegmentWriter.append = timed_append
        Intake.receive = timed_receive
        run.Recorder = noted  # pyright: ignore[reportAttributeAccessIssue] -- a function makes one as well

    def take(self, rows: pl.DataFrame) -> None:
        """Note that these rows are on disk."""
        self._stored.append(_late(rows))
        self.rows += rows.height
        self.recorded.appends.append(self.sample())

    def sample(self) -> Sample:
        return Sample(time.monotonic(), time.process_time(), self.rows, self._messages(), _memory_mb())

    def _messages(self) -> int:
        """Count what came, of which no more than a beat every few seconds is told."""
        context = getattr(self.recorder, "_context", None)
        return sum(seen.messages for seen in context.seen.values()) if context else 0

    def done(self) -> Recorded:
        self.recorded.to_buffer, self.recorded.to_disk = _lag(self.buffered), _lag(self._stored)
        return self.recorded

    def beat(self, health: StreamHealth) -> None:
        self.recorded.connections = max(self.recorded.connections, health.connections)
        self.recorded.messages = health.messages

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        """The rows are counted in the lake."""

    def note(self, text: str, *, wrong: bool) -> None:
        if wrong:
            self.recorded.notes.append(text)


def _late(rows: pl.DataFrame) -> NDArray[np.int64]:
    return time.time_ns() // 1_000 - rows["received"].cast(pl.Int64).to_numpy()


def _lag(late: list[NDArray[np.int64]]) -> Lag | None:
    if not late:
        return None
    return Lag(*(np.percentile(np.concatenate(late), (50, 99, 100)) / 1e3).tolist())


def _memory_mb() -> float:
    """Return the memory in use, 0 where the system does not tell it so."""
    with suppress(FileNotFoundError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


async def record(job: StreamJob) -> Recorded:
    """Record until all messages are on disk, or for ``seconds`` when that is an option."""
    exchange, lake, clock, meter = get("binance"), LakeStore(job.store), SystemClock(), Meter()
    trades = [Dataset("binance", Symbol.parse(name), DataType.TRADES) for name in job.symbols]
    if stored := job.options.get("stored", 0):
        _store(lake, trades[0], stored, clock.now())
    meter.install()
    stop = asyncio.Event()
    async with open_transport(exchange, rest_url=job.rest_url, clock=clock) as transport:
        with open_sockets(exchange, ws_url=job.url) as connect:
            plan = StreamPlan("benchmark", (*trades, *_more(job, trades)))
            watching = asyncio.create_task(_watch(job, meter, stop))
            await run.run_stream(plan, Venue(exchange, transport, clock), connect, lake, stop, meter)
            await watching
    return meter.done()


def _more(job: StreamJob, trades: Sequence[Dataset]) -> list[Dataset]:
    """Return bars of all symbols, and books of as many as the options say, in a job for so many seconds."""
    if "seconds" not in job.options:
        return []
    bars = [Dataset("binance", one.symbol, DataType.OHLC, MINUTE) for one in trades]
    books = [Dataset("binance", one.symbol, DataType.ORDERBOOK) for one in trades[: job.options["books"]]]
    return [*bars, *books]


async def _watch(job: StreamJob, meter: Meter, stop: asyncio.Event) -> None:
    seconds, fold_at = job.options.get("seconds"), job.options.get("fold_at", 0)
    began = sampled = changed = time.monotonic()
    rows = 0
    while not stop.is_set():
        await asyncio.sleep(_LOOK_S)
        now = time.monotonic()
        if meter.rows > rows:
            rows, changed = meter.rows, now
        if now >= sampled:
            sampled += _SAMPLE_S
            meter.recorded.samples.append(meter.sample())
        if fold_at and rows >= fold_at:
            fold_at = 0
            await _fold(meter)
        if seconds is None:
            over = rows >= job.messages or now - changed > _PATIENCE_S
        else:
            over = now - began >= seconds
        if over:
            stop.set()


async def _fold(meter: Meter) -> None:
    """Fold what there is now, as the recorder itself does every hour."""
    assert meter.recorder is not None
    began = time.monotonic()
    fold = meter.recorder._fold  # pyright: ignore[reportPrivateUsage] -- an hour is too long to wait for it
    await fold(fill=False)
    meter.recorded.fold = began, time.monotonic()


class _Lenient:
    """Judges nothing."""

    def see(self, rows: pl.DataFrame) -> None: ...

    def assess(self, ledger: Ledger) -> Ledger:
        return ledger


def _store(lake: LakeStore, dataset: Dataset, count: int, now: Us) -> None:
    """Put so many trades into today's partition, all of them before now."""
    key = partition_key(dataset.grain, now)
    start = partition_span(dataset.grain, key).start
    schema = DataType.TRADES.table.schema
    with lake.draft(dataset, key) as draft:
        for first in range(0, count, _PORTION):
            place = np.arange(first, min(first + _PORTION, count))
            columns = {
                "ts": pl.Series(start + place * ((now - start - SECOND) // count)).cast(TIME),
                "price": 64_000 + place * 7_919 % 10_007 / 100,
                "amount": (1_000 + place * 104_729 % 99_991) / 1e8,
                "side": np.where(place // 1_000 % 2, "buy", "sell"),
                "trade_id": (_FIRST_ID - count + place).astype(str),
                "received": pl.repeat(None, len(place), dtype=TIME, eager=True),
            }
            rows = pl.DataFrame(columns).select(schema.names())
            draft.append(rows.cast({name: schema[name] for name in schema}))
        draft.commit((), _Lenient)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(record(read_stream_job()))).decode())
