"""The server: counts, limits, spoils and answers what the venues are asked, and can be controlled.

``/{venue}/...`` speaks the venue's REST interface, and its WebSocket one. ``/_control/`` takes JSON:
``POST faults`` and ``POST stream_faults`` a list of faults that replaces those in force, ``POST disconnect``
``{"code": 1001}`` closes all WebSocket connections, ``POST clock``
``{"now": us | null, "frozen": true, "rate": 1}``, ``POST reset`` nothing (everything back to the start, no
connection open), ``GET stats`` gives the counts.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from email.utils import formatdate
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges import NAMES
from dccd_core.testing.sandbox.clock import SandboxClock, machine_time
from dccd_core.testing.sandbox.connection import TICK_S, Connections, Endpoint
from dccd_core.testing.sandbox.faults import (
    Fault,
    Injector,
    Strike,
    ahead,
    delay_s,
    hidden,
    lag,
    renumbering,
    replacement,
    spoiled,
)
from dccd_core.testing.sandbox.limits import Meter, Rule
from dccd_core.testing.sandbox.live import Live
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.stats import Tally
from dccd_core.testing.sandbox.stream_faults import StreamFault
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

T = TypeVar("T")


def _venues() -> Iterator[Venue]:
    """Yield the exchanges that have a simulation: a module of the same name in this folder."""
    for name in NAMES:
        module = f"{__package__}.{name}"
        if find_spec(module):
            venue: object = import_module(module).VENUE
            assert isinstance(venue, Venue)
            yield venue


def _lives() -> Iterator[tuple[str, Live]]:
    """Yield the exchanges whose WebSocket is simulated: a module ``{name}_live`` in this folder."""
    for name in NAMES:
        module = f"{__package__}.{name}_live"
        if find_spec(module):
            live: object = import_module(module).LIVE
            assert isinstance(live, Live)
            yield name, live


VENUES: Final = tuple(_venues())
LIVES: Final = dict(_lives())


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    """``frozen`` stops the clock at ``now``; otherwise it runs on from there, ``rate`` times as fast."""

    now: int | None
    frozen: bool = True
    rate: Annotated[int, msgspec.Meta(ge=1)] = 1


class DisconnectOrder(msgspec.Struct, forbid_unknown_fields=True):
    """``code`` is what the connections are closed with; 1006 ends them without a close."""

    code: Annotated[int, msgspec.Meta(ge=1000, le=4999)] = 1001


class Sandbox:
    """The state of a running sandbox.

    ``machine`` tells the machine's time, in us; its WebSocket connections push every ``tick_s``.
    """

    def __init__(
        self, options: Options, machine: Callable[[], int] = machine_time, tick_s: float = TICK_S
    ) -> None:
        self._options: Final = options
        self._machine: Final = machine
        self.market: Final[Market] = options.market()
        self.connections: Final = Connections(options, self.market, SandboxClock(machine), tick_s)
        self.reset()

    def reset(self) -> None:
        self.clock = SandboxClock(self._machine)
        self.tally = Tally()
        self._meters = dict[str, Meter]()
        self.set_faults(self._options.faults)
        self.connections.reset(self.clock)

    def set_faults(self, faults: Sequence[Fault]) -> None:
        self._injector = Injector(faults, self._options.seed)

    async def answer(self, venue: Venue, route: Route, parts: Params, query: str) -> Answer:
        """Charge the request at once, answer it after the round trip; ``parts`` are those of its path."""
        path, now = f"/{venue.name}{route.path}", self.clock.now()
        params = {**parts, **dict(parse_qsl(query, keep_blank_values=True))}
        weight, tally, place = route.weight(params), self.tally, _place(venue, route, params)
        meter = self._meter(venue, route, place)
        charge = meter.charge(weight, now)
        tally.asked(path, query, weight)
        tally.used(place, now - now % meter.rule.period, weight)
        strikes = self._injector.strikes(path, params) if charge.status == 200 else []
        if charge.status == 200:
            await self._pause(delay_s(strikes))
            answer = self._said(venue, route, params, strikes, meter.rule)
        else:
            await self._pause(0)
            tally.refused(path)
            answer = venue.refused(charge, meter.rule, now)
        tally.answered(path, answer.status)
        return replace(
            answer, headers={**answer.headers, **venue.headers(charge.used), **self._date(ahead(strikes))}
        )

    def _meter(self, venue: Venue, route: Route, place: str) -> Meter:
        if place not in self._meters:
            self._meters[place] = self._options.meter(venue.rule(route.pool))
        return self._meters[place]

    def _said(self, venue: Venue, route: Route, params: Params, strikes: list[Strike], rule: Rule) -> Answer:
        if instead := replacement(strikes, venue):
            return instead
        now = Us(self.clock.now() - lag(strikes))
        ask = Ask(self.market, params, now, rule, hidden(strikes))
        shifted = self.connections.injector.shifted_by_rest(venue.name, route.topic(params), now)
        try:
            answer = Answer(route.renumbered(route.answer(ask), shifted + renumbering(strikes)))
        except VenueError as e:
            answer = e.answer
        return spoiled(answer, strikes, route.fields)

    async def _pause(self, extra_s: float) -> None:
        seconds = self._options.rtt_ms / 1_000 + extra_s
        if seconds:
            await asyncio.sleep(seconds)

    def _date(self, ahead: Us | None) -> dict[str, str]:
        if ahead is None:
            return {}
        return {"date": formatdate((self.clock.now() + ahead) // SECOND, usegmt=True)}


def _place(venue: Venue, route: Route, params: Params) -> str:
    """Name what is counted together: the venue, the pool if it has several, the market if it counts those."""
    return "/".join(part for part in (venue.name, route.pool, route.market(params)) if part)


class _Endpoint:
    """One route of one venue as an ASGI application."""

    def __init__(self, sandbox: Sandbox, venue: Venue, route: Route) -> None:
        self._sandbox, self._venue, self._route = sandbox, venue, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query, parts = scope["query_string"].decode("latin-1"), scope["path_params"]
        answer = await self._sandbox.answer(self._venue, self._route, parts, query)
        response = Response(answer.body, answer.status, answer.headers, "application/json;charset=UTF-8")
        if not answer.cut:
            await response(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": response.raw_headers})
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def create_app(options: Options) -> Starlette:
    """Build the application; each call has its own state."""
    return app_of(Sandbox(options))


def app_of(sandbox: Sandbox) -> Starlette:
    """Build the application that answers for a sandbox."""
    venues = [
        HttpRoute(f"/{venue.name}{route.path}", _Endpoint(sandbox, venue, route))
        for venue in VENUES
        for route in venue.routes
    ]
    lives = [
        WebSocketRoute(f"/{name}{path}", Endpoint(sandbox.connections, name, live, path))
        for name, live in LIVES.items()
        for path in live.paths
    ]
    return Starlette(routes=[*venues, *lives, *_control(sandbox)], exception_handlers={404: _nothing_here})


def _control(sandbox: Sandbox) -> list[HttpRoute]:
    def order(path: str, shape: type[T], obey: Callable[[T], None]) -> HttpRoute:
        async def endpoint(request: Request) -> Response:
            try:
                obey(msgspec.json.decode(await request.body() or b"null", type=shape))
            except msgspec.DecodeError as e:
                return _json({"error": str(e)}, 400)
            return _json({"ok": True})

        return HttpRoute(f"/_control/{path}", endpoint, methods=["POST"])

    async def stats(_: Request) -> Response:
        return _json(sandbox.tally.stats(sandbox.connections.tally))

    def set_clock(wanted: ClockOrder) -> None:
        now = None if wanted.now is None else Us(wanted.now)
        sandbox.clock.set(now, frozen=wanted.frozen, rate=wanted.rate)

    return [
        order("faults", tuple[Fault, ...], sandbox.set_faults),
        order("stream_faults", tuple[StreamFault, ...], sandbox.connections.set_faults),
        order("disconnect", DisconnectOrder, lambda wanted: sandbox.connections.disconnect(wanted.code)),
        order("clock", ClockOrder, set_clock),
        order("reset", type(None), lambda _: sandbox.reset()),
        HttpRoute("/_control/stats", stats),
    ]


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _nothing_here(request: Request, _: Exception) -> Response:
    known = ", ".join(venue.name for venue in VENUES)
    return _json({"error": f"nothing at {request.url.path}; simulated here: {known}"}, 404)
