"""The sandbox's own clock: the machine's, shifted, faster, or stopped."""

import time
from collections.abc import Callable
from typing import Final

from dccd_core.domain.timespan import Us


def machine_time() -> int:
    """Return the machine's time, in us."""
    return time.time_ns() // 1_000


class SandboxClock:
    """Follows the machine until it is set. ``machine`` tells the machine's time, in us."""

    def __init__(self, machine: Callable[[], int] = machine_time) -> None:
        self._machine: Final = machine
        self._since = self._shown = 0
        self._rate = 1

    def now(self) -> Us:
        return Us(self._shown + (self._machine() - self._since) * self._rate)

    def set(self, now: Us | None, *, frozen: bool, rate: int = 1) -> None:
        """Show ``now`` and stop there, or run on from there, ``rate`` times as fast as the machine.

        None: the machine's time, which does not stop.
        """
        self._since = self._machine()
        self._shown = self._since if now is None else now
        self._rate = 0 if frozen and now is not None else rate
