"""What is wrong with a venue itself on one connection: topics that fall silent, books that are not so.

This is done before the venue numbers its messages and says that it is alive, for what is not sent because of
it is not missed: see ``line.py`` for what happens on the way to the client.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dccd_core.domain.timespan import SECOND, ZERO, TimeRange, Us
from dccd_core.testing.sandbox.books import Sides
from dccd_core.testing.sandbox.live import Feed, Message, Side, Trouble
from dccd_core.testing.sandbox.seen_book import Twist, crossed, drifted
from dccd_core.testing.sandbox.spoiled_texts import length
from dccd_core.testing.sandbox.stream_faults import (
    Stage,
    StreamFault,
    StreamFaultKind,
    StreamInjector,
)

Report: TypeAlias = Callable[[StreamFault, Message], None]
_EVER: Final = Us(1 << 62)
_BEST: Final = 10
"""How many levels a side a fault of a book is told."""


@dataclass(frozen=True, slots=True)
class Hush:
    """From when until when nothing is said, and whether heartbeats are."""

    since: Us = ZERO
    until: Us = ZERO
    beats: bool = False


class VenueTrouble(Trouble):
    """The faults of the venue that an injector has for one connection; ``report`` is told what struck."""

    def __init__(self, venue: str, side: Side, report: Report) -> None:
        self.injector: StreamInjector | None = None
        self._venue, self._side, self._report = venue, side, report
        self._frozen = Hush()
        self._hushed = dict[str, tuple[Feed | None, Hush]]()
        """Which subscription of a topic says nothing."""
        self._queue = deque[Message]()
        self._end = ZERO

    def told(self, messages: Sequence[Message], end: Us) -> list[Message]:
        if (self.injector is None or self.injector.idle) and not self._hushed and not self._frozen.until:
            return list(messages)
        self._queue, self._end = deque(messages), end
        out = list[Message]()
        while self._queue:
            message = self._queue.popleft()
            if not self.hushes(message.topic, message.at):
                out += self._met(message)
        return out

    def hushes(self, topic: str, at: Us) -> bool:
        return any(hush.since <= at < hush.until for hush in self._hushes(topic))

    def hushes_beats(self, topic: str, at: Us) -> bool:
        return any(hush.since <= at < hush.until and not hush.beats for hush in self._hushes(topic))

    def _hushes(self, topic: str) -> list[Hush]:
        if topic not in self._hushed:
            return [self._frozen]
        feed, hush = self._hushed[topic]
        if feed is self._side.feed(topic):
            return [self._frozen, hush]
        del self._hushed[topic]  # it was subscribed to anew
        return [self._frozen]

    def full(self, topic: str, now: Us) -> bool:
        return self._at_once(Stage.FULL, topic, now) is not None

    def begins_late(self, topic: str, now: Us) -> Us:
        fault = self._at_once(Stage.BEGIN, topic, now)
        return length(fault, 1) if fault else ZERO

    def hush(self, message: Message, fault: StreamFault) -> list[Message]:
        self._hushed[message.topic] = self._side.feed(message.topic), _hush(message, fault)
        return []

    def freeze(self, message: Message, fault: StreamFault) -> list[Message]:
        self._frozen = _hush(message, fault)
        return []

    def whole(self, message: Message, _: StreamFault) -> list[Message] | None:
        return self._side.whole(message)

    def warp(
        self, message: Message, fault: StreamFault, twisting: Callable[[Sides], Twist]
    ) -> list[Message] | None:
        """Tell another book from the next version on: what was made of the right one is made again."""
        feed = self._side.feed(message.topic)
        if feed is None or feed.book is None:
            return None
        after, version = Us(message.at + 1), feed.book.version(message.at)
        until = None if fault.seconds is None else feed.book.version(_until(message, fault))
        feed.book.warp(twisting(feed.book.levels(version, _BEST)), version + 1, until)
        feed.forget()
        others = [one for one in self._queue if one.topic != message.topic or one.at <= message.at]
        anew = feed.due(TimeRange(after, self._end)) if after < self._end else []
        place = {feed.topic: n for n, feed in enumerate(self._side.feeds.values())}
        self._queue = deque(sorted([*others, *anew], key=lambda one: (one.at, place[one.topic])))
        return [message]

    def _met(self, message: Message) -> list[Message]:
        injector = self.injector
        if injector is None:
            return [message]
        for strike in injector.strikes(self._venue, message, Stage.VENUE):
            given = _ACTIONS[strike.fault.kind](self, message, strike.fault)
            if given is not None:
                injector.spend(strike, message.topic)
                self._report(strike.fault, message)
                return given
        return [message]

    def _at_once(self, stage: Stage, topic: str, now: Us) -> StreamFault | None:
        message = Message(now, topic, "")
        struck = self.injector.strikes(self._venue, message, stage) if self.injector else []
        if not struck:
            return None
        self._report(struck[0].fault, message)
        return struck[0].fault


def _hush(message: Message, fault: StreamFault) -> Hush:
    return Hush(message.at, _until(message, fault), fault.beats)


def _until(message: Message, fault: StreamFault) -> Us:
    return _EVER if fault.seconds is None else Us(message.at + int(fault.seconds * SECOND))


def _crossed(trouble: VenueTrouble, message: Message, fault: StreamFault) -> list[Message] | None:
    return trouble.warp(message, fault, lambda _: crossed(1 if fault.number is None else fault.number))


def _drift(trouble: VenueTrouble, message: Message, fault: StreamFault) -> list[Message] | None:
    return trouble.warp(message, fault, drifted)


_ACTIONS: Final[
    Mapping[StreamFaultKind, Callable[[VenueTrouble, Message, StreamFault], list[Message] | None]]
] = {
    StreamFaultKind.SILENT_TOPIC: VenueTrouble.hush,
    StreamFaultKind.FROZEN: VenueTrouble.freeze,
    StreamFaultKind.SNAPSHOT: VenueTrouble.whole,
    StreamFaultKind.CROSSED: _crossed,
    StreamFaultKind.DRIFT: _drift,
}
