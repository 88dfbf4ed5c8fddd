"""What stays of a partition whose file is held elsewhere only. Pure; bytes in and out.

Only such a record says that a file was taken away on purpose: one that merely vanished has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from zlib import crc32

import msgspec

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import Us
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.lake.partition.parquet import State

Bring = Callable[[Dataset, Sequence[str]], object]
"""Has the files of these partitions here when it returns; raises LakeError when it cannot."""

_MEND: Final = "dccd restore brings the partition back from a remote that holds it"


@dataclass(frozen=True, slots=True)
class Place:
    """A remote that holds the file, and when it was last verified that it does."""

    remote: str
    verified: Us


@dataclass(frozen=True, slots=True)
class Held:
    """``state``: what the file's footer said. ``sha256``: of the whole file. ``at``: when it went.

    ``nonce`` makes each record another one.
    """

    state: State
    sha256: str
    places: tuple[Place, ...]
    at: Us
    nonce: str = ""

    @property
    def remotes(self) -> tuple[str, ...]:
        return tuple(place.remote for place in self.places)

    def to_json(self) -> bytes:
        state = self.state
        written = msgspec.json.encode(
            _Body(
                rows=state.rows,
                first=state.first,
                last=state.last,
                bytes=state.bytes,
                content_hash=state.content_hash,
                sha256=self.sha256,
                owner=state.owner,
                places=self.places,
                at=self.at,
                nonce=self.nonce,
                ledger=msgspec.Raw(state.ledger.to_json().encode()),
            )
        )
        return msgspec.json.encode(_Record(1, crc32(written), msgspec.Raw(written))) + b"\n"


class _Record(msgspec.Struct):
    version: Literal[1]
    crc32: int
    held: msgspec.Raw


class _Body(msgspec.Struct):
    rows: int
    first: Us | None
    last: Us | None
    bytes: int
    content_hash: str
    sha256: str
    owner: str
    places: tuple[Place, ...]
    at: Us
    nonce: str
    ledger: msgspec.Raw


_READ: Final = msgspec.json.Decoder(_Record)
_READ_BODY: Final = msgspec.json.Decoder(_Body)


def parse_held(written: bytes, name: str, path: str) -> Held:
    """Read a record.

    Args:
        written: what ``to_json`` gave.
        name: what errors call the record.
        path: where the partition's file was, and will be.

    Raises:
        DamagedFile: it is not what was written.
    """
    try:
        record = _READ.decode(written)
        whole = crc32(bytes(record.held)) == record.crc32
        body = _READ_BODY.decode(record.held)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise DamagedFile(f"{name} cannot be read: {e}", hint=_MEND) from e
    if not whole:
        raise DamagedFile(f"{name} is not what was written", hint=_MEND)
    ledger = Ledger.from_json(bytes(body.ledger))
    remotes = tuple(place.remote for place in body.places)
    known = (body.rows, body.first, body.last, body.bytes, body.content_hash)
    state = State(path, *known, ledger, body.owner, elsewhere=remotes)
    return Held(state, body.sha256, body.places, body.at, body.nonce)
