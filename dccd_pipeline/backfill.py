"""An ad hoc backfill: the same asset, in a Dagster run of its own, recorded in the instance.

Belongs here: from a question on the command line to a run and what came of it. Does not: how it is printed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.utils import make_new_run_id
from pydantic import ValidationError

from dccd_core.adapter.contract import NOW
from dccd_core.domain.dataset import FORMATS, Dataset, partition_key, partition_keys, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Ns, TimeSpan, iso, moment
from dccd_core.exchanges import get
from dccd_core.fetch.estimate import Estimate, estimate
from dccd_core.fetch.fill import Progress
from dccd_core.lake.lake import Lake
from dccd_core.lake.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import DEFAULT_SHARE
from dccd_pipeline.build import build_definitions, default_resources
from dccd_pipeline.entry import Entry
from dccd_pipeline.progress import condition_of
from dccd_pipeline.resources import Venues
from dccd_pipeline.served import askable_since, elsewhere, later, limits_of, said_time, weight_per_minute
from dccd_pipeline.settings import Settings
from dccd_pipeline.stops import INTERRUPTS, ended_status


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

    @property
    def complete(self) -> bool:
        return self.succeeded and all(now is Condition.AVAILABLE for now in self.conditions.values())


def keys_of(settings: Settings, dataset: Dataset, start: Ns, end: Ns | None) -> list[str]:
    """Return the partitions that share time with ``[start, end)``; without an end, up to the open one."""
    exchange, now = get(dataset.exchange), SystemClock().now()
    settings.require_open(exchange)
    last = min(now, exchange.closed or now)
    start, end = max(start, exchange.since), last if end is None else min(end, last)
    if end <= start:
        until = f"{moment(last):%Y-%m-%d}" if last < now else "now"
        hint = f"{exchange.title} has data from {moment(exchange.since):%Y-%m-%d} to {until}"
        raise ConfigError(f"nothing lies between {iso(start)} and {iso(end)}", hint=hint)
    keys = list(partition_keys(dataset.grain, TimeSpan(start, end)))
    entry = _entry(settings, dataset, keys[0])
    life = entry.life_of(dataset.symbol)
    if life.delisted and life.delisted < moment(start).date():
        hint = life.hint or "ask for an earlier time"
        raise ConfigError(f"{dataset.symbol} was delisted on {life.delisted}", hint=hint)
    _refuse_out_of_reach(entry, dataset, start, now)
    return entry.askable(dataset, keys, now)


def _refuse_out_of_reach(entry: Entry, dataset: Dataset, start: Ns, now: Ns) -> None:
    exchange, endpoint = get(dataset.exchange), entry.source(dataset.symbol)
    today, since = partition_key(dataset.grain, now), endpoint.reach.since(now, dataset.span)
    if endpoint.reach == NOW:
        if today != partition_key(dataset.grain, start):
            said = f"{exchange.title} shows only the present {dataset}"
            raise ConfigError(said, hint=f"write --start {today}")
    elif start < askable_since(endpoint, dataset.span, now):
        known = f", now from {said_time(since)} on" if since else ""
        hints = [f"write --start {later(since, now) if since else today}"]
        if others := elsewhere(exchange, dataset.data_type, dataset.symbol.market, dataset.span, start):
            hints.append(f"take it from {' or '.join(others)}")
        said = f"{exchange.title} serves {endpoint.reach} of {dataset}{known}"
        raise ConfigError(said, hint=", or ".join(hints))


def backfill(
    settings: Settings, dataset: Dataset, keys: list[str], instance: dg.DagsterInstance, progress: Progress
) -> Result:
    """Fill ``keys`` of ``dataset`` in one run of the job that collects it, or of one made for it."""
    return run_entry(settings, _entry(settings, dataset, keys[0]), [dataset], keys, instance, progress)


def run_entry(
    settings: Settings,
    entry: Entry,
    datasets: Sequence[Dataset],
    keys: Sequence[str],
    instance: dg.DagsterInstance,
    progress: Progress,
) -> Result:
    """Run the job of ``entry`` in this process, for some of its datasets and a run of partitions."""
    definitions = build_definitions(settings.model_copy(update={"collect": (entry,)}), {"progress": progress})
    run_id = make_new_run_id()
    failure, interrupted = "", False
    try:
        result = definitions.resolve_job_def(entry.name).execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(dataset.parts) for dataset in datasets],
            tags={ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},  # kept in the run
            raise_on_error=False,
            run_id=run_id,
        )
        failure = _said(result.get_step_failure_events())
    except INTERRUPTS:
        interrupted = True
    status = ended_status(instance, run_id, interrupted=interrupted)
    stopped = status is dg.DagsterRunStatus.CANCELED
    lake = Lake(settings.store)
    states = {dataset: lake.states(dataset) for dataset in datasets}
    conditions = {(d, key): condition_of(d, key, states[d].get(key)) for d in datasets for key in keys}
    succeeded = status is dg.DagsterRunStatus.SUCCESS
    return Result(entry.name, run_id, succeeded, "" if stopped else failure, conditions, stopped)


async def plan(settings: Settings, dataset: Dataset, keys: list[str]) -> Estimate:
    """Estimate what the backfill would ask and store; for trades this asks the venue for ids."""
    entry = _entry(settings, dataset, keys[0])
    if entry.depth:
        hint = "leave --dry-run out"
        raise ConfigError(f"{dataset} is one request for the present: nothing to estimate", hint=hint)
    if entry.derive_from:
        hint = f"leave --dry-run out, or estimate the {entry.derive_from}"
        raise ConfigError(f"{dataset} is built of stored {entry.derive_from}: nothing to estimate", hint=hint)
    venues = default_resources(settings)["venues"]
    assert isinstance(venues, Venues)
    lake, total, life = Lake(settings.store), Estimate(), entry.life_of(dataset.symbol).bounds
    async with venues.connect(dataset.exchange) as venue:
        for key in keys:
            total += await estimate(venue, lake, dataset, key, life)
    return total


def pace(settings: Settings, dataset: Dataset) -> float:
    """Return how much weight a minute the budget gives requests for ``dataset``."""
    own = settings.exchanges.get(dataset.exchange)
    share = own.budget if own and own.budget else DEFAULT_SHARE
    limits = limits_of(get(dataset.exchange), dataset.symbol.market, dataset.data_type)
    return share * weight_per_minute(limits)


def _entry(settings: Settings, dataset: Dataset, first: str) -> Entry:
    """Return the entry that collects ``dataset`` from ``first`` on, or one made for this backfill."""
    configured = next((entry for entry in settings.collect if dataset in entry.datasets), None)
    if configured and f"{configured.start:{FORMATS[dataset.grain]}}" <= first:
        return configured
    asked = {
        "exchange": dataset.exchange,
        "symbols": [str(dataset.symbol)],
        "data_type": dataset.data_type.value,
        "span": dataset.parts[-1] if dataset.span else None,
        "derive_from": configured.derive_from if configured else None,
    }
    try:
        entry = Entry.model_validate(asked)
    except ValidationError as e:
        mistakes = (mistake.get("ctx", {}).get("error") for mistake in e.errors())
        raise next(mistake for mistake in mistakes if isinstance(mistake, ConfigError)) from e
    start = max(partition_span(dataset.grain, first).start, get(dataset.exchange).since)
    life = settings.life_of(dataset.exchange, dataset.symbol)
    return entry.living({dataset.symbol: life}).model_copy(update={"start": moment(start).date()})


def _said(events: Iterable[dg.DagsterEvent]) -> str:
    """Return what failed steps say of themselves, without the stack around it."""
    data = [event.step_failure_data for event in events]
    said = [d.user_failure_data.description if d.user_failure_data else d.error_display_string for d in data]
    return "\n".join(text for text in said if text)
