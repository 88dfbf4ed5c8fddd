import asyncio
import logging
import pickle
import random
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccd_core.adapter.contract import Limit
from dccd_core.domain.errors import Banned, ConfigError
from dccd_core.domain.timespan import MINUTE, SECOND, Us, iso, parse_time
from dccd_core.net.clock import ManualClock
from dccd_core.net.ratelimit.limiter import RateLimiter, budget_name, state_dir
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually

NOON = parse_time("2026-11-22T12:00:00Z")
LIMITS = (Limit(100, MINUTE),)


def opened(
    path: Path, clock: ManualClock, limits: tuple[Limit, ...] = LIMITS, share: float = 1.0
) -> RateLimiter:
    return RateLimiter(path / "budget.sqlite", limits, share, clock)


async def spend(budget: RateLimiter, weight: int) -> None:
    """Spend, and be answered at once by a venue that tells no count."""
    budget.learn(await budget.spend(weight), None, Us(0))


def heaviest(counted: list[tuple[int, int]], period: int) -> int:
    """Return the most weight that any period holds."""
    return max(sum(w for at, w in counted if start <= at < start + period) for start, _ in counted)


def test_spending_waits_exactly_as_long_as_it_must(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    budget = opened(tmp_path, clock)

    async def main() -> None:
        for _ in range(25):
            await spend(budget, 10)

    asyncio.run(main())
    assert clock.now() == pytest.approx(NOON + 2 * MINUTE, abs=1_000)
    assert budget.waited_s == pytest.approx(120)


def test_coroutines_are_served_first_come_first_served(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    budget = opened(tmp_path, clock)
    served: list[int] = []

    async def one(number: int, weight: int) -> None:
        await spend(budget, weight)
        served.append(number)

    async def main() -> None:
        await asyncio.gather(*(one(n, w) for n, w in enumerate([60, 60, 1, 100, 30])))

    asyncio.run(main())
    assert served == [0, 1, 2, 3, 4]


def test_a_heavy_request_is_not_starved_by_other_processes(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    greedy, patient = opened(tmp_path, clock), opened(tmp_path, clock)

    async def light() -> None:
        while True:
            await spend(greedy, 10)
            await clock.sleep(6)

    async def main() -> None:
        others = [asyncio.create_task(light()) for _ in range(3)]
        await clock.sleep(100)
        await spend(patient, 100)
        for other in others:
            other.cancel()

    asyncio.run(main())
    assert clock.now() <= NOON + 100 * SECOND + 2 * MINUTE


def test_many_coroutines_of_one_process_do_not_push_back_another(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    greedy, modest = opened(tmp_path, clock), opened(tmp_path, clock)
    served: list[str] = []

    async def one(budget: RateLimiter, name: str) -> None:
        await spend(budget, 50)
        served.append(name)

    async def main() -> None:
        await asyncio.gather(*(one(greedy, "greedy") for _ in range(6)), one(modest, "modest"))

    asyncio.run(main())
    assert served.index("modest") == 3


def test_a_weight_that_never_fits_is_refused(tmp_path: Path) -> None:
    budget = opened(tmp_path, ManualClock(NOON), (Limit(100, MINUTE), Limit(30, SECOND)), share=0.5)
    with pytest.raises(ConfigError, match="16 never fits 15 per 1 s"):
        asyncio.run(budget.spend(16))
    asyncio.run(spend(budget, 15))


def test_who_gives_up_leaves_no_place_behind(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    budget = opened(tmp_path, clock)

    async def main() -> None:
        await spend(budget, 50)
        waiting = asyncio.create_task(budget.spend(100))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await spend(budget, 50)

    asyncio.run(main())
    assert clock.now() == NOON


def test_the_venue_s_count_holds_everybody_back(tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    one, other = opened(tmp_path, clock), opened(tmp_path, clock)

    async def main() -> None:
        await clock.sleep(20)
        one.learn(await one.spend(1), 95, clock.now())
        await spend(other, 5)
        assert clock.now() == NOON + 20 * SECOND
        await spend(other, 5)

    asyncio.run(main())
    assert clock.now() == NOON + MINUTE


@settings(max_examples=50, deadline=None)
@given(
    amounts=st.lists(st.integers(10, 60), min_size=1, max_size=2),
    spends=st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 10), st.integers(0, 2_900), st.floats(0, 1)), max_size=40
    ),
)
def test_the_venue_never_sees_more_than_the_limit_in_any_period(
    amounts: list[int], spends: list[tuple[int, int, int, float]]
) -> None:
    """A spend: seconds after the one before, weight, milliseconds to the answer, when in them it counts.

    No way is shorter than ``least`` there and back, and that is known.
    """
    clock = ManualClock(NOON)
    limits = tuple(Limit(amount * (i + 1), Us(MINUTE * (i + 1))) for i, amount in enumerate(amounts))
    counted: list[tuple[int, int]] = []
    least = 1

    async def one(budget: RateLimiter, start_s: int, weight: int, took_ms: int, part: float) -> None:
        await clock.sleep(start_s)
        booking = await budget.spend(weight)
        await clock.sleep(least + took_ms / 1_000 * part)
        counted.append((clock.now(), weight))
        await clock.sleep(least + took_ms / 1_000 * (1 - part))
        budget.learn(booking, None, Us(0))

    async def main(folder: Path) -> None:
        budgets = [opened(folder, clock, limits) for _ in range(2)]
        await one(budgets[0], 0, 1, 0, 0)
        start_s, tasks = 0, list[asyncio.Task[None]]()
        for number, (gap, weight, took_ms, part) in enumerate(spends):
            start_s += gap
            tasks.append(asyncio.create_task(one(budgets[number % 2], start_s, weight, took_ms, part)))
        await asyncio.gather(*tasks)
        for budget in budgets:
            budget.close()

    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
    assert len(counted) == len(spends) + 1
    for limit in limits:
        assert not counted or heaviest(counted, limit.period) <= limit.amount


class TestBreaker:
    def test_others_wait_for_it_to_close(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        clock = ManualClock(NOON)
        one, other = opened(tmp_path, clock), opened(tmp_path, clock)
        until = Us(NOON + 100 * SECOND)
        with caplog.at_level(logging.WARNING):
            one.trip(until, "HTTP 429: slow down")
            one.trip(Us(until - SECOND), "HTTP 429: again")
        assert [record.message for record in caplog.records] == [
            f"no request goes out before {iso(until)}: HTTP 429: slow down"
        ]
        asyncio.run(spend(other, 1))
        assert clock.now() == until

    def test_nobody_waits_for_a_long_ban(self, tmp_path: Path) -> None:
        clock = ManualClock(NOON)
        budget = opened(tmp_path, clock)
        until = Us(NOON + 3 * MINUTE)
        budget.trip(until, "HTTP 418: banned")
        with pytest.raises(Banned, match="HTTP 418: banned") as caught:
            asyncio.run(budget.spend(1))
        assert iso(until) in str(caught.value)
        assert caught.value.wait_s == 180
        assert pickle.loads(pickle.dumps(caught.value)).wait_s == 180
        assert clock.now() == NOON
        clock.set(Us(NOON + MINUTE))
        asyncio.run(spend(budget, 1))
        assert clock.now() == until

    def test_it_stops_those_already_waiting(self, tmp_path: Path) -> None:
        clock = ManualClock(NOON)
        budget = opened(tmp_path, clock)

        async def main() -> None:
            await spend(budget, 100)
            waiting = asyncio.create_task(spend(budget, 1))
            await asyncio.sleep(0)
            budget.trip(Us(NOON + 90 * SECOND), "HTTP 429")
            await waiting

        asyncio.run(main())
        assert clock.now() == NOON + 90 * SECOND


def test_the_file_is_one_per_exchange_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCCD_STATE_DIR", "/chosen")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/me")
    assert state_dir() == Path("/chosen")
    assert budget_name("okx", "https://www.okx.com/api") == "okx-www.okx.com.sqlite"
    assert budget_name("okx", "http://[::1]:80/okx") != budget_name("okx", "http://127.0.0.1:80/okx")
    monkeypatch.setenv("DCCD_STATE_DIR", "")
    assert state_dir() == Path("/xdg/dccd")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_dir() == Path("/home/me/.local/state/dccd")


WORKER = """
import asyncio, os, random, sys, time
from pathlib import Path
from dccd_core.adapter.contract import Limit
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.net.ratelimit.limiter import RateLimiter
from dccd_core.net.clock import SystemClock

async def work(budget):
    while True:
        booking = await budget.spend(4)
        await asyncio.sleep(0.03 * random.random())
        os.write(1, f"{time.time_ns() // 1000}\\n".encode())
        await asyncio.sleep(0.03 * random.random())
        budget.learn(booking, None, Us(0))

async def main():
    budget = RateLimiter(Path(sys.argv[1]), (Limit(600, Us(2 * SECOND)),), 0.95, SystemClock())
    try:
        async with asyncio.timeout(4.6):
            await asyncio.gather(*(work(budget) for _ in range(3)))
    except TimeoutError:
        pass

asyncio.run(main())
"""


def test_processes_share_one_budget_and_survive_a_killed_one(tmp_path: Path) -> None:
    """The workers' lines stand for a venue that counts: at most 600 per 2 s."""
    command = [sys.executable, "-c", WORKER, str(tmp_path / "budget.sqlite")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    victim = workers[0].stdout
    assert victim is not None
    first = [victim.readline() for _ in range(30)]
    workers[0].kill()
    lines = [worker.communicate(timeout=30)[0].splitlines() for worker in workers]
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, 0, 0, 0]
    assert all(lines[1:])
    counted = sorted((int(line), 4) for line in [*first, *chain.from_iterable(lines)])
    assert heaviest(counted, 2 * SECOND) <= 600


class DyingClock(VirtualClock):
    """Whoever sleeps by it does not wake up any more after 0.4 s, like a process that was killed."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.steady() > 2 * SECOND // 5:
            await asyncio.Event().wait()


def test_who_shares_a_budget_with_one_that_dies_uses_it_up(tmp_path: Path) -> None:
    """On a given clock: four times three that spend, as in processes of their own; 90 % of 600 per 2 s."""
    counted, chance = list[tuple[int, int]](), random.Random(4)

    async def work(budget: RateLimiter, clock: VirtualClock) -> None:
        while True:
            booking = await budget.spend(4)
            await clock.sleep(0.03 * chance.random())
            counted.append((clock.now(), 4))
            await clock.sleep(0.03 * chance.random())
            budget.learn(booking, None, Us(0))

    async def main(loop: VirtualLoop) -> None:
        limits = (Limit(600, Us(2 * SECOND)),)
        clocks = [DyingClock(loop, NOON), *(VirtualClock(loop, NOON) for _ in range(3))]
        budgets = [RateLimiter(tmp_path / "budget.sqlite", limits, 0.95, clock) for clock in clocks]
        with suppress(TimeoutError):
            async with asyncio.timeout(4.6):
                await asyncio.gather(
                    *(work(*pair) for pair in zip(budgets, clocks, strict=True) for _ in range(3))
                )

    run_virtually(main)
    assert heaviest(counted, 2 * SECOND) <= 600
    two_periods = sum(weight for at, weight in counted if at < counted[0][0] + 4 * SECOND)
    assert two_periods >= 0.9 * 2 * 600
