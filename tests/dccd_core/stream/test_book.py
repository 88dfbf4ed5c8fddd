"""A book is what its venue has, or it says why it is not."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Request
from dccd_core.adapter.live import BookChange, BookStart, Channel, Pairs, Precision
from dccd_core.domain.timespan import SECOND, Us
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
    return BookChange("x", Us(0), bids, asks, whole=whole, first=first, last=number, **more)


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
        CHECKED, BookChange("x", Us(0), [("10", "1"), ("9", "1")], [("11", "1")], whole=True), depth=2
    )
    assert book.apply(BookChange("x", Us(1), [("10", "0")], checksum=20))
    assert not book.apply(BookChange("x", Us(2), [("8", "1")], checksum=19))
    assert book.lost == "checksum 20, the venue says 19"


def test_a_checksum_may_come_by_itself() -> None:
    book = begun(CHECKED, BookChange("x", Us(0), [("10", "1")], [("11", "1")], whole=True), depth=2)
    assert book.apply(BookChange("x", None, checksum=21))
    assert not book.apply(BookChange("x", None, checksum=22))


def test_levels_pushed_out_of_the_depth_are_cut() -> None:
    whole = BookChange("x", Us(0), [("10", "1"), ("9", "1")], [("11", "1"), ("12", "1")], whole=True)
    book = begun(CUT, whole, depth=2)
    book.apply(BookChange("x", Us(1), [("9.5", "1")], [("10.5", "1")]))
    assert book.bids.best(9) == [("10", "1"), ("9.5", "1")]
    assert book.asks.best(9) == [("10.5", "1"), ("11", "1")]


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


@dataclass(frozen=True)
class Venue:
    """A book in which each number changes one of five prices, told in events of some numbers each."""

    numbering: str
    events: list[int]
    """How many numbers each of them covers."""

    def levels(self, number: int) -> list[tuple[str, str]]:
        """Return the bids after the change of that number, best first."""
        amounts = dict.fromkeys(range(5), "1")
        for one in range(1, number + 1):
            amounts[one * 7 % 5] = str(one % 3)
        return [(str(price), amounts[price]) for price in reversed(range(5)) if amounts[price] != "0"]

    def ends(self) -> list[int]:
        return [sum(self.events[:count]) for count in range(len(self.events) + 1)]

    def id(self, number: int) -> int:
        """Return what the venue calls a change: it may number much else between."""
        return number * 10 if self.numbering == "binance linear" else number

    def event(self, index: int) -> BookChange:
        before, last = self.ends()[index : index + 2]
        touched = {number * 7 % 5 for number in range(before + 1, last + 1)}
        known = {int(price): amount for price, amount in self.levels(last)}
        bids = [(str(price), known.get(price, "0")) for price in touched]
        told = BookChange("x", Us(last), bids, last=self.id(last))
        if self.numbering in ("binance spot", "binance linear", "bybit"):
            told.first = last if self.numbering == "bybit" else self.id(before + 1)
        if self.numbering in ("binance linear", "okx"):
            told.previous = self.id(before)
        return told

    def snapshot(self, number: int) -> BookChange:
        return BookChange("x", None, self.levels(number), whole=True, last=self.id(number))


@st.composite
def meetings(draw: st.DrawFn, numbering: str) -> tuple[Venue, int, int, int, int]:
    """A venue, the first event heard, the number of the snapshot, when that comes, an event that does not."""
    events = draw(st.lists(st.just(1) if numbering == "bybit" else st.integers(1, 4), min_size=2, max_size=9))
    start = draw(st.integers(0, len(events) - 1))
    return (
        Venue(numbering, events),
        start,
        draw(st.integers(0, sum(events))),
        draw(st.integers(start, len(events))),
        draw(st.integers(0, 2 * len(events))),
    )


def follow(meeting: tuple[Venue, int, int, int, int], channel: Channel) -> tuple[Book, int]:
    """Let a book meet a snapshot; return it, and the number that it should be at."""
    venue, start, number, come, dropped = meeting
    book, seen = Book(channel), number
    for index in range(start, len(venue.events) + 1):
        heard = [index] if index < len(venue.events) and index != dropped else []
        told = [(venue.event(one), venue.ends()[one + 1]) for one in heard]
        if index == come:
            ends = {venue.id(end): end for end in venue.ends()}
            if channel.start is None:
                assert book.apply(venue.snapshot(number))
            else:
                waiting = book.join(venue.snapshot(number))
                told = [(one, ends[one.last or 0]) for one in waiting] + told
        for change, last in told:
            if book.apply(change):
                seen = max(seen, last)
                assert book.bids.best(9) == venue.levels(seen)
    return book, seen


@pytest.mark.parametrize("numbering", ["binance spot", "binance linear"])
@given(data=st.data())
def test_l4_a_snapshot_that_was_asked_for_joins_whenever_the_events_are_there(
    numbering: str, data: st.DataObject
) -> None:
    """Before, in, exactly on and after an event, and never a book that is not the venue's."""
    meeting = data.draw(meetings(numbering))
    venue, start, number, _, dropped = meeting
    book, seen = follow(meeting, STARTED)
    reached = [end for end in venue.ends()[start:] if end <= number]  # no event between was missed
    if reached and not (start <= dropped < len(venue.events) and venue.ends()[dropped + 1] > number):
        assert book.lost is None
        assert seen == max(number, venue.ends()[-1])
    elif not reached and not start <= dropped < len(venue.events):
        assert book.lost is not None


