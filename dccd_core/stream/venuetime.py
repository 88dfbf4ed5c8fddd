"""What a venue's clock shows: by what it said of it, on a clock of ours that is never stepped. Pure."""

from collections import deque
from statistics import median_low
from typing import Final

from dccd_core.domain.timespan import SECOND, Us

_TOLERANCE: Final = Us(5 * SECOND)
"""How much further than that a message may be: servers of one venue differ, and we measure badly."""
_SAMPLES: Final = 31
_ENOUGH: Final = 5
_NO_END: Final = Us(2**63 - 1)
_DRIFT: Final = Us(30 * SECOND)
"""How far messages may lead away from what REST said: not a day, but what two clocks drift apart in weeks."""


class VenueTime:
    """The venue's clock.

    REST answers carry its time (whole seconds); until one came, and where none does, the messages of most
    topics say it, and until enough came, our own wall clock as it was in the beginning.

    Args:
        wall: our wall clock.
        steady: our steady clock at that moment.
    """

    def __init__(self, wall: Us, steady: Us) -> None:
        self._offset = wall - steady
        self._told = False
        self._samples: deque[int] = deque(maxlen=_SAMPLES)

    def tell(self, date: Us, steady: Us) -> None:
        """Take the time of a REST answer, cut to whole seconds, that came at ``steady``."""
        self._offset, self._told = date + SECOND - steady, True
        self._samples.clear()

    def sample(self, at: Us, steady: Us) -> None:
        """Take the newest time of some messages that came at ``steady``."""
        self._samples.append(at - steady)
        if len(self._samples) < _ENOUGH:
            return
        usual = median_low(self._samples)
        if not self._told or 0 < usual - self._offset < _DRIFT:
            self._offset = usual

    def now(self, steady: Us) -> Us:
        """Return what it shows, to a second or so."""
        return Us(steady + self._offset)

    def latest(self, steady: Us) -> Us:
        """Return the latest time that a message may tell; as long as nobody knows, any."""
        known = self._told or len(self._samples) >= _ENOUGH
        return Us(steady + self._offset + _TOLERANCE) if known else _NO_END
