"""What checks found, and rows in quarantine: as it was told to Dagster, or as the lake says.

Belongs here: what of it is told. Does not: what is right or wrong (assets/checks.py).
"""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import DAY, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.quality.audit import CROSSED, FINAL, ORDER, QUARANTINE, SANITY, SCHEMA, said_quarantined
from dccd_pipeline.alarms.look import Found, Look
from dccd_pipeline.assets.agrees import AGREES
from dccd_pipeline.assets.changed import failing_checks
from dccd_pipeline.assets.checks import COMPLETE, INTACT, UP_TO_DATE, check_names
from dccd_pipeline.assets.equal import CHECK
from dccd_pipeline.assets.remembered import Findings, read_findings

_ELSEWHERE: Final = (UP_TO_DATE, CROSSED)
"""Not told here: what is behind is a kind of its own, and about a book that crosses nothing is to be done."""
_INTACT: Final = (SCHEMA, ORDER, SANITY, FINAL)
"""What ``intact`` is made of, without rows in quarantine: those are a kind of their own."""
_EVALUATED: Final = dg.DagsterEventType.ASSET_CHECK_EVALUATION
_SHOWN: Final = 3


def failed_checks(look: Look) -> Found:
    """Say of each check of each dataset whether it fails, and why."""
    by_asset = {dg.AssetKey(dataset.parts): dataset for dataset in look.datasets}
    failed = failing_checks(look.instance, by_asset)
    found: dict[str, str | None] = {
        _subject(dataset, check): ""
        for dataset in look.datasets
        for check in (*check_names(dataset), CHECK, AGREES)
    }
    reasons = read_findings(
        look.instance, [by_asset[asset] for asset in failed], look.settings.lake().identity()
    )
    for asset, checks in failed.items():
        dataset = by_asset[asset]
        for check in checks:
            if said := _why(look.instance, asset, check, reasons.get(dataset, {})):
                found[_subject(dataset, check)] = f"{dataset}: the check {check} fails: {said}"
    return {name: text for name, text in found.items() if name.split()[-1] not in _ELSEWHERE}


def quarantined(look: Look) -> Found:
    """Say of each dataset whether rows of it are in quarantine."""
    lake = look.settings.lake()
    collected = look.datasets
    reasons = read_findings(look.instance, collected, lake.identity())
    found: dict[str, str | None] = {
        str(dataset): _quarantine(dataset, reasons.get(dataset, {})) for dataset in collected
    }
    recorded = {dataset for entry in look.settings.stream for dataset in entry.datasets}
    for dataset in sorted(recorded - set(collected), key=str):  # nobody but the lake knows of those
        wrong = _refused(look, lake, dataset)
        found[str(dataset)] = _quarantine(dataset, {key: {QUARANTINE: [said]} for key, said in wrong.items()})
    return found


def _refused(look: Look, lake: LakeStore, dataset: Dataset) -> dict[str, str]:
    """Say how many rows are in quarantine where rows may come now, and where there were some before."""
    moments = [look.now, Us(look.now - DAY), *map(Us, look.memory.pop(str(dataset), []))]
    wrong = dict[str, str]()
    for key in sorted({partition_key(dataset.grain, at) for at in moments}):
        try:
            state = lake.known(dataset, key)
        except DccdError:
            continue  # what cannot be read is told as a check
        if state and state.ledger.quarantined:
            wrong[key] = said_quarantined(state.ledger.quarantined)
    if wrong:
        look.memory[str(dataset)] = [partition_span(dataset.grain, key).start for key in wrong]
    return wrong


def _quarantine(dataset: Dataset, findings: Findings) -> str:
    lines = [f"{key}: {text}" for key, of in findings.items() for text in of.get(QUARANTINE, ())]
    return f"{dataset}: {_first(lines)} -> see `_quarantine.ndjson` there" if lines else ""


def _why(instance: dg.DagsterInstance, asset: dg.AssetKey, check: str, findings: Findings) -> str:
    """Say what a check found; empty where that is told as something else, or is no failure."""
    of = {INTACT: _INTACT, COMPLETE: (COMPLETE,)}.get(check)
    if of is None:
        return _evaluated(instance, dg.AssetCheckKey(asset, check))
    told = [
        f"{key}: {text}" for key, by in findings.items() for promise in of for text in by.get(promise, ())
    ]
    return _first(told)


def _evaluated(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> str:
    """Return what a check said of itself when it was told last."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    event = record.event.dagster_event if record and record.event else None
    told = event.asset_check_evaluation_data if event and event.event_type is _EVALUATED else None
    if told is None or (key.name == CHECK and told.severity is dg.AssetCheckSeverity.WARN):
        return ""  # that nobody could confirm it is no failure
    found = told.metadata.get("found")
    return str(found.value if found else told.description or "see Dagster")


def _first(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return f"{'; '.join(lines[:_SHOWN])}{more}"


def _subject(dataset: Dataset, check: str) -> str:
    return f"{dataset} {check}"
