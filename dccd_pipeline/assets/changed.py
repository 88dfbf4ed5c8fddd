"""Which results of checks are news: those that differ from what Dagster was told last.

A tick looks at a thousand datasets every few minutes, and hardly ever anything changes. What was told is
remembered in a few bytes per dataset, whichever store it was of: so is what Dagster shows.

Belongs here: what is news, and what was told. Does not: what is found (checks.py).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final
from zlib import crc32

import dagster as dg
import msgspec

from dccd_pipeline.assets.remembered import read_values, write_values
from dccd_pipeline.tags import SHOWN

_TIMES: Final = re.compile(r"\d+")
_Marks = dict[str, str]
_READ: Final = msgspec.json.Decoder(_Marks)
"""By check: a mark of what was told of it."""


def changed_checks(
    instance: dg.DagsterInstance,
    results: Iterable[dg.AssetCheckResult],
    anew: Collection[dg.AssetKey] = (),
    new_at_once: int | None = None,
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield what is to be told: of results that passed, failed or found something else than the last time.

    Args:
        instance: remembers what was told.
        results: of this run.
        anew: assets that this run materialises: Dagster takes what it knows for that of the one before.
        new_at_once: how many results of checks that pass and that an update brought to assets which were
            told of before; the others wait for the next runs. None: all.
    """
    judged = list(results)
    before = _read(instance, judged)
    news = [
        one
        for one in judged
        if _asset(one) in anew or before[_asset(one)].get(one.check_name or "") != _mark(one)
    ]
    if new_at_once is not None:
        can_wait = [one for one in news if _asset(one) not in anew and _is_new(one, before[_asset(one)])]
        waiting = {*map(id, can_wait[new_at_once:])}
        news = [one for one in news if id(one) not in waiting]
    for one in news:
        yield dg.AssetCheckEvaluation(
            asset_key=_asset(one),
            check_name=one.check_name or "",
            passed=one.passed,
            metadata=one.metadata,
            severity=one.severity,
            description=one.description,
        )
    _note(instance, news, before)


def tell_checks(
    context: dg.OpExecutionContext,
    results: Iterable[dg.AssetCheckResult],
    anew: Collection[dg.AssetKey] = (),
    new_at_once: int | None = None,
) -> None:
    """Tell Dagster, from an op, what is news: see ``changed_checks``."""
    for evaluation in changed_checks(context.instance, results, anew, new_at_once):
        context.log_event(evaluation)  # pyright: ignore[reportArgumentType] -- it takes them


def failing_checks(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]
) -> dict[dg.AssetKey, list[str]]:
    """Return which checks failed when Dagster was told of them last, of the assets that have any such."""
    keys = {asset: _key(asset) for asset in assets}
    found = read_values(instance, keys.values())
    told = {asset: _READ.decode(found.get(key, "{}")) for asset, key in keys.items()}
    failed = {asset: [name for name, mark in of.items() if mark[:1] == "0"] for asset, of in told.items()}
    return {asset: names for asset, names in failed.items() if names}


def note_told(instance: dg.DagsterInstance, results: Iterable[dg.AssetCheckResult]) -> None:
    """Remember that these were told, whatever was told before."""
    told = list(results)
    _note(instance, told, _read(instance, told))


def _note(
    instance: dg.DagsterInstance,
    told: Iterable[dg.AssetCheckResult],
    before: Mapping[dg.AssetKey, _Marks],
) -> None:
    marks = {asset: dict(of) for asset, of in before.items()}
    for one in told:
        marks[_asset(one)][one.check_name or ""] = _mark(one)
    values = {
        _key(asset): msgspec.json.encode(of).decode() for asset, of in marks.items() if of != before[asset]
    }
    write_values(instance, values)


def _read(instance: dg.DagsterInstance, results: Iterable[dg.AssetCheckResult]) -> dict[dg.AssetKey, _Marks]:
    keys = {asset: _key(asset) for asset in map(_asset, results)}
    found = read_values(instance, keys.values())
    return {asset: _READ.decode(found.get(key, "{}")) for asset, key in keys.items()}


def _is_new(result: dg.AssetCheckResult, before: _Marks) -> bool:
    """Tell whether nothing is wrong by a check that was never told of an asset, though others were."""
    return result.passed and bool(before) and (result.check_name or "") not in before


def _mark(result: dg.AssetCheckResult) -> str:
    """Return a short mark that differs when something else was found.

    Of what is told with a reason the reason counts, without its times and numbers: it may be told by every
    tick with others.
    """
    why, found = result.metadata.get("why"), result.metadata.get("found")
    said = str(found.value if found else "") if why is None else _TIMES.sub("", str(why.value))
    return f"{int(result.passed)}{crc32(said.encode()):08x}"


def _asset(result: dg.AssetCheckResult) -> dg.AssetKey:
    assert result.asset_key is not None
    return result.asset_key


def _key(asset: dg.AssetKey) -> str:
    return f"{SHOWN}{asset.to_user_string()}"
