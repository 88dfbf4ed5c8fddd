from dataclasses import replace

import pytest

from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, parse_time
from dccd_core.fetch.fold_policy import MOST_ROWS, TailSize, fold_due

START = parse_time("2024-06-01")
MONTH = TimeRange(START, parse_time("2024-07-01"))
NOW = parse_time("2024-06-20")


def size(
    rows: int = 10, *, stored: int | None = 20_000, age: Us = MINUTE, until: Us = NOW, of: TimeRange = MONTH
) -> TailSize:
    return TailSize(of, stored, rows, Us(NOW - age), until)


@pytest.mark.parametrize(
    ("parts", "every", "why"),
    [
        ([], None, ""),
        ([size()], None, ""),
        ([size(), size(stored=None)], None, "there is no file yet"),
        ([size(until=MONTH.end)], None, "a partition has ended"),
        ([size(), replace(size(), replaces=True)], DAY, "what was imported makes way"),
        ([size(1_000, age=Us(HOUR - 1))], None, ""),
        ([size(1_000, age=HOUR)], None, "an hour has passed, and 5 % of the rows are new"),
        ([size(999, age=HOUR)], None, ""),
        ([size(1_000, age=HOUR), size(999)], None, ""),  # together they have less than 5 %
        ([size(1, age=DAY)], None, "a day has passed"),
        ([size(MOST_ROWS)], None, f"there are {MOST_ROWS:,} rows"),
        ([size(of=TimeRange(START, Us(NOW - HOUR + 1)), until=Us(START + 1))], None, ""),
        ([size(of=TimeRange(START, Us(NOW - HOUR)), until=Us(START + 1))], None, "a partition has ended"),
        ([size(age=Us(0))], Us(0), "its time has come"),
        ([size(1_000, age=HOUR)], Us(2 * HOUR), ""),
        ([size(1, age=HOUR)], HOUR, "its time has come"),
        ([size(stored=None)], Us(2 * HOUR), "there is no file yet"),
        ([size(MOST_ROWS)], Us(2 * HOUR), f"there are {MOST_ROWS:,} rows"),
        ([size(age=Us(0))], None, ""),
    ],
)
def test_it_is_folded_when_that_is_worth_it(parts: list[TailSize], every: Us | None, why: str) -> None:
    assert fold_due(parts, NOW, every) == why


def test_where_nothing_is_there_to_fold_no_pause_makes_it_due() -> None:
    assert fold_due([], NOW, Us(0)) == ""
