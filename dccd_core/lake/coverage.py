"""What streams brought of each symbol, and why not the rest: told by the marks in live segments. Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.timespan import Ns, TimeSpan, union

BROKE_OFF: Final = "the recording broke off"


@dataclass(frozen=True, slots=True)
class Mark:
    """From ``at`` on (venue time) ``symbol`` is recorded (``began``), or no longer, for a ``reason``."""

    symbol: str
    at: Ns
    began: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _End:
    """A symbol was recorded until ``at``; its segment goes on until ``last``."""

    at: Ns
    last: Ns
    reason: str


class Story:
    """What one segment tells, batch after batch.

    A symbol's coverage goes from its beginning to its end or, where it has none, to the last ``until``.
    """

    def __init__(self) -> None:
        self._began = dict[str, Ns]()
        self._covered = defaultdict[str, list[TimeSpan]](list)
        self._ends = defaultdict[str, list[Mark]](list)
        self._until: Ns | None = None

    def add(self, until: Ns | None, marks: Sequence[Mark]) -> None:
        for mark in marks:
            if mark.began:
                self._began.setdefault(mark.symbol, mark.at)
            else:
                self._cover(mark.symbol, self._began.pop(mark.symbol, mark.at), mark.at)
                self._ends[mark.symbol].append(mark)
        if until is not None:
            self._until = until if self._until is None else max(until, self._until)

    @property
    def symbols(self) -> set[str]:
        return {*self._began, *self._covered, *self._ends}

    def covered(self, symbol: str) -> list[TimeSpan]:
        whole = list(self._covered.get(symbol, ()))
        began = self._began.get(symbol)
        if began is not None and self._until is not None and began < self._until:
            whole.append(TimeSpan(began, self._until))
        return union(whole)

    def ends(self, symbol: str) -> list[_End]:
        """Return each end of the symbol's coverage, the segment's own last: it may be no end at all."""
        ends = [
            _End(mark.at, mark.at if self._until is None else self._until, mark.reason)
            for mark in self._ends.get(symbol, ())
        ]
        began = self._began.get(symbol)
        if began is None:
            return ends
        last = began if self._until is None else max(began, self._until)
        return [*ends, _End(last, last, BROKE_OFF)]

    def _cover(self, symbol: str, start: Ns, end: Ns) -> None:
        if start < end:
            self._covered[symbol].append(TimeSpan(start, end))


def covered(stories: Sequence[Story], symbol: str) -> list[TimeSpan]:
    return union(span for story in stories for span in story.covered(symbol))


def lost(stories: Sequence[Story], symbol: str) -> list[tuple[TimeSpan, str]]:
    """Return what lies between an end and the next beginning, in whichever segment, with the end's reason.

    An end that no beginning follows lasts as long as its segment. One that is told again counts once.
    """
    whole = covered(stories, symbol)
    starts = [span.start for span in whole]
    ends = dict[Ns, _End]()
    for end in (end for story in stories for end in story.ends(symbol)):
        known = ends.get(end.at)
        if not _holds(whole, starts, end.at) and (known is None or known.reason == BROKE_OFF):
            ends[end.at] = end
    stops = sorted([*starts, *ends])
    found: list[tuple[TimeSpan, str]] = []
    for at, end in sorted(ends.items()):
        after = bisect_right(stops, at)
        stop = stops[after] if after < len(stops) else end.last
        if stop > at:
            found.append((TimeSpan(at, stop), end.reason))
    return found


def _holds(spans: Sequence[TimeSpan], starts: Sequence[Ns], at: Ns) -> bool:
    n = bisect_right(starts, at) - 1
    return n >= 0 and at < spans[n].end
