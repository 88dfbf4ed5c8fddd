"""Turn one question into pages, without I/O: the caller carries requests out and answers in.

A walk follows one window to its end. An answer that stops short is asked again from where it stopped,
so the size of the pages never matters. Windows do not overlap and do not depend on one another, so any
number of them can be walked at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import polars as pl

from dccd_core.adapter.contract import Endpoint, Keeps, Query, Request, Response
from dccd_core.adapter.salvage import LATER, REASON, Decoded, Salvage, concerning
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.partition.merge import TWICE

MISPLACED: Final = "its time contradicts its id"


@dataclass(frozen=True, slots=True)
class Page:
    """New rows, in order.

    ``until``: every row before it has been given. ``cut``: what follows is not final yet.
    ``strays``: rows that are not believed, each with its ``reason``. ``since``: what lies before it
    cannot be had; None: all of it came.
    """

    rows: pl.DataFrame
    until: Us
    cut: bool = False
    strays: pl.DataFrame | None = None
    since: Us | None = None


class Walk(Protocol):
    def request(self) -> Request | None:
        """Return what to ask next, or None when the window is covered."""
        ...

    def receive(self, response: Response) -> Page | None:
        """Take the answer to the last request; None: there is nothing to give before the next one.

        A failure leaves the walk as it was: ask again.
        """
        ...


class BarWalk:
    """The bars that open in ``query.span``, each once, final ones only."""

    def __init__(self, endpoint: Endpoint, query: Query, settle: Us, keeps: Keeps = Keeps.OLDEST) -> None:
        self._endpoint = endpoint
        self._whole = query.span
        self._rest: Query | None = query
        self._settle = settle
        self._keeps = keeps
        self._salvage = Salvage(DataType.OHLC, endpoint.decode)
        self._strays: list[pl.DataFrame] = []
        self._held: list[pl.DataFrame] = []
        """Later rows of a window that is answered from its end."""

    def request(self) -> Request | None:
        return self._endpoint.request(self._rest) if self._rest else None

    def receive(self, response: Response) -> Page | None:
        query = self._rest
        assert query is not None
        assert query.bar is not None
        found = self._salvage.read(response)
        final = bar_open(Us(response.proven_time - self._settle), query.bar)
        if response.dated is None:  # a bar is final when there is a later one
            final = max(final, latest(found.rows) or final)
        rows, strays = self._rows(found, query.span)
        self._strays.append(strays)
        if self._keeps is Keeps.OLDEST:
            return self._forward(query, query.bar, rows, final)
        return self._backward(query, rows, final)

    def _rows(self, found: Decoded, asked: TimeRange) -> tuple[pl.DataFrame, pl.DataFrame]:
        answered, inside = found.rows, within(found.rows, asked)
        rows, clash = once(inside)
        refused = concerning(found.refused, asked.start, asked.end)
        last = latest(answered)
        earlier_too = self._keeps is Keeps.ALL and last is not None and last < asked.end
        if answered.height and not inside.height and not refused.height and not earlier_too:
            raise PagingError(
                f"asked for bars of {asked}, answered from {answered['ts'].min()} to {answered['ts'].max()}",
                hint="the venue ignored the time: nothing of this answer was stored",
            )
        return rows, refused if clash is None else pl.concat([refused, clash])

    def _page(self, rows: pl.DataFrame, until: Us, *, cut: bool = False) -> Page:
        """Return a page with all rows that were not believed so far and lie before ``until``."""
        return Page(rows, until, cut=cut, strays=_taken(self._strays, until))

    def _forward(self, query: Query, bar: Us, rows: pl.DataFrame, final: Us) -> Page:
        asked, last = query.span, self._last(rows)
        if final < asked.end and (last is None or last >= final - bar):
            self._rest = None
            until = max(asked.start, final)
            return self._page(within(rows, TimeRange(asked.start, until)), until, cut=True)
        done = last is None or last + bar >= asked.end
        until = asked.end if last is None or done else Us(last + bar)
        self._rest = None if done else replace(query, span=TimeRange(until, asked.end))
        return self._page(rows, until)

    def _last(self, rows: pl.DataFrame) -> Us | None:
        """Return the time of the last row of an answer, believed or not."""
        strays = self._strays[-1]
        if not strays.height:
            return latest(rows)
        strays = strays.filter(pl.col(REASON) != LATER)
        times = [*rows["ts"].cast(pl.Int64).tail(1), *strays["ts"].cast(pl.Int64).drop_nulls()]
        return Us(max(times)) if times else None

    def _backward(self, query: Query, rows: pl.DataFrame, final: Us) -> Page | None:
        if rows.height:
            self._held.append(rows)
        first = earliest(rows)
        if self._keeps is Keeps.NEWEST and first is not None and first > query.span.start:
            self._rest = replace(query, span=TimeRange(query.span.start, first))
            return None
        self._rest = None
        until = max(self._whole.start, min(self._whole.end, final))
        whole = pl.concat([rows.clear(), *reversed(self._held)])
        return self._page(
            within(whole, TimeRange(self._whole.start, until)), until, cut=until < self._whole.end
        )


class IdWalk:
    """The trades with ids in ``ids``, each once: those that lie in ``query.span``, as their ids say.

    ``down``: the venue answers from the last id on downwards.
    """

    def __init__(self, endpoint: Endpoint, query: Query, ids: range, *, down: bool = False) -> None:
        self._endpoint = endpoint
        self._query = query
        self._ids = ids
        self._down = down
        self._salvage = Salvage(DataType.TRADES, endpoint.decode)
        self._strays: list[pl.DataFrame] = []
        self._held: list[pl.DataFrame] = []

    def request(self) -> Request | None:
        if not self._ids:
            return None
        return self._endpoint.request(replace(self._query, first_id=self._ids.start, limit=len(self._ids)))

    def receive(self, response: Response) -> Page | None:
        found = self._salvage.read(response)
        rows = found.rows
        ids = rows["trade_id"].cast(pl.Int64).to_numpy()
        if (ids < self._ids.start).any() and not self._down:
            raise PagingError(
                f"asked from id {self._ids.start}, answered from {ids.min()}",
                hint="the venue ignored the id: nothing of this answer was stored",
            )
        wanted = (ids >= self._ids.start) & (ids < self._ids.stop)
        self._strays.append(found.refused)
        if not wanted.all() or (np.diff(ids) != 1).any():
            rows, clash = once(rows.filter(wanted), "trade_id")
            ids = ids[wanted]
            if clash is not None:
                self._strays.append(clash)
        return self._downwards(rows, ids) if self._down else self._upwards(rows, ids)

    def _upwards(self, rows: pl.DataFrame, ids: np.ndarray) -> Page:
        self._ids = range(int(ids.max()) + 1 if ids.size else self._ids.stop, self._ids.stop)
        return self._page(rows)

    def _downwards(self, rows: pl.DataFrame, ids: np.ndarray) -> Page | None:
        self._held.append(rows)
        self._ids = range(self._ids.start, int(ids.min()) if ids.size else self._ids.start)
        if self._ids:
            return None
        return self._page(pl.concat(self._held[::-1]).sort("ts", maintain_order=True))

    def _page(self, rows: pl.DataFrame) -> Page:
        asked = self._query.span
        inside = within(rows, asked)
        until = latest(inside) or asked.start
        if inside.height < rows.height:
            outside = rows.join(inside, on="trade_id", how="anti", maintain_order="left")
            self._strays.append(outside.with_columns(reason=pl.lit(MISPLACED)))
        return Page(inside, until, strays=_taken(self._strays))


def _taken(strays: list[pl.DataFrame], until: Us | None = None) -> pl.DataFrame | None:
    """Return what was not believed so far, up to a moment, and forget it; None where that is nothing."""
    some = [rows for rows in strays if rows.height]
    strays.clear()
    if not some:
        return None
    rows = pl.concat(some)
    rows = rows if until is None else concerning(rows, Us(0), until)
    return rows if rows.height else None


def bar_walks(endpoint: Endpoint, query: Query, settle: Us, keeps: Keeps = Keeps.OLDEST) -> Iterator[BarWalk]:
    """Cut ``query.span`` into windows of one page each, on the grid of the bars."""
    assert query.bar is not None
    opened = bar_open(query.span.start, query.bar)
    first = opened if opened == query.span.start else Us(opened + query.bar)
    if first < query.span.end:
        for window in TimeRange(first, query.span.end).split(Us(query.limit * query.bar)):
            yield BarWalk(endpoint, replace(query, span=window), settle, keeps)


def id_walks(endpoint: Endpoint, query: Query, ids: range, *, down: bool = False) -> Iterator[IdWalk]:
    """Cut ``ids`` into windows of one page each."""
    for first in range(ids.start, ids.stop, query.limit):
        window = range(first, min(first + query.limit, ids.stop))
        yield IdWalk(endpoint, query, window, down=down)


def once(rows: pl.DataFrame, key: str = "ts") -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Part rows, which are in the order of time, that share a key: equal ones are one row.

    Of unequal ones nobody knows which is right, so none is believed: those come back apart, with the reason.
    """
    if key == "ts" and np.diff(rows["ts"].cast(pl.Int64).to_numpy()).all():
        return rows, None
    rows = rows.unique(maintain_order=True)
    clash = rows[key].is_duplicated() & rows[key].is_not_null()
    if not clash.any():
        return rows, None
    return rows.filter(~clash), rows.filter(clash).with_columns(reason=pl.lit(TWICE))


def within(rows: pl.DataFrame, span: TimeRange) -> pl.DataFrame:
    """Return the part of ``rows``, which are in the order of time, that lies in ``span``."""
    first, end = np.searchsorted(rows["ts"].cast(pl.Int64).to_numpy(), (span.start, span.end))
    return rows.slice(int(first), int(end - first))


def latest(rows: pl.DataFrame) -> Us | None:
    return Us(int(rows["ts"].cast(pl.Int64)[-1])) if rows.height else None


def earliest(rows: pl.DataFrame) -> Us | None:
    return Us(int(rows["ts"].cast(pl.Int64)[0])) if rows.height else None
