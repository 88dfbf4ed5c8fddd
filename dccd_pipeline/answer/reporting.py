"""The page put together, and the asset ``lake/report`` that makes it daily.

See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition.quarantine import REASON
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.answer.calendar import calendar
from dccd_pipeline.answer.charts import chart
from dccd_pipeline.answer.dataset import DatasetStatus
from dccd_pipeline.answer.gather import Answer, answer
from dccd_pipeline.answer.page import Drawn, page
from dccd_pipeline.answer.uptime import Uptime, uptime
from dccd_pipeline.config.kept import dagster_home
from dccd_pipeline.config.lastgood import load_lasting
from dccd_pipeline.config.settings import Settings
from dccd_pipeline.dagster_compat import UnresolvedAssetJobDefinition

CHARTS: Final = 12
"""So many datasets get a chart: each means to read rows of some months."""
KEY: Final = dg.AssetKey(["lake", "report"])
JOB: Final = "lake_report"
SCHEDULE: Final = f"{JOB}_schedule"
_DAILY: Final = "40 4 * * *"
_MOST_LINES: Final = 100
_MOST_REFUSED: Final = 50
"""Of so many datasets the reasons are read why rows are in quarantine."""


def written(found: Answer, settings: Settings, target: Path, charts: int = CHARTS) -> Path:
    """Write the page, whole or not at all; return where."""
    lake = settings.lake()
    days = {
        one.dataset: calendar(one.dataset, found.states.get(one.dataset, {}), one.wanted)
        for one in found.datasets
        if one.wanted
    }
    of = f"configuration: {settings.source}; " if settings.source else ""
    drawn = Drawn(
        days,
        _charts(found, lake, charts),
        f"{of}store: {settings.store}",
        uptimes={entry.name: list(_uptimes(found, lake, entry.datasets)) for entry in settings.stream},
        refused={one.dataset: _reasons(found, lake, one.dataset) for one in _refused(found)},
    )
    text = page(found, drawn)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    draft.write_text(text, "utf-8")
    draft.replace(target)
    return target


def _uptimes(found: Answer, lake: LakeStore, datasets: Sequence[Dataset]) -> Iterator[Uptime]:
    """Yield what was recorded of datasets; what has no file yet is in the tail alone."""
    tail = lake.tail(datasets[0]).read()
    for dataset in datasets:
        states = found.states.get(dataset) or lake.all_known(dataset, tail)
        if one := uptime(dataset, states, found.at):
            yield one


def _refused(found: Answer) -> list[DatasetStatus]:
    return [one for one in found.datasets if one.quarantined][:_MOST_REFUSED]


def _reasons(found: Answer, lake: LakeStore, dataset: Dataset) -> Counter[str]:
    """Count why rows beside a dataset were refused; those that were settled since are among them."""
    reasons = Counter[str]()
    for key, state in found.states[dataset].items():
        if state.ledger.quarantined:
            reasons.update(lake.quarantined(dataset, key)[REASON].to_list())
    return reasons


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
