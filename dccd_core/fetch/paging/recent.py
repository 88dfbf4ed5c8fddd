"""One answer with the newest rows, whatever is asked: what lies before them cannot be had."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from dccd_core.adapter.contract import Endpoint, Query, Recent, Request, Response
from dccd_core.adapter.salvage import Salvage, concerning
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.page import Page, Pager, earliest, latest, once, within
from dccd_core.fetch.paging.style import Absent, Askable, FetchStats, Pagers, PagingStyle
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence, RefusedCheck


class RecentPager:
    """What one answer holds of the newest rows; what lies before them in ``query.span`` cannot be had."""

    def __init__(self, endpoint: Endpoint, query: Query, finality_delay: Us) -> None:
        self._endpoint = endpoint
        self._query = query
        self._finality_delay = finality_delay
        self._salvage = Salvage(endpoint.decode)
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
            misplaced=refused if refused.height else None,
            since=min(since, until) if since > asked.start else None,
        )

    def _final(self, response: Response, rows: pl.DataFrame) -> Us:
        """Return before which moment rows are final: by the venue's clock, or by the newest row."""
        bar, newest = self._query.bar, latest(rows)
        final = Us(response.proven_time - self._finality_delay)
        final = bar_open(final, bar) if bar else final
        if response.dated is not None or newest is None:
            return final
        return max(final, newest if bar else Us(newest - self._finality_delay))


async def _pagers(venue: Askable, dataset: Dataset, span: TimeRange, _: FetchStats) -> Pagers:
    endpoint = await venue.served(dataset)
    query = venue.query(dataset, span, endpoint.page_limit)
    pager: Pager = RecentPager(endpoint, query, venue.exchange.finality_delay)
    return Pagers(iter([pager]), span.end)


async def _count(venue: Askable, dataset: Dataset, _: TimeRange) -> tuple[int, int]:
    return venue.endpoint(dataset).page_limit, 0


def _proof(_: Endpoint, evidence: Evidence, __: Absent) -> CompletenessCheck:
    return RefusedCheck(evidence)


def _newest(endpoint: Endpoint, query: Query, _: Us) -> Iterator[Request]:
    yield endpoint.request(replace(query, limit=endpoint.page_limit))


STYLE = PagingStyle(
    describes=Recent,
    name="recent",
    pagers=_pagers,
    count=_count,
    guesses=False,
    proof=_proof,
    newest=_newest,
    find_trade=None,
    by_ids=None,
    exact=False,
    newest_only=True,
    present_only=False,
)
