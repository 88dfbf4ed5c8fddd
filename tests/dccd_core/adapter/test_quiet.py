"""Rows here are plain prices: a quiet bar repeats the one before it, marked by a minus."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.quiet import FilledBars
from dccd_core.domain.timespan import MINUTE, SECOND, Ns

NOON = Ns(720 * MINUTE)


def filled(before: FilledBars[int] | None = None, most: int = 100) -> FilledBars[int]:
    return FilledBars(lambda price: -abs(price), most, before)


def minute(number: int, seconds: float = 0) -> Ns:
    return Ns(NOON + number * MINUTE + int(seconds * SECOND))


def rows(bars: FilledBars[int]) -> list[tuple[int, int]]:
    """Return each bar's minute and row, in the order in which they came."""
    minutes = [(opened - NOON) // MINUTE for opened in bars.opens]
    assert [minute(number) for number in minutes] == bars.opens
    return list(zip(minutes, bars.came.rows, strict=True))


def take(bars: FilledBars[int], number: int, price: int) -> None:
    bars.take("a", Ns(number), MINUTE, minute(number), price)


def test_bars_one_after_another_stay_as_they_are() -> None:
    bars = filled()
    for number, price in ((0, 5), (0, 6), (1, 7)):
        take(bars, number, price)
    assert rows(bars) == [(0, 5), (0, 6), (1, 7)]
    assert bars.came.times == [0, 0, 1]


def test_a_later_bar_shows_which_ones_were_quiet() -> None:
    bars = filled()
    take(bars, 0, 5)
    take(bars, 4, 7)
    assert rows(bars) == [(0, 5), (1, -5), (2, -5), (3, -5), (4, 7)]
    assert bars.came.times == [0, 4, 4, 4, 4]
    assert bars.came.topics == ["a"] * 5


def test_so_does_time_a_little_after_the_end_of_a_bar() -> None:
    bars = filled()
    take(bars, 0, 5)
    bars.settle(Ns(9), minute(2, 1.9))
    assert rows(bars) == [(0, 5)]
    bars.settle(Ns(9), minute(2, 2))
    assert rows(bars) == [(0, 5), (1, -5)]
    bars.settle(Ns(9), minute(2, 30))
    assert rows(bars) == [(0, 5), (1, -5)]
    assert bars.came.times == [0, 9]


def test_what_came_late_still_counts_for_the_price() -> None:
    bars = filled()
    take(bars, 0, 5)
    bars.settle(Ns(9), minute(2, 2))
    take(bars, 1, 8)
    bars.settle(Ns(9), minute(3, 2))
    assert rows(bars) == [(0, 5), (1, -5), (1, 8), (2, -8)]


def test_a_correction_of_an_older_bar_changes_nothing_that_follows() -> None:
    bars = filled()
    take(bars, 3, 5)
    take(bars, 1, 8)
    bars.settle(Ns(9), minute(5, 2))
    assert rows(bars) == [(3, 5), (1, 8), (4, -5)]


def test_topics_and_lengths_do_not_mix() -> None:
    bars = filled()
    bars.take("a", Ns(1), MINUTE, minute(0), 5)
    bars.take("b", Ns(1), Ns(5 * MINUTE), minute(0), 6)
    bars.settle(Ns(2), minute(11))
    assert [row for _, row in rows(bars)].count(-5) == 9
    assert [number for number, row in rows(bars) if row == -6] == [5]


def test_a_new_topic_begins_with_the_bar_before_the_one_that_runs() -> None:
    bars = filled()
    bars.begin("a", MINUTE, minute(9, 30))
    bars.start("a", Ns(0), MINUTE, minute(2), 4)
    bars.start("a", Ns(0), MINUTE, minute(3), 5)
    assert rows(bars) == []
    bars.settle(Ns(1), minute(10, 2))
    assert rows(bars) == [(8, -5), (9, -5)]


@pytest.mark.parametrize(("number", "told"), [(8, [(8, 5), (9, -5)]), (9, [(9, 5)])])
def test_a_recent_bar_is_one_to_begin_with(number: int, told: list[tuple[int, int]]) -> None:
    bars = filled()
    bars.begin("a", MINUTE, minute(9, 30))
    bars.start("a", Ns(0), MINUTE, minute(number), 5)
    bars.settle(Ns(1), minute(10, 2))
    assert rows(bars) == told


def test_without_any_bar_there_is_no_price_to_fill_in() -> None:
    bars = filled()
    bars.begin("a", MINUTE, minute(9, 30))
    bars.settle(Ns(1), minute(12))
    assert rows(bars) == []
    take(bars, 12, 7)
    assert rows(bars) == [(12, 7)]


def test_a_bar_of_a_topic_whose_begin_nobody_told_is_taken() -> None:
    bars = filled()
    bars.start("a", Ns(0), MINUTE, minute(2), 4)
    assert rows(bars) == [(2, 4)]


def test_no_more_is_filled_in_than_history_has() -> None:
    bars = filled(most=3)
    take(bars, 0, 5)
    bars.settle(Ns(1), minute(1_000_000, 30))
    assert [number for number, _ in rows(bars)] == [0, 999_997, 999_998, 999_999]


@given(
    told=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 99)), min_size=1, max_size=30),
    cuts=st.sets(st.integers(0, 30)),
)
def test_every_bar_is_there_however_the_messages_are_batched(
    told: list[tuple[int, int]], cuts: set[int]
) -> None:
    told.sort(key=lambda one: one[0])
    whole = filled()
    parts = [filled()]
    for place, (number, price) in enumerate(told):
        if place in cuts:
            parts[-1].settle(Ns(0), minute(number))
            parts.append(filled(parts[-1]))
        take(whole, number, price)
        take(parts[-1], number, price)
    last = dict(rows(whole))
    assert last == {number: row for part in parts for number, row in rows(part)}
    assert list(last) == list(range(told[0][0], told[-1][0] + 1))
    prices = dict(told)
    assert all(last[number] == price for number, price in prices.items())
    assert all(row == -abs(before) for before, row in pairwise(last.values()) if row < 0)


def test_a_batch_read_twice_says_the_same() -> None:
    first = filled()
    take(first, 0, 5)
    again = [filled(first), filled(first)]
    for bars in again:
        take(bars, 2, 7)
    assert rows(again[0]) == rows(again[1]) == [(1, -5), (2, 7)]
