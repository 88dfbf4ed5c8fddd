"""The historical loop: ask, take, ask again; many windows at once, rows in order, memory bounded.

A window that is ahead of its turn holds back a few pages and then waits, so what is buffered is bounded
by ``AHEAD`` windows, whatever the partition holds. An error comes in its turn, after all pages before it:
what was fetched until then can be stored.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from dccd_core.adapter.contract import IdWindows, Query
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import empty
from dccd_core.domain.timespan import MILLISECOND, Ns, TimeSpan
from dccd_core.fetch.pager import Page, Walk, bar_walks, id_walks
from dccd_core.fetch.venue import Venue, first_ts

AHEAD: Final = 32
"""Windows in progress at once for one partition."""
_HELD_BACK: Final = 2
"""Pages a window may hold back before its turn."""


@dataclass(slots=True)
class Course:
    """What a collection finds out on its way: the requests it cost, the ids absent at the end of a span."""

    requests: int = 0
    ends: list[tuple[TimeSpan, int]] = field(default_factory=list[tuple[TimeSpan, int]])


async def collect(venue: Venue, dataset: Dataset, span: TimeSpan, course: Course) -> AsyncGenerator[Page]:
    """Yield the rows of ``span`` in order, each once; a page that is ``cut`` is the last final one."""
    endpoint = venue.endpoint(dataset)
    query = venue.query(dataset, span, endpoint.page_limit)
    walks: Iterator[Walk] = bar_walks(endpoint, query, venue.exchange.settle)
    expected = None
    if isinstance(endpoint.paging, IdWindows):
        ids, bounded = await border_ids(venue, dataset, endpoint.paging, query)
        course.requests += 2 if bounded else 3
        walks = id_walks(endpoint, query, ids, venue.exchange.settle, bounded=bounded)
        expected = ids.stop - 1 if bounded and ids else None
    last: tuple[int, Ns] | None = None
    async for page in _in_order(venue, dataset, walks, course):
        yield page
        if page.cut:
            return
        if expected is not None and page.rows.height:
            last = int(page.rows["trade_id"][-1]), Ns(int(page.rows["ts"].to_physical()[-1]))
    if expected is not None and last is not None and last[0] < expected:
        course.ends.append((TimeSpan(last[1], span.end), expected - last[0]))
    yield Page(empty(dataset.data_type), span.end)


async def border_ids(venue: Venue, dataset: Dataset, paging: IdWindows, query: Query) -> tuple[range, bool]:
    """Return the ids of ``query.span``, and whether a row at or after its end exists already."""
    first = await venue.first_row(dataset, paging.at(query))
    at = first_ts(first)
    if at is None or at >= query.span.end:
        return range(0), True
    end = TimeSpan(query.span.end, Ns(query.span.end + MILLISECOND))
    beyond = await venue.first_row(dataset, paging.at(replace(query, span=end)))
    if beyond.height:
        return range(int(first["trade_id"][0]), int(beyond["trade_id"][0])), True
    newest = await venue.first_row(dataset, paging.newest(query))
    return range(int(first["trade_id"][0]), int(newest["trade_id"][0]) + 1), False


async def _in_order(
    venue: Venue, dataset: Dataset, walks: Iterator[Walk], course: Course
) -> AsyncGenerator[Page]:
    lanes: deque[tuple[asyncio.Task[None], asyncio.Queue[Page | Exception | None]]] = deque()

    def start() -> None:
        if (walk := next(walks, None)) is not None:
            lane = asyncio.Queue[Page | Exception | None](_HELD_BACK)
            lanes.append((asyncio.create_task(_follow(venue, dataset, walk, lane)), lane))

    try:
        for _ in range(AHEAD):
            start()
        while lanes:
            _, lane = lanes[0]
            while (page := await lane.get()) is not None:
                if isinstance(page, Exception):
                    raise page
                course.requests += 1
                yield page
            lanes.popleft()
            start()
    finally:
        for task, _ in lanes:
            task.cancel()
        await asyncio.gather(*(task for task, _ in lanes), return_exceptions=True)


async def _follow(
    venue: Venue, dataset: Dataset, walk: Walk, lane: asyncio.Queue[Page | Exception | None]
) -> None:
    try:
        while (request := walk.request()) is not None:
            await lane.put(await venue.ask(dataset, request, walk.receive))
    except Exception as e:  # noqa: BLE001 -- raised again by the reader, in this window's turn
        await lane.put(e)
    else:
        await lane.put(None)
