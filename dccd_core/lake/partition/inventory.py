"""The states of many partitions, from their footers; of files that stayed the same, from what was read once.

What was read is written down in manifests, one for the datasets that differ in nothing but the symbol. An
entry counts as long as its file has the mark that it had when its footer was read, and no longer.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from typing import Final, NamedTuple

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import LakeError
from dccd_core.lake.layout import (
    DATA,
    HELD,
    StreamKey,
    beside,
    dataset_folder,
    manifest_path,
    parse_part_path,
)
from dccd_core.lake.partition.held import Held, parse_held
from dccd_core.lake.partition.manifest import Entry, Manifest, decode, encode
from dccd_core.lake.partition.parquet import State, state_from_tail
from dccd_core.lake.store.folder import Store
from dccd_core.lake.store.marks import Ending
from dccd_core.tables import DataType

_AT_ONCE: Final = 16
_WORTH: Final = 16
"""So many footers of one manifest are read before it is written: fewer cost no more than to write it."""
_SETTLED_NS: Final = 3_000_000_000
"""What changed so shortly ago may change again and keep its mark: clocks of file systems tick up to 2 s."""


_MOST_BYTES: Final = 1 << 26
"""Of a record, which holds a ledger: more than any has."""


class Part(NamedTuple):
    """A partition's file as it was listed; where that is held elsewhere, its record."""

    key: str
    path: str
    mark: str


class _Footer(NamedTuple):
    """What a file's end said, of which file, and when that was changed last."""

    state: State | None
    mark: str
    changed: int


Listing = dict[Dataset, list[Part]]


def listed(store: Store, datasets: Iterable[Dataset] | None = None) -> Listing:
    """Return the partitions there are of some datasets, or of all, in order."""
    if datasets is None:
        found: Listing = {}
        for path, mark in chain.from_iterable(store.marks(data_type).items() for data_type in DataType):
            if place := parse_part_path(path):
                found.setdefault(place[0], []).append(Part(place[1], path, mark))
        return found
    return {dataset: _of(store, dataset) for dataset in datasets}


def _of(store: Store, dataset: Dataset) -> list[Part]:
    marks = store.marks(dataset_folder(dataset)).items()
    places = [(parse_part_path(path), path, mark) for path, mark in marks]
    return [Part(place[1], path, mark) for place, path, mark in places if place and place[0] == dataset]


