"""Trouble on request for streams: which messages meet which fault. What it does: see ``line.py``.

Whether a fault strikes depends on the seed, on the message and on how many have matched before, never on
when the server got to it, so a share of the messages is the same share in every run.
"""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from hashlib import blake2b
from typing import Final

import msgspec

from dccd_core.domain.timespan import Us
from dccd_core.testing.sandbox.live import Message


class StreamFaultKind(StrEnum):
    """What goes wrong. "Once": it strikes each topic once, FROZEN once in all, unless its ``again`` is set.

    One message. DROP: it is not sent. DUPLICATE: it is, twice. CONTRADICTION: twice, with another value for
    its last decimal number the second time. STRANGE: one that nobody knows comes before it. REORDER: it comes
    after the next of the connection. LATE: ``seconds`` (1) later, while the others come in time. GARBAGE: it
    is no JSON. TRUNCATED: it ends early. WRONG_TYPE: it has a list instead of the first decimal number.
    WRONG_SEQUENCE, WRONG_CHECKSUM: another number. FUTURE_TIME: all its times are ``seconds`` (a day) later
    than they should be, earlier if negative; a message whose times all are of the past even then is spared.
    ZERO_TIME: they are 0 instead, or in the year 1. BAD_LEVEL: a level of a book, in a snapshot or a change,
    has the text ``value`` for its price or amount. MISSING_FIELD: the field called ``value`` is left out
    wherever it is. NOTICE: the venue's announcement that it will go down comes before it.

    A topic. RESET: its numbering starts anew there, as the venue says that it may. NUMBER_RESTART (once): the
    numbers of its book go on from ``number`` (1000) instead, on all connections and by REST, without a word.
    FOREIGN_NUMBERS (once): from it on they are ``number`` (1000) larger than by REST. Where all messages of a
    connection are counted (Bitfinex), both mean that count and that connection. SNAPSHOT: the whole book
    comes instead of a change, where a venue may push one at any time; with NUMBER_RESTART at the same
    message the new numbers begin with it. SILENT_TOPIC (once): from it on nothing comes of the topic, its own
    heartbeats included unless ``beats``, until it is subscribed to anew, or for ``seconds``; what was to come
    is lost, and no number of a connection is left out for it. CROSSED (once): after it, for ``seconds`` or
    until the topic is subscribed to anew, the best bid is ``number`` (1) ticks above the best ask, 0 being
    equal. DRIFT (once): after it, until then, a bid that was the third best has another amount than in truth
    and keeps it, at its price, whatever becomes of it in truth. Numbers and checksums are right in both, REST
    tells the truth. TOO_MANY: a subscription to the topic is refused as one too many, with all that its
    message asks for where the venue refuses them together. EARLY_BEAT: a subscription begins and is agreed to
    ``seconds`` (1) late, after a heartbeat of its channel (Bitfinex only).

    A connection. DISCONNECT: it is closed with ``code`` instead of the message. ABORT: it ends without
    a word. SILENCE: from it on nothing is sent, not even pongs. FROZEN (once): from it on, for ``seconds`` or
    for ever, no topic says anything, whatever is subscribed to; requests and pings are answered, and the
    heartbeats of the connection go on, those of topics if ``beats``. STALL: nothing for ``seconds`` (1), then
    all of it. LAG: it and all that follows come ``seconds`` (1) late. LATE_ACK: the answer that agrees to
    a subscription comes ``seconds`` (1) late, while data come already; ``topic`` is a pattern of its text.
    REFUSE: a connection that is to be opened is answered with the HTTP ``status``.

    Where there is no such number, level, field, announcement or snapshot to push, nothing strikes.
    """

    DROP = "drop"
    DUPLICATE = "duplicate"
    CONTRADICTION = "contradiction"
    STRANGE = "strange"
    LATE = "late"
    REORDER = "reorder"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    WRONG_TYPE = "wrong_type"
    WRONG_SEQUENCE = "wrong_sequence"
    WRONG_CHECKSUM = "wrong_checksum"
    FUTURE_TIME = "future_time"
    ZERO_TIME = "zero_time"
    BAD_LEVEL = "bad_level"
    MISSING_FIELD = "missing_field"
    NOTICE = "notice"
    RESET = "reset"
    NUMBER_RESTART = "number_restart"
    FOREIGN_NUMBERS = "foreign_numbers"
    SNAPSHOT = "snapshot"
    SILENT_TOPIC = "silent_topic"
    CROSSED = "crossed"
    DRIFT = "drift"
    TOO_MANY = "too_many"
    EARLY_BEAT = "early_beat"
    DISCONNECT = "disconnect"
    ABORT = "abort"
    SILENCE = "silence"
    FROZEN = "frozen"
    STALL = "stall"
    LAG = "lag"
    LATE_ACK = "late_ack"
    REFUSE = "refuse"


