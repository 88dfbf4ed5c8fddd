"""A capture given back: what came comes again at its time, and what is done otherwise is said."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.adapter.contract import Request
from dccd_core.domain.errors import Banned, Rejected, Throttled, Unavailable
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.net.websocket import Disconnected
from dccd_core.stream import tape
from dccd_core.stream.api import StreamPlan
from dccd_core.stream.playback import Differences, Playback, error_of
from dccd_core.stream.replay import plan_of

ZERO, WALL = 77 * SECOND, 1_000_000 * SECOND
"""The recorder's steady clock began somewhere, and so did its wall clock."""
URL = "wss://x/y"
ONE = tape.Plan("majors", ("binance/trades/BTC-USDT",), 10, SECOND)
OTHER = tape.Plan("majors", ("binance/trades/ETH-USDT",), 10, SECOND)


def at(seconds: float, step: float = 0) -> tuple[Us, Us]:
    """Return both clocks so long after the beginning; the wall clock was stepped by ``step`` meanwhile."""
    return Us(ZERO + round(seconds * SECOND)), Us(WALL + round((seconds + step) * SECOND))


BEGIN = tape.Planned(*at(0), ONE)
Act = Callable[[Playback, VirtualClock], Awaitable[None]]


def played(entries: Sequence[tape.Entry], act: Act) -> Playback:
    """Do ``act`` with a playback of these entries."""
    found: list[Playback] = []

    async def run(loop: VirtualLoop) -> None:
        clock = VirtualClock(loop, Us(WALL))
        await clock.sleep(5)  # it may begin at any time
        found.append(Playback([BEGIN, *entries], clock))
        await act(found[0], clock)

    run_virtually(run)
    return found[0]


def since(clock: VirtualClock) -> float:
    return clock.steady() / SECOND - 5


LINE: list[tape.Entry] = [
    tape.Opening(*at(1), 1, URL),
    tape.Opened(*at(2), 1, Us(20)),
    tape.Sent(*at(2), 1, b"sub"),
    tape.Frames(*at(3), 1, [b"a", b"b"], [Us(30), Us(31)]),
    tape.Alive(*at(3), 1, Us(31)),
    tape.Frames(*at(6), 1, [b"c"], [Us(60)]),
    tape.Alive(*at(6), 1, Us(60)),
    tape.Over(*at(8), 1, "1006"),
]


def test_what_came_comes_again_when_it_did() -> None:
    async def listen(playback: Playback, clock: VirtualClock) -> None:
        async with playback.connect()(URL) as socket:
            assert (since(clock), socket.heard) == (2, 20)
            await socket.send(b"sub")
            assert await socket.receive() == ([b"a", b"b"], [30, 31])
            assert (since(clock), socket.heard) == (3, 31)
            assert await socket.receive() == ([b"c"], [60])
            assert (since(clock), socket.heard) == (6, 60)
            with pytest.raises(Disconnected, match="1006"):
                await socket.receive()
            assert since(clock) == 8
            with pytest.raises(Disconnected):
                await socket.send(b"sub")

    assert played(LINE, listen).differences == Differences()


def test_who_comes_late_gets_it_at_once_in_its_order() -> None:
    async def listen(playback: Playback, clock: VirtualClock) -> None:
        await clock.sleep(7)
        async with playback.connect()(URL) as socket:
            await socket.send(b"sub")
            assert [(await socket.receive())[0] for _ in range(2)] == [[b"a", b"b"], [b"c"]]
            assert (since(clock), socket.heard) == (7, 60)

    assert played(LINE, listen).differences == Differences()


def test_what_is_sent_otherwise_is_said() -> None:
    async def send(playback: Playback, _: VirtualClock) -> None:
        async with playback.connect()(URL) as socket:
            await socket.send(b"other")
            await socket.send(b"more")

    found = played(LINE, send).differences
    assert found.counts == {"sent": 2}
    assert found.first == [
        f"sent: {URL}, message 1: b'other', then b'sub'",
        f"sent: {URL}: 2 messages, then 1",
    ]


