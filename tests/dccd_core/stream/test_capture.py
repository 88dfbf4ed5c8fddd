"""What a recorder is told, and what it asks, is kept as it happens; the recording goes on regardless."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dccd_core.adapter.contract import Request, Response
from dccd_core.domain.errors import LakeError, Throttled, Unavailable
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.sockets import Connect
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.stream import tape
from dccd_core.stream.api import Listener, StreamPlan
from dccd_core.stream.capture import LIMIT, captured, plain
from dccd_core.stream.replay import plan_of
from tests.dccd_core.lake.samples import BARS, BOOKS, TRADES
from tests.promises.streams import Told

BEGAN = Us(1_000_000 * SECOND)
URL = "wss://x/y"
PLAN = StreamPlan("majors", (TRADES, BOOKS), 10, Us(2 * SECOND), frozenset({BOOKS}))
BUSY = Throttled("too many", hint="wait", wait_s=1.5)
GONE = Unavailable("down", hint="later")


class Line:
    """The client's end of a connection: a batch in a second, something that is no message, and the end."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._left = clock, [[b"a", b"\xff"], [b"b"]]
        self.heard = clock.steady()

    async def receive(self) -> tuple[list[bytes], list[Us]]:
        await self._clock.sleep(1)
        self.heard = self._clock.steady()
        if not self._left:
            raise Disconnected("1006", hint="connect again")
        frames = self._left.pop(0)
        return frames, [self._clock.now()] * len(frames)

    async def send(self, message: bytes) -> None:
        assert message != b"?"


