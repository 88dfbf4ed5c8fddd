"""A lake whose recorder can be killed: what a process that is gone has not written, nobody writes."""

from pathlib import Path

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import StreamKey
from dccd_core.lake.live.coverage import Notes
from dccd_core.lake.live.segments import SegmentWriter
from dccd_core.tables import DataType


class MortalLake(LakeStore):
    """A lake that can be killed: from then on nothing is written through it, and nothing closed in order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._writers = list[_Writer]()
        self._dead = False

    def segment(self, exchange: str, data_type: DataType, span: Us | None, at: Us) -> SegmentWriter:
        if self._dead:
            return _Nowhere()
        self._writers.append(_Writer(self._live, StreamKey(exchange, data_type, span), at))
        return self._writers[-1]

    def quarantine(self, dataset: Dataset, key: str, rows: pl.DataFrame) -> int:
        return 0 if self._dead else super().quarantine(dataset, key, rows)

    def set_aside(self, dataset: Dataset, key: str, rows: pl.DataFrame) -> None:
        if not self._dead:
            super().set_aside(dataset, key, rows)

    def kill(self) -> list[Path]:
        """Let go of all segments as they are; return those that were being written."""
        self._dead = True
        return [Path(writer.path) for writer in self._writers if writer.kill()]


class _Writer(SegmentWriter):
    _dead = False

    def append(self, rows: pl.DataFrame, notes: Notes) -> None:
        if not self._dead:
            super().append(rows, notes)

    def kill(self) -> bool:
        living, self._dead = not self._file.closed, True
        self._file.close()
        return living


class _Nowhere(SegmentWriter):
    def __init__(self) -> None:
        self.path, self.bytes, self.rows = "", 0, 0

    def append(self, rows: pl.DataFrame, notes: Notes) -> None: ...

    def close(self) -> None: ...
