"""Remove a dataset from a lake on purpose: files, records, and what lies beside them.

What remotes and pins hold stays there. Belongs here: what there is, and removing it. Does not: whether
somebody really wants that (the command asks).
"""

from dataclasses import dataclass

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.lake.lake import LakeStore, State


@dataclass(frozen=True, slots=True)
class Holding:
    """What there is of a dataset: the first and the last of its ``keys``, ``elsewhere`` so many of them.

    ``bytes``: of the files here. ``remotes``: who holds those that are elsewhere.
    """

    dataset: Dataset
    keys: tuple[str, ...]
    rows: int
    bytes: int
    elsewhere: int
    remotes: tuple[str, ...]


def what_there_is(lake: LakeStore, dataset: Dataset) -> Holding:
    """Sum up what would be removed.

    Raises:
        LakeError: rows of it are in the tail: they would come back.
    """
    if dataset in lake.live_rows():
        raise LakeError(
            f"{dataset}: rows of it are in the tail, or are recorded at this moment",
            hint="take it out of the configuration, stop its stream, fold the tail, then forget it",
        )
    states = [state for key in lake.keys(dataset) if (state := _state(lake, dataset, key))]
    away = [state for state in states if state.elsewhere]
    remotes = sorted({name for state in away for name in state.elsewhere})
    here = sum(state.bytes for state in states if not state.elsewhere)
    rows = sum(state.rows for state in states)
    return Holding(dataset, tuple(lake.keys(dataset)), rows, here, len(away), tuple(remotes))


def forget(lake: LakeStore, dataset: Dataset) -> int:
    """Remove all partitions of a dataset; return how many."""
    keys = lake.keys(dataset)
    for key in keys:
        lake.remove(dataset, key)
    return len(keys)


def _state(lake: LakeStore, dataset: Dataset, key: str) -> State | None:
    try:
        return lake.state(dataset, key)
    except DamagedFile:
        return None  # what is damaged may be forgotten, too
