"""What could not be understood or believed: said now and then, the first of each cause kept. Pure."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Us, iso
from dccd_core.lake.live.refused import Refused

_SOON: Final = MINUTE
_AT_LEAST: Final = Us(10 * MINUTE)
_FIRST: Final = 20
"""How many messages of one cause are kept in an hour."""
_MOST_CAUSES: Final = 50
_MOST_WAITING: Final = 1_000
_OTHER: Final = "other causes"
_VARYING: Final = re.compile(r"\d+|0x[0-9a-f]+|'[^']*'|\"[^\"]*\"")

Sentence: TypeAlias = Callable[[int], str]
"""What to say of so many."""


@dataclass(slots=True)
class _Cause:
    since: Us
    wait: Us
    sentence: Sentence
    count: int = 0


class Seldom:
    """Says a thing at once, then how often it happened: after a minute, then ever more rarely.

    All times are of our steady clock.
    """

    def __init__(self) -> None:
        self._causes: dict[str, _Cause] = {}

    def say(self, cause: str, count: int, sentence: Sentence, now: Us) -> str | None:
        """Return what is to be said now, if anything is."""
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            cause = _OTHER
        known = self._causes.get(cause)
        if known is None:
            self._causes[cause] = _Cause(now, _SOON, sentence)
            return sentence(count)
        known.count += count
        known.sentence = sentence
        return None

    def due(self, now: Us) -> list[str]:
        """Return what happened again and is to be said by now; what did not is forgotten."""
        said = list[str]()
        for name, cause in list(self._causes.items()):
            if now - cause.since < cause.wait:
                continue
            if not cause.count:
                del self._causes[name]
                continue
            said.append(f"{cause.sentence(cause.count)} (in the last {(now - cause.since) // SECOND} s)")
            cause.count, cause.since, cause.wait = 0, now, Us(min(_AT_LEAST, 2 * cause.wait))
        return said


class Oddities:
    """What all connections of a stream met that was odd."""

    def __init__(self) -> None:
        self.seldom = Seldom()
        self._waiting: list[Refused] = []
        self._hour = -1
        self._kept = defaultdict[str, int](int)
        """How many messages of a cause were kept in this hour."""

    def refuse(self, place: str, url: str, bad: Sequence[tuple[bytes, str]], now: tuple[Us, Us]) -> list[str]:
        """Take messages that were not understood, each with the reason; return what is to be said now.

        ``now``: the moment, and what our steady clock shows.
        """
        at, steady = now
        by_cause = defaultdict[str, list[tuple[bytes, str]]](list)
        for frame, why in bad:
            by_cause[_VARYING.sub("#", why)[:200]].append((frame, why))
            self._keep(Refused(at, url, why, frame))
        said = [
            self.seldom.say(cause, len(ones), _sentence(place, *ones[0]), steady)
            for cause, ones in by_cause.items()
        ]
        return [text for text in said if text]

    def misplaced(self, aside: Sequence[tuple[Dataset, int, Us]], steady: Us) -> list[str]:
        """Take note of rows that were kept aside: of what, how many, and the time of the first."""
        said = [
            self.seldom.say(f"{dataset} misplaced", count, _misplaced(dataset, first), steady)
            for dataset, count, first in aside
        ]
        return [text for text in said if text]

    def taken(self) -> list[Refused]:
        """Hand over the messages that are to be kept."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def restore(self, refused: Sequence[Refused]) -> None:
        """Take messages back that could not be written now."""
        self._waiting = [*refused, *self._waiting][:_MOST_WAITING]

    def _keep(self, one: Refused) -> None:
        if (hour := one.at // HOUR) != self._hour:
            self._hour = hour
            self._kept.clear()
        cause = _VARYING.sub("#", one.reason)[:200]
        cause = cause if cause in self._kept or len(self._kept) < _MOST_CAUSES else _OTHER
        if self._kept[cause] < _FIRST and len(self._waiting) < _MOST_WAITING:
            self._kept[cause] += 1
            self._waiting.append(one)


def _misplaced(dataset: Dataset, first: Us) -> Sentence:
    return lambda count: f"{dataset}: {count} rows came before their time, {iso(first)}, and are kept aside"


def _sentence(place: str, frame: bytes, why: str) -> Sentence:
    return lambda count: (
        f"{place}: {count} messages could not be understood, the first begins {frame[:120]!r}: {why}; what "
        "they told is asked for again, and the first of them are kept"
    )
