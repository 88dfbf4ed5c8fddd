"""What a remote has and the lake lacks, brought back: rows and ledgers of both become one.

That is how a conflict ends whose other side is the better one. Where both have a row its values are those of
the remote.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, cast

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import TimeRange
from dccd_core.keep.claim import check
from dccd_core.keep.remotes.remote import Remote
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path, owner
from dccd_core.lake.partition.ledger import Hole, Ledger
from dccd_core.lake.partition.parquet import Reader, State, own


def take(lake: LakeStore, remote: Remote, dataset: Dataset, key: str) -> State:
    """Unite a partition with what a remote has of it, and return what is here then.

    Raises:
        LakeError: the remote is no copy of this lake, does not answer, or has no such file.
        DamagedFile: what is there is not what was written; nothing is changed.
    """
    path, ours = data_path(dataset, key), lake.state(dataset, key)
    check(remote, lake.identity() or "")
    with tempfile.TemporaryFile() as file, lake.draft(dataset, key) as draft:
        into = cast("BinaryIO", file)
        remote.read(path, into)
        theirs = Reader(into, dataset.data_type, remote.url(path))
        own(theirs.state, owner(dataset, key))
        theirs.verify()
        for rows in theirs.groups():
            draft.append(rows)
        told = theirs.state.ledger
        return draft.commit(told.asked, partial(_Both, ours.ledger if ours else Ledger(), told))


@dataclass(frozen=True, slots=True)
class _Both:
    """A judge that knows what two ledgers say: a hole is one of both where both asked."""

    ours: Ledger
    theirs: Ledger

    def see(self, rows: pl.DataFrame) -> None:
        """Which rows there are changes nothing in what is known."""

    def assess(self, ledger: Ledger) -> Ledger:
        here, there = self.ours.holes, self.theirs.holes
        kept = {*_open(here, self.theirs.covered(), there), *_open(there, self.ours.covered(), here)}
        return replace(ledger, holes=tuple(sorted(kept, key=lambda hole: hole.span)))


def _open(holes: Iterable[Hole], covered: list[TimeRange], known: Iterable[Hole]) -> list[Hole]:
    """Return the holes that nobody else filled: outside of what was asked there, or holes there, too."""
    spans = {hole.span for hole in known}
    return [hole for hole in holes if hole.span in spans or hole.span.minus(covered)]
