"""Whose copy a remote is: its ``dccd.json`` has an id of its own, and says of which store it is a copy."""

from io import BytesIO
from typing import Final
from uuid import uuid4

import msgspec

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.keep.copies import LastSync
from dccd_core.keep.remotes.remote import Remote
from dccd_core.lake.store.identity import FORMAT, IDENTITY
from dccd_core.tables import DataType

_MOST_BYTES: Final = 4_096
_ELSEWHERE: Final = "give each store a remote of its own"


class _Claim(msgspec.Struct):
    format: int
    id: str
    copy_of: str = ""


_READ: Final = msgspec.json.Decoder(_Claim)


def claim(remote: Remote, store: str, last: LastSync | None, *, anew: bool = False) -> str:
    """Return the remote's own id; one that is empty becomes a copy of the store ``store`` from now on.

    ``last``: what is known of an earlier sync. ``anew``: it gets another id, as one that was copied from
    another remote needs.

    Raises:
        LakeError: it is a copy of another store, or none; or all that was copied is gone.
        DamagedFile: what it says of itself cannot be read.
    """
    for _ in range(2):
        over = remote.found(IDENTITY) if anew else None
        if (found := _read(remote)) is None:
            _refuse_strange(remote, last)
        else:
            known = _accepted(remote, found, store)
            if not anew:
                return known
        made = _Claim(FORMAT, str(uuid4()), store)
        if remote.write(IDENTITY, BytesIO(msgspec.json.encode(made) + b"\n"), over):
            return made.id
    raise LakeError(f"{remote.url(IDENTITY)} comes and goes", hint="see what else writes there")


def check(remote: Remote, store: str) -> str:
    """Return the id of a remote that is a copy of the store ``store``; nothing is written.

    Raises:
        LakeError: it is none.
        DamagedFile: what it says of itself cannot be read.
    """
    if (found := _read(remote)) is None:
        raise LakeError(
            f"{remote.url('')} is no copy of this store", hint=f"`dccd sync {remote.name}` makes it one"
        )
    return _accepted(remote, found, store)


def _read(remote: Remote) -> _Claim | None:
    found = remote.tail(IDENTITY, _MOST_BYTES)
    if found is None:
        return None
    try:
        return _READ.decode(found[0])
    except msgspec.MsgspecError as e:
        said = f"{remote.url(IDENTITY)}: is not what dccd wrote: {e}"
        raise DamagedFile(said, hint="restore that file from a backup; or use an empty place") from e


def _accepted(remote: Remote, found: _Claim, store: str) -> str:
    if found.format != FORMAT:
        said = f"{remote.url('')} has format {found.format}, not {FORMAT}"
        raise LakeError(said, hint="use the version of dccd that made it, or an empty place")
    if found.copy_of and found.copy_of == store:
        return found.id
    if found.copy_of:
        raise LakeError(f"{remote.url('')} is a copy of another store, {found.copy_of}", hint=_ELSEWHERE)
    what = "this store itself" if found.id == store else f"a store of its own, {found.id}"
    raise LakeError(f"{remote.url('')} is {what}: no place for a copy", hint="use an empty place")


def _refuse_strange(remote: Remote, last: LastSync | None) -> None:
    """Refuse a place without a name that is not as empty as it should be, or emptier."""
    if last and last.files:
        raise LakeError(
            f"{remote.url('')} is empty, though {last.files} files were copied there",
            hint=f"mount it, or bring it back; if they are gone for good: `dccd sync {remote.name} --anew`",
        )
    for data_type in DataType:
        if found := next(iter(remote.find(data_type)), None):
            raise LakeError(
                f"{remote.url(found)}: there is no {IDENTITY} beside it, so nobody knows whose it is",
                hint="use an empty place",
            )
