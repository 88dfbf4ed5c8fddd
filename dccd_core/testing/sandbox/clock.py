"""The sandbox's own clock: the machine's, shifted, faster, or stopped."""

import time

from dccd_core.domain.timespan import Ns


class SandboxClock:
    """Follows the machine until it is set."""

    def __init__(self) -> None:
        self._since = self._shown = 0
        self._rate = 1

    def now(self) -> Ns:
        return Ns(self._shown + (time.time_ns() - self._since) * self._rate)

    def set(self, now: Ns | None, *, frozen: bool, rate: int = 1) -> None:
        """Show ``now`` and stop there, or run on from there, ``rate`` times as fast as the machine.

        None: the machine's time, which does not stop.
        """
        self._since = time.time_ns()
        self._shown = self._since if now is None else now
        self._rate = 0 if frozen and now is not None else rate
