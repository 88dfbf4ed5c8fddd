"""From wire columns to table columns: exact times, strict values, errors that name the field."""

from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.wire import Millis, Whole, iso_nanos, nanos, read, table
from dccd_core.domain.datatype import TABLES, TIME, DataType
from dccd_core.domain.errors import PayloadError, Unavailable
from dccd_core.domain.timespan import SECOND, Ns

LAST = 9_223_372_036_854


class Row(msgspec.Struct):
    at: Millis
    count: Whole


ROWS = msgspec.json.Decoder(list[Row])


def trades(**columns: list[Any]) -> pl.DataFrame:
    row = {"ts": [1], "price": ["1"], "amount": ["2"], "side": ["buy"], "trade_id": [7], **columns}
    return table(DataType.TRADES, **row)


@given(st.lists(st.integers(0, LAST), max_size=20))
def test_milliseconds_become_nanoseconds_exactly(times: list[int]) -> None:
    moments = nanos(times)
    assert moments.dtype == TIME
    assert moments.to_physical().to_list() == [at * 1_000_000 for at in times]


def test_other_units_become_nanoseconds_too() -> None:
    assert nanos([LAST], Ns(1)).to_physical().to_list() == [LAST]
    assert nanos([1_700_000_000], SECOND).to_physical().to_list() == [1_700_000_000 * SECOND]


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70))
def test_numbers_that_do_not_fit_are_refused_by_name(at: int, count: int) -> None:
    fits = 0 <= at <= LAST and 0 <= count < 2**63
    body = b'[{"at":%d,"count":%d}]' % (at, count)
    if fits:
        assert read(ROWS, body) == [Row(at, count)]
    else:
        with pytest.raises(PayloadError, match="unexpected shape"):
            read(ROWS, body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'[{"at":"1","count":1}]', r"got `str` - at `\$\[0\]\.at`; payload begins b'\[\{\"at\":\"1\""),
        (b'[{"at":1}]', "missing required field `count`"),
        (b'{"rows":[]}', "Expected `array`, got `object`"),
        (b"[1.5]", "Expected `object`"),
        (b'[{"at":1.5,"count":1}]', "Expected `int`, got `float`"),
    ],
)
def test_json_of_another_shape_names_the_field(body: bytes, said: str) -> None:
    with pytest.raises(PayloadError, match=said) as caught:
        read(ROWS, body)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "an empty body"),
        (b" \n", "an empty body"),
        (b"[", "no whole JSON"),
        (b"<html>", "no whole JSON"),
        (b"\xff", "no whole JSON"),
        (b'[{"at":1,"count":1}', "no whole JSON"),
        (b"[] []", "no whole JSON"),
    ],
)
def test_what_is_no_whole_json_may_be_asked_again(body: bytes, said: str) -> None:
    with pytest.raises(Unavailable, match=said) as caught:
        read(ROWS, body)
    assert caught.value.retryable


def test_a_long_payload_is_shown_by_its_beginning() -> None:
    with pytest.raises(PayloadError) as caught:
        read(ROWS, b'["' + b"x" * 10_000 + b'"]')
    assert len(str(caught.value)) < 400


def test_rows_are_cast_and_ordered_by_time_ties_as_they_came() -> None:
    rows = trades(
        ts=[5, 3, 5, 3], price=["1", "2", "3", "4"], trade_id=[9, 10, 8, 7], amount=[1] * 4, side=["buy"] * 4
    )
    assert rows.schema == TABLES[DataType.TRADES].schema
    assert rows["trade_id"].to_list() == ["10", "7", "9", "8"]
    assert rows["price"].to_list() == [2.0, 4.0, 1.0, 3.0]


@pytest.mark.parametrize(
    "columns",
    [
        {"price": ["1,5"]},
        {"price": [""]},
        {"side": ["hold"]},
        {"ts": ["soon"]},
        {"amount": [[1]]},
        {"price": ["1", "2"]},
    ],
    ids=str,
)
def test_a_value_that_is_not_what_its_column_holds_is_refused(columns: dict[str, list[Any]]) -> None:
    with pytest.raises(PayloadError, match="not what its column holds"):
        trades(**columns)


def test_a_column_that_the_venue_does_not_give_is_null() -> None:
    rows = table(DataType.TRADES, ts=[1], price=["1"], amount=["2"])
    assert rows.select("side", "trade_id").row(0) == (None, None)


def test_a_column_that_no_table_has_is_a_defect() -> None:
    with pytest.raises(AssertionError):
        trades(sides=["buy"])


def test_a_missing_value_stays_missing() -> None:
    assert trades(side=[None], trade_id=[None]).select("side", "trade_id").row(0) == (None, None)


@pytest.mark.parametrize(
    ("text", "digits"),
    [("", 0), (".7", 700_000_000), (".710679", 710_679_000), (".000000001", 1)],
)
def test_iso_times_of_any_number_of_digits_are_read_exactly(text: str, digits: int) -> None:
    times = iso_nanos([f"2024-03-13T11:00:17{text}Z", None, "1970-01-01T00:00:00Z"])
    assert times.dtype == TIME
    assert times.to_physical().to_list() == [1_710_327_617 * SECOND + digits, None, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2024-03-13",
        "2024-03-13T11:00:17",
        "2024-03-13T11:00:17.0000000001Z",
        "2024-13-01T00:00:00Z",
        "9999-01-01T00:00:00Z",
        "1800-01-01T00:00:00Z",
    ],
)
def test_what_is_no_iso_time_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match="is no time"):
        iso_nanos(["2024-03-13T11:00:17Z", text])
