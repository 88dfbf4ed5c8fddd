"""Keep all that a stream is told, to run it again offline: see ``replay.py``.

It stands where the stream meets the world, at its connections and its requests, so what is kept is all that
decided what was recorded. Recording goes before: a capture that is full, or cannot be written, ends alone.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Final

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.errors import DccdError, LakeError, Throttled
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock
from dccd_core.net.http import Transport
from dccd_core.net.sockets import Connect, Way, dialled
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.stream import tape
from dccd_core.stream.api import Listener, RecordStream, StreamPlan

LIMIT: Final = 1 << 30
_FLUSH_S: Final = 0.5
_PROBE_S: Final = 0.02
_LATE_S: Final = 0.005
"""What is due comes this much late on a machine that has time."""


class Capture:
    """A capture under way; made by ``captured``."""

    def __init__(self, writer: tape.TapeWriter, clock: Clock, limit: int, listener: Listener) -> None:
        self._writer, self._clock, self._limit, self._listener = writer, clock, limit, listener
        self._connections, self._requests = count(1), count(1)
        self._over = self._ended = False
        self._loop: Final = asyncio.get_running_loop()
        self._beating = self._loop.call_later(_FLUSH_S, self._beat)
        self._probing = self._loop.call_later(_PROBE_S, self._probe)

    def transport(self, inner: Transport) -> Transport:
        return _Transport(self, inner)

    def connect(self, inner: Connect) -> Connect:
        """Return what opens the same connections, and keeps what comes and goes."""

        @asynccontextmanager
        async def opened(url: str) -> AsyncGenerator[Socket]:
            connection = next(self._connections)
            self.add(tape.Opening(*self.moment(), connection, url))
            async with AsyncExitStack() as stack:
                try:
                    socket = await stack.enter_async_context(inner(url))
                except DccdError as e:
                    self.add(tape.Refused(*self.moment(), connection, *_said(e)))
                    raise
                self.add(tape.Opened(*self.moment(), connection, socket.heard))
                try:
                    yield _Socket(self, socket, connection)
                finally:
                    self.add(tape.Left(*self.moment(), connection))

        return Way(opened, lambda url: dialled(inner, url))

    def planned(self, plan: StreamPlan) -> None:
        """Note that from now on another plan holds."""
        self.add(tape.Planned(*self.moment(), plain(plan)))

    def number(self) -> int:
        return next(self._requests)

    def moment(self) -> tuple[Us, Us]:
        return self._clock.steady(), self._clock.now()

    def add(self, entry: tape.Entry) -> None:
        if not self._over:
            self._guarded(lambda: self._writer.add(entry))

    async def watch(self, stop: asyncio.Event) -> None:
        """Note when the recording is told to end."""
        await stop.wait()
        self.add(tape.Stopping(*self.moment()))

    def end(self) -> None:
        """Say that the recording ended in good order."""
        self.add(tape.Ended(*self.moment()))
        self._ended = True

    def close(self) -> None:
        """Let go of the files, with all that came until now and, unless it ended, this moment."""
        if not self._ended:
            self.add(tape.Beat(*self.moment()))
        self._beating.cancel()
        self._probing.cancel()
        if not self._over:
            self._guarded(self._writer.flush)
        self._over = True
        self._writer.close()

    def _beat(self) -> None:
        self.add(tape.Beat(*self.moment()))
        if not self._over:
            self._guarded(self._writer.flush)
        if self._writer.bytes >= self._limit and not self._over:
            self._writer.add(tape.Ended(*self.moment(), full=True))
            self._guarded(self._writer.flush)
            self._stop(
                f"the capture in {self._writer.folder} has reached its limit of {self._limit} bytes and ends "
                "here; the recording goes on"
            )
        if not self._over:
            self._beating = self._loop.call_later(_FLUSH_S, self._beat)

    def _probe(self) -> None:
        """Note it when we are called late: so the replay does late what the recording did late."""
        late = self._loop.time() - self._probing.when()
        if late > _LATE_S:
            at, wall = self.moment()
            self.add(tape.Stalled(at, wall, Us(at - round(late * SECOND))))
        if not self._over:
            self._probing = self._loop.call_later(_PROBE_S, self._probe)

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except LakeError as e:
            self._stop(f"the capture ends, the recording goes on: {e}")

    def _stop(self, why: str) -> None:
        self._over = True
        self._listener.note(why, wrong=True)


def captured(record: RecordStream, folder: Path, limit: int = LIMIT) -> RecordStream:
    """Return what records the same, and keeps a capture of it.

    Args:
        record: records.
        folder: where the capture goes; it is made. What is in there already is a ConfigError.
        limit: how many bytes it may take; then it ends, and says so, and the recording goes on.
    """

    async def recorded(  # noqa: PLR0913 -- as ``record``
        plan: StreamPlan,
        venue: Venue,
        connect: Connect,
        lake: LakeStore,
        stop: asyncio.Event,
        listener: Listener,
        *,
        plans: asyncio.Queue[StreamPlan],
    ) -> None:
        about = tape.About(version("dccd"), venue.exchange.name, plain(plan), venue.clock.now())
        capture = Capture(tape.TapeWriter(folder, about), venue.clock, limit, listener)
        tapped = replace(venue, transport=capture.transport(venue.transport))
        changes = asyncio.Queue[StreamPlan]()
        watching = [
            asyncio.create_task(capture.watch(stop)),
            asyncio.create_task(_passed_on(plans, changes, capture)),
        ]
        try:
            capture.planned(plan)
            await record(plan, tapped, capture.connect(connect), lake, stop, listener, plans=changes)
            capture.end()
        finally:
            for one in watching:
                one.cancel()
            capture.close()
            await asyncio.gather(*watching, return_exceptions=True)

    return recorded


async def _passed_on(
    plans: asyncio.Queue[StreamPlan], changes: asyncio.Queue[StreamPlan], capture: Capture
) -> None:
    while True:
        plan = await plans.get()
        capture.planned(plan)
        changes.put_nowait(plan)


def plain(plan: StreamPlan) -> tape.Plan:
    names, paused = map(str, plan.datasets), map(str, plan.paused)
    return tape.Plan(plan.name, tuple(names), plan.depth, plan.snapshot_every, tuple(sorted(paused)))


class _Socket:
    def __init__(self, capture: Capture, inner: Socket, connection: int) -> None:
        self._capture, self._inner, self._connection = capture, inner, connection
        self._heard = inner.heard

    @property
    def heard(self) -> Us:
        heard = self._inner.heard
        if heard != self._heard:
            self._heard = heard
            self._capture.add(tape.Alive(*self._capture.moment(), self._connection, heard))
        return heard

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        try:
            frames, moments = await self._inner.receive()
        except Disconnected as e:
            self._capture.add(tape.Over(*self._capture.moment(), self._connection, str(e.args[0])))
            raise
        self._capture.add(tape.Frames(*self._capture.moment(), self._connection, frames, moments))
        return frames, moments

    async def send(self, message: bytes) -> None:
        self._capture.add(tape.Sent(*self._capture.moment(), self._connection, message))
        await self._inner.send(message)


class _Transport:
    def __init__(self, capture: Capture, inner: Transport) -> None:
        self._capture, self._inner = capture, inner

    async def send(self, request: Request) -> Response:
        capture = self._capture
        number = capture.number()
        capture.add(tape.Asked(*capture.moment(), number, request.path, dict(request.params)))
        try:
            response = await self._inner.send(request)
        except DccdError as e:
            capture.add(tape.Failed(*capture.moment(), number, *_said(e)))
            raise
        headers, body = dict(response.headers), response.body
        capture.add(
            tape.Answered(*capture.moment(), number, response.status, headers, body, response.received)
        )
        return response


def _said(error: DccdError) -> tuple[str, str, str, float | None]:
    wait_s = error.wait_s if isinstance(error, Throttled) else None
    return type(error).__name__, str(error.args[0]), error.hint, wait_s
