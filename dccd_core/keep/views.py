"""Where pins are kept: in a folder as hard links of the lake's files, in a bucket as the service's copies.

Either way no byte of data is read or written here. A view that is being made is no pin: in a folder it has
another name until it is whole, in a bucket it has no ``dccd.json``. Whoever makes or drops a pin next
removes what a killed process left.
"""

import errno
import os
import platform
import shutil
import stat
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from uuid import uuid4

import msgspec
from filelock import FileLock

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.domain.places import state_dir
from dccd_core.domain.timespan import DAY, Us, iso
from dccd_core.lake.layout import PIN, PINS
from dccd_core.lake.live.segments import sync_folder
from dccd_core.lake.store.folder import Folder, PinnedObjects, Store, Stored, rewrite, writing
from dccd_core.lake.store.identity import IDENTITY

_AT_ONCE: Final = 16
_LEFT: Final = ".left"
"""How the name of a folder ends that is no pin yet, or none any more."""
_READ_ONLY: Final = ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
_CLAIM: Final = "making.json"
_PATIENCE_S: Final = 600
_NO_LINKS: Final = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class View(Protocol):
    """A pin that is being made."""

    store: Store

    def hold(self, marks: Mapping[str, str]) -> list[str]:
        """Take in files of the lake, given with their marks; return those that are others by now, or gone."""
        ...

    def keep(self, manifest: bytes, identity: bytes) -> None:
        """Make it a pin, durably."""
        ...


class Views(Protocol):
    """The pins of a store."""

    def names(self) -> list[str]:
        """Return the names of all pins, sorted."""
        ...

    def store(self, name: str) -> Store:
        """Return a pin as a store, whether it is there or not."""
        ...

    def making(self, name: str, now: Us) -> AbstractContextManager[View]:
        """Begin a pin; it leaves nothing behind unless it is kept.

        Raises:
            ConfigError: there is one of this name.
            LakeError: another process is making it.
        """
        ...

    def drop(self, name: str, now: Us) -> None:
        """Remove a pin, or what is left of one; no file of the lake changes."""
        ...


def views_of(store: Store) -> Views:
    """Return the pins of a store."""
    objects = store.objects()
    return FolderViews(store) if objects is None else BucketViews(store, objects)


def taken(name: str) -> ConfigError:
    hint = f"choose another name, or drop that one: dccd pin --drop {name}"
    return ConfigError(f"there is a pin {name} already, and a pin never changes", hint=hint)


class FolderViews:
    """Pins in a folder: hard links, so a file stays as it was when the lake gets another one by its name.

    What is linked becomes read-only, in the lake too, for it is the same file: dccd replaces files and never
    writes into one, and who would do so by hand is refused.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lake = Path(store.url(""))
        self._root = self._lake / PINS

    def names(self) -> list[str]:
        try:
            return sorted(one.name for one in self._root.iterdir() if one.is_dir() and one.name[0] != ".")
        except FileNotFoundError:
            return []

    def store(self, name: str) -> Store:
        return Folder(self._root / name)

    @contextmanager
    def making(self, name: str, now: Us) -> Generator["_Links"]:  # noqa: ARG002 -- a lock tells the living
        draft = self._root / f".{name}.{uuid4().hex}{_LEFT}"
        with writing(str(self._root)), self._store.locked(f"{PINS}/{name}"):
            self._sweep()
            if os.path.lexists(self._root / name):
                raise taken(name)
            draft.mkdir(parents=True)
            try:
                yield _Links(self._lake, draft, self._root / name)
            finally:
                _remove(draft)
                with suppress(OSError):
                    self._root.rmdir()

    def drop(self, name: str, now: Us) -> None:  # noqa: ARG002 -- as above
        with writing(str(self._root)), self._store.locked(f"{PINS}/{name}"):
            gone = self._root / f".{name}.{uuid4().hex}{_LEFT}"
            with suppress(FileNotFoundError):
                (self._root / name).rename(gone)
                sync_folder(self._root)
            self._sweep()
            with suppress(OSError):
                self._root.rmdir()

    def _sweep(self) -> None:
        """Remove what killed processes left: who makes or drops a pin has the lock, and that is us."""
        for left in self._root.glob(f".*{_LEFT}"):
            _remove(left)


class _Links:
    """A view of hard links under another name than the pin's."""

    def __init__(self, lake: Path, draft: Path, target: Path) -> None:
        self.store: Store = Folder(draft)
        self._lake = lake
        self._draft = draft
        self._target = target

    def hold(self, marks: Mapping[str, str]) -> list[str]:
        missed = list[str]()
        for path in marks:
            link = self._draft / path
            link.parent.mkdir(parents=True, exist_ok=True)
            if not _linked(self._lake / path, link):
                missed.append(path)
        return missed

    def keep(self, manifest: bytes, identity: bytes) -> None:
        for name, body in ((PIN, manifest), (IDENTITY, identity)):
            with (self._draft / name).open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            (self._draft / name).chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        # Together: a disk has one flush for many who wait for it, and a thousand one after another take long.
        _each(lambda folder: sync_folder(Path(folder)), [folder for folder, _, _ in os.walk(self._draft)])
        self._draft.rename(self._target)
        sync_folder(self._target.parent)
        sync_folder(self._lake)


