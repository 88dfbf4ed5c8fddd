"""A copy of the lake elsewhere: what sync, purge and restore need of the place it is in.

Paths are relative, with ``/``, and those of the lake (lake/layout.py): so a remote is itself a lake, which
every engine reads. Which kinds of places there are is one line each, in ``KINDS``.
"""

import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

from dccd_core.domain.errors import ConfigError, LakeError
from dccd_core.net.bandwidth import STEP, Bandwidth

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AT_ONCE: Final = 4
"""So many files of a remote are copied at a time."""
BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A file as a remote shows it at this moment.

    ``mark`` changes with the file: an ETag, or its size and times; "" where nothing tells. ``sha256``: of
    what is stored there, in hex, where the same answer says it, else "".
    """

    size: int
    mark: str
    sha256: str = field(default="", compare=False)


class Remote(Protocol):
    """Several threads may use one at once. What the outside world refuses is raised as ``LakeError``."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    def url(self, path: str) -> str: ...

    def find(self, folder: str) -> dict[str, Found]:
        """Return all files below a folder, by their paths, sorted; drafts are none."""
        ...

    def found(self, path: str) -> Found | None:
        """Return a file as it is at this moment; None when there is none."""
        ...

    def sha256(self, path: str) -> str | None:
        """Return the SHA-256, in hex, of what is stored there; None when there is no such file.

        It is read back where the service cannot say.
        """
        ...

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        """Return the last ``size`` bytes of a file (all, when it has fewer), and how many it has."""
        ...

    def read(self, path: str, into: BinaryIO) -> None:
        """Write the whole file to ``into``.

        Raises:
            LakeError: there is none.
        """
        ...

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        """Store all of ``file``, whole or not at all, in the place of ``over``, or of nothing.

        False: what is there is not ``over``, and stays.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a remote is, as a configuration says it. ``bandwidth``: bytes a second at most; None: any."""

    name: str
    to: str
    bandwidth: int | None = None


Pace = Callable[[int], object]
"""Waits until so many bytes may be sent."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What remotes are given of the world outside.

    ``s3`` makes the client of all that are in buckets; ``pace`` makes of bytes a second what keeps to them.
    """

    s3: "Callable[[], S3Client] | None" = None
    pace: Callable[[int], Pace] = Bandwidth

    def pace_of(self, place: Place) -> Pace | None:
        return self.pace(place.bandwidth) if place.bandwidth else None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of place. ``module``, which is imported when it is first needed, has an ``open_place``.

    ``pattern``: how it is written, all of it; ``example``: one that is written so.
    """

    pattern: re.Pattern[str]
    example: str
    module: str


KINDS: Final = (
    Kind(re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^?]*)?"), "s3://bucket/prefix", "s3"),
    Kind(re.compile(r"rclone:[\w.+@-][\w.+@ -]*:[^:]*"), "rclone:NAME:path", "rclone"),
    Kind(re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]+:).+"), "a folder like /mnt/backup/lake", "folder"),
)
"""The first one that fits is it."""


def kind_of(to: str) -> Kind:
    """Return what kind of place ``to`` is.

    Raises:
        ConfigError: it is none.
    """
    found = next((kind for kind in KINDS if kind.pattern.fullmatch(to)), None)
    if found is None:
        examples = [kind.example for kind in reversed(KINDS)]
        hint = f"write {', '.join(examples[:-1])}, or {examples[-1]}"
        raise ConfigError(f"{to!r} is no place for a copy", hint=hint)
    return found


def open_remote(place: Place, outside: Outside = Outside()) -> Remote:
    """Return the remote at a place; nothing is asked of it yet.

    Raises:
        ConfigError: there is no such kind of place.
        LakeError: what it takes to get there is not installed.
    """
    module = import_module(f"{__package__}.{kind_of(place.to).module}")
    return cast("Callable[[Place, Outside], Remote]", module.open_place)(place, outside)


def open_remotes(places: Iterable[Place], outside: Outside = Outside()) -> list[Remote]:
    """Return the remotes at some places, in their order: see ``open_remote``."""
    return [open_remote(place, outside) for place in places]


def absent(url: str) -> LakeError:
    """Return what to raise where a file that is to be read is not there."""
    return LakeError(f"{url}: there is no such file", hint="see `dccd sync`: it says what the remote holds")


def copied(file: BinaryIO, into: BinaryIO, pace: Pace | None = None) -> int:
    """Copy all of a file, from its beginning, and return how many bytes it has."""
    file.seek(0)
    size = 0
    while block := file.read(STEP if pace else BLOCK):
        if pace:
            pace(len(block))
        into.write(block)
        size += len(block)
    return size


@contextmanager
def receiving(url: str) -> Generator[None]:
    """Turn what the operating system says while a file is brought here into a LakeError."""
    try:
        yield
    except OSError as e:
        raise LakeError(
            f"cannot bring {url} here: {e.strerror or e}", hint="free space on the disk it is brought to"
        ) from e
