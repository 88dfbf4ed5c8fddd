"""What a caller means: a dataset by its name, a time by how people write it. Pure."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from typing import Final, TypeAlias

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError
from dccd_core.domain.moments import parse_moment
from dccd_core.domain.timespan import ZERO, TimeRange, Us, us

Moment: TypeAlias = str | date | datetime | int
"""UTC: ``2024-01``, ``2024-01-31T12:00``, ``yesterday``, ``7d``, a date, a datetime (a naive one is UTC too),
or a number since the epoch (seconds to nanoseconds, told apart by their size)."""

_END_OF_TIME: Final = Us(2**63 - 1)


def moment_of(moment: Moment, now: Us) -> Us:
    """Return a moment; what is told by its age counts from ``now``.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(moment, datetime):
        return us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if isinstance(moment, date):
        return us(datetime.combine(moment, time(), UTC))
    return parse_moment(str(moment), now)


def range_of(start: TimeRange | Moment | None, end: Moment | None, now: Us) -> TimeRange | None:
    """Return ``[start, end)``, open where nothing is given; None for all of time.

    Raises:
        ConfigError: it is no time, or ends before it starts.
    """
    if isinstance(start, TimeRange):
        if end is not None:
            raise ConfigError("a TimeRange has its own end", hint="leave end out")
        return start
    if start is None and end is None:
        return None
    first = ZERO if start is None else moment_of(start, now)
    last = _END_OF_TIME if end is None else moment_of(end, now)
    if last < first:
        raise ConfigError(f"it ends ({end}) before it starts ({start})", hint="give start, then end")
    return TimeRange(first, last)


def dataset_of(name: Dataset | str) -> Dataset:
    """Return a dataset by its name.

    Raises:
        ConfigError: it is no name of one.
    """
    return name if isinstance(name, Dataset) else Dataset.parse(name)


def unknown(name: str, held: Iterable[str], store: str) -> ConfigError:
    """Return the error that the lake does not hold ``name``, with the nearest that it holds."""
    known = list(held)
    if not known:
        hint = f"there is nothing at all in {store}: is it the right place? dccd backfill fills it"
    else:
        near = get_close_matches(name.lower(), [one.lower() for one in known], 1, cutoff=0.0)
        nearest = next(one for one in known if one.lower() == near[0])
        hint = f"did you mean {nearest}? It holds {len(known)}: Lake.datasets()"
    return ConfigError(f"the lake holds no {name}", hint=hint)
