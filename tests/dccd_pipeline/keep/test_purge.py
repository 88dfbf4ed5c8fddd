"""The job that makes room, by the settings; what may go is shown in tests/dccd_core/keep."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dccd_core.domain.dataset import partition_span
from dccd_core.domain.timespan import DAY, TimeRange, Us
from dccd_core.keep.purge import Gone, Kept, PurgeReport
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.sync import sync
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.net.clock import ManualClock
from dccd_core.quality.holes import NoCheck
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Origin, Settings
from dccd_pipeline.keep.purge import purge_of, purge_schedule, said, said_lacking
from tests.dccd_core.keep.scene import NOW
from tests.dccd_pipeline.held import HOURS, TRADES, bars, hold, whole

ENTRY = {"exchange": "binance", "symbols": ["BTC/USDT"], "data_type": "ohlc", "span": "1h"}


def made(folder: Path, **more: Any) -> Settings:
    raw = {"store": "lake", "remotes": [{"name": "nas", "to": "copy"}], "purge": {"older_than": "1d"}, **more}
    return settings_of(raw, Origin("dccd.yaml", folder))


@pytest.fixture
def lake(tmp_path: Path) -> LakeStore:
    """Two years of hours, which the remote holds."""
    lake = LakeStore(tmp_path / "lake")
    for key in ("2022", "2023"):
        hold(lake, HOURS, key, bars(whole(HOURS, key)))
    assert sync(lake, FolderRemote("nas", tmp_path / "copy"), NOW).well
    return lake


def run(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def("purge")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_the_job_makes_room_and_is_known_by_its_tag(lake: LakeStore, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(made(tmp_path), instance)
        assert result.success
        assert instance.get_run_by_id(result.run_id).tags["dccd/purge"] == "true"  # pyright: ignore[reportOptionalMemberAccess]
    assert lake.elsewhere(HOURS) == ["2022", "2023"]
    assert made(tmp_path).lake().scan(HOURS, partition_span(HOURS.grain, "2022")).collect().height == 8_760
    assert lake.elsewhere(HOURS) == ["2023"]


def test_a_purge_that_cannot_free_enough_fails_and_says_why(lake: LakeStore, tmp_path: Path) -> None:
    for file in (tmp_path / "copy").rglob("data.parquet"):
        file.unlink()
    settings = made(tmp_path, purge={"keep_free": "900TB"})
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(settings, instance)
        assert not result.success
        (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.error_display_string
    assert "the purge could not free enough: " in told
    assert "2 partitions from 2022 to 2023 stays: 0 verified copies of 1: nas: not there" in told
    assert "-> see `dccd purge --dry-run`" in told
    assert lake.elsewhere(HOURS) == []


def test_without_rules_there_is_no_job_and_its_schedule_is_on_with_them(tmp_path: Path) -> None:
    with_rules, without = build_definitions(made(tmp_path)), build_definitions(made(tmp_path, purge=None))
    assert "purge" in {job.name for job in with_rules.get_repository_def().get_all_jobs()}
    assert "purge" not in {job.name for job in without.get_repository_def().get_all_jobs()}
    schedule = purge_schedule(running=True)
    assert (schedule.name, schedule.cron_schedule) == ("purge_schedule", "41 * * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert purge_schedule(running=False).default_status is dg.DefaultScheduleStatus.STOPPED


def test_of_an_entry_only_what_it_wants_has_to_be_proven(tmp_path: Path) -> None:
    """A year up to where its entry ends: all that is wanted of it is there."""
    lake, year = LakeStore(tmp_path / "lake"), partition_span(HOURS.grain, "2023")
    half = TimeRange(year.start, partition_span(TRADES.grain, "2023-07-01").start)
    with lake.draft(HOURS, "2023") as draft:
        draft.commit([Asked(half, Source.REST, NOW, 1, 0)], NoCheck)
    sync(lake, FolderRemote("nas", tmp_path / "copy"), NOW)
    clock = ManualClock(Us(year.end + 9 * DAY))
    whole_year = made(tmp_path, collect=[{**ENTRY, "start": "2023-01-01"}])
    assert purge_of(whole_year, clock=clock).run().gone == []
    until_july = made(tmp_path, collect=[{**ENTRY, "start": "2023-01-01", "end": "2023-07-01"}])
    assert [one.key for one in purge_of(until_july, clock=clock).run().gone] == ["2023"]


def test_what_is_said_is_a_line_for_each_that_goes_and_for_each_reason_to_stay() -> None:
    report = PurgeReport(
        [Gone(HOURS, "2022", 1_234, ("nas", "cloud"))],
        [
            Kept(HOURS, "2023", "too young: x"),
            Kept(HOURS, "2024", "too young: x"),
            Kept(HOURS, "2025", "not closed"),
        ],
        lacking=1 << 30,
    )
    assert said(report) == [
        "binance/ohlc/BTC-USDT/1h 2022: held by nas, cloud, 1,234 bytes",
        "binance/ohlc/BTC-USDT/1h 2 partitions from 2023 to 2024 stays: too young: x",
        "binance/ohlc/BTC-USDT/1h 2025 stays: not closed",
    ]
    assert said_lacking(report).startswith("the purge could not free enough: 1.0 GiB are lacking; binance/")
    assert "nothing else is here" in said_lacking(PurgeReport(lacking=1))
