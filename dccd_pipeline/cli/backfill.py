"""An ad hoc backfill: the same asset, in a Dagster run of its own, recorded in the instance.

Belongs here: from a question on the command line to a run and what came of it. Does not: how it is printed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import dagster as dg

from dccd_core.adapter.contract import FULL, NOW
from dccd_core.domain.dataset import FORMATS, Dataset, partition_key, partition_keys, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.moments import ORIGIN, whole_bars
from dccd_core.domain.timespan import SECOND, ZERO, TimeRange, Us, iso, moment, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.estimate import Estimate, estimate
from dccd_core.fetch.fill import Progress
from dccd_core.fetch.planner import settled
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import DEFAULT_SHARE
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.assets.remaining import Job, due_in
from dccd_pipeline.build import build_definitions, default_resources
from dccd_pipeline.config.capabilities import (
    askable_since,
    elsewhere,
    later,
    limits_of,
    present,
    said_time,
    weight_per_minute,
)
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import entry_of
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.config.sources import said_source
from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    make_new_run_id,
)
from dccd_pipeline.resources import Venues
from dccd_pipeline.runs.signals import old_handlers
from dccd_pipeline.runs.stops import INTERRUPTS, ended_status
from dccd_pipeline.tags import WITHIN
from dccd_pipeline.ticks.job import tick_op

_QUIET: Final = {"console": {"config": {"log_level": "CRITICAL"}}}
"""What it logs is kept in the run."""
_SLACK: Final = Us(30 * SECOND)


@dataclass(frozen=True, slots=True)
class Result:
    """How a backfill ended: the run, what it says of itself, and each partition's condition."""

    job: str
    run_id: str
    succeeded: bool
    failure: str
    conditions: dict[tuple[Dataset, str], Condition]
    stopped: bool = False
    """Somebody told it to end."""
    lacking: tuple[tuple[Dataset, str], ...] = ()
    """The partitions of which something is missing that can be final."""
    bytes: int = 0
    """What the partitions take in the store."""

    @property
    def complete(self) -> bool:
        """Whether all is there that was asked for and can be had by now."""
        return self.succeeded and not self.lacking


@dataclass(frozen=True, slots=True)
class Order:
    """What one run is to fill: datasets of an entry, a run of partitions, and what of them (None: all)."""

    entry: Entry
    datasets: tuple[Dataset, ...]
    keys: tuple[str, ...]
    within: TimeRange | None = None
    catch_up: bool = False
    """As a tick does: leave alone what needs nothing now."""

    @property
    def judged(self) -> TimeRange | None:
        """What of its partitions is looked at: of a tick what the entry wants of them (None: all)."""
        return self.entry.within if self.catch_up else self.within

    @property
    def tags(self) -> dict[str, str]:
        if self.catch_up:
            return {}
        tags = {ASSET_PARTITION_RANGE_START_TAG: self.keys[0], ASSET_PARTITION_RANGE_END_TAG: self.keys[-1]}
        within = {WITHIN: f"{self.within.start}/{self.within.end}"} if self.within else {}
        return tags | within


def orders_of(
    settings: Settings, datasets: Sequence[Dataset], start: Us | None, end: Us | None
) -> list[Order]:
    """Return the runs that fill ``[start, end)``; those that belong to one entry are one run.

    Without a start, from where the configuration says, or else from what the lake holds.
    """
    orders: dict[tuple[str, tuple[str, ...], TimeRange | None], Order] = {}
    for dataset in datasets:
        since = asyncio.run(listed_since(settings, dataset)) if start == ORIGIN else start
        since = start_of(settings, dataset) if since is None else since
        keys = tuple(keys_of(settings, dataset, since, end))
        if not keys:
            raise ConfigError(f"nothing of {dataset} can be asked for in this time", hint="ask for another")
        entry, within = _entry(settings, dataset, keys[0]), _within(dataset, keys, since, end)
        known = orders.get((entry.name, keys, within))
        if known and dataset not in known.entry.datasets:
            entry = known.entry.joined(entry)
        known = known or Order(entry, (), keys, within)
        new = replace(known, entry=entry, datasets=(*known.datasets, dataset))
        orders[entry.name, keys, within] = new
    return list(orders.values())


def start_of(settings: Settings, dataset: Dataset) -> Us:
    """Return from when on a dataset is wanted.

    Raises:
        ConfigError: neither the configuration nor the lake says it.
    """
    if entry := configured(settings, dataset):
        return parse_time(str(entry.start))
    if stored := settings.lake().all_known(dataset):
        return partition_span(dataset.grain, next(iter(stored))).start
    hint = "write --start 2024-01-01, --start 30d or --start origin"
    raise ConfigError(
        f"nothing says since when {dataset} is wanted: it is not in {settings.source}", hint=hint
    )


