"""Messages that nobody understood, kept as they came beside the live segments: one JSON object a line."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from dccd_core.domain.timespan import Us, iso, parse_time

FOLDER: Final = "refused"
MOST_BYTES: Final = 16_384
"""What is kept of one message."""
_MOST_FILE: Final = 4 * 2**20
"""A file that is larger becomes the old one, in place of the one before: there are two."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message as it came at a moment ``at`` from ``url``, and why it was not understood."""

    at: Us
    url: str
    reason: str
    frame: bytes


class _Line(msgspec.Struct):
    """``text``, or ``base64`` where it is none; ``bytes`` is how many there were, perhaps more than these."""

    at: str
    url: str
    reason: str
    bytes: int
    text: str | None = None
    base64: str | None = None


_READ: Final = msgspec.json.Decoder(_Line)


def path(root: Path, exchange: str) -> Path:
    """Return the file that the messages of an exchange are added to; the older ones are in ``old``."""
    return root / FOLDER / f"{exchange}.ndjson"


def old(root: Path, exchange: str) -> Path:
    return root / FOLDER / f"{exchange}.old.ndjson"


def add(root: Path, exchange: str, refused: Sequence[Refused]) -> None:
    """Add messages, each cut to ``MOST_BYTES``."""
    file = path(root, exchange)
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > _MOST_FILE:
        file.replace(old(root, exchange))
    with file.open("ab") as lines:
        lines.write(b"".join(msgspec.json.encode(_line(one)) + b"\n" for one in refused))


def read(root: Path, exchange: str) -> list[Refused]:
    """Return the messages there are, in the order in which they came."""
    files = [file for file in (old(root, exchange), path(root, exchange)) if file.exists()]
    lines = (line for file in files for line in file.read_bytes().splitlines())
    return [_refused(_READ.decode(line)) for line in lines]


def _line(one: Refused) -> _Line:
    kept = one.frame[:MOST_BYTES]
    try:
        text, packed = kept.decode(), None
    except UnicodeDecodeError:
        text, packed = None, b64encode(kept).decode()
    return _Line(iso(one.at), one.url, one.reason, len(one.frame), text, packed)


def _refused(line: _Line) -> Refused:
    frame = line.text.encode() if line.text is not None else b64decode(line.base64 or "")
    return Refused(parse_time(line.at), line.url, line.reason, frame)