def _linked(source: Path, link: Path) -> bool:
    """Link a file, and make it read-only; False when there is none any more."""
    try:
        os.link(source.resolve() if source.is_symlink() else source, link)
        link.chmod(stat.S_IMODE(link.stat().st_mode) & _READ_ONLY)
    except FileNotFoundError:
        return False
    except OSError as e:
        raise _no_link(e, source, link) from e
    return True


def _no_link(error: OSError, source: Path, link: Path) -> Exception:
    """Return what to say when a file cannot be linked; what is no matter of links is said by others."""
    if error.errno == errno.EXDEV:
        pins = link.parents[len(link.parts) - link.parts.index(PINS) - 2]
        said = f"{source} lies on another file system than {pins}, and no hard link leads from one to another"
        return LakeError(f"{said}; nothing is pinned", hint="keep all of a lake on one file system to pin it")
    if error.errno == errno.EMLINK:
        said = f"{source} has as many hard links as its file system allows; nothing is pinned"
        return LakeError(said, hint="drop a pin that holds it: dccd pin --list")
    if error.errno in _NO_LINKS:
        said = f"no hard link of {source} can be made: {error.strerror}; nothing is pinned"
        hint = "run it as the user whose files they are, on a file system with hard links (FAT, exFAT: none)"
        return LakeError(said, hint=hint)
    return error


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


class _Claim(msgspec.Struct, frozen=True):
    """Who makes, or drops, a pin in a bucket, and since when."""

    maker: str
    at: int


_READ: Final = msgspec.json.Decoder(_Claim)


