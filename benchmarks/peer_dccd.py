"""dccd 3.8.1 at the same work. Run by the Python that has it installed, so it imports nothing of ours.

Its addresses are constants and a backfill always ends now: both are replaced, nothing else. ``unlimited``
takes its own limiter away (10 requests a second).
"""

import asyncio
import json
import sys
import time
from importlib import import_module
from typing import Any

binance: Any = import_module("dccd.sources.binance")
jobs: Any = import_module("dccd.application.jobs")
operations: Any = import_module("dccd.application.operations")
ratelimit: Any = import_module("dccd.transport.ratelimit")
symbols: Any = import_module("dccd.domain.symbol")
types: Any = import_module("dccd.domain.types")
wiring: Any = import_module("dccd.application.service_factory")


async def fetch(job: dict[str, Any]) -> dict[str, float]:
    """Return what the work itself took."""
    wall, cpu = time.perf_counter(), time.process_time()
    binance._BASE_REST = f"{job['url']}/api/v3"
    operations.ns_now = lambda: job["spans_ms"][-1][1] * 1_000_000 - 1
    if job["options"]["unlimited"]:
        ratelimit.shared_limiter()._rates["binance"] = 1e9
    done = await operations.backfill(
        job_spec(job),
        registry=wiring.build_registry(),
        store=wiring.build_store(job["store"]),
        coverage_store=wiring.build_coverage_store(job["store"]),
    )
    if "error" in done:
        sys.exit(done["error"])
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def job_spec(job: dict[str, Any]) -> Any:  # noqa: ANN401 -- a class of theirs
    target = jobs.JobTarget(
        exchange="binance",
        symbol=symbols.Symbol.parse(job["symbol"]),
        data_type=types.DataType(job["data_type"]),
        span=60 if job["data_type"] == "ohlc" else None,
    )
    return jobs.JobSpec(
        id="benchmark",
        operation="backfill",
        target=target,
        trigger=jobs.Trigger(kind="once"),
        params=jobs.JobParams(start=str(job["spans_ms"][0][0] * 1_000_000)),
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fetch(json.loads(sys.argv[1])))))
