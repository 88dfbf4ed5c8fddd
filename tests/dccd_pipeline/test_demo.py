from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Ns
from dccd_core.lake.lake import Lake
from dccd_core.lake.ledger import Condition
from dccd_pipeline.build import silent
from dccd_pipeline.config import embedded_settings
from dccd_pipeline.demo import STORE, demo, demo_settings


def test_the_demo_is_the_embedded_defaults_elsewhere() -> None:
    settings = demo_settings({"binance": "http://127.0.0.1:9/binance"})
    assert settings.collect == embedded_settings().collect
    assert settings.store == STORE != embedded_settings().store
    assert settings.exchanges["binance"].rest_url == "http://127.0.0.1:9/binance"


@pytest.mark.e2e
def test_the_demo_collects_all_and_a_second_one_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCCD_STATE_DIR", str(tmp_path / "state"))
    with dg.DagsterInstance.ephemeral() as instance:
        results = list(demo(instance, silent))
        assert [result.job for result in results] == ["binance_ohlc_1m", "binance_trades"]
        conditions = [now for result in results for now in result.conditions.values()]
        assert conditions == [Condition.AVAILABLE] * 9
        assert all(result.complete for result in results)
        lake = Lake(STORE)
        assert sum(state.rows for one in lake.datasets() for state in lake.states(one).values()) == (
            2 * 91 * 1_440 + 3 * 6_000
        )

        written = files(tmp_path)
        assert all(result.complete for result in demo(instance, unexpected))
        assert files(tmp_path) == written


def unexpected(dataset: Dataset, key: str, rows: int, until: Ns) -> None:
    pytest.fail(f"{dataset} {key} was asked for again")


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
