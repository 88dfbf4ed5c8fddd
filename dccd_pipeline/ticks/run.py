"""One tick over the datasets of a ``collect`` entry: what is due is brought, and what came of it is told.

Belongs here: what happens in a tick, in which order. Does not: fetching and storing (dccd_core.fetch.tick),
what came of it (came.py), what Dagster is told of that (tell.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.tick import Due, Folding, tick
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.costs import cost_of, refuse_what_does_not_fit, said_cost
from dccd_pipeline.assets.derived import build_one, compare
from dccd_pipeline.assets.equal import compare_parts, due_samples, newest_part, own_bars
from dccd_pipeline.assets.failures import failure_of
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.remaining import due_in
from dccd_pipeline.assets.run import WAITS_S
from dccd_pipeline.assets.runlog import RunLog
from dccd_pipeline.config.collect import Entry, is_unbounded
from dccd_pipeline.resources import Venues
from dccd_pipeline.tags import FAILING
from dccd_pipeline.ticks.came import Came
from dccd_pipeline.ticks.due import Job, find, find_gone
from dccd_pipeline.ticks.memory import Failing, Memory, failing_by_now, read_memory, write_memory
from dccd_pipeline.ticks.report import TABLE_EVERY
from dccd_pipeline.ticks.tell import Telling

Bring = Callable[[list[Job]], Awaitable[None]]


@dataclass(slots=True)
class TickRun:
    """A tick under way."""

    context: dg.OpExecutionContext
    entry: Entry
    lake: LakeStore
    datasets: Sequence[Dataset]
    log: RunLog
    by_hand: bool
    """Somebody wants to know now: what fails is tried, too."""
    clock: Clock = field(init=False)
    came: Came = field(init=False)
    telling: Telling = field(init=False)
    memory: Memory = field(default_factory=Memory)
    whole: bool = False
    """All datasets are to be shown."""
    left: dict[str, Failing] = field(default_factory=dict[str, Failing])
    """What fails and is not tried this time."""
    compared: list[dg.AssetCheckResult] = field(default_factory=list[dg.AssetCheckResult])

    def __post_init__(self) -> None:
        self.clock, self.came = SystemClock(), Came(self.entry)

    async def run(self, venues: Venues) -> None:
        """Bring what is due, and tell of it; what has come when this is cancelled is told, too."""
        instance, store, now = self.context.instance, self.lake.identity(), self.clock.now()
        self.memory = read_memory(instance, store, self.entry.name)
        found = await asyncio.to_thread(find, self.entry, self.lake, instance, now)
        self.came = Came(self.entry, found)
        self.telling = Telling(self.context, self.lake, self.came, self.clock)
        self.whole = now - self.memory.table_at >= TABLE_EVERY
        hurry = {str(dataset) for dataset in found.at_risk}  # what is about to be lost is always tried
        waits = {} if self.by_hand else self.memory.left(now)
        self.left = {name: one for name, one in waits.items() if name not in hurry}
        chosen = set(self.datasets)
        jobs = [job for job in found.jobs() if job[0] in chosen and str(job[0]) not in self.left]
        states, within = found.states, self.entry.within
        self.log.begin({(d, k): due_in(d, k, states[d].get(k), now, within) for d, k in jobs})
        try:
            await self._bring(venues, jobs)
        finally:
            self._tell(now)

    def raise_failures(self) -> None:
        if self.came.errors:
            raise failure_of(self.came.errors, len(self.datasets))

    async def _bring(self, venues: Venues, jobs: list[Job]) -> None:
        if self.entry.derive_from:
            await self._tried(jobs, self._build)
            if self.whole:
                parts = [(d, newest_part(d, its)) for d, its in self.came.states.items() if own_bars(d)]
                self.compared += await compare(self.entry, self.lake, venues, parts)
            return
        async with venues.connect(self.entry.exchange) as venue:
            await self._look_before(venue)

            async def ask(jobs: list[Job]) -> None:
                await self._ask(venue, jobs)

            before = {dataset: dict(self.came.states[dataset]) for dataset, _ in jobs}
            await self._tried(jobs, ask)
            parts = due_samples({} if self.entry.depth else before, venue.clock.now())
            self.compared += await compare_parts(venue, self.lake, parts)
            self.context.log.info("%s", venue.transport)

    async def _tried(self, jobs: list[Job], bring: Bring) -> None:
        """Bring it, and a little later what may work then."""
        await bring(jobs)
        for wait in WAITS_S:
            jobs = self.came.retryable(jobs)
            if not jobs:
                return
            again = len({dataset for dataset, _ in jobs})
            self.context.log.info("%d datasets are tried again in %g s", again, wait)
            await asyncio.sleep(wait)
            self.came.forget_failures(jobs)
            await bring(jobs)

    async def _ask(self, venue: Venue, jobs: list[Job]) -> None:
        entry = self.entry
        lives, resting = entry.life_of, self.came.found.resting
        due = [
            Due(
                one,
                key,
                lives(one.symbol).bounds,
                entry.within,
                entry.depth or 0,
                rests=(one, key) in resting,
            )
            for one, key in jobs
        ]
        folding = Folding(tuple(self.came.states), entry.fold_every)
        done = await tick(venue, self.lake, due, self.log.page, self._ended, folding)
        for change in self.came.take_folded(done):
            self.telling.stored(change.dataset, change.key)
        for note in done.notes:
            self.context.log.warning("%s", note)

    async def _build(self, jobs: list[Job]) -> None:
        async def build(dataset: Dataset, key: str) -> Filled:
            try:
                page, within = self.log.page, self.entry.within
                return await build_one(self.entry, self.lake, dataset, key, page, within=within)
            except asyncio.CancelledError:
                self.log.halt.set()
                raise

        await fill_all(jobs, build, self._ended)

    def _ended(self, outcome: Outcome) -> None:
        self.log.finish((outcome.dataset, outcome.key))
        if change := self.came.take(outcome):
            self.telling.change(change)

    async def _look_before(self, venue: Venue) -> None:
        """Say what it costs where nobody said since when, before the first row; refuse what cannot fit."""
        for dataset, states in self.came.states.items():
            if is_unbounded(self.entry) and not states:
                cost = await cost_of(venue, self.entry, dataset)
                said = said_cost(self.entry, dataset, cost)
                self.context.log.warning("%s: no start in dccd.yaml: %s", dataset, said)
                refuse_what_does_not_fit(dataset, cost, self.lake.url)

    def _tell(self, now: Us) -> None:
        """Warn, report, and remember what the next tick has to know."""
        instance, store, memory = self.context.instance, self.lake.identity(), self.memory
        others = {str(one) for one in self.entry.datasets} - {str(one) for one in self.datasets}
        untried = others | self.left.keys()
        failing = failing_by_now(memory.failing, self.came.failed, untried, now)
        unknown = failing_by_now(memory.unknown, self.came.unknown, untried, now)
        self.telling.trouble(self.left)
        self.telling.checks(unknown | failing, self.compared, now)
        if self.came.written:
            keys = entry_partitions(self.entry).get_partition_keys()
            find_gone(instance, store, keys, self.came.states)
        if self.whole:
            self.telling.remind()
        gaps = self.telling.report(memory, unknown | failing, now, whole=self.whole)
        told = Memory(failing, now if self.whole else memory.table_at, gaps, unknown)
        if told != memory:
            write_memory(instance, store, self.entry.name, told)
        if failed := self.left.keys() & memory.failing.keys():
            instance.add_run_tags(self.context.run_id, {FAILING: str(len(failed))})
