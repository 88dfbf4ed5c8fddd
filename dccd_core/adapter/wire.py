"""Between the wire and our tables: the few conversions every exchange needs, and what its errors share."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Final, Protocol, TypeAlias, TypeVar

import msgspec
import polars as pl

from dccd_core.adapter.contract import MARKETS, Response, parse_date
from dccd_core.domain.errors import Banned, DccdError, PayloadError, Rejected, Unavailable
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.tables import TIME, DataType

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
CAPTCHA: Final = (
    "its guard asks for a sign of a human, which no program gives: ask less, or from another address"
)
"""What a reader can do where a page came with a task for people on it."""
FIREWALL: Final = "its firewall shut this address out: wait, then ask less often, or from another address"
"""What a reader can do where something in front of the venue refused."""
LONGEST_S: Final = 3_600.0
"""No venue is believed that tells to wait for longer: it is asked again then."""
_FIREWALL_S: Final = 60.0
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_HUMAN: Final = re.compile(
    rb"captcha|security check|just a moment|cf-chl|challenge-platform|javascript and cookies|are (a )?human",
    re.IGNORECASE,
)
_ABROAD: Final = re.compile(
    rb"\bcountr(y|ies)\b|\bregions?\b|restricted location|jurisdiction|geo.?(block|restrict)|embargo",
    re.IGNORECASE,
)
_BUSY: Final = re.compile(rb"too (frequent|many)|rate.?limit", re.IGNORECASE)
_LOOKED_AT: Final = 8_192
"""Bytes of a page that somebody made for people in which to look for what it says."""
_BOM: Final = b"\xef\xbb\xbf"
_ISO: Final = r"^((?:19[7-9]|2[01]\d|22[0-5])\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)$"
"""Times that our columns are sure to hold; of nine digits six are kept."""
_ISO_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.fZ"

_LAST: Final = (2**63 - 1) // 1_000
"""No market has times of the year 2262 or later: such a number counts in another unit."""
Millis: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_LAST // MILLISECOND)]
"""Milliseconds since the epoch; microseconds are too many, so they are noticed."""
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_LAST // SECOND)]
"""Seconds since the epoch; milliseconds are too many, so they are noticed."""
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
    A venue that tells whole numbers as text (``"1706659200000"``) is read by ``Decoder(..., strict=False)``,
    which takes them for the numbers that the fields declare.
    """
    body = body.removeprefix(_BOM)
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, RecursionError) as e:
        raise PayloadError(
            f"unexpected shape: {e}; payload begins {body[:120]!r}",
            hint=CHANGED,
        ) from e
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        if page := barred(Response(200, {}, body, Us(0)), f"a page instead of data: {beginning(body)}"):
            raise page from e
        kind = "an empty body" if not body.strip() else f"no whole JSON ({e}); payload begins {body[:120]!r}"
        raise Unavailable(f"the answer is {kind}", hint="run it again; a proxy may be in between") from e


def read_error(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    """Decode the error that ``body`` may be; None if it is something else, whatever that is."""
    try:
        return decoder.decode(body.removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def beginning(body: bytes) -> str:
    """Return how ``body`` begins, for an error in words that nobody foresaw."""
    return body[:160].decode(errors="replace")


def retry_after(response: Response, unsaid: float | None = None) -> float | None:
    """Return how many seconds the venue tells us to wait (``Retry-After``), an hour at most.

    Args:
        response: whose header it is: seconds, with a fraction too, or a date.
        unsaid: what is returned when the header is missing or is neither.
    """
    text = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_S)
    at = parse_date(text)
    return unsaid if at is None else wait_until(at, response)


def wait_until(at: int, response: Response) -> float:
    """Return the seconds from the venue's time until ``at`` (microseconds), an hour at most."""
    return min(max(0, at - response.venue_time), round(LONGEST_S) * SECOND) / SECOND


def doubt(response: Response) -> str:
    """Say what of a ``Retry-After`` is not believed; empty when it is, or when there is none."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return ""
    seconds = retry_after(response)
    if seconds is None:
        return f"its Retry-After {text[:40]!r} cannot be read"
    longer = seconds == LONGEST_S and text.rstrip("0").rstrip(".") != "36"
    return f"its Retry-After {text[:40]!r} is cut to an hour" if longer else ""


def barred(response: Response, text: str, host: str = "") -> DccdError | None:
    """Tell apart why something in front of the venue sent us away; None when the venue itself speaks.

    A country block stays: it is said at once, and opens no breaker.

    Args:
        response: an answer that is an error, or no data at all.
        text: what the error says.
        host: the venue's other address, where there is one that serves more countries.
    """
    status, page = response.status, response.body[:_LOOKED_AT]
    html = page.lstrip()[:1] == b"<"
    if response.headers.get("cf-mitigated") == "challenge" or (html and _HUMAN.search(page)):
        return Banned(text, wait_s=retry_after(response, _FIREWALL_S), hint=CAPTCHA)
    if status == 451 or ((html or status == 403) and _ABROAD.search(page)):
        return Rejected(text, hint=f"{ABROAD}, such as {host}" if host else ABROAD)
    if status == 403 and html and not _BUSY.search(page):
        return Banned(text, wait_s=retry_after(response, _FIREWALL_S), hint=FIREWALL)
    return None


def inclusive(start: Us, end: Us, unit: Us = MILLISECOND) -> tuple[int, int]:
    """Return the first and the last whole ``unit`` in ``[start, end)``: bounds that are both inclusive."""
    return -(-start // unit), (end - 1) // unit


def micros(times: Sequence[int], unit: Us = MILLISECOND) -> pl.Series:
    """Return counts of ``unit`` since the epoch as the time of our tables."""
    return (pl.Series(times, dtype=pl.Int64) * unit).cast(TIME)


def iso_micros(texts: Sequence[str | None]) -> pl.Series:
    """Return ISO times in UTC (``2024-03-13T11:00:17.710679Z``, any digits) as the time of our tables.

    Raises:
        PayloadError: one of them is no such time; null stays null.
    """
    wire = pl.Series(texts, dtype=pl.String)
    if not wire.null_count() and wire.str.contains(_ISO).all():
        import numpy as np  # noqa: PLC0415 -- most venues tell no such times

        with suppress(ValueError):  # no such day, or a leap second: the other way, which takes thrice as long
            nanos = np.array([text[:-1] for text in texts if text], dtype="datetime64[ns]").view(np.int64)
            return pl.Series(nanos // 1_000).cast(TIME)
    times = wire.str.extract(_ISO).str.to_datetime(_ISO_FORMAT, time_unit="us", time_zone="UTC", strict=False)
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
    return _frame(data_type.table.schema, columns, len(columns["ts"]))


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
    ts: Us, bids: Sequence[tuple[object, object]], asks: Sequence[tuple[object, object]]
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
        ts=micros([ts] * len(levels), Us(1)),
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
