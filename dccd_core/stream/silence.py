"""For how long the silence of a topic is explained by how often it is heard of. Pure."""

from math import exp
from typing import Final

from dccd_core.domain.timespan import MINUTE, SECOND, ZERO, Us

_MEMORY_S: Final = 600.0
_GAPS: Final = 20
"""A silence as long as so many gaps between messages needs a proof.

If trades came independently it would be 9 in a thousand million gaps. Real ones come in bursts: of a
thousand trades of XBTUSDT half came within a hundredth of a second, and the longest gaps were 18, 15 and 15
times the mean (Kraken, recorded by REST).
"""
_LEAST: Final = Us(10 * SECOND)
_MOST: Final = Us(10 * MINUTE)
_UNKNOWN: Final = Us(30 * SECOND)
"""What is granted to a topic that was hardly heard of yet."""
_KNOWN: Final = 5.0


class Pace:
    """How often a topic is heard of, on our steady clock; what came long ago counts ever less.

    Args:
        now: that clock.
        most: no silence is longer without a proof.
    """

    def __init__(self, now: Us, most: Us = _MOST) -> None:
        self._most = most
        self.heard = now
        """When it was last heard of, or proven to be quiet."""
        self.lag = ZERO
        """How old the newest of it was when it came."""
        self._count = 0.0
        self._time_s = 0.0
        self._asked_again = ZERO
        self._next = ZERO

    def count(self, now: Us, count: int) -> None:
        """Note that ``count`` messages came since this was last noted."""
        if now > self.heard:
            passed_s = (now - self.heard) / SECOND
            fade = exp(-passed_s / _MEMORY_S)
            self._count *= fade
            self._time_s = self._time_s * fade + passed_s
            self.heard = now
        self._count += count
        self._asked_again = ZERO

    def beat(self, now: Us) -> None:
        """Note a word of the venue about the topic that is no row of it."""
        self.heard = max(now, self.heard)

    @property
    def allowed(self) -> Us:
        """For how long its silence needs no proof."""
        if self._count < _KNOWN:
            return _UNKNOWN
        return Us(min(self._most, max(_LEAST, round(_GAPS * SECOND * self._time_s / self._count))))

    def silent(self, now: Us) -> bool:
        return now - self.heard > self.allowed

    def alarming(self, now: Us) -> bool:
        """Whether it is silent although there was time to prove that it is only quiet."""
        return now - self.heard > self.allowed + max(_UNKNOWN, 2 * self._asked_again)

    def due(self, now: Us) -> bool:
        """Whether its silence is to be asked about."""
        return self.silent(now) and now >= self._next

    def ask(self, now: Us) -> None:
        """Note that it is asked about: the next time is ever later, as long as it is not heard of."""
        wait = min(_MOST, max(_LEAST, 2 * self._asked_again))
        self._asked_again, self._next = Us(wait), Us(now + wait)
