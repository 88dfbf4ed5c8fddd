"""The loop: many windows at once, rows in order, bounded, errors in their turn."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import msgspec
import polars as pl
import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.errors import PayloadError, Rejected
from dccd_core.domain.timespan import MILLISECOND, MINUTE, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.collect import AHEAD, FetchStats, collect
from dccd_core.fetch.paging.page import Page
from dccd_core.fetch.venue import Venue
from dccd_core.net.clock import ManualClock
from tests.dccd_core.fetch.paging.answers import http_date
from tests.dccd_core.fetch.world import NOW, bars

PAGE = 1_000
START = parse_time("2024-01-01")


def windows(count: int) -> TimeRange:
    return TimeRange(START, Us(START + count * PAGE * MINUTE))


class Wire:
    """A venue of flat bars whose answers come in any order; ``broken`` windows (from 0) answer otherwise."""

    def __init__(self, broken: dict[int, Response | Exception] | None = None) -> None:
        self.clock = ManualClock(NOW)
        self.venue = Venue(get("binance"), self, self.clock)
        self.sent: list[int] = []
        self.under_way = 0
        self._broken = broken or {}
        self._chance = Random(7)

    async def send(self, request: Request) -> Response:
        start, end = (int(request.params[name]) * MILLISECOND for name in ("startTime", "endTime"))
        window = (start - START) // (PAGE * MINUTE)
        self.sent.append(window)
        self.under_way += 1
        try:
            await self.clock.sleep(self._chance.random())
        finally:
            self.under_way -= 1
        instead = self._broken.get(window)
        if isinstance(instead, Exception):
            raise instead
        rows = [
            [at // MILLISECOND, "1", "1", "1", "1", "0", 0, "0", 0] for at in range(start, end + 1, MINUTE)
        ]
        return instead or Response(200, {"date": http_date(NOW)}, msgspec.json.encode(rows), NOW)


def ran(
    wire: Wire, span: TimeRange, use: Callable[[Page], Coroutine[Any, Any, None]] | None = None
) -> list[Page]:
    pages: list[Page] = []

    async def run() -> None:
        async for page in collect(wire.venue, bars(), span, FetchStats()):
            pages.append(page)
            if use:
                await use(page)

    asyncio.run(run())
    return pages


def test_rows_come_in_order_though_answers_do_not() -> None:
    wire = Wire()
    pages = ran(wire, windows(80))
    opens = pl.concat(page.rows for page in pages)["ts"].to_physical().to_list()
    assert opens == list(range(START, windows(80).end, MINUTE))
    assert [page.until for page in pages] == sorted(page.until for page in pages)
    assert pages[-1].until == windows(80).end
    assert wire.sent == list(range(80))


def test_a_slow_reader_holds_the_venue_back() -> None:
    """However much there is, no more than ``AHEAD`` windows are ever begun before their turn."""
    wire = Wire()

    async def slow(page: Page) -> None:
        await wire.clock.sleep(100)
        begun = max(wire.sent) + 1
        done = (page.until - START) // (PAGE * MINUTE)
        assert begun <= done + AHEAD

    ran(wire, windows(100), slow)
    assert len(wire.sent) == 100


@pytest.mark.parametrize(
    ("instead", "kind"),
    [
        (Rejected("no"), Rejected),
        (Response(200, {}, b'[{"unheard":1}]', NOW), PayloadError),
        (RuntimeError("a defect"), RuntimeError),
    ],
)
def test_an_error_comes_in_its_turn_after_all_pages_before_it(
    instead: Response | Exception, kind: type[Exception]
) -> None:
    wire, seen = Wire({40: instead}), list[int]()

    async def keep(page: Page) -> None:
        seen.append(page.until)

    with pytest.raises(kind):
        ran(wire, windows(80), keep)
    assert seen[-1] == windows(40).end
    assert wire.under_way == 0, "what was begun must be given up"


def test_a_reader_that_leaves_ends_all_that_was_begun() -> None:
    wire = Wire()

    async def run() -> None:
        pages = collect(wire.venue, bars(), windows(80), FetchStats())
        await anext(pages)
        assert wire.under_way > 0
        await pages.aclose()
        assert wire.under_way == 0
        sent = len(wire.sent)
        await wire.clock.sleep(10)
        assert len(wire.sent) == sent

    asyncio.run(run())


def test_requests_are_counted_as_their_answers_are_given() -> None:
    wire, stats = Wire(), FetchStats()

    async def run() -> None:
        async for _ in collect(wire.venue, bars(), windows(5), stats):
            pass

    asyncio.run(run())
    assert (stats.requests, stats.absent) == (5, [])
