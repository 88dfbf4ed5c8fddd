import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.tape import Tape, Trades

BTC, ETH = Symbol.parse("BTC/USDT"), Symbol.parse("ETH/USDT")
MARKET = Market()
TAPE = MARKET.tape("binance", ETH)
DENSE = Market(trades_per_day={"ETH/USDT": 10_000_000}).tape("binance", ETH)
NOON = parse_time("2024-06-05T12:00")


def same(a: Trades, b: Trades) -> bool:
    columns = ("id", "time", "price", "amount", "buyer_is_maker")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in columns)


def part(trades: Trades, which: slice) -> Trades:
    return Trades(
        trades.id[which],
        trades.time[which],
        trades.price[which],
        trades.amount[which],
        trades.buyer_is_maker[which],
    )


def test_the_truth_does_not_change_between_processes_and_platforms() -> None:
    trades = MARKET.tape("binance", BTC).by_id(15_000_000, 3)
    assert trades.time.tolist() == [1719091030433000, 1719091066328000, 1719091087894000]
    assert trades.price.tolist() == [3545021, 3545577, 3545558]
    assert trades.amount.tolist() == [1550, 32392, 5499]


def test_ids_are_consecutive_and_times_never_run_backwards() -> None:
    trades = TAPE.between(TimeRange(NOON, Us(NOON + 3 * DAY)))
    assert np.all(np.diff(trades.id) == 1)
    assert np.all(np.diff(trades.time) >= 0)
    assert trades.time[0] >= NOON
    assert trades.time[-1] < NOON + 3 * DAY
    assert trades.id.size == 3 * 6_000


@settings(max_examples=50)
@given(
    first=st.integers(0, 20_000_000),
    skipped=st.integers(0, 3_000),
    count=st.integers(1, 500),
)
def test_any_slice_of_a_longer_read_is_what_reading_it_alone_gives(
    first: int, skipped: int, count: int
) -> None:
    longer = TAPE.by_id(first, 3_500)
    assert same(part(longer, slice(skipped, skipped + count)), TAPE.by_id(first + skipped, count))


@settings(max_examples=50)
@given(at=st.integers(int(parse_time("2018-06-01")), int(parse_time("2030-01-01"))))
def test_the_count_before_a_moment_is_the_id_of_the_first_trade_from_then_on(at: int) -> None:
    first = TAPE.count_before(Us(at))
    around = TAPE.by_id(max(0, first - 1), 2)
    if first:
        assert around.time[0] < at <= around.time[1]
    else:
        assert at <= around.time[0]


@settings(max_examples=50)
@given(start=st.integers(0, 5 * DAY), cut=st.integers(0, DAY), end=st.integers(0, DAY))
def test_two_touching_spans_hold_what_their_union_holds(start: int, cut: int, end: int) -> None:
    a, b, c = NOON + start, NOON + start + cut, NOON + start + cut + end
    whole = TAPE.between(TimeRange(Us(a), Us(c)))
    left, right = TAPE.between(TimeRange(Us(a), Us(b))), TAPE.between(TimeRange(Us(b), Us(c)))
    assert np.array_equal(whole.id, np.concatenate((left.id, right.id)))
    assert np.array_equal(whole.time, np.concatenate((left.time, right.time)))


def test_trades_begin_with_the_listing_at_id_0() -> None:
    listed = TAPE.instrument.listed
    assert TAPE.count_before(listed) == 0
    assert listed <= TAPE.first_time < listed + HOUR
    assert TAPE.by_id(0, 1).time[0] == TAPE.first_time


@pytest.mark.parametrize("tape", [TAPE, DENSE])
def test_nothing_trades_in_an_outage_and_ids_go_on_across_it(tape: Tape) -> None:
    outage = TimeRange(parse_time("2023-03-24T10:00"), parse_time("2023-03-24T11:00"))
    before = tape.count_before(outage.start)
    assert tape.count_before(outage.end) == before
    borders = tape.by_id(before - 1, 2)
    assert borders.time[0] < outage.start
    assert borders.time[1] >= outage.end


def test_an_outage_may_begin_inside_a_minute() -> None:
    start = parse_time("2021-04-25T04:01:30")
    minute = DENSE.between(TimeRange(Us(start - 30 * SECOND), Us(start + 30 * SECOND)))
    assert minute.id.size > 1_000
    assert minute.time.max() < start


def test_many_trades_share_a_millisecond_and_some_minutes_are_quiet() -> None:
    trades = TAPE.between(TimeRange(NOON, Us(NOON + DAY)))
    assert not np.any(trades.time % MILLISECOND)
    _, together = np.unique(trades.time, return_counts=True)
    assert together.max() >= 10
    minutes = np.unique(trades.time // MINUTE)
    assert 800 < minutes.size < 1_400


def test_a_day_has_as_many_trades_as_was_asked_for() -> None:
    assert DENSE.count_before(Us(NOON + DAY)) - DENSE.count_before(NOON) == 10_000_000


def test_prices_move_smoothly_and_amounts_vary() -> None:
    trades = TAPE.between(TimeRange(NOON, Us(NOON + 30 * DAY)))
    assert trades.price.min() > 0
    assert trades.amount.min() > 0
    assert np.abs(np.diff(trades.price) / trades.price[1:]).max() < 0.02
    assert np.ptp(trades.price) > 0.01 * trades.price.mean()
    assert np.unique(trades.amount).size > 5_000
    assert 0.4 < trades.buyer_is_maker.mean() < 0.6


def test_exchanges_trade_differently_at_about_the_same_price() -> None:
    here, there = TAPE.by_id(10_000_000, 1), MARKET.tape("kraken", ETH)
    other = there.by_id(there.count_before(Us(int(here.time[0]))), 1)
    assert other.time[0] != here.time[0]
    assert abs(other.price[0] / here.price[0] - 1) < 0.01
