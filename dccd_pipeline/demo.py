"""The demonstration: the embedded defaults, collected from the sandbox in real Dagster runs, offline.

Belongs here: which partitions are shown. Does not: how a run is started (backfill.py).
"""

from collections.abc import Iterator

import dagster as dg

from dccd_core.domain.dataset import Grain
from dccd_core.exchanges import NAMES
from dccd_core.fetch.fill import Progress
from dccd_core.testing.sandbox.process import running_sandbox
from dccd_pipeline.backfill import Result, run_entry
from dccd_pipeline.config import embedded_settings
from dccd_pipeline.settings import ExchangeSettings, Settings

STORE = "./data/demo"
_KEYS = {
    Grain.MONTH: ["2024-01", "2024-02", "2024-03"],
    Grain.DATE: ["2024-01-01", "2024-01-02", "2024-01-03"],
    Grain.YEAR: ["2024"],
}


def demo(instance: dg.DagsterInstance, progress: Progress) -> Iterator[Result]:
    """Yield the result of each entry's run. What ``STORE`` already holds is not asked for again."""
    with running_sandbox() as sandbox:
        settings = demo_settings({name: sandbox.rest_url(name) for name in NAMES})
        for entry in settings.collect:
            keys = _KEYS[entry.datasets[0].grain]
            yield run_entry(settings, entry, entry.datasets, keys, instance, progress)


def demo_settings(rest_urls: dict[str, str]) -> Settings:
    exchanges = {name: ExchangeSettings(rest_url=url) for name, url in rest_urls.items()}
    return embedded_settings().model_copy(update={"store": STORE, "exchanges": exchanges})
