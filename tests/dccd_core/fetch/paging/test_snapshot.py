"""There is no paging through the present: who wants its past, or its cost, is told so."""

import asyncio

import pytest

from dccd_core.adapter.contract import Query, Request, Response, Snapshot
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, TimeRange, Us
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.paging.snapshot import STYLE
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.venue import Venue
from dccd_core.net.clock import ManualClock
from dccd_core.tables import DataType
from tests.dccd_core.fetch.paging.answers import endpoint

BOOK = Dataset("binance", Symbol("BTC", "USDT"), DataType.ORDERBOOK)
SPAN = TimeRange(Us(0), HOUR)


class Nobody:
    async def send(self, request: Request) -> Response:
        raise AssertionError(request)


@pytest.mark.parametrize("name", NAMES)
def test_every_order_book_is_taken_so_and_nothing_else(name: str) -> None:
    exchange = get(name)
    so = {data_type for data_type, one in exchange.endpoints.items() if style_of(one) is STYLE}
    assert so == {DataType.ORDERBOOK} & set(exchange.endpoints)


def test_neither_its_pages_nor_their_number_can_be_asked_for() -> None:
    venue = Venue(get("binance"), Nobody(), ManualClock(Us(0)))

    async def ask() -> None:
        with pytest.raises(ConfigError, match=r"binance/orderbook/BTC-USDT holds .*use snapshot"):
            await STYLE.pagers(venue, BOOK, SPAN, FetchStats())
        with pytest.raises(ConfigError, match=r"binance/orderbook/BTC-USDT holds .*nothing to estimate"):
            await STYLE.count(venue, BOOK, SPAN)

    asyncio.run(ask())


def test_its_newest_row_takes_one_request() -> None:
    query = Query("BTCUSDT", SPAN, 3)
    one = endpoint(Snapshot())
    assert list(STYLE.newest(one, query, HOUR)) == [one.request(query)]
