"""The page as a file, and as an asset."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import ManualClock
from dccd_pipeline.answer.reporting import KEY, report_asset
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

CONFIG = """
store: lake
collect:
  - {exchange: binance, symbols: [BTC/USDT, ETH/USDT], data_type: ohlc, span: 1h,
     start: 2024-01-01, end: 2025-01-01}
"""


def test_the_asset_tells_the_verdict_and_where_the_page_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv("DCCD_CONFIG", raising=False)
    (tmp_path / "dccd.yaml").write_text(CONFIG)
    hold(LakeStore(tmp_path / "lake"), HOURS, "2024", bars(whole(HOURS, "2024")))
    clock = ManualClock(parse_time("2025-02-01"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([report_asset({}, clock)], instance=instance)
        (event,) = done.get_asset_materialization_events()
    told = {name: value.value for name, value in event.materialization.metadata.items()}
    assert event.asset_key == KEY
    assert str(told["verdict"]).startswith("not well: 1 of 2 datasets (1 never collected)")
    assert told["well"] is False
    assert (told["datasets"], told["not_well"]) == (2, 1)
    assert "never collected" in str(told["problems"])
    text = Path(str(told["page"])).read_text()
    assert "coverage 100.0%" in text
    assert "last price, USDT" in text
    assert not list(tmp_path.rglob("*.draft"))
