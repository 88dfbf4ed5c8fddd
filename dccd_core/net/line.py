"""How the bytes of HTTP get to a venue and back: asyncio's own transports, under httpx and its parser.

httpx reaches its network through anyio, which serves other event loops, too: that takes a third of a page's
CPU. What is asked, what an answer means and when a connection is used again stays with httpx and httpcore.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Final
from urllib.request import getproxies

import httpcore
import httpx

_MOST: Final = 1 << 18
"""As soon as so many bytes wait to be read, nothing more is taken from the wire: TCP holds the venue back."""
_NEXT_ADDRESS_S: Final = 0.25
"""How long one address of a host is tried before the next one is tried besides."""
_ONE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0)


class Line(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """One connection. What was received before it broke off is read before the error is raised."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._came = bytearray()
        self._over = False
        self._failure: Exception | None = None
        self._paused = False
        self._reading: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) >= _MOST and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over, self._failure = True, exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _wake(self) -> None:
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 -- httpcore's
        """Return what came, nothing once the other side has hung up.

        It may be more than ``max_bytes``: the parser takes any amount, and in parts a page costs more.
        """
        del max_bytes
        if not self._came and not self._over:
            self._reading = self._loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._reading
            except TimeoutError as e:
                raise httpcore.ReadTimeout from e
            finally:
                self._reading = None
        if not self._came and self._failure:
            raise httpcore.ReadError(str(self._failure)) from self._failure
        some = bytes(self._came)
        self._came.clear()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return some

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- httpcore's
        if self._over:
            raise httpcore.WriteError(str(self._failure or "")) from self._failure
        self._transport.write(buffer)
        if self._writable.is_set():
            return
        try:
            async with asyncio.timeout(timeout):
                await self._writable.wait()
        except TimeoutError as e:
            raise httpcore.WriteTimeout from e
        if self._failure:
            raise httpcore.WriteError(str(self._failure)) from self._failure

    async def aclose(self) -> None:
        """Hang up. Nothing is waited for: whatever had to come over this line has come."""
        self._transport.abort()
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- httpcore's
    ) -> httpcore.AsyncNetworkStream:
        raw = self._transport
        try:
            async with asyncio.timeout(timeout):
                under_tls = await self._loop.start_tls(
                    raw, self, ssl_context, server_hostname=server_hostname
                )
        except BaseException as e:
            raw.abort()
            if isinstance(e, TimeoutError):
                raise httpcore.ConnectTimeout from e
            if isinstance(e, OSError):
                raise httpcore.ConnectError(str(e)) from e
            raise
        assert under_tls is not None
        self._transport = under_tls
        return self

    def get_extra_info(self, info: str) -> object:
        told = self._transport.get_extra_info
        match info:
            case "is_readable":
                return self._over or bool(self._came) or _has_news(told("socket"))
            case "client_addr":
                return told("sockname")
            case "server_addr":
                return told("peername")
            case _:
                return told(info)


def _has_news(sock: socket.socket) -> bool:
    """Tell whether something came that the event loop has not seen yet; mostly the end."""
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class _Lines(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del local_address, socket_options  # nobody here has any
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, line = await loop.create_connection(Line, host, port, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        except TimeoutError as e:
            raise httpcore.ConnectTimeout from e
        except OSError as e:
            raise httpcore.ConnectError(str(e)) from e
        return line


class _Way(httpx.AsyncHTTPTransport):
    """httpx's transport over one connection at a time, which is one of ours."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=_ONE.max_connections,
            max_keepalive_connections=_ONE.max_keepalive_connections,
            keepalive_expiry=_ONE.keepalive_expiry,
            network_backend=_Lines(),
        )


def open_client(trust: ssl.SSLContext, headers: dict[str, str], patience: httpx.Timeout) -> httpx.AsyncClient:
    """Return a client of one connection. Where the environment names proxies, httpx finds its own way."""
    way = None if getproxies() else _Way(trust)
    return httpx.AsyncClient(transport=way, limits=_ONE, timeout=patience, headers=headers, verify=trust)
