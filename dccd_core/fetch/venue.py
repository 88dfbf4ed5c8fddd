"""An exchange that can be asked: requests with retries, and the few facts one question settles."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from dccd_core.adapter.contract import Endpoint, Exchange, IdWindows, Query, Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import Where, located
from dccd_core.domain.timespan import Ns, TimeSpan
from dccd_core.net.clock import Clock
from dccd_core.net.http import Transport
from dccd_core.net.retry import persist

T = TypeVar("T")


@dataclass(slots=True)
class Venue:
    """A description of an exchange, a way to it, and a clock; shared by all collections of a run."""

    exchange: Exchange
    transport: Transport
    clock: Clock
    _listed: dict[Dataset, Ns | None] = field(default_factory=dict[Dataset, "Ns | None"])
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def endpoint(self, dataset: Dataset) -> Endpoint:
        return self.exchange.endpoints[dataset.data_type]

    def query(self, dataset: Dataset, span: TimeSpan, limit: int) -> Query:
        return Query(self.exchange.market(dataset.symbol), span, limit, bar=dataset.span)

    async def ask(self, dataset: Dataset, request: Request, receive: Callable[[Response], T]) -> T:
        """Send and decode, again while waiting helps. Errors say exchange, endpoint and symbol."""

        async def once() -> T:
            return receive(await self.transport.send(request))

        with located(Where(self.exchange.name, request.path, str(dataset.symbol))):
            return await persist(once, self.clock)

    async def first_row(self, dataset: Dataset, request: Request) -> pl.DataFrame:
        """Ask a question whose answer is one row, or none."""
        decode = self.endpoint(dataset).decode
        return (await self.ask(dataset, request, lambda r: decode(r.body, r.venue_time))).head(1)

    async def listed_since(self, dataset: Dataset) -> Ns | None:
        """Return the time of the very first row there is, None when there is none. Asked once."""
        oldest = self.endpoint(dataset).oldest
        assert oldest is not None
        async with self._asking:
            if dataset not in self._listed:
                always = TimeSpan(Ns(0), self.clock.now())
                self._listed[dataset] = first_ts(
                    await self.first_row(dataset, oldest(self.query(dataset, always, 1)))
                )
        return self._listed[dataset]

    async def nothing_traded(self, dataset: Dataset, span: TimeSpan) -> bool:
        """Ask the trades themselves whether ``span`` is empty: proof that missing bars are no loss."""
        trades = Dataset(dataset.exchange, dataset.symbol, DataType.TRADES)
        endpoint = self.exchange.endpoints.get(DataType.TRADES)
        if endpoint is None or not isinstance(endpoint.paging, IdWindows):
            return False
        first = first_ts(await self.first_row(trades, endpoint.paging.at(self.query(trades, span, 1))))
        return first is None or first >= span.end


def first_ts(rows: pl.DataFrame) -> Ns | None:
    return Ns(int(rows["ts"].to_physical()[0])) if rows.height else None
