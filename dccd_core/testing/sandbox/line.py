"""What lies between a venue's side of a connection and the client: most often nothing, else faults."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dccd_core.domain.timespan import ZERO, TimeRange, Us
from dccd_core.testing.sandbox.live import ABORTED, Act, Close, Live, Message, Side, at_time
from dccd_core.testing.sandbox.live_faults import Report, VenueTrouble
from dccd_core.testing.sandbox.spoiled_texts import (
    SPOILS,
    first_number,
    length,
    other_amount,
    shifted_numbers,
)
from dccd_core.testing.sandbox.stream_faults import (
    Shift,
    Stage,
    StreamFault,
    StreamFaultKind,
    StreamInjector,
    StreamStrike,
)

_RESTART: Final = 1_000
_UNHEARD: Final = '{"unheard":{"of":[1,"x"]}}'


class Line:
    """One connection's way from the venue's side to the client.

    ``report`` is told of every fault that struck, and of the message as it would have been sent. What is
    wrong with the side itself is its ``trouble``.
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
        self._held_until: Us | None = None
        self._lag = ZERO
        self._lagging = deque[Act]()
        self._late: list[Act] = []
        self._shift = 0
        self._end = ZERO
        self._trouble: Final = VenueTrouble(venue, side, report)
        side.trouble = self._trouble

    def watch(self, injector: StreamInjector) -> None:
        """Let the venue's own faults be those of an injector before anything is to be sent."""
        self._trouble.injector = injector

    def sent(self, acts: Sequence[Act], injector: StreamInjector, end: Us) -> list[Act]:
        """Return what is really sent of ``acts``, which were due before ``end``; nothing follows a close."""
        self.watch(injector)
        self._queue, self._end = deque(acts), end
        out = self._released(end)
        while self._queue and not self.silent:
            act = self._queue.popleft()
            given = self._met(act, injector) if isinstance(act, Message) else [act]
            for one in given:
                (out if self._held_until is None else self._held).extend(self._in_turn(one))
        out += self._released(end)
        out = self._in_time(self._with_late(out, end), end)
        last = next((n for n, act in enumerate(out) if isinstance(act, Close)), len(out))
        return out[: last + 1]

    def hold(self, until: Us) -> None:
        self._held_until = until

    def delay(self, message: Message, late: Us) -> None:
        """Send a message later, and all others in time."""
        self._late.append(message._replace(at=Us(message.at + late)))

    def lag(self, late: Us) -> None:
        """Send all that follows later."""
        self._lag = late

    def renumber(self, message: Message, strike: StreamStrike, injector: StreamInjector) -> bool:
        """Let numbers go on differently from this message on; False where it has none."""
        number = first_number(self.live.numbers, message.text)
        if number is None:
            return False
        fault, restart = strike.fault, strike.fault.kind is StreamFaultKind.NUMBER_RESTART
        wanted = _RESTART if fault.number is None else fault.number
        if self.live.counted:
            self._shift = wanted - number if restart else wanted
        else:
            by = wanted - number - injector.shifted(self._venue, message.topic, message.at)
            shift = Shift(message.at, by if restart else wanted, by_rest=restart)
            injector.shift(self._venue, message.topic, shift)
        return True

    def swap(self, message: Message) -> bool:
        """Keep a message until another one was sent; False while one is kept already."""
        if self._swapped is not None:
            return False
        self._swapped = message
        return True

    def restart(self, message: Message) -> list[Act] | None:
        """Number the message's topic anew from here on, also in what is still to be looked at."""
        fresh = self.side.restarted(message.topic, TimeRange(message.at, max(self._end, Us(message.at + 1))))
        if fresh is None:
            return None
        fresh = [act for act in fresh if not self._trouble.hushes(act.topic, act.at)]
        others = [act for act in self._queue if not isinstance(act, Message) or act.topic != message.topic]
        later = [act for act in fresh if act.at > message.at]
        self._queue = deque(sorted([*others, *later], key=at_time))
        return [act for act in fresh if act.at == message.at]

    def _met(self, message: Message, injector: StreamInjector) -> list[Act]:
        """Apply what strikes: all that changes the text, but of what does more only the first."""
        if injector.idle and not self._shift:
            return [message]
        strikes = self._strikes(message, injector)
        struck = self._renumbered(message, strikes, injector)
        for strike in strikes:
            spoil = SPOILS.get(strike.fault.kind)
            spoiled = spoil(struck, strike, self.live) if spoil else None
            if spoiled is not None:
                struck = struck._replace(text=spoiled)
                self._report(strike.fault, message)
        for strike in strikes:
            act = _ACTIONS.get(strike.fault.kind)
            given = act(self, struck, strike.fault) if act else None
            if given is not None:
                self._report(strike.fault, message)
                return given
        return [struck]

    def _strikes(self, message: Message, injector: StreamInjector) -> list[StreamStrike]:
        strikes = injector.strikes(self._venue, message)
        if not message.topic and self.live.ack and self.live.ack.search(message.text):
            strikes += injector.strikes(self._venue, message, Stage.ACK)
        return strikes

    def _renumbered(
        self, message: Message, strikes: Sequence[StreamStrike], injector: StreamInjector
    ) -> Message:
        """Return the message with the numbers that its topic, or the connection, has by now."""
        for strike in strikes:
            if strike.fault.kind in _NUMBERS and self.renumber(message, strike, injector):
                injector.spend(strike, message.topic)
                self._report(strike.fault, message)
        by = self._shift or injector.shifted(self._venue, message.topic, message.at)
        if not by or self.live.numbers is None:
            return message
        return message._replace(text=shifted_numbers(self.live.numbers, message.text, by))

    def _in_turn(self, act: Act) -> list[Act]:
        if self._swapped is None or not isinstance(act, Message | Close):
            return [act]
        swapped, self._swapped = self._swapped, None
        return [swapped, act] if isinstance(act, Close) else [act, swapped]

    def _released(self, end: Us) -> list[Act]:
        if self._held_until is None or self._held_until > end or self.silent:
            return []
        held, self._held, self._held_until = self._held, [], None
        return held

    def _with_late(self, acts: list[Act], end: Us) -> list[Act]:
        """Put what was to be sent later where it belongs by now."""
        due = [act for act in self._late if act.at < end]
        if not due or self.silent:
            return acts
        self._late = [act for act in self._late if act.at >= end]
        return sorted([*acts, *due], key=at_time)

    def _in_time(self, acts: list[Act], end: Us) -> list[Act]:
        """Keep what is sent as late as everything is."""
        if not self._lag:
            return acts
        self._lagging += acts
        out = list[Act]()
        while self._lagging and self._lagging[0].at + self._lag < end and not self.silent:
            out.append(self._lagging.popleft())
        return out


