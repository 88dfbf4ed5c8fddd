"""Which store this is: a name that its first writer gives it, and that nobody changes.

What others remember of a store (Dagster's events) carries the name, so that it is not taken for another's.
"""

from dataclasses import dataclass
from typing import BinaryIO, Final
from uuid import uuid4

import msgspec

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.lake.store import Store, Stored, rewrite, writing

IDENTITY: Final = "dccd.json"
_FORMAT: Final = 1
_MOST_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class _Identity:
    format: int
    id: str


def identity(store: Store) -> str | None:
    """Return the store's name; None when nobody has written to it yet, or only an older dccd.

    Raises:
        DamagedFile: the file is not what was written.
        LakeError: it is of a later version.
    """
    found = store.tail(IDENTITY, _MOST_BYTES)
    return _read(found[0], store.url(IDENTITY)) if found else None


def ensure_identity(store: Store) -> str:
    """Return the store's name, and give it one when it has none; of several writers one wins."""

    def fill(file: BinaryIO, stored: Stored | None) -> tuple[str, bool]:
        if stored:
            return _read(stored.file.read(), store.url(IDENTITY)), False
        new = str(uuid4())
        file.write(msgspec.json.encode(_Identity(_FORMAT, new)) + b"\n")
        return new, True

    known = identity(store)
    if known is not None:
        return known
    with writing(store.url(IDENTITY)):
        return rewrite(store, IDENTITY, fill)


def _read(body: bytes, url: str) -> str:
    try:
        found = msgspec.json.decode(body, type=_Identity)
    except msgspec.DecodeError as e:
        hint = "restore the file; or delete it: then all that is known of this store is looked up anew"
        raise DamagedFile(f"{url}: is not what dccd wrote: {e}", hint=hint) from e
    if found.format > _FORMAT:
        raise LakeError(f"{url}: the store has format {found.format}, which is later", hint="update dccd")
    return found.id
