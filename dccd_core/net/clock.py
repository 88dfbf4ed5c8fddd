"""Time as something that is handed in: the system's in production, a manual one in tests."""

import asyncio
import time
from heapq import heappop, heappush
from typing import Final, Protocol

from dccd_core.domain.timespan import SECOND, Us

_TURNS: Final = 20
"""Rounds of the event loop others get, to go to sleep too, before a manual clock moves on."""


class Clock(Protocol):
    def now(self) -> Us:
        """Return the wall clock's time, UTC. It may be stepped, backwards too."""
        ...

    def steady(self) -> Us:
        """Return the time of a clock that is never stepped, for what lies between two moments."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a step of the wall clock makes it neither shorter nor longer."""
        ...


class SystemClock:
    def now(self) -> Us:
        return Us(time.time_ns() // 1_000)

    def steady(self) -> Us:
        return Us(time.monotonic_ns() // 1_000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A double: time passes only while everybody sleeps, and then at once.

    Any number of coroutines may sleep; they wake in the order of their times, equal ones first come first
    served, and each sees its own time.
    """

    def __init__(self, now: Us) -> None:
        self._zero = int(now)
        self._passed = 0
        self._slept = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._mover: asyncio.Task[None] | None = None

    def now(self) -> Us:
        return Us(self._zero + self._passed)

    def steady(self) -> Us:
        return Us(self._passed)

    def set(self, now: Us) -> None:
        """Step the wall clock, forwards or back. Sleepers do not notice."""
        self._zero = now - self._passed

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._slept += 1
        heappush(self._sleepers, (self._passed + max(0, round(seconds * SECOND)), self._slept, woken))
        if self._mover is None or self._mover.done():
            self._mover = asyncio.create_task(self._move())
        await woken

    async def _move(self) -> None:
        while self._sleepers:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            at, _, woken = heappop(self._sleepers)
            if not woken.done():
                self._passed = max(self._passed, at)
                woken.set_result(None)
