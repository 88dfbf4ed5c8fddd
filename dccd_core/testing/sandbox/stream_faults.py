"""Trouble on request for streams: which messages meet which fault, and what it does to what is sent.

Whether a fault strikes depends on the seed, on the message and on how many have matched before, never on
when the server got to it, so a share of the messages is the same share in every run.
"""

import fnmatch
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec

from dccd_core.domain.timespan import SECOND, Ns, TimeSpan
from dccd_core.testing.sandbox.live import ABORTED, Act, Close, Live, Message, Side, at_time


class StreamFaultKind(StrEnum):
    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"
    WRONG_TYPE = "wrong_type"
    WRONG_SEQUENCE = "wrong_sequence"
    WRONG_CHECKSUM = "wrong_checksum"
    RESET = "reset"
    NOTICE = "notice"
    DISCONNECT = "disconnect"
    ABORT = "abort"
    SILENCE = "silence"
    STALL = "stall"
    REFUSE = "refuse"


class StreamFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault, and what meets it.

    DROP, DUPLICATE, REORDER (with the next message of the connection) and the faults of the text meet one
    message: GARBAGE is no JSON, TRUNCATED ends early, WRONG_TYPE has a list instead of the first decimal
    number, WRONG_SEQUENCE and WRONG_CHECKSUM have another number. RESET restarts the topic's numbering there.
    NOTICE puts the venue's announcement that it will go down before it. DISCONNECT closes the connection with
    ``code`` instead of it, ABORT without a word; SILENCE sends nothing from it on, STALL nothing for
    ``seconds`` of the sandbox's time, then all of it. REFUSE meets a connection that is to be opened: it is
    answered with the HTTP ``status``.

    ``topic`` is a pattern like ``btcusdt@*``; empty means any. ``answers``: it meets what the venue says
    about the connection itself (answers, heartbeats) instead. Of what matches, ``nth`` strikes only that
    one (from 1, since the faults were set), ``first`` only the first so many, ``probability`` that share,
    ``between`` those whose time is in this span (half-open, ns).
    """

    kind: StreamFaultKind
    venue: str = ""
    topic: str = ""
    answers: bool = False
    probability: float = 1.0
    nth: int | None = None
    first: int | None = None
    between: tuple[int, int] | None = None
    code: int = 1011
    status: int = 503
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class StreamStrike:
    """A fault that strikes; ``luck`` decides what is left open."""

    fault: StreamFault
    luck: int


class StreamInjector:
    """Decides for each message, and each connection that is to be opened, which faults strike it."""

    def __init__(self, faults: Sequence[StreamFault], seed: int) -> None:
        self._faults: Final = tuple(faults)
        self._seed: Final = seed
        self._matched: Final = [0] * len(self._faults)

    def strikes(self, venue: str, message: Message) -> list[StreamStrike]:
        return self._struck(venue, message, opening=False) if self._faults else []

    def refusal(self, venue: str, now: Ns) -> StreamFault | None:
        struck = self._struck(venue, Message(now, "", ""), opening=True)
        return struck[0].fault if struck else None

    def _struck(self, venue: str, message: Message, *, opening: bool) -> list[StreamStrike]:
        struck: list[StreamStrike] = []
        for position, fault in enumerate(self._faults):
            if (fault.kind is StreamFaultKind.REFUSE) != opening or not _meets(fault, venue, message):
                continue
            self._matched[position] += 1
            count = self._matched[position]
            if fault.nth not in (None, count) or (fault.first is not None and count > fault.first):
                continue
            chance, luck = self._drawn(position, message.text or str(count))
            if chance < fault.probability * (1 << 32):
                struck.append(StreamStrike(fault, luck))
        return struck

    def _drawn(self, position: int, of: str) -> tuple[int, int]:
        key = f"{self._seed}\0{position}\0{of}".encode()
        return divmod(int.from_bytes(blake2b(key, digest_size=8).digest()), 1 << 32)


def _meets(fault: StreamFault, venue: str, message: Message) -> bool:
    if fault.venue not in ("", venue):
        return False
    if fault.between and not fault.between[0] <= message.at < fault.between[1]:
        return False
    if fault.kind is StreamFaultKind.REFUSE:
        return True
    if fault.answers or not message.topic:
        return fault.answers and not message.topic
    return not fault.topic or fnmatch.fnmatchcase(message.topic, fault.topic)


Report: TypeAlias = Callable[[StreamFault, Message], None]


class Line:
    """What lies between a venue's side of a connection and the client: most often nothing.

    ``report`` is told of every fault that struck, and of the message as it would have been sent.
    """

    def __init__(self, venue: str, live: Live, side: Side, report: Report) -> None:
        self.side: Final = side
        self.live: Final = live
        self.silent = False
        self._venue: Final = venue
        self._report: Final = report
        self._queue = deque[Act]()
        self._swapped: Message | None = None
        self._held: list[Act] = []
        self._held_until: Ns | None = None
        self._end = Ns(0)

    def sent(self, acts: Sequence[Act], injector: StreamInjector, end: Ns) -> list[Act]:
        """Return what is really sent of ``acts``, which were due before ``end``; nothing follows a close."""
        self._queue, self._end = deque(acts), end
        out = self._released(end)
        while self._queue and not self.silent:
            act = self._queue.popleft()
            given = self._met(act, injector) if isinstance(act, Message) else [act]
            for one in given:
                (out if self._held_until is None else self._held).extend(self._in_turn(one))
        out += self._released(end)
        last = next((n for n, act in enumerate(out) if isinstance(act, Close)), len(out))
        return out[: last + 1]

    def hold(self, until: Ns) -> None:
        self._held_until = until

    def swap(self, message: Message) -> bool:
        """Keep a message until another one was sent; False while one is kept already."""
        if self._swapped is not None:
            return False
        self._swapped = message
        return True

    def restart(self, message: Message) -> list[Act] | None:
        """Number the message's topic anew from here on, also in what is still to be looked at."""
        fresh = self.side.restarted(message.topic, TimeSpan(message.at, max(self._end, Ns(message.at + 1))))
        if fresh is None:
            return None
        others = [act for act in self._queue if not isinstance(act, Message) or act.topic != message.topic]
        later = [act for act in fresh if act.at > message.at]
        self._queue = deque(sorted([*others, *later], key=at_time))
        return [act for act in fresh if act.at == message.at]

    def _met(self, message: Message, injector: StreamInjector) -> list[Act]:
        """Apply what strikes: all that changes the text, but of what does more only the first."""
        strikes, text = injector.strikes(self._venue, message), message.text
        for strike in strikes:
            spoil = _TEXTS.get(strike.fault.kind)
            spoiled = spoil(text, strike.luck, self.live) if spoil else None
            if spoiled is not None:
                text = spoiled
                self._report(strike.fault, message)
        struck = message._replace(text=text)
        for strike in strikes:
            act = _ACTIONS.get(strike.fault.kind)
            given = act(self, struck, strike.fault) if act else None
            if given is not None:
                self._report(strike.fault, message)
                return given
        return [struck]

    def _in_turn(self, act: Act) -> list[Act]:
        if self._swapped is None or not isinstance(act, Message | Close):
            return [act]
        swapped, self._swapped = self._swapped, None
        return [swapped, act] if isinstance(act, Close) else [act, swapped]

    def _released(self, end: Ns) -> list[Act]:
        if self._held_until is None or self._held_until > end or self.silent:
            return []
        held, self._held, self._held_until = self._held, [], None
        return held


