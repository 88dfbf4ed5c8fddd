"""The segments that one connection writes to, one per kind of data, and what could not be written yet."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_key
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Mark, Notes
from dccd_core.lake.live.segments import SegmentWriter
from dccd_core.net.clock import Clock
from dccd_core.stream.api import Listener
from dccd_core.stream.intake import Batch, MisplacedRows
from dccd_core.stream.wanted import Kind

_IDLE: Final = Us(5 * SECOND)
"""How often it is written down that nothing came."""
_ROTATE: Final = HOUR
_ROTATE_BYTES: Final = 256 * 2**20
_DISK_PATIENCE: Final = Us(2 * MINUTE)
_MOST_WAITING: Final = 5_000_000


@dataclass(slots=True)
class _Log:
    """The segment that a kind of data goes to, and what is not written yet."""

    writer: SegmentWriter | None = None
    bare: bool = True
    """Whether its segment does not yet say what is standing."""
    begun: Us = ZERO
    noted: Us = ZERO
    standing: list[Mark] = field(default_factory=list[Mark])
    waiting: list[Batch] = field(default_factory=list[Batch])

    @property
    def rows(self) -> int:
        """How many rows are not written yet."""
        return sum(batch.rows.height for batch in list(self.waiting))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Logs:
    """Takes what is to be written from the event loop, and writes it in a thread.

    Args:
        lake: where to.
        exchange: whose data it is.
        clock: says when.
        listener: is told when nothing can be written, and when it can again.
    """

    def __init__(self, lake: LakeStore, exchange: str, clock: Clock, listener: Listener) -> None:
        self._lake, self._exchange = lake, exchange
        self._clock, self._listener = clock, listener
        self._logs: defaultdict[Kind, _Log] = defaultdict(_Log)
        self._inherited: list[tuple[Kind, _Log]] = []
        self._writing = threading.Lock()
        self._failing: Us | None = None

    @property
    def unwritten(self) -> int:
        """How many rows there are that could not be written so far."""
        return sum(log.rows for _, log in self._all())

    @property
    def full(self) -> bool:
        """Whether a segment is old or long enough to be closed."""
        return any(self._is_full(log) for log in self._logs.values())

    def put(self, batches: Iterable[tuple[Kind, Batch]]) -> None:
        """Take what came; that nothing came is written down now and then."""
        now = self._clock.steady()
        for kind, batch in batches:
            log = self._logs[kind]
            if batch.news or now - log.noted >= _IDLE:
                log.waiting.append(batch)
                log.noted = now

    def keep(self, kind: Kind, rows: pl.DataFrame, notes: Notes) -> None:
        """Take rows that were asked for, and what they prove."""
        log = self._logs[kind]
        standing = log.waiting[-1].standing if log.waiting else log.standing
        log.waiting.append(Batch(rows, notes, standing))

    def inherit(self, ended: "Logs") -> None:
        """Take over what a connection that is over could not write."""
        left = [(kind, log) for kind, log in ended._all() if log.waiting]
        self._inherited += left
        if left and ended._failing is not None:
            since = ended._failing if self._failing is None else min(self._failing, ended._failing)
            self._failing = since

    def write(self) -> None:
        """Write all there is, in a thread: one whose task was cancelled may still be at it.

        Raises:
            LakeError: it cannot be written; it is kept.
        """
        with self._writing:
            now = self._clock.steady()
            while self._inherited:
                self._write(*self._inherited[0], now)
                self._inherited.pop(0)[1].close()
            for kind, log in list(self._logs.items()):
                self._write(kind, log, now)

    def set_aside(self, misplaced: Sequence[MisplacedRows], at: Us) -> list[tuple[Dataset, int, Us]]:
        """Keep rows aside that tell a time which had not come, with those of ``at``.

        Return of which dataset how many there are, and the time of the first.
        """
        for own in misplaced:
            self._lake.set_aside(own.dataset, partition_key(own.dataset.grain, at), own.rows)
        return [(own.dataset, own.rows.height, Us(int(own.rows["ts"].to_physical()[0]))) for own in misplaced]

    def bear(self, error: LakeError) -> None:
        """Keep what cannot be written in memory: a disk may get room again. But not for ever.

        Raises:
            LakeError: it has been too long, or is too much.
        """
        now = self._clock.steady()
        if self._failing is None:
            self._failing = now
            self._listener.note(f"{error}; what comes is kept in memory", wrong=True)
        if now - self._failing > _DISK_PATIENCE or self.unwritten > _MOST_WAITING:
            raise error

    def recover(self) -> bool:
        """Say so if what could not be written was written at last."""
        if self._failing is None:
            return False
        self._failing = None
        self._listener.note(f"{self._exchange}: what came can be written again", wrong=False)
        return True

    def rotate(self) -> None:
        """Close the segments there are, so that they may be folded; what comes goes into new ones."""
        for log in self._logs.values():
            log.close()

    def close(self) -> None:
        """Let go of all segments."""
        for _, log in self._all():
            log.close()

    def _write(self, kind: Kind, log: _Log, now: Us) -> None:
        while log.waiting:
            batch = log.waiting[0]
            if log.writer is None:
                log.writer = self._lake.segment(self._exchange, *kind, self._clock.now())
                log.begun, log.bare = now, True
            marks = [*log.standing, *batch.notes.marks] if log.bare else batch.notes.marks
            log.writer.append(batch.rows, replace(batch.notes, marks=marks))
            log.standing, log.bare = batch.standing, False
            log.waiting.pop(0)

    def _is_full(self, log: _Log) -> bool:
        old = self._clock.steady() - log.begun > _ROTATE
        return log.writer is not None and (old or log.writer.bytes > _ROTATE_BYTES)

    def _all(self) -> list[tuple[Kind, _Log]]:
        return [*self._inherited, *self._logs.items()]
