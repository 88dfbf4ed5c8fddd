"""Four processes on one budget: how much of the venue's limit they use, and whether it ever has to refuse."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.cases import CORE, MONTHS
from benchmarks.job import Job
from dccd_core.domain.timespan import MINUTE, SECOND
from dccd_core.net.clock import SystemClock
from dccd_core.testing.sandbox.process import running_sandbox

_SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT")
_FULL_MINUTES: Final = 2
_LIMIT: Final = 6_000
_KEYS: Final = [f"{year}{month[4:]}" for year in range(2018, 2025) for month in MONTHS]


def measure(rtt_ms: float) -> str:
    """Keep four processes busy for ``_FULL_MINUTES`` and the minute they start in; takes up to three."""
    with tempfile.TemporaryDirectory() as folder, running_sandbox(rtt_ms=rtt_ms, rate_limits=True) as sandbox:
        with ExitStack() as stack:
            for number, symbol in enumerate(_SYMBOLS):
                process = _start(Path(folder), number, symbol, sandbox.rest_url("binance"))
                stack.callback(process.wait)
                stack.callback(process.kill)
            now = SystemClock().now()
            first = now // MINUTE + 1
            time.sleep(((first + _FULL_MINUTES) * MINUTE - now) / SECOND)
            stats = sandbox.stats()
        used = [stats.windows["binance"].get(str((first + n) * MINUTE), 0) for n in range(_FULL_MINUTES)]
    shares = ", ".join(f"{weight / _LIMIT:.1%}" for weight in used)
    refused = stats.answered(429) + stats.answered(418)
    return (
        f"budget: {len(_SYMBOLS)} processes at {rtt_ms:g} ms used {shares} of {_LIMIT:,} a minute in full"
        f" minutes; {refused} of {stats.count():,} requests were refused (429, 418)"
    )


def _start(folder: Path, number: int, symbol: str, url: str) -> subprocess.Popen[bytes]:
    store = folder / str(number)
    store.mkdir()
    job = Job(url=url, symbol=symbol, data_type="ohlc", keys=_KEYS, spans_ms=[], store=str(store))
    environment = {**os.environ, "DCCD_STATE_DIR": str(folder / "state")}
    command = [*CORE.command, msgspec.json.encode(job).decode()]
    return subprocess.Popen(command, env=environment, stderr=sys.stderr)
