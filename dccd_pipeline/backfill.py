"""An ad hoc backfill: the same asset, in a Dagster run of its own, recorded in the instance.

Belongs here: from a question on the command line to a run and what came of it. Does not: how it is printed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from pydantic import ValidationError

from dccd_core.adapter.contract import Reach
from dccd_core.domain.dataset import FORMATS, Dataset, partition_key, partition_keys, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Ns, TimeSpan, iso, moment
from dccd_core.exchanges import get
from dccd_core.fetch.estimate import Estimate, estimate
from dccd_core.fetch.fill import Progress
from dccd_core.lake.lake import Lake
from dccd_core.lake.ledger import Condition
from dccd_core.net.clock import SystemClock
from dccd_pipeline.build import build_definitions, default_resources
from dccd_pipeline.entry import Entry
from dccd_pipeline.progress import condition_of
from dccd_pipeline.resources import Venues
from dccd_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Result:
    """How a backfill ended: the run, what it says of itself, and each partition's condition."""

    job: str
    run_id: str
    succeeded: bool
    failure: str
    conditions: dict[tuple[Dataset, str], Condition]

    @property
    def complete(self) -> bool:
        return self.succeeded and all(now is Condition.AVAILABLE for now in self.conditions.values())


def keys_of(dataset: Dataset, start: Ns, end: Ns | None) -> list[str]:
    """Return the partitions that share time with ``[start, end)``; without an end, up to the open one."""
    exchange, now = get(dataset.exchange), SystemClock().now()
    start, end = max(start, exchange.since), now if end is None else min(end, now)
    if end <= start:
        hint = f"{exchange.title} has data from {moment(exchange.since):%Y-%m-%d} to now"
        raise ConfigError(f"nothing lies between {iso(start)} and {iso(end)}", hint=hint)
    keys = list(partition_keys(dataset.grain, TimeSpan(start, end)))
    endpoint = exchange.endpoints.get(dataset.data_type)
    if endpoint and endpoint.reach is Reach.NOW and keys != [today := partition_key(dataset.grain, now)]:
        raise ConfigError(f"{exchange.title} shows only the present {dataset}", hint=f"write --start {today}")
    return keys


def backfill(
    settings: Settings, dataset: Dataset, keys: list[str], instance: dg.DagsterInstance, progress: Progress
) -> Result:
    """Fill ``keys`` of ``dataset`` in one run of the job that collects it, or of one made for it."""
    return run_entry(settings, _entry(settings, dataset, keys[0]), [dataset], keys, instance, progress)


def run_entry(
    settings: Settings,
    entry: Entry,
    datasets: Sequence[Dataset],
    keys: list[str],
    instance: dg.DagsterInstance,
    progress: Progress,
) -> Result:
    """Run the job of ``entry`` in this process, for some of its datasets and a run of partitions."""
    definitions = build_definitions(settings.model_copy(update={"collect": (entry,)}), {"progress": progress})
    result = definitions.resolve_job_def(entry.name).execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(dataset.parts) for dataset in datasets],
        tags={ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]},
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},  # kept in the run
        raise_on_error=False,
    )
    lake = Lake(settings.store)
    states = {dataset: lake.states(dataset) for dataset in datasets}
    conditions = {(d, key): condition_of(d, key, states[d].get(key)) for d in datasets for key in keys}
    return Result(
        entry.name, result.run_id, result.success, _said(result.get_step_failure_events()), conditions
    )


async def plan(settings: Settings, dataset: Dataset, keys: list[str]) -> Estimate:
    """Estimate what the backfill would ask and store; for trades this asks the venue for ids."""
    if _entry(settings, dataset, keys[0]).depth:
        hint = "leave --dry-run out"
        raise ConfigError(f"{dataset} is one request for the present: nothing to estimate", hint=hint)
    venues = default_resources(settings)["venues"]
    assert isinstance(venues, Venues)
    lake, total = Lake(settings.store), Estimate()
    async with venues.connect(dataset.exchange) as venue:
        for key in keys:
            total += await estimate(venue, lake, dataset, key)
    return total


def _entry(settings: Settings, dataset: Dataset, first: str) -> Entry:
    """Return the entry that collects ``dataset`` from ``first`` on, or one made for this backfill."""
    for entry in settings.collect:
        if dataset in entry.datasets and f"{entry.start:{FORMATS[dataset.grain]}}" <= first:
            return entry
    start = max(partition_span(dataset.grain, first).start, get(dataset.exchange).since)
    asked = {
        "exchange": dataset.exchange,
        "symbols": [str(dataset.symbol)],
        "data_type": dataset.data_type.value,
        "span": dataset.parts[-1] if dataset.span else None,
        "start": moment(start).date(),
    }
    try:
        return Entry.model_validate(asked)
    except ValidationError as e:
        mistakes = (mistake.get("ctx", {}).get("error") for mistake in e.errors())
        raise next(mistake for mistake in mistakes if isinstance(mistake, ConfigError)) from e


def _said(events: Iterable[dg.DagsterEvent]) -> str:
    """Return what failed steps say of themselves, without the stack around it."""
    data = [event.step_failure_data for event in events]
    said = [d.user_failure_data.description if d.user_failure_data else d.error_display_string for d in data]
    return "\n".join(text for text in said if text)
