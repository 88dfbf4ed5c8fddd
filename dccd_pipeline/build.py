"""Assemble the Definitions from settings; tests and the command line pass their own resources."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.sockets import Connect
from dccd_core.stream.api import Listener, StreamPlan
from dccd_pipeline.alarms.sensor import alert_sensor
from dccd_pipeline.answer.reconciling import reconcile_job, reconcile_schedule
from dccd_pipeline.answer.reporting import report_asset, report_job, report_schedule
from dccd_pipeline.assets.agrees import agreement_checks
from dccd_pipeline.assets.derived import derived_assets
from dccd_pipeline.assets.history import history_assets
from dccd_pipeline.assets.jobs import entry_job
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.config.read import EMBEDDED
from dccd_pipeline.config.settings import ExchangeSettings, Settings
from dccd_pipeline.config.stream import StreamEntry
from dccd_pipeline.keep.purge import purge_job, purge_schedule
from dccd_pipeline.keep.remote import remote_asset, remote_job, remote_schedule
from dccd_pipeline.resources import AcceptedSpan, LakeResource, RemotePlace, Venues
from dccd_pipeline.runs.failures import configuration_sensor, failure_sensor, recovery_sensor
from dccd_pipeline.runs.prune import prune_job, prune_schedule
from dccd_pipeline.runs.silent import silent_runs
from dccd_pipeline.streams.alerts import silence_sensor
from dccd_pipeline.streams.assets import first_days, recorded_spec, stream_spec
from dccd_pipeline.streams.job import stream_job
from dccd_pipeline.streams.orders import Order
from dccd_pipeline.streams.sensor import stream_supervisor
from dccd_pipeline.ticks.job import tick_job
from dccd_pipeline.ticks.report import collect_spec
from dccd_pipeline.ticks.schedules import entry_schedule


def build_definitions(settings: Settings, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    orders, recorded = stream_orders(settings), [entry for entry in settings.stream if entry.enabled]
    entries = {dataset: entry for entry in settings.collect for dataset in entry.datasets}
    reports = bool(settings.collect or settings.stream)
    streams = {entry.name: stream_job(entry, orders[entry.name].digest, entries) for entry in settings.stream}
    return dg.Definitions(
        assets=[
            *(collected(entry, settings.store) for entry in settings.collect),
            *map(collect_spec, settings.collect),
            *stream_specs(settings),
            *map(remote_asset, settings.remotes),
            *([report_asset(stream_digests(settings))] if reports else []),
        ],
        asset_checks=[
            *(one for entry in settings.collect for one in agreement_checks(entry.name, entry.datasets)),
            *(
                one
                for entry in settings.stream
                for one in agreement_checks(f"stream_{entry.name}", recorded_by(entry, settings))
            ),
        ],
        jobs=[
            *(entry_job(entry) for entry in settings.collect),
            *(tick_job(entry) for entry in settings.collect),
            *streams.values(),
            *map(remote_job, settings.remotes),
            *([purge_job(settings)] if settings.purge else []),
            prune_job(settings.keep_runs),
            *([report_job(), reconcile_job(settings)] if reports else []),
        ],
        schedules=[
            *(
                entry_schedule(entry, settings.timezone, running=settings.source != EMBEDDED)
                for entry in settings.collect
                if entry.scheduled
            ),
            *(
                remote_schedule(entry, running=settings.source != EMBEDDED)
                for entry in settings.remotes
                if entry.scheduled
            ),
            *([purge_schedule(running=settings.source != EMBEDDED)] if settings.purge else []),
            prune_schedule(running=settings.source != EMBEDDED),
            *(
                [make(running=settings.source != EMBEDDED) for make in (report_schedule, reconcile_schedule)]
                if reports
                else []
            ),
        ],
        sensors=[
            failure_sensor(settings.alerts),
            recovery_sensor(settings.alerts),
            configuration_sensor(),
            silent_runs,
            stream_supervisor(streams, {entry.name: orders[entry.name] for entry in recorded}),
            silence_sensor(recorded, settings.alerts),
            alert_sensor(settings),
        ],
        resources={**default_resources(settings), **(resources or {})},
        executor=dg.in_process_executor,
    )


def collected(entry: Entry, store: str) -> dg.AssetsDefinition:
    return derived_assets(entry, store) if entry.derive_from else history_assets(entry, store)


def stream_specs(settings: Settings) -> list[dg.AssetSpec]:
    """Return the assets of streams, and those of what they record that no ``collect`` entry has."""
    only = _only_recorded(settings)
    open_ended = [dataset for dataset, entry in only.items() if entry.start is None]
    held = first_days(settings.lake(), open_ended) if open_ended else {}
    today = datetime.now(UTC).date()
    return [
        *map(stream_spec, settings.stream),
        *(
            recorded_spec(entry, dataset, settings.store, entry.start or min(today, held.get(dataset, today)))
            for dataset, entry in only.items()
        ),
    ]


def recorded_by(entry: StreamEntry, settings: Settings) -> list[Dataset]:
    """Return what has an asset because of this stream: no ``collect`` entry has it."""
    return [dataset for dataset, its in _only_recorded(settings).items() if its is entry]


def _only_recorded(settings: Settings) -> dict[Dataset, StreamEntry]:
    collected = {dataset for entry in settings.collect for dataset in entry.datasets}
    return {
        dataset: entry for entry in settings.stream for dataset in entry.datasets if dataset not in collected
    }


def stream_orders(settings: Settings) -> dict[str, Order]:
    """Return for each stream what it is to record; its digest changes whenever that does."""
    store = settings.store if "://" in settings.store else str(Path(settings.store).resolve())
    return {
        entry.name: Order.of(entry, entry.digest(store, *_reach(settings, entry.exchange)))
        for entry in settings.stream
    }


def stream_digests(settings: Settings) -> dict[str, str]:
    """Return the digests of the streams that are to be recorded."""
    orders = stream_orders(settings)
    return {entry.name: orders[entry.name].digest for entry in settings.stream if entry.enabled}


def _reach(settings: Settings, exchange: str) -> tuple[object, ...]:
    own = settings.exchanges.get(exchange, ExchangeSettings())
    return own.rest_url, own.ws_url, own.budget


def default_resources(settings: Settings) -> dict[str, object]:
    return {
        "lake": LakeResource(
            url=settings.store,
            s3_region=settings.s3.region,
            s3_endpoint_url=settings.s3.endpoint_url,
            s3_profile=settings.s3.profile,
            s3_retries=settings.s3.retries,
            remotes=[
                RemotePlace(name=one.name, to=one.to, bandwidth=one.bandwidth) for one in settings.remotes
            ],
            keep_free=(settings.purge and settings.purge.keep_free) or 0,
            accepted=[
                AcceptedSpan(dataset=name, start=start, end=end, why=why)
                for name, start, end, why in settings.accepted_gaps()
            ],
        ),
        "venues": Venues(
            rest_urls={name: one.rest_url for name, one in settings.exchanges.items() if one.rest_url},
            ws_urls={name: one.ws_url for name, one in settings.exchanges.items() if one.ws_url},
            budgets={name: one.budget for name, one in settings.exchanges.items() if one.budget},
        ),
        "progress": silent,
        "recorder": record_live,
    }


def silent(_dataset: Dataset, _key: str, _rows: int, _until: Us) -> None:
    """Follow the pages of a fill without a word: the run's log tells of whole partitions."""


async def record_live(  # noqa: PLR0913 -- as the recorder of the core
    plan: StreamPlan,
    venue: Venue,
    connect: Connect,
    lake: LakeStore,
    stop: asyncio.Event,
    listener: Listener,
    *,
    plans: asyncio.Queue[StreamPlan],
) -> None:
    """Record a stream; what it takes is imported by the runs that do so only."""
    from dccd_core.stream.run import run_stream  # noqa: PLC0415

    await run_stream(plan, venue, connect, lake, stop, listener, plans)
