"""Datasets that are behind their schedule and do not catch up, as the lake itself says.

It does not matter whether anything runs: that nothing does is one reason to be behind. A dataset whose proven
time moves on catches up, and is left alone.

Belongs here: which are behind. Does not: how far one should be (assets/freshness.py).
"""

from collections.abc import Iterable
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import MINUTE, Us, iso
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.alarms.look import Found, Look
from dccd_pipeline.assets.freshness import Standing, first_moment, standing, wanted_until
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.runs.instigators import stopped
from dccd_pipeline.ticks.memory import read_memory
from dccd_pipeline.ticks.schedules import schedule_name

_STANDS_STILL: Final = 15 * MINUTE
_NOTHING: Final = -1
_SEEN: Final = dict[tuple[str, Dataset], Us]()
"""Up to where datasets of a store were proven when this process looked last: they need no look until then."""


def behind(look: Look) -> Found:
    """Say of each scheduled dataset whether it is behind; of those whose schedule a user stopped, nothing."""
    lake, found = look.settings.lake(), dict[str, str | None]()
    for entry in look.settings.collect:
        if entry.scheduled:
            late = set(_perhaps_late(look, entry))
            found |= {str(dataset): "" for dataset in entry.datasets if dataset not in late}
            found |= _late(look, lake, entry, sorted(late, key=str))
    for name in set(look.memory) - set(found):
        del look.memory[name]
    return _without_stopped(look, found) if any(found.values()) else found


def _perhaps_late(look: Look, entry: Entry) -> Iterable[Dataset]:
    """Yield what is not known to be far enough: of it the lake is asked."""
    for dataset in entry.datasets:
        wanted = wanted_until(entry, dataset, look.now)
        seen = _SEEN.get((look.settings.store, dataset), Us(0))
        if wanted is not None and wanted > max(seen, first_moment(entry, dataset)):
            yield dataset


def _late(look: Look, lake: LakeStore, entry: Entry, datasets: list[Dataset]) -> dict[str, str | None]:
    if not datasets:
        return {}
    tail, found = lake.tail(datasets[0]).read(), dict[str, str | None]()
    failing = read_memory(look.instance, lake.identity(), entry.name).troubled
    for dataset in datasets:
        cause = failing[str(dataset)].cause if str(dataset) in failing else ""
        try:
            at = standing(entry, dataset, lake.all_known(dataset, tail), look.now, cause)
        except DccdError as e:
            found[str(dataset)] = f"{dataset}: cannot be read: {e}"
            continue
        if at.until is not None:
            _SEEN[look.settings.store, dataset] = at.until
        if at.since is None:
            look.memory.pop(str(dataset), None)
        found[str(dataset)] = "" if at.since is None else _said(look, dataset, at)
    return found


def _said(look: Look, dataset: Dataset, at: Standing) -> str | None:
    """Say since when it is behind, if it has not moved on for a while; None while that is not known."""
    until = _NOTHING if at.until is None else int(at.until)
    before = look.memory.get(str(dataset))
    if before is None or before[0] != until or before[1] > look.now:
        look.memory[str(dataset)] = [until, look.now]
        return None if before is None else ""
    if look.now - before[1] < _STANDS_STILL:
        return None
    return f"{dataset} is behind its schedule since {iso(at.since or Us(0))}: {at.why}"


def _without_stopped(look: Look, found: dict[str, str | None]) -> Found:
    """Leave out what a user has stopped the schedule of."""
    off_now = stopped(look.instance)
    off = {
        str(dataset)
        for entry in look.settings.collect
        if schedule_name(entry) in off_now
        for dataset in entry.datasets
    }
    return {name: text for name, text in found.items() if name not in off}
