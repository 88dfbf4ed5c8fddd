"""Between the wire and our tables: the few conversions every exchange needs, and what its errors share."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Protocol, TypeAlias, TypeVar

import msgspec
import polars as pl

from dccd_core.adapter.contract import MARKETS, Response
from dccd_core.domain.datatype import TABLES, TIME, DataType
from dccd_core.domain.errors import PayloadError, Unavailable
from dccd_core.domain.timespan import MILLISECOND, SECOND, Ns

T = TypeVar("T")
Columns: TypeAlias = Mapping[str, pl.Series | Sequence[object]]

CHANGED: Final = "the venue changed its format: nothing of this answer was stored; update dccd"
"""What a reader of a PayloadError can do."""
LIMITED: Final = "other programs may share this address's limit"
"""What a reader of a Throttled can do, where the venue says nothing better."""
TROUBLE: Final = "the venue has trouble: run it again later"
"""What a reader of an Unavailable can do."""
ABROAD: Final = "it does not serve this country: set rest_url to a host that answers here"
"""What a reader can do who was sent away for the country that the address is in."""
_ISO: Final = r"^((?:19[7-9]|2[01]\d|22[0-5])\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)$"
"""Times that nanoseconds can hold: Polars would wrap other years to these, and cut finer digits off."""
_ISO_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.fZ"

Millis: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000_000)]
"""Milliseconds since the epoch that fit our nanoseconds; microseconds do not, so they are noticed."""
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // SECOND)]
"""Seconds since the epoch that fit our nanoseconds; milliseconds do not, so they are noticed."""
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""An id or a count that fits our columns."""


class Bar(Protocol):
    """What a bar of any venue has, in the venue's own types."""

    @property
    def open(self) -> object: ...
    @property
    def high(self) -> object: ...
    @property
    def low(self) -> object: ...
    @property
    def close(self) -> object: ...


def read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode ``body``; on failure say which field, and show how the payload begins.

    A body that is no whole JSON was cut on its way or comes from something in between, so asking again
    may help; JSON of another shape is a change of the venue's format, and asking again will not.
    """
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, RecursionError) as e:
        raise PayloadError(
            f"unexpected shape: {e}; payload begins {body[:120]!r}",
            hint=CHANGED,
        ) from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        kind = "an empty body" if not body.strip() else f"no whole JSON ({e}); payload begins {body[:120]!r}"
        raise Unavailable(f"the answer is {kind}", hint="run it again; a proxy may be in between") from e


def read_error(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    """Decode the error that ``body`` may be; None if it is something else, whatever that is."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def beginning(body: bytes) -> str:
    """Return how ``body`` begins, for an error in words that nobody foresaw."""
    return body[:160].decode(errors="replace")


def retry_after(response: Response, unsaid: float | None = None) -> float | None:
    """Return how many seconds the venue tells us to wait (``Retry-After``).

    Args:
        response: whose header it is.
        unsaid: what is returned when the header is missing or is no whole number, such as a date.
    """
    after = response.headers.get("retry-after", "")
    return float(after) if after.isdecimal() else unsaid


def inclusive(start: Ns, end: Ns, unit: Ns = MILLISECOND) -> tuple[int, int]:
    """Return the first and the last whole ``unit`` in ``[start, end)``: bounds that are both inclusive."""
    return -(-start // unit), (end - 1) // unit


def nanos(times: Sequence[int], unit: Ns = MILLISECOND) -> pl.Series:
    """Return counts of ``unit`` since the epoch as the time of our tables."""
    return (pl.Series(times, dtype=pl.Int64) * unit).cast(TIME)


def iso_nanos(texts: Sequence[str | None]) -> pl.Series:
    """Return ISO times in UTC (``2024-03-13T11:00:17.710679Z``, any digits) as the time of our tables.

    Raises:
        PayloadError: one of them is no such time; null stays null.
    """
    wire = pl.Series(texts, dtype=pl.String)
    times = wire.str.extract(_ISO).str.to_datetime(_ISO_FORMAT, time_unit="ns", time_zone="UTC", strict=False)
    wrong = wire.filter(times.is_null() & wire.is_not_null())
    if wrong.len():
        raise PayloadError(f"unexpected shape: {wrong[0]!r} is no time", hint=CHANGED)
    return times


def table(data_type: DataType, **columns: pl.Series | Sequence[object]) -> pl.DataFrame:
    """Return the data type's table, ordered by time; ties keep the venue's order.

    Args:
        data_type: whose columns and types, which are cast to strictly.
        columns: the table's, as they came; one that the venue does not give is null.

    Raises:
        PayloadError: a value does not fit its column.
    """
    rows = untidy(data_type, columns)
    return rows if rows["ts"].is_sorted() else rows.sort("ts", maintain_order=True)


def untidy(data_type: DataType, columns: Columns) -> pl.DataFrame:
    """Return the data type's table in the order in which the rows came; else as ``table``."""
    return _frame(TABLES[data_type].schema, columns, len(columns["ts"]))


def bars(rows: Sequence[Bar], ts: pl.Series, **columns: pl.Series | Sequence[object]) -> pl.DataFrame:
    """Return the table of bars.

    Args:
        rows: as they came, with the prices.
        ts: their times.
        columns: volumes and counts, which venues name and tell differently.

    Raises:
        PayloadError: a value does not fit its column.
    """
    return table(
        DataType.OHLC,
        ts=ts,
        open=[row.open for row in rows],
        high=[row.high for row in rows],
        low=[row.low for row in rows],
        close=[row.close for row in rows],
        **columns,
    )


def book(
    ts: Ns, bids: Sequence[tuple[object, object]], asks: Sequence[tuple[object, object]]
) -> pl.DataFrame:
    """Return the table of an order book at one moment.

    Args:
        ts: the moment.
        bids: price and amount of each level, the best first.
        asks: likewise.

    Raises:
        PayloadError: a value does not fit its column.
    """
    levels = [*bids, *asks]
    return table(
        DataType.ORDERBOOK,
        ts=nanos([ts] * len(levels), Ns(1)),
        side=["bid"] * len(bids) + ["ask"] * len(asks),
        level=[*range(len(bids)), *range(len(asks))],
        price=[price for price, _ in levels],
        amount=[amount for _, amount in levels],
    )


def markets(
    *,
    symbol: Sequence[str],
    market: Sequence[str],
    active: Sequence[bool],
    **columns: pl.Series | Sequence[object],
) -> pl.DataFrame:
    """Return what symbol discovery found, as in ``MARKETS``.

    Args:
        symbol: our names.
        market: the venue's.
        active: whether each trades.
        columns: the others of ``MARKETS``; one that the venue does not give is null.

    Raises:
        PayloadError: a value does not fit its column.
    """
    given = {"symbol": symbol, "market": market, "active": active, **columns}
    return _frame(MARKETS, given, len(symbol))


def _frame(schema: pl.Schema, columns: Columns, height: int) -> pl.DataFrame:
    assert columns.keys() <= schema.keys()
    try:
        return pl.DataFrame(
            [pl.Series(name, columns.get(name, [None] * height)).cast(to) for name, to in schema.items()]
        )
    except (pl.exceptions.PolarsError, TypeError) as e:
        raise PayloadError(
            f"a value is not what its column holds: {e}",
            hint=CHANGED,
        ) from e
