"""A drift is always found, and none is told of where there is none."""

from dataclasses import dataclass, replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Request
from dccd_core.adapter.live import BookChange, BookStart, Channel, Pairs
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.stream.book import Book
from dccd_core.stream.compare import Comparison, Outcome, Snapshot, Verdict
from dccd_core.stream.snapshots import BookKeeper, Turn

DEPTH = 3


def at(ms: int) -> Us:
    return Us(ms * MILLISECOND)


def change(
    ms: int | None, number: int | None, bids: Pairs, asks: Pairs = (), *, whole: bool = False
) -> BookChange:
    return BookChange("x", None if ms is None else at(ms), bids, asks, whole=whole, last=number)


def levels(best: int, *amounts: str) -> Pairs:
    return [(str(best - place), amount) for place, amount in enumerate(amounts)]


def begun(number: int | None = 1, bids: Pairs = (), depth: int = DEPTH) -> tuple[Book, Comparison]:
    book = Book(Channel(docs=""))
    book.apply(change(0, number, bids or levels(10, "1", "2", "3", "4"), [("11", "1")], whole=True))
    return book, Comparison(book, depth, at(0))


def judge(
    comparison: Comparison,
    ms: int | None,
    number: int | None,
    bids: Pairs,
    *,
    late: bool = False,
    asked: int = 0,
) -> Verdict:
    book = change(ms, number, bids, [("11.00", "1.0")], whole=True)
    return comparison.verdict(Snapshot(book, asked), late=late)


@dataclass(frozen=True)
class Market:
    """Ten prices to buy at, one of which each number changes, told in events of some numbers each."""

    events: list[list[tuple[int, int]]]
    """Each the prices and their new amounts."""

    @property
    def ends(self) -> list[int]:
        return [sum(len(one) for one in self.events[:count]) for count in range(len(self.events) + 1)]

    def amounts(self, number: int) -> dict[int, int]:
        found = dict.fromkeys(range(1, 11), 1)
        for price, amount in [told for event in self.events for told in event][:number]:
            found[price] = amount
        return found

    def touched(self, after: int, until: int) -> set[int]:
        return {price for price, _ in [told for event in self.events for told in event][after:until]}

    def told(self, event: int, *, numbered: bool) -> BookChange:
        last = self.ends[event + 1]
        return change(last * 100, last if numbered else None, _pairs(dict(self.events[event])))

    def snapshot(self, number: int, *, numbered: bool, timed: bool) -> Snapshot:
        best = [(price, amount) for price, amount in _pairs(self.amounts(number)) if amount != "0"]
        book = change(
            number * 100 if timed else None, number if numbered else None, best, [("20", "1")], whole=True
        )
        return Snapshot(book, depth=99)


def _pairs(amounts: dict[int, int]) -> Pairs:
    return [(str(price), str(amount)) for price, amount in sorted(amounts.items(), reverse=True)]


@dataclass(frozen=True)
class Case:
    """A comparison begun after ``begin`` events, a snapshot of ``number``; ``wrong`` is a bid of ours."""

    market: Market
    begin: int
    number: int
    arrival: int
    """How many events came before the snapshot did."""
    numbered: bool
    timed: bool
    wrong: tuple[int, int] | None

    def run(self) -> list[Verdict]:
        """Return the verdict at the arrival, and after each event since; the last one is not waited after."""
        market, start = self.market, self.market.ends[self.begin]
        held = market.amounts(start)
        if self.wrong:
            held[self.wrong[0]] = self.wrong[1]
        book = Book(Channel(docs=""))
        number = start if self.numbered else None
        book.apply(change(start * 100, number, _pairs(held), [("20", "1.00")], whole=True))
        comparison, verdicts = Comparison(book, DEPTH, at(start * 100)), list[Verdict]()
        snapshot = market.snapshot(self.number, numbered=self.numbered, timed=self.timed)
        for event in range(self.begin, len(market.events)):
            if event >= self.arrival:
                verdicts.append(comparison.verdict(snapshot))
            told = market.told(event, numbered=self.numbered)
            assert book.apply(told)
            comparison.update(told)
        return [*verdicts, comparison.verdict(snapshot, late=True)]

    def shows_drift(self) -> bool:
        """Whether the snapshot lets the wrong bid be seen among the best ones."""
        if self.wrong is None:
            return False
        price, amount = self.wrong
        start, ends = self.market.ends[self.begin], self.market.ends
        until = next(end for end in ends if end >= self.number) if self.numbered else ends[-1]
        truth = self.market.amounts(self.number)
        if price in self.market.touched(start, until) or truth[price] == amount:
            return False
        best = sorted((one for one, value in truth.items() if value), reverse=True)[:DEPTH]
        return price in best or (amount > 0 and (len(best) < DEPTH or price > best[-1]))


