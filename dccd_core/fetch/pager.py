"""Turn one question into pages, without I/O: the caller carries requests out and answers in.

A walk follows one window to its end. An answer that stops short is asked again from where it stopped,
so the size of the pages never matters; an empty answer ends the window. Windows do not overlap and do not
depend on one another, so any number of them can be walked at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import polars as pl

from dccd_core.adapter.contract import Endpoint, Query, Request, Response
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import Ns, TimeSpan


@dataclass(frozen=True, slots=True)
class Page:
    """New rows, in order.

    ``until``: every row before it has been given. ``cut``: what follows is not final yet.
    ``strays``: rows whose time contradicts their place among the ids.
    """

    rows: pl.DataFrame
    until: Ns
    cut: bool = False
    strays: pl.DataFrame | None = None


class Walk(Protocol):
    def request(self) -> Request | None:
        """Return what to ask next, or None when the window is covered."""
        ...

    def receive(self, response: Response) -> Page:
        """Take the answer to the last request. A failure leaves the walk as it was: ask again."""
        ...


class BarWalk:
    """The bars that open in ``query.span``, each once, final ones only."""

    def __init__(self, endpoint: Endpoint, query: Query, settle: Ns) -> None:
        self._endpoint = endpoint
        self._rest: Query | None = query
        self._settle = settle

    def request(self) -> Request | None:
        return self._endpoint.request(self._rest) if self._rest else None

    def receive(self, response: Response) -> Page:
        query = self._rest
        assert query is not None
        assert query.bar is not None
        asked = query.span
        now = response.venue_time
        final = bar_open(Ns(now - self._settle), query.bar)
        answered = self._endpoint.decode(response.body, now)
        rows = within(answered, asked)
        if not np.diff(rows["ts"].cast(pl.Int64).to_numpy()).all():
            rows = rows.unique("ts", keep="last", maintain_order=True)
        if answered.height and not rows.height:
            raise PagingError(
                f"asked for bars of {asked}, answered from {answered['ts'].min()} to {answered['ts'].max()}",
                hint="the venue ignored the time: nothing of this answer was stored",
            )
        last = latest(rows)
        if final < asked.end and (last is None or last >= final - query.bar):
            self._rest = None
            until = max(asked.start, final)
            return Page(within(rows, TimeSpan(asked.start, until)), until, cut=True)
        done = last is None or last + query.bar >= asked.end
        until = asked.end if last is None or done else Ns(last + query.bar)
        self._rest = None if done else replace(query, span=TimeSpan(until, asked.end))
        return Page(rows, until)


class IdWalk:
    """The trades with ids in ``ids``, each once: those that lie in ``query.span``, as their ids say."""

    def __init__(self, endpoint: Endpoint, query: Query, ids: range) -> None:
        self._endpoint = endpoint
        self._query = query
        self._ids = ids

    def request(self) -> Request | None:
        if not self._ids:
            return None
        return self._endpoint.request(replace(self._query, first_id=self._ids.start, limit=len(self._ids)))

    def receive(self, response: Response) -> Page:
        asked = self._query.span
        rows = self._endpoint.decode(response.body, response.venue_time)
        ids = rows["trade_id"].cast(pl.Int64).to_numpy()
        if (ids < self._ids.start).any():
            raise PagingError(
                f"asked from id {self._ids.start}, answered from {ids.min()}",
                hint="the venue ignored the id: nothing of this answer was stored",
            )
        if (ids >= self._ids.stop).any() or (np.diff(ids) != 1).any():
            rows = rows.filter(ids < self._ids.stop).unique("trade_id", maintain_order=True)
            ids = ids[ids < self._ids.stop]
        self._ids = range(int(ids.max()) + 1 if ids.size else self._ids.stop, self._ids.stop)
        inside = within(rows, asked)
        until = latest(inside) or asked.start
        if inside.height == rows.height:
            return Page(inside, until)
        return Page(inside, until, strays=rows.join(inside, on="trade_id", how="anti", maintain_order="left"))


def bar_walks(endpoint: Endpoint, query: Query, settle: Ns) -> Iterator[BarWalk]:
    """Cut ``query.span`` into windows of one page each, on the grid of the bars."""
    assert query.bar is not None
    opened = bar_open(query.span.start, query.bar)
    first = opened if opened == query.span.start else Ns(opened + query.bar)
    if first < query.span.end:
        for window in TimeSpan(first, query.span.end).split(Ns(query.limit * query.bar)):
            yield BarWalk(endpoint, replace(query, span=window), settle)


def id_walks(endpoint: Endpoint, query: Query, ids: range) -> Iterator[IdWalk]:
    """Cut ``ids`` into windows of one page each."""
    for first in range(ids.start, ids.stop, query.limit):
        window = range(first, min(first + query.limit, ids.stop))
        yield IdWalk(endpoint, query, window)


def within(rows: pl.DataFrame, span: TimeSpan) -> pl.DataFrame:
    """Return the part of ``rows``, which are in the order of time, that lies in ``span``."""
    first, end = np.searchsorted(rows["ts"].cast(pl.Int64).to_numpy(), (span.start, span.end))
    return rows.slice(int(first), int(end - first))


def latest(rows: pl.DataFrame) -> Ns | None:
    return Ns(int(rows["ts"].cast(pl.Int64)[-1])) if rows.height else None
