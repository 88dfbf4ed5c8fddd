"""One request at a time over HTTP: paid for from the budget, sent, and judged by the exchange file.

There is one client of one connection for every request that may be under way. A client with many connections
looks at each of them several times per request: at 32 of them that took twice the CPU of all the rest.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Final, Protocol
from urllib.parse import urlencode

import httpx

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Exchange, Request, Response
from dccd_core.domain.errors import Banned, ConfigError, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import SECOND, Us, moment
from dccd_core.net.clock import Clock, SystemClock
from dccd_core.net.ratelimit.limiter import RateLimiters
from dccd_core.net.ratelimit.sharedwindow import Booking
from dccd_core.net.tls import tls_trouble

DEFAULT_SHARE: Final = 0.95
"""The share of a venue's limits to spend; the rest is for other programs behind the same address."""
_BOM: Final = b"\xef\xbb\xbf"
_BAN_S: Final = 60.0
"""How long the breaker stays open when the venue does not say."""
_TROUBLE: Final = "the network or the venue has trouble: run it again later"
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_ONE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0)


class Transport(Protocol):
    async def send(self, request: Request) -> Response:
        """Return a good answer, or raise what the answer means."""
        ...


class HttpTransport:
    """Sends requests of one exchange; ``requests`` and ``weight`` count what went out.

    Args:
        exchange: judges answers and reads the venue's count from them.
        clients: one for each request that may be under way at once.
        budgets: what pays.
        clock: the wall clock.
        rest_url: replaces scheme, host and prefix of the exchange's.
    """

    def __init__(
        self,
        exchange: Exchange,
        clients: Sequence[httpx.AsyncClient],
        budgets: RateLimiters,
        clock: Clock,
        *,
        rest_url: str | None = None,
    ) -> None:
        self.requests = 0
        self.weight = 0
        self._exchange = exchange
        self._idle = asyncio.LifoQueue[httpx.AsyncClient]()
        for client in clients:
            self._idle.put_nowait(client)
        self._going = set[asyncio.Task[Response]]()
        self._budgets = budgets
        self._clock = clock
        self._override = rest_url

    def __str__(self) -> str:
        sent = f"{self.requests} requests of weight {self.weight} to {self._base()}"
        return f"{sent}, held back {self.waited_s:.1f} s by the rate budget"

    @property
    def waited_s(self) -> float:
        """How long the budget held requests back; those that waited together count once."""
        return self._budgets.waited_s

    async def send(self, request: Request) -> Response:
        """Send one request and return its good answer.

        A client is taken before the weight is booked: so what is booked goes out at once. Of those who pay
        from one budget only the first in the line holds a client while it waits.

        Raises:
            Throttled, Banned: the venue shut us out, for the breaker and so for every process.
            Unavailable: no whole answer came.
            DccdError: whatever else the exchange's ``verdict`` says.
        """
        async with self._budgets.of(request).turn:
            client = await self._idle.get()
            try:
                booking = await self._budgets.spend(request)
            except BaseException:
                self._idle.put_nowait(client)
                raise
        # Who asked may be cancelled, the request never is: httpcore 1.0.9 can lose a connection that way.
        going = asyncio.create_task(self._pay_off(client, booking, request))
        self._going.add(going)
        going.add_done_callback(self._over)
        response = await asyncio.shield(going)
        self._judge(response, request)
        return response

    async def close(self) -> None:
        """Give up the requests that nobody waits for any more."""
        for going in self._going:
            going.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    def _over(self, gone: asyncio.Task[Response]) -> None:
        self._going.discard(gone)
        if not gone.cancelled():
            gone.exception()  # looked at, or asyncio complains when nobody waited for it

    async def _pay_off(self, client: httpx.AsyncClient, booking: Booking, request: Request) -> Response:
        try:
            self.requests += 1
            self.weight += request.weight
            response = await self._get(client, request)
            self._learn(booking, request, response)
        finally:
            self._idle.put_nowait(client)
        return response

    async def _get(self, client: httpx.AsyncClient, request: Request) -> Response:
        query = f"?{urlencode(request.params)}" if request.params else ""
        base = self._base(request.host)
        try:
            answer = await client.get(f"{base}{request.path}{query}")
        except httpx.RequestError as e:
            said, hint = tls_trouble(e) or (f"{type(e).__name__} {e}", _TROUBLE)
            asked = f"asking {httpx.URL(base).netloc.decode()} for {request.path}"
            raise Unavailable(f"{said} {asked}", hint=hint) from e
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers.raw
        }
        body = answer.content.removeprefix(_BOM)
        return Response(answer.status_code, headers, body, self._clock.now())

    def _base(self, host: str = "") -> str:
        return (self._override or host or self._exchange.rest_url).rstrip("/")

    def _learn(self, booking: Booking, request: Request, response: Response) -> None:
        used = self._exchange.used(response.headers) if self._exchange.used else None
        at = response.received if used is None else response.venue_time
        self._budgets.of(request).learn(booking, used, at)

    def _judge(self, response: Response, request: Request) -> None:
        if 300 <= response.status < 400:
            raise Rejected(
                f"HTTP {response.status}: {request.path} redirects to {response.headers.get('location')}",
                hint="set rest_url to where the venue answers itself, or see what stands in between",
            )
        error = self._exchange.verdict(response)
        if isinstance(error, Throttled):
            error.wait_s = min(max(0.0, _BAN_S if error.wait_s is None else error.wait_s), wire.LONGEST_S)
            if doubt := wire.doubt(response):
                error.hint = f"{error.hint}; {doubt}" if error.hint else doubt
            wait_s = error.wait_s
            until = Us(response.received + round(wait_s * SECOND))
            self._budgets.trip(request, until, str(error), banned=isinstance(error, Banned))
        if error is not None:
            raise error


