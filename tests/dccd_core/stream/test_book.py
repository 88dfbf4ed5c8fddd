"""A book is what its venue has, or it says why it is not."""

import pytest

from dccd_core.adapter.contract import Request
from dccd_core.adapter.live import BookChange, BookStart, Channel, Pairs, Precision
from dccd_core.domain.timespan import MILLISECOND, Ns
from dccd_core.stream.book import Book

NUMBERED = Channel(docs="")
CUT = Channel(docs="", cuts=True)
STARTED = Channel(
    docs="",
    start=BookStart(lambda _: Request("/", {}), lambda _, name: BookChange(name, None, whole=True), levels=3),
)


def change(
    number: int | None = None, bids: Pairs = (), asks: Pairs = (), *, whole: bool = False, **more: int
) -> BookChange:
    first = None if number is None else more.pop("first", number)
    return BookChange("x", Ns(0), bids, asks, whole=whole, first=first, last=number, **more)


WHOLE = change(7, [("10", "1"), ("9", "2")], [("11", "3"), ("12", "4")], whole=True)


def begun(channel: Channel = NUMBERED, whole: BookChange = WHOLE, depth: int = 0) -> Book:
    book = Book(channel, depth)
    assert book.apply(whole)
    return book


def test_before_the_first_whole_book_nothing_is_known() -> None:
    book = Book(NUMBERED)
    assert not book.apply(change(1, [("10", "1")]))
    assert book.lost == "no snapshot yet"


def test_levels_are_set_replaced_and_taken_away_best_first() -> None:
    book = begun()
    assert book.apply(change(8, [("10", "0.000"), ("9.5", "5"), ("8", "0")], [("11", "1")]))
    assert book.bids.best(5) == [("9.5", "5"), ("9", "2")]
    assert book.asks.best(5) == [("11", "1"), ("12", "4")]


def test_the_same_price_in_another_spelling_is_the_same_level() -> None:
    book = begun()
    assert book.apply(change(8, [("10.00", "6")]))
    assert book.bids.best(1) == [("10.00", "6")]


def test_a_missing_number_loses_the_book_and_a_whole_one_brings_it_back() -> None:
    book = begun()
    assert not book.apply(change(9, [("10", "2")]))
    assert book.lost == "updates 8 to 8 are missing"
    assert not book.apply(change(10, [("10", "3")]))
    assert book.apply(change(20, [("5", "1")], [("6", "1")], whole=True))
    assert book.bids.best(5) == [("5", "1")]


def test_what_was_told_before_changes_nothing() -> None:
    book = begun()
    assert book.apply(change(8, [("10", "9")]))
    assert book.apply(change(7, [("10", "1")]))
    assert book.apply(change(8, [("10", "1")]))
    assert book.bids.best(1) == [("10", "9")]
    assert book.apply(change(9))


def test_an_update_may_span_many_numbers() -> None:
    book = begun()
    assert book.apply(change(12, [("10", "9")], first=8))
    assert not book.apply(change(14, first=14))


def test_a_chain_of_previous_numbers() -> None:
    book = begun(whole=change(100, [("10", "1")], whole=True))
    assert book.apply(change(130, [("9", "1")], first=110, previous=100))
    assert book.apply(change(130, previous=130))  # nothing changed
    assert book.apply(change(3, [("8", "1")], previous=130))  # the venue counts anew, and says so
    assert not book.apply(change(6, previous=4))
    assert book.lost == "an update follows 4, not 3"


def test_a_link_of_the_chain_that_comes_twice_changes_nothing() -> None:
    book = begun(whole=change(100, [("10", "1")], whole=True))
    for _ in range(2):
        assert book.apply(change(130, [("9", "1")], first=110, previous=100))
    assert book.apply(change(140, previous=130))


class TestJoin:
    """Where changes are pushed and the book is asked for, as Binance describes it."""

    @staticmethod
    def start(last: int) -> BookChange:
        return change(last, [("10", "1")], [("11", "1")], whole=True)

    def test_what_waited_is_applied_and_what_the_snapshot_knows_is_not(self) -> None:
        book = Book(STARTED)
        waiting = [
            change(5, [("10", "5")], first=4),
            change(8, [("10", "8")], first=6),
            change(9, [("9", "9")]),
        ]
        for one in waiting:
            assert not book.apply(one)
        assert [book.apply(one) for one in book.join(self.start(7))] == [True, True, True]
        assert book.bids.best(2) == [("10", "8"), ("9", "9")]
        assert book.apply(change(10))

    def test_a_snapshot_older_than_the_first_change_is_refused(self) -> None:
        book = Book(STARTED)
        assert not book.apply(change(9, [("10", "5")]))
        assert [book.apply(one) for one in book.join(self.start(7))] == [False]
        assert book.lost == "the snapshot ends at 7, the first change begins at 9"
        assert [book.apply(one) for one in book.join(self.start(8))] == [True]  # the change waited on

    def test_chained_numbers_that_are_not_contiguous(self) -> None:
        book = Book(STARTED)
        for one in (change(90, first=80, previous=70), change(105, first=95, previous=90)):
            assert not book.apply(one)
        assert all(book.apply(one) for one in book.join(self.start(100)))
        assert book.apply(change(120, first=118, previous=105))

    def test_changes_that_come_later_may_still_be_older(self) -> None:
        book = Book(STARTED)
        assert book.join(self.start(100)) == []
        assert book.apply(change(90, [("10", "77")], first=80, previous=70))
        assert book.apply(change(105, [("10", "2")], first=95, previous=90))
        assert book.bids.best(1) == [("10", "2")]

    def test_a_price_may_walk_out_of_a_cut_snapshot(self) -> None:
        book = Book(STARTED)
        levels = [("10", "1"), ("9", "1"), ("8", "1")]  # as many as there can be: below 8 nobody knows
        book.join(change(1, levels, [("11", "1")], whole=True))
        assert book.shows(3)
        assert book.apply(change(2, [("10", "0")]))
        assert book.shows(2)
        assert book.apply(change(3, [("7", "1")]))
        assert not book.shows(3)


