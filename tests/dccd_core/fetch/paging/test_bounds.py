"""Both ends of a span among ids: found by the rows outside it, so that what is absent inside is seen."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dccd_core.adapter.contract import IdWindows, Query, Request
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import PagingError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, SECOND, TimeRange, Us
from dccd_core.exchanges import binance
from dccd_core.fetch.paging.bounds import Ends, IdBounds, find_bounds
from dccd_core.fetch.venue import Venue
from dccd_core.tables import DataType, empty
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import NOW, TRADES, World, span

SPAN = span("2024-05-31", "2024-06-01")
PAGING = IdWindows(before=binance.trade_before_request)


def borders(world: World, part: TimeRange, paging: IdWindows = PAGING) -> IdBounds:
    async def find(venue: Venue) -> IdBounds:
        return await find_bounds(venue, TRADES, paging, part)

    return world.with_venue(find)


def ids(world: World, part: TimeRange) -> range:
    tape = world.market.tape("binance", TRADES.symbol)
    return range(tape.count_before(part.start), tape.count_before(part.end))


MILLI = span("2024-05-31T10:00:00.001", "2024-05-31T10:00:00.002")


@pytest.mark.parametrize("part", [SPAN, MILLI, TimeRange(Us(SPAN.start + 1), Us(SPAN.end - 1))], ids=str)
def test_the_ids_of_a_span_cost_three_requests(tmp_path: Path, part: TimeRange) -> None:
    world = World(tmp_path)
    assert borders(world, part) == IdBounds(part, ids(world, part), 3)
    assert world.requests() == 3


def test_rows_that_are_withheld_at_the_ends_still_belong_to_the_span(tmp_path: Path) -> None:
    world = World(tmp_path)
    whole = ids(world, SPAN)
    world.faults(
        Fault(kind=FaultKind.MISSING_TRADES, first_id=whole[0], last_id=whole[4]),
        Fault(kind=FaultKind.MISSING_TRADES, first_id=whole[-3], last_id=whole[-1]),
    )
    assert borders(world, SPAN).ids == whole


def test_the_span_ends_where_the_venue_s_trades_are_final(tmp_path: Path) -> None:
    world = World(tmp_path)
    part = TimeRange(Us(NOW - HOUR), Us(NOW + HOUR))
    final = TimeRange(part.start, Us(NOW - 5 * SECOND))
    found = borders(world, part)
    assert (found.span, found.ids) == (final, ids(world, final))


def test_nothing_is_final_in_the_venue_s_future(tmp_path: Path) -> None:
    world = World(tmp_path)
    part = TimeRange(Us(NOW + HOUR), Us(NOW + 2 * HOUR))
    assert borders(world, part) == IdBounds(TimeRange(part.start, part.start), range(0), 1)


def test_the_first_id_of_all_is_looked_up(tmp_path: Path) -> None:
    world = World(tmp_path)
    listed = world.market.tape("binance", TRADES.symbol).first_time
    part = TimeRange(Us(listed - HOUR), Us(listed + HOUR))
    assert borders(world, part) == IdBounds(part, ids(world, part), 4)


def test_before_the_listing_there_are_no_ids(tmp_path: Path) -> None:
    part = span("2010-01-01", "2010-01-02")
    found = borders(World(tmp_path), part)
    assert (found.span, len(found.ids)) == (part, 0)


def newest(query: Query) -> Request:
    return Request("/api/v3/aggTrades", {"symbol": query.market, "limit": "1"}, weight=4)


def test_a_venue_that_ignores_the_time_is_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(
        PagingError, match=r"^\[binance /api/v3/aggTrades BTC/USDT\] asked for the row"
    ) as caught:
        borders(world, TimeRange(Us(SPAN.start + HOUR), SPAN.end), IdWindows(before=newest))
    assert caught.value.hint


def test_ids_that_do_not_grow_with_time_are_an_error(tmp_path: Path) -> None:
    world = World(tmp_path)
    endpoint = world.exchange.endpoints[DataType.TRADES]

    def decode(body: bytes, at: Us) -> pl.DataFrame:
        falling = 10**9 - pl.col("trade_id").cast(int)
        return endpoint.decode(body, at).with_columns(trade_id=falling.cast(pl.String))

    world.exchange = replace(world.exchange, endpoints={DataType.TRADES: replace(endpoint, decode=decode)})
    with pytest.raises(PagingError, match=r"^\[binance /api/v3/aggTrades BTC/USDT\] id \d+ comes before"):
        borders(world, SPAN)


@pytest.mark.parametrize("exchange", ["okx", "coinbase"])
@pytest.mark.parametrize("missing", [0, 1, 3, 6])
def test_ids_absent_at_a_border_are_on_its_far_side_where_ids_are_looked_at_downwards(
    tmp_path: Path, exchange: str, missing: int
) -> None:
    """The rows behind a hole at the border are not taken for rows of the span before it."""
    world = World(tmp_path, exchange=exchange)
    symbol = Symbol.parse("BTC/USDT" if exchange == "okx" else "BTC/USD")
    dataset, paging = (
        Dataset(exchange, symbol, DataType.TRADES),
        world.exchange.endpoints[DataType.TRADES].paging,
    )
    assert isinstance(paging, IdWindows)
    tape = world.market.tape(exchange, symbol)
    first, stop = tape.count_before(SPAN.start), tape.count_before(SPAN.end)
    world.faults(Fault(kind=FaultKind.MISSING_TRADES, first_id=stop, last_id=stop + missing - 1))
    found = world.with_venue(lambda venue: find_bounds(venue, dataset, paging, SPAN))
    assert found.ids == range(first + 1, stop + missing + 1)  # these venues count from 1


@pytest.mark.parametrize("exchange", ["okx", "coinbase", "binance"])
def test_a_day_with_ids_missing_at_both_ends_says_so(tmp_path: Path, exchange: str) -> None:
    world = World(tmp_path, exchange=exchange)
    symbol = Symbol.parse("BTC/USD" if exchange == "coinbase" else "BTC/USDT")
    dataset, tape = Dataset(exchange, symbol, DataType.TRADES), world.market.tape(exchange, symbol)
    first, stop = tape.count_before(SPAN.start), tape.count_before(SPAN.end)
    world.faults(
        Fault(kind=FaultKind.MISSING_TRADES, first_id=first, last_id=first + 2),
        Fault(kind=FaultKind.MISSING_TRADES, first_id=stop - 3, last_id=stop - 1),
    )
    world.fill(dataset, "2024-05-31")
    assert sum(missing for _, missing, _ in world.holes(dataset, "2024-05-31")) == 6
    assert world.lake.quarantined(dataset, "2024-05-31").height == 0


def trades(*rows: tuple[int, int]) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "ts": [ts for _, ts in rows],
            "price": [1.0] * len(rows),
            "amount": [1.0] * len(rows),
            "side": [None] * len(rows),
            "trade_id": [str(number) for number, _ in rows],
            "received": [None] * len(rows),
        }
    )
    return frame.cast(empty(DataType.TRADES).schema)


def absent(part: IdBounds, *pages: pl.DataFrame) -> list[tuple[int, int, int]]:
    found: list[tuple[TimeRange, int]] = []
    ends = Ends(part, found)
    for page in pages:
        ends.see(page)
    ends.close()
    return [(gap.start, gap.end, missing) for gap, missing in found]


PART = IdBounds(TimeRange(Us(100), Us(200)), range(7, 12), 2)


def test_ids_at_both_ends_that_did_not_come_are_absent() -> None:
    assert absent(PART, trades((7, 100), (8, 120)), trades((11, 180))) == []
    assert absent(PART, trades(), trades((9, 120)), trades(), trades((10, 150)), trades()) == [
        (100, 121, 2),
        (150, 200, 1),
    ]


def test_rows_of_one_moment_may_come_in_any_order() -> None:
    assert absent(PART, trades((9, 120), (8, 120), (7, 120)), trades((11, 180), (10, 180))) == []


def test_when_nothing_came_all_is_absent() -> None:
    assert absent(PART) == [(100, 200, 5)]
    assert absent(replace(PART, ids=range(7, 7))) == []
    assert absent(replace(PART, ids=range(0))) == []
