"""The lake as others use it: state, drafts, rows and quarantine of its partitions."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.lake import reader
from dccd_core.lake.layout import (
    StreamKey,
    data_path,
    dataset_folder,
    owner,
    parse_data_path,
    quarantine_path,
    withdrawn_path,
)
from dccd_core.lake.live import refused
from dccd_core.lake.live.harvest import MOST_ROWS, SealedSegments, harvest, look
from dccd_core.lake.live.refused import Refused
from dccd_core.lake.live.segments import SegmentInfo, SegmentWriter
from dccd_core.lake.live.shelf import Shelf
from dccd_core.lake.live.tail import Tail, TailView
from dccd_core.lake.partition import quarantine
from dccd_core.lake.partition.inventory import Inventory, listed
from dccd_core.lake.partition.ledger import Accepted, Asked, Ledger
from dccd_core.lake.partition.merge import TWICE, merged
from dccd_core.lake.partition.parquet import Reader, State, Writer, own
from dccd_core.lake.partition.spool import RowSpool
from dccd_core.lake.reader import LiveRows
from dccd_core.lake.store.folder import Store, Stored, rewrite, writing
from dccd_core.lake.store.identity import ensure_identity, identity
from dccd_core.lake.store.opening import live_folder, open_store
from dccd_core.tables import DataType, empty

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


class LakeStore:
    """The partitions and live segments of a store; ``Lake``, as users know it, is one that takes names.

    Args:
        url: a folder, or ``s3://bucket/prefix`` (credentials and AWS_ENDPOINT_URL from the environment).
        live: the folder of live segments, on this machine; None for the one that belongs to ``url``.
        accepted: known irregularities by the name of their dataset; in every state that is given they count
            as explained. Nothing of them is written.

    Every method raises LakeError when the store refuses, and DamagedFile when a file is not what was written.
    """

    def __init__(
        self,
        url: str | Path,
        live: Path | None = None,
        accepted: Mapping[str, Sequence[Accepted]] | None = None,
    ) -> None:
        self.url = str(url)
        self._accepted = accepted or {}
        self._opened = open_store(url)
        self._id: str | None = None
        self._live = live or live_folder(url)
        self._shelf = Shelf(self._live, self._opened.objects())
        self._tails = dict[StreamKey, Tail]()

    @cached_property
    def _store(self) -> Store:
        """The store, once it is known to be one that this dccd reads.

        Raises:
            LakeError: it has another format.
        """
        self._id = identity(self._opened)
        return self._opened

    @property
    def store(self) -> Store:
        """Its bytes, for those who copy files as they are."""
        return self._store

    @cached_property
    def _inventory(self) -> Inventory:
        return Inventory(self._store)

    def path(self, dataset: Dataset, key: str) -> str:
        """Return the full path or URL of a partition's file, whether it is there or not."""
        return self._store.url(data_path(dataset, key))

    def state(self, dataset: Dataset, key: str) -> State | None:
        """Return what the footer says; None when there is no file."""
        return self._told(dataset, key, self._inventory.state(data_path(dataset, key)))

    def states(self, dataset: Dataset) -> dict[str, State]:
        """Return the state of every partition there is, by key, in order."""
        return self.inventory([dataset])[dataset]

    def inventory(self, datasets: Iterable[Dataset] | None = None) -> dict[Dataset, dict[str, State]]:
        """Return what the footers say of all partitions of some datasets, or of all datasets there are.

        By dataset and key, in order. A footer is read once: a manifest beside the partitions remembers what
        it said, for as long as its file stays the same.
        """
        return {
            dataset: {key: told for key, state in states.items() if (told := self._told(dataset, key, state))}
            for dataset, states in self._stored(datasets).items()
        }

    def known(self, dataset: Dataset, key: str, tail: TailView | None = None) -> State | None:
        """Return what footer and tail say together; ``tail``: as it was read before, for many datasets."""
        tail = tail or self.tail(dataset).read()  # before the footer: see ``each_of``
        return self._united(dataset, key, tail, self._inventory.state(data_path(dataset, key)))

    def all_known(self, dataset: Dataset, tail: TailView | None = None) -> dict[str, State]:
        """Return what is known of every partition, by key, in order: see ``known`` and ``inventory``."""
        tail = tail or self.tail(dataset).read()
        return self._all_united(dataset, self._stored([dataset])[dataset], tail)

    def known_inventory(self) -> dict[Dataset, dict[str, State]]:
        """Return what is known of all partitions of the datasets that have files: see ``inventory``."""
        tails = {family: self._tail_of(family).read() for family in {each for _, each in self._shelf.find()}}
        return {
            dataset: self._all_united(dataset, states, tails.get(StreamKey.of(dataset)))
            for dataset, states in self._stored(None).items()
        }

    def tail(self, dataset: Dataset) -> Tail:
        """Return the tail of a dataset and of those that differ from it in nothing but the symbol."""
        return self._tail_of(StreamKey.of(dataset))

    def datasets(self) -> list[Dataset]:
        """Return what has at least one partition, sorted by name."""
        paths = (path for data_type in DataType for path in self._store.find(data_type))
        return sorted({place[0] for path in paths if (place := parse_data_path(path))}, key=str)

    def first_key(self, dataset: Dataset) -> str | None:
        """Return the first partition there is of a dataset, at the price of one look at its folder."""
        path = self._store.first(dataset_folder(dataset))
        place = parse_data_path(path) if path else None
        return place[1] if place else None

    @contextmanager
    def draft(self, dataset: Dataset, key: str) -> Generator["PartitionDraft"]:
        """Open a draft of fresh rows; it leaves nothing behind unless it is committed."""
        path = data_path(dataset, key)
        with ExitStack() as stack:
            with writing(self._store.url(path)):
                file = stack.enter_context(self._store.scratch())
            draft = PartitionDraft(self._store, dataset, key, file, self._identify)
            draft.accepted = self._accepted.get(str(dataset), ())
            yield draft

    def identity(self) -> str | None:
        """Return the store's name, which its first write gave it; None: nobody has written to it."""
        self._id = self._id or identity(self._store)
        return self._id

    def _identify(self) -> None:
        self._id = self._id or ensure_identity(self._store)

    def chunks(self, dataset: Dataset, key: str) -> Iterator[pl.DataFrame]:
        """Yield a partition's rows in order, a row group at a time; none when there is no file."""
        path = data_path(dataset, key)
        with self._store.open(path) as stored:
            if stored:
                reader = Reader(stored.file, dataset.data_type, self._store.url(path))
                own(reader.state, owner(dataset, key))
                yield from reader.groups()

    def verify(self, dataset: Dataset, key: str) -> State | None:
        """Read every row again and hold it against the content hash; None when there is no file."""
        return self._told(dataset, key, reader.verify(self._store, dataset, data_path(dataset, key)))

    def scan(self, dataset: Dataset, span: TimeRange | None = None, /) -> pl.LazyFrame:
        """Return the rows with ``span.start <= ts < span.end``; each collect reads what is there by then.

        What streams recorded is among them at once, folded into its partition or not.
        """
        return reader.scan(self._store, self._shelf, dataset, span)

    def holds(self, dataset: Dataset) -> bool:
        """Return whether there is anything to scan: a partition, or a live row."""
        return bool(reader.partitions(self._store, dataset)) or reader.is_live(self._shelf, dataset)

    def rows(self, dataset: Dataset, span: TimeRange) -> Iterator[pl.DataFrame]:
        """Yield what ``scan`` shows a portion at a time, in order; no portion is empty."""
        return reader.portions(self._store, self._shelf, dataset, span)

    def recorded(self) -> list[Dataset]:
        """Return of which datasets there are live rows, sorted by name; reads all of them."""
        return sorted(self.live_rows(), key=str)

    def live_rows(self) -> dict[Dataset, LiveRows]:
        """Return what live rows there are of each dataset that has some; reads all of them."""
        return reader.live_rows(self._shelf)

    def keys(self, dataset: Dataset) -> list[str]:
        """Return the partitions there are, in order, without reading them."""
        return list(reader.partitions(self._store, dataset))

    def segment(self, exchange: str, data_type: DataType, span: Us | None, at: Us) -> SegmentWriter:
        """Begin a live segment; ``at`` is this moment."""
        return SegmentWriter(self._live, StreamKey(exchange, data_type, span), at)

    def segments(
        self, exchange: str | None = None, data_type: DataType | None = None, span: Us | None = None
    ) -> list[SegmentInfo]:
        """Return the live segments there are: of an exchange, of a data type, of bars of one span."""
        wanted = (exchange, data_type, span)
        found = ((info, (info.exchange, info.data_type, info.span)) for info in self._shelf.infos())
        return [info for info, has in found if all(w in (None, h) for w, h in zip(wanted, has, strict=True))]

    def harvest(
        self, exchange: str, data_type: DataType, span: Us | None = None, *, most_rows: int = MOST_ROWS
    ) -> AbstractContextManager[SealedSegments]:
        """Take what closed segments, and those of dead writers, hold: the oldest, up to ``most_rows`` or so.

        Nothing is taken while another process does so.
        """
        return harvest(self._shelf, StreamKey(exchange, data_type, span), self._store, most_rows)

    def look(self, dataset: Dataset) -> AbstractContextManager[SealedSegments]:
        """Read all that segments hold of a dataset while nobody folds it; nothing is to be removed."""
        return look(self._shelf, self._store, dataset)

    def quarantine(self, dataset: Dataset, key: str, rows: pl.DataFrame) -> int:
        """Keep refused rows, each with its ``reason``, beside the partition; return how many are there now.

        A row that is there already is not added again.
        """
        path = quarantine_path(dataset, key)
        with writing(self._store.url(path)):
            return quarantine.add(self._store, path, rows)

    def set_aside(self, dataset: Dataset, key: str, rows: pl.DataFrame) -> None:
        """Keep refused rows, each with its ``reason``, as ``quarantine`` does, where they come in a stream.

        What it costs is what they take, however many there are already.
        """
        path = quarantine_path(dataset, key)
        with writing(self._store.url(path)):
            quarantine.append(self._store, path, rows)

    def quarantined(self, dataset: Dataset, key: str) -> pl.DataFrame:
        """Return the refused rows: the table's columns and ``reason``."""
        return quarantine.read(self._store, quarantine_path(dataset, key), dataset.data_type)

    def refuse(self, exchange: str, messages: Sequence[Refused]) -> Path:
        """Keep messages that were not understood, on this machine, with the reason; return the file.

        As many as there is room for: the oldest make way.
        """
        file = refused.path(self._live, exchange)
        with writing(str(file)):
            refused.add(self._live, exchange, messages)
        return file

    def refused(self, exchange: str) -> list[Refused]:
        """Return the messages of an exchange that were not understood and are kept, the oldest first."""
        return refused.read(self._live, exchange)

    def withdrawn(self, dataset: Dataset, key: str) -> pl.DataFrame:
        """Return the rows that were taken back: the table's columns and ``reason``."""
        return quarantine.read(self._store, withdrawn_path(dataset, key), dataset.data_type)

    def _stored(self, datasets: Iterable[Dataset] | None) -> dict[Dataset, dict[str, State]]:
        listing = listed(self._store, datasets)
        return self._inventory.states(listing, self.identity() if any(listing.values()) else None)

    def _all_united(
        self, dataset: Dataset, stored: Mapping[str, State], tail: TailView | None
    ) -> dict[str, State]:
        keys = sorted({*stored, *(tail.keys(dataset) if tail else ())})
        states = ((key, self._united(dataset, key, tail, stored.get(key))) for key in keys)
        return {key: state for key, state in states if state}

    def _united(self, dataset: Dataset, key: str, tail: TailView | None, file: State | None) -> State | None:
        path, mine = self._store.url(data_path(dataset, key)), own(file, owner(dataset, key))
        return self._told(dataset, key, tail.united(dataset, key, mine, path) if tail else mine)

    def _tail_of(self, family: StreamKey) -> Tail:
        return self._tails.setdefault(family, Tail(self._shelf, family))

    def _told(self, dataset: Dataset, key: str, state: State | None) -> State | None:
        mine, accepted = own(state, owner(dataset, key)), self._accepted.get(str(dataset), ())
        return replace(mine, ledger=mine.ledger.accepting(accepted)) if mine and accepted else mine


