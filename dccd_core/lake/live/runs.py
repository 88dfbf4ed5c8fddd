"""Rows of live segments, told apart by symbol and partition and brought into the order of time on disk."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import BinaryIO, Final

import polars as pl
import pyarrow as pa

from dccd_core.domain.dataset import Dataset, Grain, partition_key
from dccd_core.domain.timespan import Us
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live.segments import SYMBOL, frame
from dccd_core.lake.partition.ledger import Answer
from dccd_core.lake.partition.merge import Feed, Piece, first_ts, merged
from dccd_core.lake.partition.parquet import GROUP
from dccd_core.lake.partition.spool import Pile

_HELD: Final = 4 * GROUP
_PIECE: Final = "_piece"
_NOBODY: Final[Mapping[str, Sequence[Answer]]] = {}
_CALENDAR: Final = {Grain.YEAR: "1y", Grain.MONTH: "1mo", Grain.DAY: "1d"}


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows of one part and one segment in the order of time, the ``number``-th on the pile."""

    number: int
    segment: int
    start: Us


class SortedRuns:
    """Takes the batches of segments, one segment after another, and gives each part's rows in order.

    Args:
        family: what the segments are of.
        file: takes the rows; few are held in memory.
        wanted: which rows to take; None takes all.
    """

    def __init__(self, family: StreamKey, file: BinaryIO, wanted: pl.Expr | None = None) -> None:
        self._family = family
        self._pile = Pile(file)
        self._wanted = wanted
        self._held: list[pa.RecordBatch] = []
        self._rows_held = 0
        self._segment = 0
        self._parts = defaultdict[tuple[str, str], list[_Run]](list)
        self._asked = dict[str, Us]()
        """Up to where each symbol was asked for in the segments that are taken for one."""
        self._alone = False
        """Whether the segment has rows that nobody asked for."""
        self._rows = 0

    @property
    def rows_taken(self) -> int:
        return self._rows + self._rows_held

    def add(self, rows: pa.RecordBatch, answers: Mapping[str, Sequence[Answer]] = _NOBODY) -> None:
        """Take a batch, and what was asked to get its rows.

        Segments of which each goes on where those before it ended are one source: there are hundreds a day.
        """
        if self._asked and not self._follow(answers):
            self._close()
        self._alone |= bool(rows.num_rows) and not answers
        for symbol, told in answers.items():
            ends = (span.end for answer in told for span in answer.spans)
            self._asked[symbol] = max(self._asked.get(symbol, Us(0)), *ends)
        self._held.append(rows)
        self._rows_held += rows.num_rows
        if self._rows_held >= _HELD:
            self._spill()

    def end_segment(self) -> None:
        if self._alone or not self._asked:
            self._close()

    def parts(self) -> list[tuple[Dataset, str]]:
        """Return the partitions that have rows."""
        self._spill()
        return [(self._family.dataset(symbol), key) for symbol, key in self._parts]

    def feeds(self, dataset: Dataset, key: str) -> list[Feed]:
        """Return a part's rows, each segment's by itself: what one holds twice, without ids, is two rows."""
        self._spill()
        runs = self._parts.get((str(dataset.symbol), key), ())
        segments = groupby(sorted(runs, key=attrgetter("segment", "start")), key=attrgetter("segment"))
        return [Feed([self._piece(run) for run in each]) for _, each in segments]

    def rows(self, dataset: Dataset, key: str) -> Iterator[pl.DataFrame]:
        """Yield a part's rows in order; one that several segments hold is there once."""
        return merged(self._family.data_type, None, self.feeds(dataset, key))

    def _piece(self, run: _Run) -> Piece:
        return Piece(run.start, run.number, partial(self._pile.get, run.number))

    def _follow(self, answers: Mapping[str, Sequence[Answer]]) -> bool:
        for symbol, told in answers.items():
            known = self._asked.get(symbol, Us(0))
            if any(span.start < known for answer in told for span in answer.spans):
                return False
        return bool(answers)

    def _close(self) -> None:
        self._spill()
        self._segment, self._asked, self._alone = self._segment + 1, {}, False

    def _spill(self) -> None:
        if not self._held:
            return
        rows = frame(self._family.data_type, self._held)
        self._held, self._rows_held = [], 0
        rows = rows if self._wanted is None else rows.filter(self._wanted)
        self._rows += rows.height
        if rows.is_empty():
            return
        grain = self._family.dataset(rows[SYMBOL][0]).grain
        by = [SYMBOL, _PIECE]
        rows = rows.with_columns(pl.col("ts").dt.truncate(_CALENDAR[grain]).alias(_PIECE))
        for part in rows.sort("ts", maintain_order=True).partition_by(by, maintain_order=True):
            key = str(part[SYMBOL][0]), partition_key(grain, first_ts(part))
            for piece in part.drop(by).iter_slices(GROUP):
                self._parts[key].append(_Run(self._pile.put(piece), self._segment, first_ts(piece)))
