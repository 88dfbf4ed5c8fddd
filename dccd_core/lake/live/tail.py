"""What the tail of datasets tells without its rows: what is claimed, and how much there is to fold."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live import coverage
from dccd_core.lake.live.coverage import Notes, SegmentCoverage
from dccd_core.lake.live.shelf import Shelf
from dccd_core.lake.partition.ledger import Answer, Asked, Ledger, Source
from dccd_core.lake.partition.parquet import State


@dataclass(slots=True)
class TailPart:
    """What ticks appended of one partition: ``rows`` in so many answers, the first of them ``since``.

    ``until``: up to where the newest of them reaches.
    """

    dataset: Dataset
    key: str
    since: Us
    until: Us
    rows: int = 0


@dataclass(slots=True)
class _Read:
    """What was read of a segment so far: ``size`` bytes of ``whole`` ones; ``sealed``: that was all."""

    told: SegmentCoverage
    whole: int
    sealed: bool


class Tail:
    """The tail of the datasets that differ in nothing but the symbol. Made by ``Lake.tail``.

    A segment is read once, one that is still written to again from where it was.
    """

    def __init__(self, shelf: Shelf, family: StreamKey) -> None:
        self._shelf = shelf
        self._family = family
        self._known = dict[Path, _Read]()
        self._lock = Lock()

    def append(self, rows: pl.DataFrame, answers: Mapping[str, Sequence[Answer]], at: Us) -> int:
        """Add what was fetched, and what was asked to get it: all of it is durable, or nothing.

        What it costs is what the rows take, whatever their partitions hold.

        Args:
            rows: columns of the data type's table and ``symbol``; in order for each symbol.
            answers: by symbol, one for each partition; all rows are of the time of one.
            at: this moment.

        Returns:
            How many bytes were written.

        Raises:
            LakeError: nothing was added.
        """
        with self._shelf.writer(self._family, at) as writer:
            writer.append(rows, Notes(answers=answers))
        return writer.bytes

    def read(self) -> "TailView":
        """Read what is new, and return all that is there now."""
        with self._lock:
            known = {path: self._segment(path) for path, _ in self._shelf.find(self._family)}
            self._known = {path: read for path, read in known.items() if read}
            return TailView(self._family, [read.told for read in self._known.values()])

    def _segment(self, path: Path) -> _Read | None:
        before = self._known.get(path)
        if before and before.sealed:
            return before
        with self._shelf.opened(path, self._family) as segment:
            if segment is None:
                return None
            read = deepcopy(before) or _Read(SegmentCoverage(), 0, sealed=False)  # others may look at it
            for batch in segment.batches(read.whole):
                read.told.add(batch.notes)
            read.whole, read.sealed = segment.whole, not segment.info.living
            return read


class TailView:
    """The tail as it was at one moment."""

    def __init__(self, family: StreamKey, told: Sequence[SegmentCoverage]) -> None:
        self._family = family
        self._answers = defaultdict[str, list[Answer]](list)
        for one in told:
            for symbol in one.asked:
                self._answers[symbol] += one.answers(symbol)
        self._streams = [one for one in told if one.recorded]

    def keys(self, dataset: Dataset) -> list[str]:
        """Return of which partitions something is told, in order."""
        symbol, grain = str(dataset.symbol), dataset.grain
        spans = [span for answer in self._answers.get(symbol, ()) for span in answer.spans]
        spans += coverage.covered(self._streams, symbol)
        return sorted({partition_key(grain, at) for span in spans for at in (span.start, Us(span.end - 1))})

    def tells(self, dataset: Dataset, key: str) -> bool:
        """Return whether anything is told of a partition, known to its file or not."""
        return self.ledger(dataset, key, None) is not None

    def parts(self) -> Iterator[TailPart]:
        """Yield what ticks appended, partition by partition."""
        for symbol, answers in self._answers.items():
            dataset, parts = self._family.dataset(symbol), dict[str, TailPart]()
            for asked in (asked for answer in answers for asked in answer.asked):
                key = partition_key(dataset.grain, asked.span.start)
                part = parts.setdefault(key, TailPart(dataset, key, asked.at, asked.span.end))
                part.rows += asked.rows
                part.until = max(part.until, asked.span.end)
            yield from parts.values()

    def ledger(self, dataset: Dataset, key: str, stored: Ledger | None) -> Ledger | None:
        """Return what is known of a partition: by its file, by streams and by ticks; None when nothing is."""
        symbol, partition = str(dataset.symbol), partition_span(dataset.grain, key)
        ledger = stored or Ledger()
        if self._streams:
            ledger = self._recorded(symbol, partition, ledger)
        ledger = ledger.learn_all(self._of(symbol, partition))
        return ledger if stored or ledger != Ledger() else None

    def unfolded(self, dataset: Dataset, key: str, stored: Ledger | None) -> int:
        """Return how many rows ticks appended that are not in the file."""
        partition, known = partition_span(dataset.grain, key), stored or Ledger()
        asked = (asked for answer in self._of(str(dataset.symbol), partition) for asked in answer.asked)
        return sum(one.rows for one in asked if not known.knows(one))

    def united(self, dataset: Dataset, key: str, state: State | None, path: str) -> State | None:
        """Return what file and tail say of a partition together; None when neither says anything."""
        stored = state.ledger if state else None
        ledger = self.ledger(dataset, key, stored)
        if ledger is None:
            return None
        whole = state or State(path, 0, None, None, 0, "", ledger)
        return replace(whole, ledger=ledger, unfolded=self.unfolded(dataset, key, stored))

    def _of(self, symbol: str, partition: TimeRange) -> Iterator[Answer]:
        for answer in self._answers.get(symbol, ()):
            if partition.start <= answer.asked[0].span.start < partition.end:
                yield answer

    def _recorded(self, symbol: str, partition: TimeRange, ledger: Ledger) -> Ledger:
        gone = [piece.span for piece in coverage.withdrawn(self._streams, symbol)]
        ledger = ledger.withdraw(gone)
        for span in coverage.covered(self._streams, symbol):
            asked = (part := span.clip(partition)) and Asked(part, Source.STREAM, Us(0), 0, 0)
            ledger = ledger.add(asked) if asked and not ledger.knows(asked) else ledger
        lost = coverage.lost(self._streams, symbol)
        return ledger.lose((part, why) for span, why in lost if (part := span.clip(partition)))
