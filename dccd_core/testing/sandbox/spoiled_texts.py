"""What faults make of the text of one message; None where there is nothing in it that they could spoil."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from dccd_core.domain.timespan import DAY, MICROSECOND, MILLISECOND, SECOND, ZERO, Us, moment, parse_time
from dccd_core.testing.sandbox.live import Live, Message
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind, StreamStrike

Spoil: TypeAlias = Callable[[Message, StreamStrike, Live], str | None]

_DECIMAL: Final = re.compile(r'"-?\d+\.\d+"|(?<=[:,\[])-?\d+\.\d+(?=[,\]}])')
_TIME: Final = re.compile(
    r"(?<![\w.-])(?:(?P<number>\d{13}|\d{16}|\d{19})|(?P<text>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z))(?![\w.])"
)
_UNITS: Final = {13: (MILLISECOND, 1), 16: (MICROSECOND, 1), 19: (MICROSECOND, 1_000)}
"""What times count, by their digits: so much, and how many of them."""
_NEAR: Final = 40 * DAY
"""A number that says another time than this much around the message's is none."""


def other_number(found: re.Pattern[str] | None, text: str, luck: int) -> str | None:
    match = found.search(text) if found else None
    if match is None:
        return None
    number = int(match[1])
    return f"{text[: match.start(1)]}{number + 1 + luck % 97}{text[match.end(1) :]}"


def other_amount(text: str) -> str | None:
    """Change by one the last digit of a decimal number that is not 0, and never to 0."""
    places = (n for found in _DECIMAL.finditer(text) for n in range(*found.span()))
    digit = max((n for n in places if text[n] in "123456789"), default=None)
    return None if digit is None else f"{text[:digit]}{int(text[digit]) % 9 + 1}{text[digit + 1 :]}"


def first_number(numbers: re.Pattern[str] | None, text: str) -> int | None:
    """Return the first of the numbers that count."""
    match = numbers.search(text) if numbers else None
    return int(match[1]) if match else None


def shifted_numbers(numbers: re.Pattern[str], text: str, by: int) -> str:
    """Add to each of the numbers that count."""
    return numbers.sub(lambda found: _put(found, 1, str(int(found[1]) + by)), text)


def _put(found: re.Match[str], group: int, text: str) -> str:
    """Return what was found, with another text for one of its groups."""
    whole, start = found[0], found.start()
    return f"{whole[: found.start(group) - start]}{text}{whole[found.end(group) - start :]}"


def _wrong_type(message: Message, _strike: StreamStrike, _live: Live) -> str | None:
    spoiled, count = _DECIMAL.subn("[]", message.text, count=1)
    return spoiled if count else None


def _with_times(message: Message, change: Callable[[Us], Us | None]) -> str | None:
    """Change all times there are; None: to nothing."""

    def changed(found: re.Match[str]) -> str:
        if text := found["text"]:
            return _written(change(parse_time(text)), text)
        unit, finer = _UNITS[len(found[0])]
        at = Us(int(found[0]) * unit // finer)
        if abs(at - message.at) > _NEAR:
            return found[0]
        return str((change(at) or 0) // unit * finer)

    spoiled = _TIME.sub(changed, message.text)
    return None if spoiled == message.text else spoiled


def _written(at: Us | None, like: str) -> str:
    """Write a time with as many decimals as another one."""
    fraction = like.partition(".")[2].rstrip("Z")
    shown = "0001-01-01T00:00:00" if at is None else f"{moment(at):%Y-%m-%dT%H:%M:%S}"
    decimals = f"{(at or 0) % SECOND:06d}000"[: len(fraction)]
    return f"{shown}.{decimals}Z" if fraction else f"{shown}Z"


def _future(message: Message, strike: StreamStrike, _live: Live) -> str | None:
    seconds = strike.fault.seconds
    ahead, newest = DAY if seconds is None else int(seconds * SECOND), ZERO

    def later(at: Us) -> Us:
        nonlocal newest
        newest = max(newest, Us(at + ahead))
        return Us(at + ahead)

    spoiled = _with_times(message, later)
    return spoiled if ahead < 0 or newest > message.at + ahead // 2 else None


def _bad_level(message: Message, strike: StreamStrike, live: Live) -> str | None:
    text = message.text
    found = list(live.level.finditer(text)) if live.level else []
    if not found:
        return None
    level, group = found[strike.luck % len(found)], 1 + strike.luck // len(found) % 2
    bare = text[level.start(group) - 1] != '"'
    bad = f'"{strike.fault.value}"' if bare else strike.fault.value
    return f"{text[: level.start(group)]}{bad}{text[level.end(group) :]}"


def _missing_field(message: Message, strike: StreamStrike, _live: Live) -> str | None:
    name, value = re.escape(strike.fault.value), r'(?:"[^"]*"|\{[^{}]*\}|\[[^\[\]]*\]|[^,\[\]{}"]+)'
    spoiled = re.sub(rf'(?:,"{name}":{value}|(?<=\{{)"{name}":{value},?)', "", message.text)
    return None if spoiled == message.text else spoiled


def _number(which: Callable[[Live], re.Pattern[str] | None]) -> Spoil:
    return lambda message, strike, live: other_number(which(live), message.text, strike.luck)


SPOILS: Final[Mapping[StreamFaultKind, Spoil]] = {
    StreamFaultKind.GARBAGE: lambda message, _strike, _live: f"}}{message.text[1:]}",
    StreamFaultKind.TRUNCATED: lambda message, strike, _: message.text[
        : 1 + strike.luck % max(1, len(message.text) - 1)
    ],
    StreamFaultKind.WRONG_TYPE: _wrong_type,
    StreamFaultKind.WRONG_SEQUENCE: _number(lambda live: live.sequence),
    StreamFaultKind.WRONG_CHECKSUM: _number(lambda live: live.checksum),
    StreamFaultKind.FUTURE_TIME: _future,
    StreamFaultKind.ZERO_TIME: lambda message, _strike, _live: _with_times(message, lambda _: None),
    StreamFaultKind.BAD_LEVEL: _bad_level,
    StreamFaultKind.MISSING_FIELD: _missing_field,
}


def length(fault: StreamFault, usual_s: float) -> Us:
    """Return how long a fault lasts that always ends."""
    return Us(int((usual_s if fault.seconds is None else fault.seconds) * SECOND))