class Inventory:
    """Reads states, and remembers them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = dict[StreamKey, Manifest]()

    def states(self, listing: Listing, store: str | None) -> dict[Dataset, dict[str, State]]:
        """Return the states of all partitions that are still there, by dataset and key.

        Args:
            listing: what ``listed`` said, just now.
            store: the name of the store; without one nothing is remembered.

        Raises:
            DamagedFile: a file is not what was written.
            LakeError: the store refuses to show one. That it takes no manifest is no error.
        """
        found = {dataset: self._remembered(dataset, parts, store) for dataset, parts in listing.items()}
        doubtful = {
            part.path: (dataset, part.key)
            for dataset, parts in listing.items()
            for part in parts
            if found[dataset][part.key] is None
        }
        for path, footer in self._read(doubtful, listing, store).items():
            dataset, key = doubtful[path]
            found[dataset][key] = footer.state
        return {dataset: _there(states) for dataset, states in found.items()}

    def state(self, path: str) -> State | None:
        """Return what the footer of a file says, or its record; None when there is neither."""
        return self._footer(path).state

    def held(self, path: str) -> Held | None:
        """Return the record beside a file, or in its place; None when there is none.

        Raises:
            DamagedFile: it is not what was written.
        """
        found = self._store.ending(beside(path, HELD), _MOST_BYTES)
        return self._parsed(path, found) if found else None

    def _remembered(
        self, dataset: Dataset, parts: Sequence[Part], store: str | None
    ) -> dict[str, State | None]:
        """Return the states of files that are those whose footers were read once; None for the others."""
        known = self._entries(StreamKey.of(dataset), store).get(dataset.symbol.slug, {})
        found = [(part, known.get(part.key)) for part in parts]
        return {
            part.key: entry.state(self._file_url(part.path)) if entry and entry.mark == part.mark else None
            for part, entry in found
        }

    def _entries(self, family: StreamKey, store: str | None) -> Manifest:
        if store and family not in self._known:
            self._known[family] = self._recall(family, store)
        return self._known.get(family, {})

    def _read(
        self, doubtful: Mapping[str, tuple[Dataset, str]], listing: Listing, store: str | None
    ) -> dict[str, _Footer]:
        """Read footers by their paths, and write down what is worth it."""
        many = Counter(StreamKey.of(dataset) for dataset, _ in doubtful.values())
        worth = [family for family, count in many.items() if store and count >= _WORTH]
        with ExitStack() as stack:
            # Opened before anything is read: what is changed after that is not older than they are.
            memos = [stack.enter_context(self._store.memo(manifest_path(family))) for family in worth]
            footers = dict(zip(doubtful, _each(self._footer, [*doubtful]), strict=True))
            for family, memo in zip(worth, memos, strict=True):
                if memo and store:
                    of = {
                        path: footers[path] for path in doubtful if StreamKey.of(doubtful[path][0]) == family
                    }
                    memo.write(encode(self._renewed(family, listing, _settled(of, memo.now), store), store))
        return footers

    def _renewed(
        self, family: StreamKey, listing: Listing, settled: Mapping[str, Entry], store: str
    ) -> Manifest:
        """Return a manifest with the datasets of ``listing`` as they are now, and the others as they were."""
        found, before = self._recall(family, store), self._known.get(family, {})
        for dataset, parts in listing.items():
            if StreamKey.of(dataset) == family:
                old = before.get(dataset.symbol.slug, {})
                entries = [(part.key, settled.get(part.path) or old.get(part.key)) for part in parts]
                found[dataset.symbol.slug] = {key: entry for key, entry in entries if entry}
        self._known[family] = found
        return found

    def _footer(self, path: str) -> _Footer:
        """Return what a file's end says, or its record; it may be taken away, or come back, meanwhile."""
        file, record = beside(path, DATA), beside(path, HELD)
        found = self._end_of(file)
        if found.state is None and (ending := self._store.ending(record, _MOST_BYTES)):
            return _Footer(self._parsed(file, ending).state, ending.mark, ending.changed)
        return found if found.state else self._end_of(file)

    def _parsed(self, path: str, ending: Ending) -> Held:
        return parse_held(ending.tail, self._store.url(beside(path, HELD)), self._file_url(path))

    def _file_url(self, path: str) -> str:
        return self._store.url(beside(path, DATA))

    def _end_of(self, path: str) -> _Footer:
        last = list[Ending]()

        def read(size: int) -> tuple[bytes, int] | None:
            found = self._store.ending(path, size)
            last[:] = [found] if found else []
            return (found.tail, found.size) if found else None

        state = state_from_tail(read, self._store.url(path))
        return _Footer(state, last[0].mark, last[0].changed) if last else _Footer(None, "", 0)

    def _recall(self, family: StreamKey, store: str) -> Manifest:
        try:
            with self._store.open(manifest_path(family)) as stored:
                return decode(stored.file.read(), store) if stored else {}
        except (LakeError, OSError):
            return {}  # the footers say it all


def _there(states: Mapping[str, State | None]) -> dict[str, State]:
    return {key: state for key, state in states.items() if state}


def _settled(footers: Mapping[str, _Footer], now: int) -> dict[str, Entry]:
    """Return what may be remembered: of files that are older than what began ``now``."""
    return {
        path: Entry.of(footer.state, footer.mark)
        for path, footer in footers.items()
        if footer.state and footer.mark and footer.changed + _SETTLED_NS < now
    }


def _each(read: Callable[[str], _Footer], paths: Sequence[str]) -> list[_Footer]:
    """Read many at once, as disks and networks like it; a thread takes a share of them at a time."""
    if len(paths) < _WORTH:
        return [read(path) for path in paths]
    share = min(_AT_ONCE, -(-len(paths) // _AT_ONCE))
    shares = [paths[at : at + share] for at in range(0, len(paths), share)]

    def read_all(share: Sequence[str]) -> list[_Footer]:
        return [read(path) for path in share]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(chain.from_iterable(pool.map(read_all, shares)))
