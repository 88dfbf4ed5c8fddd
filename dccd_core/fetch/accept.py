"""What was refused and comes no better is taken as it is: its absence, for a reason, in the ledger."""

from dataclasses import dataclass

import polars as pl

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import UNKNOWN, Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.fetch.venue import Venue
from dccd_core.fetch.work import Work
from dccd_core.lake.lake import CompletenessCheck, LakeStore, State
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.quality.holes import BookCheck


@dataclass(frozen=True, slots=True)
class _Accepting:
    judge: CompletenessCheck
    spans: list[TimeRange]
    why: str

    def see(self, rows: pl.DataFrame) -> None:
        self.judge.see(rows)

    def assess(self, ledger: Ledger) -> Ledger:
        return self.judge.assess(ledger).accept(self.spans, self.why)


def accept(venue: Venue, lake: LakeStore, dataset: Dataset, key: str, why: str) -> State:
    """Accept the absence of the rows of a partition that are in quarantine, and say why in its ledger.

    They stay beside the partition. Nothing is asked of the venue. Rows whose time nobody could read, and
    those of which nobody can say what is missing instead, count as before.

    Raises:
        LakeError: there is no file yet whose ledger could say so.
    """
    state = lake.state(dataset, key)
    if state is None:
        raise LakeError(f"{dataset} {key}: it has no file yet", hint=f"dccd backfill fills {dataset} first")
    times = lake.quarantined(dataset, key)["ts"].to_physical().drop_nulls().unique()
    # ids that are missing between two are one gap, accepted as a whole or not at all
    whole = [hole.span for hole in state.ledger.gaps() if hole.refused >= hole.missing]
    spans = [next((one for one in whole if one.start <= at < one.end), _of(dataset, Us(at))) for at in times]
    with lake.draft(dataset, key) as draft:
        work = Work(venue, lake, dataset, key, draft, venue.clock.now(), _unheeded, UNKNOWN)

        def judge() -> CompletenessCheck:
            own = BookCheck() if dataset.data_type.table.pictures else work.judge()
            return _Accepting(work.auditor.beside(own), spans, why)

        return draft.commit([], judge)


def _of(dataset: Dataset, at: Us) -> TimeRange:
    """Return the time of a refused row: its bars, those before and after it where it stands between two."""
    if dataset.span is None:
        return TimeRange(at, Us(at + 1))
    bar = dataset.span
    return TimeRange(bar_open(at, bar), Us(bar_open(Us(at + bar - 1), bar) + bar))


def _unheeded(_: Dataset, __: str, ___: int, ____: Us) -> None: ...
