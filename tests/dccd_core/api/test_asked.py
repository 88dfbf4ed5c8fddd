"""Names and times as people write them."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from dccd_core.api.asked import Moment, moment_of, range_of, unknown
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import TimeRange, parse_time

NOW = parse_time("2026-11-28T12:00")
JANUARY = parse_time("2024-01-01")


@pytest.mark.parametrize(
    "moment",
    [
        "2024-01-01",
        "2024-01",
        "2024",
        date(2024, 1, 1),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 1, 1),  # noqa: DTZ001 -- a naive one is UTC
        1704067200,
        JANUARY,
    ],
    ids=repr,
)
def test_a_moment_is_understood_however_it_is_written(moment: Moment) -> None:
    assert moment_of(moment, NOW) == JANUARY


def test_an_age_counts_from_now() -> None:
    assert moment_of("2d", NOW) == parse_time("2026-11-26T12:00")


def test_a_range_is_two_moments_or_a_time_range() -> None:
    wanted = TimeRange(JANUARY, parse_time("2024-02-01"))
    assert range_of("2024-01", date(2024, 2, 1), NOW) == wanted
    assert range_of(wanted, None, NOW) == wanted
    assert range_of(None, None, NOW) is None
    half = range_of(None, "2024-01", NOW)
    assert half is not None
    assert (half.start, half.end) == (0, JANUARY)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ends .* before it starts"):
        range_of("2024-02", "2024-01", NOW)
    with pytest.raises(ConfigError, match="has its own end"):
        range_of(TimeRange(JANUARY, NOW), "2024-02", NOW)
    with pytest.raises(ConfigError, match="'soon' is no moment"):
        range_of("soon", None, NOW)


def test_what_is_not_there_names_the_nearest_that_is() -> None:
    held = ["binance/ohlc/BTC-USDT/1h", "binance/trades/BTC-USDT", "okx/ohlc/ETH-USDT/1m"]
    assert "did you mean binance/ohlc/BTC-USDT/1h?" in str(unknown("binance/ohlc/BTC-USDT/1m", held, "x"))
    assert "did you mean okx/ohlc/ETH-USDT/1m?" in str(unknown("OKX ETH", held, "x"))
    assert "nothing at all in ./data" in str(unknown("binance", [], "./data"))
