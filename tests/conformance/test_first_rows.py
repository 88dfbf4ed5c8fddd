"""An empty answer for the oldest row is no listing: as long as there are newer rows, nobody believes it."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from dccd_core.adapter.contract import FULL, Query, Request, Response
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.tables import DataType
from tests.conformance.test_bad_cells import raw, rows_in
from tests.conformance.test_exchanges import SERVED, Served, endpoint_of
from tests.dccd_core.fetch.world import NOW, World

LISTED = parse_time("2024-02-10T08:00")
SYMBOLS = {"spot": "ETH/USDT", "linear": "BTC/USDT:USDT", "inverse": "BTC/USD:BTC"}


def telling(served: Served) -> Served | None:
    """Return whose oldest row says when history begins: its own, or that of the trades beside bars."""
    trades = (*served[:2], DataType.TRADES)
    beside = [one for one in SERVED if one == trades and served[2] is DataType.OHLC]
    return next((one for one in (served, *beside) if endpoint_of(one).oldest), None)


def dataset_of(served: Served, symbol: str) -> Dataset:
    return Dataset(served[0], Symbol.parse(symbol), served[2], MINUTE if endpoint_of(served).spans else None)


def oldest_of(served: Served, symbol: str) -> Request:
    teller = telling(served)
    assert teller
    oldest, dataset = endpoint_of(teller).oldest, dataset_of(teller, symbol)
    assert oldest
    market = get(served[0]).market(dataset.symbol)
    return oldest(Query(market, TimeRange(Us(0), NOW), 1, dataset.span, market_type=served[1]))


def without_rows(body: bytes) -> bytes:
    page = raw(body)
    for rows in rows_in(page):
        rows.clear()
    return msgspec.json.encode(page)


def hide(world: World, oldest: Request, times: int) -> list[Request]:
    """Let the venue answer nothing so many times when it is asked for an oldest row; return when it was."""
    asked = list[Request]()

    def alter(request: Request, response: Response) -> Response:
        if (request.path, request.params) != (oldest.path, oldest.params):
            return response
        asked.append(request)
        return replace(response, body=without_rows(response.body)) if len(asked) <= times else response

    world.alter = alter
    return asked


TOLD = [served for served in SERVED if telling(served)]
each_told = pytest.mark.parametrize("served", TOLD, ids="-".join)


def test_most_venues_tell_their_oldest_rows() -> None:
    assert {served[0] for served in TOLD} == {"binance", "bitfinex", "bitmex", "bybit", "coinbase", "kraken"}


@each_told
def test_a_first_row_that_is_hidden_for_a_moment_is_found(served: Served, tmp_path: Path) -> None:
    world, dataset = World(tmp_path, NOW, served[0]), dataset_of(served, SYMBOLS[served[1]])
    first = world.with_venue(lambda venue: venue.listed_since(dataset))
    asked = hide(world, oldest_of(served, SYMBOLS[served[1]]), times=3)
    assert world.with_venue(lambda venue: venue.listed_since(dataset)) == first
    assert len(asked) == 4


@each_told
def test_nothing_is_before_the_listing_while_there_are_newer_rows(served: Served, tmp_path: Path) -> None:
    """All of a history would be explained away by one odd answer; it is asked again later instead."""
    world, dataset = World(tmp_path, NOW, served[0]), dataset_of(served, SYMBOLS[served[1]])
    hide(world, oldest_of(served, SYMBOLS[served[1]]), times=1_000)
    with pytest.raises(Unavailable, match=r"no oldest row .* though there are newer ones") as caught:
        world.with_venue(lambda venue: venue.listed_since(dataset))
    assert caught.value.where is not None
    assert (caught.value.where.exchange, caught.value.where.symbol) == (served[0], str(dataset.symbol))
    assert "gave up after 6 attempts" in caught.value.hint
    if endpoint_of(served).reach == FULL:
        key = "2020-03" if dataset.span else "2020-03-01"
        with pytest.raises(Unavailable, match="no oldest row"):
            world.fill(dataset, key)
        assert world.lake.state(dataset, key) is None, "nothing is claimed of it"


@each_told
def test_before_the_first_trade_an_empty_answer_is_believed(served: Served, tmp_path: Path) -> None:
    """Or a bar that is still running, of a week at most."""
    if served[1] != "spot":
        return
    now = Us(LISTED - HOUR)
    world, dataset = World(tmp_path, now, served[0]), dataset_of(served, "NEW/USDT")
    known = world.with_venue(lambda venue: venue.listed_since(dataset))
    assert now - 7 * DAY < known <= now
