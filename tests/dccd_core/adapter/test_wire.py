"""Between the wire and our tables: exact times, strict values, errors that name the field."""

from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import MARKETS, Response
from dccd_core.adapter.wire import (
    Millis,
    Seconds,
    Whole,
    bars,
    beginning,
    book,
    inclusive,
    iso_micros,
    markets,
    micros,
    read,
    read_error,
    retry_after,
    table,
)
from dccd_core.domain.errors import PayloadError, Unavailable
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.tables import TIME, DataType

LAST = 9_223_372_036_854
LEVELS = st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=5)


class Row(msgspec.Struct):
    at: Millis
    count: Whole


class Candle(msgspec.Struct):
    open: str
    high: str
    low: str
    close: float | None


ROWS = msgspec.json.Decoder(list[Row])


def trades(**columns: list[Any]) -> pl.DataFrame:
    row = {"ts": [1], "price": ["1"], "amount": ["2"], "side": ["buy"], "trade_id": [7], **columns}
    return table(DataType.TRADES, **row)


@given(st.lists(st.integers(0, LAST), max_size=20))
def test_milliseconds_become_microseconds_exactly(times: list[int]) -> None:
    moments = micros(times)
    assert moments.dtype == TIME
    assert moments.to_physical().to_list() == [at * 1_000 for at in times]


def test_other_units_become_microseconds_too() -> None:
    assert micros([LAST], Us(1)).to_physical().to_list() == [LAST]
    assert micros([1_700_000_000], SECOND).to_physical().to_list() == [1_700_000_000 * SECOND]


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
    assert rows.schema == DataType.TRADES.table.schema
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
    [("", 0), (".7", 700_000), (".710679", 710_679), (".000001999", 1)],
)
def test_iso_times_of_any_number_of_digits_are_read_to_the_microsecond(text: str, digits: int) -> None:
    times = iso_micros([f"2024-03-13T11:00:17{text}Z", None, "1970-01-01T00:00:00Z"])
    assert times.dtype == TIME
    assert times.to_physical().to_list() == [1_710_327_617 * SECOND + digits, None, 0]


@given(
    st.lists(
        st.from_regex(
            r"(19[67]\d|20[12]\d|22[56]\d)-(0\d|1[0-3])-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(\.\d{0,10})?Z",
            fullmatch=True,
        ),
        max_size=3,
    )
)
def test_times_are_the_same_whichever_way_they_are_read(texts: list[str]) -> None:
    """A null makes them take the other way."""

    def told(some: list[str | None]) -> list[int | None] | str:
        try:
            return iso_micros(some).cast(pl.Int64).to_list()
        except PayloadError as e:
            return str(e)

    other = told([*texts, None])
    assert told([*texts]) == (other if isinstance(other, str) else other[:-1])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-12-31T23:59:59.999999999Z", 1_483_228_799_999_999),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000),
        ("2024-02-29T00:00:00.1Z", 1_709_164_800_100_000),
        ("2259-12-31T23:59:59.999999999Z", 9_151_487_999_999_999),
    ],
)
def test_odd_times_are_exact(text: str, moment: int) -> None:
    for beside in ([], ["1970-01-01T00:00:00Z"], [None]):
        times = iso_micros([text, *beside])
        assert (times.dtype, times.cast(pl.Int64)[0]) == (TIME, moment)


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
        iso_micros(["2024-03-13T11:00:17Z", text])


@pytest.mark.parametrize(("at", "fits"), [(0, True), (LAST // 1_000, True), (LAST // 1_000 + 1, False)])
def test_seconds_fit_our_microseconds(at: int, *, fits: bool) -> None:
    decoder = msgspec.json.Decoder(Seconds)
    if fits:
        assert read(decoder, str(at).encode()) * SECOND < 2**63
    else:
        with pytest.raises(PayloadError, match="unexpected shape"):
            read(decoder, str(at).encode())


def test_a_body_nested_without_end_is_of_an_unexpected_shape() -> None:
    with pytest.raises(PayloadError, match="unexpected shape"):
        read(msgspec.json.Decoder(), b"[" * 100_000)


def test_an_error_is_read_where_there_is_one() -> None:
    decoder = msgspec.json.Decoder(Row)
    assert read_error(decoder, b'{"at":1,"count":2}') == Row(1, 2)
    assert read_error(decoder, b'{"x":' * 100_000) is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"at":"1"}', b"<html>", b"\xff", b'{"at":1,"x":"\xff"}']
)
def test_what_is_no_error_of_theirs_says_nothing(body: bytes) -> None:
    assert read_error(msgspec.json.Decoder(Row), body) is None


def test_the_beginning_of_a_body_is_shown_whatever_it_is() -> None:
    assert beginning(b"no \xff text") == "no \ufffd text"
    assert beginning(b"x" * 1_000) == "x" * 160


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": ""}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:09 GMT"}, 9.0),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_what_the_header_says_in_seconds_or_as_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    answer = Response(429, headers, b"", Us(0))
    assert retry_after(answer) == seconds
    assert retry_after(answer, 2.5) == (2.5 if seconds is None else seconds)


