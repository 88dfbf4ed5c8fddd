"""Of the newest rows alone: what lies before them is told."""

import polars as pl

from dccd_core.adapter.contract import Query
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us
from dccd_core.fetch.paging.page import Page
from dccd_core.fetch.paging.recent import RecentPager
from tests.dccd_core.fetch.paging.answers import LATE, NEWEST, SETTLE, answer, bars, trades


def recent(span: TimeRange, rows: pl.DataFrame, now: Us, bar: Us | None) -> Page:
    pager = RecentPager(NEWEST, Query("X", span, 5, bar=bar), SETTLE)
    assert pager.request() is not None
    page = pager.receive(answer(rows, now))
    assert pager.request() is None
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
