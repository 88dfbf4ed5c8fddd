"""One file of dccd 3 put into the partitions that its rows belong to; little of it is in memory at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from dccd_core.domain.barspan import format_bar_span
from dccd_core.domain.dataset import Dataset, partition_key, partition_span
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import HOUR, MINUTE, ZERO, TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.imports.clean import Cleaner
from dccd_core.imports.oldstore import OldDataset, OldFile
from dccd_core.imports.report import FileResult
from dccd_core.lake.lake import CompletenessCheck, LakeStore, PartitionDraft
from dccd_core.lake.partition import quarantine
from dccd_core.lake.partition.ledger import Asked, Ledger, Source
from dccd_core.lake.partition.parquet import GROUP, damage
from dccd_core.lake.partition.spool import Pile
from dccd_core.lake.store.folder import Store, writing
from dccd_core.quality.holes import BarCheck, Evidence, IdCheck
from dccd_core.tables import Grain

ASIDE: Final = ".dccd/imports/refused"
_MOST_ASIDE: Final = 100_000
"""Refused rows that are kept of one dataset: some 20 MB."""
_BUCKET: Final = Us(10 * MINUTE)
"""So much of a day's rows is looked at together, however they lie in the file."""
_CALENDAR: Final = {Grain.YEAR: "1y", Grain.MONTH: "1mo"}
_START: Final = "_start"
_READ_AHEAD: Final = 1 << 20


def aside_path(dataset: Dataset) -> str:
    """Return where in the lake the rows of a dataset are kept that were not taken over.

    >>> aside_path(Dataset.parse("okx/ohlc/BTC-USDT/1d"))
    '.dccd/imports/refused/okx/ohlc/BTC-USDT-1d.ndjson'
    """
    span = f"-{format_bar_span(dataset.span)}" if dataset.span else ""
    return f"{ASIDE}/{dataset.exchange}/{dataset.data_type}/{dataset.symbol.slug}{span}.ndjson"


@dataclass(frozen=True, slots=True)
class Taker:
    """Takes over files of one dataset.

    ``lake`` and ``store`` are one; without a ``lake`` rows are only looked at. ``trusted``: what is taken
    over counts as covered, as if it had been asked for, and what can only be reckoned of it is taken, too.
    """

    old: OldDataset
    store: Store
    lake: LakeStore | None
    now: Us
    trusted: bool = False

    def take(self, file: OldFile) -> FileResult:
        """Take over a file: all of its rows that can be true, or, when it cannot be read, none.

        Raises:
            LakeError: the lake refuses.
        """
        old, trusted = self.old, self.trusted
        cleaner = Cleaner(old.dataset, old.quirk, file.period, file.modified, self.now, trusted)
        work = _Work(self, file, cleaner)
        result = FileResult(cleaner.counts)
        with writing(self.store.url(ASIDE)), self.store.scratch() as scratch:
            work.pile = Pile(scratch)
            try:
                work.read()
            except DamagedFile as e:
                return FileResult(error=str(e.args[0]))  # what was read of it counts for nothing
            for key, starts in work.partitions():
                offered, added = work.put(key, starts)
                result.taken += added
                result.known += offered - added
                result.keys += (key,) if offered else ()
        self._keep(work.refused)
        return result

    def _keep(self, refused: Sequence[pl.DataFrame]) -> None:
        if self.lake is None or not refused:
            return
        path = aside_path(self.old.dataset)
        room = max(0, _MOST_ASIDE - quarantine.count(self.store, path))
        with writing(self.store.url(path)):
            quarantine.append(self.store, path, pl.concat(refused).head(room))