@pytest.mark.parametrize("numbering", ["okx", "bybit"])
@given(data=st.data())
def test_l4_a_snapshot_that_is_pushed_joins_whenever_the_events_are_there(
    numbering: str, data: st.DataObject
) -> None:
    meeting = data.draw(meetings(numbering))
    venue, _, number, come, dropped = meeting
    number = max(end for end in venue.ends() if end <= number)  # pushed ones end on an event
    book, seen = follow((venue, 0, number, come, dropped), Channel(docs=""))
    lacking = [end for end in venue.ends()[come:] if end > number]  # those that come after it
    if number >= venue.ends()[come] and not (come <= dropped < len(venue.events)):
        assert book.lost is None
        assert seen == max([number, *lacking])


@given(numbers=st.lists(st.integers(1, 5), min_size=1, max_size=9), at=st.integers(0, 8))
def test_l4_numbers_of_a_connection_only_grow(numbers: list[int], at: int) -> None:
    """As at Bitfinex: other topics have the numbers between."""
    book, last = Book(NUMBERED), 0
    for index, more in enumerate(numbers):
        last += more
        whole = index == min(at, len(numbers) - 1)
        known = book.apply(BookChange("x", Us(index), [("10", str(last))], whole=whole, last=last))
        assert known is (index >= min(at, len(numbers) - 1))
    assert book.bids.best(1) == [("10", str(last))]


@pytest.mark.parametrize("snapshot", [600, 9_000_000])
@pytest.mark.parametrize("chained", [False, True])
def test_l3_numbers_of_another_space_are_an_error_with_its_reason(snapshot: int, *, chained: bool) -> None:
    book, number = Book(STARTED), 999
    for _ in range(3):
        at = Us(0) if chained else None  # as Binance tells it
        book.join(BookChange("x", at, [("10", "1")], [("11", "1")], whole=True, last=snapshot))
        for second in range(200):
            number += 1
            told = BookChange("x", Us(second * SECOND), [("10", "2")], first=number, last=number)
            told.previous = number - 1 if chained else None
            book.apply(told)
            if book.lost:
                break
        number = 999
    assert book.lost is not None
    assert book.lost.startswith(f"the snapshot's numbers ({snapshot}) and the changes' (1")
    assert book.lost.endswith("never meet: 3 snapshots did not")
    assert book.failed == 3
    assert not book.joined


def test_changes_on_their_way_to_a_snapshot_are_waited_for() -> None:
    """A connection that lags half a minute behind gets there."""
    book = Book(STARTED)
    book.join(BookChange("x", None, [("10", "1")], [("11", "1")], whole=True, last=1_300))
    for number in range(1_000, 1_310):
        assert book.apply(
            BookChange("x", Us(number * SECOND // 10), [("10", "2")], first=number, last=number)
        )
    assert book.joined
    assert book.failed == 0


def test_what_waits_for_a_snapshot_is_bounded() -> None:
    book = Book(STARTED)
    for number in range(1, 3_001):
        levels = [(str(price), "1") for price in range(1, 51)]
        assert not book.apply(change(number, levels, levels))
    waiting = book.join(change(2_950, [("10", "1")], [("11", "1")], whole=True))
    assert sum(len(one.bids) + len(one.asks) for one in waiting) == 20_000
    assert [one.last for one in waiting] == list(range(2_801, 3_001))
    assert all(book.apply(one) for one in waiting)
