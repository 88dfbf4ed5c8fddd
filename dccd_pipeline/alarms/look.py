"""What a kind of alarm is, and what it is given to look at.

Belongs here: the contract. Does not: the kinds (kinds.py names them), telling (runs/alerts.py).
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import dagster as dg

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import MINUTE, Us
from dccd_pipeline.config.settings import Settings

_EVERY: Final = Us(5 * MINUTE)

Memory = dict[str, list[int]]
"""What a kind remembers from one look to the next, some integers under a name."""


def free_space(folder: Path) -> int:
    """Return how many bytes are free on the disk that a folder is on, or will be on once it is made."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


@dataclass(frozen=True, slots=True)
class Look:
    """What a kind is given. ``memory``: its own, to be changed by it; it outlives processes."""

    settings: Settings
    instance: dg.DagsterInstance
    now: Us
    memory: Memory = field(default_factory=Memory)
    free: Callable[[Path], int] = free_space

    @property
    def datasets(self) -> list[Dataset]:
        """What is collected."""
        return [dataset for entry in self.settings.collect for dataset in entry.datasets]


Found = Mapping[str, str | None]
"""By subject, all that was looked at: what is wrong with it, empty where nothing is, None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of alarm: how it looks, and how often (us)."""

    look: Callable[[Look], Found]
    every: Us = _EVERY
