"""From wire columns to table columns: the few conversions every exchange needs."""

from typing import Annotated, TypeAlias, TypeVar

import msgspec
import polars as pl

from dccd_core.domain.datatype import TABLES, TIME, DataType
from dccd_core.domain.errors import PayloadError, Unavailable

T = TypeVar("T")

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
            hint="the venue changed its format: nothing of this answer was stored; update dccd",
        ) from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        kind = "an empty body" if not body.strip() else f"no whole JSON ({e}); payload begins {body[:120]!r}"
        raise Unavailable(f"the answer is {kind}", hint="run it again; a proxy may be in between") from e


def from_ms(column: str) -> pl.Expr:
    """Milliseconds since the epoch (Int64) to the time of our tables."""
    return (pl.col(column) * 1_000_000).cast(TIME)


def table(data_type: DataType, frame: pl.DataFrame) -> pl.DataFrame:
    """Cast to the data type's schema, strictly, and order by time; ties keep the venue's order."""
    schema = TABLES[data_type].schema
    try:
        return frame.select(schema.names()).cast(schema).sort("ts", maintain_order=True)
    except pl.exceptions.PolarsError as e:
        raise PayloadError(
            f"a value is not what its column holds: {e}",
            hint="the venue changed its format: nothing of this answer was stored; update dccd",
        ) from e
