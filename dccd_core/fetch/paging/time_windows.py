"""Pages cut by time on the grid of bars: all of them can be asked at once."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from dccd_core.adapter.contract import Endpoint, Keeps, Query, Request, Response, TimeWindows
from dccd_core.adapter.salvage import LATER, REASON, Decoded, Salvage, concerning
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.page import Page, earliest, latest, once, taken, within
from dccd_core.fetch.paging.style import Absent, Askable, FetchStats, Pagers, PagingStyle
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence, RefusedCheck


class BarPager:
    """The bars that open in ``query.span``, each once, final ones only."""

    def __init__(
        self, endpoint: Endpoint, query: Query, finality_delay: Us, keeps: Keeps = Keeps.OLDEST
    ) -> None:
        self._endpoint = endpoint
        self._whole = query.span
        self._rest: Query | None = query
        self._finality_delay = finality_delay
        self._keeps = keeps
        self._salvage = Salvage(endpoint.decode)
        self._misplaced: list[pl.DataFrame] = []
        self._held: list[pl.DataFrame] = []
        """Later rows of a window that is answered from its end."""

    def request(self) -> Request | None:
        return self._endpoint.request(self._rest) if self._rest else None

    def receive(self, response: Response) -> Page | None:
        query = self._rest
        assert query is not None
        assert query.bar is not None
        found = self._salvage.read(response)
        final = bar_open(Us(response.proven_time - self._finality_delay), query.bar)
        if response.dated is None:  # a bar is final when there is a later one
            final = max(final, latest(found.rows) or final)
        rows, misplaced = self._rows(found, query.span)
        self._misplaced.append(misplaced)
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
        return Page(rows, until, cut=cut, misplaced=taken(self._misplaced, until))

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
        misplaced = self._misplaced[-1]
        if not misplaced.height:
            return latest(rows)
        misplaced = misplaced.filter(pl.col(REASON) != LATER)
        times = [*rows["ts"].cast(pl.Int64).tail(1), *misplaced["ts"].cast(pl.Int64).drop_nulls()]
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


def bar_pagers(
    endpoint: Endpoint, query: Query, finality_delay: Us, keeps: Keeps = Keeps.OLDEST
) -> Iterator[BarPager]:
    """Cut ``query.span`` into windows of one page each, on the grid of the bars."""
    assert query.bar is not None
    opened = bar_open(query.span.start, query.bar)
    first = opened if opened == query.span.start else Us(opened + query.bar)
    if first < query.span.end:
        for window in TimeRange(first, query.span.end).split(Us(query.limit * query.bar)):
            yield BarPager(endpoint, replace(query, span=window), finality_delay, keeps)


async def _pagers(venue: Askable, dataset: Dataset, span: TimeRange, _: FetchStats) -> Pagers:
    endpoint = await venue.served(dataset)
    assert isinstance(endpoint.paging, TimeWindows)
    query = venue.query(dataset, span, endpoint.page_limit)
    return Pagers(bar_pagers(endpoint, query, venue.exchange.finality_delay, endpoint.paging.keeps), span.end)


async def _count(_: Askable, dataset: Dataset, span: TimeRange) -> tuple[int, int]:
    assert dataset.span is not None
    return span.length // dataset.span, 0


def _proof(_: Endpoint, evidence: Evidence, __: Absent) -> CompletenessCheck:
    return RefusedCheck(evidence)


def _newest(endpoint: Endpoint, query: Query, now: Us) -> Iterator[Request]:
    assert query.bar is not None
    end = Us(bar_open(now, query.bar) + query.bar)
    for pages in (1, 2, 3):  # our clock may be ahead
        span = TimeRange(Us(max(0, end - endpoint.page_limit * query.bar)), end)
        yield endpoint.request(replace(query, span=span, limit=endpoint.page_limit))
        end = Us(end - pages * endpoint.page_limit * query.bar)
        if end <= 0:  # a page of long bars holds all the time there was
            return


STYLE = PagingStyle(
    describes=TimeWindows,
    name="time windows",
    pagers=_pagers,
    count=_count,
    guesses=False,
    proof=_proof,
    newest=_newest,
    find_trade=None,
    by_ids=None,
    exact=True,
    newest_only=False,
    present_only=False,
)
