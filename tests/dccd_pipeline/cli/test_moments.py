import pytest

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, WEEK, TimeRange, Us, parse_time
from dccd_pipeline.cli.moments import ORIGIN, parse_moment, whole_bars

NOW = parse_time("2026-11-28T17:43:21")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024-01", "2024-01-01"),
        ("2024", "2024-01-01"),
        ("2024-01-31T12:00Z", "2024-01-31T12:00"),
        ("2024-01-31T12:00+02:00", "2024-01-31T10:00"),
        ("now", "2026-11-28T17:43:21"),
        ("today", "2026-11-28"),
        ("Yesterday", "2026-11-27"),
        ("7d", "2026-11-21T17:43:21"),
        ("2w", "2026-11-14T17:43:21"),
        ("12h", "2026-11-28T05:43:21"),
        ("30m", "2026-11-28T17:13:21"),
        ("1704067200", "2024-01-01"),
        ("1704067200000", "2024-01-01"),
        ("1704067200000000", "2024-01-01"),
        ("1704067200000000000", "2024-01-01"),
    ],
)
def test_h9_moments_are_understood_as_people_write_them(text: str, at: str) -> None:
    assert parse_moment(text, NOW) == parse_time(at)
    assert parse_moment("origin", NOW) == ORIGIN


@pytest.mark.parametrize("text", ["", "lately", "2024-13", "31.12.2024", "7y", "-1", "99999999999999999999"])
def test_what_is_no_moment_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no moment -> write 2024-01-31, 2024-01, .*7d"):
        parse_moment(text, NOW)


def test_d9_the_word_last_of_dccd_3_is_answered() -> None:
    with pytest.raises(ConfigError, match="'last' was dccd 3's word -> leave --start out"):
        parse_moment("last", NOW)


def test_a_part_of_a_bar_is_the_whole_bar() -> None:
    span = TimeRange(parse_time("2026-11-28T17:42"), parse_time("2026-11-28T17:43"))
    hour = TimeRange(parse_time("2026-11-28T17:00"), parse_time("2026-11-28T18:00"))
    assert whole_bars(span, HOUR) == hour
    assert whole_bars(hour, HOUR) == hour
    assert whole_bars(span, MINUTE) == span
    assert whole_bars(span, None) == span
    assert whole_bars(span, WEEK) == span
    assert whole_bars(TimeRange(Us(0), DAY), DAY) == TimeRange(Us(0), DAY)
