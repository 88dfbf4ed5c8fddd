"""What can still be read of a message that could not be understood: names that are whole in it."""

import re
from functools import cache

import msgspec

_TEXT = rb'"((?:[^"\\]|\\.)*)"'
"""A JSON text with both of its quotes."""


def texts_at(key: str, scrap: bytes) -> list[str]:
    """Return the texts that ``key`` has anywhere in a broken JSON message, in order.

    A text that was cut off is none; nor is what a text quotes, as its quotes are escaped.
    """
    return [text for found in _pattern(key).findall(scrap) if (text := _read(found)) is not None]


def is_whole(scrap: bytes) -> bool:
    """Whether a message is a JSON object of which nothing was cut off: all that it names can be read."""
    try:
        return isinstance(msgspec.json.decode(scrap), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


@cache
def _pattern(key: str) -> re.Pattern[bytes]:
    return re.compile(rb'"%s"\s*:\s*%s' % (re.escape(key.encode()), _TEXT), re.DOTALL)


def _read(text: bytes) -> str | None:
    try:
        return msgspec.json.decode(b'"%s"' % text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
