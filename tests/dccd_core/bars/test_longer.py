"""Longer bars: the same whichever way they are made, and only where all of their time is proven."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from dccd_core.bars.aggregate import Sums
from dccd_core.bars.longer import (
    Length,
    Months,
    closes_at,
    divides,
    longer,
    opens_at,
    parse_length,
    pieces,
    proven,
    whole_bars,
)
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import (
    DAY,
    HOUR,
    MINUTE,
    MONDAY,
    WEEK,
    TimeRange,
    Us,
    moment,
    parse_time,
    union,
)
from dccd_core.lake.partition.ledger import Asked, Hole, Ledger, Source
from dccd_core.quality.holes import NO_TRADES
from dccd_core.tables import TIME, DataType

START = parse_time("2024-02-26")
ALL = TimeRange(START, Us(START + 4 * WEEK))

TRADES = st.lists(
    st.tuples(st.integers(0, 4 * WEEK - 1), st.integers(1, 10**6), st.integers(1, 10**6)),
    min_size=1,
    max_size=60,
)
"""When, at which price (hundredths), how much (ten-thousandths)."""


def trades(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    ordered = sorted(rows)
    return pl.DataFrame(
        {
            "ts": pl.Series([START + at for at, _, _ in ordered]).cast(TIME),
            "price": [price / 100 for _, price, _ in ordered],
            "amount": [amount / 10_000 for _, _, amount in ordered],
        }
    )


def bars(rows: pl.DataFrame, span: Us) -> pl.DataFrame:
    sums = Sums(span)
    sums.add(rows)
    return sums.bars()


def bars_at(*opens: Us, quote: float | None = 1.0) -> pl.DataFrame:
    rows = [(moment(at), 2.0, 3.0, 1.0, 2.5, 0.1, quote, 1) for at in opens]
    return pl.DataFrame(rows, schema=DataType.OHLC.table.schema, orient="row")


@settings(max_examples=60, deadline=None)
@given(TRADES)
def test_in_two_steps_or_in_one_it_is_what_the_trades_make(rows: list[tuple[int, int, int]]) -> None:
    minutes = bars(trades(rows), MINUTE)
    hours = longer(minutes, HOUR, [ALL])
    days = longer(minutes, DAY, [ALL])
    assert_frame_equal(longer(hours, DAY, [ALL]), days, check_exact=True)
    assert_frame_equal(longer(days, WEEK, [ALL]), longer(minutes, WEEK, [ALL]), check_exact=True)
    for span, made in ((HOUR, hours), (DAY, days), (WEEK, longer(hours, WEEK, [ALL]))):
        assert_frame_equal(made, bars(trades(rows), span), check_exact=True)


@settings(max_examples=60, deadline=None)
@given(
    TRADES,
    st.lists(st.tuples(st.integers(0, 4 * 168), st.integers(0, 100)), max_size=6),
    st.sampled_from([DAY, WEEK, Months(1)]),
)
def test_a_bar_is_there_only_where_all_of_its_time_is_proven(
    rows: list[tuple[int, int, int]], parts: list[tuple[int, int]], length: Length
) -> None:
    known = union(TimeRange(Us(START + a * HOUR), Us(START + (a + n) * HOUR)) for a, n in parts)
    hours, everything = bars(trades(rows), HOUR), TimeRange(Us(START - 60 * DAY), Us(START + 90 * DAY))
    whole = longer(hours, length, [everything])
    expected = [
        row
        for row, at in zip(whole.rows(), whole["ts"].to_physical(), strict=True)
        if not TimeRange(Us(at), closes_at(Us(at), length)).minus(known)
    ]
    assert longer(hours, length, known).rows() == expected
    inside = whole_bars(known, length)
    assert all(any(part.start <= moment_of(row[0]) < part.end for part in inside) for row in expected)


def moment_of(at: datetime) -> Us:
    return Us(int(at.timestamp()) * 1_000_000)


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    assert moment(opens_at(parse_time("2024-03-03T23:59"), WEEK)) == datetime(2024, 2, 26, tzinfo=UTC)
    assert moment(opens_at(parse_time("2024-03-31T23:59"), Months(1))) == datetime(2024, 3, 1, tzinfo=UTC)
    assert moment(opens_at(parse_time("2024-06-30"), Months(3))) == datetime(2024, 4, 1, tzinfo=UTC)
    assert moment(closes_at(parse_time("2024-12-01"), Months(1))) == datetime(2025, 1, 1, tzinfo=UTC)
    rows = bars_at(parse_time("2024-02-29"), parse_time("2024-03-01"), parse_time("2024-03-31"))
    year = TimeRange(parse_time("2024-01-01"), parse_time("2025-01-01"))
    assert longer(rows, Months(1), [year])["ts"].dt.strftime("%m-%d").to_list() == ["02-01", "03-01"]
    assert longer(rows, Months(3), [year])["ts"].dt.strftime("%m-%d").to_list() == ["01-01"]


@pytest.mark.parametrize(
    ("short", "length", "fits"),
    [
        (HOUR, DAY, True),
        (DAY, WEEK, True),
        (HOUR, HOUR, False),
        (Us(3 * HOUR), Us(4 * HOUR), False),
        (Us(42 * HOUR), WEEK, False),  # four of them fill a week, but none begins on a Monday
        (WEEK, Us(2 * WEEK), True),
        (WEEK, Months(1), False),
        (Us(5 * DAY), Months(1), False),
        (DAY, Months(1), True),
    ],
)
def test_grids_meet_at_every_border_or_do_not_fit(
    short: Us,
    length: Length,
    fits: bool,  # noqa: FBT001 -- a case
) -> None:
    assert divides(short, length) is fits
    if fits:
        at = opens_at(Us(MONDAY + 2000 * DAY), length)
        assert (closes_at(at, length) - at) % short == 0


@pytest.mark.parametrize("text", ["5mo", "0mo", "1M", "month"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_length(text)


def test_a_sum_of_which_a_part_is_unknown_is_unknown() -> None:
    rows = pl.concat([bars_at(START), bars_at(Us(START + HOUR), quote=None), bars_at(Us(START + DAY))])
    made = longer(rows, DAY, [ALL])
    assert made["quote_volume"].to_list() == [None, 1.0]
    assert made["volume"].to_list() == [0.2, 0.1]


def test_a_quiet_bar_at_the_old_price_has_no_part_in_the_prices_of_a_longer_one() -> None:
    """Until now a quiet minute opened the hour, and could be its highest or its lowest."""
    opens = [Us(START + n * MINUTE) for n in range(4)]
    flat, traded = (9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0), (2.0, 3.0, 1.0, 2.5, 0.1, 1.0, 1)
    later = (2.5, 2.5, 2.5, 2.5, 0.0, 0.0, 0)

    def made(*rows: tuple[float | None, ...]) -> tuple[object, ...]:
        timed = [(moment(at), *row) for at, row in zip(opens, rows, strict=False)]
        frame = pl.DataFrame(timed, schema=DataType.OHLC.table.schema, orient="row")
        return longer(frame, HOUR, [ALL]).row(0)[1:]

    assert made(flat, traded, later) == traded
    assert made(later, traded, later) == traded
    assert made(flat, flat) == flat
    untold = (*flat[:5], None, None)
    assert made(untold, traded)[:5] == traded[:5], "of a venue that does not tell how many were traded"
    rounded = (9.0, 9.5, 9.0, 9.0, 0.0, 0.0, None)
    assert made(rounded, traded)[:4] == (9.0, 9.5, 1.0, 2.5), "it moved, so something was"


def test_explained_time_is_proven_and_accepted_or_unexplained_time_is_not() -> None:
    hours = [TimeRange(Us(START + n * HOUR), Us(START + (n + 1) * HOUR)) for n in range(8)]
    asked = Asked(TimeRange(START, Us(START + 8 * HOUR)), Source.REST, START, 1, 0)
    holes = (Hole(hours[1], 1, (), NO_TRADES), Hole(hours[3], 1), Hole(hours[5], 1, (), "accepted: so be it"))
    assert proven([Ledger((asked,), holes)]) == [
        TimeRange(hours[0].start, hours[2].end),
        hours[4],
        TimeRange(hours[6].start, hours[7].end),
    ]
    assert proven([]) == []


@pytest.mark.parametrize("length", [DAY, WEEK, Months(1)], ids=str)
def test_what_is_read_at_once_is_cut_at_borders_of_bars(length: Length) -> None:
    start = opens_at(START, length)
    span = TimeRange(start, closes_at(start, length, 40))
    cut = list(pieces(span, Us(1_000_000), length))
    assert union(cut) == [span]
    assert len(cut) > 1
    assert all(opens_at(one.start, length) == one.start for one in cut)
