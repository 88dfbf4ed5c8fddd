"""Time: integers in microseconds inside, UTC datetimes only in columns and at the edges."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Us = NewType("Us", int)
"""Microseconds since the Unix epoch, UTC; or a length in them. What a venue tells finer is floored."""

ZERO: Final = Us(0)
MICROSECOND: Final = Us(1)
MILLISECOND: Final = Us(1_000)
SECOND: Final = Us(1_000_000)
MINUTE: Final = Us(60 * SECOND)
HOUR: Final = Us(60 * MINUTE)
DAY: Final = Us(24 * HOUR)
WEEK: Final = Us(7 * DAY)
MONDAY: Final = Us(4 * DAY)
"""The first Monday after the epoch (a Thursday): weeks are counted from it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FINER: Final = re.compile(r"(\.\d{6})\d+")


def us(moment: datetime) -> Us:
    """Convert an aware datetime exactly, without passing through a float.

    >>> us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    if moment.tzinfo is None:
        msg = f"naive datetime {moment!r}: say which zone"
        raise ValueError(msg)
    delta = moment - _EPOCH
    return Us((delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds)


def parse_time(text: str) -> Us:
    """Read an ISO date or timestamp; without a zone it is UTC. Of up to nine decimals six are kept.

    >>> parse_time("1970-01-02"), parse_time("1970-01-01T00:00:00.000001999Z")
    (86400000000, 1)
    """
    moment = datetime.fromisoformat(_FINER.sub(r"\1", text))
    return us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def moment(at: Us) -> datetime:
    """Return the UTC datetime of ``at``."""
    return _EPOCH + timedelta(microseconds=at)


def iso(at: Us) -> str:
    """Write ``at`` for people: UTC, with as many decimals as it needs, three or six.

    >>> iso(Us(0)), iso(Us(648_000)), iso(Us(1_001))
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:00.648Z', '1970-01-01T00:00:00.001001Z')
    """
    decimals = 6 if at % MILLISECOND else 3
    fraction = f".{at % SECOND:06d}"[: decimals + 1] if at % SECOND else ""
    return f"{moment(at):%Y-%m-%dT%H:%M:%S}{fraction}Z"


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """The half-open interval ``[start, end)``."""

    start: Us
    end: Us

    def __post_init__(self) -> None:
        if self.end < self.start:
            msg = f"span ends before it starts: {self.start} > {self.end}"
            raise ValueError(msg)

    def __str__(self) -> str:
        return f"[{iso(self.start)}, {iso(self.end)})"

    @property
    def length(self) -> Us:
        return Us(self.end - self.start)

    def split(self, width: Us) -> Iterator["TimeRange"]:
        """Yield consecutive spans of at most ``width`` that cover this one exactly."""
        at = self.start
        while at < self.end:
            cut = Us(min(at + width, self.end))
            yield TimeRange(at, cut)
            at = cut

    def clip(self, other: "TimeRange") -> "TimeRange | None":
        """Return the part shared with ``other``, or None when there is none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return TimeRange(start, end) if start < end else None

    def minus(self, others: Iterable["TimeRange"]) -> list["TimeRange"]:
        """Return what is left of this span once ``others`` are taken out, in order."""
        left: list[TimeRange] = []
        at = self.start
        for other in union(others):
            if other.end <= at:
                continue
            if other.start >= self.end:
                break
            if other.start > at:
                left.append(TimeRange(at, other.start))
            at = other.end
        if at < self.end:
            left.append(TimeRange(at, self.end))
        return left


def union(spans: Iterable[TimeRange]) -> list[TimeRange]:
    """Sort, drop empty spans, and join those that overlap or touch."""
    apart = [span for span in spans if span.start < span.end]
    if len(apart) < 2:
        return apart
    joined: list[TimeRange] = []
    for span in sorted(apart, key=lambda one: (one.start, one.end)):
        if joined and span.start <= joined[-1].end:
            joined[-1] = TimeRange(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
