"""The check ``agrees``: no row of a dataset is known to differ from what another source says of it.

It blocks: an asset downstream of a dataset is not made in a run in which it fails. It stands beside the
assets, not in the job of their entry, which fetches whatever is known of what was fetched before.

Belongs here: specs and results. Does not: comparing, and what is known of it (dccd_core.bars).
See https://docs.dagster.io/guides/test/asset-checks
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import dagster as dg

from dccd_core.bars.differences import Known, known_differences, said_differences
from dccd_core.bars.reconcile import reconcile_with_trades
from dccd_core.domain.dataset import Dataset, Grain, partition_span
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import Clock, SystemClock
from dccd_pipeline.assets.changed import note_told
from dccd_pipeline.assets.failures import plain_failures
from dccd_pipeline.dagster_compat import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dccd_pipeline.resources import LakeResource

AGREES: Final = "agrees"
_ASKS: Final = "no row is known to differ from what the exchange, asked again, or the stored trades say of it"
_SHOWN: Final = 20


def can_agree(dataset: Dataset) -> bool:
    """Tell whether there may be another source of it: nobody shows the past of an order book."""
    return not dataset.data_type.table.pictures


def agrees_specs(datasets: Iterable[Dataset]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(AGREES, asset=dg.AssetKey(one.parts), description=_ASKS, blocking=True)
        for one in datasets
        if can_agree(one)
    ]


def agrees_result(dataset: Dataset, known: Sequence[Known]) -> dg.AssetCheckResult:
    """Return what the check says of a dataset; ``known``: what is known to differ."""
    lines = [f"- {iso(one.at)} {one.name}: {one.said} ({one.against})" for one in known[:_SHOWN]]
    text = f"{said_differences(known)}\n\n" + "\n".join(lines) if known else "nothing"
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(dataset.parts),
        check_name=AGREES,
        passed=not known,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"differ": len(known), "found": dg.MetadataValue.md(text)},
    )


def agreement(lake: LakeStore, datasets: Iterable[Dataset]) -> Iterator[dg.AssetCheckResult]:
    """Yield the result of each dataset that has the check; nothing is compared for it."""
    some = [one for one in datasets if can_agree(one)]
    known = known_differences(lake, some)
    yield from (agrees_result(one, known.get(one, ())) for one in some)


def agreement_checks(
    name: str, datasets: Sequence[Dataset], clock: Clock | None = None
) -> list[dg.AssetChecksDefinition]:
    """Return the check of these datasets as an op of its own; none where none has it."""
    specs, clock = agrees_specs(datasets), clock or SystemClock()
    if not specs:
        return []

    @dg.multi_asset_check(name=f"agree_{name}", specs=specs, can_subset=True)
    def agree(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
        with plain_failures():
            keys = {one.asset_key for one in context.selected_asset_check_keys}
            chosen = [one for one in datasets if dg.AssetKey(one.parts) in keys]
            spans = dict.fromkeys(chosen, _spans(context.run.tags))
            results = list(_judged(lake.open(), spans, clock.now()))
            note_told(context.instance, results)
        yield from results

    return [agree]


def _spans(tags: Mapping[str, str]) -> list[TimeRange]:
    """Return the time of the partitions that a run is for, whatever its calendar; else all time."""
    name = tags.get(PARTITION_NAME_TAG)
    first, last = (
        tags.get(ASSET_PARTITION_RANGE_START_TAG, name),
        tags.get(ASSET_PARTITION_RANGE_END_TAG, name),
    )
    start, end = (_time_of(key) if key else None for key in (first, last))
    return [TimeRange(start.start, end.end) if start and end else TimeRange(Us(0), Us(2**62))]


def _time_of(key: str) -> TimeRange | None:
    """Return the time that a partition is called by: what depends on months may be cut into days."""
    for grain in Grain:
        try:
            return partition_span(grain, key)
        except ConfigError:
            continue
    return None


def _judged(
    lake: LakeStore, spans: Mapping[Dataset, list[TimeRange]], now: Us
) -> Iterator[dg.AssetCheckResult]:
    """Hold the newest bars of this time against the stored trades, then say what is known of all of it."""
    for dataset, its in spans.items():
        end = Us(min(now, max(span.end for span in its)))
        reconcile_with_trades(lake, dataset, lake.all_known(dataset), end)
    known = known_differences(lake, spans)
    for dataset, its in spans.items():
        inside = [
            one for one in known.get(dataset, ()) if any(part.start <= one.at < part.end for part in its)
        ]
        yield agrees_result(dataset, inside)
