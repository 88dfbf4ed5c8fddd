"""Pages cut by consecutive ids: all of them can be asked at once, once the ids at the ends are known."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from dccd_core.adapter.contract import Endpoint, IdWindows, Query, Request, Response
from dccd_core.adapter.salvage import Salvage
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.fetch.paging.bounds import Ends, find_bounds, last_row_before
from dccd_core.fetch.paging.page import Page, Pager, latest, once, taken, within
from dccd_core.fetch.paging.style import Absent, Askable, ByIds, FetchStats, FindTrade, Pagers, PagingStyle
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence, IdCheck

MISPLACED: Final = "its time contradicts its id"


class IdPager:
    """The trades with ids in ``ids``, each once: those that lie in ``query.span``, as their ids say.

    ``down``: the venue answers from the last id on downwards.
    """

    def __init__(self, endpoint: Endpoint, query: Query, ids: range, *, down: bool = False) -> None:
        self._endpoint = endpoint
        self._query = query
        self._ids = ids
        self._down = down
        self._salvage = Salvage(endpoint.decode)
        self._misplaced: list[pl.DataFrame] = []
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
        self._misplaced.append(found.refused)
        if not wanted.all() or (np.diff(ids) != 1).any():
            rows, clash = once(rows.filter(wanted), "trade_id")
            ids = ids[wanted]
            if clash is not None:
                self._misplaced.append(clash)
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
            self._misplaced.append(outside.with_columns(reason=pl.lit(MISPLACED)))
        return Page(inside, until, misplaced=taken(self._misplaced))


def id_pagers(endpoint: Endpoint, query: Query, ids: range, *, down: bool = False) -> Iterator[IdPager]:
    """Cut ``ids`` into windows of one page each."""
    for first in range(ids.start, ids.stop, query.limit):
        window = range(first, min(first + query.limit, ids.stop))
        yield IdPager(endpoint, query, window, down=down)


def _paging(endpoint: Endpoint) -> IdWindows:
    assert isinstance(endpoint.paging, IdWindows)
    return endpoint.paging


async def _pagers(venue: Askable, dataset: Dataset, span: TimeRange, stats: FetchStats) -> Pagers:
    endpoint = await venue.served(dataset)
    bounds = await find_bounds(venue, dataset, _paging(endpoint), span)
    stats.requests += bounds.requests
    query = venue.query(dataset, bounds.span, endpoint.page_limit)
    return Pagers(_of_ids(endpoint, query, bounds.ids), bounds.span.end, Ends(bounds, stats.absent))


async def _count(venue: Askable, dataset: Dataset, span: TimeRange) -> tuple[int, int]:
    bounds = await find_bounds(venue, dataset, _paging(await venue.served(dataset)), span)
    return len(bounds.ids), bounds.requests


def _proof(_: Endpoint, evidence: Evidence, absent: Absent) -> CompletenessCheck:
    return IdCheck(evidence, absent)


def _newest(endpoint: Endpoint, query: Query, now: Us) -> Iterator[Request]:
    at = Us(now + DAY)
    ask = _paging(endpoint).newest or _paging(endpoint).before
    assert ask is not None
    yield ask(replace(query, span=TimeRange(at, at)))


async def _last_trade(venue: Askable, trades: Dataset, span: TimeRange) -> Us | None:
    last = await last_row_before(venue, trades, _paging(venue.endpoint(trades)), span.end)
    return None if last is None or last.at < span.start else last.at


def _of_ids(endpoint: Endpoint, query: Query, ids: range) -> Iterator[Pager]:
    return id_pagers(endpoint, query, ids, down=_paging(endpoint).down)


def _last(endpoint: Endpoint, query: Query) -> Request:
    ask = _paging(endpoint).before or _paging(endpoint).newest
    assert ask is not None
    return ask(query)


STYLE = PagingStyle(
    describes=IdWindows,
    name="id windows",
    pagers=_pagers,
    count=_count,
    guesses=False,
    proof=_proof,
    newest=_newest,
    find_trade=FindTrade(backwards=True, find=_last_trade),
    by_ids=ByIds(_of_ids, _last),
    exact=False,
    newest_only=False,
    present_only=False,
)
