"""The sandbox in this process: its WebSockets and its REST side without sockets, on a clock that is given.

What a client of it sees is what ``net`` makes of a server: the same errors, the same batches.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from starlette.types import ASGIApp, Scope

from dccd_core.adapter.contract import Exchange, Request, Response
from dccd_core.domain.errors import Banned, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import Us
from dccd_core.net.clock import Clock
from dccd_core.net.sockets import Connect
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.testing.sandbox.frames import EXTENSION
from dccd_core.testing.sandbox.server import Sandbox, app_of

_GATHER_S: Final = 0.01
_PING_EVERY_S: Final = 15.0
_AGAIN: Final = "connect again"

_Event = MutableMapping[str, Any]


class Inside:
    """Ways into a sandbox of this process.

    Args:
        sandbox: what answers.
        clock: the client's wall clock.
        delay_s: how long what is sent is on its way, each time it is asked.
    """

    def __init__(self, sandbox: Sandbox, clock: Clock, delay_s: Callable[[], float] = lambda: 0.02) -> None:
        self._app: Final = app_of(sandbox)
        self._clock: Final = clock
        self._delay_s: Final = delay_s

    def transport(self, exchange: Exchange) -> "InsideTransport":
        return InsideTransport(self._app, exchange, self._clock, self._delay_s)

    def connect(self, exchange: str) -> Connect:
        """Return what opens WebSockets of one venue, given the venue's own addresses."""

        @asynccontextmanager
        async def opened(url: str) -> AsyncGenerator[Socket]:
            socket = _Socket(self._clock, self._delay_s())
            parts = urlsplit(url)
            serving = asyncio.create_task(socket.served(self._app, f"/{exchange}{parts.path}", parts.query))
            pinging = asyncio.create_task(socket.keep_asking())
            try:
                await self._clock.sleep(self._delay_s())
                await socket.opened(parts.netloc)
                yield socket
            finally:
                pinging.cancel()
                socket.leave()
                await asyncio.gather(serving, pinging, return_exceptions=True)

        return opened


class InsideTransport:
    """Sends requests to the application of a sandbox; nothing is paid for."""

    def __init__(self, app: ASGIApp, exchange: Exchange, clock: Clock, delay_s: Callable[[], float]) -> None:
        self._app, self._exchange, self._clock, self._delay_s = app, exchange, clock, delay_s

    async def send(self, request: Request) -> Response:
        await self._clock.sleep(self._delay_s())
        path = f"/{self._exchange.name}{request.path}"
        status, headers, body = await self._asked(path, urlencode(request.params))
        await self._clock.sleep(self._delay_s())
        response = Response(status, headers, body, self._clock.now())
        if error := self._exchange.verdict(response):
            raise error
        return response

    async def _asked(self, path: str, query: str) -> tuple[int, Mapping[str, str], bytes]:
        events: list[_Event] = []

        async def receive() -> _Event:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(event: _Event) -> None:
            events.append(event)

        scope = {**_scope("http", path, query), "method": "GET"}
        await self._app(scope, receive, send)
        if not events or events[-1].get("more_body"):
            raise Unavailable(f"the answer of {self._exchange.name} broke off", hint="run it again later")
        start, body = events[0], b"".join(event["body"] for event in events[1:])
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, body


