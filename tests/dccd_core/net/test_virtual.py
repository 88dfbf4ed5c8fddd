import asyncio
import threading
import time

import pytest

from dccd_core.domain.timespan import HOUR, SECOND, Us
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually

NOW = Us(1_700_000_000 * SECOND)


def test_hours_pass_at_once_and_in_order() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, int]]:
        clock, seen = VirtualClock(loop, NOW), list[tuple[str, int]]()

        async def wait(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            seen.append((name, clock.now() - NOW))

        await asyncio.gather(wait("late", 7_200.25), wait("soon", 0.1), wait("first", 0.0))
        return seen

    began = time.monotonic()
    assert run_virtually(main) == [("first", 0), ("soon", SECOND // 10), ("late", 2 * HOUR + SECOND // 4)]
    assert time.monotonic() - began < HOUR / SECOND


def test_what_is_due_between_two_microseconds_comes() -> None:
    """Less than half a microsecond rounds to none: who looks again until it is due would look for ever."""

    async def main(loop: VirtualLoop) -> int:
        looks, due, done = 0, loop.time() + 1.3e-6, asyncio.Event()

        def look() -> None:
            nonlocal looks
            looks += 1
            if loop.time() >= due or looks == 100:
                done.set()
            else:
                loop.call_at(due, look)

        look()
        await done.wait()
        return looks

    assert run_virtually(main) < 10


def test_nothing_runs_during_a_stall_and_all_that_was_due_right_after_it() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, int]]:
        clock, seen = VirtualClock(loop, NOW), list[tuple[str, int]]()
        clock.stall(Us(2 * SECOND), Us(5 * SECOND))
        clock.stall(Us(5 * SECOND), Us(6 * SECOND))

        async def wait(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            seen.append((name, clock.steady()))

        await asyncio.gather(wait("before", 1.5), wait("in it", 3), wait("at its start", 2), wait("after", 7))
        return seen

    assert run_virtually(main) == [
        ("before", 1.5 * SECOND),
        ("at its start", 6 * SECOND),
        ("in it", 6 * SECOND),
        ("after", 7 * SECOND),
    ]


def test_a_step_of_the_wall_clock_changes_no_wait() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, int]:
        clock = VirtualClock(loop, NOW)
        asleep = asyncio.create_task(clock.sleep(10))
        await clock.sleep(4)
        clock.step(-HOUR)
        await asleep
        return clock.now() - NOW, clock.steady()

    assert run_virtually(main) == (10 * SECOND - HOUR, 10 * SECOND)


def test_timeouts_are_of_virtual_time() -> None:
    async def main(loop: VirtualLoop) -> Us:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return loop.passed

    assert run_virtually(main) == 30 * SECOND


def test_threads_run_in_line() -> None:
    async def main(_: VirtualLoop) -> tuple[int, str]:
        def fail() -> None:
            raise ValueError("of the thread's")

        with pytest.raises(ValueError, match="of the thread's"):
            await asyncio.to_thread(fail)
        return await asyncio.to_thread(threading.get_ident), "done"

    assert run_virtually(main) == (threading.get_ident(), "done")


def test_who_waits_for_nothing_is_told() -> None:
    async def main(_: VirtualLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is ever due"):
        run_virtually(main)


def test_thirds_of_seconds_end() -> None:
    """Times that no float holds exactly neither end early nor turn in a circle."""

    async def main(loop: VirtualLoop) -> Us:
        for _ in range(3_000):
            await asyncio.sleep(1 / 3)
        return loop.passed

    assert abs(run_virtually(main) - 1_000 * SECOND) < 3_000
