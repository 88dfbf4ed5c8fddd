"""Pictures are taken on the grid, and none shows a book that was not the venue's."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Request
from dccd_core.adapter.live import BookChange, BookStart, Channel, Pairs
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.stream.book import Book
from dccd_core.stream.snapshots import BookKeeper, BookSnapshot, Turn

EVERY = SECOND


def at(ms: int) -> Us:
    return Us(ms * MILLISECOND)


def keeper(depth: int = 2) -> BookKeeper:
    return BookKeeper(Book(Channel(docs="")), depth, EVERY)


def change(ms: int | None, number: int | None, amount: str, *, whole: bool = False) -> BookChange:
    time = None if ms is None else at(ms)
    return BookChange("x", time, [("10", amount)], [("11", "1")], whole=whole, first=number, last=number)


def snapshots(keeper: BookKeeper) -> list[tuple[Us, str]]:
    return [(snapshot.at, snapshot.bids[0][1]) for snapshot in keeper.taken()[0]]


def test_a_moment_shows_all_changes_up_to_it_and_none_after_it() -> None:
    one = keeper()
    for ms, number, amount in (
        (300, 1, "a"),
        (900, 2, "2"),
        (1_000, 3, "3"),
        (1_001, 4, "4"),
        (3_500, 5, "5"),
    ):
        one.update(change(ms, number, amount.replace("a", "1"), whole=number == 1), Us(7))
    assert snapshots(one) == [(SECOND, "3"), (2 * SECOND, "4"), (3 * SECOND, "4")]


def test_a_picture_says_when_its_proof_came_and_has_as_many_levels_as_wanted() -> None:
    one = keeper(depth=1)
    one.update(BookChange("x", at(500), [("10", "1"), ("9", "1")], [("11", "1")], whole=True), Us(1))
    one.update(BookChange("x", at(1_500), [("8", "1")]), Us(2))
    assert one.taken()[0] == [BookSnapshot(SECOND, [("10", "1")], [("11", "1")], Us(2))]


def test_a_lost_change_costs_exactly_the_time_up_to_the_next_whole_book() -> None:
    one = keeper()
    one.update(change(300, 1, "1", whole=True), Us(0))
    one.update(change(1_300, 2, "2"), Us(0))
    one.update(change(3_300, 4, "4"), Us(0))
    assert one.book.lost == "updates 3 to 3 are missing"
    one.update(change(4_300, 9, "9", whole=True), Us(0))
    one.update(change(5_300, 10, "10"), Us(0))
    taken, turns = one.taken()
    assert [snapshot.at for snapshot in taken] == [SECOND, 5 * SECOND]
    assert turns == [
        Turn(at(300), began=True),
        Turn(at(1_300), began=False, reason="updates 3 to 3 are missing"),
        Turn(at(4_300), began=True),
    ]


def test_a_whole_book_that_does_not_follow_leaves_the_time_before_it_unknown() -> None:
    one = keeper()
    one.update(change(300, 1, "1", whole=True), Us(0))
    one.update(change(2_300, 2, "2", whole=True), Us(0))  # follows: venues repeat themselves
    one.update(change(4_300, 1, "3", whole=True), Us(0))  # the venue counts anew
    taken, turns = one.taken()
    assert [snapshot.at for snapshot in taken] == [SECOND, 2 * SECOND]
    assert [(turn.at, turn.began) for turn in turns] == [
        (at(300), True),
        (at(2_300), False),
        (at(4_300), True),
    ]


def test_a_snapshot_without_a_time_is_known_from_the_first_change_on() -> None:
    one = keeper()
    one.update(change(None, 1, "1", whole=True), Us(0))
    assert one.taken() == ([], [])
    one.update(change(1_700, 2, "2"), Us(0))
    one.update(change(2_100, 3, "3"), Us(0))
    taken, turns = one.taken()
    assert [(snapshot.at, snapshot.bids[0][1]) for snapshot in taken] == [(2 * SECOND, "2")]
    assert turns == [Turn(at(1_700), began=True)]


@given(
    steps=st.lists(st.tuples(st.integers(0, 2_500), st.booleans()), min_size=1, max_size=30),
    again=st.integers(1, 8),
)
def test_whatever_is_dropped_no_picture_is_wrong(steps: list[tuple[int, bool]], again: int) -> None:
    """Changes come some ms apart, some of them never; a whole book follows ``again`` changes after a loss."""
    one, ms, truth, waited = keeper(), 0, [(at(0), "1")], 0
    one.update(change(0, 1, "1", whole=True), Us(0))
    for number, (later, dropped) in enumerate(steps, start=2):
        ms += later
        truth.append((at(ms), str(number)))
        if one.book.lost:
            waited += 1
        if waited == again:
            waited = 0
            one.update(change(ms, number, str(number), whole=True), Us(0))
        elif not dropped:
            one.update(change(ms, number, str(number)), Us(0))
    taken, turns = one.taken()
    for snapshot in taken:
        assert snapshot.bids == [("10", [amount for time, amount in truth if time <= snapshot.at][-1])]
    assert len({snapshot.at for snapshot in taken}) == len(taken)
    ends = [turn.at for turn in turns] + ([] if one.known_until is None else [one.known_until])
    known = list(zip(ends[::2], ends[1::2], strict=True))
    grid = [n for start, end in known for n in range(-(-start // EVERY) * EVERY, end, EVERY)]
    assert [snapshot.at for snapshot in taken] == sorted(set(grid))


STARTED = Channel(
    docs="",
    start=BookStart(
        lambda _: Request("/", {}), lambda _, name: BookChange(name, None, whole=True), levels=99
    ),
)
NUMBERINGS = ["binance spot", "binance linear", "okx", "bybit", "bitfinex"]


def stream(numbering: str, first: int, begin: int, seconds: int) -> Iterator[BookChange]:
    """Four changes a second, numbered as a venue does; the amount of the best bid is the number."""
    step = 1 if numbering == "bybit" else 3
    for index in range(4 * seconds):
        before, last = first + index * step, first + (index + 1) * step
        told = change(begin + 250 * index, last, str(last))
        contiguous = numbering in ("binance spot", "binance linear", "bybit")
        told.first = before + 1 if contiguous else None
        told.previous = before if numbering in ("binance linear", "okx") else None
        yield told


def begun(numbering: str, number: int) -> BookKeeper:
    started = numbering.startswith("binance")
    one = BookKeeper(Book(STARTED if started else Channel(docs="")), 2, EVERY)
    whole = BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True, last=number)
    (one.join if started else one.update)(whole, Us(0))
    return one


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_l3_numbers_that_go_back_lose_the_book_with_a_reason(numbering: str) -> None:
    one = begun(numbering, 5_000)
    for told in stream(numbering, 5_000, 10, 15):
        one.update(told, Us(0))
    for told in stream(numbering, 1_000, 15_010, 60):
        one.update(told, Us(0))
    taken, turns = one.taken()
    assert [turn.began for turn in turns] == [True, False]
    assert turns[1].at <= at(15_010)
    assert str(one.book.lost) == turns[1].reason
    last = 5_000 + 60 * (1 if numbering == "bybit" else 3)
    assert str(last) in turns[1].reason
    assert [snapshot.at for snapshot in taken] == [second * SECOND for second in range(15)]
    assert one.known_until is None


def test_l3_a_frozen_book_is_never_taken_for_the_present_one() -> None:
    """The venue tells the same update again and again, with the time of its sending."""
    one, events = begun("binance spot", 5_000), list(stream("binance spot", 5_000, 10, 3))
    for told in events:
        one.update(told, Us(0))
    for second in range(3, 60):
        one.update(replace(events[-1], at=at(second * 1_000 + 500)), Us(0))
    taken, turns = one.taken()
    assert [snapshot.at for snapshot in taken] == [0, SECOND, 2 * SECOND]
    assert turns[-1] == Turn(
        at(2_760), began=False, reason="after update 5036 came nothing but what was told before, 6 times"
    )


def test_l3_what_is_told_again_with_its_old_time_is_not_told_for_ever() -> None:
    one, events = begun("binance spot", 5_000), list(stream("binance spot", 5_000, 10, 3))
    for told in [*events, *[events[-1]] * 1_000]:
        one.update(told, Us(0))
    assert one.known_until is None
    assert one.taken()[1][-1].at == at(2_760)


@pytest.mark.parametrize("numbering", NUMBERINGS)
def test_messages_that_come_twice_do_no_harm(numbering: str) -> None:
    once, twice = begun(numbering, 0), begun(numbering, 0)
    for told in stream(numbering, 0, 10, 10):
        once.update(told, Us(0))
        for _ in range(2):
            twice.update(told, Us(0))
    assert twice.book.lost is None
    assert twice.taken() == once.taken()
    assert twice.known_until == once.known_until


def test_l3_a_snapshot_of_other_numbers_claims_nothing() -> None:
    one = begun("binance linear", 900_000)
    for told in stream("binance linear", 1_000, 10, 60):
        one.update(told, Us(0))
    assert one.taken() == ([], [])
    assert one.book.lost == "the snapshot ends at 900000, 5 s later the changes were at 1063"


def test_a_snapshot_that_changes_go_on_from_is_known_from_its_own_time_on() -> None:
    one = begun("binance linear", 1_000)
    assert one.taken() == ([], [])
    for told in stream("binance linear", 1_000, 3_010, 1):
        one.update(told, Us(0))
    taken, turns = one.taken()
    assert [(snapshot.at, snapshot.bids[0][1]) for snapshot in taken] == [(n * SECOND, "1") for n in range(4)]
    assert turns == [Turn(at(0), began=True)]


def test_a_change_whose_time_is_not_told_leaves_its_time_unknown() -> None:
    """Nobody knows whether the next pictures are of before or after it."""
    one = begun("bybit", 0)
    one.update(change(500, 1, "1"), Us(0))
    one.update(change(None, 2, "2"), Us(0))
    one.update(change(2_500, 3, "3"), Us(0))
    one.update(change(3_500, 4, "4"), Us(0))
    taken, turns = one.taken()
    assert [(snapshot.at, snapshot.bids[0][1]) for snapshot in taken] == [(0, "1"), (3 * SECOND, "3")]
    assert [(turn.at, turn.began) for turn in turns] == [
        (at(0), True),
        (at(500), False),
        (at(2_500), True),
    ]


def test_l3_a_time_far_ahead_does_not_fill_the_memory_with_pictures() -> None:
    one = begun("bybit", 0)
    one.update(change(1_500, 1, "1"), Us(0))
    one.update(change(86_400_000, 2, "2"), Us(0))
    taken, turns = one.taken()
    assert [snapshot.at for snapshot in taken] == [0, SECOND]
    assert turns[1] == Turn(at(1_500), began=False, reason="the next change told a time 86398 s later")
    assert turns[2] == Turn(at(86_400_000), began=True)


def crossing(numbering: str, ms: int, number: int, bids: Pairs, asks: Pairs = ()) -> BookChange:
    if numbering == "coinbase":
        return BookChange("x", at(ms), bids, asks)
    return BookChange("x", at(ms), bids, asks, first=number, last=number, previous=number - 1)


@pytest.mark.parametrize("numbering", ["binance linear", "coinbase"])
def test_l12_a_book_that_stays_crossed_is_lost(numbering: str) -> None:
    one = begun(numbering, 0)
    if numbering == "coinbase":
        one.update(BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True), Us(0))
    one.update(crossing(numbering, 500, 1, [("9", "1")]), Us(0))
    one.update(crossing(numbering, 1_500, 2, [("11", "2")]), Us(0))
    for number in range(3, 60):
        one.update(crossing(numbering, 1_500 + 250 * number, number, [("8", str(number))]), Us(0))
    taken, turns = one.taken()
    assert one.known_until is None
    assert turns[-1].reason.startswith("the best bid, 11.0, is not below the best ask, 11.0, for 3.")
    assert not turns[-1].began
    assert not taken, "nobody knows since when the book was wrong"
    assert turns[-1].since == at(0)


@pytest.mark.parametrize("numbering", ["binance linear", "coinbase"])
def test_l12_a_book_that_is_not_crossed_for_moments_is_lost_like_one_that_always_is(numbering: str) -> None:
    """Where each level is a message of its own, a price that moves uncrosses it for a moment."""
    one = begun(numbering, 0)
    one.update(BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True, last=0), Us(0))
    for number in range(1, 60):
        crossed = number % 10 != 5
        level = [("11.5", "1" if crossed else "0")]
        one.update(crossing(numbering, 1_000 + 100 * number, number, level), Us(0))
    _, turns = one.taken()
    assert [turn.since for turn in turns if turn.reason] == [at(0)]


def test_l12_a_book_that_is_crossed_for_moments_only_is_not_lost() -> None:
    one = begun("coinbase", 0)
    one.update(BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True), Us(0))
    for number in range(100):
        level = [("11.5", "1" if number % 2 else "0")]
        one.update(BookChange("x", at(1_000 + 600 * number + 100 * (number % 2)), level), Us(0))
    assert one.book.lost is None


def test_a_crossed_picture_says_so() -> None:
    one = begun("binance linear", 0)
    for number, best in enumerate(("10", "11", "12"), start=1):
        one.update(crossing("binance linear", 500 + 700 * number, number, [(best, "1")]), Us(0))
    one.update(crossing("binance linear", 3_000, 4, [("11", "0"), ("12", "0")]), Us(0))
    one.update(crossing("binance linear", 60_500, 5, [("9", "1")]), Us(0))
    taken, turns = one.taken()
    assert [snapshot.at for snapshot in taken if snapshot.crossed] == [2 * SECOND]
    assert len(taken) == 61
    assert len(turns) == 1


def test_l12_a_book_that_is_crossed_amid_a_moment_is_not_lost() -> None:
    """Coinbase tells one moment in several messages."""
    one = keeper()
    one.update(BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True), Us(0))
    one.update(BookChange("x", at(1_500), [("11", "1")]), Us(0))
    one.update(BookChange("x", at(1_500), [], [("11", "0"), ("12", "1")]), Us(0))
    one.update(BookChange("x", at(2_500), [("10", "2")]), Us(0))
    taken, turns = one.taken()
    assert [(snapshot.at, snapshot.bids[0][0], snapshot.crossed) for snapshot in taken] == [
        (0, "10", False),
        (SECOND, "10", False),
        (2 * SECOND, "11", False),
    ]
    assert turns == [Turn(at(0), began=True)]
    assert one.known_until == at(2_500)


def test_l12_of_a_proven_book_nothing_is_said_until_it_is_seen_that_it_is_not_lost_for_being_crossed() -> (
    None
):
    """Whoever dies before that has said nothing that was wrong; what is crossed for a moment is told then."""
    one = keeper()
    one.update(BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True, first=1, last=1), Us(0))
    one.update(BookChange("x", at(1_500), [("11", "1")], first=2, last=2), Us(0))
    one.update(BookChange("x", at(2_500), [("10", "2")], first=3, last=3), Us(0))
    taken, _ = one.taken()
    assert ([snapshot.at for snapshot in taken], one.known_until) == ([0, SECOND], at(1_500))
    one.update(BookChange("x", at(2_600), [("11", "0")], first=4, last=4), Us(0))
    one.update(BookChange("x", at(3_900), [("10", "3")], first=5, last=5), Us(0))
    taken, turns = one.taken()
    assert [(one.at, one.crossed) for one in taken] == [(2 * SECOND, True), (3 * SECOND, False)]
    assert (turns, one.known_until) == ([], at(3_900))


def test_l12_the_time_in_which_an_unproven_book_was_crossed_is_not_known() -> None:
    one = keeper()
    one.update(BookChange("x", at(0), [("10", "1")], [("11", "1")], whole=True), Us(0))
    one.update(BookChange("x", at(1_500), [("11", "1")]), Us(0))
    one.update(BookChange("x", at(2_500), [("11", "0")]), Us(0))
    one.update(BookChange("x", at(3_500), [("11", "0")]), Us(0))
    taken, turns = one.taken()
    assert [snapshot.at for snapshot in taken] == [0, SECOND, 3 * SECOND]
    assert turns == [
        Turn(at(0), began=True),
        Turn(at(1_500), began=False, reason="the best bid was not below the best ask"),
        Turn(at(2_500), began=True),
    ]


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(["next", "again", "back", "lost", "prove"])),
        min_size=1,
        max_size=40,
    ),
    numbering=st.sampled_from(NUMBERINGS[:4]),
)
def test_l3_whatever_is_told_again_no_picture_is_wrong(steps: list[tuple[int, str]], numbering: str) -> None:
    """The newest message and older ones come again with newer times, some never come."""
    one, ms, truth = begun(numbering, 0), 10, [(at(0), "1")]
    events, heard = stream(numbering, 0, 0, 11), list[BookChange]()
    for later, what in steps:
        ms += later
        if what in ("next", "lost"):
            told = replace(next(events), at=at(ms))
            truth.append((at(ms), told.bids[0][1]))
            if what == "next":
                heard.append(told)
                one.update(told, Us(0))
        elif what == "prove":
            if one.book.bids.best(1) == [("10", truth[-1][1])]:
                one.prove(at(ms), Us(0))
        elif heard:
            one.update(replace(heard[-1 if what == "again" else 0], at=at(ms)), Us(0))
    taken, turns = one.taken()
    for snapshot in taken:
        assert snapshot.bids == [("10", [amount for time, amount in truth if time <= snapshot.at][-1])]
    assert all(before.at < after.at for before, after in pairwise(taken))
    assert [turn.began for turn in turns] == [n % 2 == 0 for n in range(len(turns))]
