"""ccxt at the same work, and Parquet at the end. Run by the Python that has it installed.

``in_flight`` pages are asked at once, 1 being its manual's loop; ``unlimited`` switches its limiter off.
"""

import asyncio
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ccxt: Any = import_module("ccxt.async_support")
polars: Any = import_module("polars")

PAGE = 1_000
BAR_MS = 60_000


async def fetch(job: dict[str, Any]) -> dict[str, float]:
    """Return what the work itself took."""
    exchange = ccxt.binance({"enableRateLimit": not job["options"]["unlimited"]})
    exchange.urls["api"]["public"] = f"{job['url']}/api/v3"
    exchange.options |= {"fetchMarkets": ["spot"], "fetchCurrencies": False}
    turn = asyncio.Semaphore(job["options"]["in_flight"])

    async def page(method: str, *arguments: object) -> list[Any]:
        async with turn:
            return await getattr(exchange, method)(job["symbol"], *arguments)

    async def partition(key: str, span: tuple[int, int]) -> None:
        pages = await (bars if job["data_type"] == "ohlc" else trades)(page, *span)
        rows = polars.DataFrame([row for rows in pages for row in rows], orient="row")
        rows.write_parquet(Path(job["store"], f"{key}.parquet"), compression="zstd")

    try:
        await exchange.load_markets()
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(partition, job["keys"], job["spans_ms"]))
        return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    finally:
        await exchange.close()


async def bars(page: Any, start: int, end: int) -> list[list[Any]]:  # noqa: ANN401 -- see fetch
    async def one(at: int) -> list[Any]:
        return await page("fetch_ohlcv", "1m", at, min(PAGE, (end - at) // BAR_MS))

    return await asyncio.gather(*(one(at) for at in range(start, end, PAGE * BAR_MS)))


async def trades(page: Any, start: int, end: int) -> list[list[Any]]:  # noqa: ANN401 -- see fetch
    async def id_at(at: int) -> int:
        return int((await page("fetch_trades", at, 1))[0]["id"])

    async def one(first: int) -> list[Any]:
        rows = await page("fetch_trades", None, min(PAGE, last - first), {"fromId": first})
        return [(row["timestamp"], row["price"], row["amount"], row["side"], row["id"]) for row in rows]

    last = await id_at(end)
    return await asyncio.gather(*(one(first) for first in range(await id_at(start), last, PAGE)))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fetch(json.loads(sys.argv[1])))))
