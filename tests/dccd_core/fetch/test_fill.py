"""Filling partitions gives the truth: whatever the pages look like, in any order, twice, after a failure."""

import asyncio
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod, partition_span
from dccd_core.domain.errors import ConfigError, Rejected
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import (
    DAY,
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    WEEK,
    TimeRange,
    Us,
    parse_time,
    us,
)
from dccd_core.fetch.fill import Filled, fill
from dccd_core.fetch.snapshot import snapshot
from dccd_core.fetch.venue import Venue
from dccd_core.lake.partition.ledger import Condition, Source
from dccd_core.net.clock import ManualClock
from dccd_core.quality.holes import AFTER_END, BEFORE_LISTING, NO_TRADES
from dccd_core.tables import TIME, DataType
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars, content_hash, same, span, transient

NEW = Symbol("NEW", "USDT")
NEW_TRADES = Dataset("binance", NEW, DataType.TRADES)
LISTED = parse_time("2024-02-10T08:00")
CLOSED = [
    (bars(), "2024-02"),
    (bars(), "2021-04"),  # an outage that begins inside a minute
    (bars(HOUR), "2023"),
    (bars(DAY), "2023"),
    (bars(Us(3 * DAY)), "2023"),
    (bars(WEEK), "2023"),
    (TRADES, "2024-05-31"),
    (TRADES, "2021-04-25"),
]
HOSTILE = [  # rows first: what breaks a body comes after what rewrites it
    Fault(kind=FaultKind.SHORT_PAGE, probability=0.6),
    Fault(kind=FaultKind.DUPLICATED, probability=0.7),
    Fault(kind=FaultKind.REORDERED, probability=0.7),
    *transient(0.03),
]


@pytest.mark.parametrize(("dataset", "key"), CLOSED, ids=lambda value: str(value))
def test_a_closed_partition_equals_the_truth(tmp_path: Path, dataset: Dataset, key: str) -> None:
    world = World(tmp_path)
    filled = world.fill(dataset, key)
    assert same(world.stored(dataset, key), world.truth(dataset, key))
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert filled.state is not None
    [asked] = filled.state.ledger.asked
    assert (asked.span, asked.source) == (partition_span(dataset.grain, key), Source.REST)
    assert asked.rows == filled.rows == filled.state.rows == world.truth(dataset, key).height
    assert world.lake.verify(dataset, key) == filled.state


@pytest.mark.parametrize(
    "dataset", [bars(SECOND), bars(), bars(HOUR), bars(DAY), bars(WEEK), TRADES], ids=str
)
def test_an_open_partition_ends_where_things_are_final_and_resumes_there(
    tmp_path: Path, dataset: Dataset
) -> None:
    first, later = parse_time("2024-06-03T01:10:07"), parse_time("2024-06-03T01:25:31")
    key = {"month": "2024-06", "year": "2024", "day": "2024-06-03"}[dataset.grain]
    if dataset.span == SECOND:  # a month of seconds is long: begin with the month
        first, later = Us(first - 2 * DAY), Us(later - 2 * DAY)
    world = World(tmp_path, first)
    for now in (first, later):
        world.at(now).fill(dataset, key)
        length = dataset.span or Us(0)
        final = world.truth(dataset, key, Us(now - 5 * SECOND - length + 1 if length else now - 5 * SECOND))
        assert same(world.stored(dataset, key), final)
        assert world.condition(dataset, key) is Condition.PENDING
    assert max(at for _, at in world.told) <= later
    assert [at for _, at in world.told] == sorted(at for _, at in world.told)


