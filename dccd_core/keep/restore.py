"""Bring partitions back that are held elsewhere: downloaded, verified, then put in their place.

Belongs here: which remote, and whether it is right. Does not: how a file is put in place (lake/away.py).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import TimeRange
from dccd_core.keep.original import sha256_of
from dccd_core.keep.remotes.remote import Outside, Place, Remote, open_remotes
from dccd_core.keep.room import free_bytes
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import data_path, dataset_folder, owner, parse_data_path
from dccd_core.lake.partition.held import Held
from dccd_core.lake.partition.parquet import Reader, own

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NAMED: Final = 5
_LOG: Final = logging.getLogger("dccd")


def _no_limit() -> int | None:
    return None


def _unheard(_: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Restorer:
    """Brings back what a lake needs; as ``LakeStore.bring`` it does so when rows are read.

    Args:
        lake: where it is put.
        remotes: who may hold it, opened when they are needed.
        keep_free: so many bytes are to stay free where the lake is.
        free: tells how many are; None where nobody can say.
        tell: is told in a line what is brought back.
    """

    lake: LakeStore
    remotes: Callable[[], Sequence[Remote]]
    keep_free: int = 0
    free: Callable[[], int | None] = _no_limit
    tell: Callable[[str], object] = _unheard

    def __call__(self, dataset: Dataset, keys: Sequence[str]) -> None:
        """Bring back these partitions.

        Raises:
            LakeError: there is no room for all of them, or one cannot be had: it names the remotes, and why.
        """
        self._bring_all(dataset, dict.fromkeys(keys, 0))

    def _bring_all(self, dataset: Dataset, keys: Mapping[str, int]) -> None:
        """Bring back partitions; each with its size, as far as no record says it."""
        records = {key: self._record(dataset, key) for key in keys}
        size = sum(record.state.bytes if record else keys[key] for key, record in records.items())
        self._require_room(dataset, len(keys), size)
        remotes = {remote.name: remote for remote in self.remotes()}
        self.tell(_said(dataset, list(keys), size, records))
        for key, record in records.items():
            self._bring(dataset, key, record, remotes)

    def restore(self, dataset: Dataset, span: TimeRange | None = None) -> list[str]:
        """Bring back all of a dataset that shares time with ``span``; return the partitions.

        Also those whose record is damaged, and those that are not here and have none: they merely vanished.
        """
        keys = dict.fromkeys(self.lake.elsewhere(dataset, span), 0) | self._vanished(dataset, span)
        if keys:
            self._bring_all(dataset, dict(sorted(keys.items())))
        return sorted(keys)

    def _vanished(self, dataset: Dataset, span: TimeRange | None) -> dict[str, int]:
        """Return the partitions that remotes hold and of which there is nothing here, with their sizes."""
        here, found = set(self.lake.keys(dataset)), dict[str, int]()
        for remote in self.remotes():
            try:
                there = remote.find(dataset_folder(dataset))
            except LakeError as e:
                self.tell(f"{remote.name}: {e}")
                continue
            for path, file in there.items():
                place = parse_data_path(path)
                if place and place[0] == dataset and place[1] not in here:
                    found[place[1]] = max(file.size, found.get(place[1], 0))
        spans = {key: partition_span(dataset.grain, key) for key in found}
        return {key: size for key, size in found.items() if span is None or spans[key].clip(span)}

    def _record(self, dataset: Dataset, key: str) -> Held | None:
        try:
            return self.lake.held(dataset, key)
        except DamagedFile:
            return None  # what a remote holds proves itself by its own hash

    def _require_room(self, dataset: Dataset, count: int, size: int) -> None:
        free = self.free()
        if free is not None and free - size < self.keep_free:
            left = f", of which {self.keep_free:,} are to stay free" if self.keep_free else ""
            raise LakeError(
                f"{dataset}: to bring back {count} partitions takes {size:,} bytes; {free:,} are free{left}",
                hint="ask for less time, make room, or lower purge.keep_free",
            )

    def _bring(self, dataset: Dataset, key: str, record: Held | None, remotes: Mapping[str, Remote]) -> None:
        """Take it from the first remote that has it as it was: those first that the record names."""
        path, failed = data_path(dataset, key), list[str]()
        named = record.remotes if record else ()
        failed += [
            f"{name}: not among the remotes of the configuration" for name in named if name not in remotes
        ]
        order = [*(remotes[name] for name in named if name in remotes)]
        order += [remote for name, remote in remotes.items() if name not in named]

        def fill(file: BinaryIO) -> None:
            for remote in order:
                try:
                    _fetch(remote, path, file)
                    _verify(file, dataset, key, record)
                except LakeError as e:
                    failed.append(f"{remote.name}: {e}")
                else:
                    return
            raise LakeError(
                f"{dataset} {key}: cannot be brought back: {'; '.join(failed) or 'there are no remotes'}",
                hint="see that a remote is there and holds it, and run `dccd restore`; nothing was changed",
            )

        self.lake.put_back(dataset, key, fill)


def restorer(
    lake: LakeStore,
    places: Sequence[Place],
    s3: "Callable[[], S3Client]",
    keep_free: int = 0,
    tell: Callable[[str], object] | None = None,
) -> Restorer:
    """Return what brings back what remotes at some places hold; without ``tell`` it is logged."""
    return Restorer(
        lake,
        lambda: open_remotes(places, Outside(s3)),
        keep_free,
        lambda: free_bytes(lake.url),
        tell or _LOG.warning,
    )


def _fetch(remote: Remote, path: str, file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()
    if remote.found(path) is None:
        raise LakeError("not there")
    remote.read(path, file)
    file.flush()


def _verify(file: BinaryIO, dataset: Dataset, key: str, record: Held | None) -> None:
    """Read all of what came.

    Raises:
        LakeError: it is not what was taken away; without a record, not whole or another's.
    """
    if record and sha256_of(file) != record.sha256:
        raise DamagedFile("what it holds is not what was taken away: another SHA-256")
    file.seek(0)
    reader = Reader(file, dataset.data_type, "what it holds")
    own(reader.state, owner(dataset, key))
    reader.verify()
    if record and reader.state.content_hash != record.state.content_hash:
        raise DamagedFile("what it holds has other rows than what was taken away")


def _said(dataset: Dataset, keys: list[str], size: int, records: Mapping[str, Held | None]) -> str:
    which = ", ".join(keys[:_NAMED]) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")
    remotes = sorted({name for record in records.values() if record for name in record.remotes})
    of = f" from {', '.join(remotes)}" if remotes else ""
    return f"{dataset}: brings back {which}{of}: {size:,} bytes"
