"""A store that never changes: it is read as any other, and what would write to it is refused."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from dccd_core.domain.errors import LakeError
from dccd_core.lake.store.folder import PinnedObjects, Store, Stored
from dccd_core.lake.store.marks import Ending
from dccd_core.lake.store.memo import Memo


def refuse_fixed(store: Store) -> None:
    """Let nobody write beside a store what belongs into it.

    Raises:
        LakeError: it never changes.
    """
    if isinstance(store, Fixed):
        store.append("", b"")


class Fixed:
    """A pin: see ``Store`` for what its methods do.

    Raises:
        LakeError: something was to be written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def url(self, path: str) -> str:
        return self._store.url(path)

    def access(self) -> dict[str, str]:
        return self._store.access()

    def find(self, folder: str) -> list[str]:
        return self._store.find(folder)

    def marks(self, folder: str) -> dict[str, str]:
        return self._store.marks(folder)

    def named(self, folder: str, names: Sequence[str]) -> dict[str, str]:
        return self._store.named(folder, names)

    def first(self, folder: str) -> str | None:
        return self._store.first(folder)

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        return self._store.tail(path, size)

    def ending(self, path: str, size: int) -> Ending | None:
        return self._store.ending(path, size)

    def open(self, path: str) -> AbstractContextManager[Stored | None]:
        return self._store.open(path)

    def objects(self) -> PinnedObjects | None:
        return self._store.objects()

    def memo(self, path: str) -> AbstractContextManager[Memo | None]:  # noqa: ARG002 -- it keeps none
        return nullcontext()

    def locked(self, path: str) -> AbstractContextManager[None]:
        raise self._refused(path)

    def scratch(self) -> AbstractContextManager[BinaryIO]:
        raise self._refused("")

    def draft(self, path: str) -> AbstractContextManager[BinaryIO]:
        raise self._refused(path)

    def append(self, path: str, lines: bytes) -> None:  # noqa: ARG002 -- nothing is written
        raise self._refused(path)

    def swap(self, file: BinaryIO, path: str, over: Stored | None) -> bool:  # noqa: ARG002 -- likewise
        raise self._refused(path)

    def hold(self, path: str, over: Stored, record_path: str, record: bytes) -> bool:  # noqa: ARG002 -- likewise
        raise self._refused(path)

    def remove(self, path: str, over: Stored | None = None) -> bool:  # noqa: ARG002 -- likewise
        raise self._refused(path)

    def links(self, path: str) -> int:
        return self._store.links(path)

    def _refused(self, path: str) -> LakeError:
        return LakeError(
            f"{self._store.url(path)}: the store is a pin, which never changes; nothing was stored",
            hint="write to the lake that it is a pin of",
        )
