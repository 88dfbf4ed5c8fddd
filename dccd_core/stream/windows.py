"""Which time of each dataset lies between its recordings and is still to be asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.stream.claim import LATENESS, PAUSED, REMOVED
from dccd_core.stream.snapshots import Turn


@dataclass(slots=True)
class _Past:
    """``start``: from when on it is to be there. ``done``: what was recorded, asked for or given up.

    ``end``: where its last recording ended, and why.
    """

    start: Us | None = None
    end: Turn | None = None
    done: list[TimeRange] = field(default_factory=list[TimeRange])
    active: dict[int, Us] = field(default_factory=dict[int, Us])
    agreed: dict[int, Us] = field(default_factory=dict[int, Us])
    """The connections on which the venue agreed to send it, of which nothing is proven yet."""
    left_at: Us | None = None
    """Since when it is not to be recorded: what follows is not asked for."""
    ids: dict[Us, int] = field(default_factory=dict[Us, int])
    """The last id before a border between what is there and what is not, where ids follow one another."""


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
                past.done = union([*past.done, TimeRange(past.start, begun)])

    def last_end(self, dataset: Dataset) -> Turn | None:
        """Return where the last recording of a dataset ended, and why; None while there was none."""
        past = self._pasts.get(dataset)
        return past.end if past else None

    def agreed(self, dataset: Dataset, who: int, at: Us) -> None:
        """Note that the venue agreed to send it: what was missed until ``at`` can be asked for already."""
        past = self._pasts.setdefault(dataset, _Past())
        self._return(past, at)
        past.agreed[who] = at

    def gone(self, dataset: Dataset, who: int) -> None:
        """Note that a connection does not bring it any more."""
        if (past := self._pasts.get(dataset)) is not None:
            past.agreed.pop(who, None)

    def began(self, dataset: Dataset, who: int, at: Us, after_id: int | None = None) -> None:
        """Note that a connection records all of it from ``at`` on; ``after_id``: all ids after that."""
        past = self._pasts.setdefault(dataset, _Past())
        past.agreed.pop(who, None)
        self._know(past, at, after_id)
        self._return(past, at)
        past.start = at if past.start is None else past.start
        past.active[who] = at

    def ended(self, dataset: Dataset, who: int, end: Turn) -> None:
        """Note that a connection recorded all of it until then."""
        past = self._pasts.setdefault(dataset, _Past())
        self._know(past, end.at, end.id)
        began = past.active.pop(who, end.at)
        past.done = union([*past.done, TimeRange(min(began, end.at), end.at)])
        if end.since is not None and end.since < end.at:  # what was said of it is withdrawn
            gone = TimeRange(end.since, end.at)
            past.done = [part for span in past.done for part in span.minus([gone])]
        if not past.active:
            past.end = end if past.end is None or end.at >= past.end.at else past.end
        self.left(dataset, end)

    def left(self, dataset: Dataset, end: Turn) -> None:
        """Note that it is not to be recorded from then on, if that is the reason."""
        past = self._pasts.setdefault(dataset, _Past())
        past.left_at = end.at if end.reason in (PAUSED, REMOVED) else past.left_at

    def settled(self, dataset: Dataset, span: TimeRange, last_id: int | None = None) -> None:
        """Note that nothing is to be asked for there any more; ``last_id``: the last one before its end."""
        past = self._pasts.setdefault(dataset, _Past())
        past.done = union([*past.done, span])
        self._know(past, span.end, last_id)
        borders = {border for gap in self.open(dataset) for border in (gap.start, gap.end)}
        past.ids = {at: last for at, last in past.ids.items() if at in borders or at >= span.end}

    def ids(self, dataset: Dataset, window: TimeRange) -> range | None:
        """Return the ids that are missing in an open window; None where nobody knows them."""
        known = self._pasts[dataset].ids
        last, before = known.get(window.start), known.get(window.end)
        if last is None or before is None:
            return None
        if before < last and window.length > LATENESS + 1:
            return None  # no repetition of what came last: the venue may count anew
        return range(last + 1, max(last, before) + 1)

    def id_before(self, dataset: Dataset, border: Us) -> int | None:
        """Return the last id before a border between what is there and what is not; None: nobody knows it."""
        past = self._pasts.get(dataset)
        return past.ids.get(border) if past else None

    def open(self, dataset: Dataset) -> list[TimeRange]:
        """Return what lies between recordings and is still to be asked for, in order."""
        past = self._pasts.get(dataset)
        if past is None or past.start is None or not (past.active or past.agreed):
            return []
        last = max([*past.active.values(), *past.agreed.values()])
        if last <= past.start:
            return []
        going_on = [TimeRange(at, last) for at in past.active.values() if at < last]
        return TimeRange(past.start, last).minus([*past.done, *going_on])

    def _return(self, past: _Past, at: Us) -> None:
        """Note that it is recorded again, after it was not to be."""
        if past.left_at is not None:
            past.done.append(TimeRange(past.left_at, max(at, past.left_at)))
            past.left_at = None

    def _know(self, past: _Past, border: Us, last_id: int | None) -> None:
        """Note the last id before a border; two that differ are none."""
        if last_id is None or past.ids.get(border, last_id) != last_id:
            past.ids.pop(border, None)
        else:
            past.ids[border] = last_id
