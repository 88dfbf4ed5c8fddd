"""What Dagster's storage remembers of the datasets of a store: how far they are, and what was found.

What it remembers of another store, a demonstration's or a former one's, is no news of this one.

Belongs here: reading and writing that. Does not: what follows from it (progress.py, schedules.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import dagster as dg
import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_pipeline.assets.progress import Progress, runs_of
from dccd_pipeline.tags import FOUND, GONE, HELD, PROGRESS

Findings = Mapping[str, Mapping[str, list[str]]]
"""What is wrong with a dataset: by partition and promise."""


def read_progress(
    instance: dg.DagsterInstance, datasets: Sequence[Dataset], store: str | None
) -> dict[Dataset, Progress | None]:
    """Return what the latest materialisation of each dataset says of its progress in this store."""
    assets = {dataset: dg.AssetKey(dataset.parts) for dataset in datasets}
    if not store:
        return dict.fromkeys(datasets)
    events = instance.get_latest_materialization_events(list(assets.values()))
    known: dict[Dataset, Progress | None] = {}
    for dataset, asset in assets.items():
        event = events.get(asset)
        materialisation = event.asset_materialization if event else None
        value = materialisation.metadata.get(PROGRESS) if materialisation else None
        found = cast("Progress", value.value) if isinstance(value, dg.JsonMetadataValue) else None
        known[dataset] = found if found and found.get("store") == store else None
    return known


def read_gone(
    instance: dg.DagsterInstance, datasets: Iterable[Dataset], store: str | None
) -> dict[Dataset, list[str]]:
    """Return the partitions whose files vanished, of those datasets that have any."""
    found = _read(instance, GONE, datasets, store)
    gone = {one: msgspec.json.decode(text, type=list[str]) for one, text in found.items()}
    return {one: keys for one, keys in gone.items() if keys}


def write_gone(instance: dg.DagsterInstance, gone: Mapping[Dataset, Sequence[str]], store: str) -> None:
    """Remember which partitions of these datasets vanished; none is an answer too."""
    _write(instance, GONE, {one: sorted(keys) for one, keys in gone.items()}, store)


def read_held(
    instance: dg.DagsterInstance, datasets: Iterable[Dataset], store: str | None, keys: Sequence[str]
) -> dict[Dataset, set[str]]:
    """Return which of ``keys`` were ever stored of each dataset, as far as anybody noted it."""
    found = _read(instance, HELD, datasets, store)
    runs = {one: msgspec.json.decode(text, type=list[tuple[str, str]]) for one, text in found.items()}
    return {
        one: {key for key in keys if any(first <= key <= last for first, last in of)}
        for one, of in runs.items()
    }


def write_held(instance: dg.DagsterInstance, held: Mapping[Dataset, Iterable[str]], store: str) -> None:
    """Note which partitions of these datasets were ever stored."""
    _write(instance, HELD, {one: runs_of(one, sorted(keys)) for one, keys in held.items()}, store)


def read_findings(
    instance: dg.DagsterInstance, datasets: Iterable[Dataset], store: str | None
) -> dict[Dataset, Findings]:
    """Return what the checks found in these datasets last, as far as they found anything."""
    found = _read(instance, FOUND, datasets, store)
    return {
        one: msgspec.json.decode(text, type=dict[str, dict[str, list[str]]]) for one, text in found.items()
    }


def write_findings(instance: dg.DagsterInstance, news: Mapping[Dataset, Findings], store: str | None) -> None:
    """Remember what the checks found; that nothing is wrong is an answer, too."""
    if store:
        _write(instance, FOUND, news, store)


def vanished(held: Iterable[str], stored: Iterable[str], keys: Sequence[str]) -> list[str]:
    """Return which of ``keys`` were ever ``held``, and are not ``stored`` any more.

    The last of ``keys`` is left out: the open partition is filled whatever became of its file.
    """
    ever, there = set(held), set(stored)
    return [key for key in keys[:-1] if key in ever and key not in there]


def _read(
    instance: dg.DagsterInstance, what: str, datasets: Iterable[Dataset], store: str | None
) -> dict[Dataset, str]:
    keys = {dataset: f"{what}{store}/{dataset}" for dataset in datasets}
    if not store or not keys:
        return {}
    found = read_values(instance, keys.values())
    return {dataset: found[key] for dataset, key in keys.items() if key in found}


def _write(instance: dg.DagsterInstance, what: str, told: Mapping[Dataset, object], store: str) -> None:
    values = {f"{what}{store}/{one}": msgspec.json.encode(value).decode() for one, value in told.items()}
    write_values(instance, values)


def read_values(instance: dg.DagsterInstance, keys: Iterable[str]) -> Mapping[str, str]:
    """Return what is kept under those of ``keys`` that there are."""
    wanted = set(keys)
    return instance.daemon_cursor_storage.get_cursor_values(wanted) if wanted else {}


def write_values(instance: dg.DagsterInstance, values: Mapping[str, str]) -> None:
    """Keep values under their keys.

    Dagster writes new keys or known ones: of both in one call it would drop the new.
    """
    known = read_values(instance, values)
    for some in (
        {key: value for key, value in values.items() if key in known},
        {key: value for key, value in values.items() if key not in known},
    ):
        if some:
            instance.daemon_cursor_storage.set_cursor_values(some)


def said_gone(dataset: Dataset, keys: Sequence[str]) -> str:
    """Say which partitions vanished, and what to do about it."""
    which = keys[0] if len(keys) == 1 else f"{len(keys)} partitions from {keys[0]} to {keys[-1]}"
    span = f" --span {dataset.parts[-1]}" if dataset.span else ""
    command = f"dccd backfill {dataset.exchange} {dataset.symbol} --data-type {dataset.data_type}{span}"
    return (
        f"{dataset}: gone: {which}, the files vanished; ticks leave them alone -> `{command}` restores them"
    )
