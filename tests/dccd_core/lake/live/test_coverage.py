import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.lake.live.coverage import BROKE_OFF, Mark, Notes, Piece, SegmentCoverage, covered, lost

BTC = "BTC/USDT"
GAP = "sequence gap in the order book"
Told = tuple[int | None, list[Mark]]


def began(at: int) -> Mark:
    return Mark(BTC, Us(at), began=True)


def ended(at: int, reason: str = "") -> Mark:
    return Mark(BTC, Us(at), began=False, reason=reason)


def story(*told: Told) -> SegmentCoverage:
    """Tell, append by append, up to where all symbols had come, and their marks."""
    made, symbols = SegmentCoverage(), set[str]()
    for until, marks in told:
        symbols |= {mark.symbol for mark in marks}
        at = None if until is None else Us(until)
        made.add(Notes(at, marks, {} if at is None else dict.fromkeys(symbols, at)))
    return made


def spans(*stories: SegmentCoverage) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in covered(stories, BTC)]


def reasons(*stories: SegmentCoverage) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, reason) for span, reason in lost(stories, BTC)]


def test_coverage_goes_from_the_beginning_to_the_last_until() -> None:
    assert spans(story((None, [began(5)]), (7, []), (9, []), (None, []))) == [(5, 9)]


NOT_COVERED: list[list[Told]] = [[], [(9, [])], [(None, [began(5)])], [(5, [began(5)])], [(9, [ended(5)])]]


@pytest.mark.parametrize("told", NOT_COVERED)
def test_without_a_beginning_and_time_after_it_there_is_none(told: list[Told]) -> None:
    assert spans(story(*told)) == []


def test_what_was_not_valid_is_not_covered_and_says_why() -> None:
    one = story((10, [began(5)]), (30, [ended(12, GAP)]), (40, [began(35)]))
    assert spans(one) == [(5, 12), (35, 40)]
    assert reasons(one) == [(12, 35, GAP)]


def test_an_end_that_no_beginning_follows_lasts_as_long_as_its_segment() -> None:
    assert reasons(story((10, [began(5), ended(8, "refused")]), (30, []))) == [(8, 30, "refused")]


def test_a_connection_is_lost_in_one_segment_and_found_in_the_next() -> None:
    one, other = story((10, [began(5)]), (None, [ended(11, "connection lost")])), story((25, [began(20)]))
    assert spans(one, other) == [(5, 11), (20, 25)]
    assert reasons(one, other) == [(11, 20, "connection lost")]


def test_a_loss_told_again_by_the_next_segment_counts_once_and_by_itself() -> None:
    one = story((10, [began(5), ended(8, "connection lost")]))
    other = story((25, [ended(8, "connection lost"), began(20)]))
    assert reasons(one, other) == reasons(other) == [(8, 20, "connection lost")]


def test_a_recording_that_broke_off_lasts_until_the_next_begins() -> None:
    assert reasons(story((10, [began(5)])), story((25, [began(20)]))) == [(10, 20, BROKE_OFF)]
    assert reasons(story((10, [began(5)]))) == []


def test_a_segment_that_goes_on_where_another_stopped_loses_nothing() -> None:
    one, other = story((10, [began(5)])), story((25, [began(10)]))
    assert spans(one, other) == [(5, 25)]
    assert reasons(one, other) == []


def test_an_end_within_the_coverage_of_another_connection_loses_nothing() -> None:
    one, other = story((10, [began(5), ended(10, "retired")])), story((25, [began(8), ended(25, GAP)]))
    assert spans(one, other) == [(5, 25)]
    assert reasons(one, other, story((40, [began(30)]))) == [(25, 30, GAP)]


def test_one_loss_follows_another() -> None:
    assert reasons(story((20, [began(1), ended(5, GAP), ended(9, "connection lost")]))) == [
        (5, 9, GAP),
        (9, 20, "connection lost"),
    ]


def test_a_known_reason_is_worth_more_than_none() -> None:
    ends = story((10, [began(5)])), story((10, [ended(10, GAP)])), story((25, [began(20)]))
    assert reasons(*ends) == reasons(ends[1], ends[0], ends[2]) == [(10, 20, GAP)]


def test_a_second_beginning_changes_nothing_and_symbols_are_apart() -> None:
    made = story((10, [began(5), began(7), Mark("ETH/USDT", Us(6), began=True), ended(9, GAP)]))
    assert spans(made) == [(5, 9)]
    assert covered([made], "ETH/USDT") == [TimeRange(Us(6), Us(10))]
    assert made.symbols == {BTC, "ETH/USDT"}


def test_l1_a_symbol_is_covered_up_to_its_own_proof_whatever_its_neighbours_reached() -> None:
    made = SegmentCoverage()
    made.add(Notes(Us(10), [began(1), Mark("ETH/USDT", Us(1), began=True)], {BTC: Us(9), "ETH/USDT": Us(9)}))
    made.add(Notes(Us(60), reached={"ETH/USDT": Us(58)}))
    assert spans(made) == [(1, 9)]
    assert covered([made], "ETH/USDT") == [TimeRange(Us(1), Us(58))]


def test_what_was_asked_for_later_is_covered_beside_what_goes_on() -> None:
    made = story((10, [began(5), ended(8, "x"), began(20)]), (30, []))
    made.add(Notes(pieces=[Piece(BTC, Us(8), Us(20))]))
    assert spans(made) == [(5, 30)]
    assert reasons(made) == []


def test_what_turned_out_not_to_be_there_is_covered_no_more_whoever_said_so() -> None:
    made = story((30, [began(5)]))
    made.add(Notes(pieces=[Piece(BTC, Us(12), Us(20), "it drifted")]))
    assert spans(made, story((25, [began(10)]))) == [(5, 12), (20, 30)]
    assert reasons(made) == [(12, 20, "it drifted")]


def test_what_was_asked_for_after_it_was_found_missing_is_there() -> None:
    made = story((30, [began(5)]))
    made.add(Notes(pieces=[Piece(BTC, Us(12), Us(20), "it drifted")]))
    later = SegmentCoverage()
    later.add(Notes(pieces=[Piece(BTC, Us(12), Us(16))]))
    assert spans(made, later) == [(5, 16), (20, 30)]
    assert reasons(made, later) == [(16, 20, "it drifted")]


def test_an_end_with_a_reason_is_remembered_until_the_next_beginning_is_known() -> None:
    assert reasons(story((10, [began(5), ended(12, "connection lost")]))) == [(12, 13, "connection lost")]


times = st.integers(0, 60)
marks = times.map(began) | times.map(lambda at: ended(at, "x"))
told = st.lists(st.tuples(st.none() | times, st.lists(marks, max_size=3)), max_size=5)
pieces = st.tuples(times, times, st.sampled_from(["", "y"])).map(
    lambda one: Piece(BTC, Us(min(one[:2])), Us(max(one[:2]) + 1), one[2])
)


@given(st.lists(told, max_size=4), st.lists(pieces, max_size=3))
def test_nothing_is_both_covered_and_lost_and_no_loss_counts_twice(
    segments: list[list[Told]], learnt: list[Piece]
) -> None:
    stories = [story(*each) for each in segments]
    stories.append(SegmentCoverage())
    stories[-1].add(Notes(pieces=learnt))
    gone = [span for span, _ in lost(stories, BTC)]
    assert sum(span.length for span in gone) == sum(span.length for span in union(gone))
    assert all(span.minus(covered(stories, BTC)) == [span] for span in gone)
