"""Which store this is: a name that its first writer gives it, and that nobody changes.

What others remember of a store (Dagster's events) carries the name, so that it is not taken for another's.
"""

from typing import BinaryIO, Final
from uuid import uuid4

import msgspec

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.lake.store.fixed import Fixed
from dccd_core.lake.store.folder import Store, Stored, rewrite, writing
from dccd_core.tables import DataType

IDENTITY: Final = "dccd.json"
FORMAT: Final = 2
_OTHER: Final = "download into another store: nothing converts it"
_MOST_BYTES: Final = 4_096


class _Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """``pin_of``: the name of the store that this one is a view of, which never changes."""

    format: int
    id: str
    pin_of: str | None = None


_READ: Final = msgspec.json.Decoder(_Identity)


def identity(store: Store) -> str | None:
    """Return the store's name; None when nobody has written to it yet.

    Raises:
        DamagedFile: the file is not what was written.
        LakeError: the store has another format.
    """
    found = _look(store)
    return found.id if found else None


def usable(store: Store) -> tuple[Store, str | None]:
    """Return a store as it may be used, and its name: of a pin everything that would write is refused.

    Raises:
        DamagedFile, LakeError: as ``identity``.
    """
    found = _look(store)
    if found is None:
        return store, None
    return Fixed(store) if found.pin_of else store, found.id


def pin_of(store: Store) -> str | None:
    """Return the name of the store that this one is a pin of; None: it is none."""
    found = _look(store)
    return found.pin_of if found else None


def new_pin_identity(of: str) -> bytes:
    """Return what ``IDENTITY`` says of a new pin of the store named ``of``."""
    return msgspec.json.encode(_Identity(FORMAT, str(uuid4()), of)) + b"\n"


def ensure_identity(store: Store) -> str:
    """Return the store's name, and give it one when it has none; of several writers one wins."""

    def fill(file: BinaryIO, stored: Stored | None) -> tuple[str, bool]:
        if stored:
            return _read(stored.file.read(), store.url(IDENTITY)).id, False
        new = str(uuid4())
        file.write(msgspec.json.encode(_Identity(FORMAT, new)) + b"\n")
        return new, True

    known = identity(store)
    if known is not None:
        return known
    with writing(store.url(IDENTITY)):
        return rewrite(store, IDENTITY, fill)


def _look(store: Store) -> _Identity | None:
    found = store.tail(IDENTITY, _MOST_BYTES)
    if found is None:
        _refuse_nameless(store)
        return None
    return _read(found[0], store.url(IDENTITY))


def _read(body: bytes, url: str) -> _Identity:
    try:
        found = _READ.decode(body)
    except msgspec.DecodeError as e:
        hint = "restore the file; or delete it: then all that is known of this store is looked up anew"
        raise DamagedFile(f"{url}: is not what dccd wrote: {e}", hint=hint) from e
    if found.format != FORMAT:
        age = "later" if found.format > FORMAT else "older"
        raise LakeError(
            f"{url}: the store has format {found.format}, which is {age} than {FORMAT}", hint=_OTHER
        )
    return found


def _refuse_nameless(store: Store) -> None:
    """Refuse files without a name beside them: formats before this one had none, or other paths.

    Raises:
        LakeError: there are some.
    """
    for data_type in DataType:
        if found := store.find(data_type):
            said = (
                f"{store.url(found[0])}: there is no {IDENTITY} in its store, as of a format before {FORMAT}"
            )
            raise LakeError(said, hint=f"restore {IDENTITY} if it was there; else {_OTHER}")
