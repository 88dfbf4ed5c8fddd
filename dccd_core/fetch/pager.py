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

from dccd_core.adapter.contract import Cursor, Endpoint, Keeps, Limit, Query, Request, Response
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import DAY, SECOND, Ns, TimeSpan, iso

_MOST_RANGES: Final = 8


@dataclass(frozen=True, slots=True)
class Page:
    """New rows, in order.

    ``until``: every row before it has been given. ``cut``: what follows is not final yet.
    ``strays``: rows whose time contradicts their place among the ids. ``since``: what lies before it
    cannot be had; None: all of it came.
    """

    rows: pl.DataFrame
    until: Ns
    cut: bool = False
    strays: pl.DataFrame | None = None
    since: Ns | None = None


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

    def __init__(self, endpoint: Endpoint, query: Query, settle: Ns, keeps: Keeps = Keeps.OLDEST) -> None:
        self._endpoint = endpoint
        self._whole = query.span
        self._rest: Query | None = query
        self._settle = settle
        self._keeps = keeps
        self._held: list[pl.DataFrame] = []
        """Later rows of a window that is answered from its end."""

    def request(self) -> Request | None:
        return self._endpoint.request(self._rest) if self._rest else None

    def receive(self, response: Response) -> Page | None:
        query = self._rest
        assert query is not None
        assert query.bar is not None
        now = response.venue_time
        final = bar_open(Ns(now - self._settle), query.bar)
        rows = self._rows(self._endpoint.decode(response.body, now), query.span)
        if self._keeps is Keeps.OLDEST:
            return self._forward(query, query.bar, rows, final)
        return self._backward(query, rows, final)

    def _rows(self, answered: pl.DataFrame, asked: TimeSpan) -> pl.DataFrame:
        rows = once(within(answered, asked))
        last = latest(answered)
        earlier_too = self._keeps is Keeps.ALL and last is not None and last < asked.end
        if answered.height and not rows.height and not earlier_too:
            raise PagingError(
                f"asked for bars of {asked}, answered from {answered['ts'].min()} to {answered['ts'].max()}",
                hint="the venue ignored the time: nothing of this answer was stored",
            )
        return rows

    def _forward(self, query: Query, bar: Ns, rows: pl.DataFrame, final: Ns) -> Page:
        asked, last = query.span, latest(rows)
        if final < asked.end and (last is None or last >= final - bar):
            self._rest = None
            until = max(asked.start, final)
            return Page(within(rows, TimeSpan(asked.start, until)), until, cut=True)
        done = last is None or last + bar >= asked.end
        until = asked.end if last is None or done else Ns(last + bar)
        self._rest = None if done else replace(query, span=TimeSpan(until, asked.end))
        return Page(rows, until)

    def _backward(self, query: Query, rows: pl.DataFrame, final: Ns) -> Page | None:
        if rows.height:
            self._held.append(rows)
        first = earliest(rows)
        if self._keeps is Keeps.NEWEST and first is not None and first > query.span.start:
            self._rest = replace(query, span=TimeSpan(query.span.start, first))
            return None
        self._rest = None
        until = max(self._whole.start, min(self._whole.end, final))
        whole = pl.concat([rows.clear(), *reversed(self._held)])
        return Page(within(whole, TimeSpan(self._whole.start, until)), until, cut=until < self._whole.end)


