"""A file on its way: as much of it as is to be sent, counted, and no longer than it may go on."""

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from dccd_core.domain.errors import DccdError

_BLOCK: Final = 1 << 20
_LOOK_BACK: Final = 1 << 16


class Halted(DccdError):
    """It was told to stop; what was under way is as if it had not begun."""


class Portion(io.BufferedIOBase):
    """The first ``size`` bytes of a file. ``told`` hears how many more of them were read; not of rereading.

    Raises:
        Halted: on every use, once ``halt`` says so.
    """

    def __init__(
        self, file: BinaryIO, size: int, halt: Callable[[], bool], told: Callable[[int], object] | None = None
    ) -> None:
        super().__init__()
        self._file = file
        self._size = size
        self._halt = halt
        self._told = told
        self._at = self._seen = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._look()
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._look()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(0, base + offset), self._size)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        self._look()
        left = self._size - self._at
        self._file.seek(self._at)
        block = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(block)
        if self._told and self._at > self._seen:
            self._told(self._at - self._seen)
            self._seen = self._at
        return block

    def blocks(self) -> Iterator[bytes]:
        """Yield all of it, a block at a time."""
        self.seek(0)
        while block := self.read(_BLOCK):
            yield block

    def _look(self) -> None:
        if self._halt():
            raise Halted("stopped while it was copied")


def whole_lines(file: BinaryIO) -> int:
    """Return how many bytes of a text are whole lines: the last one may be being written."""
    end = file.seek(0, io.SEEK_END)
    while end:
        start = max(0, end - _LOOK_BACK)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