@given(st.integers(0, 2**62), st.integers(1, 10**12), st.sampled_from([Us(1_000_000), SECOND]))
def test_inclusive_bounds_are_the_first_and_the_last_unit_of_the_span(
    start: int, length: int, unit: Us
) -> None:
    end = start + length
    first, last = inclusive(Us(start), Us(end), unit)
    assert (first - 1) * unit < start <= first * unit
    assert last * unit < end <= (last + 1) * unit


def test_bounds_are_milliseconds_unless_said_otherwise() -> None:
    assert inclusive(Us(1_000), Us(2_000)) == (1, 1)
    assert inclusive(Us(1_001), Us(2_001)) == (2, 2)


def test_bars_have_the_prices_of_their_rows_and_the_columns_given() -> None:
    rows = bars([Candle("2", "4", "1", 3.0), Candle("5", "6", "5", None)], micros([1, 2]), volume=["8", "9"])
    assert rows.schema == DataType.OHLC.table.schema
    assert rows["ts"].to_physical().to_list() == [1_000, 2_000]
    assert [row[1:] for row in rows.rows()] == [
        (2.0, 4.0, 1.0, 3.0, 8.0, None, None),
        (5.0, 6.0, 5.0, None, 9.0, None, None),
    ]


def test_bars_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(PayloadError, match="not what its column holds"):
        bars([Candle("two", "4", "1", 3.0)], micros([1]))


@given(LEVELS, LEVELS)
def test_a_book_is_all_its_levels_at_one_moment_counted_from_the_best(
    bids: list[tuple[float, float]], asks: list[tuple[float, float]]
) -> None:
    rows = book(Us(7), bids, asks)
    assert rows.schema == DataType.ORDERBOOK.table.schema
    assert rows["ts"].to_physical().to_list() == [7] * (len(bids) + len(asks))
    for side, levels in (("bid", bids), ("ask", asks)):
        told = rows.filter(side=side)
        assert told["level"].to_list() == list(range(len(levels)))
        assert told.select("price", "amount").rows() == levels


def test_levels_may_be_written_as_text() -> None:
    [row] = book(Us(7), [], [("41006.8", "0.60038921")]).rows()
    assert row[1:] == ("ask", 0, 41006.8, 0.60038921, None)


def test_a_level_that_is_no_number_is_refused() -> None:
    with pytest.raises(PayloadError, match="not what its column holds"):
        book(Us(7), [("1", "2"), ("best", "1")], [])


def test_markets_have_null_where_the_venue_says_nothing() -> None:
    rows = markets(symbol=["BTC/USDT", "ETH/USDT"], market=["BTCUSDT", "ETHUSDT"], active=[True, False])
    assert rows.schema == MARKETS
    assert rows.rows() == [
        ("BTC/USDT", "BTCUSDT", True, None, None, None, None, None),
        ("ETH/USDT", "ETHUSDT", False, None, None, None, None, None),
    ]


def test_markets_have_what_the_venue_says() -> None:
    rows = markets(
        symbol=["BTC/USD:BTC"],
        market=["XBTUSD"],
        active=[True],
        listed=[SECOND],
        contract=[1.0],
        price_decimals=[1],
        amount_decimals=[8],
        live_name=["BTC/USD"],
    )
    assert rows["listed"].to_physical().to_list() == [SECOND]
    assert rows.drop("listed").rows() == [("BTC/USD:BTC", "XBTUSD", True, 1.0, 1, 8, "BTC/USD")]


def test_no_markets_are_a_table_all_the_same() -> None:
    rows = markets(symbol=[], market=[], active=[])
    assert (rows.schema, rows.height) == (MARKETS, 0)


def test_a_column_that_markets_have_not_is_a_defect() -> None:
    with pytest.raises(AssertionError):
        markets(symbol=["A/B"], market=["AB"], active=[True], decimals=[1])
