"""The asset of a remote: to materialise it is to sync; what is in the way fails its run, and is named."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, cast

import dagster as dg
import pytest

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.remote import Found, Outside
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock, ManualClock, SystemClock
from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.read import settings_of
from dccd_pipeline.config.settings import Origin, Settings
from dccd_pipeline.keep import remote as remote_module
from dccd_pipeline.keep.remote import SyncRun, remote_schedule
from tests.dccd_core.keep.scene import FILE, fill, filled
from tests.dccd_core.lake.samples import DAY, TRADES

KEY = dg.AssetKey(["remote", "nas"])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    raw = {"store": "lake", "remotes": [{"name": "nas", "to": "copy", "every": "1d"}]}
    return settings_of(raw, Origin("dccd.yaml", tmp_path))


def run(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(settings).resolve_job_def("sync_nas")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_to_materialise_it_is_to_sync(settings: Settings, tmp_path: Path) -> None:
    filled(LakeStore(tmp_path / "lake"), 3)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(settings, instance)
        assert result.success
        (made,) = instance.fetch_materializations(KEY, limit=9).records
        assert made.asset_materialization
        assert made.asset_materialization.metadata["files"].value == 3
        assert instance.get_run_by_id(result.run_id).tags["dccd/remote"] == "nas"  # pyright: ignore[reportOptionalMemberAccess]
    assert LakeStore(tmp_path / "copy").datasets() == [TRADES]


def test_a_conflict_fails_the_run_and_stands_on_the_asset(settings: Settings, tmp_path: Path) -> None:
    lake = LakeStore(tmp_path / "lake")
    fill(lake, range(100))
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(settings, instance).success
        Path(lake.path(TRADES, DAY)).unlink()
        fill(lake, range(9))
        result = run(settings, instance)
        assert not result.success
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        said = failure.step_failure_data.error_display_string
        assert f"{TRADES}/{DAY}: it has 100 rows, and there are 9 here" in said
        (seen,) = instance.fetch_observations(KEY, limit=9).records
        assert seen.asset_observation
        assert seen.asset_observation.metadata["conflicts"].value == 1
        assert len(instance.fetch_materializations(KEY, limit=9).records) == 1
    assert LakeStore(tmp_path / "copy").states(TRADES)[DAY].rows == 100
    assert (tmp_path / "copy" / FILE).exists()


def test_its_schedule_waits_for_a_run_that_has_not_ended(settings: Settings, tmp_path: Path) -> None:
    (entry,) = settings.remotes
    schedule = remote_schedule(entry, running=True)
    assert (schedule.name, schedule.cron_schedule) == ("sync_nas_schedule", "0 0 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert remote_schedule(entry, running=False).default_status is dg.DefaultScheduleStatus.STOPPED
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.now(UTC)) as context,
    ):
        assert schedule.evaluate_tick(context).run_requests
        tags = {"dccd/remote": "nas"}
        begun = dg.DagsterRun(job_name="sync_nas", status=dg.DagsterRunStatus.STARTED, tags=tags)
        instance.add_run(begun)
        told = schedule.evaluate_tick(context)
        assert (told.run_requests, told.skip_message) == ([], f"run {begun.run_id} to nas has not ended")


def test_only_what_is_on_has_a_schedule(tmp_path: Path) -> None:
    raw = {
        "remotes": [
            {"name": "a", "to": "a"},
            {"name": "b", "to": "b", "every": "never"},
            {"name": "c", "to": "c", "enabled": False},
        ]
    }
    definitions = build_definitions(settings_of(raw, Origin("dccd.yaml", tmp_path))).get_repository_def()
    names = {one.name for one in definitions.schedule_defs}
    assert names & {"sync_a_schedule", "sync_b_schedule", "sync_c_schedule"} == {"sync_a_schedule"}
    assert {"sync_a", "sync_b", "sync_c"} <= {one.name for one in definitions.get_all_jobs()}


class Context:
    def __init__(self) -> None:
        self.said = list[str]()
        self.log = self

    def info(self, text: str, *values: object) -> None:
        self.said.append(text % values)


def sync_run(context: Context, settings: Settings, lake: LakeStore, clock: Clock) -> SyncRun:
    return SyncRun(cast("Any", context), settings.remotes[0], lake, Outside(), clock)


def test_it_says_now_and_then_how_far_it_is_and_a_stop_ends_it(settings: Settings, tmp_path: Path) -> None:
    class Ticking(ManualClock):
        def steady(self) -> Us:
            self.passed = getattr(self, "passed", 0) + 61 * SECOND
            return Us(self.passed)

    lake = LakeStore(tmp_path / "lake")
    filled(lake, 3)
    context = Context()
    run = sync_run(context, settings, lake, Ticking(Us(0)))
    asyncio.run(run.run())
    assert run.synced
    assert run.synced.well
    assert context.said[0].startswith("0 of 3 files, 0 of ")
    stopped = sync_run(context, settings, lake, Ticking(Us(0)))
    stopped.halt.set()
    filled(lake, 5)
    asyncio.run(stopped.run())
    assert stopped.synced
    assert stopped.synced.halted


def test_a_stop_does_not_wait_for_a_remote_that_hangs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6e38909: a run that was terminated went on until its remote answered."""
    gone, begun = Event(), Event()

    def find(_: FolderRemote, _folder: str) -> dict[str, Found]:
        begun.set()
        gone.wait(60)
        return {}

    monkeypatch.setattr(remote_module, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(FolderRemote, "find", find)
    lake = LakeStore(tmp_path / "lake")
    filled(lake, 1)
    run = sync_run(Context(), settings, lake, SystemClock())

    async def stopped() -> None:
        doing = asyncio.ensure_future(run.run())
        await asyncio.to_thread(begun.wait, 60)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing

    try:
        asyncio.run(stopped())
        assert not gone.is_set()
    finally:
        gone.set()
