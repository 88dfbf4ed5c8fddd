"""What sealed segments hold, partition by partition, on its way into the partitions."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import polars as pl
from filelock import FileLock, Timeout

from dccd_core.domain.dataset import Dataset, partition_key, partition_keys, partition_span
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.layout import StreamKey, segment_start
from dccd_core.lake.live import coverage
from dccd_core.lake.live.coverage import Notes, Piece, SegmentCoverage
from dccd_core.lake.live.runs import SortedRuns
from dccd_core.lake.live.segments import (
    SYMBOL,
    Segment,
)
from dccd_core.lake.live.shelf import Shelf
from dccd_core.lake.partition.ledger import Answer
from dccd_core.lake.store.folder import Store, writing

MOST_ROWS: Final = 5_000_000
_MOST_SEGMENTS: Final = 4_096
_MOST_OPEN: Final = 256
_LOCK: Final = ".harvest.lock"
_PATIENCE_S: Final = 600


class SealedSegments:
    """What to fold now. Nothing is removed before ``done``: what happens until then may happen again.

    ``torn``: what was dropped at the end of segments, with the number of bytes. ``more``: there are sealed
    segments that this harvest did not take; once it is done, also whether it makes sense to go on with
    them: not when everything had to be kept. ``taken``: another process takes them, so nothing is here.

    It may be opened, used and closed in different threads.
    """

    def __init__(self, shelf: Shelf, family: StreamKey, runs: SortedRuns) -> None:
        self._shelf = shelf
        self._family = family
        self._runs = runs
        self._coverages: list[SegmentCoverage] = []
        self._taken: list[Path] = []
        self._kept = dict[tuple[Dataset, str], None]()
        self._after = Us(0)
        self.torn: list[tuple[str, int]] = []
        self.more = False
        self.taken = False
        self.parts: list[tuple[Dataset, str]] = []

    def take(self, stack: ExitStack, most_rows: int) -> None:
        """Take sealed segments, those first that were begun first, until there are ``most_rows``.

        Those without a header stay open until ``stack`` closes them: that keeps new writers from what may be
        removed. One that has a header was locked by its writer, who is gone for good.
        """
        unborn = 0
        for path, family in self._shelf.find(self._family):
            self._after = Us((segment_start(path.name) or 0) + 1)
            with ExitStack() as one:
                segment = one.enter_context(self._shelf.opened(path, family))
                if segment is None or segment.info.living:
                    continue
                full = self._runs.rows_taken >= most_rows or len(self._taken) == _MOST_SEGMENTS
                if full or unborn == _MOST_OPEN:
                    self.more = True
                    continue
                self._read(path, segment)
                self._taken.append(path)
                if not segment.whole:
                    unborn += 1
                    stack.push(one.pop_all())
        self.parts = self._all_parts()

    def look(self, symbol: str) -> None:
        """Read what all segments have of a symbol by now, also those being written. Nothing is taken."""
        for segment in self._shelf.each_of(self._family):
            self._read(Path(segment.info.path), segment)
        self.parts = [part for part in self._all_parts() if str(part[0].symbol) == symbol]

    def rows(self, dataset: Dataset, key: str) -> Iterator[pl.DataFrame]:
        """Yield the part's rows, each once, ascending in time."""
        return self._runs.rows(dataset, key)

    def covered(self, dataset: Dataset, key: str) -> list[TimeRange]:
        """Return for which time of the partition all rows were recorded."""
        whole = coverage.covered(self._coverages, str(dataset.symbol))
        partition = partition_span(dataset.grain, key)
        return [clipped for span in whole if (clipped := span.clip(partition))]

    def lost(self, dataset: Dataset, key: str) -> list[tuple[TimeRange, str]]:
        """Return for which time of the partition it was known that rows were not recorded, and why."""
        whole = coverage.lost(self._coverages, str(dataset.symbol))
        partition = partition_span(dataset.grain, key)
        return [(clipped, reason) for span, reason in whole if (clipped := span.clip(partition))]

    def withdrawn(self, dataset: Dataset, key: str) -> list[tuple[TimeRange, str]]:
        """Return for which time of the partition what was said before does not hold, and why."""
        partition = partition_span(dataset.grain, key)
        whole = coverage.withdrawn(self._coverages, str(dataset.symbol))
        return [(clipped, piece.reason) for piece in whole if (clipped := piece.span.clip(partition))]

    def answers(self, dataset: Dataset, key: str) -> list[Answer]:
        """Return what was asked of the exchange for rows of the partition."""
        partition = partition_span(dataset.grain, key)
        return coverage.answers(self._coverages, str(dataset.symbol), partition)

    @property
    def asked_only(self) -> bool:
        """Return whether all rows were asked for, and no stream tells anything."""
        return not any(told.streamed for told in self._coverages)

    def tells_only_losses(self, dataset: Dataset, key: str) -> bool:
        """Return whether nothing was recorded of the part, nor anything said of it but why."""
        recorded = (dataset, key) in self._runs.parts() or self.covered(dataset, key)
        return not (recorded or self.withdrawn(dataset, key) or self.answers(dataset, key))

    def keep(self, dataset: Dataset, key: str) -> None:
        """Remember that this part could not be folded: ``done`` puts it into a new sealed segment."""
        self._kept[dataset, key] = None

    def done(self) -> None:
        """Remove the segments that were taken; all but what is kept is durably in its partition.

        Raises:
            LakeError: not all could be removed, or kept; harvesting again gives what is there.
        """
        for dataset, key in self._kept:
            self._rewrite(dataset, key)
        with writing(str(self._shelf.root / self._family.folder)):
            self._shelf.remove(self._taken)
        if self.parts and len(self._kept) == len(self.parts):
            self.more = False
        self._taken.clear()
        self._kept.clear()

    def _read(self, path: Path, segment: Segment) -> None:
        told = SegmentCoverage()
        for batch in segment.batches():
            told.add(batch.notes)
            self._runs.add(batch.rows, batch.notes.answers)
        self._runs.end_segment()
        self._coverages.append(told)
        if segment.torn:
            self.torn.append((str(path), segment.torn))

    def _all_parts(self) -> list[tuple[Dataset, str]]:
        parts = set(self._runs.parts())
        for symbol in sorted({symbol for told in self._coverages for symbol in told.symbols}):
            dataset = self._family.dataset(symbol)
            spans = coverage.covered(self._coverages, symbol)
            spans += [piece.span for piece in coverage.withdrawn(self._coverages, symbol)]
            spans += [span for told in self._coverages for one in told.answers(symbol) for span in one.spans]
            parts |= {(dataset, key) for span in spans for key in partition_keys(dataset.grain, span)}
            # why a recording ended belongs to the partition that it ended in
            ends = [span.start for span, _ in coverage.lost(self._coverages, symbol)]
            parts |= {(dataset, partition_key(dataset.grain, at)) for at in ends}
        return sorted(parts, key=lambda part: (str(part[0]), part[1]))

    def _rewrite(self, dataset: Dataset, key: str) -> None:
        """Begin the new segment after all that are sealed by now: they are not to wait for it next time."""
        symbol = str(dataset.symbol)
        pieces = [Piece(symbol, span.start, span.end) for span in self.covered(dataset, key)]
        pieces += [Piece(symbol, span.start, span.end, why) for span, why in self.lost(dataset, key)]
        answers = self.answers(dataset, key)
        with self._shelf.writer(self._family, self._after) as writer:
            for rows in self._runs.rows(dataset, key):
                writer.append(rows.with_columns(pl.lit(symbol).alias(SYMBOL)), Notes())
            told = Notes(pieces=pieces, answers={symbol: answers} if answers else {})
            writer.append(pl.DataFrame(), told)


