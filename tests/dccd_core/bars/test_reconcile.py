"""Live rows asked for again by REST, and bars held against trades: what differs is found and noted."""

from pathlib import Path

import polars as pl
import pytest

from dccd_core.bars.differences import TRADES as BY_TRADES
from dccd_core.bars.differences import known_differences
from dccd_core.bars.reconcile import Reconciled, live_hour, reconcile_live, reconcile_with_trades
from dccd_core.domain.dataset import Dataset, partition_keys
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.bars.test_diff import spoiled, times
from tests.dccd_core.fetch.world import NOW, TRADES, World, bars, span, truth

LIVE = span("2024-06-05T02:30", "2024-06-05T05:10")
"""What a stream recorded, within the day before NOW."""
ETH = Dataset("binance", Symbol("ETH", "USDT"), TRADES.data_type)
DELAY = get("binance").finality_delay


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, trades_per_day={"BTC/USDT": 20_000, "ETH/USDT": 20_000})


def record(
    world: World, dataset: Dataset, rows: pl.DataFrame, part: TimeRange = LIVE, source: Source = Source.STREAM
) -> None:
    (key,) = partition_keys(dataset.grain, part)
    with world.lake.draft(dataset, key) as draft:
        draft.append(rows)
        draft.commit([Asked(part, source, NOW, 1, rows.height)], NoCheck)


def ask(world: World, *datasets: Dataset, most: int = 100) -> list[Reconciled]:
    held = {dataset: world.lake.all_known(dataset) for dataset in datasets}
    return world.with_venue(lambda venue: reconcile_live(venue, world.lake, held, most))


def test_the_hour_is_a_closed_one_that_a_stream_recorded_another_each_day(world: World) -> None:
    record(world, bars(), truth(world.market, bars(), LIVE))
    states = world.lake.all_known(bars())
    hour = live_hour(bars(), states, NOW, DELAY)
    assert hour is not None
    assert (hour.start % HOUR, hour.length, hour.clip(LIVE)) == (0, HOUR, hour)
    assert live_hour(bars(), states, Us(NOW + 2 * DAY), DELAY) is None, "it is more than a day old"
    shown = Us(LIVE.end - 7 * MINUTE - 1)
    late = live_hour(bars(), states, NOW, DELAY, shown)
    assert late == TimeRange(Us(LIVE.end - 7 * MINUTE), LIVE.end), "the venue shows nothing older"
    record(world, TRADES, truth(world.market, TRADES, LIVE), source=Source.REST)
    assert live_hour(TRADES, world.lake.all_known(TRADES), NOW, DELAY) is None, "no stream recorded it"


def test_hours_take_turns() -> None:
    chosen = set[TimeRange | None]()
    for day in range(12):
        now = Us(NOW + day * DAY)
        whole = TimeRange(Us(now - 2 * DAY), now)
        ledger = Ledger((Asked(whole, Source.STREAM, whole.end, 1, 1),))
        state = State("", 1, None, None, 1, "hash", ledger)
        hour = live_hour(bars(), {"2024-06": state}, now, DELAY)
        assert hour is not None
        assert hour.length == HOUR
        assert now - DAY - HOUR <= hour.start
        assert hour.end <= now
        chosen.add(TimeRange(Us(hour.start % DAY), Us(hour.start % DAY + HOUR)))
    assert len(chosen) > 4


@pytest.mark.parametrize("column", ["open", "close", "low"])
def test_a_live_bar_that_differs_from_rest_is_found_noted_and_not_changed(world: World, column: str) -> None:
    mine = truth(world.market, bars(), LIVE)
    wrong = spoiled(mine, list(range(mine.height)), column).filter(pl.int_range(pl.len()) != 75)
    record(world, bars(), wrong)
    (one,) = ask(world, bars())
    assert (one.diff.compared, one.diff.differ, one.requests, one.why) == (60, 60, 1, "")
    known = known_differences(world.lake, [bars()])[bars()]
    assert len(known) == 60
    assert {row.against for row in known} == {"Binance"}
    said = {row.said.split(" is ")[0] for row in known}
    assert column in said
    assert said <= {column, "missing here"}
    assert world.stored(bars(), "2024-06").equals(wrong)