@st.composite
def cases(draw: st.DrawFn, *, wrong: bool) -> Case:
    told = st.tuples(st.integers(1, 10), st.integers(0, 3))
    market = Market(draw(st.lists(st.lists(told, min_size=1, max_size=3), min_size=1, max_size=8)))
    begin = draw(st.integers(0, len(market.events)))
    return Case(
        market,
        begin,
        draw(st.integers(market.ends[begin], market.ends[-1])),
        draw(st.integers(begin, len(market.events))),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.tuples(st.integers(1, 10), st.integers(0, 5))) if wrong else None,
    )


@given(case=cases(wrong=False))
def test_no_drift_is_told_of_where_there_is_none(case: Case) -> None:
    outcomes = [verdict.outcome for verdict in case.run()]
    assert set(outcomes) <= {Outcome.SAME, Outcome.WAIT, Outcome.UNKNOWN}
    if case.numbered:
        assert outcomes[-1] is Outcome.SAME
        assert set(outcomes) <= {Outcome.SAME, Outcome.WAIT}
    elif case.number in case.market.ends:
        assert outcomes[-1] is Outcome.SAME


@given(case=cases(wrong=True))
def test_a_level_that_has_drifted_is_always_found(case: Case) -> None:
    found = case.run()[-1]
    if case.shows_drift():
        assert found.outcome is Outcome.DRIFTED
        assert case.wrong
        assert f"price {case.wrong[0]}.0: " in found.reason
    elif found.outcome is Outcome.DRIFTED:  # below those that are asked about
        assert case.wrong
        assert f"price {case.wrong[0]}.0: " in found.reason
    elif case.numbered:
        assert found.outcome is Outcome.SAME


def test_numbers_written_in_another_way_are_the_same() -> None:
    _, comparison = begun()
    same = [("10.000", "1.0"), ("9", "2"), ("8.", "3.00")]
    assert judge(comparison, 50, 1, same) == Verdict(Outcome.SAME, at=at(50), current=True)


@pytest.mark.parametrize(
    ("bids", "said"),
    [
        (levels(10, "1", "5", "3"), "bid 1, price 9.0: we have 2.0, the venue has 5.0"),
        ([("10", "1"), ("9.5", "7"), ("9", "2")], "bid 1, price 9.5: we have nothing, the venue has 7.0"),
        ([("10", "1"), ("8", "3"), ("7", "4")], "bid 1, price 9.0: we have 2.0, the venue has nothing"),
    ],
)
def test_a_drift_is_told_with_its_level_and_both_amounts(bids: Pairs, said: str) -> None:
    _, comparison = begun()
    assert judge(comparison, 50, 1, bids) == Verdict(Outcome.DRIFTED, said)


def test_l12_a_drift_shows_below_the_levels_that_are_kept_too() -> None:
    """Binance 76 of the attack: the wrong level was the 13th when ten were compared, and the 4th before."""
    many = levels(100, *["1"] * 40)
    _, comparison = begun(bids=many)
    wrong = [*many[:15], (many[15][0], "7"), *many[16:]]
    said = "bid 15, price 85.0: we have 1.0, the venue has 7.0"
    assert judge(comparison, 50, 1, wrong) == Verdict(Outcome.DRIFTED, said)
    assert judge(comparison, 50, 1, many[:3]).outcome is Outcome.SAME  # one that shows no more


