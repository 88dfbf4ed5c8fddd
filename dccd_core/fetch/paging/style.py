"""What a way of paging is made of: each is one file that ends in one ``PagingStyle``, and a registry line.

What an exchange file says of its endpoint (``IdWindows(...)``) is data; what that means stands here.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import polars as pl

from dccd_core.adapter.contract import Endpoint, Exchange, Paging, Query, Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.page import Pager, TradeRef
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence

T = TypeVar("T")
Absent = Sequence[tuple[TimeRange, int]]
"""How many ids are absent somewhere in a piece of time."""


class Askable(Protocol):
    """What a way of paging needs of a venue."""

    @property
    def exchange(self) -> Exchange: ...
    def endpoint(self, dataset: Dataset) -> Endpoint: ...
    async def served(self, dataset: Dataset) -> Endpoint: ...
    def query(self, dataset: Dataset, span: TimeRange, limit: int) -> Query: ...
    async def ask(self, dataset: Dataset, request: Request, receive: Callable[[Response], T]) -> T: ...
    async def one_row(self, dataset: Dataset, request: Request) -> tuple[pl.DataFrame, Us]: ...
    def trade_refs(self, dataset: Dataset) -> list[TradeRef]: ...


class Watch(Protocol):
    """Sees the rows of a piece of time pass by, in order, and is told when all came."""

    def see(self, rows: pl.DataFrame) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class FetchStats:
    """What a collection finds out on its way: its requests, and the ids absent at the ends of its span."""

    requests: int = 0
    absent: list[tuple[TimeRange, int]] = field(default_factory=list[tuple[TimeRange, int]])


@dataclass(frozen=True, slots=True)
class Pagers:
    """The pagers of a piece of time, in its order; ``until``: where what can be had now ends."""

    each: Iterator[Pager]
    until: Us
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class ByIds:
    """How rows are asked for by their ids.

    ``pagers`` follow the rows of these ids; ``last`` asks for the last row before ``query.span.start``.
    """

    pagers: Callable[[Endpoint, Query, range], Iterator[Pager]]
    last: Callable[[Endpoint, Query], Request]


@dataclass(frozen=True, slots=True)
class FindTrade:
    """How to find a trade in a piece of time: the last one (``backwards``), else the first one."""

    backwards: bool
    find: Callable[[Askable, Dataset, TimeRange], Awaitable[Us | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagingStyle:
    """A way of paging. Nothing has a default, so that nothing can be forgotten."""

    describes: type[Paging]
    """What exchange files say."""
    name: str
    """For people."""
    pagers: Callable[[Askable, Dataset, TimeRange, FetchStats], Awaitable[Pagers]]
    """How a piece of time is asked for."""
    count: Callable[[Askable, Dataset, TimeRange], Awaitable[tuple[int, int]]]
    """How many rows a piece of time has, and how many requests it took to know that."""
    guesses: bool
    """The count is a guess from the first page."""
    proof: Callable[[Endpoint, Evidence, Absent], CompletenessCheck]
    """What proves that no row without a bar's grid is missing."""
    newest: Callable[[Endpoint, Query, Us], Iterator[Request]]
    """What to ask for the newest row, one request after another until one comes; told our own clock."""
    find_trade: FindTrade | None
    """How trades tell whether a time was quiet; None: they cannot."""
    by_ids: ByIds | None
    """How rows are asked for by their ids; None: they cannot be."""
    exact: bool
    """An answer holds only what was asked for, and one that runs at most."""
    newest_only: bool
    """One answer holds all there is to have, whatever is asked."""
    present_only: bool
    """There is no asking for what was."""
