"""Sync: every partition of a lake, and what was refused beside it, proven to be on a remote.

It only adds (transfer.py): what is there and not here stays there. Partitions that are held elsewhere only
are none of its business, and neither are rows of the tail, which come with their partition once it is folded.
A sync that was killed goes on where it was: what arrived is found there, and is not sent again.
"""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from dccd_core.domain.places import state_dir
from dccd_core.domain.timespan import ZERO, Us
from dccd_core.keep.aside import begun
from dccd_core.keep.claim import claim
from dccd_core.keep.copies import Copies, Copy, LastSync, Trouble
from dccd_core.keep.portion import Halted
from dccd_core.keep.remotes.remote import AT_ONCE, Found, Remote
from dccd_core.keep.transfer import Outcome, Result, Transfer
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.layout import DATA, LOCKS, QUARANTINE, WITHDRAWN, owner, parse_data_path
from dccd_core.lake.store.folder import Store
from dccd_core.tables import DataType

_GIVE_UP: Final = 8
"""After so many failures one after another the rest waits: it is not the files."""
_SAVED_EVERY: Final = 64
_REMEMBERED: Final = 100
_HISTORY: Final = 360
_LOOK_S: Final = 0.5
_PATIENCE: Final = 10
"""Who is told to stop waits so many looks for files on their way, then leaves them: their remote hangs."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a sync goes about it.

    ``verify``: everything there is read back. ``replace``: names of partitions or datasets that are right
    here, whatever is there. ``anew``: that all of an earlier copy is gone is no mistake, and one that is
    there gets another id.
    """

    verify: bool = False
    replace: frozenset[str] = frozenset()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync is: of what there was to look after. ``sent``: bytes; ``path``: the last file."""

    done: int
    files: int
    done_bytes: int
    bytes: int
    sent: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Follow:
    """Who follows a sync: hears how far it is, and may end it. Both are called by several threads."""

    progress: Callable[[Progress], object] = lambda _: None
    halt: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class Line:
    """A dataset on a remote: ``files`` and ``bytes`` that are proven to be there as they are here."""

    files: int = 0
    bytes: int = 0
    verified: Us | None = None
    """When the one was proven that was so the longest time ago."""
    waiting: int = 0
    conflicts: int = 0
    failed: int = 0


@dataclass(slots=True)
class Synced:
    """What came of a sync that began ``at``. ``sent``: bytes that were moved."""

    remote: str
    at: Us
    copied: int = 0
    mended: list[Trouble] = field(default_factory=list[Trouble])
    proven: int = 0
    sent: int = 0
    conflicts: list[Trouble] = field(default_factory=list[Trouble])
    failed: list[Trouble] = field(default_factory=list[Trouble])
    datasets: dict[str, Line] = field(default_factory=dict[str, Line])
    only_there: int = 0
    """Files there that are not here, as those of partitions that are held elsewhere."""
    halted: bool = False

    @property
    def files(self) -> int:
        return sum(line.files for line in self.datasets.values())

    @property
    def bytes(self) -> int:
        return sum(line.bytes for line in self.datasets.values())

    @property
    def waiting(self) -> int:
        return sum(line.waiting for line in self.datasets.values())

    @property
    def well(self) -> bool:
        """Whether all that is here is there."""
        return not (self.conflicts or self.failed or self.waiting)


def sync(
    lake: LakeStore,
    remote: Remote,
    now: Us,
    options: Options = Options(),
    follow: Follow = Follow(),
) -> Synced:
    """Bring to a remote what is here and not there, and return how it is afterwards.

    A file that cannot be brought there does not keep the others from it. Of two syncs to one remote the
    later one waits.

    Raises:
        LakeError: the remote does not answer, or is no place for a copy of this lake.
    """
    name = lake.identity()
    if name is None:
        return Synced(remote.name, now)
    with _alone(lake.url, remote.name, follow):
        copies = Copies(lake.store, remote.name)
        last = None if options.anew else copies.last()
        made = claim(remote, name, last, anew=options.anew)
        if last is None:
            last = LastSync(made, ZERO)
            copies.remember(last)
        work = _Sync(lake.store, remote, copies, options, follow, Synced(remote.name, now))
        work.run()
        copies.remember(_last(work.synced, last))
        return work.synced


def _last(synced: Synced, before: LastSync) -> LastSync:
    return LastSync(
        before.id,
        synced.at,
        synced.files,
        synced.bytes,
        synced.waiting,
        len(synced.conflicts) + len(synced.failed),
        tuple(synced.conflicts[:_REMEMBERED]),
        tuple(synced.failed[:_REMEMBERED]),
        (*before.history, (synced.at, synced.bytes))[-_HISTORY:],
    )


@contextmanager
def _alone(url: str, remote: str, follow: Follow) -> Generator[None]:
    """Keep other syncs of this lake to this remote out, of this machine or of this folder."""
    if "://" in url:
        name = hashlib.sha256(f"{url} {remote}".encode()).hexdigest()
        path = state_dir() / "locks" / f"{name}.lock"
    else:
        path = Path(url).absolute() / LOCKS / "remotes" / f"{remote}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_LOOK_S)
            break
        except Timeout:
            if follow.halt():
                raise Halted("stopped while another sync was under way") from None
    try:
        yield
    finally:
        lock.release()


@dataclass(slots=True)
class _Sync:
    """A sync under way."""

    store: Store
    remote: Remote
    copies: Copies
    options: Options
    follow: Follow
    synced: Synced
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    total: int = 0
    done: int = 0
    done_bytes: int = 0
    in_a_row: int = 0

    def run(self) -> None:
        ours = self._listed_here()
        theirs = dict(chain.from_iterable(self.remote.find(one).items() for one in DataType))
        self.synced.only_there = len(theirs.keys() - ours.keys())
        todo = [path for path, mark in ours.items() if not self._is_settled(path, mark, theirs.get(path))]
        for path in todo:
            self._line(path).waiting += 1
        self.sizes = self._sizes(todo)
        self.total = sum(self.sizes.values())
        try:
            self._bring(todo, theirs)
        finally:
            self.copies.save()
        self.synced.halted = self.ended.is_set() and self.in_a_row < _GIVE_UP

    def _listed_here(self) -> dict[str, str]:
        """Return the marks of all files here that belong there: those of one partition together."""
        found = dict[str, str]()
        for data_type in DataType:
            marks = self.store.marks(data_type).items()
            found |= {path: mark for path, mark in marks if parse_data_path(path)}
            beside = self.store.named(data_type, (QUARANTINE, WITHDRAWN)).items()
            found |= {path: mark for path, mark in beside if parse_data_path(_partition(path))}
        return dict(sorted(found.items()))

    def _is_settled(self, path: str, mark: str, there: Found | None) -> bool:
        """Tell whether both files are those that were proven to be equal, and count them if so."""
        known = self.copies.get(path)
        if self.options.verify or known is None or not mark:
            return False
        if (mark, there) != (known.ours, Found(known.size, known.theirs)):
            return False
        self._count(path, known)
        return True

    def _sizes(self, paths: Sequence[str]) -> dict[str, int]:
        def size(path: str) -> int:
            ending = self.store.ending(path, 1)
            return ending.size if ending else 0

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(paths, pool.map(size, paths), strict=True))

    def _bring(self, todo: Iterable[str], theirs: Mapping[str, Found]) -> None:
        transfer = Transfer(
            self.store,
            self.remote,
            self.synced.at,
            self._is_to_end,
            self._sent,
            self.options.replace,
            deep=self.options.verify,
        )
        paths, running, unsaved, stopping = iter(todo), set[Future[Result]](), 0, 0
        self._tell()
        try:
            while stopping < _PATIENCE:
                while len(running) < AT_ONCE and not self._is_to_end() and (path := next(paths, None)):
                    running.add(begun(transfer.run, path, theirs.get(path), self.copies.get(path)))
                if not running:
                    break
                ready, running = wait(running, _LOOK_S, FIRST_COMPLETED)
                for one in ready:
                    self._take(one.result())
                stopping += self._is_to_end() and self.in_a_row < _GIVE_UP and not ready
                unsaved += len(ready)
                if unsaved >= max(_SAVED_EVERY, self.done // 8):
                    self.copies.save()
                    unsaved = 0
        except BaseException:
            self.ended.set()
            wait(running, _LOOK_S * _PATIENCE)
            raise

    def _take(self, result: Result) -> None:
        if result.outcome is Outcome.HALTED:
            return
        self._line(result.path).waiting -= 1
        self._judge(result)
        if result.copy:
            self.copies.put(result.path, result.copy)
            self._count(result.path, result.copy)
        with self.lock:
            self.done += 1
            self.done_bytes += self.sizes[result.path]
        self._tell(result.path)

    def _judge(self, result: Result) -> None:
        synced, line, said = self.synced, self._line(result.path), Trouble(result.path, result.why)
        self.in_a_row = self.in_a_row + 1 if result.outcome is Outcome.FAILED else 0
        match result.outcome:
            case Outcome.COPIED:
                synced.copied += 1
            case Outcome.MENDED:
                synced.mended.append(said)
            case Outcome.PROVEN:
                synced.proven += 1
            case Outcome.CONFLICT:
                synced.conflicts.append(said)
                line.conflicts += 1
            case Outcome.FAILED:
                synced.failed.append(said)
                line.failed += 1
            case _:
                self.copies.drop(result.path)

    def _count(self, path: str, copy: Copy) -> None:
        line = self._line(path)
        line.files += 1
        line.bytes += copy.size
        line.verified = min(line.verified, copy.verified) if line.verified else copy.verified

    def _line(self, path: str) -> Line:
        place = parse_data_path(_partition(path))
        return self.synced.datasets.setdefault(str(place[0]) if place else path, Line())

    def _is_to_end(self) -> bool:
        if not self.ended.is_set() and (self.in_a_row >= _GIVE_UP or self.follow.halt()):
            self.ended.set()
        return self.ended.is_set()

    def _sent(self, more: int) -> None:
        with self.lock:
            self.synced.sent += more
        self._tell()

    def _tell(self, path: str = "") -> None:
        told = (self.done, len(self.sizes), self.done_bytes, self.total, self.synced.sent)
        self.follow.progress(Progress(*told, path))


def said_of(trouble: Trouble) -> str:
    """Return what a file is called for people, and what is wrong with it."""
    place = parse_data_path(_partition(trouble.path))
    name = owner(*place) if place else trouble.path
    beside = "" if trouble.path.endswith(DATA) else f" ({trouble.path.rpartition('/')[2]})"
    return f"{name}{beside}: {trouble.why}"


def _partition(path: str) -> str:
    return f"{path.rpartition('/')[0]}/{DATA}"
