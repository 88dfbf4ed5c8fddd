"""So many bytes a second, and no more, for all threads of a process that share one."""

import threading
import time
from collections.abc import Callable
from typing import Final

STEP: Final = 1 << 16
"""Bytes that are sent at once where a limit is kept: who waits for more of them waits too long at a time."""
_AHEAD_S: Final = 0.25
"""A burst of that much of a second is no harm."""


class Bandwidth:
    """A limit of bytes a second.

    Args:
        limit: bytes a second.
        steady: seconds of a clock that is never stepped.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        limit: int,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._limit = limit
        self._steady = steady
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free = steady()
        """When all that was let through so far will have been sent at that pace."""

    def __call__(self, size: int) -> None:
        """Wait until ``size`` more bytes may be sent."""
        with self._lock:
            now = self._steady()
            self._free = max(self._free, now - _AHEAD_S) + size / self._limit
            wait = self._free - now
        if wait > 0:
            self._sleep(wait)