async def listed_since(settings: Settings, dataset: Dataset) -> Us:
    """Ask the venue since when it has rows of ``dataset``: its listing."""
    exchange, now = get(dataset.exchange), present()
    settings.require_open(exchange)
    entry = _entry(settings, dataset, partition_key(dataset.grain, now))
    source, asked = entry.source(dataset.symbol), entry.asked_for(dataset)
    first = max(exchange.since, askable_since(source, asked.span, now))
    if source.reach != FULL:
        return first
    async with venues_of(settings).connect(dataset.exchange) as venue:
        listed = max(first, await venue.listed_since(asked))
    return partition_span(dataset.grain, partition_key(dataset.grain, listed)).start


def _within(dataset: Dataset, keys: Sequence[str], start: Us, end: Us | None) -> TimeRange | None:
    """Return the part of the partitions that was asked for; None: all of them."""
    if dataset.data_type.table.pictures:
        return None
    whole = TimeRange(
        partition_span(dataset.grain, keys[0]).start, partition_span(dataset.grain, keys[-1]).end
    )
    asked = whole_bars(TimeRange(start, max(start, whole.end if end is None else end)), dataset.span)
    part = whole.clip(asked)
    return part if part != whole else None


def keys_of(settings: Settings, dataset: Dataset, start: Us, end: Us | None) -> list[str]:
    """Return the partitions that share time with ``[start, end)``; without an end, up to the open one."""
    exchange, now = get(dataset.exchange), SystemClock().now()
    settings.require_open(exchange)
    last = min(now, exchange.closed or now)
    start, end = max(start, exchange.since), last if end is None else min(end, last)
    if end <= start:
        until = f"{moment(last):%Y-%m-%d}" if last < now else "now"
        hint = f"{exchange.title} has data from {moment(exchange.since):%Y-%m-%d} to {until}"
        raise ConfigError(f"nothing lies between {iso(start)} and {iso(end)}", hint=hint)
    keys = list(partition_keys(dataset.grain, TimeRange(start, end)))
    entry = _entry(settings, dataset, keys[0])
    life = entry.life_of(dataset.symbol)
    if life.delisted and life.delisted < moment(start).date():
        hint = life.hint or "ask for an earlier time"
        raise ConfigError(f"{dataset.symbol} was delisted on {life.delisted}", hint=hint)
    _refuse_out_of_reach(entry, dataset, start, now)
    return entry.askable(dataset, keys, now)


def _refuse_out_of_reach(entry: Entry, dataset: Dataset, start: Us, now: Us) -> None:
    exchange, endpoint, asked = get(dataset.exchange), entry.source(dataset.symbol), entry.asked_for(dataset)
    today, since = partition_key(dataset.grain, now), endpoint.reach.since(now, asked.span)
    if endpoint.reach == NOW:
        if today != partition_key(dataset.grain, start):
            said = f"{exchange.title} shows only the present {dataset}"
            raise ConfigError(said, hint=f"write --start {today}")
    elif start < askable_since(endpoint, asked.span, now):
        known = f", now from {said_time(since)} on" if since else ""
        hints = [f"write --start {later(since, now) if since else today}"]
        if others := elsewhere(
            exchange, dataset.data_type, dataset.symbol.market_type, dataset.span, start, now
        ):
            hints.append(f"take it from {' or '.join(others)}")
        said = f"{exchange.title} serves {endpoint.reach} of {asked}{known}"
        raise ConfigError(said, hint=", or ".join(hints))


def backfill(
    settings: Settings,
    dataset: Dataset,
    keys: Sequence[str],
    instance: dg.DagsterInstance,
    progress: Progress,
) -> Result:
    """Fill ``keys`` of ``dataset`` in one run of the job that collects it, or of one made for it."""
    return run_order(settings, order_of(settings, dataset, keys), instance, progress)


def order_of(settings: Settings, dataset: Dataset, keys: Sequence[str]) -> Order:
    """Return the run that fills whole partitions of one dataset."""
    return Order(_entry(settings, dataset, keys[0]), (dataset,), tuple(keys))


def run_order(settings: Settings, order: Order, instance: dg.DagsterInstance, progress: Progress) -> Result:
    """Run the job of an entry in this process, for some of its datasets and a run of partitions."""
    entry, datasets = order.entry, order.datasets
    definitions = build_definitions(settings.model_copy(update={"collect": (entry,)}), {"progress": progress})
    run_id, began = make_new_run_id(), present()
    failure, interrupted = "", False
    config: dict[str, object] = {"loggers": _QUIET}
    if order.catch_up:
        symbols = [str(dataset.symbol) for dataset in datasets]
        config["ops"] = {tick_op(entry): {"config": {"symbols": symbols}}}
    job = definitions.resolve_job_def(entry.tick if order.catch_up else entry.name)
    try:
        with old_handlers():
            result = job.execute_in_process(
                instance=instance,
                asset_selection=None if order.catch_up else [dg.AssetKey(one.parts) for one in datasets],
                tags=order.tags,
                run_config=config,
                raise_on_error=False,
                run_id=run_id,
            )
        failure = _said(result.get_step_failure_events())
    except INTERRUPTS:
        interrupted = True
    status = ended_status(instance, run_id, interrupted=interrupted)
    stopped = status is dg.DagsterRunStatus.CANCELED
    lake = settings.lake()
    states = {dataset: lake.all_known(dataset) for dataset in datasets}
    conditions = {
        (d, key): condition_of(d, key, states[d].get(key), order.judged)
        for d in datasets
        for key in order.keys
    }
    succeeded = status is dg.DagsterRunStatus.SUCCESS
    size = sum(states[d][key].bytes for d, key in conditions if key in states[d])
    lacking = tuple(
        (one, key) for one, key in conditions if not _is_whole(one, key, states[one].get(key), order, began)
    )
    said = "" if stopped else failure
    return Result(entry.name, run_id, succeeded, said, conditions, stopped, lacking, size)