class Stage(Enum):
    """Where a fault is looked for: in the venue before it numbers what it sends, or on the way from there."""

    WAY = auto()
    VENUE = auto()
    ACK = auto()
    FULL = auto()
    BEGIN = auto()
    OPENING = auto()


_STAGES: Final[Mapping[StreamFaultKind, Stage]] = {
    **dict.fromkeys(StreamFaultKind, Stage.WAY),
    StreamFaultKind.SNAPSHOT: Stage.VENUE,
    StreamFaultKind.SILENT_TOPIC: Stage.VENUE,
    StreamFaultKind.FROZEN: Stage.VENUE,
    StreamFaultKind.CROSSED: Stage.VENUE,
    StreamFaultKind.DRIFT: Stage.VENUE,
    StreamFaultKind.LATE_ACK: Stage.ACK,
    StreamFaultKind.TOO_MANY: Stage.FULL,
    StreamFaultKind.EARLY_BEAT: Stage.BEGIN,
    StreamFaultKind.REFUSE: Stage.OPENING,
}
_ONCE: Final = frozenset(
    {
        StreamFaultKind.NUMBER_RESTART,
        StreamFaultKind.FOREIGN_NUMBERS,
        StreamFaultKind.SILENT_TOPIC,
        StreamFaultKind.FROZEN,
        StreamFaultKind.CROSSED,
        StreamFaultKind.DRIFT,
    }
)


class StreamFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault, and what meets it; what its ``kind`` does, and with which of the fields, is told there.

    ``topic`` is a pattern like ``btcusdt@*``; empty means any. ``text`` is a regular expression of which the
    message must hold a match (before any fault). ``answers``: it meets what the venue says about the
    connection itself (answers, heartbeats) instead. Of what matches, ``nth`` strikes only that one (from 1,
    since the faults were set), ``first`` only the first so many, ``probability`` that share, ``between``
    those whose time is in this span (half-open, us). ``again``: what strikes once does so without end.
    """

    kind: StreamFaultKind
    venue: str = ""
    topic: str = ""
    text: str = ""
    answers: bool = False
    probability: float = 1.0
    nth: int | None = None
    first: int | None = None
    between: tuple[int, int] | None = None
    again: bool = False
    beats: bool = False
    code: int = 1011
    status: int = 503
    seconds: float | None = None
    number: int | None = None
    value: str = "0.-10000"


@dataclass(frozen=True, slots=True)
class StreamStrike:
    """A fault that strikes; ``luck`` decides what is left open, ``position`` is the fault's among all."""

    fault: StreamFault
    luck: int
    position: int


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much the numbers of a book are larger than in truth from a moment on, ``by_rest`` too or not."""

    since: Us
    by: int
    by_rest: bool


class StreamInjector:
    """Decides for each message, and each connection that is to be opened, which faults strike it.

    What holds on all connections of a sandbox is remembered here: whom a fault has struck that strikes
    once, and how books are numbered.
    """

    def __init__(self, faults: Sequence[StreamFault], seed: int) -> None:
        self._seed: Final = seed
        self.set(faults)

    def set(self, faults: Sequence[StreamFault]) -> None:
        """Put these faults in force, and forget all there was."""
        self._faults = tuple(faults)
        self._matched = [0] * len(self._faults)
        self._stages = frozenset(_STAGES[fault.kind] for fault in self._faults)
        self._spent = set[tuple[int, str]]()
        self._shifts = defaultdict[tuple[str, str], list[Shift]](list)

    @property
    def idle(self) -> bool:
        """Whether there are no faults at all."""
        return not self._faults

    def strikes(self, venue: str, message: Message, stage: Stage = Stage.WAY) -> list[StreamStrike]:
        return self._struck(venue, message, stage) if stage in self._stages else []

    def refusal(self, venue: str, now: Us) -> StreamFault | None:
        struck = self.strikes(venue, Message(now, "", ""), Stage.OPENING)
        return struck[0].fault if struck else None

    def spend(self, strike: StreamStrike, topic: str) -> None:
        """Remember that a fault struck: it need not do so again."""
        if strike.fault.kind in _ONCE and not strike.fault.again:
            self._spent.add((strike.position, _whom(strike.fault, topic)))

    def shift(self, venue: str, topic: str, shift: Shift) -> None:
        """Number a book differently from a moment on, on all connections."""
        self._shifts[venue, topic].append(shift)

    def shifted(self, venue: str, topic: str, at: Us) -> int:
        """Return how much larger than in truth a book's numbers are."""
        shifts = self._shifts.get((venue, topic), ())
        return sum(shift.by for shift in shifts if shift.since <= at)

    def shifted_by_rest(self, venue: str, topic: str, now: Us) -> int:
        """Return how much larger they are by REST; ``topic`` is a pattern, as one book may have several."""
        found = (
            sum(shift.by for shift in shifts if shift.by_rest and shift.since <= now)
            for (whose, name), shifts in self._shifts.items()
            if whose == venue and fnmatch.fnmatchcase(name, topic)
        )
        return next((by for by in found if by), 0)

    def _struck(self, venue: str, message: Message, stage: Stage) -> list[StreamStrike]:
        struck: list[StreamStrike] = []
        for position, fault in enumerate(self._faults):
            if _STAGES[fault.kind] is not stage or not _meets(fault, venue, message):
                continue
            if (position, _whom(fault, message.topic)) in self._spent:
                continue
            self._matched[position] += 1
            count = self._matched[position]
            if fault.nth not in (None, count) or (fault.first is not None and count > fault.first):
                continue
            chance, luck = self._drawn(position, message.text or str(count))
            if chance < fault.probability * (1 << 32):
                struck.append(StreamStrike(fault, luck, position))
        return struck

    def _drawn(self, position: int, of: str) -> tuple[int, int]:
        key = f"{self._seed}\0{position}\0{of}".encode()
        return divmod(int.from_bytes(blake2b(key, digest_size=8).digest()), 1 << 32)


def _whom(fault: StreamFault, topic: str) -> str:
    return "" if fault.kind is StreamFaultKind.FROZEN else topic


def _meets(fault: StreamFault, venue: str, message: Message) -> bool:
    """Return whether a fault looks for such a message, where it looks for messages of this kind at all."""
    if fault.venue not in ("", venue):
        return False
    if fault.between and not fault.between[0] <= message.at < fault.between[1]:
        return False
    if fault.text and not re.search(fault.text, message.text):
        return False
    return _is_of(fault, message)


def _is_of(fault: StreamFault, message: Message) -> bool:
    stage = _STAGES[fault.kind]
    if stage is Stage.OPENING:
        return True
    if stage is not Stage.ACK and (fault.answers or not message.topic):
        return fault.answers and not message.topic
    what = message.text if stage is Stage.ACK else message.topic
    return not fault.topic or fnmatch.fnmatchcase(what, fault.topic)
