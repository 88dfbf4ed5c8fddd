import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from dccd_core.adapter.contract import Request
from dccd_core.domain.errors import Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.testing.sandbox.faults import Fault, FaultKind
from dccd_core.testing.sandbox.inside import Inside
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import Sandbox
from dccd_core.testing.sandbox.stream_faults import StreamFault, StreamFaultKind

T = TypeVar("T")
START = parse_time("2024-06-05T12:07:30")
URL = "wss://stream.binance.com:9443/stream"
SUBSCRIBE = b'{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}'
TIME = Request("/api/v3/time", {})


def inside(
    use: Callable[[Inside, Sandbox, VirtualClock], Awaitable[T]],
    *stream_faults: StreamFault,
    faults: Sequence[Fault] = (),
) -> T:
    async def main(loop: VirtualLoop) -> T:
        options = Options(stream_faults=stream_faults, faults=faults)
        box, clock = Sandbox(options, lambda: START + loop.passed), VirtualClock(loop, START)
        return await use(Inside(box, clock, lambda: 0.05), box, clock)

    return run_virtually(main)


async def all_of(socket: Socket, clock: VirtualClock, got: list[tuple[bytes, Us]], s: float = 60) -> None:
    while clock.steady() < s * SECOND:
        got += zip(*await socket.receive(), strict=True)


def test_what_is_pushed_comes_when_it_is_due() -> None:
    async def use(ways: Inside, _: Sandbox, clock: VirtualClock) -> list[tuple[bytes, Us]]:
        async with ways.connect("binance")(URL) as socket:
            got = list[tuple[bytes, Us]]()
            await socket.send(SUBSCRIBE)
            await all_of(socket, clock, got, 10)
            return got

    got = inside(use)
    assert got[0][0] == b'{"result":null,"id":1}'
    assert len(got) == pytest.approx(99, abs=3)
    assert [at for _, at in got] == sorted(at for _, at in got)
    assert got == inside(use)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (StreamFault(kind=StreamFaultKind.DISCONNECT, code=1012, nth=5), "1012"),
        (StreamFault(kind=StreamFaultKind.ABORT, nth=5), "without a goodbye"),
    ],
)
def test_an_end_comes_after_what_was_sent_before_it(fault: StreamFault, says: str) -> None:
    async def use(ways: Inside, box: Sandbox, clock: VirtualClock) -> int:
        async with ways.connect("binance")(URL) as socket:
            await socket.send(SUBSCRIBE)
            got = list[tuple[bytes, Us]]()
            with pytest.raises(Disconnected, match=says):
                await all_of(socket, clock, got)
            with pytest.raises(Disconnected):
                await socket.send(SUBSCRIBE)
        assert not box.connections.open
        return len(got)

    assert inside(use, fault) == 5  # the answer and four messages


def test_who_leaves_is_gone_at_the_other_end() -> None:
    async def use(ways: Inside, box: Sandbox, _: VirtualClock) -> dict[str, int]:
        async with ways.connect("binance")(URL):
            assert len(box.connections.open) == 1
        return box.connections.tally.venue("binance").closed

    assert inside(use) == {"1000": 1}


def test_a_quiet_connection_is_alive_unless_it_fell_silent() -> None:
    def heard(*faults: StreamFault) -> int:
        async def use(ways: Inside, _: Sandbox, clock: VirtualClock) -> int:
            async with ways.connect("binance")(URL) as socket:
                await socket.send(SUBSCRIBE)
                await clock.sleep(300)
                return clock.now() - socket.heard

        return inside(use, *faults)

    drop = StreamFault(kind=StreamFaultKind.DROP)
    assert heard(drop) < MINUTE
    assert heard(StreamFault(kind=StreamFaultKind.SILENCE, nth=1)) > 4 * MINUTE


@pytest.mark.parametrize(
    ("status", "error"), [(503, Unavailable), (429, Throttled), (403, Throttled), (404, Rejected)]
)
def test_a_refused_connection_is_told_as_ever(status: int, error: type[Exception]) -> None:
    async def use(ways: Inside, _: Sandbox, __: VirtualClock) -> None:
        async with ways.connect("binance")(URL):
            raise AssertionError("it was let in")

    with pytest.raises(error):
        inside(use, StreamFault(kind=StreamFaultKind.REFUSE, status=status))


def test_a_request_takes_its_way_both_ways() -> None:
    async def use(ways: Inside, _: Sandbox, clock: VirtualClock) -> None:
        answer = await ways.transport(get("binance")).send(TIME)
        assert b'"serverTime":%d' % ((START + SECOND // 20) // 1_000_000) in answer.body
        assert answer.received == clock.now() == START + SECOND // 10
        assert answer.venue_time == START

    inside(use)


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.DROPPED, FaultKind.TRUNCATED])
def test_a_bad_answer_is_an_error(kind: FaultKind) -> None:
    async def use(ways: Inside, _: Sandbox, __: VirtualClock) -> str:
        venue = ways.transport(get("binance"))
        try:
            return (await venue.send(TIME)).body.decode()
        except Unavailable:
            return "unavailable"

    spoiled = inside(use, faults=[Fault(kind=kind, status=503)])
    assert spoiled != inside(use)


def test_our_clock_is_ours() -> None:
    async def use(ways: Inside, __: Sandbox, clock: VirtualClock) -> None:
        clock.step(-MINUTE)
        answer = await ways.transport(get("binance")).send(TIME)
        assert answer.received < START
        assert answer.venue_time == START
        async with ways.connect("binance")(URL) as socket:
            await socket.send(SUBSCRIBE)
            _, moments = await asyncio.wait_for(socket.receive(), 5)
        assert moments[0] < START

    inside(use)
