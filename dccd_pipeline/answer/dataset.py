"""How one configured dataset is: what is wanted of it, what is proven, and what is wrong. Pure.

Belongs here: figures, and a line for each thing that is wrong. Does not: reading anything (gather.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, TimeRange, Us, iso
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import ACCEPTED, Accepted
from dccd_core.quality.coverage import (
    NEVER_ASKED,
    Gap,
    coverage,
    daily_gap_rates,
    gap_ppm,
    promises,
    unexplained,
    wanted_time,
)
from dccd_core.quality.deadline import Deadline
from dccd_pipeline.answer.absent import GONE, with_vanished
from dccd_pipeline.assets.deadlines import deadline_of
from dccd_pipeline.assets.freshness import Standing, standing
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.wanted import wanted_of
from dccd_pipeline.ticks.memory import Failing, said_fails

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Known:
    """What was found out about a dataset. ``states``: of each partition, as file and tail say.

    ``gone``: partitions whose files vanished. ``failing``: how ticks fail at it. ``damage``: why it cannot be
    read; empty when it can. ``found``: what the checks found wrong with its rows, a line each. ``accepted``:
    time that is taken as it is. ``streamed``: a stream records it, too. ``differ``: so many rows are known
    to differ from another source.
    """

    states: Mapping[str, State]
    gone: Sequence[str] = ()
    failing: Failing | None = None
    damage: str = ""
    found: Sequence[str] = ()
    accepted: Sequence[Accepted] = ()
    streamed: bool = False
    differ: int = 0


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """How a dataset is.

    ``wanted``: the time that is wanted by now, None while that has not begun. ``until``: up to where it is
    proven. ``behind``: how far that is from where its schedule should have brought it by now (us).
    ``coverage``: the proven share of ``wanted``; None where no moment is promised. ``gaps``, ``missing``,
    ``longest``: how often, how many rows (None: nobody can say), and how long at most (us) nobody can explain
    what is absent. ``deadline``: until when what is missing can be had; None where it is there for ever.
    ``problems``: a line for each thing that is wrong, with what helps; empty: all is well.
    """

    dataset: Dataset
    entry: str
    wanted: TimeRange | None
    until: Us | None
    behind: Us
    coverage: float | None
    gaps: int
    missing: int | None
    longest: Us
    rows: int
    bytes: int
    quarantined: int
    accepted: int
    error: str
    next_tick: Us | None
    deadline: Deadline | None
    problems: tuple[str, ...]
    gap_ppm_days: Mapping[str, float] = field(default_factory=dict[str, float])
    """How many millionths of each of the newest whole days are not proven, by ISO date."""

    differ: int = 0
    """So many rows are known to differ from what another source says."""

    @property
    def well(self) -> bool:
        return not self.problems

    @property
    def gap_ppm(self) -> float | None:
        """How many millionths of the wanted time are not proven; None where none is promised."""
        return None if self.coverage is None else gap_ppm(self.coverage)


def dataset_status(
    entry: Entry, dataset: Dataset, known: Known, now: Us, next_tick: Us | None
) -> DatasetStatus:
    """Say how a dataset of an entry is. ``next_tick``: when its schedule comes next; None: it has none."""
    states, wanted = known.states, wanted_of(entry, dataset, now)
    had = wanted and wanted_time(dataset, states, now, wanted)
    deadline = deadline_of(entry, dataset, states, now, known.accepted, streamed=known.streamed)
    lacks = _ever_shown(_unexplained(dataset, known, wanted), deadline)
    stands = standing(entry, dataset, states, now, known.failing.cause if known.failing else "")
    behind = _behind(stands)
    perishing = _perishing(entry, dataset, deadline)
    mend = _Mend(entry, next_tick, entry.is_out_of_reach(dataset, now))
    return DatasetStatus(
        dataset=dataset,
        entry=entry.name,
        wanted=wanted,
        until=stands.until,
        behind=behind,
        coverage=_coverage(dataset, known, had),
        gaps=len(lacks),
        missing=None if any(gap.missing is None for gap in lacks) else sum(gap.missing or 0 for gap in lacks),
        longest=Us(max((gap.span.length for gap in lacks), default=0)),
        rows=sum(state.rows + state.unfolded for state in states.values()),
        bytes=sum(state.bytes for state in states.values()),
        quarantined=sum(state.ledger.quarantined for state in states.values()),
        accepted=_accepted_count(known),
        error=known.damage or (known.failing.cause if known.failing else ""),
        next_tick=Us(max(next_tick, known.failing.retry_at)) if next_tick and known.failing else next_tick,
        deadline=deadline,
        problems=(*perishing, *_problems(dataset, known, stands, _left(lacks, deadline), mend)),
        differ=known.differ,
        gap_ppm_days=_gap_days(dataset, known, had),
    )


def _coverage(dataset: Dataset, known: Known, wanted: TimeRange | None) -> float | None:
    if wanted is None or not promises(dataset, known.states):
        return None
    return coverage(known.states, wanted, [one.span for one in known.accepted])


def _gap_days(dataset: Dataset, known: Known, wanted: TimeRange | None) -> dict[str, float]:
    taken = [one.span for one in known.accepted]
    rates = daily_gap_rates(dataset, known.states, wanted, taken) if wanted else {}
    return {iso(day)[:10]: rate for day, rate in rates.items()}


def _unexplained(dataset: Dataset, known: Known, wanted: TimeRange | None) -> list[Gap]:
    """Return what is absent without a reason; what was never asked for after what is proven is behind."""
    if wanted is None:
        return []
    taken = [one.span for one in known.accepted]
    found = unexplained(dataset, known.states, wanted)
    return [gap for gap in found if gap.why != NEVER_ASKED or gap.span.minus(taken)]


def _accepted_count(known: Known) -> int:
    holes = (hole for state in known.states.values() for hole in state.ledger.holes)
    return sum((hole.proof or "").startswith(ACCEPTED) for hole in holes)


def _behind(stands: Standing) -> Us:
    return Us(0) if stands.wanted is None or stands.since is None else Us(stands.wanted - stands.since)


def _perishing(entry: Entry, dataset: Dataset, deadline: Deadline | None) -> Iterator[str]:
    """Say what is lost, and what soon is."""
    if deadline is None:
        return
    for gap in deadline.lost[:_NAMED]:
        yield f"{dataset}: {deadline.said_lost(gap)} -> take it from elsewhere, or write it under `accepted:`"
    if more := len(deadline.lost[_NAMED:]):
        yield f"{dataset}: {more} more parts of it are lost"
    if deadline.risk:
        yield f"{dataset}: {deadline.risk} -> `dccd collect {entry.name}`"


def _ever_shown(lacks: list[Gap], deadline: Deadline | None) -> list[Gap]:
    """Return the gaps without those from before anybody could have collected them."""
    if deadline is None:
        return lacks
    lost, before = [gap.span for gap in deadline.lost], TimeRange(Us(0), deadline.edge)
    return [gap for gap in lacks if gap.span.minus([before]) or any(map(gap.span.clip, lost))]


def _left(lacks: Sequence[Gap], deadline: Deadline | None) -> list[Gap]:
    """Return the gaps that asking again may mend."""
    lost = [gap.span for gap in deadline.lost] if deadline else []
    return [gap for gap in lacks if gap.span.minus(lost)]


def _without_vanished(dataset: Dataset, lacks: Sequence[Gap], gone: Sequence[str]) -> list[Gap]:
    """Return the gaps that a tick asks for: it leaves alone what vanished, and that is told as such."""
    return [gap for gap in with_vanished(dataset, lacks, gone) if gap.why != GONE]


class _Mend(NamedTuple):
    """What brings a dataset up to date: a tick by hand, or its schedule where one comes."""

    entry: Entry
    comes: Us | None
    out_of_reach: bool


def _problems(
    dataset: Dataset, known: Known, stands: Standing, lacks: Sequence[Gap], by: _Mend
) -> Iterator[str]:
    mend = f"`dccd collect {by.entry.name}`"
    quarantined = sum(state.ledger.quarantined for state in known.states.values())
    if known.damage:
        yield known.damage
    elif known.failing:
        yield f"{dataset}: {said_fails(known.failing)}"
    elif not known.states and by.out_of_reach:
        said = f"never collected, and it cannot be: its last day, {by.entry.last_day}, is not shown any more"
        yield f"{dataset}: {said} -> write another end, or take it out of the entry"
    elif not known.states and by.entry.enabled:
        comes = "" if by.comes is None else f", or let its schedule run at {iso(by.comes)}"
        yield f"{dataset}: never collected -> {mend}{comes}"
    elif (behind := _behind(stands)) and not any(gap.span.start == stands.since for gap in lacks):
        yield f"{dataset}: behind by {said_length(behind)}: {stands.why} -> {mend}"
    if known.states and (asked_for := _without_vanished(dataset, lacks, known.gone)):
        first, more = asked_for[0], f", and {len(asked_for) - 1} more" if len(asked_for) > 1 else ""
        span = f"{iso(first.span.start)} to {iso(first.span.end)}"
        yield f"{dataset}: a gap from {span} ({first.why}){more} -> {mend} asks again"
    if quarantined:
        yield f"{dataset}: {quarantined:,} rows in quarantine -> `dccd quarantine {dataset}` shows them"
    yield from (f"{dataset}: {text}" for text in known.found)


def said_length(length: Us) -> str:
    """Write a length of time for people, in its largest fitting unit.

    >>> [said_length(Us(seconds * SECOND)) for seconds in (90, 5_400, 400_000)]
    ['1.5 min', '1.5 h', '4.6 days']
    """
    if length < MINUTE:
        return f"{length / SECOND:.0f} s"
    unit, name = next((u, n) for u, n in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")) if length >= u)
    return f"{length / unit:.1f}".removesuffix(".0") + f" {name}"
