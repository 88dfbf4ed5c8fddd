"""How fast WebSocket clients are, on one core: ``python -m benchmarks.receive``.

Each client takes the same flood, first to count the messages only, then to decode them and write them as
Parquet with the libraries that dccd uses and nothing else. ``dccd`` is our own socket on top of picows. The
client runs on one core and the flood on another. A rate is messages per second of CPU, which is what one core
does in a second when neighbours leave it alone. All rows of a round are measured back to back; the table has
the median of the rounds.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, Protocol

import click
import msgspec
import picows
import polars as pl
from websockets.asyncio.client import connect as connect_websockets

from benchmarks.flooding import flooding
from benchmarks.job import Timing
from dccd_core.net.clock import SystemClock
from dccd_core.net.websocket import connect

_ROWS_IN_FILE: Final = 200_000
_BATCH: Final = 5_000
_GATHER_S: Final = 0.01
_TS: Final = pl.from_epoch("ts", "ms").dt.cast_time_unit("us").dt.replace_time_zone("UTC")


class Trade(msgspec.Struct, gc=False):
    a: int
    p: float
    q: float
    T: int
    m: bool


class Message(msgspec.Struct, gc=False):
    stream: str
    data: Trade


_DECODER: Final = msgspec.json.Decoder(list[Message], strict=False)


class Sink(Protocol):
    count: int

    def take(self, frames: list[bytes]) -> None: ...


class Counter:
    """Counts messages."""

    def __init__(self, _: Path) -> None:
        self.count = 0

    def take(self, frames: list[bytes]) -> None:
        self.count += len(frames)


class Writer:
    """Decodes messages in batches and writes files of Parquet; nothing is synced or merged."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder
        self._parts = list[pl.DataFrame]()
        self._waiting = 0

    def take(self, frames: list[bytes]) -> None:
        rows = _DECODER.decode(b"[" + b",".join(frames) + b"]")
        self._parts.append(
            pl.DataFrame(
                {
                    "symbol": [row.stream for row in rows],
                    "ts": [row.data.T for row in rows],
                    "price": [row.data.p for row in rows],
                    "amount": [row.data.q for row in rows],
                    "maker": [row.data.m for row in rows],
                    "trade_id": [row.data.a for row in rows],
                }
            )
        )
        self.count += len(rows)
        self._waiting += len(rows)
        if self._waiting >= _ROWS_IN_FILE:
            pl.concat(self._parts).with_columns(_TS).write_parquet(self._folder / f"{self.count}.parquet")
            self._parts.clear()
            self._waiting = 0


async def with_websockets(url: str, messages: int, sink: Sink) -> None:
    async with connect_websockets(url, compression=None, max_queue=1_024) as socket:
        while sink.count < messages:
            size = min(_BATCH, messages - sink.count)
            sink.take([await socket.recv(decode=False) for _ in range(size)])


class _Listener(picows.WSListener):
    def __init__(self) -> None:
        self.frames = list[bytes]()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:  # noqa: ARG002 - picows calls it so
        if frame.msg_type == picows.WSMsgType.TEXT:
            self.frames.append(frame.get_payload_as_bytes())


async def with_picows(url: str, messages: int, sink: Sink) -> None:
    transport, listener = await picows.ws_connect(_Listener, url)
    assert isinstance(listener, _Listener)
    while sink.count < messages:
        await asyncio.sleep(_GATHER_S)
        frames, listener.frames = listener.frames, list[bytes]()
        if frames:
            sink.take(frames)
    transport.disconnect()
    await transport.wait_disconnected()


async def with_dccd(url: str, messages: int, sink: Sink) -> None:
    async with connect(url, SystemClock()) as socket:
        while sink.count < messages:
            frames, _ = await socket.receive()
            sink.take(frames)


_CLIENTS: Final[dict[str, Callable[[str, int, Sink], Coroutine[None, None, None]]]] = {
    "websockets": with_websockets,
    "picows": with_picows,
    "dccd": with_dccd,
}
_SINKS: Final[dict[str, Callable[[Path], Sink]]] = {"receive": Counter, "receive + Parquet": Writer}


async def timed(client: str, sink: Sink, url: str, messages: int) -> Timing:
    """Measure from the first batch on."""

    class Timed:
        def __init__(self) -> None:
            self.count = 0
            self.began = Timing(0, 0.0, 0.0)

        def take(self, frames: list[bytes]) -> None:
            sink.take(frames)
            self.count = sink.count
            if not self.began.messages:
                self.began = Timing(self.count, time.perf_counter(), time.process_time())

    sinks = Timed()
    await _CLIENTS[client](url, messages, sinks)
    began = sinks.began
    return Timing(
        sinks.count - began.messages,
        time.perf_counter() - began.wall_s,
        time.process_time() - began.cpu_s,
    )


@click.command(help=__doc__)
@click.option("--messages", type=int, default=1_000_000, show_default=True)
@click.option("--repeat", type=int, default=3, show_default=True)
@click.option("--only", type=click.Choice(list(_CLIENTS)), multiple=True)
def main(messages: int, repeat: int, only: tuple[str, ...]) -> None:
    """Measure, and print one table."""
    cases = [(client, sink) for sink in _SINKS for client in only or _CLIENTS]
    rates = {case: list[float]() for case in cases}
    for _ in range(repeat):
        for client, sink in cases:
            with tempfile.TemporaryDirectory() as folder, flooding(messages) as url:
                took = asyncio.run(timed(client, _SINKS[sink](Path(folder)), url, messages))
            rates[client, sink].append(took.messages / took.cpu_s)
    for (client, sink), measured in rates.items():
        runs = ", ".join(f"{rate:,.0f}" for rate in measured)
        print(f"{sink:20} {client:12} {statistics.median(measured):10,.0f} messages per s of CPU   ({runs})")


if __name__ == "__main__":
    main()
