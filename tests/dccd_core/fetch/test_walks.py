"""The other ways to page: from the newest row down, by a cursor in time, and the newest rows alone."""

from abc import ABC, abstractmethod
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Cursor, Keeps, Limit, Query, Request, TimeWindows
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.fetch.pager import BarWalk, IdWalk, Page, Walk, bar_walks, id_walks
from dccd_core.fetch.walks import CursorWalk, RecentWalk, cursor_walks
from tests.dccd_core.fetch.test_pager import LATE, SETTLE, answer, bars, bars_asked, endpoint, trades

NEWEST = endpoint(TimeWindows(Keeps.NEWEST))
CHANCE = st.randoms(use_true_random=False)


def followed(walk: Walk, venue: "Venue") -> list[Page]:
    pages: list[Page] = []
    while (asked := walk.request()) is not None:
        if (page := walk.receive(answer(venue.rows(asked), venue.now))) is not None:
            pages.append(page)
    return pages


class Venue(ABC):
    """Answers as it likes: short, repeated and shuffled pages."""

    def __init__(self, chance: Random, now: Us = LATE) -> None:
        self.chance = chance
        self.now = now
        self.asked: list[Request] = []

    @abstractmethod
    def rows(self, asked: Request) -> pl.DataFrame: ...

    def short(self, most: int) -> int:
        return self.chance.randint(1, most) if most else 0


class NewestBars(Venue):
    def __init__(self, opens: list[int], chance: Random, now: Us = LATE) -> None:
        super().__init__(chance, now)
        self.opens = opens

    def rows(self, asked: Request) -> pl.DataFrame:
        start, end = int(asked.params["start"]), int(asked.params["end"])
        found = [at for at in self.opens if start <= at < end][-int(asked.params["n"]) :]
        kept = found[-self.short(len(found)) :] if found else found
        kept = kept + self.chance.choices(kept, k=2) if kept else kept
        self.chance.shuffle(kept)
        return bars(kept)


@given(
    held=st.sets(st.integers(0, 59)),
    start=st.integers(0, 30 * MINUTE),
    minutes=st.integers(0, 30),
    limit=st.integers(1, 7),
    chance=CHANCE,
)
def test_bars_that_are_answered_from_the_newest_down_come_in_order(
    held: set[int], start: int, minutes: int, limit: int, chance: Random
) -> None:
    opens = sorted(minute * MINUTE for minute in held)
    span = TimeRange(Us(start), Us(start + minutes * MINUTE))
    walks = bar_walks(NEWEST, Query("X", span, limit, bar=MINUTE), SETTLE, Keeps.NEWEST)
    pages = [page for walk in walks for page in followed(walk, NewestBars(opens, chance))]
    got = [at for page in pages for at in page.rows["ts"].to_physical()]
    assert got == [at for at in opens if span.start <= at < span.end]
    assert not any(page.cut for page in pages)


@pytest.mark.parametrize("keeps", [Keeps.NEWEST, Keeps.ALL])
@pytest.mark.parametrize("second", range(0, 130, 11))
def test_the_running_bar_is_never_given_from_the_newest_down(second: int, keeps: Keeps) -> None:
    now = Us(10 * MINUTE + second * SECOND)
    opens = [minute * MINUTE for minute in range(13) if minute * MINUTE <= now]
    walk = BarWalk(NEWEST, Query("X", TimeRange(Us(0), Us(13 * MINUTE)), 20, bar=MINUTE), SETTLE, keeps)
    asked = walk.request()
    assert asked is not None
    page = walk.receive(answer(bars(bars_asked(asked, opens)), now))
    assert page is not None
    assert page.cut
    assert page.rows["ts"].to_physical().to_list() == [at for at in opens if at + MINUTE + SETTLE <= now]
    assert page.until + MINUTE + SETTLE > now


