"""What status says of ticks; how it comes about is shown in test_run.py and test_remembered.py."""

from pathlib import Path

import dagster as dg
import pytest

from dccd_core.domain.timespan import parse_time
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.ticks.memory import Memory, failed_again, write_memory
from dccd_pipeline.ticks.status import failing_lines, gone_lines
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

NOW = parse_time("2026-11-20T12:00:00")
ENTRY = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h", "name": "bars"}


@pytest.mark.parametrize("stored", [True, False])
def test_what_fails_is_named_if_it_is_configured_and_of_this_store(tmp_path: Path, *, stored: bool) -> None:
    settings = settings_of({"store": str(tmp_path), "collect": [{**ENTRY, "start": "2024-01-01"}]})
    lake = LakeStore(tmp_path)
    if stored:
        hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    failing = {
        name: failed_again(None, "it is down", NOW) for name in (str(HOURS), "binance/ohlc/OLD-USDT/1h")
    }
    with dg.DagsterInstance.ephemeral() as instance:
        write_memory(instance, lake.identity(), "bars", Memory(failing))
        lines = failing_lines(settings, instance)
        assert gone_lines(settings, instance) == []
    said = f"{HOURS}: fails since 2026-11-20T12:00:00Z, 1 time, next try at 2026-11-20T12:00:00Z: it is down"
    assert lines == ([said] if stored else [])
