"""What REST is asked for, what its answers prove, and what that may cost."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import (
    Endpoint,
    Exchange,
    IdWindows,
    Limit,
    Query,
    Reach,
    Recent,
    Request,
    Response,
    TimeWindows,
)
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import Unavailable
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.net.clock import ManualClock
from dccd_core.stream.asking import (
    Allowance,
    Answered,
    allowance,
    newest_rows,
    rows_between,
    rows_of_ids,
    shows_newest_only,
)
from dccd_core.tables import DataType, empty

A = Symbol.parse("A/USD")
TRADES = Dataset("x", A, DataType.TRADES)
BARS = Dataset("x", A, DataType.OHLC, MINUTE)
START = Us(1_000 * MINUTE)
PAGE = 5


def at(count: float) -> Us:
    """Return so many seconds after the start."""
    return Us(START + round(count * SECOND))


def span(start: float, end: float) -> TimeRange:
    return TimeRange(at(start), at(end))


def rows_of(data_type: DataType, times: Sequence[int]) -> pl.DataFrame:
    """Return rows; a trade's id is its place."""
    schema = data_type.table.schema
    count = len(times)
    numbers = {"price": 1.0, "amount": 1.0, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 2.0}
    frame = pl.DataFrame({name: [numbers.get(name)] * count for name in schema.names()})
    frame = frame.with_columns(ts=pl.Series(times, dtype=pl.Int64))
    if data_type is DataType.TRADES:
        frame = frame.with_columns(trade_id=pl.col("ts").cast(pl.String))
    return frame.cast({name: schema[name] for name in schema.names()})


def _trades_request(query: Query) -> Request:
    return Request("/trades", {"symbol": query.market}, pool="public")


def _bars_request(query: Query) -> Request:
    return Request("/bars", {"start": str(query.span.start), "end": str(query.span.end)})


def _trades(body: bytes, _: Us) -> pl.DataFrame:
    return rows_of(DataType.TRADES, json.loads(body))


def _bars(body: bytes, _: Us) -> pl.DataFrame:
    return rows_of(DataType.OHLC, json.loads(body))


def exchange() -> Exchange:
    """Return one that shows the newest trades only, and its bars as they are asked for."""
    newest = Endpoint(
        docs="",
        path="/trades",
        page_limit=PAGE,
        paging=Recent(),
        request=_trades_request,
        decode=_trades,
        reach=Reach(rows=PAGE),
    )
    bars = Endpoint(
        docs="",
        path="/bars",
        page_limit=PAGE,
        paging=TimeWindows(),
        request=_bars_request,
        decode=_bars,
        spans=(MINUTE,),
    )
    return replace(
        get("binance"),
        name="x",
        title="X",
        market=str,
        finality_delay=Us(2 * SECOND),
        limits=(Limit(100, MINUTE, "public"), Limit(10, SECOND)),
        endpoints={DataType.TRADES: newest, DataType.OHLC: bars},
        special={},
    )


