"""Fresh rows of one partition on their way into the lake."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import BinaryIO, Final, Protocol

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.lake.layout import HELD, beside, data_path, owner, quarantine_path, withdrawn_path
from dccd_core.lake.partition import quarantine
from dccd_core.lake.partition.ledger import Accepted, Asked, Ledger
from dccd_core.lake.partition.merge import TWICE, Feed, merged, outside
from dccd_core.lake.partition.parquet import Reader, State, Writer, own
from dccd_core.lake.partition.spool import RowSpool
from dccd_core.lake.store.folder import Store, Stored, rewrite, writing

_MOST_ASIDE: Final = 100_000
"""Rows taken back that are kept beside one partition: some 20 MB."""
_CALLER: Final = "nothing was stored; this is a defect of dccd: please report it"


class CompletenessCheck(Protocol):
    """Sees every row of a partition as it will be stored, and says what is missing from it.

    It may read the lake but not write to it: the partition is locked meanwhile.
    """

    def see(self, rows: pl.DataFrame) -> None:
        """Take the next rows; called with all of the partition's, in order."""
        ...

    def assess(self, ledger: Ledger) -> Ledger:
        """Return ``ledger``, which knows all that was asked, with its holes filled in."""
        ...


class PartitionDraft:
    """Fresh rows of one partition on their way into the lake. Made by ``Lake.draft``."""

    def __init__(
        self, store: Store, dataset: Dataset, key: str, file: BinaryIO, first: Callable[[], object]
    ) -> None:
        self.accepted: Sequence[Accepted] = ()
        """What counts as explained in the state that ``commit`` returns."""
        self.fetch: Callable[[], object] = _unable
        """Brings the partition's file here when it is held elsewhere: fresh rows are united with it."""
        self._store = store
        self._data_type = dataset.data_type
        self._span = partition_span(dataset.grain, key)
        self._owner = owner(dataset, key)
        self._path = data_path(dataset, key)
        self._quarantine = quarantine_path(dataset, key)
        self._url = store.url(self._path)
        self._spool = RowSpool(file, dataset.data_type)
        self._last: Us | None = None
        self._committed = False
        self._first = first
        """To be done before the first write."""
        self._clashes: list[pl.DataFrame] = []
        self._aside = 0
        """How many of the clashes are in quarantine."""
        self._gone: Sequence[tuple[TimeRange, str]] = ()
        self._withdrawn_path = withdrawn_path(dataset, key)
        self._away = False
        self._withdrawn: list[pl.DataFrame] = []
        self.taken_back = 0
        """How many rows were in the spans that are taken back, stored or fresh, and are beside it now."""
        self.answered: Sequence[Asked] = ()
        """What else was asked to get the rows, where not ``commit`` but its judge is told of it."""
        self.added = 0
        """How many rows the partition has more than before, once this is committed."""
        self._yields = False
        self._fills_gaps = False

    def append(self, rows: pl.DataFrame) -> None:
        """Add rows of the data type's table, none earlier than the last one, all within the partition.

        Raises:
            LakeError: they are not; none of them is added.
        """
        if self._committed:
            raise LakeError(f"{self._url}: this draft is committed already", hint="open a new one")
        if rows.schema != self._data_type.table.schema:
            raise LakeError(f"{self._url}: rows of another table: {rows.schema}", hint=_CALLER)
        if rows.height:
            self._refuse_strangers(rows)
            with writing(self._url):
                self._spool.append(rows)
            self._last = Us(int(rows["ts"].cast(pl.Int64)[-1]))

    def take_back(self, spans: Sequence[tuple[TimeRange, str]]) -> None:
        """Let no row of these spans be in the partition, stored or fresh.

        They are kept aside, each with its span's reason; of more than anybody looks at only the first ones.
        """
        self._gone = spans

    def yield_to_stored(self, *, fill_gaps: bool) -> None:
        """Let stored rows win over these: they are nobody's answer, but taken over from elsewhere.

        In the time that somebody asked for they have no place, but for its gaps, where ``fill_gaps``.
        """
        self._yields, self._fills_gaps = True, fill_gaps

    def commit(self, asked: Sequence[Asked], judge: Callable[[], CompletenessCheck]) -> State:
        """Unite the draft with what is stored by now, durably, and return the partition's new state.

        A fresh row takes the place of the stored one with the same key. The file stays as it is when
        neither a row nor the ledger changes.

        Args:
            asked: what was asked for to get these rows.
            judge: makes the judge of the united rows; asked again when another writer gets in between.
        """
        self._first()
        with writing(self._url):
            while True:
                state = rewrite(self._store, self._path, partial(self._fill, asked, judge))
                if state is not None:
                    break
                self._make_ready()
        self._committed = True
        return replace(state, ledger=state.ledger.accepting(self.accepted))

    def _make_ready(self) -> None:
        """Do what cannot be done while the partition is locked."""
        if self._away:
            self.fetch()
        else:
            self._put_aside()

    def _put_aside(self) -> None:
        """Keep what the partition is not to hold: before it is judged, not while it is locked."""
        if (rows := self._contradictions()) is not None:
            quarantine.add(self._store, self._quarantine, rows)
            self._aside = rows.height
        if self._withdrawn:
            rows = pl.concat(self._withdrawn)
            room = max(0, _MOST_ASIDE - quarantine.count(self._store, self._withdrawn_path))
            quarantine.add(self._store, self._withdrawn_path, rows.head(room))
            self.taken_back = rows.height

    def _contradictions(self) -> pl.DataFrame | None:
        if not self._clashes:
            return None
        rows = pl.concat(self._clashes).unique(maintain_order=True)
        return rows.with_columns(pl.lit(TWICE).alias(quarantine.REASON))

    def _fill(
        self,
        asked: Sequence[Asked],
        judge: Callable[[], CompletenessCheck],
        file: BinaryIO,
        stored: Stored | None,
    ) -> tuple[State | None, bool]:
        self._away = stored is None and self._store.tail(beside(self._path, HELD), 1) is not None
        if self._away:
            return None, False
        old = Reader(stored.file, self._data_type, self._url) if stored else None
        if old:
            own(old.state, self._owner)
        ledger = reduce(Ledger.add, asked, old.state.ledger if old else Ledger())
        judging = judge()
        self._clashes.clear()
        self._withdrawn.clear()
        with Writer(file, self._data_type, self._owner) as writer:
            held, fresh = self._sources(old, asked)
            for rows in merged(self._data_type, held, fresh, self._clashes):
                kept = self._without_gone(rows) if self._gone else rows
                if kept.height:
                    writer.write(kept)
                    judging.see(kept)
            gone = sum(rows.height for rows in self._withdrawn)
            clashes = self._contradictions()
            if (clashes is not None and clashes.height > self._aside) or gone > self.taken_back:
                return None, False
            refused = quarantine.count(self._store, self._quarantine)
            ledger = judging.assess(replace(ledger, quarantined=refused))
            writer.seal(ledger)
        new = Reader(file, self._data_type, self._url).state  # what cannot be read again is never swapped in
        self.added = new.rows - (old.state.rows if old else 0)
        if old and (old.state.content_hash, old.state.ledger) == (new.content_hash, ledger):
            return old.state, False
        return new, True

    def _sources(self, old: Reader | None, asked: Sequence[Asked]) -> tuple[Feed | None, list[Feed]]:
        """Return what is stored, and what is to be united with it, the last one's rows before the others'.

        What was taken over from elsewhere makes way for what the venue answers of its time.
        """
        fresh = self._spool.feed()
        if old is None:
            return None, [fresh]
        known, held = old.state.ledger, old.feed()
        if self._yields:
            gaps = [gap.span for gap in known.gaps()] if self._fills_gaps else []
            settled = [part for span in known.covered() for part in span.minus(gaps)]
            return None, [outside(fresh, settled), held]
        return outside(held, known.told_by([*asked, *self.answered])), [fresh]

    def _without_gone(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that are not taken back; the others are remembered."""
        times = pl.col("ts").to_physical()
        reason = pl.coalesce(
            pl.when((times >= span.start) & (times < span.end)).then(pl.lit(why)) for span, why in self._gone
        )
        told = rows.with_columns(reason.alias(quarantine.REASON))
        gone = told.filter(pl.col(quarantine.REASON).is_not_null())
        if gone.is_empty():
            return rows
        self._withdrawn.append(gone)
        return told.filter(pl.col(quarantine.REASON).is_null()).drop(quarantine.REASON)

    def _refuse_strangers(self, rows: pl.DataFrame) -> None:
        if any(rows[name].null_count() for name in self._data_type.table.required):
            raise LakeError(f"{self._url}: nulls in required columns", hint=_CALLER)
        times = rows["ts"].cast(pl.Int64)
        first, last = Us(int(times[0])), Us(int(times[-1]))
        if not times.is_sorted() or (self._last is not None and first < self._last):
            raise LakeError(f"{self._url}: rows are not in the order of time", hint=_CALLER)
        if first < self._span.start or last >= self._span.end:
            outside = first if first < self._span.start else last
            raise LakeError(f"{self._url}: a row of {iso(outside)} is not of this partition", hint=_CALLER)


def _unable() -> None:
    raise LakeError("a draft that knows no remotes", hint=_CALLER)