@dataclass(slots=True)
class _Work:
    """One file on its way: its rows on a pile, told apart by when they were."""

    taker: Taker
    file: OldFile
    cleaner: Cleaner
    pile: Pile = field(init=False)
    places: dict[Us, list[int]] = field(default_factory=lambda: defaultdict[Us, list[int]](list))
    """The numbers of the frames on the pile, by where their bucket begins."""
    refused: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    _aside: int = 0
    numbered: bool = True
    """Whether every row has an id that is a number."""

    @property
    def dataset(self) -> Dataset:
        return self.taker.old.dataset

    def read(self) -> None:
        """Put the rows of the file on the pile.

        Raises:
            DamagedFile: it cannot be read, or is of another kind.
        """
        for batch in _batches(self.file.path, self.file.name):
            good, bad = self.cleaner.timed(batch)
            self._refuse(bad)
            for start, part in _buckets(self.dataset.grain, good):
                self.places[start].append(self.pile.put(part))

    def partitions(self) -> Iterator[tuple[str, list[Us]]]:
        """Yield the partitions that have rows, each with where its buckets begin, in order."""
        found = defaultdict[str, list[Us]](list)
        for start in sorted(self.places):
            found[partition_key(self.dataset.grain, start)].append(start)
        yield from found.items()

    def put(self, key: str, starts: Sequence[Us]) -> tuple[int, int]:
        """Put what is of one partition into it; return how many rows that are, and how many it had not."""
        lake = self.taker.lake
        with lake.draft(self.dataset, key) if lake else nullcontext() as draft:
            first, end, offered = None, ZERO, 0
            for start in starts:
                rows, bad = self.cleaner.bucket(pl.concat([self.pile.get(n) for n in self.places.pop(start)]))
                self._refuse(bad)
                if rows.is_empty():
                    continue
                times = rows["ts"].to_physical()
                first = Us(int(times[0])) if first is None else first
                end = Us(int(times[-1]) + (self.dataset.span or 1))
                offered += rows.height
                self._look_at_ids(rows)
                if draft:
                    draft.append(rows)
            if draft and lake and first is not None:
                self._commit(lake, draft, key, TimeRange(first, end), offered)
                return offered, draft.added
        return offered, offered

    def _commit(
        self, lake: LakeStore, draft: PartitionDraft, key: str, span: TimeRange, offered: int
    ) -> None:
        taker = self.taker
        draft.yield_to_stored(fill_gaps=taker.trusted)
        state = lake.state(self.dataset, key)
        before = state.ledger.quarantined if state else 0
        covered = self._trusted_time(key) if taker.trusted else None
        if covered is None:
            draft.commit([], lambda: _TakenOver(span, before))
            return
        asked = Asked(covered, Source.IMPORT, taker.now, 0, offered)
        draft.commit([asked], lambda: self._judge(lake, key, before))

    def _trusted_time(self, key: str) -> TimeRange | None:
        """Return what of a partition is accepted: all time of the file, at the ends of its dataset its rows'.

        The newest bar is never among it: nobody can say whether it was over.
        """
        files, period = self.taker.old.files, self.file.period
        shift = (self.dataset.span or ZERO) if self.taker.old.quirk.closes else ZERO
        start = self.cleaner.first if self.file is files[0] else period.start
        newest, own = self.cleaner.last, 0 if self.dataset.span else 1
        assert start is not None
        assert newest is not None
        end = newest + own if self.file is files[-1] else period.end
        if end <= start:
            return None
        known = TimeRange(Us(start - shift), Us(end - shift))
        return known.clip(partition_span(self.dataset.grain, key))

    def _judge(self, lake: LakeStore, key: str, before: int) -> CompletenessCheck:
        exchange, dataset = get(self.dataset.exchange), self.dataset
        endpoint = exchange.endpoint(dataset.symbol.market_type, dataset.data_type)
        quiet = HOUR if endpoint and endpoint.sparse else ZERO
        evidence = Evidence(self.taker.now, refused=lake.quarantined(dataset, key), quiet=quiet)
        if dataset.span:
            return BarCheck(dataset.span, evidence)
        follow = endpoint is not None and endpoint.ids_follow
        return IdCheck(evidence) if follow and self.numbered else _TakenOver(None, before)

    def _look_at_ids(self, rows: pl.DataFrame) -> None:
        if self.dataset.data_type.table.numbered:
            ids = rows["trade_id"]
            self.numbered &= not ids.null_count() and bool(ids.str.contains(r"^\d{1,18}$").all())

    def _refuse(self, rows: pl.DataFrame) -> None:
        """Remember refused rows, as many as anybody looks at."""
        room = _MOST_ASIDE - self._aside
        if rows.height and room > 0:
            self.refused.append(rows.head(room))
            self._aside += min(room, rows.height)


@dataclass(frozen=True, slots=True)
class _TakenOver:
    """A judge that finds nothing: that rows were taken over proves nothing, and denies nothing."""

    span: TimeRange | None
    quarantined: int

    def see(self, rows: pl.DataFrame) -> None: ...

    def assess(self, ledger: Ledger) -> Ledger:
        unproven = self.span.minus(ledger.covered()) if self.span else []
        return replace(ledger.take_over(unproven), quarantined=self.quarantined)


def _batches(path: Path, name: str) -> Iterator[pl.DataFrame]:
    with damage(name), pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_AHEAD) as file:
        for batch in file.iter_batches(GROUP):
            yield pl.DataFrame(pl.from_arrow(batch))


def _buckets(grain: Grain, rows: pl.DataFrame) -> Iterator[tuple[Us, pl.DataFrame]]:
    """Cut rows by time: into partitions, and days into minutes; each with where it begins."""
    if rows.is_empty():
        return
    at = pl.col("ts")
    if grain in _CALENDAR:
        start = at.dt.truncate(_CALENDAR[grain]).to_physical()
    else:
        start = at.to_physical() // _BUCKET * _BUCKET
    for (begins,), part in rows.with_columns(start.alias(_START)).partition_by(_START, as_dict=True).items():
        yield Us(int(str(begins))), part.drop(_START)
