"""What a venue's clock shows: by what it said of it, on a clock of ours that is never stepped. Pure."""

from collections import deque
from statistics import median_low
from typing import Final

import polars as pl

from dccd_core.domain.timespan import SECOND, TimeRange, Us, iso
from dccd_core.tables import RECEIVED

_TOLERANCE: Final = Us(5 * SECOND)
"""How much further than that a message may be: servers of one venue differ, and we measure badly."""
_OLD: Final = "it is older than anything that a venue pushes"
_BESIDE: Final = "it came in one message with a time that had not come"
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


_at = pl.col("ts").to_physical()


def by_time(rows: pl.DataFrame, possible: TimeRange) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the rows whose time can be, and the others with a ``reason``, None where there are none.

    A message that tells one time which has not come was written by a clock that is ahead: nothing of it is
    believed. A row that is too old may stand beside good ones, as what happened last, long ago.
    """
    times = rows["ts"].cast(pl.Int64)  # an expression, as ``to_physical`` is one, costs more than a batch
    first, last = times.min(), times.max()
    if isinstance(first, int) and isinstance(last, int) and possible.start <= first and last < possible.end:
        return rows, None
    early, old = _at >= possible.end, _at < possible.start
    strange = rows.select(early.any().over("topic", RECEIVED) | old).to_series()
    why = f"it came before its time, at {iso(Us(possible.end - 1))} at the latest"
    reason = pl.when(early).then(pl.lit(why)).when(old).then(pl.lit(_OLD)).otherwise(pl.lit(_BESIDE))
    return rows.filter(~strange), rows.filter(strange).with_columns(reason=reason)
