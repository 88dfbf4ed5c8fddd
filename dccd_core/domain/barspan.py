"""The length of an OHLC bar: ``1m``, ``4h``, ``1d``; a number of seconds is accepted and normalised."""

import re
from typing import Final

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, MONDAY, SECOND, WEEK, Us

_UNITS: Final = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
_TEXT: Final = re.compile(r"(\d+)([smhdw]?)")


def parse_bar_span(text: str | int) -> Us:
    """Read ``"1m"``, ``"90"`` or ``90`` (seconds). ``1M`` is refused: a calendar month has no fixed length.

    >>> parse_bar_span("1h"), parse_bar_span(60)
    (3600000000, 60000000)
    """
    match = _TEXT.fullmatch(str(text))
    if match is None or int(match[1]) == 0:
        hint = "a month has no fixed length: collect 1d and aggregate" if str(text).endswith("M") else ""
        raise ConfigError(
            f"span {text!r} is not a bar length", hint=hint or "write it like 1m, 5m, 1h, 1d or in seconds"
        )
    return Us(int(match[1]) * _UNITS[match[2] or "s"])


def format_bar_span(span: Us) -> str:
    """Write a bar length in its largest whole unit.

    >>> format_bar_span(Us(7_200_000_000)), format_bar_span(Us(604_800_000_000))
    ('2h', '1w')
    """
    unit = next(unit for unit, length in _UNITS.items() if span % length == 0)
    return f"{span // _UNITS[unit]}{unit}"


def bar_open(at: Us, span: Us) -> Us:
    """Return the open of the bar that holds ``at``: whole spans since the epoch, weeks since a Monday."""
    anchor = MONDAY if span % WEEK == 0 else 0
    return Us(at - (at - anchor) % span)
