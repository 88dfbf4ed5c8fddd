import asyncio

from dccd_core.domain.timespan import DAY, HOUR, SECOND, Us, parse_time
from dccd_core.net.clock import ManualClock, SystemClock

NOON = parse_time("2026-11-22T12:00:00Z")


def test_the_system_clock_moves_on() -> None:
    clock = SystemClock()
    before = clock.now()
    asyncio.run(clock.sleep(0.001))
    assert 0 < clock.now() - before < DAY
    assert before > parse_time("2026-01-01")


def test_sleepers_wake_in_the_order_of_their_times_and_see_their_own_time() -> None:
    clock = ManualClock(NOON)
    woken: list[tuple[float, Us]] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, Us(clock.now() - NOON)))

    async def main() -> None:
        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 1, 2, 1, 0.5, 0)))

    asyncio.run(main())
    assert woken == [(s, Us(int(s * SECOND))) for s in (0, 0.5, 1, 1, 2, 3)]


def test_others_get_to_work_before_time_moves_on() -> None:
    clock = ManualClock(NOON)
    woken: list[str] = []

    async def long() -> None:
        await clock.sleep(10)
        woken.append("long")

    async def busy() -> None:
        for _ in range(5):
            for _ in range(5):
                await asyncio.sleep(0)
            await clock.sleep(1)
        woken.append("busy")

    async def main() -> None:
        await asyncio.gather(long(), busy())

    asyncio.run(main())
    assert woken == ["busy", "long"]
    assert clock.now() == NOON + 10 * SECOND


def test_a_step_of_the_wall_clock_changes_no_sleep() -> None:
    clock = ManualClock(NOON)

    async def main() -> Us:
        sleeper = asyncio.create_task(clock.sleep(5))
        await asyncio.sleep(0)
        clock.set(Us(NOON - 3 * HOUR))
        await sleeper
        return clock.now()

    assert asyncio.run(main()) == NOON - 3 * HOUR + 5 * SECOND


def test_a_cancelled_sleeper_moves_no_time() -> None:
    clock = ManualClock(NOON)

    async def main() -> None:
        cancelled = asyncio.create_task(clock.sleep(100))
        await asyncio.sleep(0)
        cancelled.cancel()
        await clock.sleep(1)

    asyncio.run(main())
    asyncio.run(clock.sleep(1))
    assert clock.now() == NOON + 2 * SECOND
