"""A venue, a clock and a lake in one process: fills that take no time and can be held against the truth."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar, Unpack

import httpx
import msgspec
import polars as pl

from dccd_core.adapter.contract import Exchange, Limit, Request, Response
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Condition, Source, condition
from dccd_core.net.clock import ManualClock
from dccd_core.net.http import HttpTransport
from dccd_core.net.ratelimit.limiter import RateLimiters
from dccd_core.quality.holes import NoCheck
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.options import OptionArguments, Options
from dccd_core.testing.sandbox.server import create_app
from dccd_core.testing.sandbox.stats import Stats

T = TypeVar("T")

BTC = Symbol("BTC", "USDT")
TRADES = Dataset("binance", BTC, DataType.TRADES)
NOW = parse_time("2024-06-05T12:00")
_URL = "http://sandbox"
_IN_FLIGHT = 8


def bars(span: Us = MINUTE, symbol: Symbol = BTC) -> Dataset:
    return Dataset("binance", symbol, DataType.OHLC, span)


def truth(market: Market, dataset: Dataset, span: TimeRange) -> pl.DataFrame:
    if dataset.span:
        return market.truth_bars(dataset.exchange, dataset.symbol, dataset.span, span)
    return market.truth_trades(dataset.exchange, dataset.symbol, span)


def content_hash(folder: Path, dataset: Dataset, key: str, rows: pl.DataFrame) -> str:
    """Return what a partition with these rows hashes to."""
    with LakeStore(folder).draft(dataset, key) as draft:
        draft.append(rows)
        asked = Asked(partition_span(dataset.grain, key), Source.DERIVED, Us(0), 0, rows.height)
        return draft.commit([asked], NoCheck).content_hash


class World:
    """``now`` is our clock, ``venue_now`` the venue's; the venue's stands still during a fill."""

    def __init__(
        self, folder: Path, now: Us = NOW, exchange: str = "binance", **options: Unpack[OptionArguments]
    ) -> None:
        self.folder = folder
        self.lake = LakeStore(folder / "lake")
        self.clock = ManualClock(now)
        self.venue_now = now
        self.exchange: Exchange = get(exchange)
        self.market = Options(**options).market()
        self.told: list[tuple[int, Us]] = []
        self.alter: Callable[[Request, Response], Response] = lambda _, response: response
        self._app = _Reachable(create_app(Options(**options)))

    def at(self, now: Us, venue_now: Us | None = None) -> "World":
        self.clock.set(now)
        self.venue_now = now if venue_now is None else venue_now
        return self

    def faults(self, *faults: Fault) -> None:
        self._order("faults", faults)

    def stats(self) -> Stats:
        answer = self._send("GET", "stats", b"")
        return msgspec.json.decode(answer.content, type=Stats)

    def requests(self) -> int:
        return self.stats().count()

    def with_venue(self, use: Callable[[Venue], Awaitable[T]]) -> T:
        """Run ``use`` on an event loop of its own, with a way to the venue."""
        self._order("clock", {"now": self.venue_now})

        async def run() -> T:
            url = f"{_URL}/{self.exchange.name}"
            unlimited = replace(self.exchange, limits=_unlimited(self.exchange))
            budgets = RateLimiters(unlimited, url, 1.0, self.clock, folder=self.folder)
            try:
                async with AsyncExitStack() as stack:
                    clients = [
                        await stack.enter_async_context(httpx.AsyncClient(transport=self._app))
                        for _ in range(_IN_FLIGHT)
                    ]
                    transport = HttpTransport(unlimited, clients, budgets, self.clock, rest_url=url)
                    return await use(Venue(unlimited, _Altered(transport, self), self.clock))
            finally:
                budgets.close()

        return asyncio.run(run())

    def fill(self, dataset: Dataset, key: str) -> Filled:
        return self.with_venue(lambda venue: fill(venue, self.lake, dataset, key, self.progress))

    def progress(self, dataset: Dataset, key: str, rows: int, until: Us) -> None:
        self.told.append((rows, until))

    def stored(self, dataset: Dataset, key: str) -> pl.DataFrame:
        chunks = list(self.lake.chunks(dataset, key))
        return pl.concat(chunks) if chunks else truth(self.market, dataset, TimeRange(Us(0), Us(1))).clear()

    def truth(self, dataset: Dataset, key: str, until: Us | None = None) -> pl.DataFrame:
        """Return the rows of a partition; with ``until`` those that open or happen before it."""
        span = partition_span(dataset.grain, key)
        return truth(self.market, dataset, TimeRange(span.start, min(span.end, until or span.end)))

    def condition(self, dataset: Dataset, key: str) -> Condition:
        state = self.lake.state(dataset, key)
        return condition(state.ledger if state else None, partition_span(dataset.grain, key))

    def holes(self, dataset: Dataset, key: str) -> list[tuple[TimeRange, int, str | None]]:
        state = self.lake.state(dataset, key)
        return [(hole.span, hole.missing, hole.proof) for hole in state.ledger.holes] if state else []

    def _order(self, name: str, order: object) -> None:
        self._send("POST", name, msgspec.json.encode(order))

    def _send(self, method: str, name: str, body: bytes) -> httpx.Response:
        async def sent() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._app) as client:
                answer = await client.request(method, f"{_URL}/_control/{name}", content=body)
                return answer.raise_for_status()

        return asyncio.run(sent())


class _Altered:
    """What the venue answers, as the test wants it."""

    def __init__(self, transport: HttpTransport, world: World) -> None:
        self._transport = transport
        self._world = world

    async def send(self, request: Request) -> Response:
        return self._world.alter(request, await self._transport.send(request))


class _Reachable(httpx.ASGITransport):
    """Answers in any order, and says of an answer that breaks off what a socket would."""

    _chance = Random(0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(self._chance.randrange(9)):
            await asyncio.sleep(0)  # answers overtake one another
        try:
            return await super().handle_async_request(request)
        except AssertionError as e:
            raise httpx.RemoteProtocolError("peer closed connection", request=request) from e


def _unlimited(exchange: Exchange) -> tuple[Limit, ...]:
    return tuple({limit.pool: Limit(10**9, MINUTE, limit.pool) for limit in exchange.limits}.values())


def span(start: str, end: str) -> TimeRange:
    return TimeRange(parse_time(start), parse_time(end))


def same(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    return left.schema == right.schema and left.equals(right)


def alike(recorded: pl.DataFrame, truth: pl.DataFrame) -> bool:
    """Whether both are the same, whenever what was recorded came."""
    return same(*(rows.drop("received", strict=False) for rows in (recorded, truth)))


def transient(probability: float) -> Sequence[Fault]:
    """Faults that go away when the request is sent again."""
    kinds = (
        {"kind": "status", "status": 503},
        {"kind": "dropped"},
        {"kind": "truncated"},
        {"kind": "html"},
        {"kind": "empty"},
    )
    return [msgspec.convert({**kind, "probability": probability}, Fault) for kind in kinds]
