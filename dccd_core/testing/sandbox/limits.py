"""What a venue lets one address spend, and what it does to those who overspend."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from dccd_core.domain.timespan import DAY, SECOND, ZERO, Us


class Style(StrEnum):
    """How a venue counts: in windows of its clock, over any period, or as tokens that flow back."""

    WINDOW = "window"
    SLIDING = "sliding"
    BUCKET = "bucket"


@dataclass(frozen=True, slots=True)
class Rule:
    """At most ``amount`` of weight in a ``period``, for the routes of a ``pool``.

    More is refused (429) until there is room again; with ``block`` everything is refused that long. After
    ``patience`` more refusals in the same window the address is banned (418), at first for two windows,
    twice as long each time, at most for three days; without ``patience`` never. ``burst`` is what a BUCKET
    holds.
    """

    amount: int
    period: Us
    style: Style = Style.SLIDING
    pool: str = ""
    patience: int | None = None
    block: Us = ZERO
    burst: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request came to: the weight used of the present period, and whether it is answered (200).

    ``until`` is when a refused one may come again.
    """

    used: int
    status: int
    until: Us

    def wait_s(self, now: Us) -> int:
        return -(-(self.until - now) // SECOND)


class Meter(Protocol):
    """Counts what was spent; ``now`` comes from the caller's clock."""

    rule: Final[Rule]

    def charge(self, weight: int, now: Us) -> Charge: ...


_LONGEST_BAN: Final = 3 * DAY


class Uncounted:
    """Refuses nothing, but counts by windows."""

    def __init__(self, rule: Rule) -> None:
        self.rule: Final = rule
        self._window = -1
        self._used = 0

    def charge(self, weight: int, now: Us) -> Charge:
        window = now // self.rule.period
        self._used = weight + (self._used if window == self._window else 0)
        self._window = window
        return Charge(self._used, 200, now)


class WindowMeter:
    """Windows that begin with the venue's clock."""

    def __init__(self, rule: Rule) -> None:
        self.rule: Final = rule
        self._window = -1
        self._used = 0
        self._refused = 0
        self._bans = 0
        self._banned_until = Us(0)

    def charge(self, weight: int, now: Us) -> Charge:
        window = now // self.rule.period
        if window != self._window:
            self._window, self._used, self._refused = window, 0, 0
        self._used += weight
        if now < self._banned_until:
            return Charge(self._used, 418, self._banned_until)
        if self._used <= self.rule.amount:
            return Charge(self._used, 200, now)
        self._refused += 1
        if self.rule.patience is not None and self._refused > self.rule.patience + 1:
            return self._ban(now)
        return Charge(self._used, 429, Us((window + 1) * self.rule.period))

    def _ban(self, now: Us) -> Charge:
        self._banned_until = Us(now + min(2 * self.rule.period << self._bans, _LONGEST_BAN))
        self._bans += 1
        return Charge(self._used, 418, self._banned_until)


class SlidingMeter:
    """Any period counts, wherever it begins."""

    def __init__(self, rule: Rule) -> None:
        self.rule: Final = rule
        self._spent = deque[tuple[Us, int]]()
        self._used = 0
        self._blocked_until = Us(0)

    def charge(self, weight: int, now: Us) -> Charge:
        while self._spent and self._spent[0][0] <= now - self.rule.period:
            self._used -= self._spent.popleft()[1]
        if now < self._blocked_until:
            return Charge(self._used, 429, self._blocked_until)
        if self._used + weight > self.rule.amount:
            frees = Us(self._spent[0][0] + self.rule.period) if self._spent else now
            self._blocked_until = Us(now + self.rule.block)
            return Charge(self._used, 429, max(frees, self._blocked_until))
        self._spent.append((now, weight))
        self._used += weight
        return Charge(self._used, 200, now)


class BucketMeter:
    """Tokens that flow back evenly, up to ``burst``."""

    def __init__(self, rule: Rule) -> None:
        self.rule: Final = rule
        self._cost: Final = rule.period // rule.amount
        self._empty_since = Us(0)
        """When the bucket would have been empty: what has flowed back since is there."""

    def charge(self, weight: int, now: Us) -> Charge:
        self._empty_since = max(self._empty_since, Us(now - self.rule.burst * self._cost))
        there = (now - self._empty_since) // self._cost
        used = self.rule.burst - there
        if there < weight:
            return Charge(used, 429, Us(self._empty_since + weight * self._cost))
        self._empty_since = Us(self._empty_since + weight * self._cost)
        return Charge(used + weight, 200, now)


def meter(rule: Rule, *, enforced: bool) -> Meter:
    if not enforced:
        return Uncounted(rule)
    styles = {Style.WINDOW: WindowMeter, Style.SLIDING: SlidingMeter, Style.BUCKET: BucketMeter}
    return styles[rule.style](rule)