def test_a_connection_that_was_refused_is_refused_again_and_one_more_is_a_difference() -> None:
    entries = [tape.Opening(*at(1), 1, URL), tape.Refused(*at(4), 1, "Throttled", "too many", "wait", 1.5)]

    async def connect(playback: Playback, clock: VirtualClock) -> None:
        with pytest.raises(Throttled, match="too many") as error:
            async with playback.connect()(URL):
                raise AssertionError
        assert (since(clock), error.value.wait_s) == (4, 1.5)
        with pytest.raises(Unavailable, match="no more connections"):
            async with playback.connect()(URL):
                raise AssertionError

    assert played(entries, connect).differences.counts == {"connections": 1}


def test_connections_of_one_address_come_in_their_order() -> None:
    entries: list[tape.Entry] = []
    for number in (1, 2):
        entries += [tape.Opening(*at(number), number, URL), tape.Opened(*at(number), number, Us(0))]
    entries += [tape.Frames(*at(5), number, [b"%d" % number], [Us(0)]) for number in (2, 1)]

    async def listen(playback: Playback, _: VirtualClock) -> None:
        connect = playback.connect()
        async with connect(URL) as first, connect(URL) as second:
            assert (await second.receive())[0] == [b"2"]
            assert (await first.receive())[0] == [b"1"]

    played(entries, listen)


def asked(number: int, seconds: float, path: str = "/depth", **params: str) -> tape.Asked:
    return tape.Asked(*at(seconds), number, path, params)


def answered(number: int, seconds: float) -> tape.Answered:
    return tape.Answered(*at(seconds), number, 200, {"date": "now"}, b"%d" % number, Us(number))


@given(st.permutations(range(4)))
def test_each_request_gets_its_own_answer_in_whatever_order_they_are_made(order: list[int]) -> None:
    entries = [asked(n, n, symbol=str(n)) for n in range(4)] + [answered(n, 10 + n) for n in range(4)]

    async def ask(playback: Playback, _: VirtualClock) -> None:
        for n in order:
            answer = await playback.send(Request("/depth", {"symbol": str(n)}))
            assert (answer.status, answer.body, answer.received) == (200, b"%d" % n, n)

    found = played(entries, ask)
    assert found.differences == Differences()
    assert found.unasked() == 0


def test_an_answer_takes_as_long_as_it_did() -> None:
    async def ask(playback: Playback, clock: VirtualClock) -> None:
        await clock.sleep(30)
        await playback.send(Request("/depth", {}))
        assert since(clock) == 32.5
        with pytest.raises(Rejected, match="no such symbol"):
            await playback.send(Request("/trades", {}))
        assert since(clock) == 33.5

    failed = tape.Failed(*at(6), 2, "Rejected", "no such symbol")
    played([asked(1, 1), answered(1, 3.5), asked(2, 5, "/trades"), failed], ask)


def test_the_request_that_is_most_like_it_is_taken_and_that_is_said() -> None:
    entries = [
        asked(1, 1, symbol="A", limit="5"),
        answered(1, 1),
        asked(2, 1, symbol="B", limit="5"),
        answered(2, 1),
    ]

    async def ask(playback: Playback, _: VirtualClock) -> None:
        answer = await playback.send(Request("/depth", {"symbol": "B", "limit": "9"}))
        assert answer.body == b"2"
        assert playback.unasked() == 1
        with pytest.raises(Unavailable, match="no answer to /klines"):
            await playback.send(Request("/klines", {}))

    found = played(entries, ask).differences
    assert found.counts == {"requests": 2}
    assert found.first[1] == "requests: /klines {} was never made"