def _is_whole(dataset: Dataset, key: str, state: State | None, order: Order, began: Us) -> bool:
    """Tell whether of a partition all is there that was asked for and was final when the run began.

    The venue's clock may be a little behind ours, so the last moments are left out.
    """
    whole = partition_span(dataset.grain, key)
    asked = whole.clip(order.judged) if order.judged else whole
    final = settled(dataset, Us(began - _SLACK), get(dataset.exchange).finality_delay)
    past = asked.clip(TimeRange(ZERO, final)) if asked else None
    return past is None or condition_of(dataset, key, state, past) is Condition.AVAILABLE


def due_of(settings: Settings, order: Order) -> dict[Job, list[TimeRange]]:
    """Return what of each partition is to be asked for, as far as the ledgers know."""
    lake, now = settings.lake(), present()
    states = {dataset: lake.all_known(dataset) for dataset in order.datasets}
    return {
        (dataset, key): due_in(dataset, key, states[dataset].get(key), now, order.judged)
        for dataset in order.datasets
        for key in order.keys
    }


async def plan(settings: Settings, orders: Sequence[Order]) -> Estimate:
    """Estimate what the runs would ask and store; for trades this asks the venue for ids."""
    total, lake = Estimate(), settings.lake()
    for order in orders:
        for dataset in order.datasets:
            _refuse_plan(order.entry, dataset)
            life = order.entry.life_of(dataset.symbol).bounds
            async with venues_of(settings).connect(dataset.exchange) as venue:
                for key in order.keys:
                    total += await estimate(venue, lake, dataset, key, life, order.within)
    return total


def _refuse_plan(entry: Entry, dataset: Dataset) -> None:
    if entry.depth:
        hint = "leave --dry-run out"
        raise ConfigError(f"{dataset} is one request for the present: nothing to estimate", hint=hint)
    if entry.derive_from:
        rows = said_source(entry.derive_from)
        hint = f"leave --dry-run out, or estimate the {rows}"
        raise ConfigError(f"{dataset} is built of stored {rows}: nothing to estimate", hint=hint)


def venues_of(settings: Settings) -> Venues:
    venues = default_resources(settings)["venues"]
    assert isinstance(venues, Venues)
    return venues


def pace(settings: Settings, dataset: Dataset) -> float:
    """Return how much weight a minute the budget gives requests for ``dataset``."""
    own = settings.exchanges.get(dataset.exchange)
    share = own.budget if own and own.budget else DEFAULT_SHARE
    limits = limits_of(get(dataset.exchange), dataset.symbol.market_type, dataset.data_type, present())
    return share * weight_per_minute(limits)


def configured(settings: Settings, dataset: Dataset) -> Entry | None:
    """Return the entry that collects ``dataset``."""
    return next((entry for entry in settings.collect if dataset in entry.datasets), None)


def _entry(settings: Settings, dataset: Dataset, first: str) -> Entry:
    """Return the entry that collects ``dataset`` from ``first`` on, or one made for this backfill."""
    known = configured(settings, dataset)
    if known and not known.end and f"{known.start:{FORMATS[dataset.grain]}}" <= first:
        return known
    asked = {
        "exchange": dataset.exchange,
        "symbols": [str(dataset.symbol)],
        "data_type": dataset.data_type.value,
        "span": dataset.parts[-1] if dataset.span else None,
        "derive_from": known.derive_from if known else None,
    }
    entry = entry_of(asked, present())
    start = max(partition_span(dataset.grain, first).start, get(dataset.exchange).since)
    life = settings.life_of(dataset.exchange, dataset.symbol)
    entry = entry.built_of(known.origins if known else {}).zoned(settings.timezone)
    meant = {"start": moment(start).date(), "every": "never"}  # nothing brings it up to date by itself
    if known and not known.end:
        meant |= {"every": known.every, "cron": known.cron}
    return entry.living({dataset.symbol: life}).model_copy(update=meant)


def _said(events: Iterable[dg.DagsterEvent]) -> str:
    """Return what failed steps say of themselves, without the stack around it."""
    data = [event.step_failure_data for event in events]
    said = [d.user_failure_data.description if d.user_failure_data else d.error_display_string for d in data]
    return "\n".join(text for text in said if text)
