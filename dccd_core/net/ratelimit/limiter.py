"""Waits until the machine's shared window allows a request, and holds all back when a venue shuts us out.

The file work is done in line: a fraction of a millisecond, less than handing it to a thread costs.
"""

import asyncio
import logging
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import httpx

from dccd_core.adapter.contract import Exchange, Limit, Request
from dccd_core.domain.errors import Banned, ConfigError
from dccd_core.domain.places import state_dir
from dccd_core.domain.timespan import SECOND, Us, iso
from dccd_core.net.clock import Clock
from dccd_core.net.ratelimit.sharedwindow import Booking, BreakerOpen, SharedWindow

_LOG: Final = logging.getLogger(__name__)
_BREAKER_ONLY: Final = Limit(10**9, SECOND)


def budget_name(exchange: str, rest_url: str, pool: str = "", market: str = "") -> str:
    """Name the file of a budget: one per exchange and host, so that a sandbox does not spend the venue's.

    >>> budget_name("binance", "http://127.0.0.1:8900/binance")
    'binance-127.0.0.1_8900.sqlite'
    >>> budget_name("kraken", "https://api.kraken.com", "candles", "XBTUSD")
    'kraken-api.kraken.com-candles-XBTUSD.sqlite'
    """
    host = httpx.URL(rest_url).netloc.decode()
    parts = [re.sub(r"[^\w.-]", "_", part) for part in (exchange, host, pool, market) if part]
    return f"{'-'.join(parts)}.sqlite"


