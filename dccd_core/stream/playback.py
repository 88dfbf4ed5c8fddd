"""What a capture holds, given back at its times: connections, answers, and our clock as it was."""

import asyncio
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain import errors
from dccd_core.domain.errors import DccdError, Throttled, Unavailable
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.net.sockets import Connect
from dccd_core.net.virtual import VirtualClock
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.stream import tape
from dccd_core.stream.api import StreamPlan

_STEP: Final = MILLISECOND
"""Our two clocks may drift apart by this before it counts as a step."""
_FIRST: Final = 5
"""So many differences are told in full."""


@dataclass(slots=True)
class _Connection:
    """A connection as it was."""

    opening: tape.Opening
    opened: tape.Opened | None = None
    refused: tape.Refused | None = None
    batches: list[tape.Frames] = field(default_factory=list[tape.Frames])
    alive: list[tape.Alive] = field(default_factory=list[tape.Alive])
    sent: list[bytes] = field(default_factory=list[bytes])
    over: tape.Over | None = None

    def take(self, entry: tape.OfLink) -> None:
        match entry:
            case tape.Opened():
                self.opened = entry
            case tape.Refused():
                self.refused = entry
            case tape.Frames():
                self.batches.append(entry)
            case tape.Alive():
                self.alive.append(entry)
            case tape.Sent():
                self.sent.append(entry.message)
            case tape.Over():
                self.over = entry
            case tape.Left():
                pass


@dataclass(slots=True)
class _Answer:
    """A request as it was, and what came of it, if anything did."""

    asked: tape.Asked
    answer: tape.Answered | tape.Failed | None = None


