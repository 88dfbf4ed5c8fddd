"""How often something is tried that may never help: ever more rarely. Pure."""

from dataclasses import dataclass, field
from typing import Final

from dccd_core.domain.timespan import MINUTE, SECOND, Us

_AGAIN: Final = Us(10 * SECOND)
_AT_LEAST: Final = Us(5 * MINUTE)
_WELL: Final = Us(30 * SECOND)
"""What fails again sooner than this after it stood was no success: the next try comes later."""


@dataclass(slots=True)
class _Tried:
    at: Us
    times: int = 1
    stood: Us | None = None


@dataclass(slots=True)
class Attempts:
    """Tries by name; all times are of our steady clock."""

    _tried: dict[str, _Tried] = field(default_factory=dict[str, _Tried])

    def due(self, name: str, now: Us) -> bool:
        """Whether what failed is to be tried, for the first time or again."""
        tried = self._tried.get(name)
        if tried is None:
            return True
        tried.stood = None
        return now - tried.at >= min(_AT_LEAST, _AGAIN << min(tried.times - 1, 10))

    def again(self, name: str) -> bool:
        """Whether it was tried before."""
        return name in self._tried

    def tries(self, name: str, now: Us) -> None:
        """Note that it is tried now."""
        tried = self._tried.setdefault(name, _Tried(now, 0))
        tried.at, tried.times = now, tried.times + 1

    def restart(self, name: str, now: Us) -> None:
        """Note that a try takes effect only now."""
        if name in self._tried:
            self._tried[name].at = now

    def stand(self, failing: set[str], now: Us) -> None:
        """Note what fails just now; all else stands, and is well again after a while."""
        for name, tried in list(self._tried.items()):
            if name in failing:
                continue
            tried.stood = now if tried.stood is None else tried.stood
            if now - tried.stood > _WELL:
                del self._tried[name]
