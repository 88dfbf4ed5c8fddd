"""A small lake, and a remote that can be spoilt: what the tests of keeping share."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import polars as pl

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.keep.remotes.folder import FolderRemote
from dccd_core.keep.remotes.remote import Found, Remote
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path
from dccd_core.lake.partition.ledger import Asked, Source
from dccd_core.lake.partition.parquet import State
from dccd_core.quality.holes import NoCheck
from tests.dccd_core.lake.samples import DAY, TRADES, trades

NOW = Us(1_760_000_000 * SECOND)
FILE = data_path(TRADES, DAY)


def fill(
    lake: LakeStore,
    ids: Sequence[int],
    *,
    key: str = DAY,
    dataset: Dataset = TRADES,
    price: float = 1.0,
    until: int | None = None,
) -> State:
    """Store trades, one a second by their ids; the first ``until`` seconds of the day were asked for."""
    span = partition_span(dataset.grain, key)
    end = span.end if until is None else Us(span.start + until * SECOND)
    rows = trades((number * SECOND, str(number), price + number) for number in ids)
    shift = pl.duration(microseconds=span.start - partition_span(TRADES.grain, DAY).start)
    with lake.draft(dataset, key) as draft:
        draft.append(rows.with_columns(pl.col("ts") + shift))
        return draft.commit([Asked(TimeRange(span.start, end), Source.REST, Us(1), 1, len(ids))], NoCheck)


def days(count: int) -> list[str]:
    return [f"2024-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)][:count]


def filled(lake: LakeStore, count: int, dataset: Dataset = TRADES) -> list[str]:
    """Fill so many days; return the paths of their files."""
    for number, key in enumerate(days(count)):
        fill(lake, range(number + 1), key=key, dataset=dataset)
    return [data_path(dataset, key) for key in days(count)]


def put(remote: Remote, path: str, body: bytes) -> None:
    """Store bytes in the place of whatever is there, as others would."""
    assert remote.write(path, BytesIO(body), remote.found(path))


def body(remote: Remote, path: str) -> bytes:
    into = BytesIO()
    remote.read(path, into)
    return into.getvalue()


def ours(lake: LakeStore, path: str) -> bytes:
    with lake.store.open(path) as stored:
        assert stored
        return stored.file.read()


def equal(lake: LakeStore, remote: Remote, paths: Sequence[str]) -> bool:
    """Whether these files are there as they are here."""
    return all(hashlib.sha256(ours(lake, path)).hexdigest() == remote.sha256(path) for path in paths)


class Through:
    """A remote that is another one, with what may go wrong on the way.

    ``cut``: files of which only half arrives, as of a service that stores what came; how often.
    ``broken``: files at which it does not answer. ``sent``: bytes that were written.
    """

    def __init__(self, to: Remote) -> None:
        self.to = to
        self.cut = dict[str, int]()
        self.broken = set[str]()
        self.sent = 0
        self.read_back = list[str]()

    @property
    def name(self) -> str:
        return self.to.name

    def url(self, path: str) -> str:
        return self.to.url(path)

    def find(self, folder: str) -> dict[str, Found]:
        return self.to.find(folder)

    def found(self, path: str) -> Found | None:
        return self.to.found(path)

    def sha256(self, path: str) -> str | None:
        self.read_back.append(path)
        return self.to.sha256(path)

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        return self.to.tail(path, size)

    def read(self, path: str, into: BinaryIO) -> None:
        self.to.read(path, into)

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        if path in self.broken:
            raise LakeError(f"{path}: the line broke", hint="try again")
        file.seek(0)
        whole = file.read()
        self.sent += len(whole)
        if self.cut.get(path, 0):
            self.cut[path] -= 1
            whole = whole[: len(whole) // 2]
        return self.to.write(path, BytesIO(whole), over)


def folder_remote(folder: Path, name: str = "nas") -> FolderRemote:
    return FolderRemote(name, folder)