@contextmanager
def harvest(shelf: Shelf, family: StreamKey, store: Store, most_rows: int) -> Generator[SealedSegments]:
    """Take what is sealed, unless another process does so at this moment: then there is nothing to take."""
    folder = str(shelf.root / family.folder)
    with ExitStack() as stack:
        found = _opened(shelf, family, store, stack)
        if shelf.find(family):
            found.taken = not _locked(stack, shelf.root / family.folder, 0)
            with writing(folder):
                if not found.taken:
                    found.take(stack, most_rows)
        yield found


@contextmanager
def look(shelf: Shelf, store: Store, dataset: Dataset) -> Generator[SealedSegments]:
    """Read what there is of a dataset while nobody folds it: who does so is waited for."""
    family, symbol = StreamKey.of(dataset), str(dataset.symbol)
    with ExitStack() as stack:
        found = _opened(shelf, family, store, stack, pl.col(SYMBOL) == symbol)
        if shelf.find(family):
            _locked(stack, shelf.root / family.folder, _PATIENCE_S)
            with writing(str(shelf.root / family.folder)):
                found.look(symbol)
        yield found


def _opened(
    shelf: Shelf, family: StreamKey, store: Store, stack: ExitStack, wanted: pl.Expr | None = None
) -> SealedSegments:
    with writing(str(shelf.root / family.folder)):
        file = stack.enter_context(store.scratch())
    return SealedSegments(shelf, family, SortedRuns(family, file, wanted))


def _locked(stack: ExitStack, folder: Path, patience_s: float) -> bool:
    """Lock the family's segments against other harvests; False when one is under way.

    Raises:
        LakeError: it took longer than anybody waits.
    """
    with writing(str(folder)):
        try:
            stack.enter_context(FileLock(folder / _LOCK, timeout=patience_s, thread_local=False))
        except Timeout:
            if patience_s:
                raise
            return False
    return True
