"""A WebSocket server that sends Binance trades faster than any client reads: ``python -m benchmarks.flood``.

It serves one client at a time, whatever path is asked for. It answers every ``SUBSCRIBE``, and begins when
no more of them come. Ids are consecutive per symbol; who connects again goes on where the last one was left.
Times are those of sending, so that a lag can be measured. It stops by itself, and says what it sent.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import re
import socket
import string
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import click
import numpy as np
import numpy.typing as npt

Digits = npt.NDArray[np.uint8]

_KNOWN: Final = ("BTC", "ETH", "SOL", "XRP", "BNB", "ADA", "LTC", "DOT", "TRX", "XLM")
_BLOCK: Final = 1_000
"""How many messages are built at once; the taker's side changes from one block to the next."""
_FIRST_ID: Final = 3_000_000_001
_TICK_S: Final = 0.005
_QUIET_S: Final = 0.5
_LINGER_S: Final = 3.0
_IDLE_S: Final = 30.0
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_PLAIN: Final = (
    '{"e":"aggTrade","E":EEEEEEEEEEEEE,"s":"SSSSSSS","a":aaaaaaaaaa,"p":"PPPPP.pp000000","q":"0.qqqqqq00",'
    '"f":ffffffffff,"l":llllllllll,"T":TTTTTTTTTTTTT,"m":%s,"M":true}'
)
_COMBINED: Final = f'{{"stream":"sssssss@aggTrade","data":{_PLAIN}}}'


def names(count: int) -> list[str]:
    """Return ``count`` symbols of equal length, so that all messages are equally long.

    >>> names(12)[8:]
    ['TRXUSDT', 'XLMUSDT', 'QAAUSDT', 'QABUSDT']
    """
    made = ("Q" + "".join(pair) for pair in itertools.product(string.ascii_uppercase, repeat=2))
    return [f"{base}USDT" for base in itertools.islice(itertools.chain(_KNOWN, made), count)]


def frame(opcode: int, payload: bytes) -> bytes:
    """Return ``payload``, of less than 64 KiB, as a frame from a server."""
    size = len(payload)
    length = bytes([size]) if size < 126 else bytes([126]) + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + payload


class Trades:
    """Builds frames by the thousand: a template into which only digits have to be written."""

    def __init__(self, symbols: list[str], *, plain: bool = False) -> None:
        message = _PLAIN if plain else _COMBINED
        self._symbols = np.array([list(name.encode()) for name in symbols], np.uint8)
        self._templates = [frame(_TEXT, (message % side).encode()) for side in ("true", "false")]

    def build(self, first: int, now_ms: int) -> memoryview:
        """Return the frames of one block, which begins with message number ``first``."""
        template = self._templates[first // _BLOCK % 2]
        numbers = np.arange(first, first + _BLOCK)
        row, symbol = np.divmod(numbers, len(self._symbols))
        ids = _digits(_FIRST_ID + row, 10)
        price = _digits(6_400_000 + numbers * 7_919 % 10_007, 7)
        now = _digits(np.array([now_ms]), 13)
        frames = np.tile(np.frombuffer(template, np.uint8), (_BLOCK, 1))
        for place, digits in {
            "sssssss": self._symbols[symbol] + 32,  # in lower case
            "SSSSSSS": self._symbols[symbol],
            "aaaaaaaaaa": ids,
            "ffffffffff": ids,
            "llllllllll": ids,
            "PPPPP": price[:, :5],
            "pp0": price[:, 5:],
            "qqqqqq": _digits(1_000 + numbers * 104_729 % 99_991, 6),
            "EEEEEEEEEEEEE": now,
            "TTTTTTTTTTTTT": now,
        }.items():
            column = template.find(place.encode())
            if column >= 0:  # a plain message does not name its stream
                frames[:, column : column + digits.shape[1]] = digits
        return memoryview(frames.data).cast("B")


def _digits(numbers: npt.NDArray[np.int64], width: int) -> Digits:
    powers = 10 ** np.arange(width - 1, -1, -1)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)


@dataclass(slots=True)
class Client:
    """A connected client; ``quiet`` is when the last of its subscriptions came, by the loop's clock."""

    sock: socket.socket
    quiet: float
    answers: list[bytes] = field(default_factory=list[bytes])
    received: bytearray = field(default_factory=bytearray)

    async def listen(self) -> None:
        """Note what has to be answered, until the client is gone."""
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self.sock, 65_536):
            self.received += data
            while (message := self._next()) is not None:
                opcode, payload = message
                if opcode == _CLOSE:
                    return
                if opcode == _PING:
                    self.answers.append(frame(_PONG, payload))
                elif opcode == _TEXT:
                    self.quiet = loop.time()
                    told = json.loads(payload)
                    self.answers.append(frame(_TEXT, json.dumps({"result": None, "id": told["id"]}).encode()))

    def _next(self) -> tuple[int, bytes] | None:
        if len(self.received) < 6:
            return None
        size, at = self.received[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(self.received[2:4], "big"), 4
        end = at + 4 + size
        if len(self.received) < end:
            return None
        opcode, mask = self.received[0] & 0xF, self.received[at : at + 4]
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.received[at + 4 : end]))
        del self.received[:end]
        return opcode, payload


