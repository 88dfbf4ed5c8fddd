"""The lake as others use it: state, drafts, rows and quarantine of its partitions."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake import away, reader
from dccd_core.lake.draft import CompletenessCheck, PartitionDraft
from dccd_core.lake.layout import (
    StreamKey,
    damaged_path,
    data_path,
    dataset_folder,
    owner,
    parse_data_path,
    parse_part_path,
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
from dccd_core.lake.partition.held import Bring, Held
from dccd_core.lake.partition.inventory import Inventory, listed
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.lake.partition.parquet import Reader, State, own
from dccd_core.lake.partition.wreck import Mending, mend
from dccd_core.lake.reader import LiveRows, Source
from dccd_core.lake.store.fixed import refuse_fixed
from dccd_core.lake.store.folder import Store, Stored, writing
from dccd_core.lake.store.identity import ensure_identity, identity, usable
from dccd_core.lake.store.opening import live_folder, open_store
from dccd_core.tables import DataType

if TYPE_CHECKING:
    from dccd_core.lake.store.s3 import MakeClient

__all__ = ["CompletenessCheck", "LakeStore", "PartitionDraft", "State"]


class LakeStore:
    """The partitions and live segments of a store; ``Lake``, as users know it, is one that takes names.

    Args:
        url: a folder, or ``s3://bucket/prefix`` (credentials from where boto3 finds them).
        live: the folder of live segments, on this machine; None for the one that belongs to ``url``.
        accepted: known irregularities by the name of their dataset; in every state that is given they count
            as explained. Nothing of them is written.
        s3: makes the client of a bucket; without it, of what boto3 finds in the environment.

    A partition that is held elsewhere only is known like any other (``State.elsewhere``). When its rows are
    needed ``bring`` is called, which has its file here when it returns; without it that is a LakeError.

    Every method raises LakeError when the store refuses, and DamagedFile when a file is not what was written.
    """

    bring: Bring | None = None

    def __init__(
        self,
        url: str | Path,
        live: Path | None = None,
        accepted: Mapping[str, Sequence[Accepted]] | None = None,
        *,
        s3: "MakeClient | None" = None,
    ) -> None:
        self.url = str(url)
        self._accepted = accepted or {}
        self._opened = open_store(url, s3)
        self._id: str | None = None
        self._live = live or live_folder(url)
        self._shelf = Shelf(self._live, self._opened.objects(), lambda: refuse_fixed(self._store))
        self._tails = dict[StreamKey, Tail]()

    @cached_property
    def _store(self) -> Store:
        """The store, once it is known to be one that this dccd reads.

        Raises:
            LakeError: it has another format.
        """
        store, self._id = usable(self._opened)
        return store

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
        paths = (path for data_type in DataType for path in self._store.marks(data_type))
        return sorted({place[0] for path in paths if (place := parse_part_path(path))}, key=str)

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
            draft.fetch = partial(self.fetch, dataset, [key])
            yield draft

    def accepted(self, dataset: Dataset) -> Sequence[Accepted]:
        """Return what is taken as it is of a dataset, as this store was told."""
        return self._accepted.get(str(dataset), ())

    def identity(self) -> str | None:
        """Return the store's name, which its first write gave it; None: nobody has written to it."""
        self._id = self._id or identity(self._store)
        return self._id

    def _identify(self) -> None:
        self._id = self._id or ensure_identity(self._store)

    def chunks(self, dataset: Dataset, key: str) -> Iterator[pl.DataFrame]:
        """Yield a partition's rows in order, a row group at a time; none when there is no file."""
        with self._opened_here(dataset, key) as stored:
            if stored:
                reader = Reader(stored.file, dataset.data_type, self.path(dataset, key))
                own(reader.state, owner(dataset, key))
                yield from reader.groups()

    def verify(self, dataset: Dataset, key: str) -> State | None:
        """Read every row again and hold it against the content hash; None when there is no file."""
        path = data_path(dataset, key)
        if (found := reader.verify(self._store, dataset, path)) is None:
            self.fetch(dataset, [key])
            found = reader.verify(self._store, dataset, path)
        return self._told(dataset, key, found)

    def scan(
        self, dataset: Dataset, span: TimeRange | None = None, /, *, restore: bool = True
    ) -> pl.LazyFrame:
        """Return the rows with ``span.start <= ts < span.end``; each collect reads what is there by then.

        What streams recorded is among them at once, folded into its partition or not. What is held elsewhere
        is brought back first; without ``restore`` that is a LakeError, here and now or when it is collected.
        """
        if not restore:
            self._refuse(dataset, self.elsewhere(dataset, span))
        source = Source(self._store, self._shelf, self.fetch if restore else self._refuse)
        return reader.scan(source, dataset, span)

    def elsewhere(self, dataset: Dataset, span: TimeRange | None = None) -> list[str]:
        """Return the partitions that share time with ``span`` and are held elsewhere only, in order."""
        found = reader.partitions(self._store, dataset, span)
        return [key for key, path in found.items() if path != data_path(dataset, key)]

    def held(self, dataset: Dataset, key: str) -> Held | None:
        """Return what stayed of a partition that was taken away, also where its file is here; else None.

        Raises:
            DamagedFile: it is not what was written.
        """
        held = self._inventory.held(data_path(dataset, key))
        own(held.state if held else None, owner(dataset, key))
        return held

    def fetch(self, dataset: Dataset, keys: Sequence[str]) -> None:
        """Have these partitions here: those that are held elsewhere are brought back.

        Raises:
            LakeError: they cannot be.
        """
        away = [key for key in keys if (state := self.state(dataset, key)) and state.elsewhere]
        if away and self.bring is None:
            self._refuse(dataset, away)
        elif away and self.bring:
            self.bring(dataset, away)

    def _refuse(self, dataset: Dataset, keys: Sequence[str]) -> None:
        """Name what is held elsewhere, if there is any.

        Raises:
            LakeError: there is.
        """
        away = {key: state for key in keys if (state := self.state(dataset, key)) and state.elsewhere}
        if not away:
            return
        remotes = ", ".join(sorted({name for state in away.values() for name in state.elsewhere}))
        which = ", ".join([*away][:5]) + (f" and {len(away) - 5} more" if len(away) > 5 else "")
        raise LakeError(
            f"{dataset}: {which}: not here, but held by {remotes}",
            hint=f"bring it back with `dccd restore {dataset}`, or read without restore=False",
        )

    def opened(self, dataset: Dataset, key: str) -> AbstractContextManager[Stored | None]:
        """Open a partition's file, which stays as it is while it is read; None when it is not here."""
        return self._store.open(data_path(dataset, key))

    def is_held_by_others(self, dataset: Dataset, key: str) -> bool:
        """Tell whether a partition's file has another name, as in a pin: to remove it would free nothing."""
        return self._store.links(data_path(dataset, key)) > 1

    def take_away(self, dataset: Dataset, key: str, over: Stored, held: Held) -> bool:
        """Put a record in the place of a partition's file, which somebody else has: see ``Held``.

        False when it is no longer ``over``, as ``opened`` gave it: then nothing changes.
        """
        return away.take(self._store, data_path(dataset, key), over, held)

    def put_back(self, dataset: Dataset, key: str, fill: Callable[[BinaryIO], object]) -> None:
        """Have the file of a partition here again: ``fill`` writes it, or raises and changes nothing."""
        away.put_back(self._store, data_path(dataset, key), fill)

    def remove(self, dataset: Dataset, key: str) -> None:
        """Remove all that there is of a partition, on purpose: its file, or record, and what lies beside."""
        away.remove(self._store, data_path(dataset, key))

    @contextmanager
    def _opened_here(self, dataset: Dataset, key: str) -> Generator[Stored | None]:
        """Open a partition's file, which is brought back first where it is held elsewhere."""
        path = data_path(dataset, key)
        with ExitStack() as stack:
            stored = stack.enter_context(self._store.open(path))
            if stored is None:
                self.fetch(dataset, [key])
                stored = stack.enter_context(self._store.open(path))
            yield stored

    def mend(self, dataset: Dataset, key: str, doubtful: Sequence[TimeRange], *, keep: bool) -> None:
        """Write a damaged partition anew from what can be read of it, and claim nothing of the doubtful time.

        Filling it asks for that time again. ``keep``: the file as it was stays beside it, as ``_damaged``.
        """
        path = data_path(dataset, key)
        how = Mending(doubtful, damaged_path(dataset, key) if keep else None)
        with writing(self._store.url(path)):
            mend(self._store, path, dataset.data_type, owner(dataset, key), how)

    def holds(self, dataset: Dataset) -> bool:
        """Return whether there is anything to scan: a partition, or a live row."""
        return bool(reader.partitions(self._store, dataset)) or reader.is_live(self._shelf, dataset)

    def rows(self, dataset: Dataset, span: TimeRange) -> Iterator[pl.DataFrame]:
        """Yield what ``scan`` shows a portion at a time, in order; no portion is empty."""
        return reader.portions(Source(self._store, self._shelf, self.fetch), dataset, span)

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
        refuse_fixed(self._store)
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
        if tail is None:
            return self._told(dataset, key, file)
        path, mine = self._store.url(data_path(dataset, key)), own(file, owner(dataset, key))
        return self._told(dataset, key, tail.united(dataset, key, mine, path))

    def _tail_of(self, family: StreamKey) -> Tail:
        return self._tails.setdefault(family, Tail(self._shelf, family))

    def _told(self, dataset: Dataset, key: str, state: State | None) -> State | None:
        mine, accepted = own(state, owner(dataset, key)), self._accepted.get(str(dataset), ())
        if mine and (accepted or mine.ledger.accepted):
            return replace(mine, ledger=mine.ledger.accepting(accepted))
        return mine
