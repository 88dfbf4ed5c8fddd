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
from dccd_pipeline.assets.progress import Progress
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin
from dccd_pipeline.tags import PROGRESS
from tests.e2e.project import RANGE, ROOT, asset, bars

pytestmark = pytest.mark.e2e
DATASETS = [Dataset("binance", Symbol(f"S{n}", "USDT"), DataType.OHLC, MINUTE) for n in range(1_000)]
NOW = datetime(2024, 12, 15, tzinfo=UTC)
DONE: Progress = {"complete": [("2020-01", "2024-11")], "retry_at": {}, "store": "this"}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A real instance in which every dataset is complete up to the open partition."""
    home = tmp_path_factory.mktemp("scale")
    shutil.copy(ROOT / "dagster.yaml", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for dataset in DATASETS:
            metadata = {PROGRESS: dg.MetadataValue.json(dict(DONE))}
            event = dg.AssetMaterialization(dataset.parts, partition="2024-11", metadata=metadata)
            instance.report_runless_asset_event(event)
        yield instance


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a configuration whose store has the name that the events tell of."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dccd.json").write_text('{"format": 2, "id": "this"}')
    return tmp_path


def test_a_thousand_datasets_load_and_tick(instance: dg.DagsterInstance, store: Path) -> None:
    for entries in (1, 10, 1_000):
        size = len(DATASETS) // entries
        parts = [DATASETS[at : at + size] for at in range(0, len(DATASETS), size)]
        began = time.perf_counter()
        settings = parse_settings(configuration(parts), Origin("dccd.yaml", store))
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

        assert repository.asset_graph.get_all_asset_keys() == {asset(dataset) for dataset in DATASETS}
        assert {job.name for job in jobs} >= {f"part{n}" for n in range(entries)}
        assert len(repository.schedule_defs) == entries + 1  # and the one of prune_runs
        assert told.run_requests
        (request,) = told.run_requests
        assert request.asset_selection == [asset(dataset) for dataset in parts[0]]
        assert [request.tags[tag] for tag in RANGE] == ["2024-12", "2024-12"]


def configuration(parts: Iterable[Iterable[Dataset]]) -> str:
    lines = [
        f"  - {bars(', '.join(str(one.symbol) for one in part), '2020-01-01', f'name: part{n}')}"
        for n, part in enumerate(parts)
    ]
    return "\n".join(["collect:", *lines])
