"""The historical loop: ask, take, ask again; many windows at once, rows in order, memory bounded.

A window that is ahead of its turn holds back a few pages and then waits, so what is buffered is bounded
by ``AHEAD`` windows, whatever the partition holds. An error comes in its turn, after all pages before it:
what was fetched until then can be stored.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.paging.page import Page, Pager
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.venue import Venue
from dccd_core.tables import empty

AHEAD: Final = 32
"""Windows in progress at once for one partition."""
_HELD_BACK: Final = 2
"""Pages a window may hold back before its turn."""


async def collect(venue: Venue, dataset: Dataset, span: TimeRange, stats: FetchStats) -> AsyncGenerator[Page]:
    """Yield the rows of ``span`` in order, each once; a page that is ``cut`` is the last final one."""
    pagers = await style_of(venue.endpoint(dataset)).pagers(venue, dataset, span, stats)
    async with aclosing(_in_order(venue, dataset, pagers.each, stats)) as pages:
        async for page in pages:
            if pagers.watch:
                pagers.watch.see(page.rows)
            yield page
            if page.cut:
                return
    if pagers.watch:
        pagers.watch.close()
    yield Page(empty(dataset.data_type), pagers.until)


async def _in_order(
    venue: Venue, dataset: Dataset, pagers: Iterator[Pager], stats: FetchStats
) -> AsyncGenerator[Page]:
    lanes: deque[tuple[asyncio.Task[None], asyncio.Queue[Page | Exception | None]]] = deque()

    def start() -> None:
        if (pager := next(pagers, None)) is not None:
            lane = asyncio.Queue[Page | Exception | None](_HELD_BACK)
            lanes.append((asyncio.create_task(_follow(venue, dataset, pager, lane, stats)), lane))

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
    pager: Pager,
    lane: asyncio.Queue[Page | Exception | None],
    stats: FetchStats,
) -> None:
    try:
        while (request := pager.request()) is not None:
            page = await venue.ask(dataset, request, pager.receive)
            stats.requests += 1
            if page is not None:
                await lane.put(page)
    except Exception as e:  # noqa: BLE001 -- raised again by the reader, in this window's turn
        await lane.put(e)
    else:
        await lane.put(None)
