"""Disks that are nearly full: that of the store, and that of Dagster's storage.

Belongs here: how much is free. Does not: making room (purge).
"""

import os
from pathlib import Path
from typing import Final

from dccd_core.domain.sizes import said_size
from dccd_pipeline.alarms.look import Found, Look

_ENOUGH: Final = 1.1
"""So much more must be free before a disk is well again, or it would be told at each file."""


def low_disks(look: Look) -> Found:
    """Say of each disk whether less is free than ``alerts.low_disk``; one that holds both is one."""
    alerts, found = look.settings.alerts, dict[str, str | None]()
    if alerts is None or not alerts.low_disk:
        return found
    for name, folder in _places(look).items():
        free, limit = look.free(folder), alerts.low_disk
        low = free < limit * (_ENOUGH if name in look.memory else 1)
        look.memory.pop(name, None)
        if low:
            look.memory[name] = [free]
        said = f"{said_size(free)} free, less than alerts.low_disk, {said_size(limit)} -> make room there"
        found[name] = f"{name}: {said}" if low else ""
    return found


def _places(look: Look) -> dict[str, Path]:
    """Return a folder on each disk, by what the disk is called."""
    dagster, store = Path(look.instance.root_directory), look.settings.store
    if "://" in store:
        return {f"the disk of Dagster's storage ({dagster})": dagster}
    if _device(Path(store)) == _device(dagster):
        return {f"the disk of the store and of Dagster's storage ({store})": Path(store)}
    return {
        f"the disk of the store ({store})": Path(store),
        f"the disk of Dagster's storage ({dagster})": dagster,
    }


def _device(folder: Path) -> int:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return os.stat(there).st_dev  # noqa: PTH116 -- a look, not a walk
