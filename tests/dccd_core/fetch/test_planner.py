"""What is to ask, what is over and what is lost share the time between them, and nothing twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, WEEK, ZERO, TimeRange, Us
from dccd_core.fetch.planner import Plan, due, end_of_trading, plan, settled
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Source
from dccd_core.tables import DataType

SPAN = TimeRange(Us(0), Us(DAY))
BARS = Dataset("binance", Symbol.parse("BTC/USDT"), DataType.OHLC, MINUTE)
TRADES = Dataset("binance", Symbol.parse("BTC/USDT"), DataType.TRADES)


def held(*spans: tuple[int, int], holes: tuple[Hole, ...] = ()) -> Ledger:
    return Ledger(tuple(Asked(TimeRange(Us(a), Us(b)), Source.REST, Us(0), 1, 1) for a, b in spans), holes)


def test_bars_settle_when_closed_and_a_little_older() -> None:
    assert settled(BARS, Us(10 * MINUTE + 4 * SECOND), Us(5 * SECOND)) == 9 * MINUTE
    assert settled(BARS, Us(10 * MINUTE + 5 * SECOND), Us(5 * SECOND)) == 10 * MINUTE
    assert settled(TRADES, Us(10 * MINUTE), Us(5 * SECOND)) == 10 * MINUTE - 5 * SECOND


def test_nothing_is_due_before_the_partition_begins() -> None:
    assert due(SPAN, None, Us(0)) == []


def test_a_new_partition_is_due_up_to_what_is_settled() -> None:
    assert due(SPAN, None, Us(HOUR)) == [TimeRange(Us(0), Us(HOUR))]


def test_the_open_partition_resumes_after_its_ledger() -> None:
    assert due(SPAN, held((0, HOUR)), Us(2 * HOUR)) == [TimeRange(Us(HOUR), Us(2 * HOUR))]


def test_a_gap_is_asked_again_an_explained_hole_is_not() -> None:
    gap = Hole(TimeRange(Us(HOUR), Us(2 * HOUR)), 60, (), None)
    quiet = Hole(TimeRange(Us(3 * HOUR), Us(4 * HOUR)), 60, (), "nothing was traded")
    assert due(SPAN, held((0, DAY), holes=(gap, quiet)), Us(2 * DAY)) == [gap.span]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6), st.integers(0, 120))
def test_what_is_due_and_what_is_held_is_all_that_is_wanted(pairs: list[tuple[int, int]], until: int) -> None:
    span = TimeRange(Us(10), Us(90))
    spans = [(min(pair), max(pair)) for pair in pairs]
    got = {at for part in due(span, held(*spans), Us(until)) for at in range(part.start, part.end)}
    have = {at for start, end in spans for at in range(start, end)}
    assert got == {at for at in range(10, min(90, until)) if at not in have}


def planned(
    ledger: Ledger | None = None,
    *,
    until: int = 2 * DAY,
    ended: int = DAY,
    since: Us | None = ZERO,
    whole: bool = False,
) -> Plan:
    return plan(SPAN, ledger, Us(until), Us(ended), since, whole=whole)


def hours(*pairs: tuple[int, int]) -> tuple[TimeRange, ...]:
    return tuple(TimeRange(Us(start * HOUR), Us(end * HOUR)) for start, end in pairs)


def test_after_the_end_of_trading_there_is_nothing_to_ask() -> None:
    todo = planned(ended=9 * HOUR)
    assert (todo.ask, todo.after, todo.lost) == (hours((0, 9)), hours((9, 24)), ())
    todo = planned(ended=0)
    assert (todo.ask, todo.after) == ((), (SPAN,))
    assert planned(held((0, DAY)), ended=9 * HOUR).after == ()


def test_an_end_that_is_still_to_come_is_not_noted() -> None:
    todo = planned(until=3 * HOUR, ended=9 * HOUR)
    assert (todo.ask, todo.after) == (hours((0, 3)), ())
    assert planned(until=9 * HOUR, ended=9 * HOUR).after == hours((9, 24))


def test_what_lies_further_back_than_the_venue_answers_is_lost() -> None:
    todo = planned(held((2 * HOUR, 3 * HOUR)), since=Us(5 * HOUR))
    assert (todo.ask, todo.lost, todo.since) == (hours((5, 24)), hours((0, 2), (3, 5)), 5 * HOUR)
    todo = planned(since=Us(2 * DAY))
    assert (todo.ask, todo.lost) == ((), (SPAN,))
    assert planned(since=None).lost == ()


def test_where_one_answer_holds_all_one_question_is_enough() -> None:
    middle = held((2 * HOUR, 3 * HOUR))
    assert planned(middle).ask == hours((0, 2), (3, 24))
    assert planned(middle, whole=True).ask == (SPAN,)


def test_only_before_all_that_was_asked_a_symbol_may_not_have_been_listed() -> None:
    def doubted(ledger: Ledger | None, *, whole: bool = False) -> list[bool]:
        todo = planned(ledger, whole=whole)
        return [todo.may_be_unlisted(part) for part in todo.ask]

    assert doubted(None) == doubted(Ledger()) == doubted(None, whole=True) == [True]
    assert doubted(held((0, HOUR))) == [False]
    assert doubted(held((2 * HOUR, 3 * HOUR), (5 * HOUR, 6 * HOUR))) == [True, False, False]
    assert doubted(held((2 * HOUR, 3 * HOUR)), whole=True) == [False]


@pytest.mark.parametrize(
    ("life", "closed", "expected"),
    [
        (UNKNOWN, None, DAY),
        (ListingPeriod(ended=Us(2 * DAY)), Us(3 * DAY), DAY),
        (ListingPeriod(ended=Us(5 * HOUR)), None, 5 * HOUR),
        (ListingPeriod(ended=Us(5 * HOUR)), Us(4 * HOUR), 4 * HOUR),
        (UNKNOWN, Us(5 * HOUR + SECOND), 5 * HOUR),
        (UNKNOWN, Us(-DAY), 0),
    ],
    ids=str,
)
def test_bars_end_with_the_market_or_with_its_exchange(
    life: ListingPeriod, closed: Us | None, expected: int
) -> None:
    assert end_of_trading(BARS, SPAN, life, closed) == expected


def test_trades_end_at_the_moment_itself_and_a_week_that_ends_later_is_whole() -> None:
    at = Us(5 * HOUR + SECOND)
    assert end_of_trading(TRADES, SPAN, UNKNOWN, at) == at
    weeks = Dataset("binance", BARS.symbol, DataType.OHLC, WEEK)
    assert end_of_trading(weeks, SPAN, UNKNOWN, Us(DAY + HOUR)) == DAY


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=4),
    st.integers(0, 60),
    st.integers(10, 40),
    st.integers(0, 60),
)
def test_every_moment_is_asked_over_lost_held_or_still_to_come(
    pairs: list[tuple[int, int]], until: int, ended: int, since: int
) -> None:
    span = TimeRange(Us(10), Us(40))
    spans = [(min(pair), max(pair)) for pair in pairs]
    todo = plan(span, held(*spans), Us(until), Us(ended), Us(since), whole=False)

    def moments(parts: tuple[TimeRange, ...]) -> list[int]:
        return [at for part in parts for at in range(part.start, part.end)]

    have = {at for start, end in spans for at in range(start, end)}
    missing = [at for at in range(10, 40) if at not in have]
    traded = [at for at in missing if at < min(until, ended)]
    assert moments(todo.ask) == [at for at in traded if at >= since]
    assert moments(todo.lost) == [at for at in traded if at < since]
    assert moments(todo.after) == ([at for at in missing if at >= ended] if ended <= until else [])
