"""The tail made one with the partitions: what was recorded beside them goes in, with what it claims."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event

import polars as pl

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod
from dccd_core.domain.errors import DccdError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.fill import Filled, Progress, fill
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.work import Haltable, Halted, Work
from dccd_core.lake.lake import CompletenessCheck, LakeStore
from dccd_core.lake.live.harvest import SealedSegments
from dccd_core.lake.partition.ledger import Answer, Asked, Ledger, Source
from dccd_core.quality.holes import BookCheck
from dccd_core.tables import DataType


@dataclass(frozen=True, slots=True)
class Recorded:
    """What streams and ticks brought of one partition.

    ``rows``: of the table, ascending in time, in portions. ``covered``: the spans in which nothing
    is missing. ``lost``: those in which something may be, each with the reason. ``withdrawn``: those of
    which that was learnt later, each with the reason, so that earlier claims are to go, and of order books
    the pictures, too. ``answers``: what was asked of the exchange for the other rows. ``halt``: once it is
    set, folding stops at the next portion, and nothing is stored.
    """

    rows: Iterable[pl.DataFrame]
    covered: Sequence[TimeRange]
    lost: Sequence[tuple[TimeRange, str]] = ()
    withdrawn: Sequence[tuple[TimeRange, str]] = ()
    answers: Sequence[Answer] = ()
    halt: Event = field(default_factory=Event)


@dataclass(slots=True)
class Folded:
    """What one harvest came to.

    ``more``: there is more to take, and it makes sense to go on. ``taken``: another process is at it.
    """

    notes: list[str] = field(default_factory=list[str])
    parts: list[tuple[Dataset, str, Filled]] = field(default_factory=list[tuple[Dataset, str, Filled]])
    more: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True)
class _Knowing:
    """A judge that knows what streams recorded and lost, and why, and what was asked of the exchange."""

    judge: CompletenessCheck
    recorded: Recorded
    claims: Sequence[Asked]

    def see(self, rows: pl.DataFrame) -> None:
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        ledger = ledger.withdraw([span for span, _ in self.recorded.withdrawn])
        for asked in self.claims:
            ledger = ledger if ledger.knows(asked) else ledger.add(asked)
        for answer in self.recorded.answers:
            ledger = ledger.learn(replace(answer, quarantined=0))  # the judge counts them
        ledger = ledger.lose(self.recorded.lost)
        return self.judge.assess(ledger.lose(ledger.unrecorded()))


def fold(venue: Venue, lake: LakeStore, dataset: Dataset, key: str, recorded: Recorded) -> Filled:
    """Put what lies in the tail into its partition, and into the ledger what it covers.

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
        claims = [Asked(span, Source.STREAM, now, 0, count) for span, count in counts.items()]
        draft.answered = [*claims, *(asked for answer in recorded.answers for asked in answer.asked)]

        def judge() -> CompletenessCheck:
            own = BookCheck() if pictures else work.judge()
            return Haltable(work.auditor.beside(_Knowing(own, recorded, claims)), recorded.halt)

        state = draft.commit([], judge)
        return Filled(state, 0, kept, draft.taken_back, work.auditor.audit)


def fold_sealed(venue: Venue, lake: LakeStore, data_type: DataType, span: Us | None, halt: Event) -> Folded:
    """Fold sealed segments of one data type, as many as fit into memory at once.

    A part that cannot be folded stays in a segment, with its rows, and its error is told. Once ``halt`` is
    set what is under way ends soon, undone; folding again does the rest.
    """
    folded = Folded()
    with lake.harvest(venue.exchange.name, data_type, span) as harvest:
        folded.taken = harvest.taken
        for path, dropped in harvest.torn:
            folded.notes.append(f"{path}: its last {dropped} bytes are torn off, and dropped")
        for dataset, key in harvest.parts:
            if _is_nothing_new(harvest, lake, dataset, key):
                continue
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


async def fold_tail(venue: Venue, lake: LakeStore, dataset: Dataset) -> Folded:
    """Fold all that is sealed of a dataset, and of those that differ from it in nothing but the symbol.

    When this is cancelled what is under way ends soon, undone.
    """
    whole = Folded(more=True)
    while whole.more:
        halt = Event()
        try:
            some = await asyncio.to_thread(fold_sealed, venue, lake, dataset.data_type, dataset.span, halt)
        finally:
            halt.set()
        whole.notes += some.notes
        whole.parts += some.parts
        whole.more, whole.taken = some.more, some.taken
    return whole


def fold_one(venue: Venue, lake: LakeStore, dataset: Dataset, key: str) -> Filled | None:
    """Put all that the tail has of one partition by now into its file; None where that is nothing.

    It stays in the tail, too, with that of its neighbours, until all of it is folded: it is known by then.
    Who folds it at this moment is waited for.
    """
    if not lake.tail(dataset).read().tells(dataset, key):
        return None
    with lake.look(dataset) as tail:
        if (dataset, key) not in tail.parts or _is_nothing_new(tail, lake, dataset, key):
            return None
        return fold(venue, lake, dataset, key, _recorded(tail, dataset, key, Event()))


def fold_dataset(venue: Venue, lake: LakeStore, dataset: Dataset) -> list[str]:
    """Put all that the tail has of a dataset by now into its files; return of which partitions.

    As ``fold_one`` it leaves the tail as it is, and waits for who folds it at this moment.
    """
    with lake.look(dataset) as tail:
        news = [part for part in tail.parts if not _is_nothing_new(tail, lake, *part)]
        for part in news:
            fold(venue, lake, *part, _recorded(tail, *part, Event()))
    return [key for _, key in news]


async def materialise(  # noqa: PLR0913 -- as ``fill``
    venue: Venue,
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    progress: Progress,
    life: ListingPeriod = UNKNOWN,
    *,
    within: TimeRange | None = None,
) -> Filled:
    """Bring a partition's file up to date, with what its tail has and with what is due: see ``fill``."""
    folded = await asyncio.to_thread(fold_one, venue, lake, dataset, key)
    filled = await fill(venue, lake, dataset, key, progress, life, within=within)
    if folded is None:
        return filled
    back = folded.taken_back + filled.taken_back
    audit = filled.audit or folded.audit
    return Filled(filled.state, filled.requests, folded.rows + filled.rows, back, audit)


def _is_nothing_new(tail: SealedSegments, lake: LakeStore, dataset: Dataset, key: str) -> bool:
    """Return whether there is no partition whose reader would ask why, or one that has all of it already."""
    only_losses, answers = tail.tells_only_losses(dataset, key), tail.answers(dataset, key)
    if not only_losses and not (tail.asked_only and answers):
        return False
    state = lake.state(dataset, key)
    if state is None:
        return only_losses
    return not only_losses and all(state.ledger.knows(asked) for one in answers for asked in one.asked)


def _recorded(harvest: SealedSegments, dataset: Dataset, key: str, halt: Event) -> Recorded:
    rows, covered = harvest.rows(dataset, key), harvest.covered(dataset, key)
    lost, withdrawn = harvest.lost(dataset, key), harvest.withdrawn(dataset, key)
    return Recorded(rows, covered, lost, withdrawn, harvest.answers(dataset, key), halt)


def _taken_back(dataset: Dataset, key: str, rows: int, gone: Sequence[tuple[TimeRange, str]]) -> str:
    reasons = "; ".join(dict.fromkeys(reason for _, reason in gone))
    return f"{dataset} {key}: {rows} rows are taken out of the partition and kept beside it: {reasons}"


def _unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...
