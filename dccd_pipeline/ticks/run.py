"""One tick over the datasets of a ``collect`` entry: what is due is brought, and what came of it is told.

Dagster stores an event for whatever it is told, and a tick comes every few minutes: so it is told of
partitions that were written and of what is wrong, and of all the others in one report.

Belongs here: what happens in a tick, and what is told. Does not: fetching and storing (dccd_core.fetch.tick).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, OutOfReach, UnknownSymbol
from dccd_core.domain.timespan import Us
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.tick import Due, Folding, tick
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.clock import SystemClock
from dccd_core.quality.audit import Audit
from dccd_pipeline.assets.changed import tell_checks
from dccd_pipeline.assets.checks import Looked, judge
from dccd_pipeline.assets.costs import cost_of, refuse_what_does_not_fit, said_cost
from dccd_pipeline.assets.derived import build_one, compare
from dccd_pipeline.assets.equal import compare_parts, due_samples, newest_part, own_bars
from dccd_pipeline.assets.failures import Failed, failure_of, hint_for
from dccd_pipeline.assets.metadata import partition_event, partition_view
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.progress import condition_of, is_complete
from dccd_pipeline.assets.remaining import due_in
from dccd_pipeline.assets.remembered import said_gone
from dccd_pipeline.assets.run import WAITS_S
from dccd_pipeline.assets.runlog import RunLog
from dccd_pipeline.assets.spec import lineage
from dccd_pipeline.config.collect import Entry, is_unbounded
from dccd_pipeline.resources import Venues
from dccd_pipeline.tags import FAILING
from dccd_pipeline.ticks.due import Found, Job, find, find_gone
from dccd_pipeline.ticks.memory import Failing, Memory, failed_again, read_memory, said_failing, write_memory
from dccd_pipeline.ticks.report import TABLE_EVERY, Row, Totals, report, row_of

Bring = Callable[[list[Job]], Awaitable[None]]

_LINES: Final = 20
"""So many lines of one kind stand in a run's log; each is an event."""


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
    found: Found = field(default_factory=Found)
    memory: Memory = field(default_factory=Memory)
    whole: bool = False
    """All datasets are to be shown."""
    left: dict[str, Failing] = field(default_factory=dict[str, Failing])
    """What fails and is not tried this time."""
    errors: list[Failed] = field(default_factory=list[Failed])
    warned: list[Failed] = field(default_factory=list[Failed])
    """What is no failure of a tick: the exchange does not know it any more, or does not reach so far back."""
    done: set[Job] = field(default_factory=set[Job])
    totals: Totals = field(default_factory=Totals)
    audits: dict[Dataset, dict[str, Audit]] = field(default_factory=dict[Dataset, dict[str, Audit]])
    """What was seen of the files that were written."""
    compared: list[dg.AssetCheckResult] = field(default_factory=list[dg.AssetCheckResult])
    made: set[dg.AssetKey] = field(default_factory=set[dg.AssetKey])
    """What was materialised."""
    written: bool = False
    """Whether there are files now where there were none."""

    async def run(self, venues: Venues) -> None:
        """Bring what is due, and tell of it; what has come when this is cancelled is told, too."""
        instance, store, now = self.context.instance, self.lake.identity(), SystemClock().now()
        self.memory = read_memory(instance, store, self.entry.name)
        self.found = await asyncio.to_thread(find, self.entry, self.lake, instance, now)
        self.errors += [(dataset, "as stored", error) for dataset, error in self.found.damaged]
        self.whole = now - self.memory.table_at >= TABLE_EVERY
        self.left = {} if self.by_hand else self.memory.left(now)
        chosen = set(self.datasets)
        jobs = [job for job in self.found.jobs() if job[0] in chosen and str(job[0]) not in self.left]
        states, within = self.found.states, self.entry.within
        self.log.begin({(d, k): due_in(d, k, states[d].get(k), now, within) for d, k in jobs})
        try:
            await self._bring(venues, jobs)
        finally:
            self._tell(now)

    async def _bring(self, venues: Venues, jobs: list[Job]) -> None:
        if self.entry.derive_from:
            await self._tried(jobs, self._build)
            if self.whole:
                parts = [(d, newest_part(d, its)) for d, its in self.found.states.items() if own_bars(d)]
                self.compared += await compare(self.entry, self.lake, venues, parts)
            return
        async with venues.connect(self.entry.exchange) as venue:
            await self._look_before(venue)

            async def ask(jobs: list[Job]) -> None:
                await self._ask(venue, jobs)

            before = {dataset: dict(self.found.states[dataset]) for dataset, _ in jobs}
            await self._tried(jobs, ask)
            parts = due_samples({} if self.entry.depth else before, venue.clock.now())
            self.compared += await compare_parts(venue, self.lake, parts)
            self.context.log.info("%s", venue.transport)

    async def _tried(self, jobs: list[Job], bring: Bring) -> None:
        """Bring it, and a little later what may work then."""
        await bring(jobs)
        for wait in WAITS_S:
            again = {dataset for dataset, _, error in self.errors if error.retryable}
            jobs = [job for job in jobs if job[0] in again and job not in self.done]
            if not jobs:
                return
            self.context.log.info("%d datasets are tried again in %g s", len(again), wait)
            await asyncio.sleep(wait)
            self.errors = [one for one in self.errors if one[0] not in again]
            await bring(jobs)

    async def _ask(self, venue: Venue, jobs: list[Job]) -> None:
        entry = self.entry
        due = [
            Due(dataset, key, entry.life_of(dataset.symbol).bounds, entry.within, entry.depth or 0)
            for dataset, key in jobs
        ]
        folding = Folding(tuple(self.found.states), entry.fold_every)
        done = await tick(venue, self.lake, due, self.log.page, self._ended, folding)
        for dataset, key, filled in done.folded:
            if filled.state and dataset in self.found.states:
                self.found.states[dataset][key] = filled.state
                self._note_audit(dataset, key, filled.audit, filled.state)
                self._tell_stored(dataset, key, filled.state)
        for note in done.notes:
            self.context.log.warning("%s", note)
        self.totals.bytes += done.bytes
        self.totals.folded += len(done.folded)
        self.totals.why = done.why or self.totals.why

    async def _build(self, jobs: list[Job]) -> None:
        async def build(dataset: Dataset, key: str) -> Filled:
            try:
                page, within = self.log.page, self.entry.within
                return await build_one(self.entry, self.lake, dataset, key, page, within=within)
            except asyncio.CancelledError:
                self.log.halt.set()
                raise

        await fill_all(jobs, build, self._ended)

    def _note_audit(self, dataset: Dataset, key: str, audit: Audit | None, state: State) -> None:
        """Keep what was seen of a file as it was written, for the checks; if nobody has written it since."""
        if audit and audit.rows == state.rows:
            audit.judge_state(state, get(self.entry.exchange).finality_delay)
            self.audits.setdefault(dataset, {})[key] = audit

    async def _look_before(self, venue: Venue) -> None:
        """Say what it costs where nobody said since when, before the first row; refuse what cannot fit."""
        for dataset, states in self.found.states.items():
            if is_unbounded(self.entry) and not states:
                cost = await cost_of(venue, self.entry, dataset)
                said = said_cost(self.entry, dataset, cost)
                self.context.log.warning("%s: no start in dccd.yaml: %s", dataset, said)
                refuse_what_does_not_fit(dataset, cost, self.lake.url)

    def _ended(self, outcome: Outcome) -> None:
        dataset, key, result = outcome.dataset, outcome.key, outcome.result
        self.log.finish((dataset, key))
        if isinstance(result, DccdError):
            self._failed(dataset, key, result)
            return
        self.done.add((dataset, key))
        before, after = self.found.states[dataset].get(key), result.state
        self.totals.rows += result.rows
        self.totals.requests += result.requests
        if after is None:
            return
        self.found.states[dataset][key] = after
        self.written = self.written or before is None or not before.content_hash
        self._note_audit(dataset, key, result.audit, after)
        if self._is_news(dataset, key, before, after):
            self._tell_stored(dataset, key, after)

    def _is_news(self, dataset: Dataset, key: str, before: State | None, after: State) -> bool:
        """Tell whether a file was written of which Dagster should know: of open ones it knows already."""
        if before is not None and before.content_hash == after.content_hash:
            return False
        if before is None or is_complete(dataset, key, after, SystemClock().now(), self.entry.within):
            return True
        return condition_of(dataset, key, before) is not condition_of(dataset, key, after)

    def _failed(self, dataset: Dataset, key: str, error: DccdError) -> None:
        stored = bool(self.found.states[dataset])
        if isinstance(error, UnknownSymbol):
            error.hint = hint_for(self.entry, dataset, error, stored=stored)
        warned = isinstance(error, OutOfReach) or (isinstance(error, UnknownSymbol) and stored)
        (self.warned if warned else self.errors).append((dataset, key, error))

    def _tell_stored(self, dataset: Dataset, key: str, state: State) -> None:
        states, now, within = self.found.states[dataset], SystemClock().now(), self.entry.within
        more = lineage(dataset, self.entry.built_from(dataset))
        if is_complete(dataset, key, state, now, within):
            more |= partition_view(self.lake, dataset, key)
            self.made.add(dg.AssetKey(dataset.parts))
        self.context.log_event(partition_event(dataset, key, states, more, now, within))

    def _tell(self, now: Us) -> None:
        """Report, warn, and remember what the next tick has to know."""
        self._warn([said_gone(dataset, keys) for dataset, keys in self.found.gone.items()])
        self._warn([f"{dataset} {key}: {error}" for dataset, key, error in self.warned])
        self._warn(said_failing(self.left))
        memory, failing = self.memory, self._failing(now)
        self._tell_checks(failing, now)
        if self.written:
            keys = entry_partitions(self.entry).get_partition_keys()
            find_gone(self.context.instance, self.lake.identity(), keys, self.found.states)
        if self.whole:
            self._remind(now)
        rows = [
            row_of(self.entry, one, states, memory.gaps.get(str(one), 0), _trouble(failing, one), now)
            for one, states in self.found.states.items()
        ]
        for one, error in self.found.damaged:
            rows.append(Row(one, 0, None, str(error), 0, more=False, trouble=str(error)))
        self.context.log_event(report(self.entry, rows, self.totals, whole=self.whole))
        gaps = {str(one.dataset): one.gaps for one in rows if one.gaps}
        told = Memory(failing, now if self.whole else memory.table_at, gaps)
        if told != memory:
            write_memory(self.context.instance, self.lake.identity(), self.entry.name, told)
        if self.left:
            self.context.instance.add_run_tags(self.context.run_id, {FAILING: str(len(self.left))})

    def _tell_checks(self, failing: Mapping[str, Failing], now: Us) -> None:
        """Tell Dagster what the checks find, as far as it is news."""
        looked = {
            dataset: Looked(states, self.audits.get(dataset, {}), _trouble(failing, dataset))
            for dataset, states in self.found.states.items()
        }
        found = judge(self.context.instance, self.lake, self.entry, looked, now)
        tell_checks(self.context, [*found, *self.compared], self.made)

    def _remind(self, now: Us) -> None:
        """Tell Dagster of complete partitions that it does not know: its storage may be a new one."""
        for dataset, states in self.found.states.items():
            within = self.entry.within
            in_files = ((key, one) for key, one in states.items() if not one.unfolded)
            complete = {key for key, one in in_files if is_complete(dataset, key, one, now, within)}
            if not complete:
                continue
            known = self.context.instance.get_materialized_partitions(dg.AssetKey(dataset.parts))
            for key in sorted(complete - known):
                self._tell_stored(dataset, key, states[key])

    def _failing(self, now: Us) -> dict[str, Failing]:
        """Return what fails, and what did and was not tried."""
        before, chosen = self.memory.failing, set(map(str, self.datasets))
        failed = {
            str(dataset): failed_again(before.get(str(dataset)), str(error), now)
            for dataset, _, error in self.errors
        }
        others = {str(one) for one in self.entry.datasets} - chosen
        return {name: one for name, one in before.items() if name in self.left or name in others} | failed

    def _warn(self, lines: list[str]) -> None:
        for line in lines[:_LINES]:
            self.context.log.warning("%s", line)
        if len(lines) > _LINES:
            self.context.log.warning("... and %d more", len(lines) - _LINES)

    def raise_failures(self) -> None:
        if self.errors:
            raise failure_of(self.errors, len(self.datasets))


def _trouble(failing: Mapping[str, Failing], dataset: Dataset) -> str:
    known = failing.get(str(dataset))
    return known.cause if known else ""
