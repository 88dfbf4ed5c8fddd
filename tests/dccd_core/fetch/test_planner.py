from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, Ns, TimeSpan
from dccd_core.fetch.planner import due, settled
from dccd_core.lake.ledger import Asked, Hole, Ledger, Source

SPAN = TimeSpan(Ns(0), Ns(DAY))
BARS = Dataset("binance", Symbol.parse("BTC/USDT"), DataType.OHLC, MINUTE)
TRADES = Dataset("binance", Symbol.parse("BTC/USDT"), DataType.TRADES)


def held(*spans: tuple[int, int], holes: tuple[Hole, ...] = ()) -> Ledger:
    return Ledger(tuple(Asked(TimeSpan(Ns(a), Ns(b)), Source.REST, Ns(0), 1, 1) for a, b in spans), holes)


def test_bars_settle_when_closed_and_a_little_older() -> None:
    assert settled(BARS, Ns(10 * MINUTE + 4 * SECOND), Ns(5 * SECOND)) == 9 * MINUTE
    assert settled(BARS, Ns(10 * MINUTE + 5 * SECOND), Ns(5 * SECOND)) == 10 * MINUTE
    assert settled(TRADES, Ns(10 * MINUTE), Ns(5 * SECOND)) == 10 * MINUTE - 5 * SECOND


def test_nothing_is_due_before_the_partition_begins() -> None:
    assert due(SPAN, None, Ns(0)) == []


def test_a_new_partition_is_due_up_to_what_is_settled() -> None:
    assert due(SPAN, None, Ns(HOUR)) == [TimeSpan(Ns(0), Ns(HOUR))]


def test_the_open_partition_resumes_after_its_ledger() -> None:
    assert due(SPAN, held((0, HOUR)), Ns(2 * HOUR)) == [TimeSpan(Ns(HOUR), Ns(2 * HOUR))]


def test_a_gap_is_asked_again_an_explained_hole_is_not() -> None:
    gap = Hole(TimeSpan(Ns(HOUR), Ns(2 * HOUR)), 60, (), None)
    quiet = Hole(TimeSpan(Ns(3 * HOUR), Ns(4 * HOUR)), 60, (), "nothing was traded")
    assert due(SPAN, held((0, DAY), holes=(gap, quiet)), Ns(2 * DAY)) == [gap.span]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6), st.integers(0, 120))
def test_what_is_due_and_what_is_held_is_all_that_is_wanted(pairs: list[tuple[int, int]], until: int) -> None:
    span = TimeSpan(Ns(10), Ns(90))
    spans = [(min(pair), max(pair)) for pair in pairs]
    got = {at for part in due(span, held(*spans), Ns(until)) for at in range(part.start, part.end)}
    have = {at for start, end in spans for at in range(start, end)}
    assert got == {at for at in range(10, min(90, until)) if at not in have}
