"""Try again while that can help, and not for ever."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from dccd_core.domain.errors import DccdError, Throttled
from dccd_core.domain.timespan import SECOND
from dccd_core.net.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """At most ``attempts``, and no pause that would end later than ``total_s`` after the first began.

    Pauses are random between 0 and an end that starts at ``first_s`` and doubles up to ``longest_s``.
    """

    attempts: int = 6
    total_s: float = 300.0
    first_s: float = 1.0
    longest_s: float = 30.0

    def pause_s(self, attempt: int, error: DccdError, chance: float) -> float:
        """Return how long to wait after failed ``attempt`` (from 1 on), and at least what the venue said."""
        pause_s = chance * min(self.longest_s, self.first_s * 2 ** (attempt - 1))
        return max(pause_s, error.wait_s or 0.0) if isinstance(error, Throttled) else pause_s


_DEFAULT: Final = Policy()


async def retry(
    action: Callable[[], Awaitable[T]],
    clock: Clock,
    policy: Policy = _DEFAULT,
    chance: Callable[[], float] = random.random,
) -> T:
    """Repeat ``action`` while its error is ``retryable``; the last error goes up, its hint saying how often.

    A throttled request waits here as long as the venue said, which is when the breaker closes too: it does
    not wait twice. ``chance`` gives numbers in [0, 1).
    """
    began = clock.now()
    attempt = 1
    while True:
        try:
            return await action()
        except DccdError as e:
            if not e.retryable:
                raise
            pause_s = policy.pause_s(attempt, e, chance())
            passed_s = (clock.now() - began) / SECOND
            if attempt == policy.attempts or passed_s + pause_s > policy.total_s:
                tried = f"gave up after {attempt} attempt{'s' * (attempt > 1)} in {passed_s:.0f} s"
                e.hint = f"{tried}; {e.hint}" if e.hint else tried
                raise
        await clock.sleep(pause_s)
        attempt += 1
