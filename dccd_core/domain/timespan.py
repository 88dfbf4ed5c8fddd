"""Time: integers in nanoseconds inside, UTC datetimes only in columns and at the edges."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Ns = NewType("Ns", int)
"""Nanoseconds since the Unix epoch, UTC; or a length in nanoseconds."""

ZERO: Final = Ns(0)
MICROSECOND: Final = Ns(1_000)
MILLISECOND: Final = Ns(1_000_000)
SECOND: Final = Ns(1_000_000_000)
MINUTE: Final = Ns(60 * SECOND)
HOUR: Final = Ns(60 * MINUTE)
DAY: Final = Ns(24 * HOUR)
WEEK: Final = Ns(7 * DAY)
MONDAY: Final = Ns(4 * DAY)
"""The first Monday after the epoch (a Thursday): weeks are counted from it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION: Final = re.compile(r"\.(\d{7,9})")


def ns(moment: datetime) -> Ns:
    """Convert an aware datetime exactly, without passing through a float.

    >>> ns(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005000
    """
    if moment.tzinfo is None:
        msg = f"naive datetime {moment!r}: say which zone"
        raise ValueError(msg)
    delta = moment - _EPOCH
    return Ns(((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000)


def parse_time(text: str) -> Ns:
    """Read an ISO date or timestamp; without a zone it is UTC. Up to nine decimals are kept.

    >>> parse_time("1970-01-02"), parse_time("1970-01-01T00:00:00.000000001Z")
    (86400000000000, 1)
    """
    fraction = _FRACTION.search(text)
    finer = int(fraction[1].ljust(9, "0")[6:]) if fraction else 0
    whole = text if not fraction else text.replace(fraction[0], fraction[0][:7])
    moment = datetime.fromisoformat(whole)
    return Ns(ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) + finer)


def moment(at: Ns) -> datetime:
    """Return the UTC datetime at or just before ``at`` (datetimes end at microseconds)."""
    return _EPOCH + timedelta(microseconds=at // 1_000)


def iso(at: Ns) -> str:
    """Write ``at`` for people: UTC, with as many decimals as it needs, three, six or nine.

    >>> iso(Ns(0)), iso(Ns(648_000_000)), iso(Ns(1_000_001))
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:00.648Z', '1970-01-01T00:00:00.001000001Z')
    """
    decimals = 3 if at % MILLISECOND == 0 else 6 if at % MICROSECOND == 0 else 9
    fraction = f".{at % SECOND:09d}"[: decimals + 1] if at % SECOND else ""
    return f"{moment(at):%Y-%m-%dT%H:%M:%S}{fraction}Z"


@dataclass(frozen=True, slots=True, order=True)
class TimeSpan:
    """The half-open interval ``[start, end)``."""

    start: Ns
    end: Ns

    def __post_init__(self) -> None:
        if self.end < self.start:
            msg = f"span ends before it starts: {self.start} > {self.end}"
            raise ValueError(msg)

    def __str__(self) -> str:
        return f"[{iso(self.start)}, {iso(self.end)})"

    @property
    def length(self) -> Ns:
        return Ns(self.end - self.start)

    def split(self, width: Ns) -> Iterator["TimeSpan"]:
        """Yield consecutive spans of at most ``width`` that cover this one exactly."""
        at = self.start
        while at < self.end:
            cut = Ns(min(at + width, self.end))
            yield TimeSpan(at, cut)
            at = cut

    def clip(self, other: "TimeSpan") -> "TimeSpan | None":
        """Return the part shared with ``other``, or None when there is none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return TimeSpan(start, end) if start < end else None

    def minus(self, others: Iterable["TimeSpan"]) -> list["TimeSpan"]:
        """Return what is left of this span once ``others`` are taken out, in order."""
        left: list[TimeSpan] = []
        at = self.start
        for other in union(others):
            if other.end <= at:
                continue
            if other.start >= self.end:
                break
            if other.start > at:
                left.append(TimeSpan(at, other.start))
            at = other.end
        if at < self.end:
            left.append(TimeSpan(at, self.end))
        return left


def union(spans: Iterable[TimeSpan]) -> list[TimeSpan]:
    """Sort, drop empty spans, and join those that overlap or touch."""
    joined: list[TimeSpan] = []
    for span in sorted(s for s in spans if s.start < s.end):
        if joined and span.start <= joined[-1].end:
            joined[-1] = TimeSpan(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
