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
from dccd_core.lake.live.segments import SYMBOL, Segment, SegmentWriter, find, opened, sync_folder
from dccd_core.lake.store.folder import Store, writing

MOST_ROWS: Final = 5_000_000
_MOST_SEGMENTS: Final = 256
"""Each is an open file."""
_LOCK: Final = ".harvest.lock"


class SealedSegments:
    """What to fold now. Nothing is removed before ``done``: what happens until then may happen again.

    ``torn``: what was dropped at the end of segments, with the number of bytes. ``more``: there are sealed
    segments that this harvest did not take; once it is done, also whether it makes sense to go on with
    them: not when everything had to be kept.

    It may be opened, used and closed in different threads.
    """

    def __init__(self, root: Path, family: StreamKey, runs: SortedRuns) -> None:
        self._root = root
        self._family = family
        self._runs = runs
        self._coverages: list[SegmentCoverage] = []
        self._taken: list[Path] = []
        self._kept = dict[tuple[Dataset, str], None]()
        self._after = Us(0)
        self.torn: list[tuple[str, int]] = []
        self.more = False
        self.parts: list[tuple[Dataset, str]] = []

    def take(self, stack: ExitStack, most_rows: int) -> None:
        """Take sealed segments, those first that were begun first, until there are ``most_rows``.

        They stay open until ``stack`` closes them: that keeps new writers from what may be removed.
        """
        for path, family in find(self._root, self._family):
            self._after = Us((segment_start(path.name) or 0) + 1)
            with ExitStack() as one:
                segment = one.enter_context(opened(path, family))
                if segment is None or segment.info.living:
                    continue
                if self._runs.rows_taken >= most_rows or len(self._taken) == _MOST_SEGMENTS:
                    self.more = True
                    continue
                self._take(path, segment)
                stack.push(one.pop_all())
        self.parts = self._all_parts()

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

    def tells_only_losses(self, dataset: Dataset, key: str) -> bool:
        """Return whether nothing was recorded of the part, nor anything said of it but why."""
        recorded = (dataset, key) in self._runs.parts() or self.covered(dataset, key)
        return not recorded and not self.withdrawn(dataset, key)

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
        with writing(str(self._root / self._family.folder)):
            for path in self._taken:
                path.unlink(missing_ok=True)
            if self._taken:
                sync_folder(self._root / self._family.folder)
        if self.parts and len(self._kept) == len(self.parts):
            self.more = False
        self._taken.clear()
        self._kept.clear()

    def _take(self, path: Path, segment: Segment) -> None:
        told = SegmentCoverage()
        for batch in segment.batches():
            told.add(batch.notes)
            self._runs.add(batch.rows)
        self._runs.end_segment()
        self._coverages.append(told)
        self._taken.append(path)
        if segment.torn:
            self.torn.append((str(path), segment.torn))

    def _all_parts(self) -> list[tuple[Dataset, str]]:
        parts = set(self._runs.parts())
        for symbol in sorted({symbol for told in self._coverages for symbol in told.symbols}):
            dataset = self._family.dataset(symbol)
            spans = coverage.covered(self._coverages, symbol)
            spans += [piece.span for piece in coverage.withdrawn(self._coverages, symbol)]
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
        writer = SegmentWriter(self._root, self._family, self._after)
        try:
            for rows in self._runs.rows(dataset, key):
                writer.append(rows.with_columns(pl.lit(symbol).alias(SYMBOL)), Notes())
            writer.append(pl.DataFrame(), Notes(pieces=pieces))
        finally:
            writer.close()


@contextmanager
def harvest(root: Path, family: StreamKey, store: Store, most_rows: int) -> Generator[SealedSegments]:
    """Take what is sealed, unless another process does so at this moment: then there is nothing to take."""
    folder = str(root / family.folder)
    with ExitStack() as stack:
        with writing(folder):
            file = stack.enter_context(store.scratch())
        found = SealedSegments(root, family, SortedRuns(family, file))
        if find(root, family) and _locked(stack, root / family.folder):
            with writing(folder):
                found.take(stack, most_rows)
        yield found


def _locked(stack: ExitStack, folder: Path) -> bool:
    """Lock the family's segments against other harvests; False when one is under way."""
    with writing(str(folder)):
        try:
            stack.enter_context(FileLock(folder / _LOCK, timeout=0, thread_local=False))
        except Timeout:
            return False
    return True
