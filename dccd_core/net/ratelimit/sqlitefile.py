"""A small SQLite file that many processes share, and that nobody will miss.

Nothing is synced to disk: a killed process loses nothing, a power cut may lose the file. A damaged or foreign
file is set aside as ``*.damaged`` and begun anew; a deleted or replaced one is noticed at the next use.
"""

import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock

from dccd_core.domain.errors import Unavailable

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_BUSY_S: Final = 10.0


class SqliteFile:
    """One connection; it belongs to the thread that made it.

    Args:
        path: the file; its folder is made when missing.
        schema: SQL that fills a new file.
        version: marks the file as ours; another schema needs another number.

    Raises:
        Unavailable: the file is locked for seconds, or cannot be written.
    """

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._db = self._open()

    def close(self) -> None:
        self._db.close()

    def transact(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``action`` alone among all processes; its writes count all or, on an error, not at all."""
        if not self._is_current():
            self._reopen("it was deleted or replaced")
        try:
            return self._attempt(action)
        except sqlite3.DatabaseError as e:
            if _is_busy(e):
                raise self._unavailable(e) from e
            self._reopen(str(e))
        try:
            return self._attempt(action)
        except sqlite3.DatabaseError as e:
            raise self._unavailable(e) from e

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            result = action(self._db)
        except BaseException:
            self._db.rollback()
            raise
        self._db.execute("COMMIT")
        return result

    def _is_current(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode  # noqa: PTH116 - before every transaction
        except FileNotFoundError:
            return False

    def _reopen(self, why: str) -> None:
        _LOG.warning("%s: %s; opening it again", self._path, why)
        self._db.close()
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        """Connect under a lock, so that of several processes only one creates or replaces the file."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock"):
                try:
                    db = self._connect()
                except sqlite3.DatabaseError as e:
                    if _is_busy(e):
                        raise
                    self._set_aside(e)
                    db = self._connect()
                self._inode = self._path.stat().st_ino
        except (sqlite3.DatabaseError, OSError) as e:
            raise self._unavailable(e) from e
        return db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=OFF")
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            db.executescript(f"BEGIN; {self._schema}; PRAGMA user_version = {self._version}; COMMIT")
        (health,) = db.execute("PRAGMA quick_check(1)").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if health != "ok" or version != self._version:
            raise sqlite3.DatabaseError(f"damaged or not ours: {health}, version {version}")

    def _set_aside(self, why: Exception) -> None:
        _LOG.warning("%s: %s; it is set aside as *.damaged and begun anew", self._path, why)
        os.replace(self._path, f"{self._path}.damaged")  # noqa: PTH105 - the same call for the side files
        for side in ("-wal", "-shm"):
            Path(f"{self._path}{side}").unlink(missing_ok=True)

    def _unavailable(self, why: Exception) -> Unavailable:
        return Unavailable(
            f"the file {self._path} cannot be used: {why}",
            hint="see that its folder is writable and its disk not full; it may be deleted at any time",
        )


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