@dataclass(slots=True)
class Flood:
    """What is to be sent, and how much of it was."""

    trades: Trades
    messages: int
    rate: float | None
    sent: int = 0
    seconds: float = 0.0

    async def serve(self, sock: socket.socket) -> None:
        """Send all that is left to one client; return when that is done, or the client is gone."""
        loop = asyncio.get_running_loop()
        client = Client(sock, loop.time())
        await _shake_hands(sock)
        listening = asyncio.create_task(client.listen())
        sending = asyncio.create_task(self._send(client))
        await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
        for task in (listening, sending):
            task.cancel()
        await asyncio.gather(listening, sending, return_exceptions=True)

    async def _send(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < client.quiet + _QUIET_S:
            await _answer(client)
            await asyncio.sleep(_TICK_S)
        began, before = loop.time(), self.sent
        async for part in self._parts():
            await _answer(client)
            await loop.sock_sendall(client.sock, part)
            self.seconds = loop.time() - began
        rate = (self.sent - before) / max(self.seconds, 1e-9)
        print(json.dumps({"sent": self.sent, "seconds": self.seconds, "per_s": round(rate)}), flush=True)
        until = loop.time() + _LINGER_S
        while loop.time() < until:
            await _answer(client)
            await asyncio.sleep(_TICK_S)
        await loop.sock_sendall(client.sock, frame(_CLOSE, (1000).to_bytes(2, "big") + b"that was all"))

    async def _parts(self) -> AsyncGenerator[memoryview]:
        """Yield blocks as fast as they are taken, or what the rate has due every few milliseconds."""
        loop = asyncio.get_running_loop()
        began, before = loop.time(), self.sent
        block, block_at = memoryview(b""), -1
        while self.sent < self.messages:
            due = self.messages
            if self.rate is not None:
                due = min(due, before + round((loop.time() - began) * self.rate))
            at, offset = divmod(self.sent, _BLOCK)
            if at != block_at:
                block, block_at = self.trades.build(at * _BLOCK, time.time_ns() // 1_000_000), at
            take = min(due - self.sent, _BLOCK - offset)
            if take > 0:
                size = len(block) // _BLOCK
                self.sent += take
                yield block[offset * size : (offset + take) * size]
            if self.rate is not None and self.sent >= due:
                await asyncio.sleep(_TICK_S)


async def _answer(client: Client) -> None:
    while client.answers:
        await asyncio.get_running_loop().sock_sendall(client.sock, client.answers.pop(0))


async def _shake_hands(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    request = b""
    while b"\r\n\r\n" not in request:
        data = await loop.sock_recv(sock, 65_536)
        if not data:
            raise ConnectionError("gone before it asked for anything")
        request += data
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    if not key:
        raise ConnectionError("that is no WebSocket client")
    accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    await loop.sock_sendall(sock, head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


async def run(port: int, symbols: list[str], flood: Flood) -> None:
    """Serve one client after the other until all is sent, or nobody has come for a while."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        print(json.dumps({"url": url, "symbols": symbols}), flush=True)
        while flood.sent < flood.messages:
            try:
                sock, _ = await asyncio.wait_for(loop.sock_accept(listener), _IDLE_S)
            except TimeoutError:
                return
            with sock, suppress(ConnectionError):
                sock.settimeout(0)
                await flood.serve(sock)


@click.command(help=__doc__)
@click.option("--port", type=int, default=0, show_default="any that is free")
@click.option("--messages", type=int, default=1_000_000, show_default=True)
@click.option("--rate", type=float, help="Messages a second; as many as the client takes if left out.")
@click.option("--symbols", type=click.IntRange(1, 686), default=10, show_default=True)
@click.option("--plain", is_flag=True, help="Events as /ws sends them, without the name of the stream.")
def main(port: int, messages: int, rate: float | None, symbols: int, plain: bool) -> None:  # noqa: FBT001 - click's way
    """Serve the flood."""
    listed = names(symbols)
    asyncio.run(run(port, listed, Flood(Trades(listed, plain=plain), messages, rate)))


if __name__ == "__main__":
    main()
