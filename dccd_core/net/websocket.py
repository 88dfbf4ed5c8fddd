"""One WebSocket connection: messages come in batches, each with the moment it was read, and errors are typed.

It rests on picows (docs/decisions/0010). What the messages mean, when to connect again and whether the other
side has been silent for too long is decided elsewhere. Memory is bounded: while too much waits to be taken,
nothing more is read, and TCP holds the venue back.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, NoReturn, Protocol

import picows

from dccd_core.domain.errors import Unavailable
from dccd_core.domain.timespan import Us
from dccd_core.net.clock import Clock
from dccd_core.net.handshake import Address, shake_hands

MAX_WAITING: Final = 50_000
"""As soon as so many messages wait to be taken, reading pauses; so it does at ``MAX_BYTES``."""
AT_ONCE: Final = 4_000
"""So many messages are handed over at once: taken apart in tens of thousands each costs nearly twice as much,
and a hundred megabytes, as they do not fit into a processor's caches."""
MAX_BYTES: Final = 64 * 2**20
"""A message may be as long, too."""
_GOODBYE_S: Final = 2.0
_TEXT: Final = picows.WSMsgType.TEXT
_AGAIN: Final = "connect again, and mind the venue's limits of connections if this repeats"


class Disconnected(Unavailable):
    """The connection is over; the message says why, in the other side's words if it said so."""


class Socket(Protocol):
    """A connection that is open, or was. One caller at a time may ``receive``."""

    @property
    def heard(self) -> Us:
        """When anything at all was last received: a message, a ping or the answer to one of ours."""
        ...

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        """Wait for messages, and return what has come, oldest first, with the moments they were read.

        It waits a little after the first one, so that many become one batch, of ``AT_ONCE`` at most. Messages
        that came before the end of the connection are handed over before the error is raised.

        Raises:
            Disconnected: nothing more will come.
        """
        ...

    async def send(self, message: bytes) -> None:
        """Send a text message.

        Raises:
            Disconnected: it cannot be sent any more.
        """
        ...


