"""The historical loop: ask, take, ask again; many windows at once, rows in order, memory bounded.

A window that is ahead of its turn holds back a few pages and then waits, so what is buffered is bounded
by ``AHEAD`` windows, whatever the partition holds. An error comes in its turn, after all pages before it:
what was fetched until then can be stored.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from dccd_core.adapter.contract import Cursor, Endpoint, IdWindows, Query, Recent, TimeWindows
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import empty
from dccd_core.domain.timespan import TimeRange
from dccd_core.fetch.borders import Ends, find_borders
from dccd_core.fetch.pager import Page, Walk, bar_walks, id_walks
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.walks import RecentWalk, cursor_walks

AHEAD: Final = 32
"""Windows in progress at once for one partition."""
_HELD_BACK: Final = 2
"""Pages a window may hold back before its turn."""


@dataclass(slots=True)
class Course:
    """What a collection finds out on its way: its requests, and the ids absent at the ends of its span."""

    requests: int = 0
    absent: list[tuple[TimeRange, int]] = field(default_factory=list[tuple[TimeRange, int]])


async def collect(venue: Venue, dataset: Dataset, span: TimeRange, course: Course) -> AsyncGenerator[Page]:
    """Yield the rows of ``span`` in order, each once; a page that is ``cut`` is the last final one."""
    endpoint = await venue.served(dataset)
    query = venue.query(dataset, span, endpoint.page_limit)
    ends = None
    if isinstance(endpoint.paging, IdWindows):
        borders = await find_borders(venue, dataset, endpoint.paging, span)
        course.requests += borders.requests
        query = replace(query, span=borders.span)
        walks: Iterator[Walk] = id_walks(endpoint, query, borders.ids, down=endpoint.paging.down)
        ends = Ends(borders, course.absent)
    else:
        walks = _walks(venue, endpoint, query)
    async with aclosing(_in_order(venue, dataset, walks, course)) as pages:
        async for page in pages:
            if ends:
                ends.see(page.rows)
            yield page
            if page.cut:
                return
    if ends:
        ends.close()
    yield Page(empty(dataset.data_type), query.span.end)


def _walks(venue: Venue, endpoint: Endpoint, query: Query) -> Iterator[Walk]:
    settle = venue.exchange.settle
    match endpoint.paging:
        case TimeWindows(keeps):
            return bar_walks(endpoint, query, settle, keeps)
        case Recent():
            return iter([RecentWalk(endpoint, query, settle)])
        case Cursor() as paging:
            pool = endpoint.request(query).pool
            limits = tuple(limit for limit in venue.exchange.limits if limit.pool == pool)
            return cursor_walks(endpoint, query, settle, paging, limits)
        case other:
            raise AssertionError(other)


async def _in_order(
    venue: Venue, dataset: Dataset, walks: Iterator[Walk], course: Course
) -> AsyncGenerator[Page]:
    lanes: deque[tuple[asyncio.Task[None], asyncio.Queue[Page | Exception | None]]] = deque()

    def start() -> None:
        if (walk := next(walks, None)) is not None:
            lane = asyncio.Queue[Page | Exception | None](_HELD_BACK)
            lanes.append((asyncio.create_task(_follow(venue, dataset, walk, lane, course)), lane))

    try:
        for _ in range(AHEAD):
            start()
        while lanes:
            _, lane = lanes[0]
            while (page := await lane.get()) is not None:
                if isinstance(page, Exception):
                    raise page
                yield page
            lanes.popleft()
            start()
    finally:
        for task, _ in lanes:
            task.cancel()
        await asyncio.gather(*(task for task, _ in lanes), return_exceptions=True)


async def _follow(
    venue: Venue,
    dataset: Dataset,
    walk: Walk,
    lane: asyncio.Queue[Page | Exception | None],
    course: Course,
) -> None:
    try:
        while (request := walk.request()) is not None:
            page = await venue.ask(dataset, request, walk.receive)
            course.requests += 1
            if page is not None:
                await lane.put(page)
    except Exception as e:  # noqa: BLE001 -- raised again by the reader, in this window's turn
        await lane.put(e)
    else:
        await lane.put(None)
