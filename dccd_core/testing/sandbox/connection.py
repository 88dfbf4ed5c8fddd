"""A sandbox's WebSocket connections: each sends what is due by the sandbox's clock every 20 ms of real time.

A late moment sends all that became due since the last one; only a jump of the clock of more than an hour,
forwards or backwards, is not made up for: the connection goes on from the new time. While a fault keeps a
connection silent it answers no pings either. Pings and their payload need control frames: see ``frames.py``;
who does not answer them is dropped only where limits hold: a clock that runs faster leaves no time for it.
"""

import asyncio
import traceback
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, TimeRange, Us
from dccd_core.testing.sandbox.clock import SandboxClock
from dccd_core.testing.sandbox.frames import EXTENSION, Frames
from dccd_core.testing.sandbox.limits import Meter, meter
from dccd_core.testing.sandbox.line import Line
from dccd_core.testing.sandbox.live import ABORTED, Act, Close, Live, Message, Opening, Ping
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.stats import StreamTally
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamInjector
from dccd_core.testing.sandbox.venue import Answer

TICK_S: Final = 0.02
_SLOW_S: Final = 10.0
"""Where limits hold, a client that takes no message for so long is dropped: it would read no word of it."""
_JUMP: Final = HOUR
_AT_ONCE: Final = MINUTE
"""How much of the sandbox's time is made into messages before they are sent."""


class Connections:
    """All WebSocket connections of a sandbox, and what they share; each pushes every ``tick_s``."""

    def __init__(
        self, options: Options, market: Market, clock: SandboxClock | None = None, tick_s: float = TICK_S
    ) -> None:
        self.options: Final = options
        self.market: Final = market
        self.injector: Final = StreamInjector((), options.seed)
        self.tick_s: Final = tick_s
        self.open: Final = set[Connection]()
        self.reset(clock or SandboxClock())

    def reset(self, clock: SandboxClock) -> None:
        """Go back to the start, with this clock; what is open is closed."""
        self.clock = clock
        self.tally = StreamTally()
        self._meters = dict[str, Meter]()
        self.set_faults(self.options.stream_faults)
        self.disconnect(1012)

    def set_faults(self, faults: Sequence[StreamFault]) -> None:
        self.injector.set(faults)

    def disconnect(self, code: int) -> None:
        for connection in self.open:
            connection.end_with(code)

    def refusal(self, venue: str, live: Live) -> Answer | None:
        """Return what a connection is answered that may not be opened."""
        now = self.clock.now()
        if fault := self.injector.refusal(venue, now):
            self.tally.struck(venue, fault.kind, Message(now, "", ""))
            return Answer(b"", fault.status)
        if live.connects is None:
            return None
        key = f"{venue}/{live.connects.pool}"
        if key not in self._meters:
            self._meters[key] = meter(live.connects, enforced=self.options.rate_limits)
        return None if self._meters[key].charge(1, now).status == 200 else live.refused


class Endpoint:
    """One address of one venue as an ASGI application."""

    def __init__(self, connections: Connections, venue: str, live: Live, path: str) -> None:
        self._connections, self._venue, self._live, self._path = connections, venue, live, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shared = self._connections
        await receive()  # that somebody wants to connect
        if answer := shared.refusal(self._venue, self._live):
            shared.tally.venue(self._venue).refused += 1
            headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
            start = {"type": "websocket.http.response.start", "status": answer.status, "headers": headers}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": answer.body})
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        params, options = {**scope["path_params"], **query}, shared.options
        lifetime = None if options.stream_lifetime_s is None else Us(int(options.stream_lifetime_s * SECOND))
        opening = Opening(
            shared.market, self._path, params, shared.clock.now(), options.rate_limits, lifetime
        )
        await send({"type": "websocket.accept"})
        frames = scope["extensions"][EXTENSION]["frames"]
        await Connection(shared, self._venue, self._live, opening, (send, frames)).run(receive)


