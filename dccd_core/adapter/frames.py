"""From a batch of WebSocket messages to ``DecodedBatch``: what every exchange's ``decode`` needs."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec
import polars as pl

from dccd_core.adapter import wire
from dccd_core.adapter.live import BookChange, DecodedBatch
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import Us
from dccd_core.tables import RECEIVED, DataType

T = TypeVar("T")
B = TypeVar("B", bound=wire.Bar)

Decode: TypeAlias = Callable[[Sequence[bytes], Sequence[Us], object], DecodedBatch]
After: TypeAlias = Callable[[bytes, object], object]
_FULL: Final = re.compile("too many|limit|exceed|maximum|max ", re.IGNORECASE)
_NUMBERS: Final = re.compile(r"(?:[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,2})? )*")
"""Numbers that a float holds: more digits than these would be infinite."""


def _the_same(_: bytes, state: object) -> object:
    return state


def isolating(read: Decode, after: After = _the_same) -> Decode:
    """Return a ``decode`` that spoils no message for another one's fault.

    Args:
        read: reads a batch at once, and raises PayloadError when one of its messages is not understood.
            Such a batch is read again in halves, until the culprits are alone; they end up in ``bad``.
            What it says of books is looked at here: levels are numbers, however they are written.
        after: gives the state after a message that was not understood, from the one before it: something
            of it may count all the same.
    """

    def decode(frames: Sequence[bytes], received: Sequence[Us], state: object) -> DecodedBatch:
        if not frames:
            return DecodedBatch(state=state)
        try:
            decoded = read(frames, received, state)
            _check_levels(decoded.books)
        except PayloadError as e:
            if len(frames) == 1:
                return DecodedBatch(bad=[(frames[0], str(e))], state=after(frames[0], state))
        else:
            return decoded
        half = len(frames) // 2
        first = decode(frames[:half], received[:half], state)
        return _joined(first, decode(frames[half:], received[half:], first.state))

    return decode


def read_frames(decoder: msgspec.json.Decoder[list[T]], frames: Sequence[bytes]) -> list[T]:
    """Decode messages, each a JSON value, all at once.

    Raises:
        PayloadError: one of them is not of the decoder's shape.
    """
    try:
        read = decoder.decode(b"[" + b",".join(frames) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise PayloadError(f"unexpected message: {e}", hint=wire.CHANGED) from e
    if len(read) != len(frames):
        raise PayloadError(f"{len(frames)} messages hold {len(read)} values", hint=wire.CHANGED)
    return read


def says_full(error: str) -> bool:
    """Whether a refusal of a subscription means that there are too many, or too many at once."""
    return _FULL.search(error) is not None


@dataclass(slots=True)
class TaggedRows(Generic[T]):
    """Rows as they came, each with the name of its topic and the moment its message came."""

    topics: list[str] = field(default_factory=list[str])
    times: list[Us] = field(default_factory=list[Us])
    rows: list[T] = field(default_factory=list[T])

    def add(self, topic: str, received: Us, row: T) -> None:
        self.topics.append(topic)
        self.times.append(received)
        self.rows.append(row)


def rows_of(decoder: msgspec.json.Decoder[list[list[T]]], raw: TaggedRows[msgspec.Raw]) -> TaggedRows[T]:
    """Read messages that are lists of rows, all at once.

    Raises:
        PayloadError: one of them is not of the decoder's shape.
    """
    rows = TaggedRows[T]()
    lists = read_frames(decoder, raw.rows)
    for topic, received, found in zip(raw.topics, raw.times, lists, strict=True):
        for row in found:
            rows.add(topic, received, row)
    return rows


def live_trades(tagged: TaggedRows[T], **columns: pl.Series | Sequence[object]) -> pl.DataFrame | None:
    """Return trades as ``DecodedBatch`` wants them, in the order in which they came; None without any.

    Args:
        tagged: the rows.
        columns: as for ``wire.table``, a value for each row.

    Raises:
        PayloadError: a value does not fit its column.
    """
    return _rows(DataType.TRADES, tagged, columns) if tagged.rows else None


def live_bars(
    tagged: TaggedRows[B], closed: Sequence[bool | None], **columns: pl.Series | Sequence[object]
) -> pl.DataFrame | None:
    """Return bars like ``live_trades``; ``closed`` is the venue's flag; prices are taken from the rows."""
    if not tagged.rows:
        return None
    prices = {name: [getattr(row, name) for row in tagged.rows] for name in ("open", "high", "low", "close")}
    rows = _rows(DataType.OHLC, tagged, {**prices, **columns})
    return rows.with_columns(pl.Series("closed", closed, dtype=pl.Boolean))


def _rows(data_type: DataType, tagged: TaggedRows[T], columns: wire.Columns) -> pl.DataFrame:
    """Put rows beside their topics and times: by whole columns, as an expression costs more than a batch."""
    rows = wire.untidy(data_type, columns)
    topics = pl.Series("topic", tagged.topics, dtype=pl.String)
    received = pl.Series(RECEIVED, tagged.times, dtype=pl.Int64)
    if RECEIVED in data_type.table.schema:
        return rows.replace_column(rows.get_column_index(RECEIVED), received).hstack([topics])
    return rows.hstack([topics, received])


def _check_levels(books: Sequence[BookChange]) -> None:
    numbers = [text for book in books for level in chain(book.bids, book.asks) for text in level]
    text = "".join(f"{number} " for number in numbers)
    if not _NUMBERS.fullmatch(text) or text.count(" ") != len(numbers):
        raise PayloadError(f"unexpected message: {text[:40]!r}.. are no levels", hint=wire.CHANGED)


def _joined(first: DecodedBatch, second: DecodedBatch) -> DecodedBatch:
    times = [one.at for one in (first, second) if one.at is not None]
    return DecodedBatch(
        _concat(first.trades, second.trades),
        _concat(first.bars, second.bars),
        first.books + second.books,
        first.acks + second.acks,
        max(times, default=None),
        first.restart or second.restart,
        first.bad + second.bad,
        second.state,
        first.words + second.words,
    )


def _concat(first: pl.DataFrame | None, second: pl.DataFrame | None) -> pl.DataFrame | None:
    frames = [frame for frame in (first, second) if frame is not None]
    return pl.concat(frames) if frames else None
