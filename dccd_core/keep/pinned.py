"""What a pin holds, as it was pinned: each file of it, and the manifest in which they stand.

Belongs here: reading files of a view and manifests, and what is wrong with them. Does not: pins (pins.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from dccd_core.domain.errors import DamagedFile, LakeError
from dccd_core.domain.timespan import Us
from dccd_core.lake.layout import PIN, owner, parse_data_path
from dccd_core.lake.partition.inventory import Inventory, listed
from dccd_core.lake.partition.parquet import State, own
from dccd_core.lake.store.folder import Store

FORMAT: Final = 1
_NAMED: Final = 3


class PinnedFile(msgspec.Struct, frozen=True):
    """A partition as it was pinned. ``ledger``: as in its footer."""

    path: str
    rows: int
    first: Us | None
    last: Us | None
    bytes: int
    content_hash: str
    ledger: msgspec.Raw


class Manifest(msgspec.Struct, frozen=True):
    format: int
    pin_of: str | None
    made: Us
    wanted: tuple[Us, Us] | None
    files: tuple[PinnedFile, ...]


_READ: Final = msgspec.json.Decoder(Manifest)


def pinned_files(lake: Store, view: Store, marks: Mapping[str, str]) -> Iterator[PinnedFile]:
    """Yield what a view of a lake holds, read from its own files.

    Raises:
        LakeError: a file is not among them that was there when it was begun, or is not what was written: it
            is named by its place in the lake.
    """
    held = _states(lake, view)
    if lost := [path for path in marks if held.get(path) is None]:
        said = f"{lost[0]} was removed while it was to be pinned; nothing is pinned"
        raise LakeError(said, hint="pin again, when nothing removes partitions")
    for path in sorted(marks):
        place, state = parse_data_path(path), held[path]
        assert place is not None
        assert state is not None
        own(replace(state, path=lake.url(path)), owner(*place))
        ledger = msgspec.Raw(state.ledger.to_json().encode())
        yield PinnedFile(path, state.rows, state.first, state.last, state.bytes, state.content_hash, ledger)


def _states(lake: Store, view: Store) -> dict[str, State | None]:
    """Return what a view's files say, by path.

    Raises:
        DamagedFile: some are not what was written; all of them are named.
    """
    listing = listed(view)
    try:
        states = Inventory(view).states(listing, None)
    except DamagedFile:
        damaged = [
            f"{dataset} {part.key}: {said}"
            for dataset, parts in listing.items()
            for part in parts
            if (said := _damage_of(lake, view, part.path))
        ]
        more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        raise DamagedFile(
            f"{'; '.join(damaged[:_NAMED])}{more}; nothing is pinned",
            hint="mend it first: dccd verify --repair; or pin other datasets",
        ) from None
    return {part.path: states[dataset].get(part.key) for dataset, parts in listing.items() for part in parts}


def _damage_of(lake: Store, view: Store, path: str) -> str:
    """Say of a file of a view what is wrong with it, and where it is in the lake; empty if nothing is."""
    try:
        Inventory(view).state(path)
    except DamagedFile as e:
        return str(e.args[0]).replace(view.url(path), lake.url(path))
    return ""


def readable(manifest: Manifest) -> bytes:
    """Write a line for each file: people look at it, and compare two with diff."""
    head, files = msgspec.json.encode(msgspec.structs.replace(manifest, files=())), manifest.files
    lines = b",\n".join(msgspec.json.encode(file) for file in files)
    return head.removesuffix(b"]}") + b"\n" + lines + b"\n]}\n"


def read_manifest(store: Store) -> Manifest:
    """Return the manifest of a pin.

    Raises:
        DamagedFile: it is not what was written, or gone.
        LakeError: a later dccd wrote it.
    """
    with store.open(PIN) as stored:
        body = stored.file.read() if stored else b""
    try:
        manifest = _READ.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        said = f"{store.url(PIN)} is not what was written: {e}" if body else f"{store.url(PIN)} is gone"
        raise DamagedFile(said, hint="its partitions can be read all the same; or drop the pin") from e
    if manifest.format != FORMAT:
        raise LakeError(f"{store.url(PIN)} has format {manifest.format}, not {FORMAT}", hint="update dccd")
    return manifest
