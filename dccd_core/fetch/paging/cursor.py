"""Pages one after another in time, each asked for from the last row of the one before."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import polars as pl

from dccd_core.adapter.contract import Cursor, Endpoint, Limit, Query, Request, Response
from dccd_core.adapter.salvage import Salvage, concerning
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, TimeRange, Us, iso
from dccd_core.fetch.paging.page import Page, earliest, latest, once, within
from dccd_core.fetch.paging.style import Absent, Askable, FetchStats, FindTrade, Pagers, PagingStyle
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence, IdCheck, RefusedCheck

_MOST_RANGES: Final = 8
_PATIENCE: Final = 8
"""How often an answer may hold nothing new although there is more: pages that are cut short do that."""
_BACK: Final = tuple(Us(n * MINUTE) for n in (5, 30, 65, 125, 250, 500, 1_500))
"""How far before our own now to begin to look where rows come oldest first."""


class CursorPager:
    """The trades of ``query.span``, each once, asked for by time from the last one on.

    Every question begins AT the moment of the last row given, so rows that share it are not lost; they
    are told apart by their ids. It reaches past the end of the span: rows from there prove that nothing
    before them is left. Where none come, an answer without news is not yet the end: it may have been cut
    before anything new. Then the next moment is asked about, and this one once more.
    """

    _BEYOND: Final = DAY

    def __init__(self, endpoint: Endpoint, query: Query, finality_delay: Us, paging: Cursor) -> None:
        self._endpoint = endpoint
        self._query = query
        self._finality_delay = finality_delay
        self._paging = paging
        self._salvage = Salvage(endpoint.decode)
        self._at = query.span.start
        self._seen: pl.DataFrame | None = None
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
        final = Us(response.proven_time - self._finality_delay)
        if response.dated is None:  # what is older than the newest row by so much is final
            final = max(final, Us((latest(found.rows) or 0) - self._finality_delay))
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
        misplaced = concerning(found.refused, asked.start, end)
        misplaced = misplaced if clash is None else pl.concat([misplaced, clash])
        if last is not None and last >= end:
            return self._finish(fresh, end, final, misplaced)
        if fresh.height:
            return self._advance(fresh, misplaced)
        self._no_news += 1
        if self._no_news > 1 and not self._more_behind:
            return self._finish(fresh, end, final, misplaced)
        if self._no_news > _PATIENCE:
            raise PagingError(
                f"more trades than an answer holds share the moment {iso(self._at)}",
                hint="nothing after it was stored; start later, or take this day from an archive",
            )
        self._confirming = True
        return Page(fresh, self._at, misplaced=misplaced) if misplaced.height else None

    def _unseen(self, answered: pl.DataFrame) -> pl.DataFrame:
        """Leave out what came already; a row that now comes with other contents goes to where both meet."""
        if self._seen is None:
            return answered
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

    def _advance(self, fresh: pl.DataFrame, misplaced: pl.DataFrame) -> Page:
        self._no_news, self._more_behind = 0, False
        times = fresh["ts"].cast(pl.Int64)
        last = Us(int(times[-1]))
        again = fresh.filter(times >= last - self._paging.blur)
        here = int((times == last).sum())
        known = self._at >= last - self._paging.blur
        self._seen = again if self._seen is None or not known else pl.concat([self._seen, again])
        self._skip = self._skip + here if self._at == last else here
        self._at = last
        return Page(fresh, last, misplaced=misplaced if misplaced.height else None)

    def _finish(self, fresh: pl.DataFrame, end: Us, final: Us, misplaced: pl.DataFrame) -> Page:
        self._done = True
        return Page(
            fresh, end, cut=final < self._query.span.end, misplaced=misplaced if misplaced.height else None
        )


def cursor_pagers(
    endpoint: Endpoint, query: Query, finality_delay: Us, paging: Cursor, limits: tuple[Limit, ...]
) -> Iterator[CursorPager]:
    """Cut ``query.span`` into as many ranges of time as the limits let be asked in a second.

    Each range costs a part of a page more at its end, so more of them would only waste the budget.
    """
    rate = min((limit.amount * SECOND // limit.period for limit in limits), default=_MOST_RANGES)
    ranges = max(1, min(_MOST_RANGES, rate))
    for part in query.span.split(Us(-(-query.span.length // ranges))):
        yield CursorPager(endpoint, replace(query, span=part), finality_delay, paging)


def _paging(endpoint: Endpoint) -> Cursor:
    assert isinstance(endpoint.paging, Cursor)
    return endpoint.paging


async def _pagers(venue: Askable, dataset: Dataset, span: TimeRange, _: FetchStats) -> Pagers:
    endpoint = await venue.served(dataset)
    query = venue.query(dataset, span, endpoint.page_limit)
    pool = endpoint.request(query).pool
    limits = tuple(limit for limit in venue.exchange.limits if limit.pool == pool)
    return Pagers(
        cursor_pagers(endpoint, query, venue.exchange.finality_delay, _paging(endpoint), limits), span.end
    )


async def _count(venue: Askable, dataset: Dataset, span: TimeRange) -> tuple[int, int]:
    """Count the rows of a page at the start of ``span``, and guess as if all of it were as dense."""
    endpoint = await venue.served(dataset)

    def receive(response: Response) -> int:
        rows = Salvage(endpoint.decode).read(response).rows
        times = rows["ts"].cast(pl.Int64).filter(rows["ts"].cast(pl.Int64) < span.end)
        if times.len() < rows.height or times.len() < 2:
            return times.len()
        return times.len() * span.length // max(1, int(times[-1]) - span.start)

    request = endpoint.request(venue.query(dataset, span, endpoint.page_limit))
    return await venue.ask(dataset, request, receive), 1


def _proof(endpoint: Endpoint, evidence: Evidence, absent: Absent) -> CompletenessCheck:
    return IdCheck(evidence, absent) if _paging(endpoint).consecutive else RefusedCheck(evidence)


def _newest(endpoint: Endpoint, query: Query, now: Us) -> Iterator[Request]:
    for back in _BACK:
        span = TimeRange(Us(now - back), Us(now + DAY))
        yield endpoint.request(replace(query, span=span, limit=endpoint.page_limit))


async def _first_trade(venue: Askable, trades: Dataset, span: TimeRange) -> Us | None:
    endpoint = await venue.served(trades)
    rows, _ = await venue.one_row(trades, endpoint.request(venue.query(trades, span, 1)))
    first = earliest(rows)
    return None if first is None or first >= span.end else first


STYLE = PagingStyle(
    describes=Cursor,
    name="cursor",
    pagers=_pagers,
    count=_count,
    guesses=True,
    proof=_proof,
    newest=_newest,
    find_trade=FindTrade(backwards=False, find=_first_trade),
    by_ids=None,
    exact=False,
    newest_only=False,
    present_only=False,
)
