"""Walks through what cannot be cut into windows beforehand: a cursor in time, and the newest rows alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import polars as pl

from dccd_core.adapter.contract import Cursor, Endpoint, Limit, Query, Request, Response
from dccd_core.adapter.salvage import Salvage, concerning
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.datatype import DataType, empty
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import DAY, SECOND, TimeRange, Us, iso
from dccd_core.fetch.pager import Page, earliest, latest, once, within

_MOST_RANGES: Final = 8
_PATIENCE: Final = 8
"""How often an answer may hold nothing new although there is more: pages that are cut short do that."""


class CursorWalk:
    """The trades of ``query.span``, each once, asked for by time from the last one on.

    Every question begins AT the moment of the last row given, so rows that share it are not lost; they
    are told apart by their ids. It reaches past the end of the span: rows from there prove that nothing
    before them is left. Where none come, an answer without news is not yet the end: it may have been cut
    before anything new. Then the next moment is asked about, and this one once more.
    """

    _BEYOND: Final = DAY

    def __init__(self, endpoint: Endpoint, query: Query, settle: Us, paging: Cursor) -> None:
        self._endpoint = endpoint
        self._query = query
        self._settle = settle
        self._paging = paging
        self._salvage = Salvage(DataType.TRADES, endpoint.decode)
        self._at = query.span.start
        self._seen = empty(DataType.TRADES)
        """Rows that the next answer may repeat."""
        self._skip = 0
        self._confirming = False
        self._no_news = 0
        self._more_behind = False
        self._done = False

    def request(self) -> Request | None:
        if self._done:
            return None
        start = Us(self._at + 1 if self._confirming else self._at - self._paging.blur)
        span = TimeRange(start, Us(self._query.span.end + self._BEYOND))
        skip = 0 if self._confirming or not self._paging.skips else self._skip
        return self._endpoint.request(replace(self._query, span=span, skip=skip))

    def receive(self, response: Response) -> Page | None:
        asked, found = self._query.span, self._salvage.read(response)
        final = Us(response.proven_time - self._settle)
        if response.dated is None:  # what is older than the newest row by so much is final
            final = max(final, Us((latest(found.rows) or 0) - self._settle))
        end = min(asked.end, max(asked.start, final))
        answered, last = found.rows, latest(found.rows)
        if last is not None and last < self._at - self._paging.blur:
            raise PagingError(
                f"asked for trades from {iso(self._at)} on, answered up to {iso(last)}",
                hint="the venue ignored the time: nothing of this answer was stored",
            )
        if self._confirming:
            self._confirming, self._more_behind = False, last is not None and last > self._at
            return None
        fresh = self._unseen(answered)
        fresh, clash = once(within(fresh, TimeRange(asked.start, end)), "trade_id")
        strays = concerning(found.refused, asked.start, end)
        strays = strays if clash is None else pl.concat([strays, clash])
        if last is not None and last >= end:
            return self._finish(fresh, end, final, strays)
        if fresh.height:
            return self._advance(fresh, strays)
        self._no_news += 1
        if self._no_news > 1 and not self._more_behind:
            return self._finish(fresh, end, final, strays)
        if self._no_news > _PATIENCE:
            raise PagingError(
                f"more trades than an answer holds share the moment {iso(self._at)}",
                hint="nothing after it was stored; start later, or take this day from an archive",
            )
        self._confirming = True
        return Page(fresh, self._at, strays=strays) if strays.height else None

    def _unseen(self, answered: pl.DataFrame) -> pl.DataFrame:
        """Leave out what came already; a row that now comes with other contents goes to where both meet."""
        known = answered["trade_id"].is_in(self._seen["trade_id"].implode())
        if not known.any():
            return answered
        again = answered.filter(known & (answered["ts"].cast(pl.Int64) >= self._at))
        other = again.join(self._seen, on=answered.columns, how="anti", nulls_equal=True)["trade_id"]
        return (
            answered.filter(~known | answered["trade_id"].is_in(other.implode()))
            if other.len()
            else answered.filter(~known)
        )

    def _advance(self, fresh: pl.DataFrame, strays: pl.DataFrame) -> Page:
        self._no_news, self._more_behind = 0, False
        times = fresh["ts"].cast(pl.Int64)
        last = Us(int(times[-1]))
        again = fresh.filter(times >= last - self._paging.blur)
        here = int((times == last).sum())
        known = self._at >= last - self._paging.blur
        self._seen = pl.concat([self._seen, again]) if known else again
        self._skip = self._skip + here if self._at == last else here
        self._at = last
        return Page(fresh, last, strays=strays if strays.height else None)

    def _finish(self, fresh: pl.DataFrame, end: Us, final: Us, strays: pl.DataFrame) -> Page:
        self._done = True
        return Page(fresh, end, cut=final < self._query.span.end, strays=strays if strays.height else None)


class RecentWalk:
    """What one answer holds of the newest rows; what lies before them in ``query.span`` cannot be had."""

    def __init__(self, endpoint: Endpoint, query: Query, settle: Us) -> None:
        self._endpoint = endpoint
        self._query = query
        self._settle = settle
        self._salvage = Salvage(DataType.OHLC if query.bar else DataType.TRADES, endpoint.decode)
        self._done = False

    def request(self) -> Request | None:
        return None if self._done else self._endpoint.request(self._query)

    def receive(self, response: Response) -> Page:
        asked, found = self._query.span, self._salvage.read(response)
        until = max(asked.start, min(asked.end, self._final(response, found.rows)))
        rows, clash = once(found.rows, "ts" if self._query.bar else "trade_id")
        refused = found.refused if clash is None else pl.concat([found.refused, clash])
        bar, refused = self._query.bar, concerning(refused, asked.start, until)
        first = earliest(found.rows)
        # rows that share the first moment may have been cut off
        since = until if first is None else Us(first + (0 if bar else 1))
        self._done = True
        return Page(
            within(rows, TimeRange(asked.start, until)),
            until,
            cut=until < asked.end,
            strays=refused if refused.height else None,
            since=min(since, until) if since > asked.start else None,
        )

    def _final(self, response: Response, rows: pl.DataFrame) -> Us:
        """Return before which moment rows are final: by the venue's clock, or by the newest row."""
        bar, newest = self._query.bar, latest(rows)
        final = Us(response.proven_time - self._settle)
        final = bar_open(final, bar) if bar else final
        if response.dated is not None or newest is None:
            return final
        return max(final, newest if bar else Us(newest - self._settle))


def cursor_walks(
    endpoint: Endpoint, query: Query, settle: Us, paging: Cursor, limits: tuple[Limit, ...]
) -> Iterator[CursorWalk]:
    """Cut ``query.span`` into as many ranges of time as the limits let be asked in a second.

    Each range costs a part of a page more at its end, so more of them would only waste the budget.
    """
    rate = min((limit.amount * SECOND // limit.period for limit in limits), default=_MOST_RANGES)
    ranges = max(1, min(_MOST_RANGES, rate))
    for part in query.span.split(Us(-(-query.span.length // ranges))):
        yield CursorWalk(endpoint, replace(query, span=part), settle, paging)
