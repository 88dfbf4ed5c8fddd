"""The page put together, and the asset ``lake/report`` that makes it daily.

See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from pathlib import Path
from typing import Any, Final

import dagster as dg

from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.answer.calendar import calendar
from dccd_pipeline.answer.charts import chart
from dccd_pipeline.answer.gather import Answer, answer
from dccd_pipeline.answer.page import Drawn, page
from dccd_pipeline.config.lastgood import dagster_home, load_lasting
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.dagster_compat import UnresolvedAssetJobDefinition

CHARTS: Final = 12
"""So many datasets get a chart: each means to read rows of some months."""
KEY: Final = dg.AssetKey(["lake", "report"])
JOB: Final = "lake_report"
SCHEDULE: Final = f"{JOB}_schedule"
_DAILY: Final = "40 4 * * *"
_MOST_LINES: Final = 100


def written(found: Answer, settings: Settings, target: Path, charts: int = CHARTS) -> Path:
    """Write the page, whole or not at all; return where."""
    lake = settings.lake()
    days = {
        one.dataset: calendar(one.dataset, found.states.get(one.dataset, {}), one.wanted)
        for one in found.datasets
        if one.wanted
    }
    where = f"configuration: {settings.source}; store: {settings.store}"
    text = page(found, Drawn(days, _charts(found, lake, charts), where))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    draft.write_text(text, "utf-8")
    draft.replace(target)
    return target


def _charts(found: Answer, lake: LakeStore, most: int) -> dict[str, str]:
    drawn = dict[str, str]()
    for one in found.datasets:
        if len(drawn) == most:
            break
        if one.until is not None and (picture := chart(lake, one.dataset, one.until)):
            drawn[str(one.dataset)] = picture
    return drawn


def report_asset(digests: dict[str, str], clock: Clock | None = None) -> dg.AssetsDefinition:
    """Return the asset whose materialisation is the page. ``digests``: of the streams that are recorded."""
    clock = clock or SystemClock()

    @dg.asset(
        key=KEY,
        group_name="lake",
        kinds={"html"},
        description="Whether the lake is complete and right, as a page to look at.",
    )
    def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        loaded = load_lasting()
        found = answer(loaded, context.instance, digests, clock)
        target = written(found, loaded.settings, dagster_home() / "dccd" / "report.html")
        lines = found.problems[:_MOST_LINES]
        return dg.MaterializeResult(
            metadata={
                "verdict": dg.MetadataValue.text(found.verdict),
                "well": dg.MetadataValue.bool(found.well),
                "datasets": dg.MetadataValue.int(len(found.datasets)),
                "not_well": dg.MetadataValue.int(sum(not one.well for one in found.datasets)),
                "problems": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or "none"),
                "page": dg.MetadataValue.path(str(target)),
            }
        )

    return report


def report_job() -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(JOB, dg.AssetSelection.assets(KEY), description="Makes the page of the lake.")


def report_schedule(*, running: bool) -> dg.ScheduleDefinition:
    """Return the schedule that makes the page daily."""
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name=SCHEDULE,
        job_name=JOB,
        cron_schedule=_DAILY,
        execution_timezone="UTC",
        default_status=status,
        description="Makes the page of the lake each night.",
    )
