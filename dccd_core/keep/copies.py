"""What is known of the copies on a remote: which files of ours were proven to be there, and when.

It lies in the lake itself, ``.dccd/remotes/NAME``, and saves time only: who is to rely on a copy, as a purge,
asks the remote again at that moment. Lost, it is found out anew, without a byte being copied twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from zlib import crc32

import msgspec

from dccd_core.domain.errors import LakeError
from dccd_core.domain.timespan import Us
from dccd_core.lake.layout import DATA, REMOTES, StreamKey, parse_data_path
from dccd_core.lake.store.folder import Store

T = TypeVar("T")
_FORMAT: Final = 1
_LAST: Final = "last.json"


class Copy(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A file of ours that was proven to be on a remote, byte for byte.

    ``ours`` and ``theirs``: the marks of both files. ``content_hash``: of its rows, empty where it has none.
    """

    size: int
    sha256: str
    content_hash: str
    ours: str
    theirs: str
    verified: Us


class Trouble(msgspec.Struct, frozen=True):
    """A file that is not on the remote as it is here, and why."""

    path: str
    why: str


class LastSync(msgspec.Struct, frozen=True):
    """How a remote was after its last sync, which began ``at``; 0: none has ended yet.

    ``id``: the remote's own. ``files`` and ``bytes``: what was proven to be there. ``waiting``: files that
    were not looked at any more. ``conflicts`` and ``failed``: the first of them; ``troubles``: how many.
    """

    id: str
    at: Us
    files: int = 0
    bytes: int = 0
    waiting: int = 0
    troubles: int = 0
    conflicts: tuple[Trouble, ...] = ()
    failed: tuple[Trouble, ...] = ()
    history: tuple[tuple[Us, int], ...] = ()
    """When there were how many bytes, the newest last."""


class _Head(msgspec.Struct):
    format: int
    crc32: int


_READ_HEAD: Final = msgspec.json.Decoder(_Head)
_READ_COPIES: Final = msgspec.json.Decoder(dict[str, Copy])
_READ_LAST: Final = msgspec.json.Decoder(LastSync)


class Copies:
    """The proven copies on one remote, by the path of each file. One writer at a time; see sync.py."""

    def __init__(self, store: Store, remote: str) -> None:
        self._store = store
        self._folder = f"{REMOTES}/{remote}"
        self._known = dict[StreamKey, dict[str, Copy]]()
        self._changed = set[StreamKey]()

    def get(self, path: str) -> Copy | None:
        """Return what is known of the copy of a file."""
        family = _family(path)
        return self._of(family).get(path) if family else None

    def put(self, path: str, copy: Copy) -> None:
        if family := _family(path):
            self._of(family)[path] = copy
            self._changed.add(family)

    def drop(self, path: str) -> None:
        """Forget a copy that is no more."""
        if (family := _family(path)) and self._of(family).pop(path, None):
            self._changed.add(family)

    def known(self, family: StreamKey) -> Mapping[str, Copy]:
        """Return the copies of files of some datasets: those that differ in nothing but the symbol."""
        return self._of(family)

    def save(self) -> None:
        """Write down what changed; where that cannot be, nobody minds."""
        for family in self._changed:
            _write(self._store, self._file(family), msgspec.json.encode(self._of(family)))
        self._changed.clear()

    def last(self) -> LastSync | None:
        """Return how the remote was after its last sync; None: there was none that anybody remembers."""
        return _read(self._store, f"{self._folder}/{_LAST}", _READ_LAST)

    def remember(self, last: LastSync) -> None:
        _write(self._store, f"{self._folder}/{_LAST}", msgspec.json.encode(last))

    def _of(self, family: StreamKey) -> dict[str, Copy]:
        if family not in self._known:
            self._known[family] = _read(self._store, self._file(family), _READ_COPIES) or {}
        return self._known[family]

    def _file(self, family: StreamKey) -> str:
        return f"{self._folder}/{family.folder}.json"


@dataclass(frozen=True, slots=True)
class Proof:
    """Where a file was proven to be, and when."""

    remote: str
    verified: Us


def proofs(store: Store, remotes: Iterator[str], path: str, content_hash: str) -> list[Proof]:
    """Return on which remotes these very rows of a partition were proven to be."""
    found = ((name, Copies(store, name).get(path)) for name in remotes)
    return [Proof(name, copy.verified) for name, copy in found if copy and copy.content_hash == content_hash]


def _family(path: str) -> StreamKey | None:
    """Return the family that a file is of; its partition's folder says so."""
    place = parse_data_path(f"{path.rpartition('/')[0]}/{DATA}")
    return StreamKey.of(place[0]) if place else None


def _write(store: Store, path: str, body: bytes) -> None:
    with store.memo(path) as memo:
        if memo:
            memo.write(msgspec.json.encode(_Head(_FORMAT, crc32(body))) + b"\n" + body)


def _read(store: Store, path: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
    """Read what ``_write`` wrote; None when it is anything else, or not whole, or not there."""
    try:
        with store.open(path) as stored:
            written = stored.file.read() if stored else b""
        head, _, body = written.partition(b"\n")
        said = _READ_HEAD.decode(head)
        return decoder.decode(body) if (said.format, said.crc32) == (_FORMAT, crc32(body)) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, LakeError, OSError):
        return None
