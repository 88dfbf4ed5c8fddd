"""What a venue lets one address spend, and what it does to those who overspend."""

from dataclasses import dataclass
from typing import Final

from dccd_core.domain.timespan import DAY, SECOND, Ns


@dataclass(frozen=True, slots=True)
class WeightRule:
    """At most ``amount`` of weight in each window since the epoch.

    More is refused (429). After ``patience`` more refusals in the same window the address is banned
    (418), at first for two windows, twice as long each time, at most for three days.
    """

    amount: int
    window: Ns
    patience: int
    enforced: bool


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request came to. ``until`` is when a refused one may come again."""

    used: int
    status: int
    until: Ns

    def wait_s(self, now: Ns) -> int:
        return -(-(self.until - now) // SECOND)


_LONGEST_BAN: Final = 3 * DAY


class WeightMeter:
    """Counts what was spent in the current window; ``now`` comes from the caller's clock."""

    def __init__(self, rule: WeightRule) -> None:
        self.rule: Final = rule
        self._window = -1
        self._used = 0
        self._refused = 0
        self._bans = 0
        self._banned_until = Ns(0)

    def charge(self, weight: int, now: Ns) -> Charge:
        window = now // self.rule.window
        if window != self._window:
            self._window, self._used, self._refused = window, 0, 0
        self._used += weight
        if not self.rule.enforced:
            return Charge(self._used, 200, now)
        if now < self._banned_until:
            return Charge(self._used, 418, self._banned_until)
        if self._used <= self.rule.amount:
            return Charge(self._used, 200, now)
        self._refused += 1
        if self._refused > self.rule.patience + 1:
            return self._ban(now)
        return Charge(self._used, 429, Ns((window + 1) * self.rule.window))

    def _ban(self, now: Ns) -> Charge:
        self._banned_until = Ns(now + min(2 * self.rule.window << self._bans, _LONGEST_BAN))
        self._bans += 1
        return Charge(self._used, 418, self._banned_until)
