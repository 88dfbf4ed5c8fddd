"""Partition keys tile time: no hole, no overlap, whatever the span."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.dataset import FORMATS, Dataset, Grain, partition_key, partition_keys, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, TimeRange, Us, moment, parse_time
from dccd_core.tables import DataType

grains = st.sampled_from(list(Grain))
times = st.integers(0, int(parse_time("2200-01-01"))).map(Us)
BTC = Symbol("BTC", "USDT")


@given(grains, times, st.integers(0, 400 * DAY))
def test_keys_tile_a_span_without_holes(grain: Grain, start: Us, length: int) -> None:
    span = TimeRange(start, Us(start + length))
    keys = list(partition_keys(grain, span))
    parts = [partition_span(grain, key) for key in keys]
    assert all(a.end == b.start for a, b in pairwise(parts))
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)
    if length:
        assert parts[0].start <= span.start < parts[0].end
        assert parts[-1].start < span.end <= parts[-1].end
    else:
        assert keys == []


@given(grains, times)
def test_a_moment_lies_in_the_partition_of_its_key(grain: Grain, at: Us) -> None:
    key = partition_key(grain, at)
    span = partition_span(grain, key)
    assert span.start <= at < span.end
    assert partition_key(grain, span.start) == partition_key(grain, Us(span.end - 1)) == key
    assert partition_key(grain, span.end) != key != partition_key(grain, Us(span.start - 1))
    assert moment(span.start).strftime(FORMATS[grain]) == key


@pytest.mark.parametrize(
    ("grain", "key", "days"),
    [
        (Grain.YEAR, "2023", 365), (Grain.YEAR, "2024", 366), (Grain.YEAR, "2100", 365),
        (Grain.MONTH, "2024-02", 29), (Grain.MONTH, "2023-02", 28), (Grain.MONTH, "2024-12", 31),
        (Grain.DAY, "2024-02-29", 1), (Grain.DAY, "2024-12-31", 1),
    ],
)  # fmt: skip
def test_the_calendar(grain: Grain, key: str, days: int) -> None:
    assert partition_span(grain, key).length == days * DAY


@pytest.mark.parametrize(
    ("grain", "key"),
    [
        (Grain.YEAR, "24"),
        (Grain.YEAR, "2024-01"),
        (Grain.MONTH, "2024-1"),
        (Grain.MONTH, "2024"),
        (Grain.DAY, "2024-01"),
        (Grain.DAY, "2024-01-01T00"),
        (Grain.DAY, " 2024-01-01"),
        (Grain.DAY, "../../../x"),
    ],
)
def test_a_key_of_another_form_is_refused(grain: Grain, key: str) -> None:
    with pytest.raises(ConfigError, match=f"is no {grain} partition"):
        partition_span(grain, key)


@pytest.mark.parametrize(
    ("grain", "key"),
    [(Grain.MONTH, "2024-13"), (Grain.DAY, "2023-02-29"), (Grain.YEAR, "0000"), (Grain.MONTH, "2024-00")],
)
def test_a_date_that_does_not_exist_is_refused(grain: Grain, key: str) -> None:
    with pytest.raises(ConfigError, match=f"is no {grain} partition"):
        partition_span(grain, key)


@pytest.mark.parametrize(
    ("data_type", "span", "parts", "grain"),
    [
        (DataType.OHLC, MINUTE, ("binance", "ohlc", "BTC-USDT", "1m"), Grain.MONTH),
        (DataType.OHLC, Us(HOUR - 1), None, Grain.MONTH),
        (DataType.OHLC, HOUR, ("binance", "ohlc", "BTC-USDT", "1h"), Grain.YEAR),
        (DataType.OHLC, DAY, ("binance", "ohlc", "BTC-USDT", "1d"), Grain.YEAR),
        (DataType.TRADES, None, ("binance", "trades", "BTC-USDT"), Grain.DAY),
        (DataType.ORDERBOOK, None, ("binance", "orderbook", "BTC-USDT"), Grain.DAY),
    ],
)
def test_parts_and_grain(
    data_type: DataType, span: Us | None, parts: tuple[str, ...] | None, grain: Grain
) -> None:
    dataset = Dataset("binance", BTC, data_type, span)
    assert dataset.grain is grain
    if parts:
        assert dataset.parts == parts
        assert str(dataset) == "/".join(parts)


def test_bars_can_be_computed_from_trades_and_trades_from_nothing() -> None:
    bars = Dataset("x", BTC, DataType.OHLC, MINUTE)
    trades = Dataset("x", BTC, DataType.TRADES)
    assert (bars.source, trades.source) == (trades, None)
