"""How long a stream recorded what it is for, lately: from ledgers, not from runs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, MINUTE, TimeRange, Us, union
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Source
from dccd_core.quality.coverage import covered, gaps

LOOKED_BACK: Final = Us(30 * DAY)
SETTLES: Final = Us(10 * MINUTE)
"""What was recorded is proven a little later: a silence until now that is shorter than this is none."""
FETCHED: Final = "not recorded, asked for since"
UNTOLD: Final = "not recorded"
_MOST: Final = 100
"""So many times without recording are told of a dataset, the newest ones."""


@dataclass(frozen=True, slots=True)
class Uptime:
    """How much of ``window`` a stream recorded of ``dataset``.

    ``window`` begins with the first moment that was recorded, at most ``LOOKED_BACK`` ago. ``share``: of it,
    recorded. ``silent``: when nothing was recorded and why, in order of time; what REST has brought since is
    among it.
    """

    dataset: Dataset
    window: TimeRange
    share: float
    silent: Sequence[tuple[TimeRange, str]]


def uptime(dataset: Dataset, states: Mapping[str, State], now: Us) -> Uptime | None:
    """Return how long ``dataset`` was recorded lately; None when nothing was."""
    asked = (one for state in states.values() for one in state.ledger.asked)
    live = union(one.span for one in asked if one.source is Source.STREAM)
    start = max(min((one.start for one in live), default=now), Us(now - LOOKED_BACK))
    if start >= now or live[-1].end <= start:
        return None
    last = live[-1].end
    window = TimeRange(start, Us(min(now, last)) if now - last < SETTLES else now)
    silent = window.minus(live)
    fetched = covered(states)
    told = [(gap.span, gap.why) for gap in gaps(dataset, states, window)]
    said = chain.from_iterable(_why(one, told, fetched) for one in silent)
    share = 1 - sum(one.length for one in silent) / window.length
    return Uptime(dataset, window, share, list(said)[-_MOST:])


def _why(
    silent: TimeRange, told: Sequence[tuple[TimeRange, str]], fetched: Sequence[TimeRange]
) -> list[tuple[TimeRange, str]]:
    """Return the parts of a silence, each with what is known of it."""
    known = [(part, why) for span, why in told if (part := silent.clip(span))]
    known += [
        (left, FETCHED)
        for span in fetched
        if (part := silent.clip(span))
        for left in part.minus([one for one, _ in known])
    ]
    known += [(left, UNTOLD) for left in silent.minus(union(one for one, _ in known))]
    return sorted(known, key=lambda one: one[0])
