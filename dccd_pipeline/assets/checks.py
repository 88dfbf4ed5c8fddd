"""Asset checks: what is known of datasets, held against the promises.

A check says what is known by now: of partitions that this run wrote as they were written, of others what was
found out about them last. Who asks for a check alone has all that is stored read again.

Belongs here: check specs and their results. Does not: what is right or wrong (dccd_core.quality), nor what of
it is news (changed.py).
See https://docs.dagster.io/guides/test/asset-checks
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg

from dccd_core.adapter.contract import Exchange
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import Us, iso
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.quality.audit import (
    CROSSED,
    FINAL,
    ORDER,
    QUARANTINE,
    SANITY,
    SCHEMA,
    Audit,
    said_quarantined,
)
from dccd_core.tables import Table
from dccd_pipeline.assets.agrees import agreement
from dccd_pipeline.assets.freshness import standing
from dccd_pipeline.assets.remembered import Findings, read_findings, write_findings
from dccd_pipeline.config.collect import Entry

INTACT: Final = "intact"
COMPLETE: Final = "complete"
UP_TO_DATE: Final = "up_to_date"
BY_ROWS: Final = (INTACT, CROSSED)
"""What only the rows tell."""

_SHOWN = 20
_PROMISES: Final = (SCHEMA, ORDER, SANITY, FINAL, QUARANTINE)
"""What ``intact`` is made of."""
_BY_LEDGER: Final = (QUARANTINE, COMPLETE)
_ASKS: Final[Mapping[str, str]] = {
    INTACT: "rows have the table's columns, are in order, each once, possible and final; none in quarantine",
    CROSSED: "the best bid of every picture is below its best ask",
    COMPLETE: "something is stored as soon as it should be, and none of it has a gap that nobody explained",
    UP_TO_DATE: "it is proven up to where its schedule should have brought it by now, or up to its end",
}
_ONLY: Final[Mapping[str, Callable[[Table], bool]]] = {CROSSED: lambda table: table.two_sided}
_WARNS: Final = {COMPLETE, CROSSED, UP_TO_DATE}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a run knows of a dataset in the end.

    ``states``: of all partitions that it looked at, by key, as file and tail say; the newest is among them.
    ``audits``: of those whose rows were seen, as they were written or read. ``error``: what stopped the
    dataset; empty when nothing did.
    """

    states: Mapping[str, State]
    audits: Mapping[str, Audit] = field(default_factory=dict[str, Audit])
    error: str = ""


@dataclass(frozen=True, slots=True)
class Before:
    """A partition in which something was wrong: its ledger by now, and what was wrong, by promise."""

    ledger: Ledger
    wrong: Mapping[str, list[str]]


def check_names(dataset: Dataset) -> list[str]:
    table = dataset.data_type.table
    return [name for name in _ASKS if name not in _ONLY or _ONLY[name](table)]


def check_specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    key = dg.AssetKey(dataset.parts)
    return [dg.AssetCheckSpec(name, asset=key, description=_ASKS[name]) for name in check_names(dataset)]


def audited(lake: LakeStore, exchange: Exchange, dataset: Dataset, key: str, state: State) -> Audit:
    """Read a stored partition again."""
    endpoint = exchange.endpoint(dataset.symbol.market_type, dataset.data_type)
    audit = Audit(dataset, carried_open=endpoint is not None and endpoint.carries_open)
    try:
        for rows in lake.chunks(dataset, key):
            audit.see(rows)
    except DamagedFile as e:
        return Audit(dataset, findings={SCHEMA: [str(e)]})
    audit.judge_state(state, exchange.finality_delay)
    return audit


def judge(
    instance: dg.DagsterInstance, lake: LakeStore, entry: Entry, looked: Mapping[Dataset, Looked], now: Us
) -> Iterator[dg.AssetCheckResult]:
    """Yield the result of every check of these datasets, and remember what was found; no row is read.

    That of ``agrees`` is among them, though it is no check of the entry's own op.
    """
    store = lake.identity()
    before = read_findings(instance, looked, store)
    news = dict[Dataset, Findings]()
    for dataset, known in looked.items():
        was = before.get(dataset, {})
        found = findings(known, _before(lake, dataset, known, was))
        if found != was:
            news[dataset] = found
        yield from _results(entry, dataset, known, found, now)
    write_findings(instance, news, store)
    yield from agreement(lake, looked)


