"""What lies in a store of dccd 3, by the names that it has here. Looks at names only, and writes nothing.

``{root}/{exchange}/{data type}/{BASE-QUOTE[_PERP]}/[{span}/]{period}.parquet``; a period is a year where
there is a span, else a day. What dccd 2 left there lies in the same places.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, TimeRange, Us, iso
from dccd_core.exchanges import NAMES
from dccd_core.imports.quirks import Quirk, quirk_of
from dccd_core.lake.store.identity import IDENTITY
from dccd_core.tables import DataType, Grain

_SUFFIX: Final = ".parquet"
_OWN: Final = ".dccd"
_COVERAGE: Final = "coverage.db"
_YEAR: Final = re.compile(r"\d{4}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_KILLED: Final = re.compile(r".*\.parquet\.tmp\..*")
_MONTHS: Final = ("1M", "2592000s")
_SLUG: Final = re.compile(r"([^-_]+)-([^-_]+?)(?:_(PERP|QUARTER|NEXT_QUARTER))?")
_ALIASES: Final = {"XBT": "BTC"}
"""What dccd 3 calls otherwise than the exchange does; dccd 2 did not."""
_PERPETUAL: Final = "PERP"

KILLED: Final = "a killed dccd 3 left it behind; it never counted"
_WHERE: Final = "name the data_path of dccd 3's config.yml"


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file of one dataset. ``name``: relative to the store. ``modified``: when it was written last."""

    path: Path
    name: str
    period: TimeRange
    size: int
    modified: Us

    @property
    def mark(self) -> str:
        """What changes with the file."""
        return f"{self.size}-{self.modified}"


