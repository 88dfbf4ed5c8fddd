"""A letter a day: what is proven, what is not, and why."""

from dataclasses import replace
from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us, parse_time, union
from dccd_core.lake.partition.ledger import Hole
from dccd_pipeline.answer.calendar import _per_day, calendar  # pyright: ignore[reportPrivateUsage]
from tests.dccd_pipeline.held import BOOKS, HOURS, state

YEAR = TimeRange(parse_time("2024-01-01"), parse_time("2025-01-01"))


def hole(day: int, hours: int, proof: str | None = None) -> Hole:
    start = Us(YEAR.start + day * DAY)
    return Hole(TimeRange(start, Us(start + hours * HOUR)), hours, proof=proof)


def test_each_day_says_what_is_known_of_it() -> None:
    holes = hole(1, 3), hole(3, 2, "accepted: known"), hole(5, 2, "nothing was traded")
    known = {"2024": state(HOURS, "2024", *holes, until=Us(YEAR.start + 8 * DAY + HOUR))}
    found = calendar(HOURS, known, TimeRange(Us(YEAR.start + HOUR), Us(YEAR.start + 11 * DAY)))
    assert (found.first, found.cells) == (date(2024, 1, 1), "pgpapppphbb")
    assert found.notes == {1: "3 missing: nobody can say why"}
    assert found.runs == [("p", 1), ("g", 1), ("p", 1), ("a", 1), ("p", 4), ("h", 1), ("b", 2)]
    assert found.rows == {"2024": 3}
    assert [(gap.missing, gap.why) for gap in found.gaps] == [(3, "nobody can say why")]


def test_what_was_skipped_and_what_a_remote_holds_is_shown_as_such() -> None:
    known = {"2022": state(HOURS, "2022"), "2024": replace(state(HOURS, "2024"), elsewhere=("nas",))}
    found = calendar(HOURS, known, TimeRange(parse_time("2022-01-01"), YEAR.end))
    assert found.runs == [("p", 365), ("n", 365), ("e", 366)]


def test_of_many_gaps_the_newest_are_told_and_the_others_counted() -> None:
    known = {"2024": state(HOURS, "2024", *(hole(day, 3) for day in range(30)))}
    found = calendar(HOURS, known, YEAR)
    assert (len(found.gaps), found.left_out) == (20, 10)
    assert found.gaps[-1].span == hole(29, 3).span


def test_pictures_promise_no_moment() -> None:
    found = calendar(BOOKS, {}, TimeRange(YEAR.start, Us(YEAR.start + 2 * DAY)))
    assert set(found.cells) <= {".", "b", "h"}


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 800)), max_size=12))
def test_what_lies_in_a_day_is_counted_to_the_microsecond(pieces: list[tuple[int, int]]) -> None:
    spans = union(TimeRange(Us(start), Us(start + length)) for start, length in pieces)
    edges = np.arange(0, 7_000, 1_000, dtype=np.int64)
    want = [
        sum(part.length for span in spans if (part := span.clip(TimeRange(Us(day), Us(day + 1_000)))))
        for day in range(0, 6_000, 1_000)
    ]
    assert _per_day(edges, spans).tolist() == want