@pytest.mark.parametrize("what", ["a request", "a connection", "frames"])
def test_what_was_not_over_when_the_recording_ended_never_is(what: str) -> None:
    async def wait(playback: Playback, clock: VirtualClock) -> None:
        async def hang() -> None:
            if what == "a request":
                await playback.send(Request("/depth", {}))
            async with playback.connect()(URL) as socket:
                await socket.receive()

        waiting = asyncio.create_task(hang())
        await clock.sleep(1_000)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    opened = [tape.Opened(*at(1), 1, Us(0))] if what == "frames" else []
    played([asked(1, 1), tape.Opening(*at(1), 1, URL), *opened], wait)


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 0.0005, 0.5, -3600.0])), max_size=8))
def test_our_wall_clock_is_stepped_as_it_was(beats: list[tuple[int, float]]) -> None:
    """Less than a millisecond is a drift, not a step."""
    entries, now, step, steps = list[tape.Entry](), 0, 0.0, list[tuple[int, float]]()
    for seconds, by in beats:
        now += seconds
        entries.append(tape.Beat(*at(now, step + by)))
        if abs(by) > 0.001:
            step += by
            steps.append((now, step))

    async def run(playback: Playback, clock: VirtualClock) -> None:
        ahead = clock.now() - clock.steady()
        playback.step_the_clock()
        for when, by in steps:
            await clock.sleep(when + 0.5 - since(clock))
            assert clock.now() - clock.steady() - ahead == round(by * SECOND)

    played(entries, run)


def test_what_the_recorder_was_late_for_is_late_again() -> None:
    """It ran again when the next thing was noted, which may be before our probe's turn came."""
    stalled = [tape.Stalled(*at(3), at(2)[0]), tape.Sent(*at(5.5), 1, b""), tape.Stalled(*at(6), at(5)[0])]

    async def sleep(playback: Playback, clock: VirtualClock) -> None:
        playback.stall()
        woken = list[float]()
        for seconds in (1.9, 0.2, 1, 1.2, 1):
            await clock.sleep(seconds)
            woken.append(since(clock))
        assert woken == pytest.approx([1.9, 3, 4, 5.5, 6.5], abs=1e-6)

    played([tape.Opening(*at(0), 1, URL), *stalled], sleep)


def test_plans_change_when_they_did() -> None:
    async def change(playback: Playback, clock: VirtualClock) -> None:
        plans = playback.changes(plan_of)
        assert plans.empty(), "the first is what it begins with"
        plan: StreamPlan = await plans.get()
        assert (since(clock), plan) == (4, plan_of(OTHER))

    found = played([tape.Planned(*at(4), OTHER)], change)
    assert [one.plan for one in found.plans] == [ONE, OTHER]


@pytest.mark.parametrize(
    ("entries", "end_s", "ended"),
    [
        ([tape.Beat(*at(7))], 7, None),
        ([tape.Stopping(*at(3)), tape.Ended(*at(9))], 3, False),
        ([tape.Ended(*at(9), full=True)], 9, True),
    ],
    ids=["killed", "stopped", "at its limit"],
)
def test_how_it_ended_and_when(entries: list[tape.Entry], end_s: float, ended: bool | None) -> None:  # noqa: FBT001 -- a parameter
    async def look(playback: Playback, _: VirtualClock) -> None:
        assert playback.end_s == end_s

    found = played(entries, look).ended
    assert (found.full if found else None) == ended


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Banned", Banned),
        ("Rejected", Rejected),
        ("Heartbreak", Unavailable),
        ("DccdError_", Unavailable),
        ("Where", Unavailable),
    ],
)
def test_an_error_is_raised_as_what_it_was_or_else_as_trouble(said: str, kind: type[Exception]) -> None:
    error = error_of(tape.Failed(*at(0), 1, said, "so", "then", 2.5))
    assert type(error) is kind
    assert (error.args[0], error.hint) == ("so", "then")
    if isinstance(error, Throttled):
        assert error.wait_s == 2.5


def test_the_first_few_differences_are_told_and_all_are_counted() -> None:
    found = Differences()
    for n in range(9):
        found.add("sent" if n % 2 else "requests", str(n))
    assert found.counts == {"requests": 5, "sent": 4}
    assert found.first == ["requests: 0", "sent: 1", "requests: 2", "sent: 3", "requests: 4"]
