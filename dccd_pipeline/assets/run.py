"""One run over the selected datasets and partitions of a ``collect`` entry.

Belongs here: what is selected and due, and what is told of each partition as it is done. Does not: the assets
that are run (history.py, derived.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.errors import ConfigError, DccdError, OutOfReach, UnknownSymbol
from dccd_core.domain.timespan import MINUTE, ZERO, TimeRange, Us, iso
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled, Halted
from dccd_core.fetch.fill import Progress as PageProgress
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.live.tail import TailView
from dccd_core.net.clock import Clock, SystemClock
from dccd_core.quality.audit import Audit
from dccd_pipeline.assets.changed import note_told
from dccd_pipeline.assets.checks import BY_ROWS, Looked, audited, judge
from dccd_pipeline.assets.costs import cost_of, refuse_what_does_not_fit, said_cost
from dccd_pipeline.assets.metadata import partition_metadata, partition_view
from dccd_pipeline.assets.partitions import partitions_of
from dccd_pipeline.assets.progress import Progress, behind, condition_of, progress
from dccd_pipeline.assets.remaining import Remaining, due_in
from dccd_pipeline.assets.remembered import (
    read_gone,
    read_held,
    read_progress,
    said_gone,
    vanished,
    write_gone,
    write_held,
)
from dccd_pipeline.assets.spec import lineage
from dccd_pipeline.config.collect import Entry, is_unbounded
from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dccd_pipeline.tags import CATCH_UP, DATA_VERSION, WITHIN

_KEY_TAGS: Final = (PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)

_A_WORD_EVERY = MINUTE
"""So that one sees how far it is; a run that is silent for long is taken for dead (silent.py)."""

_WAITS_S: Final = (15.0, 45.0)
"""Before what failed is tried again. Dagster would wait too, but deaf to a stop, and would retry that."""


FillOne = Callable[[Dataset, str], Awaitable[Filled]]


def entry_partitions(entry: Entry) -> dg.TimeWindowPartitionsDefinition:
    return partitions_of(entry.datasets[0].grain, entry.start, entry.last_day)


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
    wanted: list[Dataset] = field(default_factory=list[Dataset])
    """What is to be filled; of other datasets only checks are asked for, which read all that is stored."""
    states: dict[Dataset, dict[str, State]] = field(default_factory=dict[Dataset, dict[str, State]])
    known: dict[Dataset, set[str]] = field(default_factory=dict[Dataset, set[str]])
    """Partitions that Dagster knows already and need no event without news."""
    unread: dict[Dataset, list[str]] = field(default_factory=dict[Dataset, list[str]])
    """Partitions of which the checks are to see the rows."""
    audits: dict[Dataset, dict[str, Audit]] = field(default_factory=dict[Dataset, dict[str, Audit]])
    """What was seen of those that were written, as they were written."""
    errors: list[tuple[Dataset, str, DccdError]] = field(default_factory=list[tuple[Dataset, str, DccdError]])
    gone: list[tuple[Dataset, str, DccdError]] = field(default_factory=list[tuple[Dataset, str, DccdError]])
    """What the exchange knew once and does not know any more: its group goes on without it."""
    more: list[dg.AssetCheckResult] = field(default_factory=list[dg.AssetCheckResult])
    """What else was found out on the way."""
    said: Us = ZERO
    within: TimeRange | None = None
    remaining: Remaining | None = None
    recalled: dict[Dataset, Progress | None] = field(default_factory=dict[Dataset, Progress | None])
    """What Dagster remembers of each dataset in this store."""
    open: set[tuple[Dataset, str]] = field(default_factory=set[tuple[Dataset, str]])
    """Partitions that are being filled."""
    halt: Event = field(default_factory=Event)
    done: set[tuple[Dataset, str]] = field(default_factory=set[tuple[Dataset, str]])
    now: Us = field(default_factory=SystemClock().now)

    def __post_init__(self) -> None:
        self.within = read_within(self.context.run.tags) or self.entry.within
        asked = [d for d in self.entry.datasets if dg.AssetKey(d.parts) in self.context.selected_asset_keys]
        self.recalled = read_progress(self.context.instance, asked, self.lake.identity())
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
        self.unread[dataset] = [] if wanted else list(self.states[dataset])
        if wanted:
            self.wanted.append(dataset)

    def told(self, clock: Clock, progress: PageProgress) -> PageProgress:
        """Return a ``progress`` that also writes to the run's log now and then."""

        def page(dataset: Dataset, key: str, rows: int, until: Us) -> None:
            if self.halt.is_set():
                raise Halted("stopped while bars were built")  # a thread hears of it only here
            progress(dataset, key, rows, until)
            self.remaining = self.remaining or Remaining({}, clock.steady())
            self.remaining.page(dataset, key, rows, until)
            if clock.steady() - self.said >= _A_WORD_EVERY:
                self.said = clock.steady()
                how_far = self.remaining.said(self.said)
                self.context.log.info("%s; %s %s: up to %s", how_far, dataset, key, iso(until))

        return page

    async def each(self, fill_one: FillOne, now: Us) -> None:
        """Fill all that is selected, and report each partition as it is done; what may work later, later."""

        async def noted(dataset: Dataset, key: str) -> Filled:
            self.open.add((dataset, key))
            try:
                filled = await fill_one(dataset, key)
            except asyncio.CancelledError:
                self.halt.set()
                raise
            self.open.discard((dataset, key))
            return filled

        self.now, jobs = now, self._jobs(now)
        self._measure(jobs, now)
        try:
            await self._all_of(jobs, noted)
        finally:
            self._remember(entry_partitions(self.entry).get_partition_keys())

    async def _all_of(self, jobs: list[tuple[Dataset, str]], noted: FillOne) -> None:
        await fill_all(jobs, noted, self._report)
        for wait in _WAITS_S:
            again = {dataset for dataset, _, error in self.errors if error.retryable}
            if not again:
                return
            jobs = [job for job in jobs if job[0] in again and job not in self.done]
            self.context.log.info("%d datasets are tried again in %g s", len(again), wait)
            await asyncio.sleep(wait)
            self.errors = [one for one in self.errors if one[0] not in again]
            await fill_all(jobs, noted, self._report)

    async def look_before(self, venue: Venue) -> None:
        """Say what it costs where nobody said since when, before the first row; refuse what cannot fit."""
        for dataset in self.wanted:
            if CATCH_UP in self.context.run.tags and is_unbounded(self.entry) and not self.states[dataset]:
                cost = await cost_of(venue, self.entry, dataset)
                said = said_cost(self.entry, dataset, cost)
                self.context.log.warning("%s: no start in dccd.yaml: %s", dataset, said)
                refuse_what_does_not_fit(dataset, cost, self.lake.url)

    def _measure(self, jobs: list[tuple[Dataset, str]], now: Us) -> None:
        """Begin to count how much is done."""
        due = {(d, key): due_in(d, key, self.states[d].get(key), now, self.within) for d, key in jobs}
        self.said = SystemClock().steady()
        self.remaining = Remaining(due, self.said)

    def tell_what_is_kept(self) -> None:
        """Tell Dagster of what was stored of partitions that were being filled when the run was stopped."""
        for dataset, key in sorted(self.open, key=str):
            state = self.lake.state(dataset, key)
            if state and state != self.states[dataset].get(key):
                self._note(dataset, key, Filled(state), state)

    def _jobs(self, now: Us) -> list[tuple[Dataset, str]]:
        """Pair datasets with partitions; a run of a schedule leaves alone what needs nothing now."""
        keys = self._keys(now)
        jobs = [(dataset, key) for key in keys for dataset in self.wanted]
        gone = self._gone()
        if CATCH_UP not in self.context.run.tags or self.entry.depth:
            return jobs
        recorded = self.context.instance.get_materialized_partitions
        self.known = {
            dataset: recorded(dg.AssetKey(dataset.parts)) if self.recalled.get(dataset) else set[str]()
            for dataset in self.wanted
        }
        late = {
            d: set(
                self.entry.askable(
                    d, behind(progress(d, self.states[d], within=self.entry.within), keys, now), now
                )
            )
            - gone[d]
            for d in self.wanted
        }
        stored = {d: set(self.states[d]) - self.known[d] for d in self.wanted}
        return [(d, key) for d, key in jobs if key in late[d] or key in stored[d]]

    def _progress(self, dataset: Dataset) -> Progress:
        return progress(dataset, self.states[dataset], within=self.entry.within)

    def _gone(self) -> dict[Dataset, set[str]]:
        """Find out which files vanished, remember and say it: a tick leaves them alone."""
        instance, store = self.context.instance, self.lake.identity() or ""
        keys = entry_partitions(self.entry).get_partition_keys()
        before = read_gone(instance, self.wanted, store)
        held = self._remember(keys)
        gone = {d: vanished(held[d], self.states[d], keys) for d in self.wanted}
        if store:
            news = {d: found for d, found in gone.items() if found != before.get(d, [])}
            write_gone(instance, news, store)
        for dataset, found in gone.items():
            if found:
                self.context.log.warning("%s", said_gone(dataset, found))
        return {dataset: set(found) for dataset, found in gone.items()}

    def _remember(self, keys: Sequence[str]) -> dict[Dataset, set[str]]:
        """Note which partitions are stored; return which ever were."""
        instance, store = self.context.instance, self.lake.identity() or ""
        before = read_held(instance, self.wanted, store, keys)
        held = {d: before.get(d, set[str]()) | set(self.states[d]) for d in self.wanted}
        if store:
            write_held(instance, {d: of for d, of in held.items() if of != before.get(d)}, store)
        return held

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
        if self.remaining:
            self.remaining.finish((dataset, key))
        if not isinstance(result, DccdError):
            self.done.add((dataset, key))
        if isinstance(result, UnknownSymbol):
            result.hint = self._what_to_do(dataset, result)
        if isinstance(result, UnknownSymbol) and self.states[dataset]:
            self.gone.append((dataset, key, result))
            self.context.log.warning("%s %s: %s", dataset, key, result)
        elif isinstance(result, OutOfReach) and CATCH_UP in self.context.run.tags:
            self.context.log.warning("%s %s: %s", dataset, key, result)  # a schedule tries what may be there
        elif isinstance(result, DccdError):
            self.errors.append((dataset, key, result))
            self.context.log.error("%s %s: %s", dataset, key, result)
        elif result.state is None:
            self.context.log.info("%s %s: nothing is final yet", dataset, key)
        else:
            self._note(dataset, key, result, result.state)

    def _what_to_do(self, dataset: Dataset, error: UnknownSymbol) -> str:
        """Say what to do about a symbol that the exchange does not know, or does not know any more."""
        if renamed := self.entry.life_of(dataset.symbol).hint:
            return renamed
        if not self.states[dataset]:
            return error.hint
        settings = f"exchanges.{self.entry.exchange}.symbols.{dataset.symbol}"
        return f"it was delisted or renamed: set {settings}: {{delisted: its last day}}, or remove it"

    def _note(self, dataset: Dataset, key: str, filled: Filled, state: State) -> None:
        """Have the checks see what is new, and tell Dagster of it, or of what it does not know yet.

        Bars built from what is stored cost no request, and neither does it to learn that trading has ended.
        """
        news = filled.requests > 0 or state != self.states[dataset].get(key)
        self.states[dataset][key] = state
        if news:
            self.unread[dataset].append(key)
        if filled.audit and filled.audit.rows == state.rows:  # else somebody has written it since
            filled.audit.judge_state(state, get(self.entry.exchange).finality_delay)
            self.audits.setdefault(dataset, {})[key] = filled.audit
        if news or key not in self.known.get(dataset, ()):
            self._materialise(dataset, key, filled, state)

    def _materialise(self, dataset: Dataset, key: str, filled: Filled, state: State) -> None:
        states, store = self.states[dataset], self.lake.identity() or ""
        self.context.log_event(
            dg.AssetMaterialization(
                dataset.parts,
                partition=key,
                metadata={
                    **partition_metadata(dataset, key, states, store, self.entry.within),
                    **partition_view(self.lake, dataset, key),
                    **lineage(dataset, self.entry.built_from(dataset)),
                },
                tags={DATA_VERSION: state.content_hash},
            )
        )
        self.context.log.info(
            "%s %s: %s, %d rows in %d requests, %d rows in all, %d gaps",
            *(dataset, key, condition_of(dataset, key, state), filled.rows, filled.requests, state.rows),
            len(state.ledger.gaps()),
        )

    def checks(self) -> Iterator[dg.AssetCheckResult]:
        """Yield the results of all checks that are selected: one that is left out would show as skipped."""
        told, selected = list[dg.AssetCheckResult](), self.context.selected_asset_check_keys
        tail = self.lake.tail(self.entry.datasets[0]).read()  # they differ in nothing but the symbol
        looked = {dataset: self._looked(dataset, tail) for dataset in self.unread} if selected else {}
        for result in judge(self.context.instance, self.lake, self.entry, looked, self.now):
            if result.asset_key and dg.AssetCheckKey(result.asset_key, result.check_name or "") in selected:
                told.append(result)
                yield result
        yield from self.more
        note_told(self.context.instance, [*told, *self.more])

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
        if CATCH_UP not in self.context.run.tags and len(self.gone) == len(self.wanted):
            errors = errors or self.gone  # who asked for nothing else wants to know
        if errors:
            selected = len(self.context.selected_asset_keys)
            lines = [f"{dataset} {key}: {error}" for dataset, key, error in errors]
            raise dg.Failure(
                "\n".join([f"{len(lines)} of {selected} datasets failed", *lines]),
                metadata={str(dataset): str(error) for dataset, _, error in errors},
                allow_retries=any(error.retryable for _, _, error in errors),
            )
