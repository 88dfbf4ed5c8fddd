"""A sandbox in a process of its own, for the time of a ``with`` block."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Unpack

import httpx
import msgspec

from dccd_core.domain.timespan import Us
from dccd_core.testing.sandbox.faults import Fault
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.options import OptionArguments, Options
from dccd_core.testing.sandbox.stats import Stats
from dccd_core.testing.sandbox.stream_faults import StreamFault

_READ: Final = msgspec.json.Decoder(Stats)


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that answers at ``url``; ``market`` is the truth it tells."""

    url: str
    market: Market

    def rest_url(self, exchange: str) -> str:
        return f"{self.url}/{exchange}"

    def faults(self, faults: Sequence[Fault]) -> None:
        """Put these faults in force instead of the present ones."""
        self._order("faults", list(faults))

    def ws_url(self, exchange: str) -> str:
        return f"ws{self.url.removeprefix('http')}/{exchange}"

    def stream_faults(self, faults: Sequence[StreamFault]) -> None:
        """Put these faults of streams in force instead of the present ones."""
        self._order("stream_faults", list(faults))

    def disconnect_all(self, code: int = 1001) -> None:
        """Close all WebSocket connections; 1006 ends them without a close."""
        self._order("disconnect", {"code": code})

    def clock(self, now: Us | None, *, frozen: bool = True, rate: int = 1) -> None:
        """Stop the sandbox's clock at ``now`` or let it run on from there, ``rate`` times as fast as ours.

        None: the machine's time, which never stands still.
        """
        self._order("clock", {"now": now, "frozen": frozen, "rate": rate})

    def reset(self) -> None:
        """Forget counts, bans, the clock that was set and all faults but those of the start.

        WebSocket connections are closed.
        """
        self._order("reset", None)

    def stats(self) -> Stats:
        answer = httpx.get(f"{self.url}/_control/stats", timeout=60).raise_for_status()
        return _READ.decode(answer.content)

    def _order(self, name: str, order: object) -> None:
        body = msgspec.json.encode(order)
        httpx.post(f"{self.url}/_control/{name}", content=body, timeout=10).raise_for_status()


@contextmanager
def running_sandbox(**arguments: Unpack[OptionArguments]) -> Generator[RunningSandbox]:
    """Start a sandbox on a free port; the arguments are the fields of ``Options``."""
    options = Options(**arguments)
    command = [sys.executable, "-m", "dccd_core.testing.sandbox", *_flags(options)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    with subprocess.Popen(  # noqa: S603 -- our own interpreter and our own flags
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.stdout
            ready = process.stdout.readline()
            if not ready:
                msg = f"the sandbox did not start: {' '.join(command)}"
                raise RuntimeError(msg)
            yield RunningSandbox(json.loads(ready)["url"], options.market())
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def _flags(options: Options) -> list[str]:
    densities = [f"{name}={count}" for name, count in options.trades_per_day.items()]
    return [
        "--port=0",
        "--with-parent",
        f"--rtt-ms={options.rtt_ms}",
        f"--faults={msgspec.json.encode(options.faults).decode()}",
        f"--seed={options.seed}",
        *(["--rate-limits"] if options.rate_limits else []),
        *([] if options.limit_weight is None else [f"--limit-weight={options.limit_weight}"]),
        *([] if options.window_s is None else [f"--window-s={options.window_s}"]),
        *(f"--symbol={symbol}" for symbol in options.symbols),
        *(f"--trades-per-day={density}" for density in densities),
        *(f"--outage={outage}" for outage in options.outages),
        f"--stream-faults={msgspec.json.encode(options.stream_faults).decode()}",
        *([] if options.stream_lifetime_s is None else [f"--stream-lifetime-s={options.stream_lifetime_s}"]),
    ]