def open_breakers(exchange: Exchange, rest_url: str | None, clock: Clock) -> list[BreakerOpen]:
    """Return which budgets of an exchange let nobody of this machine ask at present, the longest first.

    Nothing is made, and nothing waits: a file that cannot be read tells nothing.
    """
    main = budget_name(exchange.name, rest_url or exchange.rest_url).removesuffix(".sqlite")
    found = dict[str, BreakerOpen]()
    for path in state_dir().glob(f"{main}*.sqlite"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            until, reason = database.execute("SELECT until, reason FROM breaker").fetchone()
            if clock.now() < until:
                found[path.name] = BreakerOpen(until, reason)
    return sorted(found.values(), key=lambda breaker: -breaker.until)


class RateLimiter:
    """The share of an exchange's rate limits that this machine may spend.

    Safe for any number of processes and coroutines. ``waited_s`` sums up how long this process was held
    back, counting coroutines that waited together once.

    Args:
        path: the file that all processes share.
        limits: the venue's; the first is the one that ``learn`` is told about.
        share: how much of them, above 0 and at most 1.
        clock: the wall clock.
        patience_s: how long a request waits for the breaker to close before it fails instead.
    """

    def __init__(
        self,
        path: Path,
        limits: tuple[Limit, ...],
        share: float,
        clock: Clock,
        *,
        patience_s: float = 120.0,
    ) -> None:
        self.waited_s = 0.0
        self._window = SharedWindow(path, limits, share, clock)
        self._clock = clock
        self._patience_s = patience_s
        self.turn: Final = asyncio.Lock()
        """Whose turn it is to look for a free connection: the others of this budget hold none meanwhile."""
        self._queue = asyncio.Lock()

    def close(self) -> None:
        self._window.close()

    async def outlast_breaker(self) -> None:
        """Wait while the breaker is open.

        Raises:
            Banned: it is open for longer than ``patience_s``.
        """
        while breaker := self._window.breaker():
            await self._outlast(breaker)

    async def spend(self, weight: int) -> Booking:
        """Wait until ``weight`` is allowed, and book it. Send at once what was booked.

        Raises:
            ConfigError: it would never be allowed.
            Banned: the breaker is open for longer than ``patience_s``.
            Unavailable: the shared file cannot be used.
        """
        self._refuse_excess(weight)
        place: int | None = None
        async with self._queue:
            try:
                while not isinstance(answer := self._window.book(weight, place), Booking):
                    if isinstance(answer, BreakerOpen):
                        await self._outlast(answer)
                    else:
                        place = answer.place
                        await self._sleep_until(answer.ready)
            except BaseException:
                if place is not None:
                    self._window.leave(place)
                raise
        return answer

    def learn(self, booking: Booking, used: int | None, at: Us) -> None:
        """Tell that a booking was answered, and what the venue counted in its current period, if it said.

        What is never told weighs a little longer; so a request that failed may be left alone.

        Args:
            booking: what ``spend`` gave.
            used: the venue's count as of this answer.
            at: the VENUE's time of the answer; it may be cut to whole seconds.
        """
        self._window.settle(booking, used, at)

    def trip(self, until: Us, reason: str) -> None:
        """Open the breaker for all processes until then; it is never closed earlier than said before."""
        if until > self._clock.now() and self._window.trip(until, reason):
            _LOG.warning("no request goes out before %s: %s", iso(until), reason)

    def _refuse_excess(self, weight: int) -> None:
        for cap in self._window.caps:
            if weight > cap.amount:
                raise ConfigError(
                    f"a request of weight {weight} never fits {cap.amount} per {cap.period / SECOND:g} s",
                    hint="raise the exchange's budget in dccd.yaml, or ask for less at once",
                )

    async def _outlast(self, breaker: BreakerOpen) -> None:
        left_s = (breaker.until - self._clock.now()) / SECOND
        if left_s > self._patience_s:
            raise Banned(
                f"{breaker.reason} - no request goes out before {iso(breaker.until)}",
                wait_s=left_s,
                hint="wait until then; asking on would make it longer",
            )
        await self._sleep_until(breaker.until)

    async def _sleep_until(self, moment: Us) -> None:
        seconds = max(0.0, (moment - self._clock.now()) / SECOND)
        self.waited_s += seconds
        await self._clock.sleep(seconds)


class RateLimiters:
    """The budgets of an exchange: one for each pool of its limits, of some pools one per market.

    All obey the breaker of the exchange's main budget, which is that of the pool without a name; a ban
    opens that one, a broken limit only its own. ``folder`` holds the files; ``state_dir()`` if None.
    """

    def __init__(
        self,
        exchange: Exchange,
        rest_url: str,
        share: float,
        clock: Clock,
        *,
        patience_s: float = 120.0,
        folder: Path | None = None,
    ) -> None:
        self._folder = folder or state_dir()
        self._exchange = exchange
        self._rest_url = rest_url
        self._share = share
        self._clock = clock
        self._patience_s = patience_s
        self._open = dict[tuple[str, str], RateLimiter]()
        self._main = self._budget("", "")

    @property
    def waited_s(self) -> float:
        return sum(budget.waited_s for budget in self._open.values())

    def close(self) -> None:
        for budget in self._open.values():
            budget.close()

    def of(self, request: Request) -> RateLimiter:
        """Return the budget that pays for ``request``."""
        return self._budget(request.pool, request.market)

    async def spend(self, request: Request) -> Booking:
        """Wait until ``request`` is allowed, and book it; see ``RateLimiter.spend``."""
        budget = self.of(request)
        if budget is not self._main:
            await self._main.outlast_breaker()
        return await budget.spend(request.weight)

    def trip(self, request: Request, until: Us, reason: str, *, banned: bool) -> None:
        """Open the breaker of the budget of ``request``, after a ban that of the whole exchange."""
        (self._main if banned else self.of(request)).trip(until, reason)

    def _budget(self, pool: str, market: str) -> RateLimiter:
        key = pool, market
        if key not in self._open:
            limits = tuple(limit for limit in self._exchange.limits if limit.pool == pool)
            assert limits or not pool, f"{self._exchange.name} has no limits for {pool!r}"
            self._open[key] = RateLimiter(
                self._folder / budget_name(self._exchange.name, self._rest_url, pool, market),
                limits or (_BREAKER_ONLY,),
                self._share,
                self._clock,
                patience_s=self._patience_s,
            )
        return self._open[key]
