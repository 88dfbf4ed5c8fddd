"""Opening a WebSocket: to find the host, to be believed, to be let in; and what it means if one is not.

What is done here by hand picows leaves open: see docs/decisions/0010.
"""

import asyncio
import logging
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

import httpx
import picows

from dccd_core.adapter.contract import Response
from dccd_core.adapter.wire import beginning, retry_after
from dccd_core.domain.errors import Banned, ConfigError, ExchangeError, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import Us
from dccd_core.net.clock import Clock
from dccd_core.net.tls import tls_trouble

_UNACKNOWLEDGED_MS: Final = 30_000
"""How long what we sent may go unacknowledged before the system gives the connection up."""
_STATUS_LINE: Final = re.compile(r"HTTP/1\.[01] (\d{3})(?: .*)?")
_TROUBLE: Final = "the network or the venue has trouble: try again later"
_LIKE: Final = "write it like wss://host/path"
_LOG: Final = logging.getLogger(f"{__name__}.picows")
_LOG.setLevel(logging.CRITICAL)  # what matters of it is in the errors that are raised


@dataclass(frozen=True, slots=True)
class Address:
    """Where a WebSocket is."""

    url: str
    host: str
    port: int
    secure: bool

    @classmethod
    def of(cls, url: str) -> "Address":
        """Read ``ws://host/path`` or ``wss://host/path``.

        Raises:
            ConfigError: it is no such address.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as e:
            raise ConfigError(f"{url!r} is no address: {e}", hint=_LIKE) from e
        if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.fragment:
            raise ConfigError(f"{url!r} is no WebSocket address", hint=_LIKE)
        secure = parts.scheme == "wss"
        return cls(url, parts.hostname, port or (443 if secure else 80), secure)


async def shake_hands(
    address: Address, listener: picows.WSListener, clock: Clock, *, max_bytes: int, patience_s: float
) -> None:
    """Open a WebSocket of which ``listener`` is told; if that fails or is cancelled, nothing stays open.

    Args:
        address: where.
        listener: is told of what comes, first that the connection is there.
        clock: the wall clock.
        max_bytes: how long a frame may be.
        patience_s: how long to wait for the connection.

    Raises:
        Banned, Throttled, Rejected: the venue does not let us in.
        Unavailable: nobody answers there, or what answers speaks no WebSocket.
    """
    host = address.host
    try:
        async with asyncio.timeout(patience_s):
            sock = await _dial(address, patience_s)
            await _upgrade(address, sock, listener, max_bytes)
    except picows.WSHandshakeError as e:
        raise _refusal(host, e, clock.now()) from e
    except TimeoutError as e:
        raise Unavailable(f"{host} did not answer within {patience_s:g} s", hint=_TROUBLE) from e
    except OSError as e:
        if tls := tls_trouble(e):
            raise Unavailable(f"{host}: {tls[0]}", hint=tls[1]) from e
        raise Unavailable(f"{host} cannot be reached: {e or type(e).__name__}", hint=_TROUBLE) from e


async def _dial(address: Address, patience_s: float) -> socket.socket:
    """Return a socket that is connected; the addresses of the host are tried in turn, each for its share."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    failure = OSError("it has no address")
    for family, kind, proto, _, place in found:
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(0)
            async with asyncio.timeout(patience_s / len(found)):
                await loop.sock_connect(sock, place)
        except OSError as e:
            sock.close()
            failure = e
        except BaseException:
            sock.close()
            raise
        else:
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
            return sock
    raise failure


async def _upgrade(
    address: Address, sock: socket.socket, listener: picows.WSListener, max_bytes: int
) -> None:
    """Make a WebSocket of ``sock``; if that fails or is cancelled, nothing stays open.

    picows leaves the connection open when it is cancelled meanwhile, so it is not: the line is cut instead.
    """
    opening = asyncio.create_task(
        picows.ws_connect(
            lambda _request, _response: listener,
            address.url,
            ssl_context=_trust() if address.secure else None,
            websocket_handshake_timeout=None,
            logger_name=_LOG,
            enable_auto_pong=False,  # or the listener hears of no ping, which is a sign of life
            max_frame_size=max_bytes,
            extra_headers={"User-Agent": f"dccd/{version('dccd')}"},
            max_redirects=0,
            socket_factory=lambda _: sock,
        )
    )
    try:
        _, listening = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await _cut(sock, opening)
        raise
    if listening is not listener:  # there is none if it was not asked for
        raise ConnectionResetError("it hung up instead of an answer")


@cache
def _trust() -> ssl.SSLContext:
    """Return whom the system trusts, as for HTTP; to read that takes 20 ms, so it is done once."""
    return httpx.create_ssl_context()


async def _cut(
    sock: socket.socket, opening: asyncio.Task[tuple[picows.WSTransport, picows.WSListener]]
) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError, picows.WSError):
        transport, _ = await opening
        await transport.wait_disconnected()


def _refusal(host: str, error: picows.WSHandshakeError, now: Us) -> ExchangeError:
    """Return what an answer means that is not the one to a handshake."""
    answer = _answer(error, now)
    if answer is None or answer.status < 300:
        what = f"{error} (HTTP {answer.status})" if answer else str(error)
        return Unavailable(f"{host} answers, but speaks no WebSocket: {what}", hint=_TROUBLE)
    said = f"{host} does not let us in: HTTP {answer.status} {beginning(answer.body)}".rstrip()
    if answer.status >= 500:
        return Unavailable(said, hint=_TROUBLE)
    if answer.status == 429:
        return Throttled(said, wait_s=retry_after(answer), hint="wait; more connections make it longer")
    if answer.status in (403, 418):
        return Banned(
            said, wait_s=retry_after(answer), hint="wait, or see whether the venue serves your country"
        )
    if answer.status < 400:
        said = f"{said} redirects to {answer.headers.get('location')}"
    return Rejected(said, hint="see whether the address of the WebSocket is right")


def _answer(error: picows.WSHandshakeError, now: Us) -> Response | None:
    """Read the answer anew: picows knows no status that Python has no name for, such as a proxy's 520."""
    status, *lines = (error.raw_header or b"").decode("latin-1").split("\r\n")
    found = _STATUS_LINE.fullmatch(status)
    if not found:
        return None
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Response(int(found[1]), headers, error.raw_body or b"", now)
