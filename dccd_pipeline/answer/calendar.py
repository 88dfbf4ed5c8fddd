"""What is proven of each day of a dataset, as a letter a day. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Final

import numpy as np

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import DAY, TimeRange, Us, moment, union
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import ACCEPTED
from dccd_core.quality.coverage import Gap, covered, gaps, promises, proven_until

PROVEN: Final = "p"
ELSEWHERE: Final = "e"
GAP: Final = "g"
SKIPPED: Final = "n"
BEHIND: Final = "b"
ACCEPTED_GAP: Final = "a"
PARTLY: Final = "h"
NOTHING: Final = "."
MEANING: Final[Mapping[str, str]] = {
    PROVEN: "proven",
    ELSEWHERE: "proven, held by a remote",
    ACCEPTED_GAP: "proven but for what was accepted",
    GAP: "a gap nobody can explain",
    SKIPPED: "never asked for",
    PARTLY: "proven so far, the rest of the day is not there yet",
    BEHIND: "not there yet",
    NOTHING: "not wanted",
}
"""What each letter says."""
_MOST_NOTES: Final = 200
_MOST_GAPS: Final = 20


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of a dataset from ``first`` on, a letter each; ``notes``: what to say of some, by number.

    ``rows``: how many each partition has, by its key, in order. ``gaps``: the newest of what is absent and
    nobody can explain; ``left_out``: how many more there are.
    """

    first: date
    cells: str
    notes: Mapping[int, str]
    rows: Mapping[str, int]
    gaps: Sequence[Gap] = ()
    left_out: int = 0

    @property
    def runs(self) -> list[tuple[str, int]]:
        """The cells as runs of one letter."""
        return [(letter, sum(1 for _ in run)) for letter, run in groupby(self.cells)]


def calendar(dataset: Dataset, states: Mapping[str, State], wanted: TimeRange) -> Calendar:
    """Return what is proven of each day in which something is wanted."""
    start = Us(wanted.start - wanted.start % DAY)
    edges = np.arange(start, wanted.end + DAY, DAY, dtype=np.int64)
    asked = _per_day(edges, [part for one in covered(states) if (part := one.clip(wanted))])
    lacks = [gap for gap in gaps(dataset, states, wanted) if gap.missing is not None]
    missing = _per_day(edges, union(gap.span for gap in lacks))
    due = _per_day(edges, [wanted])
    taken = _per_day(edges, _accepted(states))
    away = _per_day(
        edges, [partition_span(dataset.grain, key) for key, state in states.items() if state.elsewhere]
    )
    until = proven_until(states) or wanted.start
    pictures = not promises(dataset, states)
    cells = np.full(due.size, PROVEN)
    cells[away > 0] = ELSEWHERE
    cells[taken > 0] = ACCEPTED_GAP
    cells[(asked < due) & (edges[:-1] < until)] = NOTHING if pictures else SKIPPED
    late = (asked < due) & (edges[1:] > until)
    cells[late] = BEHIND
    cells[late & (asked > 0)] = PARTLY
    cells[missing > 0] = GAP
    cells[due == 0] = NOTHING
    notes: dict[int, str] = {}
    for gap in lacks[-_MOST_NOTES:]:
        day = (gap.span.start - start) // DAY
        notes[day] = f"{notes[day]}; " if day in notes else ""
        notes[day] += f"{gap.missing:,} missing: {gap.why}"
    counts = {key: state.rows + state.unfolded for key, state in sorted(states.items())}
    shown = lacks[-_MOST_GAPS:]
    first, letters = moment(start).date(), "".join(cells.tolist())
    return Calendar(first, letters, notes, counts, shown, len(lacks) - len(shown))


def _accepted(states: Mapping[str, State]) -> list[TimeRange]:
    holes = (hole for state in states.values() for hole in state.ledger.holes)
    return union(hole.span for hole in holes if (hole.proof or "").startswith(ACCEPTED))


def _per_day(edges: np.ndarray, spans: Sequence[TimeRange]) -> np.ndarray:
    """Return how much of each day lies in ``spans``, which are in order and apart: us."""
    if not spans:
        return np.zeros(edges.size - 1, np.int64)
    starts = np.array([span.start for span in spans], np.int64)
    ends = np.array([span.end for span in spans], np.int64)
    before = np.concatenate([[0], np.cumsum(ends - starts)])
    at = np.searchsorted(starts, edges, side="right") - 1
    inside = np.where(at >= 0, np.minimum(edges, ends[at]) - starts[at], 0)
    return np.diff(np.where(at >= 0, before[np.maximum(at, 0)] + inside, 0))
