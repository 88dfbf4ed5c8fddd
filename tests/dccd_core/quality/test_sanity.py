from typing import Any

import polars as pl
import pytest

from dccd_core.domain.timespan import DAY, MINUTE, WEEK, Us
from dccd_core.quality.sanity import split_valid
from dccd_core.tables import TIME, DataType

GOOD = {
    DataType.OHLC: {
        "ts": 0, "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 0.0,
        "quote_volume": None, "trades": None,
    },
    DataType.TRADES: {"ts": 0, "price": 1.0, "amount": 1.0, "side": None, "trade_id": None, "received": None},
    DataType.ORDERBOOK: {"ts": 0, "side": "bid", "level": 0, "price": 1.0, "amount": 1.0, "received": None},
}  # fmt: skip


def frame(data_type: DataType, **changes: Any) -> pl.DataFrame:
    row = GOOD[data_type] | changes
    schema = data_type.table.schema
    return pl.DataFrame(
        {
            name: pl.Series([row[name]], dtype=pl.Int64 if dtype == TIME else dtype)
            for name, dtype in schema.items()
        }
    ).cast(schema)


@pytest.mark.parametrize("data_type", list(DataType))
def test_a_good_row_passes(data_type: DataType) -> None:
    good, bad = split_valid(data_type, frame(data_type), MINUTE)
    assert (good.height, bad.height) == (1, 0)
    assert good.schema == data_type.table.schema


@pytest.mark.parametrize(
    ("data_type", "change", "reason"),
    [
        (DataType.OHLC, {"open": None}, "open is missing"),
        (DataType.OHLC, {"volume": None}, "volume is missing"),
        (DataType.OHLC, {"close": float("nan")}, "close is no positive number"),
        (DataType.OHLC, {"high": float("inf")}, "high is no positive number"),
        (DataType.OHLC, {"low": 0.0}, "low is no positive number"),
        (DataType.OHLC, {"high": 2.4}, "high is below another price"),
        (DataType.OHLC, {"low": 2.1}, "low is above another price"),
        (DataType.OHLC, {"volume": -1.0}, "volume is negative or no number"),
        (DataType.OHLC, {"quote_volume": float("nan")}, "quote volume is negative or no number"),
        (DataType.OHLC, {"trades": -1}, "trade count is negative"),
        (DataType.OHLC, {"high": 1e30}, "high is no positive number"),
        (DataType.OHLC, {"volume": 1e24}, "volume is negative or no number"),
        (DataType.TRADES, {"price": 1e300}, "price is no positive number"),
        (DataType.OHLC, {"ts": MINUTE - 1}, "open time is off the bar grid"),
        (DataType.TRADES, {"price": -1.0}, "price is no positive number"),
        (DataType.TRADES, {"amount": 0.0}, "amount is no positive number"),
        (DataType.TRADES, {"price": None}, "price is missing"),
        (DataType.ORDERBOOK, {"side": None}, "side is missing"),
        (DataType.ORDERBOOK, {"amount": float("nan")}, "amount is no positive number"),
    ],
)
def test_a_row_that_cannot_be_true_is_parted_with_its_reason(
    data_type: DataType, change: dict[str, Any], reason: str
) -> None:
    rows = pl.concat([frame(data_type), frame(data_type, **change), frame(data_type)])
    good, bad = split_valid(data_type, rows, MINUTE)
    assert good.height == 2
    assert bad["reason"].to_list() == [reason]
    assert bad.drop("reason").equals(frame(data_type, **change))


def test_weeks_are_on_the_grid_on_mondays_only() -> None:
    rows = pl.concat([frame(DataType.OHLC, ts=4 * DAY), frame(DataType.OHLC, ts=WEEK)])
    good, bad = split_valid(DataType.OHLC, rows, WEEK)
    assert good["ts"].to_physical().to_list() == [4 * DAY]
    assert bad.height == 1


def test_no_rows_are_no_news() -> None:
    good, bad = split_valid(DataType.OHLC, frame(DataType.OHLC).clear(), Us(MINUTE))
    assert (good.height, bad.height) == (0, 0)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"volume": 0.0, "trades": 0}, False),
        ({"volume": 0.0, "trades": 0, "close": 2.0}, True),
        ({"volume": 0.0, "trades": 1}, True),
        ({"volume": 1.0, "trades": 0}, True),
        ({"volume": 0.0, "trades": None}, True),
    ],
)
def test_h10_a_bar_of_no_trade_closes_where_it_opens(change: dict[str, Any], good: bool) -> None:  # noqa: FBT001
    """Only where the venue says both: it may round a small volume, or not count trades."""
    kept, bad = split_valid(DataType.OHLC, frame(DataType.OHLC, **change), MINUTE)
    assert kept.height == good
    assert (
        bad["reason"].to_list() == []
        if good
        else ["nothing was traded, but it closes elsewhere than it opens"]
    )
