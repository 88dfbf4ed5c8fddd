"""Trades by a cursor in time come once, and those of one moment whole."""

from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Cursor, Limit, Query, Request
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.fetch.paging.cursor import CursorPager, cursor_pagers
from tests.dccd_core.fetch.paging.answers import (
    CHANCE,
    LATE,
    SETTLE,
    Venue,
    answer,
    endpoint,
    followed,
    trades,
)


class Tape(Venue):
    """Trades by time, oldest first, each answer cut to a random length."""

    def __init__(
        self, held: list[tuple[int, int]], chance: Random, now: Us = LATE, *, most: int = 7, least: int = 4
    ) -> None:
        super().__init__(chance, now)
        self.held = held
        self.most = most
        self.least = least

    def rows(self, asked: Request) -> pl.DataFrame:
        self.asked.append(asked)
        start, end = int(asked.params["start"]), int(asked.params["end"])
        found = [row for row in self.held if start <= row[1] < end and row[1] <= self.now][: self.most]
        return trades(found[: max(self.short(len(found)), self.least)])


def ticks(steps: list[int]) -> list[tuple[int, int]]:
    held: list[tuple[int, int]] = []
    for number, step in enumerate(steps):
        held.append((7 * number, (held[-1][1] if held else MINUTE) + step * MILLISECOND))
    return held


@given(
    steps=st.lists(st.sampled_from([0, 0, 1, 5]), max_size=50).filter(
        lambda steps: "0000" not in "".join(map(str, steps))
    ),
    blur=st.sampled_from([Us(0), Us(300), MILLISECOND]),
    ranges=st.integers(1, 4),
    chance=CHANCE,
)
def test_a_cursor_gives_each_trade_once_and_ties_whole(
    steps: list[int], blur: Us, ranges: int, chance: Random
) -> None:
    held = ticks(steps)
    span = TimeRange(Us(MINUTE), Us(MINUTE + 60 * MILLISECOND))
    paging, limits = Cursor(blur), (Limit(ranges, SECOND),)
    pagers = cursor_pagers(endpoint(paging), Query("X", span, 7), SETTLE, paging, limits)
    pages = [page for pager in pagers for page in followed(pager, Tape(held, chance, most=12, least=9))]
    got = [int(i) for page in pages for i in page.rows["trade_id"]]
    assert got == [number for number, ts in held if span.start <= ts < span.end]
    assert not any(page.cut for page in pages)


def test_the_cursor_stands_at_the_last_row_not_after_it() -> None:
    held = ticks([0, 1, 1, 0, 0, 1, 1])
    venue = Tape(held, Random(1), most=4)
    paging = Cursor()
    pager = CursorPager(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 4), SETTLE, paging)
    pages = followed(pager, venue)
    assert [int(i) for page in pages for i in page.rows["trade_id"]] == [number for number, _ in held]
    assert int(venue.asked[1].params["start"]) == held[3][1]


def test_a_tie_longer_than_a_page_is_an_error_not_a_loss() -> None:
    held = ticks([0, 0, 0, 0, 0, 0, 1])
    paging = Cursor()
    pager = CursorPager(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 4), SETTLE, paging)
    with pytest.raises(PagingError, match="share the moment 1970-01-01T00:01:00Z"):
        followed(pager, Tape(held, Random(1), most=4))


def test_a_venue_that_leaves_out_rows_passes_a_tie_longer_than_a_page() -> None:
    held = ticks([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])

    class Skipping(Tape):
        def rows(self, asked: Request) -> pl.DataFrame:
            start = int(asked.params["start"])
            return trades([row for row in held if row[1] >= start][int(asked.params["skip"]) :][:4])

    paging = Cursor(skips=True)
    pager = CursorPager(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 4), SETTLE, paging)
    pages = followed(pager, Skipping(held, Random(1)))
    assert [int(i) for page in pages for i in page.rows["trade_id"]] == [number for number, _ in held]


def test_trades_that_are_not_settled_are_left_for_later() -> None:
    now = Us(MINUTE + 10 * SECOND)
    held = [(number, MINUTE + number * SECOND) for number in range(11)]
    paging = Cursor()
    pager = CursorPager(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 50), SETTLE, paging)
    pages = followed(pager, Tape(held, Random(1), now, most=50))
    assert [int(i) for page in pages for i in page.rows["trade_id"]] == [0, 1, 2, 3, 4]
    assert pages[-1].cut
    assert pages[-1].until == now - SETTLE


def test_a_venue_that_ignores_the_cursor_is_an_error() -> None:
    paging = Cursor()
    pager = CursorPager(endpoint(paging), Query("X", TimeRange(Us(5 * MINUTE), LATE), 4), SETTLE, paging)
    with pytest.raises(PagingError, match="asked for trades from 1970-01-01T00:05:00Z on"):
        pager.receive(answer(trades([(1, MINUTE)])))


@pytest.mark.parametrize(("amount", "ranges"), [(1, 1), (3, 3), (600, 8)])
def test_as_many_ranges_as_the_limits_let_be_asked_in_a_second(amount: int, ranges: int) -> None:
    paging, span = Cursor(), TimeRange(Us(0), Us(80 * MINUTE))
    pagers = list(
        cursor_pagers(endpoint(paging), Query("X", span, 5), SETTLE, paging, (Limit(amount, SECOND),))
    )
    assert len(pagers) == ranges
