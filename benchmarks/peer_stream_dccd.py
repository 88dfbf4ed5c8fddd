"""dccd 3.8.1's ``stream``. Run by the Python that has it installed, so it imports nothing of ours.

Its address is a constant, and it streams until it is told to stop: the first is replaced, and it is told so
when all messages are on disk. It connects once per symbol, so the first one is all it gets. ``stored`` trades
are in today's file before.
"""

import asyncio
import json
import sys
import time
from importlib import import_module
from typing import Any

jobs: Any = import_module("dccd.application.jobs")
operations: Any = import_module("dccd.application.operations")
records: Any = import_module("dccd.domain.records")
symbols: Any = import_module("dccd.domain.symbol")
types: Any = import_module("dccd.domain.types")
wiring: Any = import_module("dccd.application.service_factory")
ws: Any = import_module("dccd.transport.ws")

_DAY = 86_400_000_000_000
_THEIRS = "wss://stream.binance.com:9443"


async def record(job: dict[str, Any]) -> dict[str, float]:
    """Return what it took from the first rows that were saved to the last."""
    store, opened = wiring.build_store(job["store"]), ws.WebSocketBase.__init__
    if stored := job["options"].get("stored"):
        fill(store, job_spec(job), stored)
    saved, rows, done = store.save, 0, asyncio.Event()
    marks: list[tuple[int, float, float]] = []
    loop = asyncio.get_running_loop()

    def open_ours(self: Any, url: str) -> None:  # noqa: ANN401 -- a class of theirs
        opened(self, url.replace(_THEIRS, job["url"]))

    def save(*arguments: Any) -> int:  # noqa: ANN401 -- whatever they are
        nonlocal rows
        count = saved(*arguments)
        rows += len(arguments[1])
        marks.append((rows, time.perf_counter(), time.process_time()))
        if rows >= job["messages"]:
            loop.call_soon_threadsafe(done.set)
        return count

    ws.WebSocketBase.__init__ = open_ours
    store.save = save
    streaming = asyncio.create_task(
        operations.stream(job_spec(job), registry=wiring.build_registry(), store=store)
    )
    await asyncio.wait([streaming, asyncio.create_task(done.wait())], return_when=asyncio.FIRST_COMPLETED)
    streaming.cancel()
    await asyncio.gather(streaming, return_exceptions=True)
    first, last = marks[0], marks[-1]
    return {"messages": last[0] - first[0], "wall_s": last[1] - first[1], "cpu_s": last[2] - first[2]}


def fill(store: Any, spec: Any, count: int) -> None:  # noqa: ANN401 -- classes of theirs
    """Put so many trades into the file of today, all of them before now."""
    now = time.time_ns()
    start = now // _DAY * _DAY
    trades = [
        records.Trade(
            ts=start + i * ((now - start) // count), price=64_000.0, amount=0.1, side="buy", tid=str(i)
        )
        for i in range(count)
    ]
    origin = operations.Provenance(source="benchmark")
    store.save(operations._make_dataset_id(spec.target), trades, origin)


def job_spec(job: dict[str, Any]) -> Any:  # noqa: ANN401 -- a class of theirs
    target = jobs.JobTarget(
        exchange="binance",
        symbol=symbols.Symbol.parse(job["symbols"][0]),
        data_type=types.DataType("trades"),
    )
    return jobs.JobSpec(
        id="benchmark", operation="stream", target=target, trigger=jobs.Trigger(kind="supervised")
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(record(json.loads(sys.argv[1])))))
