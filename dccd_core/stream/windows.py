"""Which time of each dataset lies between its recordings and is still to be asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Ns, TimeSpan, union
from dccd_core.stream.claim import PAUSED, REMOVED
from dccd_core.stream.snapshots import Turn


@dataclass(slots=True)
class _Past:
    """``start``: from when on it is to be there. ``done``: what was recorded, asked for or given up.

    ``end``: where its last recording ended, and why.
    """

    start: Ns | None = None
    end: Turn | None = None
    done: list[TimeSpan] = field(default_factory=list[TimeSpan])
    active: dict[int, Ns] = field(default_factory=dict[int, Ns])
    left_at: Ns | None = None
    """Since when it is not to be recorded: what follows is not asked for."""


class Windows:
    """What a stream's connections left between them, whichever of them did."""

    def __init__(self) -> None:
        self._pasts: dict[Dataset, _Past] = {}

    def resume(self, recorded: Mapping[Dataset, Turn]) -> None:
        """Note where earlier runs of the stream stopped recording datasets, and why."""
        for dataset, end in recorded.items():
            past = self._pasts.setdefault(dataset, _Past())
            begun = past.start
            past.start = end.at if begun is None else min(end.at, begun)
            past.end = past.end or end
            if end.reason in (PAUSED, REMOVED) and begun is None:
                past.left_at = end.at
            elif end.reason in (PAUSED, REMOVED) and begun is not None:
                past.done = union([*past.done, TimeSpan(past.start, begun)])

    def last_end(self, dataset: Dataset) -> Turn | None:
        """Return where the last recording of a dataset ended, and why; None while there was none."""
        past = self._pasts.get(dataset)
        return past.end if past else None

    def began(self, dataset: Dataset, who: int, at: Ns) -> None:
        """Note that a connection records all of it from ``at`` on."""
        past = self._pasts.setdefault(dataset, _Past())
        if past.left_at is not None:
            past.done.append(TimeSpan(past.left_at, max(at, past.left_at)))
            past.left_at = None
        past.start = at if past.start is None else past.start
        past.active[who] = at

    def ended(self, dataset: Dataset, who: int, end: Turn) -> None:
        """Note that a connection recorded all of it until then."""
        past = self._pasts.setdefault(dataset, _Past())
        began = past.active.pop(who, end.at)
        past.done = union([*past.done, TimeSpan(min(began, end.at), end.at)])
        if not past.active:
            past.end = end if past.end is None or end.at >= past.end.at else past.end
        self.left(dataset, end)

    def left(self, dataset: Dataset, end: Turn) -> None:
        """Note that it is not to be recorded from then on, if that is the reason."""
        past = self._pasts.setdefault(dataset, _Past())
        past.left_at = end.at if end.reason in (PAUSED, REMOVED) else past.left_at

    def settled(self, dataset: Dataset, span: TimeSpan) -> None:
        """Note that nothing is to be asked for there any more."""
        past = self._pasts.setdefault(dataset, _Past())
        past.done = union([*past.done, span])

    def open(self, dataset: Dataset) -> list[TimeSpan]:
        """Return what lies between recordings and is still to be asked for, in order."""
        past = self._pasts.get(dataset)
        if past is None or past.start is None or not past.active:
            return []
        last = max(past.active.values())
        if last <= past.start:
            return []
        going_on = [TimeSpan(at, last) for at in past.active.values() if at < last]
        return TimeSpan(past.start, last).minus([*past.done, *going_on])
