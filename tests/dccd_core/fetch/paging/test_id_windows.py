"""Trades by their ids come once and in order, upwards and downwards."""

from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import IdWindows, Query, Request
from dccd_core.domain.errors import PagingError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.paging.id_windows import IdPager, id_pagers
from dccd_core.fetch.paging.page import Page
from tests.dccd_core.fetch.paging.answers import (
    CHANCE,
    LATE,
    NEWEST,
    Venue,
    answer,
    endpoint,
    followed,
    got,
    request,
    trades,
)

TRADES = endpoint(IdWindows(before=request))


def page_trades(pager: IdPager, rows: list[tuple[int, int]], chance: Random) -> list[Page]:
    pages: list[Page] = []
    while (asked := pager.request()) is not None:
        page = [row for row in rows if row[0] >= int(asked.params["id"])][: int(asked.params["n"])]
        page = page[: chance.randint(1, len(page))] if page else page
        pages.append(got(pager.receive(answer(trades(page + chance.choices(page, k=2) if page else page)))))
    return pages


@given(
    gaps=st.lists(st.integers(1, 3), max_size=60),
    ties=st.lists(st.integers(0, 2), min_size=60, max_size=60),
    limit=st.integers(1, 7),
    chance=st.randoms(use_true_random=False),
)
def test_trades_come_once_and_in_order_of_id(
    gaps: list[int], ties: list[int], limit: int, chance: Random
) -> None:
    rows: list[tuple[int, int]] = []
    for gap, tie in zip(gaps, ties, strict=False):
        number, ts = rows[-1] if rows else (100, 1_000)
        rows.append((number + gap, ts + tie))
    ids = range(101, rows[-1][0] + 1) if rows else range(0)
    span = TimeRange(Us(0), Us(10_000))
    pagers = id_pagers(TRADES, Query("X", span, limit), ids)
    got = [i for pager in pagers for page in page_trades(pager, rows, chance) for i in page.rows["trade_id"]]
    assert got == [str(number) for number, _ in rows]


def test_ten_is_not_before_nine() -> None:
    rows = [(number, 1_000) for number in range(8, 12)]
    pager = IdPager(TRADES, Query("X", TimeRange(Us(0), Us(9_999)), 5), range(8, 12))
    page = got(pager.receive(answer(trades(rows))))
    assert page.rows["trade_id"].to_list() == ["8", "9", "10", "11"]


def test_an_answer_that_ignores_the_id_is_an_error() -> None:
    pager = IdPager(TRADES, Query("X", TimeRange(Us(0), Us(9_999)), 5), range(8, 12))
    with pytest.raises(PagingError, match="asked from id 8, answered from 3"):
        pager.receive(answer(trades([(3, 1), (4, 2)])))
    assert pager.request() is not None, "the pager must be able to ask again"


def test_rows_beyond_the_window_belong_to_the_next_one() -> None:
    pager = IdPager(TRADES, Query("X", TimeRange(Us(0), Us(9_999)), 5), range(8, 10))
    page = got(pager.receive(answer(trades([(8, 1), (9, 2), (10, 3), (11, 4)]))))
    assert page.rows["trade_id"].to_list() == ["8", "9"]
    assert pager.request() is None


def test_a_trade_out_of_time_is_a_stray_never_lost() -> None:
    span = TimeRange(Us(1_000), Us(2_000))
    pager = IdPager(TRADES, Query("X", span, 5), range(1, 5))
    page = got(pager.receive(answer(trades([(1, 999), (2, 1_000), (3, 1_999), (4, 2_000)]))))
    assert page.rows["trade_id"].to_list() == ["2", "3"]
    assert page.misplaced is not None
    assert page.misplaced["trade_id"].to_list() == ["1", "4"]


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
    pagers = id_pagers(NEWEST, Query("X", TimeRange(Us(0), Us(10_000)), limit), ids, down=True)
    got = [
        int(i)
        for pager in pagers
        for page in followed(pager, IdsDown(held, chance))
        for i in page.rows["trade_id"]
    ]
    assert got == [number for number, _ in held if number >= 103]


def test_what_lies_below_the_window_is_left_to_its_own() -> None:
    pager = IdPager(NEWEST, Query("X", TimeRange(Us(0), LATE), 5), range(10, 15), down=True)
    page = pager.receive(answer(trades([(7, 70), (8, 80), (12, 120)])))
    assert page is None
    page = pager.receive(answer(trades([(7, 70), (8, 80)])))
    assert page is not None
    assert page.rows["trade_id"].to_list() == ["12"]
