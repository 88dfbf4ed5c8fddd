"""A whole store of dccd 3 taken over, a file at a time; an import that was interrupted goes on."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.timespan import Us
from dccd_core.imports.journal import Journal
from dccd_core.imports.oldstore import OldDataset, OldStore, open_old
from dccd_core.imports.report import DatasetReport, ImportReport
from dccd_core.imports.take import Taker, aside_path
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.partition import quarantine
from dccd_core.lake.store.folder import Folder, Store

Progress = Callable[[str, int], object]
"""Told before each file: its name in the old store; and its bytes."""

_WRITE_EVERY: Final = 64
"""Files after which it is written down how far it is."""


def import_store(
    root: Path,
    lake: LakeStore,
    now: Us,
    *,
    trust: Collection[str] = (),
    dry_run: bool = False,
    progress: Progress = lambda _, __: None,
) -> ImportReport:
    """Take over all that is in the store of dccd 3 at ``root``; nothing is written there.

    Rows that the lake has stay as they are, and no time counts as covered by it, but for the datasets to
    ``trust``, by their names here: what can only be reckoned is taken of them alone.

    Raises:
        ConfigError: there is no such store, it is the lake's own folder, or it has no dataset of these names.
        LakeError: the lake refuses.
    """
    _refuse_own_folder(root, lake)
    old = open_old(root)
    _refuse_unknown(old, trust)
    report = ImportReport(str(root), dry_run, left_out=old.left_out)
    store = lake.store
    journal = Journal(store, root)
    with TemporaryDirectory() as folder:
        scratch = Folder(Path(folder)) if dry_run else store
        work = _Work(lake, scratch, journal, now, dry_run, progress)
        try:
            for one in old.datasets:
                trusted = str(one.dataset) in trust
                report.datasets.append(made := DatasetReport(str(one.dataset), len(one.files), trusted))
                work.dataset(one, made)
        finally:
            if not dry_run:
                journal.write()
    return report


@dataclass(slots=True)
class _Work:
    """One import under way."""

    lake: LakeStore
    store: Store
    journal: Journal
    now: Us
    dry: bool
    progress: Progress
    _unwritten: int = 0

    def dataset(self, old: OldDataset, report: DatasetReport) -> None:
        """Take over the files of one dataset that are not done yet."""
        trusted = report.trusted
        taker = Taker(old, self.store, None if self.dry else self.lake, self.now, trusted)
        keys = self.lake.keys(old.dataset)
        for file in old.files:
            self.progress(file.name, file.size)
            if (known := self.journal.done(file, keys, trusted=trusted)) is not None:
                report.add(file.name, known, earlier=True)
                continue
            fresh = taker.take(file)
            report.add(file.name, fresh, earlier=False)
            if not self.dry:
                self.journal.note(file, fresh, trusted=trusted)
                self._written()
        path = aside_path(old.dataset)
        if not self.dry and quarantine.count(self.store, path):
            report.aside = self.store.url(path)

    def _written(self) -> None:
        self._unwritten += 1
        if self._unwritten >= _WRITE_EVERY:
            self.journal.write()
            self._unwritten = 0


def _refuse_own_folder(root: Path, lake: LakeStore) -> None:
    """Refuse a lake that lies in the old store, or the other way round: that is never written to."""
    if "://" in lake.url:
        return
    ours, theirs = Path(lake.url).resolve(), root.resolve()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise ConfigError(
            f"the lake {ours} and the old store {theirs} share a folder, and nothing is written to that",
            hint="set store in dccd.yaml to a folder of its own",
        )


def _refuse_unknown(old: OldStore, trust: Collection[str]) -> None:
    known = [str(one.dataset) for one in old.datasets]
    for name in trust:
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5) or known[:1]
            hint = f"did you mean {near[0]}?" if near else "see what there is with --dry-run"
            raise ConfigError(f"the old store has no {name} to trust", hint=hint)
