"""What a partition claims of the bars that can be built: each by all of its time, borders included."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.bars.claims import claims, opening_in, touched
from dccd_core.bars.longer import opens_at
from dccd_core.domain.dataset import UNKNOWN, ListingPeriod, partition_span
from dccd_core.domain.timespan import DAY, HOUR, WEEK, TimeRange, Us, parse_time, union
from dccd_core.quality.holes import AFTER_END, BEFORE_LISTING
from dccd_core.tables import Grain

YEAR = partition_span(Grain.YEAR, "2024")  # from a Monday until a Wednesday
BEFORE = partition_span(Grain.YEAR, "2023")  # from a Sunday
JANUARY = partition_span(Grain.MONTH, "2024-01")
LATER = parse_time("2026-01-01")


def days(*numbers: int, of: TimeRange = YEAR) -> TimeRange:
    return TimeRange(*(Us(of.start + number * DAY) for number in numbers))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-200, 900), st.integers(1, 400)), max_size=6),
    st.sampled_from([HOUR, Us(4 * HOUR), DAY, WEEK, Us(5 * DAY)]),
    st.sampled_from([JANUARY, partition_span(Grain.MONTH, "2023-12")]),
)
def test_a_bar_is_claimed_when_all_of_it_is_known_by_the_partition_it_opens_in(
    pieces: list[tuple[int, int]], bar: Us, span: TimeRange
) -> None:
    known = union(
        TimeRange(Us(span.start + a * HOUR), Us(span.start + (a + length) * HOUR)) for a, length in pieces
    )
    expected = list[TimeRange]()
    for whole in touched(span, bar).split(bar):
        inside = whole.clip(span)
        assert inside is not None
        assert opens_at(whole.start, bar) == whole.start
        must = whole if whole.start >= span.start else inside
        expected += [] if must.minus(known) else [inside]
    found = claims(span, [span], known, bar, UNKNOWN, LATER)
    assert found.parts == union(expected)
    assert found.outside == []


def test_a_week_across_new_year_waits_for_its_end_and_the_year_after_does_not() -> None:
    until = parse_time("2025-01-05")
    old, new = YEAR, partition_span(Grain.YEAR, "2025")
    known = [TimeRange(old.start, until)]
    last_monday = parse_time("2024-12-30")
    assert claims(old, [old], known, WEEK, UNKNOWN, LATER).parts == [TimeRange(old.start, last_monday)]
    assert claims(new, [new], known, WEEK, UNKNOWN, LATER).parts == []
    known = [TimeRange(old.start, Us(until + DAY))]
    assert claims(old, [old], known, WEEK, UNKNOWN, LATER).parts == [old]
    head = TimeRange(new.start, Us(until + DAY))
    assert claims(new, [new], known, WEEK, UNKNOWN, LATER).parts == [head]
    assert claims(new, [new], [head], WEEK, UNKNOWN, LATER).parts == [head], "its bar is the old year's"
    assert opening_in(head, WEEK).length == 0
    assert opening_in(TimeRange(last_monday, old.end), WEEK) == TimeRange(last_monday, Us(until + DAY))


def test_only_whole_bars_of_what_is_wanted() -> None:
    wanted = TimeRange(Us(YEAR.start + HOUR), Us(YEAR.start + 5 * DAY + HOUR))
    assert claims(YEAR, [wanted], [YEAR], DAY, UNKNOWN, LATER).parts == [days(1, 5)]
    assert claims(YEAR, [days(1, 2), days(4, 6)], [YEAR], DAY, UNKNOWN, LATER).parts == [
        days(1, 2),
        days(4, 6),
    ]


@pytest.mark.parametrize(
    ("life", "now", "parts", "outside"),
    [
        (ListingPeriod(Us(YEAR.start + 9 * DAY)), LATER, [days(7, 21)], [(days(0, 7), BEFORE_LISTING)]),
        (
            ListingPeriod(None, Us(YEAR.start + 16 * DAY)),
            LATER,
            [days(7, 14)],
            [(days(14, 366), AFTER_END)],
        ),
        (ListingPeriod(None, Us(YEAR.start + 16 * DAY)), YEAR.start, [days(7, 21)], []),
        (ListingPeriod(parse_time("2025-02-01")), LATER, [], [(YEAR, BEFORE_LISTING)]),
        (ListingPeriod(None, parse_time("2023-02-01")), LATER, [], [(YEAR, AFTER_END)]),
    ],
    ids=["listed on a Wednesday", "ended on a Wednesday", "may end", "not yet listed", "ended long ago"],
)
def test_outside_of_the_life_of_a_market_nothing_need_be_known(
    life: ListingPeriod, now: Us, parts: list[TimeRange], outside: list[tuple[TimeRange, str]]
) -> None:
    known = [TimeRange(Us(YEAR.start + 9 * DAY if life.listed else YEAR.start + 7 * DAY), days(0, 21).end)]
    found = claims(YEAR, [YEAR], known, WEEK, life, now)
    assert (found.parts, found.outside) == (parts, outside)


def test_a_year_that_begins_within_a_week_is_before_the_listing_from_its_first_day() -> None:
    life = ListingPeriod(Us(BEFORE.start + 5 * HOUR))
    found = claims(BEFORE, [BEFORE], [TimeRange(life.listed or Us(0), BEFORE.end)], WEEK, life, LATER)
    assert found.outside == []
    assert found.parts == [BEFORE], "2023 began on a Sunday, and ended on one"
