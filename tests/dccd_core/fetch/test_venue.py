"""The few facts that one question settles, and errors that say where they come from."""

import asyncio
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import Rejected, UnknownSymbol, Where
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.fetch.venue import Venue
from dccd_core.net.http import Transport
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars

LISTED = parse_time("2024-02-10T08:00")
NEW = bars(MINUTE, Symbol("NEW", "USDT"))


def test_an_error_says_exchange_endpoint_and_symbol(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def ask(venue: Venue) -> object:
        return await venue.ask(TRADES, Request("/api/v3/klines", {"symbol": "BTCUSDT"}), lambda r: r)

    with pytest.raises(Rejected, match="'interval' was not sent") as caught:
        world.with_venue(ask)
    assert caught.value.where == Where("binance", "/api/v3/klines", "BTC/USDT")


def test_what_passes_is_asked_again_until_it_is_good(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.faults(Fault(kind=FaultKind.TRUNCATED, first=3))
    assert world.with_venue(lambda venue: venue.listed_since(NEW)) == LISTED
    assert world.requests() == 4


def test_the_listing_is_asked_once_however_many_want_to_know(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def ask(venue: Venue) -> list[Us]:
        return await asyncio.gather(*(venue.listed_since(dataset) for dataset in [NEW, NEW, TRADES, NEW]))

    assert world.with_venue(ask) == [
        LISTED,
        LISTED,
        world.market.tape("binance", TRADES.symbol).first_time,
        LISTED,
    ]
    assert world.requests() == 2


@pytest.mark.parametrize("length", [MINUTE, DAY])
def test_before_the_listing_only_what_is_final_at_the_venue_is_known_to_be_empty(
    tmp_path: Path, length: Us
) -> None:
    world = World(tmp_path, Us(LISTED + 10 * MINUTE))
    world.venue_now = Us(LISTED - 30 * SECOND)
    new = bars(length, NEW.symbol)
    expected = parse_time("2024-02-10T07:59") if length == MINUTE else parse_time("2024-02-10")
    assert world.with_venue(lambda venue: venue.listed_since(new)) == expected


def test_one_row_comes_with_what_is_final(tmp_path: Path) -> None:
    world = World(tmp_path)
    oldest = world.exchange.endpoints[DataType.TRADES].oldest
    assert oldest is not None

    async def ask(venue: Venue) -> tuple[int, Us]:
        rows, final = await venue.one_row(TRADES, oldest(venue.query(TRADES, TimeRange(Us(0), Us(1)), 1)))
        return rows.height, final

    assert world.with_venue(ask) == (1, NOW - 5 * SECOND)


def test_datasets_are_told_apart(tmp_path: Path) -> None:
    """The first bar of a day opens before the first trade."""
    world, daily = World(tmp_path), bars(DAY, NEW.symbol)
    trades = Dataset("binance", NEW.symbol, DataType.TRADES)

    async def ask(venue: Venue) -> tuple[Us, Us]:
        return await venue.listed_since(daily), await venue.listed_since(trades)

    opened, first = world.with_venue(ask)
    assert opened == parse_time("2024-02-10") < LISTED <= first


class Crowd:
    """A transport that notes how many requests were under way at once."""

    def __init__(self, transport: Transport) -> None:
        self.most = 0
        self._now = 0
        self._transport = transport

    async def send(self, request: Request) -> Response:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return await self._transport.send(request)
        finally:
            self._now -= 1


def test_the_listings_of_several_datasets_are_asked_at_once(tmp_path: Path) -> None:
    async def ask(venue: Venue) -> int:
        crowd = Crowd(venue.transport)
        asking = Venue(venue.exchange, crowd, venue.clock)
        await asyncio.gather(*(asking.listed_since(dataset) for dataset in [NEW, bars(), TRADES]))
        return crowd.most

    assert World(tmp_path).with_venue(ask) == 3


SWAP_TRADES = Dataset("binance", Symbol("BTC", "USDT", "USDT"), DataType.TRADES)
"""Their oldest row cannot be asked for: only the list of symbols says since when there are any."""
SWAPS = "/fapi/v1/exchangeInfo"


def test_a_list_of_symbols_that_could_not_be_had_is_no_listing_at_the_beginning_of_time(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    said = '{"code":-1102,"msg":"Mandatory parameter is malformed."}'
    world.faults(Fault(kind=FaultKind.STATUS, status=400, body=said, path=SWAPS))
    with pytest.raises(Rejected, match="Mandatory parameter is malformed") as caught:
        world.with_venue(lambda venue: venue.listed_since(SWAP_TRADES))
    assert caught.value.where == Where("binance", SWAPS)
    world.faults()
    assert world.with_venue(lambda venue: venue.listed_since(SWAP_TRADES)) > 0


def test_what_a_list_of_symbols_does_not_name_may_always_have_been_there(tmp_path: Path) -> None:
    gone = Dataset("binance", Symbol("GONE", "USDT", "USDT"), DataType.TRADES)
    assert World(tmp_path).with_venue(lambda venue: venue.listed_since(gone)) == 0


def test_what_a_contract_is_worth_is_known_of_those_listed(tmp_path: Path) -> None:
    world = World(tmp_path, exchange="okx")
    assert world.with_venue(lambda venue: venue.contract(Symbol("BTC", "USDT", "USDT"))) == 0.01
    with pytest.raises(UnknownSymbol, match="what its contracts are worth is not known"):
        world.with_venue(lambda venue: venue.contract(Symbol("GONE", "USDT", "USDT")))
