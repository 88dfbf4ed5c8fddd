"""Hold a partition against its ledger: read every row again, say what is not so and what to ask again.

Belongs here: what is wrong, and of which time. Does not: mending it (``Lake.mend``), asking again (fill.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from dccd_core.adapter.contract import Endpoint
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us, union
from dccd_core.exchanges import NAMES, get
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.work import quiet_of
from dccd_core.lake.lake import CompletenessCheck, LakeStore
from dccd_core.lake.layout import data_path, owner
from dccd_core.lake.partition.digest import Digest
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.lake.partition.parquet import Summary
from dccd_core.lake.partition.wreck import Lost, Wreck
from dccd_core.quality.audit import Audit
from dccd_core.quality.holes import BarCheck, Evidence, IdCheck, NoCheck


class Harm(StrEnum):
    """What is wrong with a partition.

    UNREADABLE: its file, or a part of it, cannot be read. MISSING: rows that were stored are not there any
    more. CHANGED: its rows are not those that were written, and nobody can say which. WRONG: rows cannot be
    true, are not in order, or are those of another partition.
    """

    UNREADABLE = "unreadable"
    MISSING = "missing"
    CHANGED = "changed"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Harmed:
    """Something that is wrong with a partition. ``spans``: the time to be asked for again.

    ``rows``: how many are missing, None where nobody can say.
    """

    dataset: Dataset
    key: str
    harm: Harm
    spans: tuple[TimeRange, ...]
    rows: int | None
    said: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A partition that was read again. ``harmed``: empty when it is what its ledger says."""

    dataset: Dataset
    key: str
    rows: int
    bytes: int
    harmed: tuple[Harmed, ...]


def verify(lake: LakeStore, dataset: Dataset, key: str) -> Verified | None:
    """Read every row of a partition again; None when it has no file.

    What cannot be read for whatever reason, a broken disk or a permission, is unreadable, and no error.
    """
    try:
        with lake.store.open(data_path(dataset, key)) as stored:
            if stored is None:
                return None
            wreck = Wreck(stored.file, dataset.data_type, lake.path(dataset, key))
            if wreck.owner not in ("", owner(dataset, key)):
                return _refused(dataset, key, Harm.WRONG, f"it holds {wreck.owner}")
            return _Reading(lake, dataset, key, wreck).result()
    except LakeError as e:
        return _refused(dataset, key, Harm.UNREADABLE, str(e))


def _refused(dataset: Dataset, key: str, harm: Harm, said: str) -> Verified:
    """Return a partition of which no row can be used."""
    whole = partition_span(dataset.grain, key)
    return Verified(dataset, key, 0, 0, (Harmed(dataset, key, harm, (whole,), None, said),))


