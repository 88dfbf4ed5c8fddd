"""The tail made one with the partitions: what was recorded beside them goes in, with what it claims."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event

import polars as pl

from dccd_core.domain.dataset import UNKNOWN, Dataset
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.work import Haltable, Halted, Work
from dccd_core.lake.lake import CompletenessCheck, LakeStore
from dccd_core.lake.live.harvest import SealedSegments
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.quality.holes import BookCheck
from dccd_core.tables import DataType


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a stream brought of one partition.

    ``rows``: of the table, ascending in time, in portions. ``covered``: the spans in which nothing
    is missing. ``lost``: those in which something may be, each with the reason. ``withdrawn``: those of
    which that was learnt later, each with the reason, so that earlier claims are to go, and of order books
    the pictures, too. ``halt``: once it is set, folding stops at the next portion, and nothing is stored.
    """

    rows: Iterable[pl.DataFrame]
    covered: Sequence[TimeRange]
    lost: Sequence[tuple[TimeRange, str]] = ()
    withdrawn: Sequence[tuple[TimeRange, str]] = ()
    halt: Event = field(default_factory=Event)


@dataclass(slots=True)
class Folded:
    """What one harvest came to. ``more``: there is more to take, and it makes sense to go on."""

    notes: list[str] = field(default_factory=list[str])
    parts: list[tuple[Dataset, str, Filled]] = field(default_factory=list[tuple[Dataset, str, Filled]])
    more: bool = False


@dataclass(frozen=True, slots=True)
class _WithLosses:
    """A judge that knows what a stream lost, and why."""

    judge: CompletenessCheck
    recorded: Recorded

    def see(self, rows: pl.DataFrame) -> None:
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        gone = [span for span, _ in self.recorded.withdrawn]
        ledger = ledger.withdraw(gone).lose(self.recorded.lost)
        return self.judge.assess(ledger.lose(ledger.unrecorded()))


def fold(venue: Venue, lake: LakeStore, dataset: Dataset, key: str, recorded: Recorded) -> Filled:
    """Put what a stream recorded into its partition, and into the ledger what it covers.

    The venue is asked for nothing; what is missing is asked for by ``fill``.

    Raises:
        Halted: it was told to stop.
    """
    now, kept = venue.clock.now(), 0
    pictures = dataset.data_type.table.pictures
    with lake.draft(dataset, key) as draft:
        if pictures:  # other rows that came are right, though some did not come
            draft.take_back(recorded.withdrawn)
        work = Work(venue, lake, dataset, key, draft, now, _unheeded, UNKNOWN)
        counts = dict.fromkeys(recorded.covered, 0)
        for portion in recorded.rows:
            kept += work.keep(portion)
            times = portion["ts"].cast(pl.Int64)
            for span in counts:
                counts[span] += int(times.is_between(span.start, span.end, closed="left").sum())
        asked = [Asked(span, Source.STREAM, now, 0, count) for span, count in counts.items()]

        def judge() -> CompletenessCheck:
            return Haltable(_WithLosses(BookCheck() if pictures else work.judge(), recorded), recorded.halt)

        return Filled(draft.commit(asked, judge), 0, kept, draft.taken_back)


def fold_sealed(venue: Venue, lake: LakeStore, data_type: DataType, span: Us | None, halt: Event) -> Folded:
    """Fold sealed segments of one data type, as many as fit into memory at once.

    A part that cannot be folded stays in a segment, with its rows, and its error is told. Once ``halt`` is
    set what is under way ends soon, undone; folding again does the rest.
    """
    folded = Folded()
    with lake.harvest(venue.exchange.name, data_type, span) as harvest:
        for path, dropped in harvest.torn:
            folded.notes.append(f"{path}: its last {dropped} bytes are torn off, and dropped")
        for dataset, key in harvest.parts:
            if harvest.tells_only_losses(dataset, key) and lake.state(dataset, key) is None:
                continue  # there is no partition whose reader would ask why
            recorded = _recorded(harvest, dataset, key, halt)
            try:
                filled = fold(venue, lake, dataset, key, recorded)
            except Halted:
                return folded
            except DccdError as e:
                harvest.keep(dataset, key)
                folded.notes.append(f"{dataset} {key}: cannot be folded, its rows are kept: {e}")
            else:
                folded.parts.append((dataset, key, filled))
                if filled.taken_back:
                    folded.notes.append(_taken_back(dataset, key, filled.taken_back, recorded.withdrawn))
        harvest.done()
        folded.more = harvest.more
    return folded


def _recorded(harvest: SealedSegments, dataset: Dataset, key: str, halt: Event) -> Recorded:
    rows, covered = harvest.rows(dataset, key), harvest.covered(dataset, key)
    return Recorded(rows, covered, harvest.lost(dataset, key), harvest.withdrawn(dataset, key), halt)


def _taken_back(dataset: Dataset, key: str, rows: int, gone: Sequence[tuple[TimeRange, str]]) -> str:
    reasons = "; ".join(dict.fromkeys(reason for _, reason in gone))
    return f"{dataset} {key}: {rows} rows are taken out of the partition and kept beside it: {reasons}"


def _unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...
