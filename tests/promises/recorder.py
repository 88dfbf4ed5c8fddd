"""``python -m tests.promises.recorder ORDER``: record streams in a process of one's own, as JSON tells.

Prints ``+`` as soon as it is connected, then what it has to note, line by line; ends when its stdin does. Ten
times a second, as long as it lives, a line that begins with ``~`` says up to when trades have come.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.http import open_transport
from dccd_core.net.sockets import open_sockets
from dccd_core.net.websocket import Socket
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from tests.promises.streams import FastClock

ROOT = Path(__file__).parents[2]
CONNECTED = "+"
SEEN = "~"
SEEN_EVERY_S = 0.1
_TRADE = re.compile(rb'"e":"aggTrade","E":\d+,"s":"(\w+)".*?"T":(\d+)')
Seen = dict[str, int]
"""By the venue's name of a symbol: the time of its last trade that has come (us)."""
_SEEN = msgspec.json.Decoder(Seen)


class Order(msgspec.Struct, kw_only=True):
    """What to record, of which venue, and where to."""

    exchange: str
    symbols: list[str]
    bars: list[int]
    depth: int
    rest_url: str
    ws_url: str
    lake: str
    ahead: int
    """How much later it is for the venue than for this machine."""

    def clock(self) -> FastClock:
        return FastClock(Us(time.time_ns() // 1_000 + self.ahead), 1)

    def datasets(self) -> list[Dataset]:
        kinds = [
            (DataType.TRADES, None),
            (DataType.ORDERBOOK, None),
            *((DataType.OHLC, Us(n)) for n in self.bars),
        ]
        return [Dataset(self.exchange, Symbol.parse(name), *kind) for name in self.symbols for kind in kinds]


class _Says:
    def beat(self, health: StreamHealth) -> None: ...

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None: ...

    def note(self, text: str, *, wrong: bool) -> None:
        _say(text)


class _Watched:
    """A socket that takes down up to when trades have come by it."""

    def __init__(self, socket: Socket, seen: Seen) -> None:
        self._socket, self._seen = socket, seen

    @property
    def heard(self) -> Us:
        return self._socket.heard

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        messages, moments = await self._socket.receive()
        for message in messages:
            for name, ms in _TRADE.findall(message):
                self._seen[name.decode()] = int(ms) * 1_000
        return messages, moments

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)


async def _tell_what_came(seen: Seen) -> None:
    while True:
        await asyncio.sleep(SEEN_EVERY_S)
        _say(f"{SEEN}{msgspec.json.encode(seen).decode()}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def record(order: Order) -> None:
    stop, exchange, clock = asyncio.Event(), get(order.exchange), order.clock()
    seen = Seen()
    telling_seen = asyncio.create_task(_tell_what_came(seen))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    with open_sockets(exchange, ws_url=order.ws_url, clock=clock) as connect:

        @asynccontextmanager
        async def telling(url: str) -> AsyncGenerator[Socket]:
            async with connect(url) as socket:
                _say(CONNECTED)
                yield _Watched(socket, seen)

        async with open_transport(exchange, rest_url=order.rest_url, clock=clock) as transport:
            venue = Venue(exchange, transport, clock)
            plan = StreamPlan("killed", tuple(order.datasets()), order.depth)
            await run_stream(plan, venue, telling, LakeStore(order.lake), stop, _Says())
    telling_seen.cancel()


@dataclass
class Recording:
    """A process that records; what it noted, and whether it is connected."""

    process: subprocess.Popen[str]
    notes: list[str] = field(default_factory=list[str])
    connected: Event = field(default_factory=Event)
    seen: list[Seen] = field(default_factory=list[Seen])
    """What it said ten times a second while it lived: the last but ten is a second of its life ago."""

    def listen(self) -> None:
        assert self.process.stdout
        for text in self.process.stdout:
            if text.rstrip("\n") == CONNECTED:
                self.connected.set()
            elif text.startswith(SEEN):
                self.seen.append(_SEEN.decode(text.removeprefix(SEEN)))
            else:
                self.notes.append(text)


@contextmanager
def recording(order: Order) -> Generator[Recording]:
    """Record; what still lives in the end is killed."""
    command = [sys.executable, "-m", "tests.promises.recorder", msgspec.json.encode(order).decode()]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        one = Recording(process)
        listening = Thread(target=one.listen)
        listening.start()
        try:
            yield one
        finally:
            process.kill()
            process.wait()
            listening.join()


if __name__ == "__main__":
    asyncio.run(record(msgspec.json.decode(sys.argv[1], type=Order)))
