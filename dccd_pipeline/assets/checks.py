"""Asset checks: what is stored, read again and held against the promises.

Belongs here: check specs and their results. Does not: what is right or wrong (dccd_core.quality).
See https://docs.dagster.io/guides/test/asset-checks
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import dagster as dg

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import iso
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Condition
from dccd_core.quality.audit import COMPLETE, CROSSED, FINAL, ORDER, SANITY, SCHEMA, Audit
from dccd_core.quality.crossed import CrossedPictures
from dccd_core.tables import Table
from dccd_pipeline.assets.progress import condition_of

_SHOWN = 20
_ASKS = {
    SCHEMA: "columns, types and required values are those of the table",
    ORDER: "rows are in the order of time and stand there once",
    SANITY: "no row is impossible, and none had to go to quarantine",
    FINAL: "every bar was stored after it was closed and settled",
    CROSSED: "the best bid of every picture is below its best ask",
    COMPLETE: "no stored partition of the dataset has a gap that nobody explained",
}
_ONLY: Final[Mapping[str, Callable[[Table], bool]]] = {
    FINAL: lambda table: table.takes_span,
    CROSSED: lambda table: table.two_sided,
}
_WARNS = {COMPLETE, CROSSED}


def check_names(dataset: Dataset) -> list[str]:
    table = dataset.data_type.table
    return [name for name in _ASKS if name not in _ONLY or _ONLY[name](table)]


def check_specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    key = dg.AssetKey(dataset.parts)
    return [dg.AssetCheckSpec(name, asset=key, description=_ASKS[name]) for name in check_names(dataset)]


def evaluate(
    lake: LakeStore, exchange: Exchange, dataset: Dataset, keys: Collection[str], states: Mapping[str, State]
) -> Iterator[dg.AssetCheckResult]:
    """Read the partitions ``keys`` again; completeness and quarantine speak of all stored partitions."""
    found: dict[str, list[str]] = {name: [] for name in check_names(dataset)}
    crossed: list[CrossedPictures] = []
    for key in keys:
        audit = _audited(lake, exchange, dataset, key, states[key])
        crossed.append(audit.crossed)
        for name, texts in audit.findings.items():
            found[name] += [f"{key}: {text}" for text in texts]
    for key, state in sorted(states.items()):
        if state.ledger.quarantined and key not in keys:
            found[SANITY].append(f"{key}: {state.ledger.quarantined} rows are in quarantine")
        if condition_of(dataset, key, state) is Condition.DEGRADED and (gaps := state.ledger.gaps()):
            found[COMPLETE].append(
                f"{key}: {len(gaps)} gaps, {sum(gap.missing for gap in gaps)} rows missing"
            )
    for name, texts in found.items():
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(dataset.parts),
            check_name=name,
            passed=not texts,
            severity=dg.AssetCheckSeverity.WARN if name in _WARNS else dg.AssetCheckSeverity.ERROR,
            metadata={
                "partitions_read": len(keys),
                "problems": len(texts),
                "found": dg.MetadataValue.md("\n".join(f"- {text}" for text in texts[:_SHOWN]) or "nothing"),
                **(_pictures(crossed) if name == CROSSED else {}),
            },
        )


def _pictures(crossed: Sequence[CrossedPictures]) -> dict[str, dg.IntMetadataValue | dg.TextMetadataValue]:
    """Return how many pictures are crossed, and when the first and the last of them were taken."""
    first = min((one.first for one in crossed if one.first is not None), default=None)
    last = max((one.last for one in crossed if one.last is not None), default=None)
    times = {name: dg.MetadataValue.text(iso(at)) for name, at in (("first", first), ("last", last)) if at}
    return {"count": dg.MetadataValue.int(sum(one.count for one in crossed)), **times}


def _audited(lake: LakeStore, exchange: Exchange, dataset: Dataset, key: str, state: State) -> Audit:
    endpoint = exchange.endpoint(dataset.symbol.market_type, dataset.data_type)
    audit = Audit(dataset, carried_open=endpoint is not None and endpoint.carries_open)
    try:
        for rows in lake.chunks(dataset, key):
            audit.see(rows)
    except DamagedFile as e:
        return Audit(dataset, findings={SCHEMA: [str(e)]})
    audit.judge_state(state, exchange.finality_delay)
    return audit