def _silence(line: Line, _message: Message, _fault: StreamFault) -> list[Act]:
    line.silent = True
    return []


def _stall(line: Line, message: Message, fault: StreamFault) -> list[Act]:
    line.hold(Us(message.at + length(fault, 1)))
    return [message]


def _lag(line: Line, message: Message, fault: StreamFault) -> list[Act]:
    line.lag(length(fault, 1))
    return [message]


def _late(line: Line, message: Message, fault: StreamFault) -> list[Act]:
    line.delay(message, length(fault, 1))
    return []


def _contradicted(_line: Line, message: Message, _fault: StreamFault) -> list[Act] | None:
    other = other_amount(message.text)
    return None if other is None else [message, message._replace(text=other)]


def _strange(_line: Line, message: Message, _fault: StreamFault) -> list[Act]:
    return [Message(message.at, "", _UNHEARD), message]


def _notice(line: Line, message: Message, _fault: StreamFault) -> list[Act] | None:
    said = line.side.notice(message.at)
    return [*said, message] if said else None


_NUMBERS: Final = (StreamFaultKind.NUMBER_RESTART, StreamFaultKind.FOREIGN_NUMBERS)
_ACTIONS: Final[Mapping[StreamFaultKind, Callable[[Line, Message, StreamFault], list[Act] | None]]] = {
    StreamFaultKind.DROP: lambda _line, _message, _fault: [],
    StreamFaultKind.DUPLICATE: lambda _line, message, _fault: [message, message],
    StreamFaultKind.CONTRADICTION: _contradicted,
    StreamFaultKind.STRANGE: _strange,
    StreamFaultKind.LATE: _late,
    StreamFaultKind.REORDER: lambda line, message, _: [] if line.swap(message) else None,
    StreamFaultKind.RESET: lambda line, message, _: line.restart(message),
    StreamFaultKind.NOTICE: _notice,
    StreamFaultKind.DISCONNECT: lambda _, message, fault: [Close(message.at, fault.code)],
    StreamFaultKind.ABORT: lambda _line, message, _fault: [Close(message.at, ABORTED)],
    StreamFaultKind.SILENCE: _silence,
    StreamFaultKind.STALL: _stall,
    StreamFaultKind.LAG: _lag,
    StreamFaultKind.LATE_ACK: _late,
}