@dataclass(slots=True)
class Differences:
    """What the replay did otherwise than the recording. ``first`` tells the first few in words."""

    counts: Counter[str] = field(default_factory=Counter[str])
    first: list[str] = field(default_factory=list[str])

    def add(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if len(self.first) < _FIRST:
            self.first.append(f"{kind}: {text}")


class Playback:
    """One capture, to be replayed once.

    Args:
        entries: all of it, in order.
        clock: a virtual one; it is stepped as ours was. Its steady time 0 is that of the first entry.
    """

    def __init__(self, entries: Iterable[tape.Entry], clock: VirtualClock) -> None:
        self.differences = Differences()
        self.ended: tape.Ended | None = None
        self.plans = list[tape.Planned]()
        self._clock = clock
        self._connections = dict[int, _Connection]()
        self._by_url: defaultdict[str, deque[_Connection]] = defaultdict(deque)
        self._requests = dict[int, _Answer]()
        self._steps = list[tuple[Us, int]]()
        self._stalls = list[tuple[Us, Us]]()
        self._zero: int | None = None
        self._last = Us(0)
        self._stopping: Us | None = None
        self._begun = clock.steady()
        ahead, moments = 0, list[Us]()
        for entry in entries:
            if self._zero is None:
                self._zero, ahead = entry.at, entry.wall - entry.at
            if abs(entry.wall - entry.at - ahead) > _STEP:
                self._steps.append((entry.at, entry.wall - entry.at - ahead))
                ahead = entry.wall - entry.at
            self._last = entry.at
            if isinstance(entry, tape.Stalled):
                seen = bisect_right(moments, entry.since)  # it ran again when the next thing was noted
                self._stalls.append((entry.since, moments[seen] if seen < len(moments) else entry.at))
            moments.append(entry.at)
            self._take(entry)

    @property
    def end_s(self) -> float:
        """How long it lasted, until it was told to end or was no more."""
        return self._since(self._last if self._stopping is None else self._stopping) / SECOND

    def changes(self, of: Callable[[tape.Plan], StreamPlan]) -> "asyncio.Queue[StreamPlan]":
        """Return where the plans come, when they did, that took the place of the first."""
        loop, changes = asyncio.get_running_loop(), asyncio.Queue[StreamPlan]()
        for planned in self.plans[1:]:
            loop.call_at(self._moment_s(planned.at), changes.put_nowait, of(planned.plan))
        return changes

    def step_the_clock(self) -> None:
        """Let our wall clock be stepped when it was."""
        loop = asyncio.get_running_loop()
        for at, by in self._steps:
            loop.call_at(self._moment_s(at), self._clock.step, by)

    def stall(self) -> None:
        """Let nothing run when our process did not: what it was late for is late again."""
        for since, until in self._stalls:
            self._clock.stall(Us(self._begun + self._since(since)), Us(self._begun + self._since(until)))

    def unasked(self) -> int:
        """Return how many of the requests were not made again."""
        return len(self._requests)

    def connect(self) -> Connect:
        @asynccontextmanager
        async def opened(url: str) -> AsyncGenerator[Socket]:
            waiting = self._by_url.get(url)
            if not waiting:
                self.differences.add("connections", f"one more to {url}, which the capture has not")
                raise Unavailable(f"the capture has no more connections to {url}")
            connection = waiting.popleft()
            if connection.refused is not None:
                await self.reach(connection.refused.at)
                raise error_of(connection.refused)
            if connection.opened is None:
                await asyncio.Event().wait()  # as it was: the recording ended meanwhile
            assert connection.opened is not None
            await self.reach(connection.opened.at)
            socket = _Socket(self, self._clock, connection)
            try:
                yield socket
            finally:
                socket.compare()

        return opened

    async def send(self, request: Request) -> Response:
        """Answer as the venue did; a request that was never made is not answered."""
        found = self._found(request)
        if found is None or found.answer is None:
            if found is None:
                self.differences.add("requests", f"{request.path} {dict(request.params)} was never made")
                raise Unavailable(f"the capture has no answer to {request.path}")
            await asyncio.Event().wait()  # as it was: the recording ended meanwhile
        assert found is not None
        assert found.answer is not None
        answer = found.answer
        took = (answer.at - found.asked.at) / SECOND
        # a busy machine asks later than it means to, and was told no earlier than this
        await self._clock.sleep(max(took, (self._since(answer.at) - self.passed()) / SECOND))
        if isinstance(answer, tape.Failed):
            raise error_of(answer)
        return Response(answer.status, answer.headers, answer.body, answer.received)

    async def reach(self, at: Us) -> None:
        """Wait until it is as late as it was then."""
        await self._clock.sleep(max(0, self._since(at) - self.passed()) / SECOND)

    def passed(self) -> int:
        return self._clock.steady() - self._begun

    def is_past(self, at: Us) -> bool:
        return self._since(at) <= self.passed()

    def _moment_s(self, at: Us) -> float:
        """Return when that is by the loop's time."""
        return (self._begun + self._since(at)) / SECOND

    def _since(self, at: Us) -> int:
        return at - (self._zero or 0)

    def _found(self, request: Request) -> _Answer | None:
        """Find the first same request that was not given back yet, else the one that is most like it."""
        alike = [(n, one) for n, one in self._requests.items() if one.asked.path == request.path]
        if not alike:
            return None
        params = dict(request.params)

        def unlike(place: tuple[int, _Answer]) -> int:
            asked = place[1].asked.params
            return sum(asked.get(name) != params.get(name) for name in {*asked, *params})

        number, best = min(alike, key=lambda place: (unlike(place), place[0]))
        if unlike((number, best)):
            self.differences.add("requests", f"{request.path} {params}, then {best.asked.params}")
        del self._requests[number]
        return best

    def _take(self, entry: tape.Entry) -> None:
        match entry:
            case tape.Opening():
                self._connections[entry.connection] = _Connection(entry)
                self._by_url[entry.url].append(self._connections[entry.connection])
            case tape.Asked():
                self._requests[entry.number] = _Answer(entry)
            case tape.Answered() | tape.Failed():
                self._requests[entry.number].answer = entry
            case tape.Planned():
                self.plans.append(entry)
            case tape.Stopping():
                self._stopping = entry.at
            case tape.Ended():
                self.ended = entry
            case tape.Beat() | tape.Stalled():
                pass
            case _:
                self._connections[entry.connection].take(entry)


class _Socket:
    """A connection that says again what it said."""

    def __init__(self, playback: Playback, clock: VirtualClock, connection: _Connection) -> None:
        assert connection.opened is not None
        self._playback, self._clock, self._connection = playback, clock, connection
        self._batches, self._alive = deque(connection.batches), deque(connection.alive)
        self._sent = list[bytes]()
        self._heard = connection.opened.heard

    @property
    def heard(self) -> Us:
        while self._alive and self._playback.is_past(self._alive[0].at):
            self._heard = self._alive.popleft().heard
        return self._heard

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        if self._batches:
            await self._playback.reach(self._batches[0].at)
            batch = self._batches.popleft()
            return batch.frames, batch.moments
        if self._connection.over is None:
            await asyncio.Event().wait()  # it was we who ended it
        assert self._connection.over is not None
        await self._playback.reach(self._connection.over.at)
        raise Disconnected(self._connection.over.why, hint="connect again")

    async def send(self, message: bytes) -> None:
        if (
            self._connection.over is not None
            and not self._batches
            and self._playback.is_past(self._connection.over.at)
        ):
            raise Disconnected(self._connection.over.why, hint="connect again")
        self._sent.append(message)

    def compare(self) -> None:
        """Hold what was sent against what was sent then."""
        url = self._connection.opening.url
        for n, (was, now) in enumerate(zip(self._connection.sent, self._sent, strict=False)):
            if was != now:
                self._playback.differences.add("sent", f"{url}, message {n + 1}: {now!r}, then {was!r}")
        if len(self._sent) != len(self._connection.sent):
            text = f"{url}: {len(self._sent)} messages, then {len(self._connection.sent)}"
            self._playback.differences.add("sent", text)


def error_of(said: tape.Refused | tape.Failed) -> DccdError:
    """Return the error that was raised then."""
    kind = getattr(errors, said.error, Unavailable)
    kind = kind if isinstance(kind, type) and issubclass(kind, DccdError) else Unavailable
    if issubclass(kind, Throttled):
        return kind(said.message, hint=said.hint, wait_s=said.wait_s)
    return kind(said.message, hint=said.hint)
