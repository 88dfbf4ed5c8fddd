"""Bars come once and in order, whatever the size of the pages, however they repeat, from either end."""

from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Keeps, Query, Request, Response, TimeWindows
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, WEEK, TimeRange, Us
from dccd_core.fetch.paging.page import Page, Pager
from dccd_core.fetch.paging.time_windows import BarPager, bar_pagers
from tests.dccd_core.fetch.paging.answers import (
    CHANCE,
    LATE,
    NEWEST,
    SETTLE,
    Venue,
    answer,
    bars,
    bars_asked,
    endpoint,
    followed,
    got,
    packed,
)

BARS = endpoint(TimeWindows())


def page_bars(pager: Pager, opens: list[int], chance: Random, now: Us = LATE) -> list[Page]:
    """Follow ``pager`` against a venue that cuts, repeats and shuffles its pages as it likes."""
    pages: list[Page] = []
    while (asked := pager.request()) is not None:
        rows = bars_asked(asked, opens)
        rows = rows[: chance.randint(1, len(rows))] if rows else rows
        rows = rows + chance.choices(rows, k=chance.randint(0, 3)) if rows else rows
        chance.shuffle(rows)
        pages.append(got(pager.receive(answer(bars(rows), now))))
    return pages


@given(
    held=st.sets(st.integers(0, 59)),
    start=st.integers(0, 30 * MINUTE),
    minutes=st.integers(0, 30),
    limit=st.integers(1, 7),
    chance=st.randoms(use_true_random=False),
)
def test_bars_come_once_and_in_order(
    held: set[int], start: int, minutes: int, limit: int, chance: Random
) -> None:
    opens = sorted(minute * MINUTE for minute in held)
    span = TimeRange(Us(start), Us(start + minutes * MINUTE))
    pagers = bar_pagers(BARS, Query("X", span, limit, bar=MINUTE), SETTLE)
    pages = [page for pager in pagers for page in page_bars(pager, opens, chance)]
    got = [at for page in pages for at in page.rows["ts"].to_physical()]
    assert got == [at for at in opens if span.start <= at < span.end]
    assert not any(page.cut for page in pages)


@pytest.mark.parametrize("second", range(0, 130, 7))
def test_the_running_bar_is_never_given(second: int) -> None:
    """At any moment of a minute: what is given closed ``finality_delay`` before the venue's own clock."""
    now = Us(10 * MINUTE + second * SECOND)
    opens = [minute * MINUTE for minute in range(13)]
    pager = BarPager(BARS, Query("X", TimeRange(Us(0), Us(13 * MINUTE)), 20, bar=MINUTE), SETTLE)
    pages = page_bars(pager, [at for at in opens if at <= now], Random(second), now)
    assert pages[-1].cut
    assert [at for page in pages for at in page.rows["ts"].to_physical()] == [
        at for at in opens if at + MINUTE + SETTLE <= now
    ]
    assert pages[-1].until + MINUTE + SETTLE > now


def test_the_venues_clock_decides_not_ours() -> None:
    pager = BarPager(BARS, Query("X", TimeRange(Us(0), Us(5 * MINUTE)), 5, bar=MINUTE), SETTLE)
    headers = {"date": "Thu, 01 Jan 1970 00:03:10 GMT"}
    rows = packed(bars([minute * MINUTE for minute in range(5)]))
    page = got(pager.receive(Response(200, headers, rows, received=LATE)))
    assert page.rows.height == 3
    assert page.cut


def test_weeks_open_on_monday() -> None:
    span = TimeRange(Us(0), Us(30 * DAY))
    [pager] = bar_pagers(BARS, Query("X", span, 10, bar=WEEK), SETTLE)
    asked = pager.request()
    assert asked is not None
    assert int(asked.params["start"]) == 4 * DAY


def test_bars_of_another_time_are_an_error_not_an_empty_page() -> None:
    pager = BarPager(BARS, Query("X", TimeRange(Us(0), Us(5 * MINUTE)), 5, bar=MINUTE), SETTLE)
    with pytest.raises(PagingError, match="answered from 1970-01-01 00:07"):
        pager.receive(answer(bars([7 * MINUTE, 8 * MINUTE])))
    assert pager.request() is not None, "the pager must be able to ask again"
    assert got(pager.receive(answer(bars([4 * MINUTE, 5 * MINUTE])))).rows.height == 1


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
    pagers = bar_pagers(NEWEST, Query("X", span, limit, bar=MINUTE), SETTLE, Keeps.NEWEST)
    pages = [page for pager in pagers for page in followed(pager, NewestBars(opens, chance))]
    got = [at for page in pages for at in page.rows["ts"].to_physical()]
    assert got == [at for at in opens if span.start <= at < span.end]
    assert not any(page.cut for page in pages)


@pytest.mark.parametrize("keeps", [Keeps.NEWEST, Keeps.ALL])
@pytest.mark.parametrize("second", range(0, 130, 11))
def test_the_running_bar_is_never_given_from_the_newest_down(second: int, keeps: Keeps) -> None:
    now = Us(10 * MINUTE + second * SECOND)
    opens = [minute * MINUTE for minute in range(13) if minute * MINUTE <= now]
    pager = BarPager(NEWEST, Query("X", TimeRange(Us(0), Us(13 * MINUTE)), 20, bar=MINUTE), SETTLE, keeps)
    asked = pager.request()
    assert asked is not None
    page = pager.receive(answer(bars(bars_asked(asked, opens)), now))
    assert page is not None
    assert page.cut
    assert page.rows["ts"].to_physical().to_list() == [at for at in opens if at + MINUTE + SETTLE <= now]
    assert page.until + MINUTE + SETTLE > now


def test_where_all_rows_come_at_once_one_answer_is_enough() -> None:
    """Bars that are left out at the end of a window are no reason to ask again."""
    pager = BarPager(NEWEST, Query("X", TimeRange(Us(0), Us(5 * MINUTE)), 5, bar=MINUTE), SETTLE, Keeps.ALL)
    assert pager.request() is not None
    page = pager.receive(answer(bars([MINUTE])))
    assert page is not None
    assert page.until == 5 * MINUTE
    assert pager.request() is None


@pytest.mark.parametrize("opens", [[0], [0, 0]])
def test_older_bars_beside_an_empty_window_are_no_error(opens: list[int]) -> None:
    span = TimeRange(Us(5 * MINUTE), Us(9 * MINUTE))
    pager = BarPager(NEWEST, Query("X", span, 5, bar=MINUTE), SETTLE, Keeps.ALL)
    page = pager.receive(answer(bars(opens)))
    assert page is not None
    assert page.rows.height == 0


def test_bars_after_the_window_say_that_the_time_was_ignored() -> None:
    pager = BarPager(NEWEST, Query("X", TimeRange(Us(0), Us(MINUTE)), 5, bar=MINUTE), SETTLE, Keeps.ALL)
    with pytest.raises(PagingError, match="asked for bars"):
        pager.receive(answer(bars([5 * MINUTE])))
