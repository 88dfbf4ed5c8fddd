import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.barspan import bar_open, format_bar_span, parse_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, MONDAY, SECOND, WEEK, Us, moment

units = st.sampled_from([SECOND, MINUTE, HOUR, DAY, WEEK])
lengths = st.tuples(st.integers(1, 400), units).map(lambda pair: Us(pair[0] * pair[1]))
times = st.integers(-(10**15), 8 * 10**15).map(Us)


@given(lengths)
def test_a_length_that_is_written_is_read_back(length: Us) -> None:
    assert parse_bar_span(format_bar_span(length)) == length
    assert parse_bar_span(length // SECOND) == length
    assert parse_bar_span(str(length // SECOND)) == length


@pytest.mark.parametrize(
    ("given_as", "written"),
    [
        ("60", "1m"),
        (3_600, "1h"),
        ("90", "90s"),
        ("60m", "1h"),
        ("24h", "1d"),
        ("7d", "1w"),
        ("05m", "5m"),
        ("14d", "2w"),
    ],
)
def test_each_length_has_one_spelling(given_as: str | int, written: str) -> None:
    assert format_bar_span(parse_bar_span(given_as)) == written


@pytest.mark.parametrize("text", ["", "0", "0m", "-1m", "1.5h", "m", "1 m", "1min", "1y", "1H", "²m"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a bar length") as caught:
        parse_bar_span(text)
    assert "1m, 5m, 1h" in caught.value.hint


def test_a_month_is_refused_not_taken_for_a_minute() -> None:
    """Field defect 14: ``1M`` was read as 60 seconds."""
    with pytest.raises(ConfigError, match="'1M'") as caught:
        parse_bar_span("1M")
    assert "month" in caught.value.hint


@given(times, lengths)
def test_a_moment_lies_in_the_bar_that_opened_last(at: Us, length: Us) -> None:
    opened = bar_open(at, length)
    assert opened <= at < opened + length
    assert bar_open(opened, length) == opened
    assert bar_open(Us(opened + length), length) == opened + length


@given(times)
def test_weeks_open_on_monday_and_days_at_midnight(at: Us) -> None:
    week = moment(bar_open(at, WEEK))
    assert (week.weekday(), week.hour, week.minute, week.second) == (0, 0, 0, 0)
    assert moment(bar_open(at, Us(2 * WEEK))).weekday() == 0
    assert bar_open(at, DAY) % DAY == 0
    assert moment(MONDAY).weekday() == 0


def test_three_days_are_counted_from_the_epoch() -> None:
    assert bar_open(Us(20_000 * DAY + 5), Us(3 * DAY)) == 19_998 * DAY
