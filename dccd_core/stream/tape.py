"""A capture's file: what came and what was sent, entry by entry, compressed, readable whatever ended it.

Entries are gathered to blocks. A block stands by itself: its length, its CRC, and zstd of MessagePack. What
is not whole at the end of a file was being written when its process died.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import msgspec
import pyarrow as pa

from dccd_core.domain.errors import ConfigError, DamagedFile, LakeError
from dccd_core.domain.timespan import Us

ABOUT: Final = "capture.json"
TAPE: Final = "capture.dccd"
_HEAD: Final = struct.Struct("<4sIII")
_MAGIC: Final = b"dcc1"
_BLOCK: Final = 1 << 20


class Plan(msgspec.Struct, frozen=True):
    """A ``StreamPlan`` in plain words; datasets by their names."""

    name: str
    datasets: tuple[str, ...]
    depth: int
    snapshot_every: Us
    paused: tuple[str, ...] = ()


class About(msgspec.Struct, frozen=True):
    """What a capture is of: the first thing that is written."""

    version: str
    exchange: str
    plan: Plan
    began: Us
    format: int = 1


_READ_ABOUT: Final = msgspec.json.Decoder(About)


class _Entry(msgspec.Struct, array_like=True, tag=True):
    """``at`` is the steady clock's time, ``wall`` our wall clock's; both when it happened."""

    at: Us
    wall: Us


class Planned(_Entry, tag="p"):
    """From now on this is recorded."""

    plan: Plan


class Opening(_Entry, tag="o"):
    """A connection is opened, the ``connection``-th of all."""

    connection: int
    url: str


class Opened(_Entry, tag="O"):
    connection: int
    heard: Us


class Refused(_Entry, tag="r"):
    """It did not come to be: an error of ours by its name, what it says, how long to wait."""

    connection: int
    error: str
    message: str
    hint: str = ""
    wait_s: float | None = None


class Frames(_Entry, tag="f"):
    """One batch, as ``Socket.receive`` gave it."""

    connection: int
    frames: list[bytes]
    moments: list[Us]


class Alive(_Entry, tag="h"):
    """Something came that is no message."""

    connection: int
    heard: Us


class Sent(_Entry, tag="s"):
    connection: int
    message: bytes


class Over(_Entry, tag="c"):
    """The other side is gone."""

    connection: int
    why: str


class Left(_Entry, tag="l"):
    """We ended it."""

    connection: int


class Asked(_Entry, tag="q"):
    """A request, the ``number``-th of all."""

    number: int
    path: str
    params: dict[str, str]


class Answered(_Entry, tag="a"):
    number: int
    status: int
    headers: dict[str, str]
    body: bytes
    received: Us


class Failed(_Entry, tag="e"):
    """No good answer came: an error of ours by its name, what it says, how long to wait."""

    number: int
    error: str
    message: str
    hint: str = ""
    wait_s: float | None = None


class Beat(_Entry, tag="b"):
    """It is still going on."""


class Stalled(_Entry, tag="z"):
    """Our process did not get to run from ``since`` on, steady time, until now: what was due came late."""

    since: Us


class Stopping(_Entry, tag="X"):
    """It was told to end."""


class Ended(_Entry, tag="x"):
    """Nothing follows: the recording was stopped, or (``full``) the capture has reached its limit."""

    full: bool = False


OfLink: TypeAlias = Opened | Refused | Frames | Alive | Sent | Over | Left
"""What happens on a connection that is being opened, or was."""
Entry: TypeAlias = OfLink | Opening | Asked | Answered | Failed | Planned | Beat | Stalled | Stopping | Ended
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODER: Final = msgspec.msgpack.Decoder(list[Entry])


class TapeWriter:
    """Writes a capture into a folder that is new, or empty.

    Raises:
        ConfigError: there is something in it already.
        LakeError: it cannot be written.
    """

    def __init__(self, folder: Path, about: About) -> None:
        self.folder: Final = folder
        self.bytes = 0
        self._waiting = list[bytes]()
        self._size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ConfigError(f"{folder} is not empty", hint="a capture needs a folder of its own")
            (folder / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about)))
            self._file: BinaryIO = (folder / TAPE).open("xb", buffering=0)
        except OSError as e:
            raise _refused(folder, e) from e

    def add(self, entry: Entry) -> None:
        """Take an entry; it is in the file at the latest when ``flush`` returns."""
        encoded = _ENCODE(entry)
        self._waiting.append(encoded)
        self._size += len(encoded)
        if self._size >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Hand what there is over to the system: then the death of this process takes nothing of it.

        Raises:
            LakeError: it cannot be written.
        """
        if not self._waiting:
            return
        raw = _array(self._waiting)
        self._waiting, self._size = [], 0
        packed = pa.compress(raw, codec="zstd", asbytes=True)
        block = _HEAD.pack(_MAGIC, len(raw), len(packed), _crc(len(raw), packed)) + packed
        left = memoryview(block)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as e:
            raise _refused(self.folder, e) from e
        self.bytes += len(block)

    def close(self) -> None:
        self._file.close()


def about(folder: Path) -> About:
    """Read what a capture is of.

    Raises:
        ConfigError: there is none in that folder.
        DamagedFile: it is none that can be read.
    """
    try:
        return _READ_ABOUT.decode((folder / ABOUT).read_bytes())
    except FileNotFoundError as e:
        raise ConfigError(f"{folder} holds no capture", hint="dccd stream --capture makes one") from e
    except OSError as e:
        raise _refused(folder, e) from e
    except msgspec.DecodeError as e:
        raise DamagedFile(f"{folder / ABOUT} cannot be read: {e}", hint="update dccd") from e


def entries(folder: Path) -> Iterator[Entry]:
    """Yield all that is whole, in the order in which it happened."""
    try:
        with (folder / TAPE).open("rb") as file:
            while (block := _block(file)) is not None:
                yield from _DECODER.decode(block)
    except OSError as e:
        raise _refused(folder, e) from e
    except msgspec.DecodeError as e:
        raise DamagedFile(f"{folder / TAPE} cannot be read: {e}", hint="update dccd") from e


def _block(file: BinaryIO) -> bytes | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    magic, length, packed_length, crc = _HEAD.unpack(head)
    if magic != _MAGIC:
        return None
    packed = file.read(packed_length)
    if len(packed) < packed_length or _crc(length, packed) != crc:
        return None
    return pa.decompress(packed, decompressed_size=length, codec="zstd", asbytes=True)


def _crc(length: int, packed: bytes) -> int:
    return zlib.crc32(packed, length)


def _array(encoded: list[bytes]) -> bytes:
    """Return the MessagePack of a list of what is encoded already."""
    return b"\xdd" + len(encoded).to_bytes(4, "big") + b"".join(encoded)


def _refused(folder: Path, error: OSError) -> LakeError:
    return LakeError(f"{folder}: {error.strerror or error}", hint=f"see to {folder}")