class Desk:
    """Answers after a second; refuses what is called so."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    async def send(self, request: Request) -> Response:
        await self._clock.sleep(1)
        if request.path == "/busy":
            raise BUSY
        return Response(200, {"date": "now"}, request.path.encode(), self._clock.now())


Act = Callable[[Venue, Connect, asyncio.Queue[StreamPlan]], Awaitable[None]]


def kept(folder: Path, act: Act, limit: int = LIMIT, told: Told | None = None) -> list[tape.Entry]:
    """Return what is kept of a recording that does ``act``."""

    async def run(loop: VirtualLoop) -> None:
        clock, stop, plans = VirtualClock(loop, BEGAN), asyncio.Event(), asyncio.Queue[StreamPlan]()

        @asynccontextmanager
        async def connect(url: str) -> AsyncGenerator[Socket]:
            if url != URL:
                raise GONE
            yield Line(clock)

        async def record(
            plan: StreamPlan,
            venue: Venue,
            connect: Connect,
            lake: LakeStore,
            stop: asyncio.Event,
            listener: Listener,
            *,
            plans: asyncio.Queue[StreamPlan],
        ) -> None:
            assert plan == PLAN
            await act(venue, connect, plans)

        venue = Venue(get("binance"), Desk(clock), clock)
        recording = captured(record, folder / "capture", limit)
        loop.call_later(2.5, plans.put_nowait, StreamPlan("majors", (BARS,)))
        loop.call_later(3.5, stop.set)
        await recording(PLAN, venue, connect, LakeStore(folder / "lake"), stop, told or Told(), plans=plans)

    run_virtually(run)
    return [one for one in tape.entries(folder / "capture") if not isinstance(one, tape.Beat)]


async def waits(_: Venue, __: Connect, ___: asyncio.Queue[StreamPlan]) -> None:
    await asyncio.sleep(4)


def at(seconds: float) -> tuple[Us, Us]:
    return Us(round(seconds * SECOND)), Us(BEGAN + round(seconds * SECOND))


def test_a_connection_is_kept_from_its_opening_to_its_end(tmp_path: Path) -> None:
    async def listen(_: Venue, connect: Connect, __: asyncio.Queue[StreamPlan]) -> None:
        async with connect(URL) as socket:
            await socket.send(b"sub")
            assert await socket.receive() == ([b"a", b"\xff"], [at(1)[1]] * 2)
            assert socket.heard == SECOND
            assert socket.heard == SECOND, "what is as it was is not said again"
            await socket.receive()
            with pytest.raises(Disconnected, match="1006"):
                await socket.receive()

    assert kept(tmp_path, listen)[1:-1] == [
        tape.Opening(*at(0), 1, URL),
        tape.Opened(*at(0), 1, Us(0)),
        tape.Sent(*at(0), 1, b"sub"),
        tape.Frames(*at(1), 1, [b"a", b"\xff"], [at(1)[1]] * 2),
        tape.Alive(*at(1), 1, SECOND),
        tape.Frames(*at(2), 1, [b"b"], [at(2)[1]]),
        tape.Planned(*at(2.5), tape.Plan("majors", (str(BARS),), 50, SECOND)),
        tape.Over(*at(3), 1, "1006"),
        tape.Left(*at(3), 1),
    ]


def test_connections_and_requests_are_numbered_and_their_errors_kept(tmp_path: Path) -> None:
    async def ask(venue: Venue, connect: Connect, _: asyncio.Queue[StreamPlan]) -> None:
        with pytest.raises(Unavailable, match="down"):
            async with connect("wss://down"):
                raise AssertionError
        async with connect(URL):
            pass
        answer = await venue.transport.send(Request("/depth", {"limit": "5"}))
        assert answer.body == b"/depth"
        with pytest.raises(Throttled):
            await venue.transport.send(Request("/busy", {}))

    assert kept(tmp_path, ask)[1:-1] == [
        tape.Opening(*at(0), 1, "wss://down"),
        tape.Refused(*at(0), 1, "Unavailable", "down", "later"),
        tape.Opening(*at(0), 2, URL),
        tape.Opened(*at(0), 2, Us(0)),
        tape.Left(*at(0), 2),
        tape.Asked(*at(0), 1, "/depth", {"limit": "5"}),
        tape.Answered(*at(1), 1, 200, {"date": "now"}, b"/depth", at(1)[1]),
        tape.Asked(*at(1), 2, "/busy", {}),
        tape.Failed(*at(2), 2, "Throttled", "too many", "wait", 1.5),
    ]


def test_plans_are_kept_and_passed_on_and_so_is_the_end(tmp_path: Path) -> None:
    async def wait(_: Venue, __: Connect, plans: asyncio.Queue[StreamPlan]) -> None:
        assert await plans.get() == StreamPlan("majors", (BARS,))
        await asyncio.sleep(2)

    entries = kept(tmp_path, wait)
    assert entries == [
        tape.Planned(*at(0), plain(PLAN)),
        tape.Planned(*at(2.5), tape.Plan("majors", (str(BARS),), 50, SECOND)),
        tape.Stopping(*at(3.5)),
        tape.Ended(*at(4.5)),
    ]
    assert list(tape.entries(tmp_path / "capture"))[-1] == entries[-1], "nothing follows the end"
    about = tape.about(tmp_path / "capture")
    assert (about.exchange, about.plan, about.began) == ("binance", plain(PLAN), BEGAN)


def test_it_is_kept_that_our_process_did_not_get_to_run(tmp_path: Path) -> None:
    """On a machine that is starved; what is on time is not said."""

    async def starve(venue: Venue, __: Connect, ___: asyncio.Queue[StreamPlan]) -> None:
        assert isinstance(venue.clock, VirtualClock)
        venue.clock.stall(at(0.5)[0], at(1.25)[0])
        await venue.clock.sleep(0.6)
        assert venue.clock.steady() == at(1.25)[0], "it slept longer than it meant to"
        await venue.clock.sleep(0.6)
        assert venue.clock.steady() == at(1.85)[0]

    assert kept(tmp_path, starve)[1:-1] == [tape.Stalled(*at(1.25), at(0.5)[0])]


def test_a_recording_that_breaks_has_no_end(tmp_path: Path) -> None:
    async def break_down(_: Venue, __: Connect, ___: asyncio.Queue[StreamPlan]) -> None:
        await asyncio.sleep(1)
        raise LakeError("disk full")

    with pytest.raises(LakeError, match="disk full"):
        kept(tmp_path, break_down)
    entries = list(tape.entries(tmp_path / "capture"))
    assert not [one for one in entries if isinstance(one, tape.Ended)]
    assert entries[-1] == tape.Beat(*at(1)), "it is known how long it went on"


def test_a_capture_at_its_limit_ends_and_the_recording_goes_on(tmp_path: Path) -> None:
    told, went_on = Told(), list[Us]()

    async def go_on(venue: Venue, _: Connect, __: asyncio.Queue[StreamPlan]) -> None:
        while venue.clock.steady() < MINUTE:
            await venue.transport.send(Request("/much", {}))
        went_on.append(venue.clock.steady())

    entries = kept(tmp_path, go_on, 2_000, told)
    assert went_on == [MINUTE]
    assert isinstance(entries[-1], tape.Ended)
    assert entries[-1].full
    assert entries[-1].at < MINUTE
    [(text, wrong)] = told.notes
    assert wrong
    assert "has reached its limit of 2000 bytes and ends here; the recording goes on" in text


def test_a_capture_that_cannot_be_written_ends_once_and_the_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()

    def full(_: tape.TapeWriter) -> None:
        raise LakeError("no space left")

    monkeypatch.setattr(tape.TapeWriter, "flush", full)
    assert kept(tmp_path, waits, told=told) == []
    assert told.notes == [("the capture ends, the recording goes on: no space left", True)]


def test_a_plan_in_plain_words_is_the_same_plan() -> None:
    for plan in (
        PLAN,
        StreamPlan("x", (BARS,)),
        StreamPlan("x", (BARS, TRADES), paused=frozenset({BARS, TRADES})),
    ):
        assert plan_of(plain(plan)) == plan