def _sum_of_prices(bids: Pairs, asks: Pairs, _: Precision | None) -> int:
    return sum(int(price) for price, _ in [*bids, *asks])


CHECKED = Channel(docs="", checksum=_sum_of_prices, checked=1, cuts=True)


def test_a_checksum_proves_the_best_levels() -> None:
    book = begun(
        CHECKED, BookChange("x", Ns(0), [("10", "1"), ("9", "1")], [("11", "1")], whole=True), depth=2
    )
    assert book.apply(BookChange("x", Ns(1), [("10", "0")], checksum=20))
    assert not book.apply(BookChange("x", Ns(2), [("8", "1")], checksum=19))
    assert book.lost == "checksum 20, the venue says 19"


def test_a_checksum_may_come_by_itself() -> None:
    book = begun(CHECKED, BookChange("x", Ns(0), [("10", "1")], [("11", "1")], whole=True), depth=2)
    assert book.apply(BookChange("x", None, checksum=21))
    assert not book.apply(BookChange("x", None, checksum=22))


def test_levels_pushed_out_of_the_depth_are_cut() -> None:
    whole = BookChange("x", Ns(0), [("10", "1"), ("9", "1")], [("11", "1"), ("12", "1")], whole=True)
    book = begun(CUT, whole, depth=2)
    book.apply(BookChange("x", Ns(1), [("9.5", "1")], [("10.5", "1")]))
    assert book.bids.best(9) == [("10", "1"), ("9.5", "1")]
    assert book.asks.best(9) == [("10.5", "1"), ("11", "1")]


def timed(ms: int, number: int | None = None, bids: Pairs = (), asks: Pairs = ()) -> BookChange:
    return BookChange("x", Ns(ms * MILLISECOND), bids, asks, first=number, last=number)


@pytest.mark.parametrize("numbered", [False, True])
def test_l12_a_book_that_is_crossed_for_longer_than_seconds_is_lost(*, numbered: bool) -> None:
    book = begun(
        whole=WHOLE if numbered else BookChange("x", Ns(0), [("10", "1")], [("11", "1")], whole=True)
    )
    numbers = iter(range(8, 20)) if numbered else iter([None] * 12)
    assert book.apply(timed(10, next(numbers), [("11", "1")]))
    book.look()  # as whoever takes a picture does
    assert book.crossed
    assert book.doubtful is not numbered
    assert book.apply(timed(1_000, next(numbers)))
    assert book.apply(timed(3_010, next(numbers)))
    assert not book.apply(timed(3_011, next(numbers), [("11", "0")]))
    assert book.lost == "the best bid, 11.0, is not below the best ask, 11.0, for 3.0 s"


def test_l12_a_book_may_be_crossed_amid_the_messages_of_one_moment() -> None:
    book = begun(whole=BookChange("x", Ns(0), [("10", "1")], [("11", "1")], whole=True))
    assert book.apply(timed(10, None, [("11", "1")]))
    assert book.doubtful
    assert book.apply(timed(10, None, (), [("11", "0"), ("12", "1")]))
    assert not book.doubtful
    assert book.apply(timed(60_000))


def test_l4_a_snapshot_that_ends_exactly_on_an_event_joins() -> None:
    """Numbers as recorded of a USD-M book: they do not follow one another, only ``previous`` does."""
    book = Book(STARTED)
    at_it = change(600_859_605_486, [("10", "5")], first=600_859_603_000, previous=600_859_602_000)
    after = change(600_859_609_902, [("10", "6")], first=600_859_609_657, previous=600_859_605_486)
    assert not book.apply(after)
    start = change(600_859_605_486, [("10", "5")], [("11", "1")], whole=True)
    assert [book.apply(one) for one in book.join(start)] == [True]
    assert book.bids.best(1) == [("10", "6")]
    assert not Book(STARTED).apply(at_it)
    assert [book.apply(one) for one in [*book.join(start), at_it, after]] == [True, True]