@asynccontextmanager
async def open_transport(
    exchange: Exchange,
    *,
    rest_url: str | None = None,
    share: float = DEFAULT_SHARE,
    clock: Clock | None = None,
    max_in_flight: int = 32,
    patience_s: float = 120.0,
) -> AsyncGenerator[HttpTransport]:
    """Open the way to an exchange, on the budget that all processes of this machine share.

    Args:
        exchange: the venue.
        rest_url: replaces scheme, host and prefix of the venue's; its paths follow.
        share: how much of the venue's rate limits this machine may spend.
        clock: the wall clock; the system's if None.
        max_in_flight: requests that may be under way at once.
        patience_s: how long a request waits for an open breaker before it fails instead.

    Raises:
        ConfigError: ``rest_url`` is no http address, or ``share`` no share, or the exchange has closed.
    """
    clock = clock or SystemClock()
    url = rest_url or exchange.rest_url
    _check(url)
    if exchange.closed and rest_url is None and clock.now() >= exchange.closed:
        raise ConfigError(
            f"{exchange.title} closed on {moment(exchange.closed):%Y-%m-%d}",
            hint=f"set exchanges.{exchange.name}.rest_url to a server that still has its history",
        )
    budgets = RateLimiters(exchange, url, share, clock, patience_s=patience_s)
    agent = {"user-agent": f"dccd/{version('dccd')}"}
    trust = httpx.create_ssl_context()
    try:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    httpx.AsyncClient(limits=_ONE, timeout=_TIMEOUT, headers=agent, verify=trust)
                )
                for _ in range(max_in_flight)
            ]
            transport = HttpTransport(exchange, clients, budgets, clock, rest_url=rest_url)
            stack.push_async_callback(transport.close)
            yield transport
    finally:
        budgets.close()


def _check(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as e:
        raise ConfigError(f"rest_url {url!r} is no address: {e}", hint="write it like https://host") from e
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"rest_url {url!r} is no http address", hint="write it like https://host")