class _Connection(picows.WSListener):
    """Keeps what comes until it is taken.

    ``on_ws_frame`` runs for every message, so it does little: what can wait is done once for all the frames
    that were read at once, and these also share one moment, because that is when they were read.
    """

    def __init__(self, host: str, clock: Clock, gather_s: float) -> None:
        self.heard = clock.now()
        self._host = host
        self._now = clock.now
        self._gather_s = gather_s
        self._loop = asyncio.get_running_loop()
        self._transport: picows.WSTransport | None = None
        self._messages = list[bytes]()
        self._moments = list[Us]()
        self._size = 0
        self._part: bytearray | None = None
        self._read_anew = True
        self._gathering: asyncio.TimerHandle | None = None
        self._paused = False
        self._over: str | None = None
        self._ready = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        if self._ready.is_set():
            await asyncio.sleep(0)  # others take their turn before what is left of a crowd
        await self._ready.wait()
        if not self._messages:
            self._raise_over()
        messages, moments = self._messages[:AT_ONCE], self._moments[:AT_ONCE]
        del self._messages[:AT_ONCE], self._moments[:AT_ONCE]
        self._size -= sum(map(len, messages))
        if not self._messages:
            if self._over is None:
                self._ready.clear()
            self._stop_gathering()
            self._read_on()
        return messages, moments

    async def send(self, message: bytes) -> None:
        if self._over is None:
            self._transport_().send(_TEXT, message)
            await self._writable.wait()
        if self._over is not None:
            self._raise_over()

    async def keep_asking(self, every_s: float) -> NoReturn:
        """Send a ping whenever nothing came for a while: what died without a word is found out that way."""
        while True:
            before = self.heard
            await asyncio.sleep(every_s)
            if self.heard == before:
                self._transport_().send_ping()

    async def close(self) -> None:
        """Say goodbye and wait for the answer, but not for long."""
        transport = self._transport_()
        self._end(f"the connection to {self._host} was closed on our side")
        self._messages, self._moments = [], []
        self._read_on()
        transport.send_close(picows.WSCloseCode.OK)
        gone = asyncio.gather(transport.wait_disconnected(), return_exceptions=True)
        try:
            await asyncio.wait([gone], timeout=_GOODBYE_S)
        finally:
            transport.disconnect(graceful=False)
            await gone

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if self._read_anew:
            self.heard = self._now()
        if frame.msg_type is _TEXT and frame.fin and self._part is None and self._over is None:
            message = frame.get_payload_as_bytes()
            self._messages.append(message)
            self._moments.append(self.heard)
            self._size += len(message)
        else:
            self._on_rarer_frame(transport, frame)
        self._read_anew = frame.last_in_buffer
        if self._read_anew and self._messages and self._over is None:
            self._after_read(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        sent = transport.close_handshake.sent if transport.close_handshake else None
        if sent is not None:  # not by ``close``, so by picows: it could not make sense of what came
            self._end(f"{self._host} did not keep to the WebSocket protocol: {sent.reason}")
        self._end(f"the connection to {self._host} broke off without a goodbye")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _on_rarer_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        match frame.msg_type:
            case picows.WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            case picows.WSMsgType.PONG:
                pass
            case picows.WSMsgType.CLOSE:
                self._on_close(transport, frame)
            case _ if self._over is None:
                self._on_part(transport, frame)
            case _:
                pass

    def _on_close(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self._end(f"{self._host} closed the connection: {_why(frame)}")
        transport.send_close(picows.WSCloseCode.OK)
        transport.disconnect()

    def _on_part(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Put messages together that come in several frames. Binary ones are handed over like others."""
        if (self._part is None) is (frame.msg_type is picows.WSMsgType.CONTINUATION):
            self._break_off(transport, picows.WSCloseCode.PROTOCOL_ERROR, "parts of messages came mixed up")
            return
        part = bytearray() if self._part is None else self._part
        part += frame.get_payload_as_memoryview()
        if len(part) > MAX_BYTES:
            self._break_off(
                transport, picows.WSCloseCode.MESSAGE_TOO_BIG, f"a message beyond {MAX_BYTES} bytes"
            )
            return
        self._part = None if frame.fin else part
        if frame.fin:
            self._messages.append(bytes(part))
            self._moments.append(self.heard)
            self._size += len(part)

    def _break_off(self, transport: picows.WSTransport, code: picows.WSCloseCode, why: str) -> None:
        self._end(f"{self._host} did not keep to the WebSocket protocol: {why}")
        transport.send_close(code, why)
        transport.disconnect()

    def _after_read(self, transport: picows.WSTransport) -> None:
        if self._gathering is None:
            self._gathering = self._loop.call_later(self._gather_s, self._ready.set)
        if len(self._messages) >= MAX_WAITING or self._size >= MAX_BYTES:
            self._ready.set()
            self._paused = True
            transport.underlying_transport.pause_reading()

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            self._transport_().underlying_transport.resume_reading()

    def _stop_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _end(self, why: str) -> None:
        """Take nothing more, and wake up who waits; the first reason counts."""
        if self._over is None:
            self._over = why
            self._part = None
            self._stop_gathering()
            self._ready.set()
            self._writable.set()

    def _raise_over(self) -> NoReturn:
        assert self._over is not None
        raise Disconnected(self._over, hint=_AGAIN)

    def _transport_(self) -> picows.WSTransport:
        assert self._transport is not None
        return self._transport


def _why(close: picows.WSFrame) -> str:
    payload = close.get_payload_as_bytes()
    if not payload:
        return "it did not say why"
    code = int.from_bytes(payload[:2], "big")
    name = close.get_close_code().name or "a code of its own"  # picows has no names for some
    return f"{code} {name.lower().replace('_', ' ')} {payload[2:].decode(errors='replace')!r}"


@asynccontextmanager
async def connect(
    url: str,
    clock: Clock,
    *,
    gather_s: float = 0.01,
    ping_every_s: float = 15.0,
    patience_s: float = 10.0,
) -> AsyncGenerator[Socket]:
    """Open a connection, and close it in the end.

    Args:
        url: where, ``ws://`` or ``wss://``.
        clock: the wall clock that says when a message was read.
        gather_s: how long to wait after a message for more of them.
        ping_every_s: how long nothing has to come before the other side is asked for a sign of life.
        patience_s: how long to wait for the connection.

    Raises:
        ConfigError: ``url`` is no such address.
        Banned, Throttled, Rejected: the venue does not let us in.
        Unavailable: nobody answers there, or what answers speaks no WebSocket.
    """
    address = Address.of(url)
    connection = _Connection(address.host, clock, gather_s)
    await shake_hands(address, connection, clock, max_bytes=MAX_BYTES, patience_s=patience_s)
    asking = asyncio.create_task(connection.keep_asking(ping_every_s))
    try:
        yield connection
    finally:
        asking.cancel()
        await connection.close()
        await asyncio.gather(asking, return_exceptions=True)
