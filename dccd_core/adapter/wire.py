"""From wire columns to table columns: the few conversions every exchange needs."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
import polars as pl

from dccd_core.domain.datatype import TABLES, TIME, DataType
from dccd_core.domain.errors import PayloadError, Unavailable
from dccd_core.domain.timespan import MILLISECOND, Ns

T = TypeVar("T")

CHANGED: Final = "the venue changed its format: nothing of this answer was stored; update dccd"
"""What a reader of a PayloadError can do."""
_ISO: Final = r"^((?:19[7-9]|2[01]\d|22[0-5])\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)$"
"""Times that nanoseconds can hold: Polars would wrap other years to these, and cut finer digits off."""
_ISO_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.fZ"

Millis: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000_000)]
"""Milliseconds since the epoch that fit our nanoseconds; microseconds do not, so they are noticed."""
Whole: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""An id or a count that fits our columns."""


def read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode ``body``; on failure say which field, and show how the payload begins.

    A body that is no whole JSON was cut on its way or comes from something in between, so asking again
    may help; JSON of another shape is a change of the venue's format, and asking again will not.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as e:
        raise PayloadError(
            f"unexpected shape: {e}; payload begins {body[:120]!r}",
            hint=CHANGED,
        ) from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        kind = "an empty body" if not body.strip() else f"no whole JSON ({e}); payload begins {body[:120]!r}"
        raise Unavailable(f"the answer is {kind}", hint="run it again; a proxy may be in between") from e


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
    schema, height = TABLES[data_type].schema, len(columns["ts"])
    assert columns.keys() <= schema.keys()
    try:
        rows = pl.DataFrame(
            [pl.Series(name, columns.get(name, [None] * height)).cast(to) for name, to in schema.items()]
        )
    except (pl.exceptions.PolarsError, TypeError) as e:
        raise PayloadError(
            f"a value is not what its column holds: {e}",
            hint=CHANGED,
        ) from e
    return rows if rows["ts"].is_sorted() else rows.sort("ts", maintain_order=True)
