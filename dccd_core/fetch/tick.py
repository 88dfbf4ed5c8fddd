"""A tick: what is new of many datasets is fetched, and appended to their tail in one file and one sync.

What it costs is what is new, whatever the partitions hold; they are written when that is worth it (see
``fold_due``). What a partition without a file needs is stored into its file at once, as ``fill`` does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Final

import polars as pl

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod, partition_span
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.fill import Filled, Progress, fill
from dccd_core.fetch.fold import fold_tail
from dccd_core.fetch.fold_policy import TailSize, fold_due
from dccd_core.fetch.snapshot import picture, snapshot
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.work import Work
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live.segments import SYMBOL
from dccd_core.lake.live.tail import TailView
from dccd_core.lake.partition.ledger import ACCEPTED, Answer, Asked, Hole, Ledger

_AT_ONCE: Final = 32
"""Datasets in progress at once: most of them take one question."""
_MOST_HELD: Final = 500_000
"""Rows in memory from which on they are appended before all has come."""


@dataclass(frozen=True, slots=True)
class Due:
    """A partition that may have news; ``within``: only what of it lies there.

    ``depth``: how many levels a side of an order book; zero for what has a past. ``rests``: its gaps were
    asked for lately, and are left alone; only what was never asked for is.
    """

    dataset: Dataset
    key: str
    life: ListingPeriod = UNKNOWN
    within: TimeRange | None = None
    depth: int = 0
    rests: bool = False


@dataclass(frozen=True, slots=True)
class Folding:
    """Whose tails are folded when that is due, and ``every`` when: see ``fold_due``."""

    datasets: Sequence[Dataset] = ()
    every: Us | None = None


@dataclass(slots=True)
class TickReport:
    """What a tick came to.

    ``rows``, ``bytes``: what was appended. ``why``: why it was folded, empty when it was not; ``taken``:
    another process was at it, and does it. ``folded``: the partitions that were written. ``notes``: what went
    wrong in that; nothing is lost by it.
    """

    rows: int = 0
    bytes: int = 0
    why: str = ""
    taken: bool = False
    folded: list[tuple[Dataset, str, Filled]] = field(default_factory=list[tuple[Dataset, str, Filled]])
    notes: list[str] = field(default_factory=list[str])


async def tick(
    venue: Venue,
    lake: LakeStore,
    due: Sequence[Due],
    progress: Progress,
    tell: Callable[[Outcome], None],
    folding: Folding = Folding(),
) -> TickReport:
    """Fetch what is new of what is due, append it to the tail, and fold that when it is worth it.

    One dataset's failure is its outcome, and stops no other. What came before an error, or before this was
    cancelled, is appended.

    Args:
        venue: whose datasets they are.
        lake: where they are stored.
        due: what is to be looked at, each partition once.
        progress: told after each page.
        tell: told of each partition that was due once it is durable; its state is what file and tail say.
        folding: what is folded, and when.

    Raises:
        LakeError: what came could not be appended; it is asked for again.
    """
    under_way = _Tick(venue, lake, venue.clock.now(), progress, tell)
    jobs = {(one.dataset, one.key): one for one in due}

    async def bring(dataset: Dataset, key: str) -> Filled:
        return await under_way.bring(jobs[dataset, key])

    try:
        await fill_all(jobs, bring, under_way.ended, _AT_ONCE)
    finally:
        under_way.append()
    await _fold(under_way, {StreamKey.of(dataset): dataset for dataset in folding.datasets}, folding.every)
    return under_way.report


@dataclass(slots=True)
class _Tick:
    """A tick under way, and what it has fetched but not appended yet."""

    venue: Venue
    lake: LakeStore
    now: Us
    progress: Progress
    tell: Callable[[Outcome], None]
    report: TickReport = field(default_factory=TickReport)
    tails: dict[StreamKey, TailView] = field(default_factory=dict[StreamKey, TailView])
    states: dict[tuple[Dataset, str], State | None] = field(
        default_factory=dict[tuple[Dataset, str], State | None]
    )
    replaces: set[tuple[Dataset, str]] = field(default_factory=set[tuple[Dataset, str]])
    """The partitions whose files hold what was imported of time that is answered now."""
    news: list[tuple[Dataset, pl.DataFrame, Answer]] = field(
        default_factory=list[tuple[Dataset, pl.DataFrame, Answer]]
    )
    waiting: list[Outcome] = field(default_factory=list[Outcome])
    """What has ended and was not told yet."""

    async def bring(self, due: Due) -> Filled:
        """Fetch what is due of a partition; what comes into its file is durable when this returns."""
        dataset, key = due.dataset, due.key
        held = self.lake.known(dataset, key, self._tail(dataset))
        if held is None or not held.content_hash:
            filled = await self._fill(due)
            self.states[dataset, key] = filled.state
            return filled
        self.states[dataset, key] = held
        return await (self._picture(due, held) if due.depth else self._news(due, held))

    def ended(self, outcome: Outcome) -> None:
        """Tell of a partition at once if nothing of it is in memory only."""
        self.waiting.append(outcome)
        if not self.news:
            self._tell_all()

    def append(self) -> None:
        """Make durable what was fetched by now, a file for each kind of dataset, and tell of it."""
        families = defaultdict[StreamKey, list[tuple[Dataset, pl.DataFrame, Answer]]](list)
        for one in self.news:
            families[StreamKey.of(one[0])].append(one)
        for some in families.values():
            rows = pl.concat([rows.with_columns(pl.lit(str(d.symbol)).alias(SYMBOL)) for d, rows, _ in some])
            answers = defaultdict[str, list[Answer]](list)
            for dataset, _, answer in some:
                answers[str(dataset.symbol)].append(answer)
            self.report.bytes += self.lake.tail(some[0][0]).append(rows, answers, self.now)
            self.report.rows += rows.height
        self.news = []  # not before: what could not be appended may have room later
        self._tell_all()

    def _tell_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for outcome in waiting:
            self.tell(outcome)

    def take(self, dataset: Dataset, rows: pl.DataFrame, answer: Answer) -> None:
        self.news.append((dataset, rows, answer))
        if sum(rows.height for _, rows, _ in self.news) >= _MOST_HELD:
            self.append()

    def _tail(self, dataset: Dataset) -> TailView:
        family = StreamKey.of(dataset)
        if family not in self.tails:
            self.tails[family] = self.lake.tail(dataset).read()
        return self.tails[family]

    async def _fill(self, due: Due) -> Filled:
        if due.depth:
            return await snapshot(self.venue, self.lake, due.dataset, due.key, due.depth)
        told = due.life, due.within
        return await fill(self.venue, self.lake, due.dataset, due.key, self.progress, told[0], within=told[1])

    async def _picture(self, due: Due, held: State) -> Filled:
        rows, asked = await picture(self.venue, self.lake, due.dataset, due.key, due.depth)
        answer = Answer((asked,))
        self.take(due.dataset, rows, answer)
        return Filled(_learnt(held, [answer]), 1, rows.height)

    async def _news(self, due: Due, held: State) -> Filled:
        whole = partition_span(due.dataset.grain, due.key)
        span = whole.clip(due.within) if due.within else whole
        if span is None:
            return Filled(held)
        known = replace(held.ledger, holes=()) if due.rests else held.ledger
        todo = self.venue.plan(due.dataset, span, known, self.now, due.life)
        if not todo.ask and not todo.after:
            return Filled(held)
        work = _TailWork(self.venue, self.lake, due.dataset, due.key, None, self.now, self.progress, due.life)
        work.known, work.tick = held.ledger, self
        try:
            failure = await work.gather(todo)
        finally:
            work.deliver()
            if held.ledger.told_by(asked for answer in work.answers for asked in answer.asked):
                self.replaces.add((due.dataset, due.key))
        if failure:
            raise failure
        return Filled(_learnt(held, work.answers), work.requests, work.rows)


@dataclass(slots=True)
class _TailWork(Work):
    """A fill whose rows go into the tail."""

    tick: _Tick | None = None
    known: Ledger = field(default_factory=Ledger)
    fresh: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    answers: list[Answer] = field(default_factory=list[Answer])

    async def secure(self) -> None:
        self.deliver()
        assert self.tick is not None
        self.tick.append()

    def deliver(self) -> None:
        """Hand over what came since this was done last, with what is known by it."""
        asked, rows = self.asked[self.stored :], pl.concat([self._nothing(), *self.fresh])
        self.stored, self.stored_at, self.fresh = len(self.asked), self.venue.clock.steady(), []
        if asked and self.tick is not None:
            rows = _within(rows, asked)
            judge = self.judge()
            judge.see(rows)
            ledger = judge.assess(reduce(Ledger.add, asked, Ledger(holes=_unaccepted(self.known.holes))))
            holes = (hole for hole in ledger.holes if not hole.span.minus(ledger.covered()))
            self.answers.append(Answer(tuple(asked), tuple(holes), ledger.quarantined))
            self.tick.take(self.dataset, rows, self.answers[-1])

    def _put(self, rows: pl.DataFrame) -> None:
        self.fresh.append(rows)

    def _nothing(self) -> pl.DataFrame:
        return self.dataset.data_type.table.empty()


def _within(rows: pl.DataFrame, asked: Sequence[Asked]) -> pl.DataFrame:
    """Return the rows of what was asked: the last page before an error may have some from beyond it."""
    at = pl.col("ts").to_physical()
    return rows.filter(pl.any_horizontal((at >= one.span.start) & (at < one.span.end) for one in asked))


def _unaccepted(holes: Sequence[Hole]) -> tuple[Hole, ...]:
    """Return the holes without what is only taken for an explanation: that is not written down."""
    accepted = ((hole, (hole.proof or "").startswith(ACCEPTED)) for hole in holes)
    return tuple(replace(hole, proof=None) if is_so else hole for hole, is_so in accepted)


def _learnt(held: State, answers: Iterable[Answer]) -> State:
    for answer in answers:
        held = replace(held, ledger=held.ledger.learn(answer), unfolded=held.unfolded + answer.rows)
    return held


async def _fold(done: _Tick, families: Mapping[StreamKey, Dataset], every: Us | None) -> None:
    """Fold the tails that are worth it; what goes wrong is told: nothing is lost by it."""
    report = done.report
    for dataset in families.values():
        try:
            why = fold_due(await asyncio.to_thread(_sizes, done, dataset), done.now, every)
            if not why:
                continue
            folded = await fold_tail(done.venue, done.lake, dataset)
        except DccdError as e:
            report.notes.append(f"{dataset.exchange}: the tail cannot be folded: {e}")
        else:
            report.why, report.taken = why, folded.taken
            report.folded += folded.parts
            report.notes += folded.notes


def _sizes(done: _Tick, dataset: Dataset) -> list[TailSize]:
    found = list[TailSize]()
    for part in done.lake.tail(dataset).read().parts():
        place = part.dataset, part.key
        state = done.states[place] if place in done.states else done.lake.state(*place)
        stored = state.rows if state and state.content_hash else None
        partition = partition_span(part.dataset.grain, part.key)
        replaces = place in done.replaces
        found.append(TailSize(partition, stored, part.rows, part.since, part.until, replaces))
    return found
