from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_core.exchanges import NAMES
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Condition
from dccd_core.tables import DataType
from dccd_pipeline.build import silent
from dccd_pipeline.cli.demo import STORE, demo, demo_page, demo_settings, demo_wanted
from dccd_pipeline.cli.inventory import holdings

NOW = datetime.now(UTC)


def test_the_demo_shows_every_exchange() -> None:
    settings = demo_settings({name: f"http://127.0.0.1:9/{name}" for name in NAMES})
    assert Path(settings.store) == Path(STORE)
    shown = {entry.exchange for entry in settings.collect}
    assert shown == set(NAMES), "every exchange has a line in SHOWN of dccd_pipeline/cli/demo.py"
    assert {entry.data_type for entry in settings.collect} == set(DataType)
    kinds = {symbol.market_type for entry in settings.collect for symbol in entry.symbols}
    assert kinds == {"spot", "linear", "inverse"}
    assert settings.exchanges["bitmex"].rest_url == "http://127.0.0.1:9/bitmex"


@pytest.mark.e2e
def test_the_demo_collects_all_and_a_second_one_nothing_of_the_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    with dg.DagsterInstance.ephemeral() as instance:
        results = list(demo(instance, silent))
        assert [result.failure for result in results if not result.succeeded] == []
        found = {key: now for result in results for key, now in result.conditions.items()}
        past = {key: now for key, now in found.items() if key[1] < f"{NOW.year}"}
        assert {key: now for key, now in past.items() if now is not Condition.AVAILABLE} == {}
        assert {dataset.exchange for dataset, _ in past} == set(NAMES)
        assert {dataset.exchange for dataset, _ in found.keys() - past.keys()} == {"bybit", "kraken"}
        assert Condition.DEGRADED not in found.values()
        held = holdings(LakeStore(STORE), Us(round(NOW.timestamp() * SECOND)), demo_wanted())
        assert [one.why for one in held if one.why] == []
        minutes = [d for d in LakeStore(STORE).datasets() if d.exchange == "binance" and d.span == MINUTE]
        assert sum(state.rows for one in minutes for state in LakeStore(STORE).states(one).values()) == (
            2 * 91 * 1_440
        )

        found, page = demo_page(instance)
        assert found.problems == ()
        assert found.verdict.startswith(f"all is well: {len(found.datasets)} datasets are complete")
        assert found.verdict in page.read_text()

        written = files(tmp_path)
        assert all(result.succeeded for result in demo(instance, unexpected))
        assert files(tmp_path) == written


def unexpected(dataset: Dataset, key: str, rows: int, until: Us) -> None:
    if key < f"{NOW.year}":
        pytest.fail(f"{dataset} {key} was asked for again")


def files(folder: Path) -> dict[Path, int]:
    """Return when each partition of the past was written."""
    paths = [path for path in folder.rglob("*.parquet") if f"={NOW.year}" not in str(path)]
    return {path: path.stat().st_mtime_ns for path in paths}