class _Socket:
    """The client's end of a connection, and between both ends a line that takes ``delay_s`` each way."""

    ponged = False

    def __init__(self, clock: Clock, delay_s: float) -> None:
        self.heard = clock.now()
        self._clock, self._delay_s = clock, delay_s
        self._loop = asyncio.get_running_loop()
        self._said = asyncio.Queue[_Event]()
        self._coming = deque[tuple[float, str | None]]()
        """When it is here, and what: None for the end."""
        self._messages, self._moments = list[bytes](), list[Us]()
        self._answer: asyncio.Future[_Event] = self._loop.create_future()
        self._body = asyncio.Event()
        self._ready = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._why = "the connection broke off without a goodbye"
        self._over = self._closed = self._silent = False

    async def served(self, app: ASGIApp, path: str, query: str) -> None:
        """Let the application serve this connection to its end."""
        self._said.put_nowait({"type": "websocket.connect"})
        scope = _scope("websocket", path, query)
        scope["extensions"] = {EXTENSION: {"frames": self}, "websocket.http.response": {}}
        await app(scope, self._said.get, self._taken)

    async def opened(self, host: str) -> None:
        """Wait for the answer to the handshake; raise what it means if it is a refusal."""
        answer = await self._answer
        if answer["type"] == "websocket.accept":
            return
        status = int(answer.get("status", 403))
        said = f"{host} does not let us in: HTTP {status}"
        if status >= 500:
            raise Unavailable(said, hint=_AGAIN)
        if status == 429:
            raise Throttled(said, wait_s=None, hint="wait")
        raise (Banned(said, wait_s=None, hint="wait") if status in (403, 418) else Rejected(said))

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        await self._ready.wait()
        if not self._messages:
            raise Disconnected(self._why, hint=_AGAIN)
        batch = self._messages, self._moments
        self._messages, self._moments = [], []
        if not self._over:
            self._ready.clear()
        return batch

    async def send(self, message: bytes) -> None:
        if self._over:
            raise Disconnected(self._why, hint=_AGAIN)
        event = {"type": "websocket.receive", "text": message.decode()}
        self._loop.call_later(self._delay_s, self._said.put_nowait, event)

    async def keep_asking(self) -> None:
        """Send a ping when nothing came for a while, as the real one does; who is silent answers none."""
        while True:
            before = self.heard
            await self._clock.sleep(_PING_EVERY_S)
            if self.heard == before and not self._silent and not self._closed:
                self.heard = self._clock.now()

    def leave(self) -> None:
        """End it on our side."""
        self._end()
        self._said.put_nowait({"type": "websocket.disconnect", "code": 1000})

    def ping(self, _: bytes) -> None:
        self.ponged = True
        self._loop.call_later(self._delay_s, self._alive)

    def abort(self) -> None:
        self._close("the connection broke off without a goodbye", 1006)

    def fall_silent(self) -> None:
        self._silent = True

    async def _taken(self, event: _Event) -> None:
        match event["type"]:
            case "websocket.send":
                self._come(event["text"])
            case "websocket.close":
                self._close(f"closed by the venue: {event['code']} {event['reason']!r}", event["code"])
            case _ if not self._answer.done():
                self._answer.set_result(event)
            case _:
                pass

    def _close(self, why: str, code: int) -> None:
        if not self._closed:
            self._closed, self._why = True, why
            self._come(None)
            self._said.put_nowait({"type": "websocket.disconnect", "code": code})

    def _come(self, text: str | None) -> None:
        if not self._coming:
            self._loop.call_later(self._delay_s, self._arrive)
        self._coming.append((self._loop.time() + self._delay_s, text))

    def _arrive(self) -> None:
        now = self._loop.time() + 1e-9
        self._alive()
        while self._coming and self._coming[0][0] <= now:
            text = self._coming.popleft()[1]
            if text is None:
                self._end()
            elif not self._over:
                self._messages.append(text.encode())
                self._moments.append(self.heard)
        if self._coming:
            self._loop.call_at(self._coming[0][0], self._arrive)
        if self._messages and self._gathering is None and not self._over:
            self._gathering = self._loop.call_later(_GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._ready.set()

    def _alive(self) -> None:
        self.heard = self._clock.now()

    def _end(self) -> None:
        self._over = True
        self._ready.set()


def _scope(of: str, path: str, query: str) -> Scope:
    return {
        "type": of,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"sandbox")],
        "client": ("sandbox", 0),
        "server": ("sandbox", 80),
        "scheme": "ws" if of == "websocket" else of,
        "subprotocols": [],
    }
