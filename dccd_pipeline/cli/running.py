"""What ``dccd up`` leaves in the instance's folder while it runs: who it is, and what it loaded.

Belongs here: writing it, reading it, and what of it ``dccd status`` says. Does not: running anything (up.py).
"""

import hashlib
import os
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from dccd_core.domain.timespan import SECOND, Us, iso
from dccd_pipeline.runs.processes import Process

_FOLDER: Final = "dccd"
_FILE: Final = "up.json"


class Running(msgspec.Struct, frozen=True):
    """A ``dccd up``. ``digest``: of the text that it loaded; ``mistake``: why not the next one."""

    process: Process
    url: str
    config: str
    digest: str
    loaded: int
    mistake: str = ""


_READ: Final = msgspec.json.Decoder(Running)


def log_file(home: Path) -> Path:
    """Return where ``dccd up`` writes what it, its services and their runs print."""
    return home / _FOLDER / "up.log"


def lock_file(home: Path) -> Path:
    return home / _FOLDER / "up.lock"


def digest_of(file: Path) -> str:
    """Return what changes whenever the text of a configuration does; empty where there is none."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def write_running(home: Path, running: Running) -> None:
    """Replace what is told, whole or not at all."""
    file = home / _FOLDER / _FILE
    draft = file.with_name(f".{_FILE}.{uuid4().hex}")
    draft.write_bytes(msgspec.json.encode(running))
    draft.replace(file)


def forget_running(home: Path) -> None:
    (home / _FOLDER / _FILE).unlink(missing_ok=True)


def read_running(home: Path) -> Running | None:
    """Return the ``dccd up`` that runs an instance, None where none does."""
    try:
        running = _READ.decode((home / _FOLDER / _FILE).read_bytes())
    except (OSError, msgspec.DecodeError):  # of another version, perhaps
        return None
    return None if running.process.gone else running


def newer_lines(home: Path) -> list[str]:
    """Say that the configuration is newer than what runs, and why; nothing where it is not."""
    running = read_running(home)
    if running is None or digest_of(file := Path(running.config)) == running.digest:
        return []
    loaded = f"what runs was loaded at {iso(Us(running.loaded - running.loaded % SECOND))}"
    if not file.exists():
        return [f"{file} is gone, {loaded} -> put it back"]
    if running.mistake:
        first, *_ = running.mistake.splitlines()
        return [f"{file} is newer than what runs and cannot be used: {first} -> mend it; {loaded}"]
    saved = iso(Us(os.stat(file).st_mtime_ns // 1_000_000_000 * SECOND))  # noqa: PTH116 -- whole numbers
    return [
        f"{file} is newer than what runs, saved at {saved}, {loaded} -> `dccd up` takes it over in seconds"
    ]
