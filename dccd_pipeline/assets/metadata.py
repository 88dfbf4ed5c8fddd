"""What a materialisation says about itself: a partition's state as Dagster metadata.

Belongs here: turning known facts into metadata values. Does not: finding facts out.
See https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from collections.abc import Iterator, Mapping

import dagster as dg
import polars as pl
import polars.selectors as cs

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import ZERO, TimeRange, Us, iso
from dccd_core.exchanges import get
from dccd_core.fetch.planner import settled
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Hole
from dccd_core.quality.coverage import gap_rate, wanted_time
from dccd_pipeline.assets.plots import picture
from dccd_pipeline.assets.progress import condition_of, is_complete
from dccd_pipeline.assets.spec import column_schema, uri_of
from dccd_pipeline.tags import COLUMN_SCHEMA, DATA_VERSION, PARTITION_ROW_COUNT, ROW_COUNT, URI

_POINTS = 360
"""More of them than a picture has columns would not be seen."""
_SHOWN_HOLES = 20
_SHOWN_ROWS = 10


def partition_metadata(
    dataset: Dataset,
    key: str,
    states: Mapping[str, State],
    within: TimeRange | None = None,
) -> dict[str, dg.MetadataValue]:
    """Describe one stored partition."""
    state = states[key]
    ledger = state.ledger
    covered = ledger.covered_until(partition_span(dataset.grain, key))
    times = {"first": state.first, "last": state.last, "covered_until": covered}
    return {
        "condition": dg.MetadataValue.text(condition_of(dataset, key, state, within).value),
        PARTITION_ROW_COUNT: dg.MetadataValue.int(state.rows),
        ROW_COUNT: dg.MetadataValue.int(sum(one.rows for one in states.values())),
        URI: dg.MetadataValue.text(uri_of(state.path)),
        **{name: dg.MetadataValue.text(iso(at)) for name, at in times.items() if at is not None},
        "requests": dg.MetadataValue.int(ledger.requests),
        "gaps": dg.MetadataValue.int(len(ledger.gaps())),
        "holes": dg.MetadataValue.md(_holes(state)),
        "quarantined": dg.MetadataValue.int(ledger.quarantined),
        "bytes": dg.MetadataValue.int(state.bytes),
        "path": dg.MetadataValue.path(state.path),
        "content_hash": dg.MetadataValue.text(state.content_hash),
        COLUMN_SCHEMA: dg.MetadataValue.table_schema(column_schema(dataset.data_type)),
    }


def partition_event(
    dataset: Dataset,
    key: str,
    states: Mapping[str, State],
    more: Mapping[str, dg.MetadataValue],
    now: Us,
    within: TimeRange | None = None,
) -> dg.AssetMaterialization | dg.AssetObservation:
    """Return what Dagster is told of a partition that was stored: it is materialised once it is complete.

    Observations are many: the columns, which the asset itself shows, would be most of each.
    """
    complete = is_complete(dataset, key, states[key], now, within)
    rate = _gap_rate(dataset, key, states, now, within)
    event = dg.AssetMaterialization if complete else dg.AssetObservation
    told = partition_metadata(dataset, key, states, within)
    if not complete:
        del told[COLUMN_SCHEMA]
    return event(
        dataset.parts,
        partition=key,
        metadata={**told, **more, **({} if rate is None else {"gap_ppm": dg.MetadataValue.float(rate)})},
        tags={DATA_VERSION: states[key].content_hash} if complete else None,
    )


def _gap_rate(
    dataset: Dataset, key: str, states: Mapping[str, State], now: Us, within: TimeRange | None
) -> float | None:
    """Return the gap rate (ppm) of what is wanted of a partition and can be final by now."""
    whole = partition_span(dataset.grain, key)
    part = whole.clip(TimeRange(ZERO, settled(dataset, now, get(dataset.exchange).finality_delay)))
    part = part.clip(within) if part and within else part
    part = part.clip(wanted_time(dataset, states, now)) if part else None
    return gap_rate(dataset, {key: states[key]}, part) if part else None


def _holes(state: State) -> str:
    holes = state.ledger.holes
    if not holes:
        return "none"
    lines = [
        f"| {iso(hole.span.start)} | {iso(hole.span.end)} | {hole.missing} | {_why(hole)} |"
        for hole in holes[:_SHOWN_HOLES]
    ]
    more = [f"\n{len(holes) - _SHOWN_HOLES} more in the ledger"] if len(holes) > _SHOWN_HOLES else []
    return "\n".join(["| from | to | missing | explained by |", "|---|---|---|---|", *lines, *more])


def _why(hole: Hole) -> str:
    return f"{hole.proof or '**gap**'}: {hole.reason}" if hole.reason else hole.proof or "**gap**"


def partition_view(lake: LakeStore, dataset: Dataset, key: str) -> dict[str, dg.MetadataValue]:
    """Show what a partition holds: its prices as a small picture, its last rows as a table.

    Of one that is held elsewhere only where that is: nothing is brought back to be shown.
    """
    state = lake.state(dataset, key)
    if state and state.elsewhere:
        return {"held_elsewhere": dg.MetadataValue.text(", ".join(state.elsewhere))}
    return {
        "chart": dg.MetadataValue.md(price_chart(lake, dataset, key)),
        "last_rows": last_rows(lake, dataset, key),
    }


def price_chart(lake: LakeStore, dataset: Dataset, key: str) -> str:
    """Draw the partition's prices over time as a small PNG inside a Markdown image."""
    column = dataset.data_type.table.chart
    prices = (
        lake.scan(dataset, partition_span(dataset.grain, key))
        .select("ts", column, slot=(pl.int_range(pl.len()) * _POINTS) // pl.len())
        .group_by("slot")
        .agg(pl.col("ts", column).last())
        .sort("slot")
        .collect(engine="streaming")
    )
    return picture(column, f"{column}, {dataset.symbol.quote}", prices["ts"], prices[column])


def last_rows(lake: LakeStore, dataset: Dataset, key: str) -> dg.MetadataValue:
    """Return the partition's last rows; of the others hardly any are read: a day may have millions."""
    rows = dataset.data_type.table.empty()
    for span in _ends(partition_span(dataset.grain, key), lake.state(dataset, key)):
        rows = lake.scan(dataset, span).tail(_SHOWN_ROWS).collect()
        if rows.height == _SHOWN_ROWS:
            break
    told = rows.with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"), cs.enum().cast(pl.String))
    records = [dg.TableRecord(row) for row in told.iter_rows(named=True)]
    return dg.MetadataValue.table(records, schema=column_schema(dataset.data_type))


def _ends(whole: TimeRange, state: State | None) -> Iterator[TimeRange]:
    """Yield the end of a partition, where its last rows should be, then ever more of it, at last all."""
    if state and state.first is not None and state.last is not None:
        back = 1 + 4 * _SHOWN_ROWS * (state.last - state.first) // state.rows
        while (start := state.last - back) > whole.start:
            yield TimeRange(Us(start), whole.end)
            back *= 16
    yield whole
