"""A way of paging that no exchange has: pages with numbers. One file, as any other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dccd_core.adapter.contract import Endpoint, Paging, Query, Request, Response
from dccd_core.adapter.salvage import Salvage, concerning
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.page import Page, Pager, latest, once, within
from dccd_core.fetch.paging.style import Absent, Askable, FetchStats, Pagers, PagingStyle
from dccd_core.lake.lake import CompletenessCheck
from dccd_core.quality.holes import Evidence, RefusedCheck


@dataclass(frozen=True, slots=True)
class NumberedPages(Paging):
    """Page 0 begins at ``first``; ``query.first_id`` is the number that is asked for."""

    first: Us


class _NumberPager:
    def __init__(self, endpoint: Endpoint, query: Query, pages: range, finality_delay: Us) -> None:
        self._endpoint, self._query, self._pages, self._finality_delay = (
            endpoint,
            query,
            pages,
            finality_delay,
        )
        self._salvage = Salvage(endpoint.decode)

    def request(self) -> Request | None:
        return self._endpoint.request(replace(self._query, first_id=self._pages[0])) if self._pages else None

    def receive(self, response: Response) -> Page | None:
        asked, bar, found = self._query.span, self._query.bar, self._salvage.read(response)
        assert bar is not None
        final = bar_open(Us(response.proven_time - self._finality_delay), bar)
        until = max(asked.start, min(asked.end, final))
        rows, _ = once(within(found.rows, TimeRange(asked.start, until)))
        self._pages = self._pages[1:]
        last = not self._pages
        misplaced = concerning(found.refused, asked.start, until)
        end = latest(rows)
        reached = until if last else asked.start if end is None else Us(end + bar)
        return Page(
            rows, reached, cut=last and until < asked.end, misplaced=misplaced if misplaced.height else None
        )


def _numbers(endpoint: Endpoint, query: Query) -> range:
    assert isinstance(endpoint.paging, NumberedPages)
    assert query.bar is not None
    first, length = endpoint.paging.first, endpoint.page_limit * query.bar
    return range((query.span.start - first) // length, -(-(query.span.end - first) // length))


async def _pagers(venue: Askable, dataset: Dataset, span: TimeRange, _: FetchStats) -> Pagers:
    endpoint = await venue.served(dataset)
    query = venue.query(dataset, span, endpoint.page_limit)
    pager: Pager = _NumberPager(endpoint, query, _numbers(endpoint, query), venue.exchange.finality_delay)
    return Pagers(iter([pager]), span.end)


async def _count(_: Askable, dataset: Dataset, span: TimeRange) -> tuple[int, int]:
    assert dataset.span is not None
    return span.length // dataset.span, 0


def _proof(_: Endpoint, evidence: Evidence, __: Absent) -> CompletenessCheck:
    return RefusedCheck(evidence)


def _newest(endpoint: Endpoint, query: Query, now: Us) -> Iterator[Request]:
    pages = _numbers(endpoint, replace(query, span=TimeRange(Us(0), now)))
    yield endpoint.request(replace(query, first_id=pages[-1]))


STYLE = PagingStyle(
    describes=NumberedPages,
    name="numbered pages",
    pagers=_pagers,
    count=_count,
    guesses=False,
    proof=_proof,
    newest=_newest,
    find_trade=None,
    by_ids=None,
    exact=False,
    newest_only=False,
    present_only=False,
)