class PartitionDraft:
    """Fresh rows of one partition on their way into the lake. Made by ``Lake.draft``."""

    def __init__(
        self, store: Store, dataset: Dataset, key: str, file: BinaryIO, first: Callable[[], object]
    ) -> None:
        self.accepted: Sequence[Accepted] = ()
        """What counts as explained in the state that ``commit`` returns."""
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
        self._withdrawn: list[pl.DataFrame] = []
        self.taken_back = 0
        """How many rows were in the spans that are taken back, stored or fresh, and are beside it now."""

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
                self._put_aside()
        self._committed = True
        return replace(state, ledger=state.ledger.accepting(self.accepted)) if self.accepted else state

    def _put_aside(self) -> None:
        """Keep what the partition is not to hold: before it is judged, not while it is locked."""
        if self._clashes:
            rows = self._contradictions()
            quarantine.add(self._store, self._quarantine, rows)
            self._aside = rows.height
        if self._withdrawn:
            rows = pl.concat(self._withdrawn)
            room = max(0, _MOST_ASIDE - quarantine.count(self._store, self._withdrawn_path))
            quarantine.add(self._store, self._withdrawn_path, rows.head(room))
            self.taken_back = rows.height

    def _contradictions(self) -> pl.DataFrame:
        rows = pl.concat([empty(self._data_type), *self._clashes]).unique(maintain_order=True)
        return rows.with_columns(pl.lit(TWICE).alias(quarantine.REASON))

    def _fill(
        self,
        asked: Sequence[Asked],
        judge: Callable[[], CompletenessCheck],
        file: BinaryIO,
        stored: Stored | None,
    ) -> tuple[State | None, bool]:
        old = Reader(stored.file, self._data_type, self._url) if stored else None
        if old:
            own(old.state, self._owner)
        ledger = reduce(Ledger.add, asked, old.state.ledger if old else Ledger())
        judging = judge()
        self._clashes.clear()
        self._withdrawn.clear()
        with Writer(file, self._data_type, self._owner) as writer:
            held = old.feed() if old else None
            for rows in merged(self._data_type, held, [self._spool.feed()], self._clashes):
                kept = self._without_gone(rows) if self._gone else rows
                if kept.height:
                    writer.write(kept)
                    judging.see(kept)
            gone = sum(rows.height for rows in self._withdrawn)
            if self._contradictions().height > self._aside or gone > self.taken_back:
                return None, False
            refused = quarantine.count(self._store, self._quarantine)
            ledger = judging.assess(replace(ledger, quarantined=refused))
            writer.seal(ledger)
        new = Reader(file, self._data_type, self._url).state  # what cannot be read again is never swapped in
        if old and (old.state.content_hash, old.state.ledger) == (new.content_hash, ledger):
            return old.state, False
        return new, True

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
        required = rows.select(self._data_type.table.required)
        if required.null_count().sum_horizontal().item():
            raise LakeError(f"{self._url}: nulls in required columns", hint=_CALLER)
        times = rows["ts"].cast(pl.Int64)
        first, last = Us(int(times[0])), Us(int(times[-1]))
        if not times.is_sorted() or (self._last is not None and first < self._last):
            raise LakeError(f"{self._url}: rows are not in the order of time", hint=_CALLER)
        if first < self._span.start or last >= self._span.end:
            outside = first if first < self._span.start else last
            raise LakeError(f"{self._url}: a row of {iso(outside)} is not of this partition", hint=_CALLER)
