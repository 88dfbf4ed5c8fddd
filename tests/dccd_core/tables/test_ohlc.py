"""What is true of bars, whoever brings them; ``quality/test_sanity.py`` has a row for each reason."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import DAY, HOUR, MINUTE, MONDAY, SECOND, WEEK, Us
from dccd_core.tables import TIME, Grain
from dccd_core.tables.ohlc import TABLE

PRICE = st.sampled_from([1.0, 2.0, 3.0, 4.0])


def bar(ts: int, *prices: float, volume: float = 1.0, trades: int | None = 1) -> pl.DataFrame:
    names = ("open", "high", "low", "close")
    row = {"ts": ts, **dict(zip(names, prices, strict=True)), "volume": volume, "quote_volume": None}
    counts = {**TABLE.schema, "ts": pl.Int64}
    return pl.DataFrame([row | {"trades": trades}], schema=counts).cast({"ts": TIME})


def said(row: pl.DataFrame, span: Us = MINUTE, *, carried_open: bool = False) -> set[str]:
    found = TABLE.sanity(span, carried_open)
    return {reason for reason, holds in found.items() if row.select(holds.fill_null(value=False)).item()}


@given(PRICE, PRICE, PRICE, PRICE, st.booleans())
def test_high_and_low_enclose_the_prices_that_are_of_the_bar(
    start: float,
    high: float,
    low: float,
    end: float,
    carried: bool,  # noqa: FBT001 -- drawn
) -> None:
    own = [end] if carried else [start, end]
    expected = {
        "high is below another price": high < max(low, *own),
        "low is above another price": low > min(high, *own),
    }
    found = said(bar(0, start, high, low, end), carried_open=carried)
    assert found == {reason for reason, holds in expected.items() if holds}


@given(st.sampled_from([MINUTE, HOUR, DAY, WEEK, Us(2 * WEEK)]), st.integers(0, 3_000), st.integers(-1, 1))
def test_bars_open_on_the_grid_of_their_length_weeks_on_mondays(span: Us, number: int, off: int) -> None:
    opens = number * span + (MONDAY if span % WEEK == 0 else 0) + off
    assert said(bar(opens, 1, 1, 1, 1), span) == ({"open time is off the bar grid"} if off else set())


@given(st.integers(0, 2_000))
def test_a_day_is_no_week(number: int) -> None:
    assert bool(said(bar(number * DAY, 1, 1, 1, 1), WEEK)) == (
        (number + 3) % 7 != 0
    )  # 1970 began on a Thursday


@pytest.mark.parametrize(
    ("span", "grain"),
    [(SECOND, Grain.MONTH), (Us(HOUR - 1), Grain.MONTH), (HOUR, Grain.YEAR), (WEEK, Grain.YEAR)],
)
def test_short_bars_are_kept_by_months_long_ones_by_years(span: Us, grain: Grain) -> None:
    assert TABLE.grain(span) is grain
