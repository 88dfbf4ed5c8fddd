from datetime import UTC
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import SECOND, Us, parse_time, us
from dccd_pipeline.config.cron import CRONS, parse_cron, parse_interval
from dccd_pipeline.dagster_compat import cron_string_iterator

NOW = parse_time("2026-03-01")


def test_the_intervals_are_those_that_cron_says_exactly() -> None:
    said = " ".join(map(format_bar_span, CRONS))
    assert said == "1m 2m 3m 4m 5m 6m 10m 12m 15m 20m 30m 1h 2h 3h 4h 6h 8h 12h 1d"


@settings(max_examples=50)
@given(interval=st.sampled_from(list(CRONS)), at=st.integers(0, 2_000_000_000))
def test_an_interval_fires_at_exactly_that_distance(interval: Us, at: int) -> None:
    ticks = [us(tick.astimezone(UTC)) for tick in islice(cron_string_iterator(at, CRONS[interval], "UTC"), 5)]
    assert {later - earlier for earlier, later in pairwise(ticks)} == {interval}
    assert all(tick % interval == 0 for tick in ticks)


@settings(max_examples=50)
@given(seconds=st.integers(1, 200_000))
def test_any_other_interval_is_refused_with_its_neighbours(seconds: int) -> None:
    if Us(seconds * SECOND) in CRONS:
        assert parse_interval(seconds) == seconds * SECOND
        return
    with pytest.raises(ConfigError) as e:
        parse_interval(seconds)
    near = e.value.hint.removeprefix("write ").removesuffix(", or a cron").split(" or ")
    found = [parse_interval(text) for text in near]
    assert found == sorted(found)
    assert not any(found[0] < known < found[-1] for known in CRONS)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("7m", "cannot run every 7m -> write 6m or 10m, or a cron"),
        ("45m", "cannot run every 45m -> write 30m or 1h, or a cron"),
        ("30s", "cannot run every 30s -> write 1m, or a cron"),
        ("2d", "cannot run every 2d -> write 1d, or a cron"),
        ("often", "'often' is no interval -> write it like 5m, 1h or 1d"),
    ],
)
def test_intervals_refused(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse_interval(text)
    assert str(e.value) == line


@pytest.mark.parametrize("text", ["0 2 * * *", "*/7 * * * *", "@daily", "0 0 29 2 *", "30 6 * * MON-FRI"])
def test_cron_expressions_kept(text: str) -> None:
    assert parse_cron(f" {text}\n", NOW) == text


@pytest.mark.parametrize(
    "text", ["this is not cron", "60 * * * *", "0 2 * *", "0 0 2 * * *", "0 0 30 2 *", ""]
)
def test_what_is_no_cron_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no cron expression -> write minute, hour, day"):
        parse_cron(text, NOW)


@pytest.mark.parametrize("text", ["*/90 * * * *", "0 */36 * * *"])
def test_a_step_that_would_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="has a step longer than its field"):
        parse_cron(text, NOW)


@pytest.mark.parametrize("text", ["0 0 31 4 *", "0 0 31 2,4,6 *"])
def test_a_date_that_never_comes_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="names a date that never comes"):
        parse_cron(text, NOW)
