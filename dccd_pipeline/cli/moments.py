"""Moments as people write them on the command line: days, months, ages, words, numbers. All UTC. Pure."""

import re
from typing import Final

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import (
    DAY,
    HOUR,
    MICROSECOND,
    MILLISECOND,
    MINUTE,
    SECOND,
    WEEK,
    ZERO,
    TimeRange,
    Us,
    parse_time,
)

ORIGIN: Final = ZERO
"""The moment ``origin``: as far back as there is anything."""
HINT: Final = "write 2024-01-31, 2024-01, 2024-01-31T12:00, yesterday, 7d, epoch seconds, or origin"

_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_AGE: Final = re.compile(r"(\d{1,9})([smhdw])")
_MONTH: Final = re.compile(r"\d{4}-\d{2}")
_YEAR: Final = re.compile(r"(19|20)\d{2}")
_EPOCH: Final = re.compile(r"\d{9,19}")
_STEPS: Final = ((10**11, SECOND), (10**14, MILLISECOND), (10**17, MICROSECOND))
"""A number below the first is in that unit: seconds until the year 5138, and so on; else nanoseconds."""


def parse_moment(text: str, now: Us) -> Us:
    """Read a moment; ages like ``7d`` and words count from ``now``.

    >>> parse_moment("2024-02", Us(0)) == parse_time("2024-02-01")
    True
    >>> parse_moment("1700000000", Us(0)) == parse_moment("1700000000000000000", Us(0))
    True

    Raises:
        ConfigError: it is none.
    """
    word = text.strip().lower()
    today = Us(now - now % DAY)
    words = {"now": now, "today": today, "yesterday": Us(today - DAY), "origin": ORIGIN}
    if word in words:
        return words[word]
    if age := _AGE.fullmatch(word):
        return Us(now - int(age[1]) * _UNITS[age[2]])
    if _EPOCH.fullmatch(word):
        number = int(word)
        unit = next((unit for below, unit in _STEPS if number < below), None)
        return Us(number * unit if unit else number // 1_000)
    return _calendar(text.strip())


def _calendar(text: str) -> Us:
    if text.lower() == "last":
        hint = "leave --start out: only what is missing since the configured start is asked for"
        raise ConfigError("'last' was dccd 3's word", hint=hint)
    whole = f"{text}-01" if _MONTH.fullmatch(text) else f"{text}-01-01" if _YEAR.fullmatch(text) else text
    try:
        return parse_time(whole)
    except (ValueError, OverflowError):
        raise ConfigError(f"{text!r} is no moment", hint=HINT) from None


def whole_bars(span: TimeRange, bar: Us | None) -> TimeRange:
    """Return ``span``, widened to the bars that lie in it in part; for bars that divide a day."""
    if bar is None or DAY % bar:
        return span
    return TimeRange(Us(span.start - span.start % bar), Us(-(-span.end // bar) * bar))