class Connection:
    """One connection that is open."""

    def __init__(
        self, shared: Connections, venue: str, live: Live, opening: Opening, wire: tuple[Send, Frames]
    ) -> None:
        self._shared, self._venue = shared, venue
        self._send, self._frames = wire
        self._side: Final = live.open(opening)
        self._line: Final = Line(venue, live, self._side, self._struck)
        self._line.watch(shared.injector)
        self._last = opening.now
        self._turn: Final = asyncio.Lock()
        self._end_code: int | None = None
        self._unanswered: Us | None = None
        self._over = False

    def end_with(self, code: int) -> None:
        self._end_code = code

    async def run(self, receive: Receive) -> None:
        """Talk until either side ends it."""
        stats = self._shared.tally.venue(self._venue)
        stats.opened += 1
        self._shared.open.add(self)
        await self._give(self._side.opened(self._last), self._last)
        pushing = asyncio.create_task(self._push())
        try:
            while (event := await receive())["type"] == "websocket.receive":
                text = event.get("text")
                await self._step(event["bytes"].decode(errors="replace") if text is None else text)
        finally:
            self._over = True
            pushing.cancel()
            self._shared.open.discard(self)
        code = str(event["code"])
        stats.closed[code] = stats.closed.get(code, 0) + 1

    async def _push(self) -> None:
        while not self._over:
            await self._step()
            await asyncio.sleep(self._shared.tick_s)

    async def _step(self, heard: str | None = None) -> None:
        """Send what is due by now, then the answer to what was heard: in turn, or messages would mix."""
        async with self._turn:
            try:
                await self._advance(heard)
            except OSError:
                self._over = True  # the client went away
            except Exception as e:  # noqa: BLE001 -- a mistake in a simulation must be seen, not waited for
                traceback.print_exc()
                await self._act(Close(self._last, 1011, repr(e)[:100]))

    async def _advance(self, heard: str | None) -> None:
        now, side = self._shared.clock.now(), self._side
        if self._is_deaf():
            await self._act(Close(self._last, 1008, "Pong timeout"))
        if not 0 <= now - self._last <= _JUMP:
            self._last = now
        for span in TimeRange(self._last, now).split(_AT_ONCE):
            self._last = span.end
            await self._give(side.due(span), span.end)
        if heard is not None:
            self._shared.tally.venue(self._venue).heard += 1
            await self._give(side.heard(heard, now), now)
        if self._end_code is not None:
            await self._act(Close(now, self._end_code))

    def _is_deaf(self) -> bool:
        """Whether a ping was not answered in time; a jump of the clock leaves one moment more."""
        if self._frames.ponged:
            self._frames.ponged, self._unanswered = False, None
        if self._unanswered is None or not self._shared.options.rate_limits:
            return False
        return self._last >= self._unanswered + self._side.habits.pong_within

    async def _give(self, acts: Sequence[Act], end: Us) -> None:
        for act in self._line.sent(acts, self._shared.injector, end):
            await self._act(act)
        if self._line.silent:
            self._frames.fall_silent()

    async def _act(self, act: Act) -> None:
        if self._over:
            return
        if isinstance(act, Message):
            self._shared.tally.sent(self._venue, act.topic)
            await self._push_text(act.text)
        elif isinstance(act, Ping):
            self._unanswered = self._unanswered or self._shared.clock.now()
            self._frames.ping(act.payload)
        else:
            self._over = True
            if act.code == ABORTED:
                self._frames.abort()
            else:
                await self._send({"type": "websocket.close", "code": act.code, "reason": act.reason})

    async def _push_text(self, text: str) -> None:
        patience = _SLOW_S if self._shared.options.rate_limits else None
        try:
            async with asyncio.timeout(patience):
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            self._over = True
            self._frames.abort()

    def _struck(self, fault: StreamFault, message: Message) -> None:
        self._shared.tally.struck(self._venue, fault.kind, message)
