"""The raw floor: fetch, decode and write with dccd's libraries and nothing else.

No budget, no retries, no ledger, no checks, no bounded memory: what is fetched twice or lost goes unseen.
It asks the questions that dccd asks, and writes the columns that dccd writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
import polars as pl

from benchmarks.job import BAR_MS, IN_FLIGHT, PAGE, Job, read_job


class Kline(msgspec.Struct, array_like=True, gc=False):
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    close_time: int
    quote_volume: float
    trades: int


class Trade(msgspec.Struct, gc=False):
    a: int
    p: float
    q: float
    T: int
    m: bool


_KLINES: Final = msgspec.json.Decoder(list[Kline], strict=False)
_TRADES: Final = msgspec.json.Decoder(list[Trade], strict=False)
_TS: Final = pl.from_epoch("ts", "ms").dt.cast_time_unit("us").dt.replace_time_zone("UTC")


class Line:
    """Lends a client to each request; a client stands in the queue once for each of its connections."""

    def __init__(self, job: Job, clients: Sequence[httpx.AsyncClient]) -> None:
        self._base = job.url
        self._symbol = job.symbol.replace("/", "")
        self._idle = asyncio.LifoQueue[httpx.AsyncClient]()
        for client in clients:
            self._idle.put_nowait(client)

    async def get(self, path: str, **params: str | int) -> bytes:
        client = await self._idle.get()
        try:
            query = "".join(f"&{name}={value}" for name, value in params.items())
            answer = await client.get(f"{self._base}/api/v3/{path}?symbol={self._symbol}{query}")
            return answer.raise_for_status().content
        finally:
            self._idle.put_nowait(client)


@asynccontextmanager
async def open_line(job: Job) -> AsyncGenerator[Line]:
    """Open one client of 32 connections, which is what one writes first, or 32 of one, which is faster."""
    count = job.options.get("clients", IN_FLIGHT)
    limits, trust = httpx.Limits(max_connections=IN_FLIGHT // count), httpx.create_ssl_context()
    async with AsyncExitStack() as stack:
        clients = [httpx.AsyncClient(limits=limits, timeout=30, verify=trust) for _ in range(count)]
        opened = [await stack.enter_async_context(client) for client in clients]
        yield Line(job, opened * (IN_FLIGHT // count))


async def klines(line: Line, span: tuple[int, int]) -> pl.DataFrame:
    async def page(start: int) -> pl.DataFrame:
        end = min(start + PAGE * BAR_MS, span[1]) - 1
        rows = _KLINES.decode(
            await line.get("klines", interval="1m", startTime=start, endTime=end, limit=PAGE)
        )
        return pl.DataFrame(
            {
                "ts": [row.open_time for row in rows],
                "open": [row.open for row in rows],
                "high": [row.high for row in rows],
                "low": [row.low for row in rows],
                "close": [row.close for row in rows],
                "volume": [row.volume for row in rows],
                "quote_volume": [row.quote_volume for row in rows],
                "trades": [row.trades for row in rows],
            }
        )

    pages = await asyncio.gather(*(page(start) for start in range(*span, PAGE * BAR_MS)))
    return pl.concat(pages).with_columns(_TS)


async def trades(line: Line, span: tuple[int, int]) -> pl.DataFrame:
    async def first_id(at: int) -> int:
        return _TRADES.decode(await line.get("aggTrades", startTime=at, limit=1))[0].a

    async def page(start: int) -> pl.DataFrame:
        limit = min(PAGE, ids.stop - start)
        rows = _TRADES.decode(await line.get("aggTrades", fromId=start, limit=limit))
        return pl.DataFrame(
            {
                "ts": [row.T for row in rows],
                "price": [row.p for row in rows],
                "amount": [row.q for row in rows],
                "side": [row.m for row in rows],
                "trade_id": [row.a for row in rows],
            }
        )

    ids = range(await first_id(span[0]), await first_id(span[1]))
    pages = await asyncio.gather(*(page(start) for start in ids[::PAGE]))
    side = pl.when("side").then(pl.lit("sell")).otherwise(pl.lit("buy")).cast(pl.Enum(["buy", "sell"]))
    return pl.concat(pages).with_columns(_TS, side=side, trade_id=pl.col("trade_id").cast(pl.String))


async def fetch(job: Job) -> None:
    async with open_line(job) as line:

        async def partition(key: str, span: tuple[int, int]) -> None:
            rows = await (klines if job.data_type == "ohlc" else trades)(line, span)
            rows.write_parquet(Path(job.store, f"{key}.parquet"), compression="zstd", compression_level=3)

        await asyncio.gather(*(partition(*part) for part in zip(job.keys, job.spans_ms, strict=True)))


if __name__ == "__main__":
    asyncio.run(fetch(read_job()))
