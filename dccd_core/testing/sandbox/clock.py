"""The sandbox's own clock: the machine's, shifted, or stopped."""

import time

from dccd_core.domain.timespan import Ns


class SandboxClock:
    """Follows the machine until it is set."""

    def __init__(self) -> None:
        self._shift = 0
        self._stopped_at: Ns | None = None

    def now(self) -> Ns:
        return Ns(time.time_ns() + self._shift) if self._stopped_at is None else self._stopped_at

    def set(self, now: Ns | None, *, frozen: bool) -> None:
        """Show ``now`` and stop there, or run on from there; None follows the machine again."""
        self._stopped_at = now if frozen else None
        self._shift = 0 if now is None else now - time.time_ns()