@pytest.mark.parametrize(("dataset", "key"), [(bars(), "2024-02"), (TRADES, "2024-05-31")], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_hostile_venue_changes_nothing(tmp_path: Path, dataset: Dataset, key: str, seed: int) -> None:
    world = World(tmp_path, seed=seed)
    world.faults(*HOSTILE)
    state = world.fill(dataset, key).state
    assert state is not None
    assert state.content_hash == content_hash(tmp_path / "truth", dataset, key, world.truth(dataset, key))
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert world.requests() > state.ledger.requests, "nothing was asked again: the faults did not strike"


@pytest.mark.parametrize(
    ("dataset", "keys"),
    [(bars(), ["2024-01", "2024-02", "2024-03"]), (TRADES, ["2024-05-29", "2024-05-30", "2024-05-31"])],
    ids=str,
)
def test_neither_the_order_of_partitions_nor_a_second_time_matters(
    tmp_path: Path, dataset: Dataset, keys: list[str]
) -> None:
    forwards, backwards = World(tmp_path / "a"), World(tmp_path / "b")
    for key in keys:
        forwards.fill(dataset, key)
    for key in reversed(keys):
        backwards.fill(dataset, key)
    hashes = {key: state.content_hash for key, state in forwards.lake.states(dataset).items()}
    assert hashes == {key: state.content_hash for key, state in backwards.lake.states(dataset).items()}
    before, states = forwards.requests(), forwards.lake.states(dataset)
    assert [forwards.fill(dataset, key) for key in keys] == [Filled(states[key]) for key in keys]
    assert forwards.requests() == before
    assert forwards.lake.states(dataset) == states


@pytest.mark.parametrize(("dataset", "key"), [(bars(), "2024-02"), (TRADES, "2024-05-31")], ids=str)
@pytest.mark.parametrize("window", [0, 1, 4])
def test_what_came_before_a_failure_is_kept_and_only_the_rest_is_asked(
    tmp_path: Path, dataset: Dataset, key: str, window: int
) -> None:
    world = World(tmp_path)
    truth = world.truth(dataset, key)
    first = truth.row(1_000 * window, named=True)
    value = str(us(first["ts"]) // MILLISECOND) if dataset.span else first["trade_id"]
    said = '{"code":-1102,"msg":"Mandatory parameter is malformed."}'
    # a fault strikes by any value of a request: here by where the window begins
    world.faults(Fault(kind=FaultKind.STATUS, status=400, body=said, symbol=value))
    with pytest.raises(Rejected, match="Mandatory parameter is malformed"):
        world.fill(dataset, key)
    assert same(world.stored(dataset, key), truth.head(1_000 * window))
    assert world.condition(dataset, key) is (Condition.PENDING if window else Condition.MISSING)

    world.faults()
    rest = world.fill(dataset, key)
    assert rest.state is not None
    assert rest.state.content_hash == content_hash(tmp_path / "truth", dataset, key, truth)
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert rest.rows <= truth.height - 1_000 * window + 100  # ties at the border come again


def test_nothing_is_asked_of_a_partition_that_has_not_begun(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.fill(bars(), "2024-07") == Filled(None)
    assert world.fill(TRADES, "2024-06-06") == Filled(None)
    assert world.requests() == 0
    assert not list((tmp_path / "lake").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("dataset", "key"),
    [(bars(MINUTE, NEW), "2024-01"), (bars(DAY, NEW), "2023"), (NEW_TRADES, "2024-02-09")],
    ids=str,
)
def test_before_the_listing_there_is_nothing_and_that_is_proven(
    tmp_path: Path, dataset: Dataset, key: str
) -> None:
    world = World(tmp_path)
    filled = world.fill(dataset, key)
    assert (filled.requests, world.requests(), filled.rows) == (1, 1, 0)
    assert world.condition(dataset, key) is Condition.AVAILABLE
    whole = partition_span(dataset.grain, key)
    expected = [(whole, whole.length // dataset.span, BEFORE_LISTING)] if dataset.span else []
    assert world.holes(dataset, key) == expected
    assert world.fill(dataset, key).requests == 0


@pytest.mark.parametrize(
    ("dataset", "key"),
    [(bars(MINUTE, NEW), "2024-02"), (bars(DAY, NEW), "2024"), (bars(WEEK, NEW), "2024")],
    ids=str,
)
def test_bars_begin_with_the_listing(tmp_path: Path, dataset: Dataset, key: str) -> None:
    world = World(tmp_path, parse_time("2025-01-20"))
    world.fill(dataset, key)
    truth = world.truth(dataset, key)
    assert same(world.stored(dataset, key), truth)
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert dataset.span
    first = Us(int(truth["ts"].to_physical()[0]))
    assert first <= LISTED < first + dataset.span
    [(hole, _, proof)] = world.holes(dataset, key)
    assert (hole.end, proof) == (first, BEFORE_LISTING)


def test_trades_begin_with_the_listing(tmp_path: Path) -> None:
    world, trades = World(tmp_path), NEW_TRADES
    world.fill(trades, "2024-02-10")
    truth = world.truth(trades, "2024-02-10")
    assert truth["trade_id"][0] == "0"
    assert same(world.stored(trades, "2024-02-10"), truth)
    assert world.condition(trades, "2024-02-10") is Condition.AVAILABLE
    assert world.holes(trades, "2024-02-10") == []


def test_a_symbol_that_gets_listed_between_two_fills_loses_nothing(tmp_path: Path) -> None:
    """Asked shortly before the listing, by a client whose clock is ahead of the venue's."""
    for dataset, key in [
        (bars(MINUTE, NEW), "2024-02"),
        (NEW_TRADES, "2024-02-10"),
    ]:
        world = World(tmp_path / dataset.data_type)
        world.at(Us(LISTED + 4 * MINUTE), Us(LISTED - 90 * SECOND)).fill(dataset, key)
        assert world.stored(dataset, key).is_empty()
        world.at(Us(LISTED + HOUR)).fill(dataset, key)
        until = Us(LISTED + HOUR - (MINUTE if dataset.span else 5 * SECOND))
        assert same(world.stored(dataset, key), world.truth(dataset, key, until))
        assert not [hole for hole in world.holes(dataset, key) if hole[2] is None]


def test_outages_and_quiet_minutes(tmp_path: Path) -> None:
    """Nothing trades in either; the venue leaves out the bars of an outage and makes quiet ones."""
    world = World(tmp_path, outages=["2024-05-31T10:00/2024-05-31T12:30"])
    world.fill(bars(), "2024-05")
    assert same(world.stored(bars(), "2024-05"), world.truth(bars(), "2024-05"))
    assert world.stored(bars(), "2024-05").filter(volume=0).height > 1_000
    outage = span("2024-05-31T10:00", "2024-05-31T12:30")
    assert world.holes(bars(), "2024-05") == [(outage, 150, NO_TRADES)]
    assert world.condition(bars(), "2024-05") is Condition.AVAILABLE
    before = world.requests()
    world.fill(bars(), "2024-05")
    assert world.requests() == before, "what is explained is not asked again"


def test_an_outage_over_the_place_where_we_stopped_is_one_proven_hole(tmp_path: Path) -> None:
    world = World(tmp_path, outages=["2024-06-01T02:00/2024-06-01T03:00"])
    for now in ("2024-06-01T02:30:10", "2024-06-01T04:00:10"):
        world.at(parse_time(now)).fill(bars(), "2024-06")
    until = parse_time("2024-06-01T04:00")
    assert same(world.stored(bars(), "2024-06"), world.truth(bars(), "2024-06", until))
    outage = span("2024-06-01T02:00", "2024-06-01T03:00")
    assert world.holes(bars(), "2024-06") == [(outage, 60, NO_TRADES)]


def test_a_snapshot_joins_the_partition_of_today(tmp_path: Path) -> None:
    world, books = World(tmp_path), Dataset("binance", Symbol("BTC", "USDT"), DataType.ORDERBOOK)
    for moment in (NOW, Us(NOW + MINUTE)):
        world.at(moment)
        filled = world.with_venue(lambda venue: snapshot(venue, world.lake, books, "2024-06-05", 5))
        assert (filled.requests, filled.rows) == (1, 10)
    rows = world.stored(books, "2024-06-05")
    assert rows["ts"].unique().to_physical().sort().to_list() == [NOW, NOW + MINUTE]
    assert rows["level"].to_list() == [0, 1, 2, 3, 4] * 4
    bids = rows.filter(side="bid", ts=rows["ts"][0])["price"]
    assert bids.is_sorted(descending=True)


def test_order_books_of_the_past_cannot_be_had(tmp_path: Path) -> None:
    world, books = World(tmp_path), Dataset("binance", Symbol("BTC", "USDT"), DataType.ORDERBOOK)
    with pytest.raises(ConfigError, match="only shows the present"):
        world.with_venue(lambda venue: snapshot(venue, world.lake, books, "2024-06-04", 5))
    with pytest.raises(ConfigError, match="use snapshot"):
        world.with_venue(lambda venue: fill(venue, world.lake, books, "2024-06-05", world.progress))
    assert world.requests() == 0


def test_rows_of_a_fill_are_what_came_not_what_is_there(tmp_path: Path) -> None:
    """Field defect 19: counts that include what was rewritten."""
    world = World(tmp_path, parse_time("2024-06-01T01:00:30"))
    world.fill(bars(), "2024-06")
    filled = world.at(parse_time("2024-06-01T01:30:30")).fill(bars(), "2024-06")
    assert filled.rows == 30
    assert filled.state is not None
    assert filled.state.rows == 90
    assert [asked.span for asked in filled.state.ledger.asked] == [
        TimeRange(parse_time("2024-06-01"), parse_time("2024-06-01T01:30"))
    ]


class TestWithin:
    """A part of a partition: what lies outside of it is left for another time."""

    def windows(
        self, world: World, dataset: Dataset, key: str, *windows: TimeRange, life: ListingPeriod = UNKNOWN
    ) -> list[Filled]:
        return [
            world.with_venue(
                lambda venue, part=part: fill(
                    venue, world.lake, dataset, key, world.progress, life, within=part
                )
            )
            for part in windows
        ]

    def asked(self, world: World, dataset: Dataset, key: str) -> list[TimeRange]:
        state = world.lake.state(dataset, key)
        return [asked.span for asked in state.ledger.asked] if state else []

    @pytest.mark.parametrize(("dataset", "key"), [(bars(), "2024-05"), (TRADES, "2024-05-31")], ids=str)
    def test_only_that_is_asked_and_the_rest_can_follow(
        self, tmp_path: Path, dataset: Dataset, key: str
    ) -> None:
        world = World(tmp_path)
        late, early = (
            span("2024-05-31T20:00", "2024-05-31T21:30"),
            span("2024-05-31T03:00", "2024-05-31T04:00"),
        )
        filled = self.windows(world, dataset, key, late, early)
        truth = world.truth(dataset, key)
        inside = [
            truth.filter(pl.col("ts").is_between(*moments(part), closed="left")) for part in (early, late)
        ]
        assert same(world.stored(dataset, key), pl.concat(inside))
        assert [one.rows for one in reversed(filled)] == [part.height for part in inside]
        assert self.asked(world, dataset, key) == [early, late]
        assert world.holes(dataset, key) == []
        assert world.condition(dataset, key) is Condition.DEGRADED, "what lies before was not asked for"

        assert world.fill(dataset, key).rows == truth.height - sum(part.height for part in inside)
        assert world.condition(dataset, key) is Condition.AVAILABLE
        assert same(world.stored(dataset, key), truth)

    def test_borders_need_not_be_those_of_the_partition_nor_of_bars(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        uneven = span("2024-04-30T12:00", "2024-05-01T00:02:30")
        outside = span("2024-06-01", "2024-06-02")
        filled, none = self.windows(world, bars(), "2024-05", uneven, outside)
        assert self.asked(world, bars(), "2024-05") == [span("2024-05-01", "2024-05-01T00:02:30")]
        assert (filled.rows, none) == (3, Filled(filled.state))
        world.fill(bars(), "2024-05")
        assert same(world.stored(bars(), "2024-05"), world.truth(bars(), "2024-05"))

    def test_what_is_there_or_outside_costs_nothing(self, tmp_path: Path) -> None:
        world, inside = World(tmp_path), span("2024-05-31T20:00", "2024-05-31T21:00")
        assert self.windows(world, TRADES, "2024-05-30", inside) == [Filled(None)]
        assert world.requests() == 0
        world.fill(TRADES, "2024-05-31")
        before = world.requests()
        assert self.windows(world, TRADES, "2024-05-31", inside)[0].requests == 0
        assert world.requests() == before

    def test_what_is_not_final_yet_is_left_out(self, tmp_path: Path) -> None:
        world = World(tmp_path, parse_time("2024-05-31T20:30"))
        self.windows(world, bars(), "2024-05", span("2024-05-31T20:00", "2024-05-31T21:00"))
        assert self.asked(world, bars(), "2024-05") == [span("2024-05-31T20:00", "2024-05-31T20:29")]

    def test_the_end_of_trading_is_noted_no_further(self, tmp_path: Path) -> None:
        world, life = World(tmp_path), ListingPeriod(ended=parse_time("2024-05-31T20:30"))
        part = span("2024-05-31T20:00", "2024-05-31T21:00")
        [filled] = self.windows(world, bars(), "2024-05", part, life=life)
        assert filled.rows == 30
        assert self.asked(world, bars(), "2024-05") == [part]
        after = span("2024-05-31T20:30", "2024-05-31T21:00")
        assert world.holes(bars(), "2024-05") == [(after, 30, AFTER_END)]

    def test_the_listing_is_still_found_when_a_later_part_came_first(self, tmp_path: Path) -> None:
        world, dataset = World(tmp_path), bars(MINUTE, NEW)
        self.windows(world, dataset, "2024-02", span("2024-02-20", "2024-02-21"))
        assert world.holes(dataset, "2024-02") == []
        world.fill(dataset, "2024-02")
        assert same(world.stored(dataset, "2024-02"), world.truth(dataset, "2024-02"))
        assert world.condition(dataset, "2024-02") is Condition.AVAILABLE
        before = TimeRange(parse_time("2024-02-01"), LISTED)
        assert world.holes(dataset, "2024-02") == [(before, before.length // MINUTE, BEFORE_LISTING)]


def moments(part: TimeRange) -> tuple[pl.Expr, pl.Expr]:
    return pl.lit(part.start).cast(TIME), pl.lit(part.end).cast(TIME)


@pytest.mark.parametrize(("dataset", "key"), [(bars(), "2024-02"), (TRADES, "2024-05-31")], ids=str)
@pytest.mark.parametrize("page", [0, 1, 3])
def test_h8_a_cancelled_fill_stores_what_came_and_the_next_asks_for_the_rest(
    tmp_path: Path, dataset: Dataset, key: str, page: int
) -> None:
    world, pages = World(tmp_path), list[Us]()

    async def cancelled(venue: Venue) -> None:
        def told(_: Dataset, __: str, ___: int, until: Us) -> None:
            pages.append(until)
            if len(pages) == page + 1:
                work.cancel()

        work = asyncio.ensure_future(fill(venue, world.lake, dataset, key, told))
        with pytest.raises(asyncio.CancelledError):
            await work

    world.with_venue(cancelled)
    held = world.lake.state(dataset, key)
    assert held is not None
    until = held.ledger.covered_until(partition_span(dataset.grain, key))
    assert until == pages[-1]
    stored = world.stored(dataset, key)
    assert same(stored, world.truth(dataset, key).head(stored.height))
    assert stored.height >= world.truth(dataset, key, until).height

    asked = world.requests()
    left = world.truth(dataset, key).height - held.rows
    filled = world.fill(dataset, key)
    assert same(world.stored(dataset, key), world.truth(dataset, key))
    assert world.condition(dataset, key) is Condition.AVAILABLE
    assert filled.rows <= left + 100  # ties at the border come again
    assert world.requests() - asked <= -(-left // 1_000) + 4  # the borders of ids, the listing


@pytest.mark.parametrize(("dataset", "key"), [(bars(), "2024-02"), (TRADES, "2024-05-31")], ids=str)
def test_h8_a_long_fill_stores_every_three_minutes_what_it_has(
    tmp_path: Path, dataset: Dataset, key: str
) -> None:
    world, held = World(tmp_path), list[int]()

    class Passing(ManualClock):
        """A minute passes from page to page."""

        def steady(self) -> Us:
            return Us(len(held) * MINUTE)

    async def slow(venue: Venue) -> Filled:
        def told(_: Dataset, __: str, ___: int, ____: Us) -> None:
            state = world.lake.state(dataset, key)
            held.append(state.rows if state else 0)

        return await fill(replace(venue, clock=Passing(NOW)), world.lake, dataset, key, told)

    filled = world.with_venue(slow)
    pages = len(held)
    assert pages > 3
    assert len(set(held)) == -(-pages // 3)
    assert same(world.stored(dataset, key), world.truth(dataset, key))
    assert filled.state is not None
    [asked] = filled.state.ledger.asked
    assert asked.rows == filled.rows == world.truth(dataset, key).height
    assert asked.requests == filled.requests
