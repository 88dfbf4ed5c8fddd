"""Pins: views of a lake under a name, that stay as they are whatever becomes of the lake.

A pin lies in ``{store}/pins/NAME`` and is itself a lake, so every engine reads it. It holds whole partitions,
as they were when it was made, and ``pin.json``: what each of them was.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from typing import Final

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError, DamagedFile, LakeError
from dccd_core.domain.timespan import TimeRange, Us, iso, parse_time
from dccd_core.keep.pinned import FORMAT, Manifest, PinnedFile, pinned_files, read_manifest, readable
from dccd_core.keep.views import Views, taken, views_of
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import StreamKey, data_path, parse_data_path
from dccd_core.lake.partition.inventory import Inventory, listed
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.lake.partition.parquet import State
from dccd_core.lake.reader import verify
from dccd_core.lake.store.folder import Store
from dccd_core.lake.store.identity import new_pin_identity, pin_of

Part = tuple[Dataset, str]
Fold = Callable[[Dataset], object]
"""Brings all that the tail has of a dataset by now into its partitions."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ATTEMPTS: Final = 20
_NAMED: Final = 3
_OPEN: Final = parse_time("9999-01-01")


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin: ``made`` then, of the store named ``of``, of the partitions that share time with ``wanted``."""

    name: str
    url: str
    of: str | None
    made: Us
    wanted: TimeRange | None
    files: Mapping[Part, PinnedFile]

    @property
    def datasets(self) -> list[Dataset]:
        return sorted({dataset for dataset, _ in self.files}, key=str)

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.files.values())

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.files.values())

    @property
    def hash(self) -> str:
        """One hash of all rows: two pins that have it in common hold the same."""
        lines = sorted(f"{one.path} {one.content_hash}\n" for one in self.files.values())
        return sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a pin and of its lake.

    ``damage``: what of the pin itself is not as it was made, a line each. ``changes``: what is otherwise in
    the lake now, by partition; ``new``: its partitions that are not in the pin, of the datasets and the time
    that were pinned. ``same``: so many partitions are in the lake as they are in the pin.
    """

    pin: Pin
    damage: Sequence[str]
    changes: Mapping[Part, str]
    new: Sequence[Part]

    @property
    def same(self) -> int:
        return len(self.pin.files) - len(self.changes)


def said_time(wanted: TimeRange | None) -> tuple[str | None, str | None]:
    """Return from when on, and until when: None where that is open."""
    if wanted is None:
        return None, None
    return (iso(wanted.start) if wanted.start else None), (iso(wanted.end) if wanted.end < _OPEN else None)


