"""A database that is locked or away for a while: nothing ends for that.

Belongs here: asking it again. Does not: what goes on meanwhile.
"""

import time
from collections.abc import Callable
from threading import Event
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 10.0


def patiently(ask: Callable[[], T], patience_s: float, over: Event | None = None) -> T:
    """Return what ``ask`` returns; while the database has trouble it is asked again, later and later.

    Args:
        ask: what to do; it may be done in part before it fails.
        patience_s: how long to go on.
        over: ends the patience when it is set.

    Raises:
        SQLAlchemyError: the trouble has not ended by then.
    """
    over, end, wait_s = over or Event(), time.monotonic() + patience_s, _FIRST_WAIT_S
    while True:
        try:
            return ask()
        except SQLAlchemyError:
            left = end - time.monotonic()
            if left <= 0 or over.wait(min(wait_s, left)):
                raise
        wait_s = min(_LONGEST_WAIT_S, wait_s * 2)


def line_of(error: Exception) -> str:
    """Return what the database said, in a line: SQLAlchemy adds the statement and an address."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__