class Desk:
    """``trades`` and ``bars`` are the times of all there are; the newest of the former are shown."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.trades: list[int] = []
        self.bars: list[int] = []
        self.asked: list[str] = []
        self.fails = False

    async def send(self, request: Request) -> Response:
        self.asked.append(request.path)
        if self.fails:
            raise Unavailable("nobody is there")
        now = self.clock.now()
        found = [one for one in self.trades if one <= now][-PAGE:]
        if request.path == "/bars":
            start, end = int(request.params["start"]), int(request.params["end"])
            found = [one for one in self.bars if start <= one < end][:PAGE]
        headers = {"date": formatdate(now // SECOND, usegmt=True)}
        return Response(200, headers, json.dumps(found).encode(), now)


class World:
    def __init__(self, seconds: float) -> None:
        self.clock = ManualClock(at(seconds))
        self.desk = Desk(self.clock)
        self.venue = Venue(exchange(), self.desk, self.clock)

    def between(self, dataset: Dataset, span: TimeRange, *, any_will_do: bool = False) -> Answered:
        return asyncio.run(rows_between(self.venue, dataset, span, any_will_do=any_will_do))

    def newest(self) -> Answered:
        return asyncio.run(newest_rows(self.venue, TRADES))


def times(told: Answered) -> list[float]:
    return [(one - START) / SECOND for one in told.rows["ts"].to_physical().to_list()]


class TestRowsBetween:
    def test_all_that_is_final_and_nothing_else(self) -> None:
        world = World(600)
        world.desk.bars = [at(60 * minute) for minute in range(10)]
        told = world.between(BARS, span(60, 600))
        assert times(told) == [60 * minute for minute in range(1, 9)]
        assert (told.span, told.since) == (span(60, 540), None)  # the tenth is not final yet
        assert told.requests == len(world.desk.asked) == 2

    def test_any_row_will_do_where_only_that_is_asked(self) -> None:
        world = World(6_000)
        world.desk.bars = [at(60 * minute) for minute in range(90)]
        told = world.between(BARS, span(0, 5_400), any_will_do=True)
        assert len(times(told)) == PAGE
        assert told.span.end <= at(60 * PAGE)  # nothing is said of what was not read

    def test_emptiness_is_proven_too(self) -> None:
        told = World(600).between(BARS, span(60, 300))
        assert (times(told), told.span) == ([], span(60, 300))

    def test_what_the_newest_rows_do_not_reach_back_to_is_not_said_to_be_there(self) -> None:
        world = World(600)
        world.desk.trades = [at(second) for second in range(500, 591, 10)]
        told = world.between(TRADES, span(400, 590))
        assert (times(told), told.span.start) == ([560, 570, 580], at(550) + 1)
        assert told.since == at(550) + 1

    def test_an_answer_that_is_all_too_new_says_nothing(self) -> None:
        world = World(600)
        world.desk.trades = [Us(at(599) + n) for n in range(10)]
        told = world.between(TRADES, span(400, 590))
        assert (times(told), told.span) == ([], span(590, 590))

    def test_it_does_not_answer(self) -> None:
        world = World(600)
        world.desk.fails = True
        with pytest.raises(Unavailable):
            world.between(BARS, span(60, 300))


class TestNewestRows:
    def test_from_right_after_the_first_to_the_last_one(self) -> None:
        world = World(600)
        world.desk.trades = [at(second) for second in (500, 560, 560, 570, 598)]
        told = world.newest()
        assert times(told) == [560, 560, 570, 598]  # of the first moment others may not be shown
        assert told.span == TimeRange(Us(at(500) + 1), at(598))

    def test_of_one_moment_alone_nothing_is_said(self) -> None:
        world = World(600)
        world.desk.trades = [at(500)] * 5
        told = world.newest()
        assert (told.rows.height, told.span.length) == (0, 0)

    def test_of_no_rows_either(self) -> None:
        told = World(600).newest()
        assert (told.rows.schema, told.span) == (empty(DataType.TRADES).schema, TimeRange(ZERO, ZERO))

    def test_who_shows_no_more_is_known(self) -> None:
        venue = World(600).venue
        assert shows_newest_only(venue.endpoint(TRADES))
        assert not shows_newest_only(venue.endpoint(BARS))


class TestAllowance:
    def test_a_twentieth_of_the_tightest_limit(self) -> None:
        one = Allowance([(60, MINUTE), (1_000, SECOND)], 1, ZERO)  # one a second, so three a minute
        asked = 0
        for second in range(600):
            if one.allows(Us(second * SECOND)):
                one.spend(1, Us(second * SECOND))
                asked += 1
        assert asked == 30

    def test_a_heavy_request_counts_for_what_it_weighs(self) -> None:
        one = Allowance([(60, MINUTE)], 5, ZERO)
        one.spend(1, ZERO)
        assert not one.allows(Us(99 * SECOND))
        assert one.allows(Us(100 * SECOND))

    def test_what_was_not_spent_is_worth_a_few_questions_and_no_more(self) -> None:
        one, now = Allowance([(60, MINUTE)], 1, ZERO), Us(10_000 * SECOND)
        asked = 0
        while one.allows(now):
            one.spend(1, now)
            asked += 1
        assert asked == 8

    def test_more_than_is_left_has_to_be_waited_for(self) -> None:
        one = Allowance([(60, MINUTE)], 1, ZERO)
        one.spend(4, ZERO)
        assert not one.allows(Us(79 * SECOND))
        assert one.allows(Us(80 * SECOND))

    def test_it_is_of_the_limits_that_the_question_counts_against(self) -> None:
        one = allowance(World(600).venue, TRADES, ZERO)  # five a minute
        one.spend(1, ZERO)
        assert not one.allows(Us(11 * SECOND))
        assert one.allows(Us(12 * SECOND))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=15))
def test_of_the_newest_rows_none_of_a_moment_is_lost_or_doubled(steps: list[int]) -> None:
    """Many share a moment, which the page may cut through."""
    world = World(100)
    world.desk.trades = [at(50) + sum(steps[: place + 1]) for place in range(len(steps))]
    told = world.newest()
    times = [one for one in world.desk.trades if told.span.start <= one < told.span.end]
    assert told.rows.filter(pl.col("ts").to_physical() < told.span.end)["ts"].to_physical().to_list() == times


class TestIds:
    def ask(self, ids: range, *, known: int) -> tuple[Answered | None, list[str]]:
        """Ask a venue that knows ids up to ``known``, five a page."""
        world = World(100)
        venue = Venue(by_ids(known), world.desk, world.clock)
        return asyncio.run(rows_of_ids(venue, TRADES, ids)), world.desk.asked

    def test_all_of_them_are_asked_for_page_by_page(self) -> None:
        told, asked = self.ask(range(3, 10), known=20)
        assert told is not None
        assert told.rows["trade_id"].to_list() == [str(one) for one in range(3, 10)]
        assert (told.requests, len(asked)) == (2, 2)

    def test_some_of_them_are_none(self) -> None:
        told, _ = self.ask(range(3, 10), known=8)
        assert told is None


def by_ids(known: int) -> Exchange:
    """Return one whose trades are asked for by id, each at as many seconds."""

    def decode(_: bytes, __: Us) -> pl.DataFrame:
        ids = range(asked[-1], min(asked[-1] + PAGE, known + 1))
        rows = rows_of(DataType.TRADES, [at(one) for one in ids])
        return rows.with_columns(trade_id=pl.Series([str(one) for one in ids], dtype=pl.String))

    def request(query: Query) -> Request:
        assert query.first_id is not None
        asked.append(query.first_id)
        return Request("/ids", {"from": str(query.first_id)}, pool="public")

    asked = list[int]()
    one = exchange()
    trades = replace(one.endpoints[DataType.TRADES], paging=IdWindows(), request=request, decode=decode)
    return replace(one, endpoints={DataType.TRADES: trades})