class IdWalk:
    """The trades with ids in ``ids``, each once: those that lie in ``query.span``, as their ids say.

    ``down``: the venue answers from the last id on downwards.
    """

    def __init__(self, endpoint: Endpoint, query: Query, ids: range, *, down: bool = False) -> None:
        self._endpoint = endpoint
        self._query = query
        self._ids = ids
        self._down = down
        self._held: list[pl.DataFrame] = []

    def request(self) -> Request | None:
        if not self._ids:
            return None
        return self._endpoint.request(replace(self._query, first_id=self._ids.start, limit=len(self._ids)))

    def receive(self, response: Response) -> Page | None:
        rows = self._endpoint.decode(response.body, response.venue_time)
        ids = rows["trade_id"].cast(pl.Int64).to_numpy()
        if (ids < self._ids.start).any() and not self._down:
            raise PagingError(
                f"asked from id {self._ids.start}, answered from {ids.min()}",
                hint="the venue ignored the id: nothing of this answer was stored",
            )
        wanted = (ids >= self._ids.start) & (ids < self._ids.stop)
        if not wanted.all() or (np.diff(ids) != 1).any():
            rows, ids = rows.filter(wanted).unique("trade_id", maintain_order=True), ids[wanted]
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
        if inside.height == rows.height:
            return Page(inside, until)
        return Page(inside, until, strays=rows.join(inside, on="trade_id", how="anti", maintain_order="left"))


class CursorWalk:
    """The trades of ``query.span``, each once, asked for by time from the last one on.

    Every question begins AT the moment of the last row given, so rows that share it are not lost; they
    are told apart by their ids. It reaches past the end of the span: rows from there prove that nothing
    before them is left. Where none come, an answer without news is not yet the end: it may have been cut
    before anything new. Then the next moment is asked about, and this one once more.
    """

    _BEYOND: Final = DAY

    def __init__(self, endpoint: Endpoint, query: Query, settle: Ns, paging: Cursor) -> None:
        self._endpoint = endpoint
        self._query = query
        self._settle = settle
        self._paging = paging
        self._at = query.span.start
        self._seen: pl.Series = pl.Series("trade_id", [], dtype=pl.String)
        """Ids that the next answer may repeat."""
        self._skip = 0
        self._confirming = False
        self._no_news = 0
        self._more_behind = False
        self._done = False

    def request(self) -> Request | None:
        if self._done:
            return None
        start = Ns(self._at + 1 if self._confirming else self._at - self._paging.blur)
        span = TimeSpan(start, Ns(self._query.span.end + self._BEYOND))
        skip = 0 if self._confirming or not self._paging.skips else self._skip
        return self._endpoint.request(replace(self._query, span=span, skip=skip))

    def receive(self, response: Response) -> Page | None:
        asked, now = self._query.span, response.venue_time
        final = Ns(now - self._settle)
        end = min(asked.end, max(asked.start, final))
        answered = self._endpoint.decode(response.body, now)
        last = latest(answered)
        if last is not None and last < self._at - self._paging.blur:
            raise PagingError(
                f"asked for trades from {iso(self._at)} on, answered up to {iso(last)}",
                hint="the venue ignored the time: nothing of this answer was stored",
            )
        if self._confirming:
            self._confirming, self._more_behind = False, last is not None and last > self._at
            return None
        fresh = answered.filter(~answered["trade_id"].is_in(self._seen.implode()))
        fresh = within(fresh.unique("trade_id", maintain_order=True), TimeSpan(asked.start, end))
        if last is not None and last >= end:
            return self._finish(fresh, end, final)
        if fresh.height:
            return self._advance(fresh)
        self._no_news += 1
        if self._no_news > 1 and not self._more_behind:
            return self._finish(fresh, end, final)
        if self._no_news > _PATIENCE:
            raise PagingError(
                f"more trades than an answer holds share the moment {iso(self._at)}",
                hint="nothing after it was stored; start later, or take this day from an archive",
            )
        self._confirming = True
        return None

    def _advance(self, fresh: pl.DataFrame) -> Page:
        self._no_news, self._more_behind = 0, False
        times = fresh["ts"].cast(pl.Int64)
        last = Ns(int(times[-1]))
        again = fresh.filter(times >= last - self._paging.blur)["trade_id"]
        here = int((times == last).sum())
        known = self._at >= last - self._paging.blur
        self._seen = pl.concat([self._seen, again]) if known else again
        self._skip = self._skip + here if self._at == last else here
        self._at = last
        return Page(fresh, last)

    def _finish(self, fresh: pl.DataFrame, end: Ns, final: Ns) -> Page:
        self._done = True
        return Page(fresh, end, cut=final < self._query.span.end)


