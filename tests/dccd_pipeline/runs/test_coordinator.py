"""What a run of a job's backfill is told before it is queued."""

from typing import Any, cast

import dagster as dg
import pytest

from dccd_pipeline.dagster_compat import QueuedRunCoordinator, SubmitRunContext
from dccd_pipeline.runs.coordinator import RangedRunCoordinator

KEY, BACKFILL = "dagster/partition", "dagster/backfill"
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dg.job
def collecting() -> None: ...


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({KEY: "2024-05", BACKFILL: "abc"}, {START: "2024-05", END: "2024-05"}),
        ({KEY: "2024-05"}, {}),
        ({BACKFILL: "abc"}, {}),
        (
            {KEY: "2024-05", BACKFILL: "abc", START: "2024-01", END: "2024-09"},
            {START: "2024-01", END: "2024-09"},
        ),
    ],
    ids=["of a backfill", "by hand", "without a partition", "of a range"],
)
def test_a_run_of_a_backfill_says_its_range_and_others_stay_as_they_are(
    tags: dict[str, str], told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[str] = []

    def submit(_: QueuedRunCoordinator, context: SubmitRunContext) -> dg.DagsterRun:
        run = instance.get_run_by_id(context.dagster_run.run_id)
        assert run is not None
        assert {name: value for name, value in run.tags.items() if name in {START, END}} == told
        queued.append(run.run_id)
        return run

    monkeypatch.setattr(QueuedRunCoordinator, "submit_run", submit)
    with dg.DagsterInstance.ephemeral() as instance:
        coordinator = RangedRunCoordinator()
        coordinator.register_instance(instance)
        run = instance.create_run_for_job(collecting, tags=tags)
        assert coordinator.submit_run(SubmitRunContext(run, cast("Any", None))).run_id == run.run_id
        assert queued == [run.run_id]