class Pins:
    """The pins of a lake.

    Every method raises LakeError when the store refuses, and ConfigError for a name that is none.
    """

    def __init__(self, lake: LakeStore) -> None:
        self._lake = lake
        self._views: Views = views_of(lake.store)

    def names(self) -> list[str]:
        """Return the names of all pins, sorted."""
        return self._views.names()

    def find(self, name: str) -> Pin:
        """Return a pin.

        Raises:
            ConfigError: there is none of this name; with the nearest.
            DamagedFile: its manifest is not what was written.
        """
        self._require(name)
        store = self._views.store(name)
        return _pin(name, store, read_manifest(store))

    def url(self, name: str) -> str:
        """Return where a pin is: a lake of its own.

        Raises:
            ConfigError: as ``find``.
        """
        self._require(name)
        told = self._lake.url.partition("?")[2] if "://" in self._lake.url else ""
        return "?".join(part for part in (_url(self._views.store(name)), told) if part)

    def make(
        self, name: str, datasets: Iterable[Dataset], wanted: TimeRange | None, fold: Fold, now: Us
    ) -> Pin:
        """Keep partitions as they are now, under a name: all of the lake, when no dataset is named.

        Args:
            name: letters, digits, ``.``, ``_`` and ``-``.
            datasets: which ones; empty for all.
            wanted: only partitions that share time with it; they are kept whole.
            fold: is called for each dataset that may have something in the tail.
            now: this moment.

        Raises:
            ConfigError: there is such a pin, or nothing to pin, or the lake is a pin itself.
            LakeError: a partition is held elsewhere only, or cannot be held here without copying it.
        """
        self._check(name)
        chosen = self._chosen(datasets)
        tails = {StreamKey(one.exchange, one.data_type, one.span) for one in self._lake.segments()}
        for dataset in chosen:
            if StreamKey.of(dataset) in tails:
                fold(dataset)
        marks = self._marks(chosen, wanted)
        with self._views.making(name, now) as view:
            left = dict(marks)
            for _ in range(_ATTEMPTS):
                missed = view.hold(left)
                left = self._again(missed) if missed else {}
                if not left:
                    break
            files = pinned_files(self._lake.store, view.store, marks)
            within = (wanted.start, wanted.end) if wanted else None
            manifest = Manifest(FORMAT, self._lake.identity(), now, within, tuple(files))
            view.keep(readable(manifest), new_pin_identity(self._lake.identity() or ""))
        return self.find(name)

    def drop(self, name: str, now: Us) -> int:
        """Remove a pin, whole or damaged; return how many bytes that frees. The lake stays as it is.

        Raises:
            ConfigError: there is none of this name.
        """
        if not _NAME.fullmatch(name):
            raise _no_name(name)
        freed = 0
        if there := name in self.names():
            freed = self.own_bytes(name)
        self._views.drop(name, now)
        if not there:
            self._require(name)  # there is none; what a killed process left of one is gone by now
        return freed

    def own_bytes(self, name: str) -> int:
        """Return the bytes that are there for this pin alone: in no other one, and not in the lake."""
        store, found = self._views.store(name), 0
        for path in (path for _, path in _listed(store)):
            size = store.tail(path, 0)
            found += size[1] if size and store.links(path) < 2 else 0
        return found

    def verify(self, name: str, seen: Callable[[Dataset, str], object] | None = None) -> Verdict:
        """Read all of a pin, and hold the lake as it is now against it.

        Args:
            name: of the pin.
            seen: is told of each partition once it has been read.

        Raises:
            DamagedFile: the pin's manifest is not what was written.
        """
        pin, store = self.find(name), self._views.store(name)
        damage = list[str]()
        for (dataset, key), file in pin.files.items():
            damage += _damage(store, dataset, key, file)
            if seen:
                seen(dataset, key)
        strangers = {part for part, _ in _listed(store)} - {*pin.files}
        damage += [
            f"{dataset} {key}: it was not pinned, and is there"
            for dataset, key in sorted(strangers, key=_order)
        ]
        changes, new = self._changes(pin)
        return Verdict(pin, damage, changes, new)

    def _require(self, name: str) -> None:
        if name not in (known := self.names()):
            near = get_close_matches(name, known, 1, cutoff=0.0)
            hint = f"did you mean {near[0]}? dccd pin --list" if near else "make one: dccd pin NAME"
            raise ConfigError(f"{self._lake.url} has no pin {name}", hint=hint)

    def _check(self, name: str) -> None:
        """Refuse to make a pin of this name.

        Raises:
            ConfigError: it is no name, there is one, or the lake is a pin.
        """
        if not _NAME.fullmatch(name):
            raise _no_name(name)
        if pin_of(self._lake.store):
            raise ConfigError(
                f"{self._lake.url} is a pin, and a pin has no pins", hint="pin the lake that it is a pin of"
            )
        if name in self.names():
            raise taken(name)

    def _chosen(self, datasets: Iterable[Dataset]) -> list[Dataset]:
        """Return the datasets to pin.

        Raises:
            ConfigError: the lake does not hold one of them, or none at all.
        """
        wanted = sorted(set(datasets), key=str)
        held = sorted({*LakeStore.datasets(self._lake), *self._lake.recorded()}, key=str)
        for one in wanted:
            if one not in held:
                near = get_close_matches(str(one), map(str, held), 1, cutoff=0.0)
                hint = f"did you mean {near[0]}? dccd inventory" if near else "fill it with dccd backfill"
                raise ConfigError(f"the lake holds nothing of {one}", hint=hint)
        if not held:
            raise ConfigError(f"there is nothing at all in {self._lake.url}", hint="fill it: dccd backfill")
        return wanted or held

    def _marks(self, datasets: Sequence[Dataset], wanted: TimeRange | None) -> dict[str, str]:
        """Return the files to pin, with their marks.

        Raises:
            ConfigError: there is none in this time.
            LakeError: some of them are held elsewhere only.
        """
        listing = listed(self._lake.store, datasets)
        away = [
            f"{dataset} {part.key}"
            for dataset, parts in listing.items()
            for part in parts
            if part.path != data_path(dataset, part.key) and _shares(dataset, part.key, wanted)
        ]
        if away:
            more = f" and {len(away) - _NAMED} more" if len(away) > _NAMED else ""
            said = f"{', '.join(away[:_NAMED])}{more}: held elsewhere only, and a pin needs the files"
            raise LakeError(f"{said}; nothing is pinned", hint="bring them back first: dccd restore DATASET")
        marks = {
            part.path: part.mark
            for dataset, parts in listing.items()
            for part in parts
            if _shares(dataset, part.key, wanted)
        }
        if not marks:
            start, end = said_time(wanted)
            within = " ".join(word for word in (start and f"from {start}", end and f"until {end}") if word)
            raise ConfigError(f"no partition is stored {within}".rstrip(), hint="see dccd inventory")
        return marks

    def _again(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the marks of files that were others, or gone, when they were to be held."""
        missed = {path: place for path in paths if (place := parse_data_path(path))}
        listing = listed(self._lake.store, {dataset for dataset, _ in missed.values()})
        return {part.path: part.mark for parts in listing.values() for part in parts if part.path in missed}

    def _changes(self, pin: Pin) -> tuple[dict[Part, str], list[Part]]:
        """Return what is otherwise in the lake, and which of its partitions are not in the pin."""
        listing = listed(self._lake.store, pin.datasets)
        states = Inventory(self._lake.store).states(listing, self._lake.identity())
        tails = {dataset: self._lake.tail(dataset).read() for dataset in pin.datasets}
        changes = dict[Part, str]()
        for (dataset, key), file in pin.files.items():
            now = states[dataset].get(key)
            unfolded = tails[dataset].unfolded(dataset, key, now.ledger if now else None)
            if said := _difference(file, now, unfolded):
                changes[dataset, key] = said
        new = [
            (dataset, key)
            for dataset, known in states.items()
            for key in known
            if (dataset, key) not in pin.files and _shares(dataset, key, pin.wanted)
        ]
        return changes, new


def _url(store: Store) -> str:
    return store.url("").rstrip("/")


def _no_name(name: str) -> ConfigError:
    hint = "use letters, digits, and . _ - after the first of them"
    return ConfigError(f"{name!r} cannot be the name of a pin", hint=hint)


def _order(part: Part) -> tuple[str, str]:
    return str(part[0]), part[1]


def _shares(dataset: Dataset, key: str, wanted: TimeRange | None) -> bool:
    return wanted is None or partition_span(dataset.grain, key).clip(wanted) is not None


def _listed(store: Store) -> Iterator[tuple[Part, str]]:
    for dataset, parts in listed(store).items():
        yield from (((dataset, part.key), part.path) for part in parts)


def _pin(name: str, store: Store, manifest: Manifest) -> Pin:
    files = {place: file for file in manifest.files if (place := parse_data_path(file.path))}
    wanted = TimeRange(*manifest.wanted) if manifest.wanted else None
    return Pin(name, _url(store), manifest.pin_of, manifest.made, wanted, files)


def _damage(store: Store, dataset: Dataset, key: str, file: PinnedFile) -> Iterator[str]:
    try:
        state = verify(store, dataset, data_path(dataset, key))
    except DamagedFile as e:
        yield f"{dataset} {key}: {e}"
        return
    if state is None:
        yield f"{dataset} {key}: its file is gone from the pin"
    elif _known(state) != _known_of(file):
        yield f"{dataset} {key}: its file is another one than was pinned"


def _known(state: State) -> tuple[object, ...]:
    return state.rows, state.first, state.last, state.bytes, state.content_hash, state.ledger


def _known_of(file: PinnedFile) -> tuple[object, ...]:
    ledger = Ledger.from_json(bytes(file.ledger))
    return file.rows, file.first, file.last, file.bytes, file.content_hash, ledger


def _difference(file: PinnedFile, now: State | None, unfolded: int) -> str | None:
    """Return what is otherwise in the lake; None when nothing is."""
    if now is None:
        return "the lake has it no more"
    more = f", and {unfolded:,} rows in the tail" if unfolded else ""
    if now.elsewhere:
        said = "" if now.content_hash == file.content_hash else ", with other rows"
        return f"the lake holds it elsewhere only ({', '.join(now.elsewhere)}){said}{more}"
    if now.content_hash != file.content_hash:
        said = f"{file.rows:,} rows were pinned, the lake has {now.rows:,}"
        return f"{said if now.rows != file.rows else f'as many rows, {file.rows:,}, but others'}{more}"
    if more:
        return f"the same rows{more}"
    if now.ledger != Ledger.from_json(bytes(file.ledger)):
        return "the same rows; more, or other things, are known of what was asked for and is missing"
    return None