def test_live_trades_that_rest_tells_otherwise_or_also_are_found(world: World) -> None:
    mine = truth(world.market, TRADES, LIVE)
    gone = list(range(5, mine.height, 40))
    wrong = spoiled(mine, list(range(mine.height)), "price").filter(~pl.int_range(pl.len()).is_in(gone))
    record(world, TRADES, wrong)
    (one,) = ask(world, TRADES)
    assert one.span is not None
    there = [n for n in range(mine.height) if one.span.start <= times(mine, [n])[0] < one.span.end]
    known = known_differences(world.lake, [TRADES])[TRADES]
    assert [row.at for row in known] == times(mine, there)
    assert {row.said.split(" is ")[0] for row in known} == {"price", "missing here"}


def test_what_is_alike_is_said_to_be_and_nothing_is_noted(world: World) -> None:
    for dataset in (bars(), TRADES):
        record(world, dataset, truth(world.market, dataset, LIVE))
    done = {one.dataset: one for one in ask(world, bars(), TRADES)}
    assert all(one.diff.compared and not one.diff.differ and not one.why for one in done.values())
    assert done[bars()].diff.compared == 60
    assert known_differences(world.lake, [bars(), TRADES]) == {}


def test_no_more_is_asked_than_may_be_and_who_had_no_turn_is_named(world: World) -> None:
    for dataset in (TRADES, ETH, bars()):
        record(world, dataset, truth(world.market, dataset, LIVE))
    before = world.requests()
    done = ask(world, TRADES, ETH, bars(), most=2)
    assert len(done) == 3
    assert sum(one.requests for one in done) <= 2 + 4, "a piece that was begun is compared to its end"
    left = [one for one in done if one.why]
    assert left
    assert left[-1].why == "the 2 requests of this day were spent on others"
    assert world.requests() - before <= 12
    nobody = ask(world, TRADES, ETH, bars(), most=0)
    assert {one.why for one in nobody} == {"the 0 requests of this day were spent on others"}


def test_a_venue_that_shows_no_past_is_not_asked_and_that_is_said(tmp_path: Path) -> None:
    world = World(tmp_path, exchange="bybit")
    trades = Dataset.parse("bybit/trades/BTC-USDT")
    record(world, trades, truth(world.market, trades, span("2024-06-05T03:00", "2024-06-05T04:00")), LIVE)
    before = world.requests()
    (one,) = ask(world, trades)
    assert (one.span, one.why) == (None, "Bybit shows the last 60 rows only")
    assert world.requests() == before
    assert ask(world, Dataset.parse("bybit/orderbook/BTC-USDT")) == []


def test_bars_that_were_changed_are_found_by_the_trades_of_the_same_days(world: World) -> None:
    part = span("2024-06-05T00:00", "2024-06-05T06:00")
    mine = truth(world.market, bars(), part)
    record(world, TRADES, truth(world.market, TRADES, part), part, Source.REST)
    wrong = list(range(11, mine.height, 100))
    record(world, bars(), spoiled(mine, wrong, "high"), part, Source.REST)
    held = world.lake.all_known(bars())
    one = reconcile_with_trades(world.lake, bars(), held, NOW)
    assert one is not None
    assert one.diff.differ == len(wrong)
    known = known_differences(world.lake, [bars()])[bars()]
    assert [row.at for row in known] == times(mine, wrong)
    assert {row.against for row in known} == {BY_TRADES}
    assert reconcile_with_trades(world.lake, bars(), held, Us(NOW + 5 * DAY)) is None, "they are too old"
    assert reconcile_with_trades(world.lake, TRADES, world.lake.all_known(TRADES), NOW) is None


def test_bars_that_were_built_of_those_trades_are_not_held_against_them(world: World) -> None:
    part = span("2024-06-05T00:00", "2024-06-05T01:00")
    record(world, TRADES, truth(world.market, TRADES, part), part, Source.REST)
    record(world, bars(), truth(world.market, bars(), part), part, Source.DERIVED)
    assert reconcile_with_trades(world.lake, bars(), world.lake.all_known(bars()), NOW) is None
