"""What was read of the footers of many partitions, as one file. Pure; bytes in and out.

It only saves time: who reads it compares each mark with the file as it is; in doubt the footer is read.
"""

from collections.abc import Mapping
from typing import Final
from zlib import crc32

import msgspec

from dccd_core.domain.errors import DamagedFile
from dccd_core.domain.timespan import Us
from dccd_core.lake.partition.ledger import Ledger
from dccd_core.lake.partition.parquet import State

_FORMAT: Final = 2
"""To be raised with every change of what ``Entry`` holds, or of how ``State`` is read from a footer."""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The state of a partition, and the mark of the file whose footer said so. ``ledger``: as in a footer."""

    mark: str
    rows: int
    first: Us | None
    last: Us | None
    bytes: int
    content_hash: str
    owner: str
    ledger: msgspec.Raw
    elsewhere: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: State, mark: str) -> "Entry":
        ledger = msgspec.Raw(state.ledger.to_json().encode())
        known = (state.rows, state.first, state.last, state.bytes, state.content_hash, state.owner)
        return cls(mark, *known, ledger, state.elsewhere)

    def state(self, path: str) -> State | None:
        """Return the state of the file at ``path``; None when this dccd does not know such a ledger."""
        try:
            ledger = Ledger.from_json(bytes(self.ledger))
        except DamagedFile:
            return None
        known = (self.rows, self.first, self.last, self.bytes, self.content_hash, ledger, self.owner)
        return State(path, *known, elsewhere=self.elsewhere)


Manifest = dict[str, dict[str, Entry]]
_READ: Final = msgspec.json.Decoder(Manifest)
"""By the slug of a symbol and the key of a partition."""


class _Head(msgspec.Struct):
    format: int
    store: str
    crc32: int


_READ_HEAD: Final = msgspec.json.Decoder(_Head)


def encode(entries: Mapping[str, Mapping[str, Entry]], store: str) -> bytes:
    """Write down what is known of partitions of a store: a line that says what follows, and that."""
    body = msgspec.json.encode(entries)
    return msgspec.json.encode(_Head(_FORMAT, store, crc32(body))) + b"\n" + body


def decode(written: bytes, store: str) -> Manifest:
    """Read what ``encode`` wrote of this store; nothing when it is anything else, or not whole."""
    head, _, body = written.partition(b"\n")
    try:
        said = _READ_HEAD.decode(head)
        if (said.format, said.store, said.crc32) != (_FORMAT, store, crc32(body)):
            return {}
        return _READ.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
