"""What an import came to: per dataset what was taken, repaired and refused, and what was left out. Values."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dccd_core.imports.clean import Counts
from dccd_core.imports.oldstore import LeftOut
from dccd_core.imports.quirks import Refusal

_EXPECTED: Final = (Refusal.RUNNING,)
"""What is refused of every store: the newest bar goes on while it is stored. Nothing is wrong with that."""


@dataclass(slots=True)
class FileResult:
    """What one file came to: what was read is ``taken``, ``known``, refused, or stood there twice.

    ``taken``: rows that the lake did not have. ``known``: rows that it has, or whose time is proven already.
    ``keys``: the partitions that its rows belong to. ``error``: why nothing of it was taken.
    """

    counts: Counts = field(default_factory=Counts)
    taken: int = 0
    known: int = 0
    keys: tuple[str, ...] = ()
    error: str | None = None


@dataclass(slots=True)
class DatasetReport:
    """What one dataset came to. ``earlier``: files that an earlier import was done with."""

    dataset: str
    files: int
    trusted: bool
    earlier: int = 0
    read: int = 0
    taken: int = 0
    known: int = 0
    repaired: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    remarks: set[str] = field(default_factory=set[str])
    damaged: dict[str, str] = field(default_factory=dict[str, str])
    """Files that could not be taken, and why."""
    aside: str | None = None
    """Where the refused rows are, with their reasons; None: there are none."""

    def add(self, name: str, result: FileResult, *, earlier: bool) -> None:
        """Add what a file came to, now or in an ``earlier`` import: then its rows are known."""
        counts = result.counts
        self.earlier += earlier
        self.read += counts.read
        self.taken += 0 if earlier else result.taken
        self.known += result.known + (result.taken if earlier else 0)
        self.repaired.update(counts.repaired)
        self.refused.update(counts.refused)
        self.remarks |= counts.remarks
        if result.error:
            self.damaged[name] = result.error

    @property
    def whole(self) -> bool:
        """Whether nothing of it was left out that should not be."""
        return not self.damaged and not any(why not in _EXPECTED for why in self.refused)

    def to_builtins(self) -> Mapping[str, object]:
        return {
            "dataset": self.dataset,
            "files": self.files,
            "earlier": self.earlier,
            "trusted": self.trusted,
            "read": self.read,
            "taken": self.taken,
            "known": self.known,
            "repaired": dict(sorted(self.repaired.items())),
            "refused": dict(sorted(self.refused.items())),
            "remarks": sorted(self.remarks),
            "damaged": dict(sorted(self.damaged.items())),
            "aside": self.aside,
        }


@dataclass(slots=True)
class ImportReport:
    """What a whole store came to. ``dry``: nothing was stored; ``taken`` is what could be taken."""

    root: str
    dry: bool
    datasets: list[DatasetReport] = field(default_factory=list[DatasetReport])
    left_out: tuple[LeftOut, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all of the store is in the lake now, but for what cannot be missed."""
        return all(one.whole for one in self.datasets) and all(one.harmless for one in self.left_out)

    def to_builtins(self) -> Mapping[str, object]:
        return {
            "store": self.root,
            "dry_run": self.dry,
            "whole": self.whole,
            "datasets": [one.to_builtins() for one in self.datasets],
            "left_out": [
                {"path": one.name, "why": one.why, "harmless": one.harmless} for one in self.left_out
            ],
        }