def findings(known: Looked, before: Mapping[str, Before]) -> Findings:
    """Return what is wrong with a dataset, by partition and promise.

    ``before``: the partitions in which something was wrong when they were seen last.
    """
    found = dict[str, dict[str, list[str]]]()
    ledgers = {key: one.ledger for key, one in before.items()}
    ledgers |= {key: state.ledger for key, state in known.states.items()}
    for key, ledger in sorted(ledgers.items()):
        audit = known.audits.get(key)
        wrong = audit.findings if audit else before[key].wrong if key in before else {}
        of = {promise: texts for promise, texts in wrong.items() if promise not in _BY_LEDGER}
        if ledger.quarantined:
            of[QUARANTINE] = [said_quarantined(ledger.quarantined)]
        if gaps := ledger.gaps():
            of[COMPLETE] = [f"{len(gaps)} gaps, {sum(gap.missing for gap in gaps)} rows missing"]
        if of:
            found[key] = of
    return found


def _before(lake: LakeStore, dataset: Dataset, known: Looked, was: Findings) -> dict[str, Before]:
    """Return the partitions in which something was wrong, with their ledgers by now; not what is gone."""
    found = dict[str, Before]()
    for key, wrong in was.items():
        try:
            state = known.states.get(key) or lake.known(dataset, key)
        except DamagedFile as e:
            found[key] = Before(Ledger(), {SCHEMA: [str(e)]})
        else:
            if state:
                found[key] = Before(state.ledger, wrong)
    return found


def _results(
    entry: Entry, dataset: Dataset, known: Looked, found: Findings, now: Us
) -> Iterator[dg.AssetCheckResult]:
    told = {name: _told(found, (name,)) for name in check_names(dataset)}
    told[INTACT] = _told(found, _PROMISES)
    read = {"partitions_read": len(known.audits)}
    broken = [promise for promise in _PROMISES if any(promise in of for of in found.values())]
    yield _result(dataset, INTACT, told[INTACT], {"failed": ", ".join(broken) or "nothing", **read})
    if CROSSED in told:
        yield _result(dataset, CROSSED, told[CROSSED], {**read, **_pictures(known.audits)})
    now_at = standing(entry, dataset, known.states, now, known.error)
    absent = [] if known.states or now_at.since is None else ["nothing of it is stored"]
    yield _result(dataset, COMPLETE, told[COMPLETE] or absent, {})
    times = {"proven_until": now_at.until, "wanted_until": now_at.wanted}
    behind = [] if now_at.since is None else [f"behind since {iso(now_at.since)}: {now_at.why}"]
    more = {name: iso(at) for name, at in times.items() if at is not None}
    yield _result(dataset, UP_TO_DATE, behind, {**more, "why": now_at.why} if behind else more)


def _told(found: Findings, promises: Sequence[str]) -> list[str]:
    """Write what was found of these promises, a line each; of which one is said where there are several."""
    several = len(promises) > 1
    return [
        f"{key}: {promise}: {text}" if several else f"{key}: {text}"
        for key, of in found.items()
        for promise in promises
        for text in of.get(promise, ())
    ]


def _result(
    dataset: Dataset, check: str, found: Sequence[str], more: Mapping[str, int | str]
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(dataset.parts),
        check_name=check,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN if check in _WARNS else dg.AssetCheckSeverity.ERROR,
        description=_said(found),
        metadata={
            "problems": len(found),
            "found": dg.MetadataValue.md("\n".join(f"- {text}" for text in found[:_SHOWN]) or "nothing"),
            **more,
        },
    )


def _said(found: Sequence[str]) -> str | None:
    """Return what the UI shows of it at once; the whole list has to be opened."""
    if not found:
        return None
    return found[0] if len(found) == 1 else f"{found[0]}; and {len(found) - 1} more"


def _pictures(audits: Mapping[str, Audit]) -> dict[str, int | str]:
    """Return how many pictures are crossed, and when the first and the last of them were taken."""
    crossed = [audit.crossed for audit in audits.values()]
    first = min((one.first for one in crossed if one.first is not None), default=None)
    last = max((one.last for one in crossed if one.last is not None), default=None)
    times = {name: iso(at) for name, at in (("first", first), ("last", last)) if at}
    return {"count": sum(one.count for one in crossed), **times}
