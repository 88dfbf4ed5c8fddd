"""One run by hand over the selected datasets and partitions of a ``collect`` entry.

Belongs here: what is selected, and what is told of each partition as it is done. Does not: the assets that
are run (history.py, derived.py), nor what schedules start (ticks/).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.errors import ConfigError, DccdError, UnknownSymbol
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.fill import Progress as PageProgress
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.live.tail import TailView
from dccd_core.net.clock import SystemClock
from dccd_core.quality.audit import Audit
from dccd_pipeline.assets.agrees import AGREES
from dccd_pipeline.assets.changed import note_told, tell_checks
from dccd_pipeline.assets.checks import BY_ROWS, Looked, audited, judge
from dccd_pipeline.assets.failures import Failed, failure_of, hint_for
from dccd_pipeline.assets.metadata import partition_event, partition_view
from dccd_pipeline.assets.partitions import entry_partitions
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.assets.remaining import due_in
from dccd_pipeline.assets.remembered import remember_held
from dccd_pipeline.assets.runlog import RunLog
from dccd_pipeline.assets.spec import lineage
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dccd_pipeline.tags import WITHIN

_KEY_TAGS: Final = (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)

WAITS_S: Final = (15.0, 45.0)
"""Before what failed is tried again. Dagster would wait too, but deaf to a stop, and would retry that."""


FillOne = Callable[[Dataset, str], Awaitable[Filled]]


def read_within(tags: Mapping[str, str]) -> TimeRange | None:
    """Return the part of its partitions that a run is to fill; None: all."""
    start, _, end = tags.get(WITHIN, "").partition("/")
    return TimeRange(Us(int(start)), Us(int(end))) if end else None


@dataclass(slots=True)
class Run:
    """One run over the selected datasets and partitions of an entry."""

    context: dg.AssetExecutionContext
    entry: Entry
    lake: LakeStore
    progress: PageProgress
    wanted: list[Dataset] = field(default_factory=list[Dataset])
    """What is to be filled; of other datasets only checks are asked for, which read all that is stored."""
    states: dict[Dataset, dict[str, State]] = field(default_factory=dict[Dataset, dict[str, State]])
    unread: dict[Dataset, list[str]] = field(default_factory=dict[Dataset, list[str]])
    """Partitions of which the checks are to see the rows."""
    audits: dict[Dataset, dict[str, Audit]] = field(default_factory=dict[Dataset, dict[str, Audit]])
    """What was seen of those that were written, as they were written."""
    errors: list[Failed] = field(default_factory=list[Failed])
    gone: list[Failed] = field(default_factory=list[Failed])
    """What the exchange knew once and does not know any more: its group goes on without it."""
    more: list[dg.AssetCheckResult] = field(default_factory=list[dg.AssetCheckResult])
    """What else was found out on the way."""
    within: TimeRange | None = None
    open: set[tuple[Dataset, str]] = field(default_factory=set[tuple[Dataset, str]])
    """Partitions that are being filled."""
    done: set[tuple[Dataset, str]] = field(default_factory=set[tuple[Dataset, str]])
    now: Us = field(default_factory=SystemClock().now)
    log: RunLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = RunLog(self.context.log, self.progress)
        self.within = read_within(self.context.run.tags) or self.entry.within
        checked = {check.asset_key for check in self.context.selected_asset_check_keys}
        for dataset in self.entry.datasets:
            asset = dg.AssetKey(dataset.parts)
            wanted = asset in self.context.selected_asset_keys
            if wanted or asset in checked:
                self._look_at(dataset, wanted=wanted)

    def selected(self, check: str) -> list[Dataset]:
        """Return the datasets of which a check is asked for."""
        keys = {one.asset_key for one in self.context.selected_asset_check_keys if one.name == check}
        return [dataset for dataset in self.entry.datasets if dg.AssetKey(dataset.parts) in keys]

    def _look_at(self, dataset: Dataset, *, wanted: bool) -> None:
        """Read what is stored; a damaged file stops its dataset, not the neighbours."""
        try:
            self.states[dataset] = self.lake.states(dataset)
        except DccdError as e:
            self.errors.append((dataset, "as stored", e))
            return
        here = [key for key, state in self.states[dataset].items() if not state.elsewhere]
        self.unread[dataset] = [] if wanted else here  # the others were read as they were taken away
        if wanted:
            self.wanted.append(dataset)

    async def each(self, fill_one: FillOne, now: Us) -> None:
        """Fill all that is selected, and report each partition as it is done; what may work later, later."""

        async def noted(dataset: Dataset, key: str) -> Filled:
            self.open.add((dataset, key))
            try:
                filled = await fill_one(dataset, key)
            except asyncio.CancelledError:
                self.log.halt.set()
                raise
            self.open.discard((dataset, key))
            return filled

        self.now, keys = now, self._keys(now)
        jobs = [(dataset, key) for key in keys for dataset in self.wanted]
        self.log.begin({(d, k): due_in(d, k, self.states[d].get(k), now, self.within) for d, k in jobs})
        try:
            await self._all_of(jobs, noted)
        finally:
            stored = {dataset: self.states[dataset] for dataset in self.wanted}
            all_keys = entry_partitions(self.entry).get_partition_keys()
            remember_held(self.context.instance, self.lake.identity(), all_keys, stored)

    async def _all_of(self, jobs: list[tuple[Dataset, str]], noted: FillOne) -> None:
        await fill_all(jobs, noted, self._report)
        for wait in WAITS_S:
            again = {dataset for dataset, _, error in self.errors if error.retryable}
            if not again:
                return
            jobs = [job for job in jobs if job[0] in again and job not in self.done]
            self.context.log.info("%d datasets are tried again in %g s", len(again), wait)
            await asyncio.sleep(wait)
            self.errors = [one for one in self.errors if one[0] not in again]
            await fill_all(jobs, noted, self._report)

    def tell_what_is_kept(self) -> None:
        """Tell Dagster of what was stored of partitions that were being filled when the run was stopped."""
        for dataset, key in sorted(self.open, key=str):
            state = self.lake.state(dataset, key)
            if state and state != self.states[dataset].get(key):
                self._note(dataset, key, Filled(state), state)

    def _keys(self, now: Us) -> list[str]:
        if self.context.has_partition_key or self.context.has_partition_key_range:
            self._refuse_strange_keys()
            return list(self.context.partition_keys)
        if self.entry.depth:
            return [partition_key(self.entry.datasets[0].grain, now)]
        return list(entry_partitions(self.entry).get_partition_keys())

    def _refuse_strange_keys(self) -> None:
        """Refuse partitions before the entry's start; a tick evaluated ahead may name some to come."""
        known, tags = entry_partitions(self.entry).get_partition_keys(), self.context.run.tags
        strange = [tags[name] for name in _KEY_TAGS if name in tags and tags[name] < known[0]]
        if strange:
            said = f"{self.entry.name} has partitions from {known[0]} to {known[-1]}, not {strange[0]}"
            hint = "let it start earlier in dccd.yaml, or use `dccd backfill --start`"
            raise ConfigError(said, hint=hint)

    def _report(self, outcome: Outcome) -> None:
        dataset, key, result = outcome.dataset, outcome.key, outcome.result
        self.open.discard((dataset, key))
        self.log.finish((dataset, key))
        if not isinstance(result, DccdError):
            self.done.add((dataset, key))
        if isinstance(result, UnknownSymbol):
            result.hint = hint_for(self.entry, dataset, result, stored=bool(self.states[dataset]))
        if isinstance(result, UnknownSymbol) and self.states[dataset]:
            self.gone.append((dataset, key, result))
            self.context.log.warning("%s %s: %s", dataset, key, result)
        elif isinstance(result, DccdError):
            self.errors.append((dataset, key, result))
            self.context.log.error("%s %s: %s", dataset, key, result)
        elif result.state is None:
            self.context.log.info("%s %s: nothing is final yet", dataset, key)
        else:
            self._note(dataset, key, result, result.state)

    def _note(self, dataset: Dataset, key: str, filled: Filled, state: State) -> None:
        """Have the checks see what is new, and tell Dagster of it.

        Bars built from what is stored cost no request, and neither does it to learn that trading has ended.
        """
        if filled.requests > 0 or state != self.states[dataset].get(key):
            self.unread[dataset].append(key)
        self.states[dataset][key] = state
        if filled.audit and filled.audit.rows == state.rows:  # else somebody has written it since
            filled.audit.judge_state(state, get(self.entry.exchange).finality_delay)
            self.audits.setdefault(dataset, {})[key] = filled.audit
        source = self.entry.built_from(dataset)
        more = {**partition_view(self.lake, dataset, key), **lineage(dataset, source)}
        now, within = SystemClock().now(), self.entry.within
        self.context.log_event(partition_event(dataset, key, self.states[dataset], more, now, within))
        self.context.log.info(
            "%s %s: %s, %d rows in %d requests, %d rows in all, %d gaps",
            *(dataset, key, condition_of(dataset, key, state), filled.rows, filled.requests, state.rows),
            len(state.ledger.gaps()),
        )

    def checks(self) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of all checks that are selected: one that is left out would show as skipped."""
        told, others = list[dg.AssetCheckResult](), list[dg.AssetCheckResult]()
        selected = self.context.selected_asset_check_keys
        tail = self.lake.tail(self.entry.datasets[0]).read()  # they differ in nothing but the symbol
        looked = {dataset: self._looked(dataset, tail) for dataset in self.unread} if selected else {}
        for result in judge(self.context.instance, self.lake, self.entry, looked, self.now):
            if result.check_name == AGREES:
                others.append(result)
            elif result.asset_key and dg.AssetCheckKey(result.asset_key, result.check_name or "") in selected:
                told.append(result)
                yield result
        yield from self.more
        note_told(self.context.instance, [*told, *self.more])
        filled = {dg.AssetKey(dataset.parts) for dataset, _ in self.done}  # of others nothing is new
        others = [one for one in others if one.asset_key in filled]
        tell_checks(self.context.op_execution_context, others, filled)

    def _looked(self, dataset: Dataset, tail: TailView) -> Looked:
        """Sum up what is known of a dataset; rows that nobody saw as they were written are read."""
        exchange, states = get(self.entry.exchange), self.states[dataset]
        audits, asset = self.audits.get(dataset, {}), dg.AssetKey(dataset.parts)
        selected = {one.name for one in self.context.selected_asset_check_keys if one.asset_key == asset}
        if selected & set(BY_ROWS):
            left = [key for key in self.unread[dataset] if key not in audits]
            audits |= {key: audited(self.lake, exchange, dataset, key, states[key]) for key in left}
        known = {key: self.lake.known(dataset, key, tail) for key in tail.keys(dataset)}
        failures = (*self.errors, *self.gone)
        error = next((str(error) for failed, _, error in failures if failed == dataset), "")
        return Looked({**states, **{key: state for key, state in known.items() if state}}, audits, error)

    def raise_failures(self) -> None:
        errors = self.errors
        if len(self.gone) == len(self.wanted):
            errors = errors or self.gone  # who asked for nothing else wants to know
        if errors:
            raise failure_of(errors, len(self.context.selected_asset_keys))