def test_near_the_end_of_a_book_nothing_is_compared_below() -> None:
    """Levels come and go there with each step of the price."""
    many = levels(100, *["1"] * 8)
    _, comparison = begun(bids=many)
    assert judge(comparison, 50, 1, [*many[:6], (many[6][0], "7")]).outcome is Outcome.SAME


def test_a_cut_snapshot_is_compared_as_deep_as_it_goes() -> None:
    _, comparison = begun()
    assert judge(comparison, 50, 1, levels(10, "1", "2")).outcome is Outcome.SAME
    said = judge(comparison, 50, 1, levels(10, "1", "2"), asked=3)
    assert said == Verdict(Outcome.DRIFTED, "bid 2, price 8.0: we have 3.0, the venue has nothing")


def test_amounts_that_are_told_with_fewer_decimals_are_not_other_ones() -> None:
    """Kraken answers ``0.136`` where it pushed ``0.13612345``."""
    _, comparison = begun(bids=[("10", "0.13612345"), ("9", "0.00012")])
    told = change(50, 1, [("10", "0.136"), ("9", "0.000")], [("11", "1.000")], whole=True)
    assert comparison.verdict(Snapshot(told)).outcome is Outcome.DRIFTED
    assert comparison.verdict(Snapshot(told, decimals=3)).outcome is Outcome.SAME
    other = replace(told, bids=[("10", "0.138"), ("9", "0.000")])
    assert comparison.verdict(Snapshot(other, decimals=3)).outcome is Outcome.DRIFTED


def test_a_snapshot_older_than_the_comparison_says_nothing() -> None:
    _, comparison = begun(number=5)
    assert judge(comparison, -50, 4, levels(10, "9")).outcome is Outcome.UNKNOWN
    _, comparison = begun(number=None)
    assert judge(comparison, -50, None, levels(10, "9"), late=True).outcome is Outcome.UNKNOWN


def test_a_snapshot_newer_than_what_came_waits_for_it() -> None:
    book, comparison = begun()
    assert judge(comparison, 100, 2, levels(10, "7", "2", "3")).outcome is Outcome.WAIT
    told = change(90, 2, [("10", "7")])
    assert book.apply(told)
    comparison.update(told)
    assert judge(comparison, 100, 2, levels(10, "7", "2", "3")) == Verdict(
        Outcome.SAME, at=at(100), current=True
    )


@pytest.mark.parametrize("ms", [None, 100])
def test_without_numbers_a_difference_says_something_only_after_a_while(ms: int | None) -> None:
    book, comparison = begun(number=None)
    assert judge(comparison, ms, None, levels(10, "7", "2", "3")).outcome is Outcome.WAIT
    assert judge(comparison, ms, None, levels(10, "7", "2", "3"), late=True).outcome is Outcome.DRIFTED
    told = change(90, None, [("10", "7")])
    assert book.apply(told)
    comparison.update(told)
    found = judge(comparison, ms, None, levels(10, "7", "2", "3"))
    assert found == Verdict(Outcome.SAME, at=at(ms or 0))


def test_without_numbers_a_level_told_anew_meanwhile_proves_no_drift() -> None:
    book, comparison = begun(number=None)
    for ms, amount in ((90, "7"), (5_000, "8")):
        told = change(ms, None, [("10", amount)])
        assert book.apply(told)
        comparison.update(told)
    assert judge(comparison, 100, None, levels(10, "7", "2", "3")).outcome is Outcome.SAME
    assert judge(comparison, 100, None, levels(10, "6", "2", "3")).outcome is Outcome.UNKNOWN
    assert judge(comparison, 100, None, levels(10, "6", "5", "3")).outcome is Outcome.DRIFTED


def test_a_time_within_the_leeway_before_the_beginning_is_not_older() -> None:
    _, comparison = begun(number=None)
    assert judge(comparison, -1, None, levels(10, "1", "2", "3")).outcome is Outcome.SAME


