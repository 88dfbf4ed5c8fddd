from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.domain.dataset import Grain, partition_keys, partition_span
from dccd_core.domain.timespan import TimeRange, Us, us
from dccd_pipeline.assets.partitions import partitions_of


@given(
    grain=st.sampled_from(Grain),
    start=st.dates(date(2017, 7, 14), date(2024, 12, 31)),
    now=st.datetimes(datetime(2025, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
)
@settings(max_examples=50, deadline=None)
def test_dagster_and_the_lake_cut_time_alike(grain: Grain, start: date, now: datetime) -> None:
    partitions = partitions_of(grain, start)
    keys = partitions.get_partition_keys(current_time=now)
    first = datetime(start.year, start.month, start.day, tzinfo=UTC)
    assert keys == list(partition_keys(grain, TimeRange(us(first), Us(us(now) + 1))))
    for key in (keys[0], keys[-1]):
        window = partitions.time_window_for_partition_key(key)
        assert TimeRange(us(window.start), us(window.end)) == partition_span(grain, key)


@pytest.mark.parametrize(
    ("grain", "keys"),
    [
        (Grain.YEAR, ["2023", "2024"]),
        (Grain.MONTH, ["2023-12", "2024-01"]),
        (Grain.DAY, ["2023-12-31", "2024-01-01"]),
    ],
)
def test_the_open_partition_is_one_of_them_from_its_first_moment(grain: Grain, keys: list[str]) -> None:
    partitions = partitions_of(grain, date(2023, 12, 31))
    assert partitions.get_partition_keys(current_time=datetime(2024, 1, 1, tzinfo=UTC)) == keys


@pytest.mark.parametrize(
    ("grain", "first", "last"),
    [
        (Grain.YEAR, "2025", "2026"),
        (Grain.MONTH, "2025-12", "2026-09"),
        (Grain.DAY, "2025-12-30", "2026-09-23"),
    ],
)
def test_an_exchange_that_closed_has_a_last_partition(grain: Grain, first: str, last: str) -> None:
    partitions = partitions_of(grain, date(2025, 12, 30), date(2026, 9, 23))
    for now in (datetime(2026, 9, 23, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)):
        keys = partitions.get_partition_keys(current_time=now)
        assert (keys[0], keys[-1]) == (first, last)
