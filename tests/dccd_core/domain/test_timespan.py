"""The algebra of spans, and times that are exact to the microsecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import DAY, HOUR, SECOND, TimeRange, Us, iso, moment, parse_time, union, us

small = st.integers(0, 60)
spans = st.tuples(small, small).map(lambda pair: TimeRange(Us(min(pair)), Us(max(pair))))
aware = st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
instants = st.integers(int(us(datetime(1700, 1, 1, tzinfo=UTC))), int(us(datetime(2250, 1, 1, tzinfo=UTC))))


def points(*parts: TimeRange) -> set[int]:
    return {at for part in parts for at in range(part.start, part.end)}


@given(spans, spans)
def test_clip_is_what_both_share(one: TimeRange, other: TimeRange) -> None:
    shared = one.clip(other)
    assert (points(shared) if shared else set()) == points(one) & points(other)
    assert shared == other.clip(one)
    assert shared is None or shared.length > 0


@given(spans, st.lists(spans, max_size=5))
def test_minus_is_what_is_left(whole: TimeRange, others: list[TimeRange]) -> None:
    left = whole.minus(others)
    assert points(*left) == points(whole) - points(*others)
    assert left == union(left), "in order, apart, none empty"


@given(st.lists(spans, max_size=6))
def test_union_joins_what_overlaps_or_touches(parts: list[TimeRange]) -> None:
    joined = union(parts)
    assert points(*joined) == points(*parts)
    assert all(a.end < b.start for a, b in zip(joined, joined[1:]))  # noqa: B905, RUF007
    assert union(reversed(joined)) == joined


@given(spans, st.integers(1, 20))
def test_split_covers_exactly(whole: TimeRange, width: int) -> None:
    parts = list(whole.split(Us(width)))
    assert points(*parts) == points(whole)
    assert sum(part.length for part in parts) == whole.length
    assert all(part.length == width for part in parts[:-1])
    assert all(0 < part.length <= width for part in parts)


def test_a_span_does_not_end_before_it_starts() -> None:
    assert TimeRange(Us(5), Us(5)).length == 0
    with pytest.raises(ValueError, match="ends before it starts"):
        TimeRange(Us(5), Us(4))


@given(aware)
def test_a_datetime_comes_back(at: datetime) -> None:
    assert moment(us(at)) == at


@given(instants)
def test_a_time_that_is_written_is_read_back_to_the_microsecond(at: int) -> None:
    assert parse_time(iso(Us(at))) == at
    assert us(moment(Us(at))) == at


@given(st.integers(0, 10**9 - 1), st.integers(0, 2**31))
def test_decimals_never_pass_through_a_float(nanos: int, seconds: int) -> None:
    """Field defect 8: 1700000000.1234567 became ...456768."""
    text = f"{moment(Us(seconds * SECOND)):%Y-%m-%dT%H:%M:%S}.{nanos:09d}"
    assert parse_time(text) == seconds * SECOND + nanos // 1_000
    assert parse_time(text + "+02:00") == seconds * SECOND + nanos // 1_000 - 2 * HOUR


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2023-11-14T22:13:20.1234567Z", 1_700_000_000_123_456),
        ("2023-11-14T22:13:20.12345678", 1_700_000_000_123_456),
        ("2023-11-14T22:13:20.1", 1_700_000_000_100_000),
        ("2023-11-14", 1_699_920_000_000_000),
        ("2023-11-14T22:13", 1_699_999_980_000_000),
        ("20231114T221320Z", 1_700_000_000_000_000),
        ("2023-11-14T22:13:20+05:30", 1_699_980_200_000_000),
        ("2023-11-14T22:13:20.0123456789012", 1_700_000_000_012_345),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_forms_of_time_that_are_read(text: str, at: int) -> None:
    assert parse_time(text) == at


@pytest.mark.parametrize("text", ["", "yesterday", "1700000000", "2023-13-01"])
def test_other_text_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month|out of range|no time"):
        parse_time(text)


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="say which zone"):
        us(datetime(2024, 1, 1))  # noqa: DTZ001


def test_zones_are_honoured() -> None:
    assert us(datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))) == us(
        datetime(2024, 1, 1, tzinfo=UTC)
    )
    assert iso(Us(-1)) == "1969-12-31T23:59:59.999999Z"
    assert str(TimeRange(Us(0), DAY)) == "[1970-01-01T00:00:00Z, 1970-01-02T00:00:00Z)"