@pytest.mark.parametrize("next_best", ["9", "8"])
def test_levels_pushed_out_of_the_depth_may_change_untold(next_best: str) -> None:
    book = Book(Channel(docs="", cuts=True), 2)
    book.apply(change(0, None, levels(10, "1", "2"), [("11", "1")], whole=True))
    comparison = Comparison(book, 2, at(0))
    for told in (change(100, None, [("10.5", "1")]), change(200, None, [("10.5", "0"), (next_best, "5")])):
        book.apply(told)
        comparison.update(told)
    assert judge(comparison, 3_000, None, [("10", "1"), (next_best, "5")], late=True).outcome is Outcome.SAME
    found = judge(comparison, 3_000, None, [("10", "1"), ("7", "5")], late=True)
    assert found == Verdict(Outcome.DRIFTED, "bid 1, price 7.0: we have nothing, the venue has 5.0")


def test_a_price_that_leaves_what_is_known_leaves_it_open() -> None:
    book, comparison = begun(number=None, bids=[(str(price), "1") for price in range(900, 600, -1)])
    gone = change(100, None, [(str(price), "0") for price in range(900, 700, -1)])
    book.apply(gone)
    comparison.update(gone)
    said = Verdict(Outcome.UNKNOWN, "the price has left the best bids that were compared")
    assert judge(comparison, 3_000, None, levels(700, "1", "1", "1"), late=True) == said


def test_levels_beyond_the_snapshot_that_a_book_began_with_are_not_compared() -> None:
    start = BookStart(
        lambda _: Request("/", {}), lambda _, name: BookChange(name, None, whole=True), levels=2
    )
    book = Book(Channel(docs="", start=start))
    book.join(change(0, 1, levels(10, "1", "2"), [("11", "1")], whole=True))
    comparison = Comparison(book, 3, at(0))
    assert judge(comparison, 50, 1, levels(10, "1", "2", "3")).outcome is Outcome.UNKNOWN
    assert judge(comparison, 50, 1, levels(10, "1", "4", "3")).outcome is Outcome.DRIFTED


def test_a_whole_book_pushed_meanwhile_tells_of_every_level() -> None:
    book, comparison = begun()
    book.apply(told := change(100, 2, levels(10, "1", "8"), [("11", "1")], whole=True))
    comparison.update(told)
    assert judge(comparison, 150, 2, levels(10, "1", "8"), asked=9).outcome is Outcome.SAME
    assert judge(comparison, 50, 1, levels(10, "1", "2", "3")).outcome is Outcome.SAME


def test_a_venue_that_counts_anew_is_not_compared() -> None:
    book, comparison = begun(number=50)
    comparison.update(replace(change(100, 3, [("10", "4")]), previous=50))
    assert book
    assert judge(comparison, 150, 3, levels(10, "4")) == Verdict(
        Outcome.UNKNOWN, "the venue counted anew meanwhile"
    )


def test_what_changes_meanwhile_is_kept_up_to_a_bound() -> None:
    book, comparison = begun()
    for number in range(2, 60_000):
        comparison.update(change(number, number, [("10", str(number))]))
    assert book
    assert judge(comparison, 1, 9, levels(10, "4")) == Verdict(Outcome.UNKNOWN, "too much changed meanwhile")


def test_an_empty_snapshot_says_nothing_and_an_empty_side_may() -> None:
    _, comparison = begun()
    empty = change(50, 1, (), whole=True)
    assert comparison.verdict(Snapshot(empty)).outcome is Outcome.UNKNOWN
    assert comparison.verdict(Snapshot(empty, depth=5)).outcome is Outcome.DRIFTED


def pushed(ms: int | None, number: int | None, amount: str, *, whole: bool = False) -> BookChange:
    return replace(change(ms, number, [("10", amount)], [("11", "1")], whole=whole), first=number)


def kept(numbering: str, number: int) -> BookKeeper:
    start = BookStart(lambda _: Request("/", {}), lambda _, name: BookChange(name, None), levels=99)
    asked = numbering == "binance linear"
    one = BookKeeper(Book(Channel(docs="", start=start if asked else None)), 2, SECOND)
    (one.join if asked else one.update)(pushed(0, number, "1", whole=True), Us(0))
    return one


