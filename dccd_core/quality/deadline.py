"""Until when what is not proven yet can still be had, where a venue shows it for a limited time only. Pure.

Belongs here: what follows of ledgers and of how far back an endpoint answers. Does not: who is told of it,
and what is asked for first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dccd_core.adapter.contract import FULL, NOW, Reach
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, ZERO, TimeRange, Us, iso
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.coverage import Gap, gaps
from dccd_core.quality.reach import edge_of, is_exact, shown_for, shown_since

RISK: Final = 4
"""What has less left than one part in so many of the time for which it is shown is at risk.

Where that time is an estimate rows may come so many times as fast as on the busiest day: it is, too, when
only one part of it has passed.
"""
_NAMED: Final = 3
_UNITS: Final = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


class Safety(StrEnum):
    """How it is with what a venue shows for a limited time."""

    SAFE = "safe"
    AT_RISK = "at risk"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Deadline:
    """What is still to be fetched of a perishable dataset, and until when, as it is at the moment ``now``.

    ``shown``: for how long the venue shows a row; None: nobody can say yet. ``exact``: whether that is its
    word, and not an estimate by how fast rows came so far. ``since``: the first moment that is not proven and
    can still be had; ``at``: when it cannot be had any more; both are None when nothing is to come.
    ``due``: whether anything of it is final by now. ``lost``: what cannot be had any more, in order; what
    lies before ``edge`` and was never collected is no loss, but cannot be had either.
    """

    now: Us
    shown: Us | None
    exact: bool
    since: Us | None
    at: Us | None
    due: bool
    lost: tuple[Gap, ...] = ()
    edge: Us = ZERO

    @property
    def risk_at(self) -> Us | None:
        """From when on it is at risk unless somebody fetches it; None: never."""
        return None if self.at is None else Us(self.at - self.margin)

    @property
    def margin(self) -> Us:
        """For how long before its deadline something is at risk."""
        part = (self.shown or ZERO) // RISK
        return Us(part if self.exact else (self.shown or ZERO) - part)

    def within(self, part: TimeRange) -> Us | None:
        """Return until when what is missing of ``part`` can be had; None: it is no matter of time."""
        if self.at is None or self.since is None or self.shown is None:
            return self.at
        return Us(max(self.since, part.start) + self.shown)

    @property
    def at_risk(self) -> bool:
        """Whether what can be had now may soon be lost."""
        return self.due and self.risk_at is not None and self.now >= self.risk_at

    @property
    def safety(self) -> Safety:
        if self.lost:
            return Safety.LOST
        return Safety.AT_RISK if self.at_risk else Safety.SAFE

    def __str__(self) -> str:
        """Say it in a line: what is lost and when, what is at risk, or until when it is safe."""
        lost = [self.said_lost(gap) for gap in self.lost[:_NAMED]]
        if more := self.lost[_NAMED:]:
            length = said_length(Us(sum(gap.span.length for gap in more)))
            lost.append(f"{len(more)} more parts are lost, {length}")
        if parts := [*lost, *([self.risk] if self.risk else [])]:
            return "; ".join(parts)
        return f"{Safety.SAFE} until {self._when(self.at)}" if self.at is not None else str(Safety.SAFE)

    def said_lost(self, gap: Gap) -> str:
        """Name what is lost, since when and why."""
        part, shown = gap.span, self.shown or ZERO
        first, last = Us(part.start + shown), Us(part.end + shown)
        when = f"between {self._when(first)} and {self._when(last)}"
        gone = f"gone {when}" if last <= self.now else f"more of it from {self._when(first)} on"
        what = f"{iso(part.start)} to {iso(part.end)} ({said_length(part.length)})"
        return f"{Safety.LOST}: {what}, {gone}: {gap.why}"

    @property
    def risk(self) -> str:
        """What is at risk and until when; empty when nothing is."""
        if not self.at_risk or self.since is None or self.at is None:
            return ""
        if self.shown is None:
            return f"{Safety.AT_RISK}: nothing is collected yet, and only the newest rows are ever shown"
        begins = f"{Safety.AT_RISK}: what came from {iso(_second(self.since))} on"
        if self.at <= self.now:
            return f"{begins} is being lost at this moment"
        left = said_length(Us(self.at - self.now))
        return f"{begins} can be had until {self._when(self.at)} only, {left} from now"

    def _when(self, at: Us) -> str:
        return iso(_second(at)) if self.exact else f"about {iso(_second(at))}"


def deadline(  # noqa: PLR0913 -- of what, how long it is shown, what is wanted of it
    dataset: Dataset,
    states: Mapping[str, State],
    reach: Reach,
    wanted: TimeRange,
    now: Us,
    accepted: Sequence[Accepted] = (),
    *,
    over: bool = False,
) -> Deadline | None:
    """Return until when what is missing of a dataset can be had; None where it does not perish.

    Args:
        dataset: which one.
        states: all of its partitions, by key, with what its tail says.
        reach: how far back what is asked for it answers.
        wanted: from when on it is wanted, until when it is final by now, or until its end.
        now: this moment.
        accepted: losses that somebody has taken as they are: they are lost no more.
        over: nothing is to come after ``wanted``.
    """
    if reach in (FULL, NOW):
        return None
    shown, exact = shown_for(reach, dataset.span, states), is_exact(dataset, reach)
    edge = edge_of(dataset, states, reach, now)
    start = max(wanted.start, shown_since(dataset, states, reach, now))  # what nobody collected is no loss
    span = TimeRange(start, max(start, wanted.end))
    missing = [part for gap in gaps(dataset, states, span) for part in _without(gap, accepted)]
    lost = _joined(part for gap in missing if (part := _clipped(gap, TimeRange(ZERO, edge))))
    left = [part for gap in missing if (part := _clipped(gap, TimeRange(edge, max(edge, span.end))))]
    since = _since(left, max(span.end, edge), over=over)
    if since is None:
        return Deadline(now, shown, exact, None, None, due=False, lost=lost, edge=edge)
    at = now if shown is None else Us(since + shown)
    return Deadline(now, shown, exact, since, at, bool(left), lost, edge)


def said_length(length: Us) -> str:
    """Write a length of time for people, in its two largest units.

    >>> said_length(Us(90 * MINUTE)), said_length(Us(40 * DAY)), said_length(Us(500_000))
    ('1 h 30 min', '40 d', '0 s')
    """
    rest, said = int(length), list[str]()
    for unit, name in _UNITS:
        amount, rest = divmod(rest, unit)
        if amount:
            said.append(f"{amount} {name}")
        elif said:
            break
    return " ".join(said[:2]) or "0 s"


def _since(left: Sequence[Gap], settled: Us, *, over: bool) -> Us | None:
    """Return the first moment that can be lost; None when there is none, and none is to come."""
    if left:
        return left[0].span.start
    return None if over else settled


def _without(gap: Gap, accepted: Sequence[Accepted]) -> Iterator[Gap]:
    for part in gap.span.minus(one.span for one in accepted):
        yield gap if part == gap.span else replace(gap, span=part, missing=None)


def _clipped(gap: Gap, span: TimeRange) -> Gap | None:
    part = gap.span.clip(span)
    return part and (gap if part == gap.span else replace(gap, span=part, missing=None))


def _joined(parts: Iterable[Gap]) -> tuple[Gap, ...]:
    """Return parts in order of time, those joined that touch and have one reason."""
    joined = list[Gap]()
    for gap in parts:
        before = joined[-1] if joined else None
        if before is not None and before.span.end >= gap.span.start and before.why == gap.why:
            end = max(before.span.end, gap.span.end)
            joined[-1] = Gap(TimeRange(before.span.start, end), None, gap.why)
        else:
            joined.append(gap)
    return tuple(joined)


def _second(at: Us) -> Us:
    return Us(at - at % SECOND)