def test_where_all_rows_come_at_once_one_answer_is_enough() -> None:
    """Bars that are left out at the end of a window are no reason to ask again."""
    walk = BarWalk(NEWEST, Query("X", TimeRange(Us(0), Us(5 * MINUTE)), 5, bar=MINUTE), SETTLE, Keeps.ALL)
    assert walk.request() is not None
    page = walk.receive(answer(bars([MINUTE])))
    assert page is not None
    assert page.until == 5 * MINUTE
    assert walk.request() is None


@pytest.mark.parametrize("opens", [[0], [0, 0]])
def test_older_bars_beside_an_empty_window_are_no_error(opens: list[int]) -> None:
    span = TimeRange(Us(5 * MINUTE), Us(9 * MINUTE))
    walk = BarWalk(NEWEST, Query("X", span, 5, bar=MINUTE), SETTLE, Keeps.ALL)
    page = walk.receive(answer(bars(opens)))
    assert page is not None
    assert page.rows.height == 0


def test_bars_after_the_window_say_that_the_time_was_ignored() -> None:
    walk = BarWalk(NEWEST, Query("X", TimeRange(Us(0), Us(MINUTE)), 5, bar=MINUTE), SETTLE, Keeps.ALL)
    with pytest.raises(PagingError, match="asked for bars"):
        walk.receive(answer(bars([5 * MINUTE])))


class IdsDown(Venue):
    def __init__(self, held: list[tuple[int, int]], chance: Random) -> None:
        super().__init__(chance)
        self.held = held

    def rows(self, asked: Request) -> pl.DataFrame:
        stop, limit = int(asked.params["id"]) + int(asked.params["n"]), int(asked.params["n"])
        found = [row for row in self.held if row[0] < stop][-limit:]
        return trades(found[-self.short(len(found)) :] if found else found)


@given(
    steps=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), max_size=60),
    limit=st.integers(1, 7),
    chance=CHANCE,
)
def test_ids_that_are_answered_downwards_come_in_order(
    steps: list[tuple[int, int]], limit: int, chance: Random
) -> None:
    held: list[tuple[int, int]] = []
    for gap, tie in steps:
        number, ts = held[-1] if held else (100, 1_000)
        held.append((number + gap, ts + tie))
    ids = range(103, held[-1][0] + 1) if held else range(0)
    walks = id_walks(NEWEST, Query("X", TimeRange(Us(0), Us(10_000)), limit), ids, down=True)
    got = [
        int(i)
        for walk in walks
        for page in followed(walk, IdsDown(held, chance))
        for i in page.rows["trade_id"]
    ]
    assert got == [number for number, _ in held if number >= 103]


def test_what_lies_below_the_window_is_left_to_its_own() -> None:
    walk = IdWalk(NEWEST, Query("X", TimeRange(Us(0), LATE), 5), range(10, 15), down=True)
    page = walk.receive(answer(trades([(7, 70), (8, 80), (12, 120)])))
    assert page is None
    page = walk.receive(answer(trades([(7, 70), (8, 80)])))
    assert page is not None
    assert page.rows["trade_id"].to_list() == ["12"]


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
    walks = cursor_walks(endpoint(paging), Query("X", span, 7), SETTLE, paging, limits)
    pages = [page for walk in walks for page in followed(walk, Tape(held, chance, most=12, least=9))]
    got = [int(i) for page in pages for i in page.rows["trade_id"]]
    assert got == [number for number, ts in held if span.start <= ts < span.end]
    assert not any(page.cut for page in pages)


def test_the_cursor_stands_at_the_last_row_not_after_it() -> None:
    held = ticks([0, 1, 1, 0, 0, 1, 1])
    venue = Tape(held, Random(1), most=4)
    paging = Cursor()
    walk = CursorWalk(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 4), SETTLE, paging)
    pages = followed(walk, venue)
    assert [int(i) for page in pages for i in page.rows["trade_id"]] == [number for number, _ in held]
    assert int(venue.asked[1].params["start"]) == held[3][1]


def test_a_tie_longer_than_a_page_is_an_error_not_a_loss() -> None:
    held = ticks([0, 0, 0, 0, 0, 0, 1])
    paging = Cursor()
    walk = CursorWalk(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 4), SETTLE, paging)
    with pytest.raises(PagingError, match="share the moment 1970-01-01T00:01:00Z"):
        followed(walk, Tape(held, Random(1), most=4))


