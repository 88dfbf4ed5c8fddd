"""An exchange that can be asked: requests with retries, and the few facts one question settles."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import polars as pl

from dccd_core.adapter.contract import MARKETS, Endpoint, Exchange, Query, Request, Response
from dccd_core.adapter.salvage import Salvage
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset, ListingPeriod
from dccd_core.domain.errors import (
    ConfigError,
    ExchangeError,
    PayloadError,
    Unavailable,
    UnknownSymbol,
    Where,
    located,
)
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, TimeRange, Us
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.paging.page import TradeRef, earliest, latest
from dccd_core.fetch.planner import Plan, end_of_trading, plan, settled
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.net.clock import Clock
from dccd_core.net.http import Transport
from dccd_core.net.retry import retry
from dccd_core.tables import TIME

T = TypeVar("T")
_MOST_PAGES: Final = 200
"""Pages of symbols: more than any venue has, so that a cursor that runs in a circle ends."""

_HIDDEN: Final = "nothing is taken for the time before the listing until it is told; ask again later"


@dataclass(slots=True)
class Venue:
    """A description of an exchange, a way to it, and a clock; shared by all collections of a run."""

    exchange: Exchange
    transport: Transport
    clock: Clock
    clock_reading: tuple[Us, Us] | None = None
    """The venue's clock by its newest answer (whole seconds) and our steady one then, for who takes it."""
    _listed: dict[Dataset, Us] = field(default_factory=dict[Dataset, Us])
    _served: dict[Dataset, Endpoint] = field(default_factory=dict[Dataset, Endpoint])
    _trade_refs: dict[Dataset, list[TradeRef]] = field(default_factory=dict[Dataset, list[TradeRef]])
    _markets: pl.DataFrame | None = None
    _unlisted: list[ExchangeError] = field(default_factory=list[ExchangeError])
    """Why a part of the list of symbols is not known: some addresses serve only some kinds of market."""
    _asking: dict[Dataset, asyncio.Lock] = field(default_factory=dict[Dataset, asyncio.Lock])
    """One for each dataset: who wants to know the same waits, others ask meanwhile."""
    _newest: dict[Dataset, tuple[Us | None, Us]] = field(default_factory=dict[Dataset, tuple[Us | None, Us]])
    """When the newest row was last looked at, by our steady clock, and what it proved."""
    _looking: dict[Dataset, asyncio.Lock] = field(default_factory=dict[Dataset, asyncio.Lock])
    _discovering: asyncio.Lock = field(default_factory=asyncio.Lock)

    def endpoint(self, dataset: Dataset) -> Endpoint:
        """Return what serves ``dataset``, as the exchange file describes it.

        Raises:
            ConfigError: nothing does.
        """
        kind = dataset.symbol.market_type
        endpoint = self.exchange.endpoint(kind, dataset.data_type)
        if endpoint is None or kind not in self.exchange.kinds:
            raise ConfigError(
                f"{self.exchange.name} serves no {dataset.data_type} of {kind} markets like {dataset.symbol}",
                hint=f"`dccd exchanges {self.exchange.name}` shows what it serves",
            )
        return endpoint

    async def served(self, dataset: Dataset) -> Endpoint:
        """Return what serves ``dataset``, decoding into our units: open times and the base currency."""
        if dataset not in self._served:
            endpoint = self.endpoint(dataset)
            decode = endpoint.decode
            if endpoint.closes:
                decode = _opens(decode, dataset.span)
            if endpoint.contracts:
                decode = _in_base(decode, dataset.symbol, await self.contract(dataset.symbol))
            self._served[dataset] = replace(endpoint, decode=decode)
        return self._served[dataset]

    def plan(
        self, dataset: Dataset, span: TimeRange, ledger: Ledger | None, now: Us, life: ListingPeriod
    ) -> Plan:
        """Return what is still to do for ``span``, whose partition has this ledger, or none yet."""
        endpoint, exchange = self.endpoint(dataset), self.exchange
        until = settled(dataset, now, exchange.finality_delay)
        ended = end_of_trading(dataset, span, life, exchange.closed)
        since = endpoint.reach.since(now, dataset.span)
        return plan(span, ledger, until, ended, since, whole=style_of(endpoint).newest_only)

    def trade_refs(self, dataset: Dataset) -> list[TradeRef]:
        """Return the trades seen so far, for whoever looks for a time among the ids; to be added to."""
        return self._trade_refs.setdefault(dataset, [])

    def query(self, dataset: Dataset, span: TimeRange, limit: int) -> Query:
        market = self.exchange.market(dataset.symbol)
        return Query(market, span, limit, bar=dataset.span, market_type=dataset.symbol.market_type)

    async def ask(self, dataset: Dataset, request: Request, receive: Callable[[Response], T]) -> T:
        """Send and decode, again while waiting helps. Errors say exchange, endpoint and symbol.

        A venue that tells no time gets a moment that it has passed from the newest row that it has.
        """
        where = Where(self.exchange.name, request.path, str(dataset.symbol))

        async def once() -> T:
            response = await self.transport.send(request)
            if response.dated is None and not dataset.data_type.table.pictures:
                response = replace(response, at_least=await self._passed(dataset))
            return receive(response)

        with located(where):
            return await retry(once, self.clock)

    async def one_row(self, dataset: Dataset, request: Request, missing: str = "") -> tuple[pl.DataFrame, Us]:
        """Return one row, or none, and the moment before which the venue's rows were final by then.

        Raises:
            Unavailable: none came, however often it was asked for, where ``missing`` says what that means.
        """
        endpoint = await self.served(dataset)

        def receive(response: Response) -> tuple[pl.DataFrame, Us]:
            rows = Salvage(endpoint.decode).read(response).rows.head(1)
            if missing and rows.is_empty():
                raise Unavailable(missing, hint=_HIDDEN)
            return rows, settled(dataset, response.proven_time, self.exchange.finality_delay)

        return await self.ask(dataset, request, receive)

    async def _passed(self, dataset: Dataset) -> Us:
        """Return a moment that the venue's clock has passed: that of the newest row, looked at once a minute.

        What follows a row by the time a bar needs to settle is no later than now: so the bar before the
        newest one is final, and nothing else is.
        """
        async with self._looking.setdefault(dataset, asyncio.Lock()):
            at, passed = self._newest.get(dataset, (None, Us(0)))
            if at is None or self.clock.steady() - at > MINUTE:
                passed = max(passed, await self._newest_row(dataset))
                self._newest[dataset] = self.clock.steady(), passed
        if not passed:
            raise Unavailable(
                "the answers tell no time (no Date header), and there is no new row to tell it by",
                hint="nothing can be told to be final: see what stands between dccd and the venue",
            )
        return passed

    async def _newest_row(self, dataset: Dataset) -> Us:
        """Return the time of the newest row found near our own now, plus what bars need to settle."""
        endpoint = await self.served(dataset)
        query = self.query(dataset, TimeRange(Us(0), Us(0)), 1)
        for request in style_of(endpoint).newest(endpoint, query, self.clock.now()):
            response = await self.transport.send(request)
            rows = Salvage(endpoint.decode).read(response).rows
            if (last := latest(rows)) is not None:
                return Us(last + self.exchange.finality_delay) if dataset.span else last
        return Us(0)

    async def markets(self) -> pl.DataFrame:
        """Return all symbols of the exchange, as in ``MARKETS``. Asked once.

        Raises:
            ExchangeError: not one of its lists could be had.
        """
        async with self._discovering:
            if self._markets is None:
                found = [MARKETS.to_frame()]
                for request in self.exchange.markets.requests():
                    try:
                        found.append(await self._markets_of(request))
                    except ExchangeError as e:
                        self._unlisted.append(e)
                if len(found) == 1:
                    raise self._unlisted.pop()
                self._markets = pl.concat(found)
        return self._markets

    async def _markets_of(self, first: Request) -> pl.DataFrame:
        markets, request, found = self.exchange.markets, first, list[pl.DataFrame]()
        for _ in range(_MOST_PAGES):
            where = Where(self.exchange.name, request.path)
            rows, body = await self._ask(where, request, lambda r: (markets.decode(r.body), r.body))
            found.append(rows)
            following = markets.more(request, body) if markets.more else None
            if following is None:
                return pl.concat(found)
            request = following
        raise PayloadError(
            f"the list of symbols does not end after {_MOST_PAGES} pages",
            hint="the venue's paging changed; update dccd",
            where=Where(self.exchange.name, first.path),
        )

    async def market_row(self, symbol: Symbol) -> dict[str, object] | None:
        """Return what symbol discovery says of ``symbol``, None when it is not listed.

        Raises:
            ExchangeError: it is not in what could be had, but that is not all.
        """
        rows = await self._rows_of(symbol)
        return rows.row(0, named=True) if rows.height else None

    async def contract(self, symbol: Symbol) -> float:
        """Return what one contract of ``symbol`` is worth, as in ``MARKETS``.

        Raises:
            UnknownSymbol: the venue does not list it.
        """
        row = await self.market_row(symbol)
        if row is None or not isinstance(row["contract"], float):
            raise UnknownSymbol(
                f"{symbol} is not listed, so what its contracts are worth is not known",
                hint="amounts of delisted contracts cannot be converted into the base currency",
                where=Where(self.exchange.name, self.exchange.markets.requests()[0].path, str(symbol)),
            )
        return row["contract"]

    async def _rows_of(self, symbol: Symbol) -> pl.DataFrame:
        rows = (await self.markets()).filter(symbol=str(symbol))
        if not rows.height and self._unlisted:
            raise self._unlisted[0]
        return rows

    async def listed_since(self, dataset: Dataset) -> Us:
        """Return the time of the very first row; while there is none, how far that is final. Asked once.

        Raises:
            UnknownSymbol: the venue answers nothing, and does not list the symbol either.
            ExchangeError: only a list of symbols can tell, and it could not be had.
        """
        async with self._asking.setdefault(dataset, asyncio.Lock()):
            if dataset not in self._listed:
                self._listed[dataset] = await self._first_moment(dataset)
        return self._listed[dataset]

    async def _first_moment(self, dataset: Dataset) -> Us:
        endpoint = await self.served(dataset)
        if endpoint.oldest is not None:
            query = self.query(dataset, TimeRange(Us(0), self.clock.now()), 1)
            request = endpoint.oldest(query)
            rows, final = await self.one_row(dataset, request)
            if rows.is_empty():
                await self._refuse_unknown(dataset)
                if await self._has_newer(dataset, endpoint):
                    missing = f"no oldest row of {dataset} came, though there are newer ones"
                    rows, final = await self.one_row(dataset, request, missing)
            first = earliest(rows)
            return final if first is None else first
        source = dataset.source
        witness = self.exchange.endpoint(source.symbol.market_type, source.data_type) if source else None
        if dataset.span and source and witness and witness.oldest:
            return bar_open(await self._first_moment(source), dataset.span)
        rows = await self._rows_of(dataset.symbol)
        listed: int | None = rows["listed"].cast(pl.Int64)[0] if rows.height else None
        if listed is None:
            return Us(0)
        return bar_open(Us(listed), dataset.span) if dataset.span else Us(listed)

    async def _has_newer(self, dataset: Dataset, endpoint: Endpoint) -> bool:
        """Return whether there is a row now: of bars the longest, whose pages reach back furthest."""
        query = self.query(dataset, TimeRange(Us(0), Us(0)), 1)
        longest = replace(query, bar=max(endpoint.spans, default=None))
        for request in style_of(endpoint).newest(endpoint, longest, self.clock.now()):
            rows, _ = await self.one_row(dataset, request)
            if rows.height:
                return True
        return False

    async def _refuse_unknown(self, dataset: Dataset) -> None:
        if await self.market_row(dataset.symbol) is None:
            raise UnknownSymbol(
                f"no row of {dataset.symbol} ever, and it is not listed",
                hint=f"check the symbol; `dccd exchanges {self.exchange.name}` shows the notation",
                where=Where(self.exchange.name, self.endpoint(dataset).path, str(dataset.symbol)),
            )

    async def _ask(self, where: Where, request: Request, receive: Callable[[Response], T]) -> T:
        async def once() -> T:
            response = await self.transport.send(request)
            if (dated := response.dated) is not None:
                self.clock_reading = dated, self.clock.steady()
            return receive(response)

        with located(where):
            return await retry(once, self.clock)


_Decode = Callable[[bytes, Us], pl.DataFrame]


def _opens(decode: _Decode, bar: Us | None) -> _Decode:
    assert bar is not None

    def opens(body: bytes, at: Us) -> pl.DataFrame:
        rows = decode(body, at)
        return rows.with_columns((rows["ts"].cast(pl.Int64) - bar).cast(TIME).alias("ts"))

    return opens


def _in_base(decode: _Decode, symbol: Symbol, contract: float) -> _Decode:
    price = pl.col("price") if symbol.market_type == "inverse" else 1.0

    def in_base(body: bytes, at: Us) -> pl.DataFrame:
        return decode(body, at).with_columns(amount=pl.col("amount") * contract / price)

    return in_base
