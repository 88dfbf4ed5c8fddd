"""Assemble the Definitions from settings; tests and the command line pass their own resources."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Ns
from dccd_pipeline.assets.derived import derived_assets
from dccd_pipeline.assets.history import history_assets
from dccd_pipeline.config import EMBEDDED
from dccd_pipeline.entry import Entry
from dccd_pipeline.jobs import entry_job
from dccd_pipeline.resources import LakeResource, Venues
from dccd_pipeline.schedules import entry_schedule
from dccd_pipeline.sensors import failure_sensor
from dccd_pipeline.settings import Settings
from dccd_pipeline.silence import silent_runs


def build_definitions(settings: Settings, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    return dg.Definitions(
        assets=[collected(entry) for entry in settings.collect],
        jobs=[entry_job(entry) for entry in settings.collect],
        schedules=[
            entry_schedule(entry, running=settings.source != EMBEDDED)
            for entry in settings.collect
            if entry.scheduled
        ],
        sensors=[failure_sensor(settings.alerts), silent_runs],
        resources={**default_resources(settings), **(resources or {})},
        executor=dg.in_process_executor,
    )


def collected(entry: Entry) -> dg.AssetsDefinition:
    return derived_assets(entry) if entry.derive_from else history_assets(entry)


def default_resources(settings: Settings) -> dict[str, object]:
    return {
        "lake": LakeResource(url=settings.store),
        "venues": Venues(
            rest_urls={name: one.rest_url for name, one in settings.exchanges.items() if one.rest_url},
            budgets={name: one.budget for name, one in settings.exchanges.items() if one.budget},
        ),
        "progress": silent,
    }


def silent(_dataset: Dataset, _key: str, _rows: int, _until: Ns) -> None:
    """Follow the pages of a fill without a word: the run's log tells of whole partitions."""
