"""When it is worth to fold the tail of ticks into files: a whole file is written for it. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.timespan import DAY, HOUR, TimeRange, Us

MOST_ROWS: Final = 5_000_000
_WORTH: Final = 20
"""A tail is worth writing the file anew when it has this part of its rows: 5 %."""


@dataclass(frozen=True, slots=True)
class TailSize:
    """How much ticks appended of one partition.

    ``partition``: its time. ``stored``: how many rows its file has, None where there is none. ``rows``:
    those of the tail. ``since``: when the oldest of them came. ``until``: up to when they were asked for.
    ``replaces``: in the file is what was imported of the same time, and is not to be seen beside them.
    """

    partition: TimeRange
    stored: int | None
    rows: int
    since: Us
    until: Us
    replaces: bool = False


def fold_due(parts: Iterable[TailSize], now: Us, every: Us | None = None) -> str:
    """Return why what ticks appended is to be folded now; empty when it is not.

    What lies in one tail is folded together, so one partition that is due is enough; but how much there is
    is asked of all of them.

    Args:
        parts: the partitions of the tail.
        now: this moment, by the clock that says ``since``.
        every: how long rows may stay in the tail; zero folds at once, None when it is worth it.
    """
    sizes = list(parts)
    if not sizes:
        return ""
    since, rows = min(size.since for size in sizes), sum(size.rows for size in sizes)
    if why := next(_whys_at_once(sizes, now), ""):
        return why
    if rows >= MOST_ROWS:
        return f"there are {rows:,} rows"
    if every is not None:
        return "its time has come" if now - since >= every else ""
    return _why_worth(sizes, since, rows, now)


def _whys_at_once(sizes: list[TailSize], now: Us) -> Iterator[str]:
    if any(size.stored is None for size in sizes):
        yield "there is no file yet"
    if any(size.replaces for size in sizes):
        yield "what was imported makes way"
    if any(size.until >= size.partition.end or now >= size.partition.end + HOUR for size in sizes):
        yield "a partition has ended"


def _why_worth(sizes: list[TailSize], since: Us, rows: int, now: Us) -> str:
    if now - since >= DAY:
        return "a day has passed"
    if now - since < HOUR:
        return ""
    stored = sum(size.stored or 0 for size in sizes)
    return "an hour has passed, and 5 % of the rows are new" if rows * _WORTH >= stored else ""