@dataclass(frozen=True, slots=True)
class OldDataset:
    """What one dataset of ours is there: its files in order of time."""

    dataset: Dataset
    quirk: Quirk
    files: tuple[OldFile, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not taken over, and why; it stays where it is. ``harmless``: nothing is lost by that."""

    name: str
    why: str
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class OldStore:
    root: Path
    datasets: tuple[OldDataset, ...]
    left_out: tuple[LeftOut, ...]


def open_old(root: Path) -> OldStore:
    """Look at what is in a store of dccd 3.

    Raises:
        ConfigError: there is no such store.
        LakeError: it cannot be read.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is no folder", hint=_WHERE)
    if (root / IDENTITY).exists():
        raise ConfigError(f"{root} is a lake of this dccd already", hint=_WHERE)
    try:
        look = _Look(root)
        look.at_root()
    except OSError as e:
        raise LakeError(f"cannot read {e.filename}: {e.strerror}", hint=f"see to {e.filename}") from e
    if not look.found and not look.left_out:
        said = f"{root} holds nothing that dccd 3 wrote"
        raise ConfigError(said, hint="in it are folders like binance/ohlc/BTC-USDT/1h/2024.parquet")
    datasets = tuple(look.datasets())
    left_out = [*look.left_out, *_purged(root, datasets)]
    return OldStore(root, datasets, tuple(sorted(left_out, key=lambda one: one.name)))


class _Look:
    """One walk through the folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found = dict[Dataset, list[OldFile]]()
        self.left_out = list[LeftOut]()

    def datasets(self) -> Iterator[OldDataset]:
        for dataset in sorted(self.found, key=str):
            files = sorted(self.found[dataset], key=lambda file: (file.period, file.name))
            yield OldDataset(dataset, quirk_of(dataset.exchange), tuple(files))

    def at_root(self) -> None:
        for folder in _inside(self.root):
            if folder.name.startswith("."):
                continue
            if not folder.is_dir():
                self._leave(folder, "dccd 3 keeps no such file here")
            elif folder.name not in NAMES:
                self._leave(folder, f"there is no exchange {folder.name} here")
            else:
                self._at_exchange(folder)

    def _at_exchange(self, folder: Path) -> None:
        for kind in _inside(folder):
            if kind.name.startswith("."):
                continue
            if not kind.is_dir() or kind.name not in tuple(DataType):
                self._leave(kind, f"there is no data type {kind.name} here")
                continue
            for pair in _inside(kind):
                self._at_pair(folder.name, DataType(kind.name), pair)

    def _at_pair(self, exchange: str, data_type: DataType, folder: Path) -> None:
        try:
            symbol = symbol_of(exchange, folder.name)
        except ConfigError as e:
            self._leave(folder, str(e.args[0]))
            return
        if not data_type.table.takes_span:
            self._at_files(Dataset(exchange, symbol, data_type), folder)
            return
        for spanned in _inside(folder):
            try:
                dataset = Dataset(exchange, symbol, data_type, _span(spanned.name))
            except ConfigError as e:
                self._leave(spanned, str(e.args[0]))
            else:
                self._at_files(dataset, spanned)

    def _at_files(self, dataset: Dataset, folder: Path) -> None:
        if not folder.is_dir():
            self._leave(folder, "is no folder of files")
            return
        for path in _inside(folder):
            period = _period(path.name, yearly=dataset.span is not None)
            if _KILLED.fullmatch(path.name):
                self._leave(path, KILLED, harmless=True)
            elif period is None or not path.is_file():
                self._leave(path, f"is no file of a {'year' if dataset.span else 'day'} ending in {_SUFFIX}")
            else:
                status = path.stat()
                modified = Us(status.st_mtime_ns // 1_000)
                name = path.relative_to(self.root).as_posix()
                file = OldFile(path, name, period, status.st_size, modified)
                self.found.setdefault(dataset, []).append(file)

    def _leave(self, path: Path, why: str, *, harmless: bool = False) -> None:
        """Name what is not taken over; of a folder without any file there is nothing to say."""
        if path.is_dir() and not any(one.is_file() for one in path.rglob("*")):
            return
        self.left_out.append(LeftOut(path.relative_to(self.root).as_posix(), why, harmless))


def symbol_of(exchange: str, slug: str) -> Symbol:
    """Return what a folder of dccd 3 is called here.

    >>> str(symbol_of("binance", "BTC-USDT_PERP")), str(symbol_of("kraken", "XBT-USD"))
    ('BTC/USDT:USDT', 'BTC/USD')
    >>> str(symbol_of("bitmex", "BTC-USD"))
    'BTC/USD:BTC'

    Raises:
        ConfigError: nothing here is that.
    """
    match = _SLUG.fullmatch(slug.upper())
    if match is None:
        raise ConfigError(f"{slug} is no pair as dccd 3 writes one")
    base, quote = (_ALIASES.get(code, code) for code in (match[1], match[2]))
    symbol = Symbol.parse(f"{base}/{quote}")  # refuses what no market is called by
    if match[3] == _PERPETUAL:
        return Symbol(base, quote, quote)
    if match[3]:
        raise ConfigError(
            "it is a series of one quarterly contract after another; here each contract is one by itself"
        )
    return quirk_of(exchange).market(symbol)


def _span(name: str) -> Us:
    if name in _MONTHS:
        raise ConfigError("a calendar month has no fixed length: there are no bars of months here")
    try:
        return parse_bar_span(name)
    except ConfigError:
        raise ConfigError(f"{name} is no length of a bar") from None


def _period(name: str, *, yearly: bool) -> TimeRange | None:
    """Return the time that a file is of, by its name; None for no such name."""
    stem = name.removesuffix(_SUFFIX)
    if stem == name or not (_YEAR if yearly else _DAY).fullmatch(stem):
        return None
    try:
        return partition_span(Grain.YEAR if yearly else Grain.DAY, stem)
    except (ConfigError, OverflowError, ValueError):  # also of the year after which there is none
        return None


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _purged(root: Path, datasets: tuple[OldDataset, ...]) -> Iterator[LeftOut]:
    """Name what dccd 3 once held and of which no file is here: it was purged, or is lost."""
    here = {one.dataset: one.files[0].period.start for one in datasets}
    for name, dataset, first in _remembered(root / _OWN / _COVERAGE):
        if dataset not in here:
            yield LeftOut(name, f"dccd 3 had it since {iso(first)}, no file of it is here: restore it first")
        elif first + DAY < here[dataset] and first > 0:
            said = f"dccd 3 had it since {iso(first)}, the files here begin with {iso(here[dataset])}"
            yield LeftOut(name, f"{said}: restore the older ones first")


def _remembered(database: Path) -> Iterator[tuple[str, Dataset, Us]]:
    """Yield what dccd 3 remembers of each dataset: its name there, what it is here, and its first moment.

    The database is opened as one that nobody writes to, so that nothing is written beside it.
    """
    if not database.is_file():
        return
    try:
        url = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(url, uri=True)) as asked:
            rows = asked.execute("SELECT exchange, symbol, data_type, span, min_ts FROM coverage").fetchall()
    except sqlite3.Error:
        return  # it says how much there was, and nothing else
    for exchange, symbol, kind, span, first in rows:
        pair = str(symbol).replace("/", "-").replace(":", "_")
        try:
            found = DataType(kind)
            dataset = Dataset(
                str(exchange), symbol_of(exchange, pair), found, Us(int(span) * 10**6) if span else None
            )
        except (ConfigError, ValueError):
            continue
        if exchange in NAMES and found.table.takes_span == bool(span) and first:
            yield f"{exchange}/{kind}/{pair}", dataset, Us(int(first) // 1_000)
