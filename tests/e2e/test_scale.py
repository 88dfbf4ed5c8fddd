"""A thousand datasets. What it takes is printed (pytest -s), never asserted."""

import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE
from dccd_core.tables import DataType
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin
from tests.e2e.project import ROOT, asset, bars

pytestmark = pytest.mark.e2e
DATASETS = [Dataset("binance", Symbol(f"S{n}", "USDT"), DataType.OHLC, MINUTE) for n in range(1_000)]
NOW = datetime(2024, 12, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A real instance."""
    home = tmp_path_factory.mktemp("scale")
    shutil.copy(ROOT / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def test_a_thousand_datasets_load_and_tick(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    for entries in (1, 10, 1_000):
        size = len(DATASETS) // entries
        parts = [DATASETS[at : at + size] for at in range(0, len(DATASETS), size)]
        began = time.perf_counter()
        settings = parse_settings(configuration(parts), Origin("dccd.yaml", tmp_path))
        definitions = build_definitions(settings)
        repository = definitions.get_repository_def()
        jobs = repository.get_all_jobs()
        loaded = time.perf_counter()
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=NOW, repository_def=repository
        )
        told = definitions.resolve_schedule_def("part0_schedule").evaluate_tick(context)
        ticked = time.perf_counter()
        took = f"loaded in {loaded - began:.2f} s, tick in {ticked - loaded:.2f} s"
        print(f"{entries} entries of {size}: {took}")  # noqa: T201 -- a measurement

        reports = {dg.AssetKey(["collect", f"part{n}"]) for n in range(entries)}
        reports.add(dg.AssetKey(["lake", "report"]))
        assert repository.asset_graph.get_all_asset_keys() == {*map(asset, DATASETS), *reports}
        assert {job.name for job in jobs} >= {
            f"part{n}{end}" for n in range(entries) for end in ("", "_tick")
        }
        assert (
            len(repository.schedule_defs) == entries + 3
        )  # and those of prune_runs, the report and reconcile
        assert told.run_requests


def configuration(parts: Iterable[Iterable[Dataset]]) -> str:
    lines = [
        f"  - {bars(', '.join(str(one.symbol) for one in part), '2020-01-01', f'name: part{n}')}"
        for n, part in enumerate(parts)
    ]
    return "\n".join(["collect:", *lines])
