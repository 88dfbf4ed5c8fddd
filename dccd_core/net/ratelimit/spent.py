"""What of the budgets of this machine is spent, for somebody who only looks: nothing is made, nothing waits.

Belongs here: reading a budget's file. Does not: spending (limiter.py), what is allowed (sharedwindow.py).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from dccd_core.domain.timespan import Us


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget: the weight of a length of time, and until when nobody may ask (us; 0: one may)."""

    name: str
    weight: int
    closed_until: Us


def spent(folder: Path, length: Us, now: Us) -> Iterator[Spent]:
    """Yield what was spent of each budget in ``folder`` in the ``length`` before ``now``.

    What is on its way counts, too. A file that cannot be read tells nothing.
    """
    for path in sorted(folder.glob("*.sqlite")):
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield _read(database, path.stem, Us(now - length), now)


def _read(database: sqlite3.Connection, name: str, since: Us, now: Us) -> Spent:
    def one(query: str, *values: int) -> int:
        (found,) = database.execute(query, values).fetchone() or (0,)
        return int(found or 0)

    total = one("SELECT total FROM answered ORDER BY at DESC LIMIT 1")
    gone = one("SELECT total FROM answered WHERE at <= ? ORDER BY at DESC LIMIT 1", since)
    flying = one("SELECT sum(weight) FROM flying WHERE at > ?", since)
    until = one("SELECT until FROM breaker")
    return Spent(name, total - gone + flying, Us(until if until > now else 0))
