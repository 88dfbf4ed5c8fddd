"""What a run takes on, and what it makes of what fails; a run with a venue is shown in tests/e2e."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.assets.run import entry_partitions, read_within
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.tags import WITHIN
from tests.dccd_core.lake.samples import take_away
from tests.dccd_pipeline.held import HOURS, bars, hold, whole

ETH = "binance/ohlc/ETH-USDT/1h"


def settings_of(folder: Path, **known: object) -> Settings:
    symbols = ["BTC/USDT", "ETH/USDT"]
    entry = {"name": "hours", "exchange": "binance", "symbols": symbols, "data_type": "ohlc", "span": "1h"}
    nowhere = {"binance": {"rest_url": "http://127.0.0.1:9"}}
    return Settings.model_validate({"store": str(folder), "collect": [entry | known], "exchanges": nowhere})


def keys(settings: Settings) -> list[str]:
    return list(entry_partitions(settings.collect[0]).get_partition_keys())


@given(st.integers(0, 2**62), st.integers(1, 2**40))
def test_a_part_of_its_partitions_is_what_the_tag_says(start: int, length: int) -> None:
    assert read_within({WITHIN: f"{start}/{start + length}"}) == TimeRange(Us(start), Us(start + length))


@pytest.mark.parametrize("tags", [{}, {WITHIN: ""}, {WITHIN: "7"}, {"dagster/partition": "2024"}])
def test_without_the_tag_all_is_meant(tags: dict[str, str]) -> None:
    assert read_within(tags) is None


def test_its_partitions_are_those_that_hold_a_wanted_day(tmp_path: Path) -> None:
    assert keys(settings_of(tmp_path, start=date(2019, 12, 31), end=date(2022, 1, 1))) == [
        "2019",
        "2020",
        "2021",
    ]
    assert keys(settings_of(tmp_path, start=date(2019, 12, 31), end=date(2022, 1, 2)))[-1] == "2022"


@pytest.mark.parametrize("damaged", [False, True])
def test_a_damaged_file_stops_its_dataset_and_not_the_neighbour(tmp_path: Path, *, damaged: bool) -> None:
    settings, lake = settings_of(tmp_path, start=date(2024, 1, 1)), LakeStore(tmp_path)
    eth = next(one for one in settings.collect[0].datasets if str(one) == ETH)
    for dataset in (HOURS, eth):
        hold(lake, dataset, "2024", bars(whole(dataset, "2024")))
    if damaged:
        Path(lake.path(HOURS, "2024")).write_bytes(b"PAR1 not at all PAR1")
    checks = [dg.AssetCheckKey(dg.AssetKey(one.parts), "intact") for one in (HOURS, eth)]
    job = dg.define_asset_job("checks_only", selection=dg.AssetSelection.checks(*checks))
    definitions = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    with dg.DagsterInstance.ephemeral() as instance:
        run = definitions.resolve_job_def("checks_only")
        result = run.execute_in_process(instance=instance, raise_on_error=False)
        failures = [event.step_failure_data.error for event in result.get_step_failure_events()]
    judged = {one.asset_key: one.passed for one in result.get_asset_check_evaluations()}
    both = {dg.AssetKey(one.parts): True for one in (HOURS, eth)}
    assert judged == ({dg.AssetKey(eth.parts): True} if damaged else both)
    assert result.success == (not damaged)
    if damaged:
        [error] = failures
        assert error is not None
        assert f"{HOURS} as stored: " in error.message


def test_what_only_remotes_hold_is_proven_and_not_brought_back_to_be_checked(tmp_path: Path) -> None:
    settings, lake = settings_of(tmp_path, start=date(2024, 1, 1)), LakeStore(tmp_path)
    hold(lake, HOURS, "2024", bars(whole(HOURS, "2024")))
    take_away(lake, "2024", dataset=HOURS)
    checks = [dg.AssetCheckKey(dg.AssetKey(HOURS.parts), name) for name in ("intact", "complete")]
    job = dg.define_asset_job("checks_only", selection=dg.AssetSelection.checks(*checks))
    definitions = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("checks_only").execute_in_process(instance=instance)
    told = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert {name: one.passed for name, one in told.items()} == {"intact": True, "complete": True}
    assert told["intact"].metadata["partitions_read"].value == 0
    assert lake.elsewhere(HOURS) == ["2024"]