def test_a_venue_that_leaves_out_rows_passes_a_tie_longer_than_a_page() -> None:
    held = ticks([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])

    class Skipping(Tape):
        def rows(self, asked: Request) -> pl.DataFrame:
            start = int(asked.params["start"])
            return trades([row for row in held if row[1] >= start][int(asked.params["skip"]) :][:4])

    paging = Cursor(skips=True)
    walk = CursorWalk(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 4), SETTLE, paging)
    pages = followed(walk, Skipping(held, Random(1)))
    assert [int(i) for page in pages for i in page.rows["trade_id"]] == [number for number, _ in held]


def test_trades_that_are_not_settled_are_left_for_later() -> None:
    now = Us(MINUTE + 10 * SECOND)
    held = [(number, MINUTE + number * SECOND) for number in range(11)]
    paging = Cursor()
    walk = CursorWalk(endpoint(paging), Query("X", TimeRange(Us(0), LATE), 50), SETTLE, paging)
    pages = followed(walk, Tape(held, Random(1), now, most=50))
    assert [int(i) for page in pages for i in page.rows["trade_id"]] == [0, 1, 2, 3, 4]
    assert pages[-1].cut
    assert pages[-1].until == now - SETTLE


def test_a_venue_that_ignores_the_cursor_is_an_error() -> None:
    paging = Cursor()
    walk = CursorWalk(endpoint(paging), Query("X", TimeRange(Us(5 * MINUTE), LATE), 4), SETTLE, paging)
    with pytest.raises(PagingError, match="asked for trades from 1970-01-01T00:05:00Z on"):
        walk.receive(answer(trades([(1, MINUTE)])))


@pytest.mark.parametrize(("amount", "ranges"), [(1, 1), (3, 3), (600, 8)])
def test_as_many_ranges_as_the_limits_let_be_asked_in_a_second(amount: int, ranges: int) -> None:
    paging, span = Cursor(), TimeRange(Us(0), Us(80 * MINUTE))
    walks = list(
        cursor_walks(endpoint(paging), Query("X", span, 5), SETTLE, paging, (Limit(amount, SECOND),))
    )
    assert len(walks) == ranges


def recent(span: TimeRange, rows: pl.DataFrame, now: Us, bar: Us | None) -> Page:
    walk = RecentWalk(NEWEST, Query("X", span, 5, bar=bar), SETTLE)
    assert walk.request() is not None
    page = walk.receive(answer(rows, now))
    assert walk.request() is None
    return page


def test_of_the_newest_bars_those_in_the_span_are_taken_and_the_rest_is_told() -> None:
    now = Us(20 * MINUTE + 10 * SECOND)
    page = recent(TimeRange(Us(0), Us(60 * MINUTE)), bars([n * MINUTE for n in range(14, 21)]), now, MINUTE)
    assert page.rows["ts"].to_physical().to_list() == [n * MINUTE for n in range(14, 20)]
    assert (page.since, page.until, page.cut) == (14 * MINUTE, 20 * MINUTE, True)


def test_newest_bars_that_reach_back_far_enough_leave_nothing_out() -> None:
    page = recent(
        TimeRange(Us(5 * MINUTE), Us(9 * MINUTE)), bars([n * MINUTE for n in range(12)]), LATE, MINUTE
    )
    assert page.rows["ts"].to_physical().to_list() == [n * MINUTE for n in range(5, 9)]
    assert (page.since, page.until, page.cut) == (None, 9 * MINUTE, False)


def test_trades_that_share_the_first_moment_may_have_been_cut_off() -> None:
    now = Us(10 * MINUTE)
    page = recent(TimeRange(Us(0), LATE), trades([(5, MINUTE), (6, MINUTE), (7, 2 * MINUTE)]), now, None)
    assert page.rows["trade_id"].to_list() == ["5", "6", "7"]
    assert page.since == MINUTE + 1
