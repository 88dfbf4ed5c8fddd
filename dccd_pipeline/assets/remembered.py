"""What Dagster's storage remembers of the datasets of a store: which partitions were ever there.

What it remembers of another store, a demonstration's or a former one's, is no news of this one.

Belongs here: reading and writing that. Does not: what follows from it (ticks/due.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import dagster as dg
import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_pipeline.assets.progress import runs_of
from dccd_pipeline.tags import FOUND, HELD, STORES

Findings = Mapping[str, Mapping[str, list[str]]]
"""What is wrong with a dataset: by partition and promise."""


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


def remember_held(
    instance: dg.DagsterInstance,
    store: str | None,
    keys: Sequence[str],
    stored: Mapping[Dataset, Collection[str]],
) -> dict[Dataset, set[str]]:
    """Note which partitions are stored of these datasets; return which ever were.

    Of a store without a name nothing is noted.
    """
    before = read_held(instance, stored, store, keys)
    held = {one: before.get(one, set[str]()) | set(its) for one, its in stored.items()}
    if store:
        news = {one: its for one, its in held.items() if its != before.get(one, set())}
        _write(instance, HELD, {one: runs_of(one, sorted(its)) for one, its in news.items()}, store)
    return held


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


def remember_store(instance: dg.DagsterInstance, store: str, url: str) -> None:
    """Note that ticks of this instance fill a store."""
    known = read_stores(instance)
    if known.get(store) != url:
        write_values(instance, {STORES: msgspec.json.encode({**known, store: url}).decode()})


def read_stores(instance: dg.DagsterInstance) -> dict[str, str]:
    """Return the stores that ticks of this instance ever filled: where each was, by its name."""
    found = read_values(instance, [STORES]).get(STORES)
    return msgspec.json.decode(found, type=dict[str, str]) if found else {}


def forget_held(instance: dg.DagsterInstance, dataset: Dataset, store: str | None) -> None:
    """Remember nothing of a dataset that was removed on purpose."""
    if store:
        _write(instance, HELD, {dataset: []}, store)
        _write(instance, FOUND, {dataset: {}}, store)


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