class BucketViews:
    """Pins in a bucket: copies by the service itself, each of the very object that was listed."""

    def __init__(self, store: Store, objects: PinnedObjects) -> None:
        self._store = store
        self._objects = objects

    def names(self) -> list[str]:
        return sorted(name for name, paths in self._found().items() if IDENTITY in paths)

    def store(self, name: str) -> Store:
        return self._objects.below(f"{PINS}/{name}")

    @contextmanager
    def making(self, name: str, now: Us) -> Generator["_Copies"]:
        with self._alone():
            self._sweep(now)
            if IDENTITY in self._found().get(name, ()):
                raise taken(name)
            self._claim(name, now)
            view = _Copies(
                self._objects, self.store(name), f"{PINS}/{name}", lambda: self._is_mine(name, now)
            )
            try:
                yield view
            finally:
                if view.kept:
                    self._objects.remove(f"{PINS}/{name}/{_CLAIM}")
                elif self._is_mine(name, now):
                    self._remove(name)

    def drop(self, name: str, now: Us) -> None:
        with self._alone():
            if IDENTITY in self._found().get(name, ()):
                self._claim(name, now)
            self._objects.remove(f"{PINS}/{name}/{IDENTITY}")
            self._remove(name)
            self._sweep(now)

    def _found(self) -> dict[str, list[str]]:
        """Return what is there, by the name of its pin, relative to it."""
        found = dict[str, list[str]]()
        for path in self._objects.names(PINS):
            name, _, rest = path.removeprefix(f"{PINS}/").partition("/")
            found.setdefault(name, []).append(rest)
        return found

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep out other processes of this machine: so what is claimed from here has a dead maker."""
        name = sha256(self._store.url(PINS).encode()).hexdigest()
        lock = state_dir() / "locks" / f"{name}.lock"
        with writing(str(lock)):
            lock.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=_PATIENCE_S):
                yield

    def _claim(self, name: str, now: Us) -> None:
        """Write down that we make it.

        Raises:
            LakeError: somebody else does.
        """
        path, mine = f"{PINS}/{name}/{_CLAIM}", _Claim(platform.node(), now)

        def fill(file: BinaryIO, stored: Stored | None) -> tuple[_Claim, bool]:
            other = _READ.decode(stored.file.read()) if stored else None
            if other and not _is_dead(other, now):
                return other, False
            file.write(msgspec.json.encode(mine))
            return mine, True

        if (maker := rewrite(self._store, path, fill)) != mine:
            raise LakeError(
                f"{maker.maker} has been making the pin {name} since {iso(Us(maker.at))}",
                hint=f"wait for it; if it is not running any more: dccd pin --drop {name}",
            )

    def _is_mine(self, name: str, at: Us) -> bool:
        """Return whether nobody has dropped meanwhile what we began then."""
        return self._read_claim(name) == _Claim(platform.node(), at)

    def _read_claim(self, name: str) -> _Claim | None:
        with self._objects.open(f"{PINS}/{name}/{_CLAIM}") as stored:
            return _READ.decode(stored.file.read()) if stored else None

    def _sweep(self, now: Us) -> None:
        """Remove what killed processes of this machine left, and what others left long ago."""
        for name, paths in self._found().items():
            if _CLAIM not in paths:
                continue
            claim = self._read_claim(name)
            if claim is None or not _is_dead(claim, now):
                continue
            if IDENTITY in paths:
                self._objects.remove(f"{PINS}/{name}/{_CLAIM}")
            else:
                self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove all that is there of one that is no pin, its claim last."""
        paths = self._found().get(name, [])
        others = [f"{PINS}/{name}/{path}" for path in paths if path != _CLAIM]
        _each(self._objects.remove, others)
        self._objects.remove(f"{PINS}/{name}/{_CLAIM}")


class _Copies:
    """A view of copies that are no pin before ``dccd.json`` is among them."""

    def __init__(
        self, objects: PinnedObjects, store: Store, folder: str, is_mine: Callable[[], bool]
    ) -> None:
        self.store = store
        self.kept = False
        self._objects = objects
        self._folder = folder
        self._is_mine = is_mine

    def hold(self, marks: Mapping[str, str]) -> list[str]:
        def copied(path: str) -> bool:
            self._refuse_dropped()
            return self._objects.copy(path, f"{self._folder}/{path}", marks[path])

        paths = [*marks]
        done = _each(copied, paths)
        return [path for path, well in zip(paths, done, strict=True) if not well]

    def keep(self, manifest: bytes, identity: bytes) -> None:
        self._refuse_dropped()
        self._objects.put(f"{self._folder}/{PIN}", manifest)
        self._objects.put(f"{self._folder}/{IDENTITY}", identity)
        self.kept = True

    def _refuse_dropped(self) -> None:
        """Leave alone what another one makes by now.

        Raises:
            LakeError: this view was dropped.
        """
        if not self._is_mine():
            raise LakeError(
                f"{self._folder} was dropped while it was made; nothing is pinned", hint="pin it again"
            )


def _is_dead(claim: _Claim, now: Us) -> bool:
    return claim.maker == platform.node() or now - claim.at > DAY


def _each(act: Callable[[str], object], paths: list[str]) -> list[object]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(act, paths))
