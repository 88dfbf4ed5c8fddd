"""Time that passes at once: an event loop that never waits, for replays and for tests without a network.

When nothing can be done now, the loop's time jumps to the next thing that is due. What would run in a thread
runs in line. So a run is the same every time, and ten minutes of it take as long as their work.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from math import ceil
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from dccd_core.domain.timespan import SECOND, Us

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Jump(selectors.SelectSelector):
    """Stands where a loop waits for sockets: waiting is over at once, and no socket ever has anything."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0
        self.stalls = deque[tuple[int, int]]()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            msg = "everybody waits, and nothing is ever due: with virtual time nothing comes from outside"
            raise RuntimeError(msg)
        self.passed += max(0, round(timeout * SECOND))
        while self.stalls and self.stalls[0][0] <= self.passed:
            self.passed = max(self.passed, self.stalls.popleft()[1])
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time begins at 0 and passes only while everybody waits, and then at once."""

    def __init__(self) -> None:
        self._jump: Final = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-7  # more than a float of seconds errs by, less than a microsecond

    @property
    def passed(self) -> Us:
        """How much time has passed."""
        return Us(self._jump.passed)

    def stall(self, since: Us, until: Us) -> None:
        """Let nothing run from ``since`` to ``until``, as ``passed`` counts: what is due then comes late.

        Stalls are given in the order of their times, before they come.
        """
        self._jump.stalls.append((since, until))

    def time(self) -> float:
        return self._jump.passed / SECOND

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call at the first whole microsecond not before ``when``: so a replay meets the same ones."""
        whole = ceil(when * SECOND - 1e-3) / SECOND
        return super().call_at(whole, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run ``func`` in line; who waits for it is told in the next round, as of a thread."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except Exception as e:  # noqa: BLE001 -- it is the waiter's, like a thread's
            self.call_soon(_settle, future, future.set_exception, e)
        else:
            self.call_soon(_settle, future, future.set_result, result)
        return future


def _settle(future: asyncio.Future[Any], settle: Callable[[Any], None], outcome: object) -> None:
    if not future.done():
        settle(outcome)


class VirtualClock:
    """The clock of a virtual loop; its wall clock shows ``now`` at first, and can be stepped."""

    def __init__(self, loop: VirtualLoop, now: Us) -> None:
        self._loop: Final = loop
        self._zero = int(now)

    def now(self) -> Us:
        return Us(self._zero + self._loop.passed)

    def steady(self) -> Us:
        return self._loop.passed

    def step(self, by: int) -> None:
        """Step the wall clock, forwards or back. Sleepers do not notice."""
        self._zero += by

    def stall(self, since: Us, until: Us) -> None:
        """Let nothing run from ``since`` to ``until``, steady time."""
        self._loop.stall(since, until)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run what ``main`` makes, on a virtual loop of its own, to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(main(loop))