_PATIENCE: Final = 8
"""How often an answer may hold nothing new although there is more: pages that are cut short do that."""


class RecentWalk:
    """What one answer holds of the newest rows; what lies before them in ``query.span`` cannot be had."""

    def __init__(self, endpoint: Endpoint, query: Query, settle: Ns) -> None:
        self._endpoint = endpoint
        self._query = query
        self._settle = settle
        self._done = False

    def request(self) -> Request | None:
        return None if self._done else self._endpoint.request(self._query)

    def receive(self, response: Response) -> Page:
        asked, now, bar = self._query.span, response.venue_time, self._query.bar
        final = Ns(now - self._settle)
        final = bar_open(final, bar) if bar else final
        answered = self._endpoint.decode(response.body, now)
        rows = once(answered) if bar else answered
        until = max(asked.start, min(asked.end, final))
        first = earliest(rows)
        # rows that share the first moment may have been cut off
        since = until if first is None else Ns(first + (0 if bar else 1))
        self._done = True
        return Page(
            within(rows, TimeSpan(asked.start, until)),
            until,
            cut=until < asked.end,
            since=min(since, until) if since > asked.start else None,
        )


def bar_walks(endpoint: Endpoint, query: Query, settle: Ns, keeps: Keeps = Keeps.OLDEST) -> Iterator[BarWalk]:
    """Cut ``query.span`` into windows of one page each, on the grid of the bars."""
    assert query.bar is not None
    opened = bar_open(query.span.start, query.bar)
    first = opened if opened == query.span.start else Ns(opened + query.bar)
    if first < query.span.end:
        for window in TimeSpan(first, query.span.end).split(Ns(query.limit * query.bar)):
            yield BarWalk(endpoint, replace(query, span=window), settle, keeps)


def id_walks(endpoint: Endpoint, query: Query, ids: range, *, down: bool = False) -> Iterator[IdWalk]:
    """Cut ``ids`` into windows of one page each."""
    for first in range(ids.start, ids.stop, query.limit):
        window = range(first, min(first + query.limit, ids.stop))
        yield IdWalk(endpoint, query, window, down=down)


def cursor_walks(
    endpoint: Endpoint, query: Query, settle: Ns, paging: Cursor, limits: tuple[Limit, ...]
) -> Iterator[CursorWalk]:
    """Cut ``query.span`` into as many ranges of time as the limits let be asked in a second.

    Each range costs a part of a page more at its end, so more of them would only waste the budget.
    """
    rate = min((limit.amount * SECOND // limit.period for limit in limits), default=_MOST_RANGES)
    ranges = max(1, min(_MOST_RANGES, rate))
    for part in query.span.split(Ns(-(-query.span.length // ranges))):
        yield CursorWalk(endpoint, replace(query, span=part), settle, paging)


def once(rows: pl.DataFrame) -> pl.DataFrame:
    """Return bars, which are in the order of time, without those of an open that comes again later."""
    if np.diff(rows["ts"].cast(pl.Int64).to_numpy()).all():
        return rows
    return rows.unique("ts", keep="last", maintain_order=True)


def within(rows: pl.DataFrame, span: TimeSpan) -> pl.DataFrame:
    """Return the part of ``rows``, which are in the order of time, that lies in ``span``."""
    first, end = np.searchsorted(rows["ts"].cast(pl.Int64).to_numpy(), (span.start, span.end))
    return rows.slice(int(first), int(end - first))


def latest(rows: pl.DataFrame) -> Ns | None:
    return Ns(int(rows["ts"].cast(pl.Int64)[-1])) if rows.height else None


def earliest(rows: pl.DataFrame) -> Ns | None:
    return Ns(int(rows["ts"].cast(pl.Int64)[0])) if rows.height else None