def _other_number(found: re.Pattern[str] | None, text: str, luck: int) -> str | None:
    match = found.search(text) if found else None
    if match is None:
        return None
    number = int(match[1])
    return f"{text[: match.start(1)]}{number + 1 + luck % 97}{text[match.end(1) :]}"


_DECIMAL: Final = re.compile(r'"-?\d+\.\d+"|(?<=[:,\[])-?\d+\.\d+(?=[,\]}])')


def _wrong_type(text: str, _luck: int, _live: Live) -> str | None:
    spoiled, count = _DECIMAL.subn("[]", text, count=1)
    return spoiled if count else None


def _silence(line: Line, _message: Message, _fault: StreamFault) -> list[Act]:
    line.silent = True
    return []


def _stall(line: Line, message: Message, fault: StreamFault) -> list[Act]:
    line.hold(Ns(message.at + int(fault.seconds * SECOND)))
    return [message]


def _notice(line: Line, message: Message, _fault: StreamFault) -> list[Act] | None:
    said = line.side.notice(message.at)
    return [*said, message] if said else None


_TEXTS: Final[Mapping[StreamFaultKind, Callable[[str, int, Live], str | None]]] = {
    StreamFaultKind.GARBAGE: lambda text, _luck, _live: f"}}{text[1:]}",
    StreamFaultKind.TRUNCATED: lambda text, luck, _: text[: 1 + luck % max(1, len(text) - 1)],
    StreamFaultKind.WRONG_TYPE: _wrong_type,
    StreamFaultKind.WRONG_SEQUENCE: lambda text, luck, live: _other_number(live.sequence, text, luck),
    StreamFaultKind.WRONG_CHECKSUM: lambda text, luck, live: _other_number(live.checksum, text, luck),
}
_ACTIONS: Final[Mapping[StreamFaultKind, Callable[[Line, Message, StreamFault], list[Act] | None]]] = {
    StreamFaultKind.DROP: lambda _line, _message, _fault: [],
    StreamFaultKind.DUPLICATE: lambda _line, message, _fault: [message, message],
    StreamFaultKind.REORDER: lambda line, message, _: [] if line.swap(message) else None,
    StreamFaultKind.RESET: lambda line, message, _: line.restart(message),
    StreamFaultKind.NOTICE: _notice,
    StreamFaultKind.DISCONNECT: lambda _, message, fault: [Close(message.at, fault.code)],
    StreamFaultKind.ABORT: lambda _line, message, _fault: [Close(message.at, ABORTED)],
    StreamFaultKind.SILENCE: _silence,
    StreamFaultKind.STALL: _stall,
}