class _Reading:
    """One partition, read once."""

    def __init__(self, lake: LakeStore, dataset: Dataset, key: str, wreck: Wreck) -> None:
        self._dataset, self._key, self._wreck = dataset, key, wreck
        self._whole = partition_span(dataset.grain, key)
        endpoint = _endpoint(dataset)
        self._audit = Audit(dataset, carried_open=endpoint is not None and endpoint.carries_open)
        self._judge = _judge(lake, dataset, key, endpoint)
        self._digest = Digest(dataset.data_type.table)
        self._lost: list[Lost] = []
        self._first: Us | None = None
        self._last: Us | None = None

    def result(self) -> Verified:
        for piece in self._wreck.pieces():
            if isinstance(piece, Lost):
                self._lost.append(piece)
            elif piece.height:
                self._see(piece)
        harmed = [*self._lost_groups(), *self._wrong()]
        if not harmed or all(one.harm is Harm.UNREADABLE for one in harmed):
            harmed += self._by_ledger(union(span for one in harmed for span in one.spans))
        return Verified(self._dataset, self._key, self._audit.rows, self._wreck.bytes, tuple(harmed))

    def _see(self, rows: pl.DataFrame) -> None:
        self._audit.see(rows)
        self._judge.see(rows)
        self._digest.add(rows)
        first, last = Us(int(rows["ts"].cast(pl.Int64)[0])), Us(int(rows["ts"].cast(pl.Int64)[-1]))
        self._first = first if self._first is None else min(self._first, first)
        self._last = last if self._last is None else max(self._last, last)

    def _lost_groups(self) -> list[Harmed]:
        spans = [self._to_whole_bars(one.span) if one.span else self._whole for one in self._lost]
        lost = zip(spans, self._lost, strict=True)
        return [self._harm(Harm.UNREADABLE, [span], None, one.why) for span, one in lost]

    def _to_whole_bars(self, span: TimeRange) -> TimeRange:
        bar = self._dataset.span
        return TimeRange(span.start, Us(bar_open(Us(span.end - 1), bar) + bar)) if bar else span

    def _wrong(self) -> list[Harmed]:
        said = [text for texts in self._audit.findings.values() for text in texts]
        if self._wreck.ledger is None or self._wreck.summary is None:
            said.append("its footer does not say what was written")
        return [self._harm(Harm.WRONG, [self._whole], None, text) for text in said[:1]]

    def _by_ledger(self, known: Sequence[TimeRange]) -> list[Harmed]:
        """Hold what was read against what the footer says; ``known``: what is lost anyway."""
        summary, ledger = self._wreck.summary, self._wreck.ledger
        if summary is None or ledger is None or self._digest.hexdigest() == summary.content_hash:
            return []
        missing = self._missing(ledger, summary, known)
        rows = sum(count for _, count in missing)
        if known:  # what is lost is asked for again; what else is absent cannot be told by numbers
            return self._said_missing(missing)
        if missing and self._audit.rows + rows == summary.rows:
            return self._said_missing(missing)
        count = f"{self._audit.rows:,} rows where {summary.rows:,} were written"
        same = "the rows are not those that were written"
        said = same if self._audit.rows == summary.rows else count
        return [self._harm(Harm.CHANGED, [self._whole], None, said)]

    def _missing(
        self, ledger: Ledger, summary: Summary, known: Sequence[TimeRange]
    ) -> list[tuple[tuple[TimeRange, ...], int]]:
        """Return the runs of absent rows that no hole of the ledger tells of, each with its number.

        A run has several spans where it may be in any of them.
        """
        explained = union([*(hole.span for hole in ledger.holes), *known])
        found = [
            ((part,), _share(hole.missing, part, hole.span))
            for hole in self._judge.assess(ledger).holes
            for part in hole.span.minus(explained)
        ]
        absent = summary.rows - self._audit.rows - sum(rows for _, rows in found)
        return (
            [*found, *self._ends(summary, absent)]
            if absent > 0 and isinstance(self._judge, IdCheck)
            else found
        )

    def _ends(self, summary: Summary, absent: int) -> list[tuple[tuple[TimeRange, ...], int]]:
        """Return where rows are absent before the first one and after the last: no other id tells of them."""
        if self._first is None or self._last is None or summary.last is None:
            return [((self._whole,), absent)]
        ends = [(summary.starts[0], Us(self._first + 1)), (self._last, Us(summary.last + 1))]
        far = [TimeRange(start, end) for start, end in ends if start + 1 < end]
        of_one_moment = [TimeRange(start, end) for start, end in ends]  # then it may have been at either end
        return [(tuple(far or of_one_moment), absent)]

    def _said_missing(self, missing: Sequence[tuple[tuple[TimeRange, ...], int]]) -> list[Harmed]:
        return [
            self._harm(Harm.MISSING, spans, rows, f"{rows:,} rows are missing that were stored")
            for spans, rows in missing
        ]

    def _harm(self, harm: Harm, spans: Sequence[TimeRange], rows: int | None, said: str) -> Harmed:
        return Harmed(self._dataset, self._key, harm, tuple(spans), rows, said)


def _share(missing: int, part: TimeRange, whole: TimeRange) -> int:
    """Return how many of the rows missing in ``whole`` are missing in ``part``; of bars that is known."""
    return missing if part == whole else missing * part.length // whole.length


def _endpoint(dataset: Dataset) -> Endpoint | None:
    """Return who serves it; None where nobody does, or the folder is of an exchange that nobody knows."""
    if dataset.exchange not in NAMES:
        return None
    return get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)


def _judge(lake: LakeStore, dataset: Dataset, key: str, endpoint: Endpoint | None) -> CompletenessCheck:
    refused = lake.quarantined(dataset, key)
    if dataset.span:
        return BarCheck(dataset.span, Evidence(Us(0), refused=refused, quiet=quiet_of(endpoint)))
    if endpoint is None:
        return NoCheck()
    return style_of(endpoint).proof(endpoint, Evidence(Us(0), refused=refused), ())