class TestComparing:
    """A book held against a snapshot: what that proves, and what it withdraws."""

    @staticmethod
    def snapshot(ms: int | None, number: int | None, amount: str) -> Snapshot:
        return Snapshot(pushed(ms, number, amount, whole=True), 2)

    def test_a_book_that_does_not_move_is_proven_by_the_same_number(self) -> None:
        one = kept("bybit", 7)
        one.compare_begin()
        verdict = one.compared(self.snapshot(2_500, 7, "1.000"), Us(3))
        assert verdict.outcome is Outcome.SAME
        taken, turns = one.taken()
        assert [(snapshot.at, snapshot.received) for snapshot in taken] == [(n * SECOND, 3) for n in range(3)]
        assert turns == [Turn(at(0), began=True)]
        assert (one.known_until, one.compared_at) == (at(2_500), at(2_500))

    def test_a_snapshot_that_nothing_followed_is_proven_by_the_next_one(self) -> None:
        one = kept("binance linear", 7)
        one.compare_begin()
        one.compared(self.snapshot(2_500, 7, "1"), Us(3))
        taken, turns = one.taken()
        assert [snapshot.at for snapshot in taken] == [n * SECOND for n in range(3)]
        assert turns == [Turn(at(0), began=True)]

    def test_a_drift_withdraws_what_was_said_since_the_last_comparison(self) -> None:
        one = kept("bybit", 0)
        numbers = (pushed(250 * n, n, str(n)) for n in range(1, 100))
        for told in islice(numbers, 13):
            one.update(told, Us(0))
        one.compare_begin()
        assert one.compared(self.snapshot(3_400, 13, "13"), Us(0)).outcome is Outcome.SAME
        for told in islice(numbers, 16):
            one.update(told, Us(0))
        one.compare_begin()
        verdict = one.compared(self.snapshot(7_400, 29, "30"), Us(0))
        assert verdict.outcome is Outcome.DRIFTED
        taken, turns = one.taken()
        assert [snapshot.at for snapshot in taken] == [n * SECOND for n in range(4)]
        assert turns[1] == Turn(
            at(7_250),
            began=False,
            reason="the book has drifted: bid 0, price 10.0: we have 29.0, the venue has 30.0",
            since=at(3_400),
        )
        assert one.book.lost == turns[1].reason
        assert one.compared_at is None

    def test_a_drift_that_was_never_compared_withdraws_all_since_the_book_began(self) -> None:
        one = kept("bybit", 0)
        one.update(pushed(1_500, 1, "1"), Us(0))
        one.compare_begin()
        one.compared(self.snapshot(1_900, 1, "5"), Us(0))
        taken, turns = one.taken()
        assert taken == []
        assert (turns[-1].at, turns[-1].since) == (at(1_500), at(0))

    def test_a_venue_that_is_ahead_ends_the_book_where_it_is_known(self) -> None:
        one = kept("bybit", 0)
        one.update(pushed(1_500, 1, "1"), Us(0))
        one.compare_begin()
        ahead = self.snapshot(9_000, 5, "5")
        assert one.compared(ahead, Us(0)).outcome is Outcome.WAIT
        assert one.book.lost is None
        assert one.compared(ahead, Us(0), late=True).outcome is Outcome.BEHIND
        said = "the venue is at update 5, the book has heard of none after 1"
        assert one.taken()[1][-1] == Turn(at(1_500), began=False, reason=said)

    def test_a_book_that_begins_anew_is_not_compared(self) -> None:
        one = kept("bybit", 0)
        assert one.compare_begin()
        one.update(pushed(1_500, 90, "1", whole=True), Us(0))
        assert one.compared(self.snapshot(1_500, 90, "1"), Us(0)).outcome is Outcome.UNKNOWN
        one.lose("for some reason")
        assert one.compare_begin() is None

    def test_a_moment_before_what_is_known_proves_nothing_more(self) -> None:
        one = kept("bybit", 0)
        one.prove(at(-500), Us(0))
        assert one.known_until == at(0)
        one.lose("for some reason")
        one.prove(at(500), Us(0))
        assert one.known_until is None
