import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, WEEK, TimeRange, Us, moment, parse_time
from dccd_core.testing.sandbox.grid import MONTH, Page, bar_closes, bar_opens, bar_page, id_page

START = parse_time("2024-01-01")


@settings(max_examples=50)
@given(
    start=st.integers(-20, 100),
    length=st.integers(-5, 100),
    limit=st.integers(1, 30),
    newest=st.booleans(),
    holes=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40)), max_size=3),
)
def test_a_page_of_bars_is_cut_from_all_that_exist(
    start: int, length: int, limit: int, holes: list[tuple[int, int]], *, newest: bool
) -> None:
    hidden = [TimeRange(Us(START + a * 30 * SECOND), Us(START + (a + b) * 30 * SECOND)) for a, b in holes]
    page = Page(START + start * MINUTE + 1, START + (start + length) * MINUTE, limit, newest)
    opens, closes = bar_page(MINUTE, page, Us(START + 90 * SECOND), hidden)
    exist = [
        at
        for at in range(START + MINUTE, START + 300 * MINUTE, MINUTE)
        if not any(span.start <= at and at + MINUTE <= span.end for span in hidden)
    ]
    asked = [at for at in exist if page.start <= at < page.end]
    assert opens.tolist() == (asked[-limit:] if newest else asked[:limit])
    assert np.array_equal(closes, opens + MINUTE)


@settings(max_examples=50)
@given(
    start=st.integers(0, 100),
    length=st.integers(-5, 100),
    limit=st.integers(1, 30),
    newest=st.booleans(),
    holes=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40)), max_size=3),
)
def test_a_page_of_ids_is_cut_from_all_that_are_shown(
    start: int, length: int, limit: int, holes: list[tuple[int, int]], *, newest: bool
) -> None:
    hidden = [(first, first + more) for first, more in holes]
    shown = [
        number
        for number in range(start, start + length)
        if not any(first <= number <= last for first, last in hidden)
    ]
    page = Page(start, start + length, limit, newest)
    assert id_page(page, hidden).tolist() == (shown[-limit:] if newest else shown[:limit])


def test_weeks_open_on_mondays_and_three_days_count_from_the_epoch() -> None:
    weeks = bar_opens(WEEK, START, Us(START + 30 * DAY))
    assert {moment(Us(int(at))).isoweekday() for at in weeks} == {1}
    assert not np.any(bar_opens(Us(3 * DAY), START, Us(START + 30 * DAY)) % (3 * DAY))


def test_months_open_on_the_first_and_close_on_the_next() -> None:
    opens = bar_opens(MONTH, Us(START + 1), Us(START + 100 * DAY))
    assert [f"{moment(Us(int(at))):%m-%d}" for at in opens] == ["02-01", "03-01", "04-01"]
    assert np.array_equal(bar_closes(MONTH, opens)[:-1], opens[1:])


def test_the_first_bar_is_the_one_that_holds_the_first_trade() -> None:
    page = Page(0, START + 400 * DAY, 1)
    for bar, first in ((HOUR, START + 5 * HOUR), (DAY, START), (MONTH, START)):
        assert bar_page(bar, page, Us(START + 5 * HOUR + 1), [])[0].tolist() == [first]
