"""Servers that a client of WebSockets meets in tests: a whole one, and TCP that is known to the byte."""

import asyncio
import base64
import hashlib
import itertools
import re
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ssl import SSLContext

from websockets.asyncio.server import ServerConnection, serve

from dccd_core.net.clock import ManualClock, SystemClock
from dccd_core.net.websocket import Socket, connect

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

Handler = Callable[[ServerConnection], Awaitable[None]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(test: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(bounded())


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[str]:
    """Serve with a whole WebSocket server."""
    async with serve(handler, "127.0.0.1", 0, ping_interval=None, max_size=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/stream"


@asynccontextmanager
async def listening(talk: Talk, tls: SSLContext | None = None) -> AsyncGenerator[str]:
    """Serve TCP, so that what is sent is known to the byte; ``talk`` may end as it likes."""
    talking = set[asyncio.Task[None]]()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream"
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)


def sending(*chunks: bytes) -> AbstractAsyncContextManager[str]:
    """Serve a WebSocket that sends these bytes, and then waits for a goodbye."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        await goodbye(reader)

    return listening(talk)


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = re.search(r"(?i)sec-websocket-key: (\S+)", request)
    assert key
    accept = base64.b64encode(hashlib.sha1(f"{key[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return request


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + struct.pack("!H", size) if size < 65_536 else b"\x7f" + struct.pack("!Q", size)
    return bytes([(0x80 if fin else 0) | opcode]) + length + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a short frame of a client."""
    opcode, size = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size & 0x7F)
    return opcode & 0xF, bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))


async def goodbye(reader: asyncio.StreamReader) -> None:
    while (await read_frame(reader))[0] != CLOSE:
        pass


async def eventually(true: Callable[[], bool]) -> None:
    for _ in itertools.count():
        if true():
            return
        await asyncio.sleep(0.002)


def opened(url: str, clock: ManualClock | None = None, **how: float) -> AbstractAsyncContextManager[Socket]:
    return connect(url, clock or SystemClock(), **how)
