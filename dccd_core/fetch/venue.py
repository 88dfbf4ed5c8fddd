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
from dccd_core.fetch.planner import settled
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
    _listed: dict[Dataset, Ns] = field(default_factory=dict[Dataset, Ns])
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

    async def one_row(self, dataset: Dataset, request: Request) -> tuple[pl.DataFrame, Ns]:
        """Return one row, or none, and the moment before which the venue's rows were final by then."""

        def receive(response: Response) -> tuple[pl.DataFrame, Ns]:
            rows = self.endpoint(dataset).decode(response.body, response.venue_time).head(1)
            return rows, settled(dataset, response.venue_time, self.exchange.settle)

        return await self.ask(dataset, request, receive)

    async def listed_since(self, dataset: Dataset) -> Ns:
        """Return the time of the very first row; while there is none, how far that is final. Asked once."""
        oldest = self.endpoint(dataset).oldest
        assert oldest is not None
        async with self._asking:
            if dataset not in self._listed:
                query = self.query(dataset, TimeSpan(Ns(0), self.clock.now()), 1)
                rows, final = await self.one_row(dataset, oldest(query))
                self._listed[dataset] = first_ts(rows) or final
        return self._listed[dataset]

    @property
    def witness(self) -> IdWindows | None:
        """How to ask the trades, which know whether missing bars are a loss; None when they cannot tell."""
        endpoint = self.exchange.endpoints.get(DataType.TRADES)
        return endpoint.paging if endpoint and isinstance(endpoint.paging, IdWindows) else None

    async def nothing_traded(self, dataset: Dataset, span: TimeSpan) -> bool:
        """Ask the witness, if there is one, whether ``span`` is empty: so missing bars are no loss."""
        if self.witness is None:
            return False
        trades = Dataset(dataset.exchange, dataset.symbol, DataType.TRADES)
        rows, _ = await self.one_row(trades, self.witness.at(self.query(trades, span, 1)))
        first = first_ts(rows)
        return first is None or first >= span.end


def first_ts(rows: pl.DataFrame) -> Ns | None:
    return Ns(int(rows["ts"].cast(pl.Int64)[0])) if rows.height else None
