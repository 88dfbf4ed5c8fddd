"""The way to an exchange's WebSocket: each connection is paid for from what all processes may open."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from dccd_core.adapter.contract import Exchange, Request
from dccd_core.domain.errors import Banned, ConfigError, Throttled
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.net.clock import Clock, SystemClock
from dccd_core.net.ratelimit.limiter import RateLimiters

if TYPE_CHECKING:
    from dccd_core.net.websocket import Socket

Connect: TypeAlias = "Callable[[str], AbstractAsyncContextManager[Socket]]"
"""Opens a connection to a venue's own address; closes it in the end."""

_BAN_S = 60


class Way:
    """A ``Connect`` that knows where it really leads.

    Args:
        connect: opens a connection.
        at: gives the address that is dialled instead of a venue's own.
    """

    def __init__(self, connect: Connect, at: Callable[[str], str]) -> None:
        self._connect, self._at = connect, at

    def __call__(self, url: str) -> "AbstractAsyncContextManager[Socket]":
        return self._connect(url)

    def at(self, url: str) -> str:
        """Return the address that is dialled, as it may be shown: without a user and a password."""
        parts = urlsplit(self._at(url))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def dialled(connect: Connect, url: str) -> str:
    """Return where a connection to a venue's address really goes, as far as that is known."""
    return connect.at(url) if isinstance(connect, Way) else url


@contextmanager
def open_sockets(
    exchange: Exchange, *, ws_url: str | None = None, share: float = 1.0, clock: Clock | None = None
) -> Generator[Connect]:
    """Open the way to an exchange's WebSocket.

    Args:
        exchange: the venue.
        ws_url: replaces scheme, host and prefix of the venue's addresses; their paths follow.
        share: how many of the connections that the venue allows this machine may open.
        clock: the wall clock; the system's if None.

    Raises:
        ConfigError: the exchange has no WebSocket.
    """
    from dccd_core.net.websocket import connect  # noqa: PLC0415 -- many name a way, few open one

    live, clock = exchange.live, clock or SystemClock()
    if live is None:
        raise ConfigError(f"{exchange.title} pushes nothing", hint="collect it instead")
    limit = replace(live.connects, pool="")
    budgets = RateLimiters(
        replace(exchange, name=f"{exchange.name}-connects", limits=(limit,)),
        ws_url or exchange.rest_url,
        share,
        clock,
        patience_s=600.0,
    )

    def address(url: str) -> str:
        return rebased(url, ws_url) if ws_url else url

    @asynccontextmanager
    async def opened(url: str) -> "AsyncGenerator[Socket]":
        async with AsyncExitStack() as stack:
            yield await _enter(stack, url)

    async def _enter(stack: AsyncExitStack, url: str) -> "Socket":
        request = Request(url, {})
        booking = await budgets.spend(request)
        try:
            socket = await stack.enter_async_context(connect(address(url), clock))
        except Throttled as e:
            until = Us(clock.now() + round((_BAN_S if e.wait_s is None else e.wait_s) * SECOND))
            budgets.trip(request, until, str(e), banned=isinstance(e, Banned))
            raise
        budgets.of(request).learn(booking, None, clock.now())
        return socket

    try:
        yield Way(opened, address)
    finally:
        budgets.close()


def rebased(url: str, prefix: str) -> str:
    """Return ``url`` with another scheme, host and prefix.

    >>> rebased("wss://stream.example.org:9443/ws?x=1", "ws://127.0.0.1:8900/binance")
    'ws://127.0.0.1:8900/binance/ws?x=1'
    """
    parts = urlsplit(url)
    return prefix.rstrip("/") + parts._replace(scheme="", netloc="").geturl()
