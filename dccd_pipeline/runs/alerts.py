"""What people are told of what goes wrong: once, at most hourly for one cause, and when all is well again.

What fails, like a job, has causes: what each failure says. What is wrong for a while, like a full disk, is
one cause however its words change.

Belongs here: what was told when, kept in Dagster's storage. Does not: noticing (failures.py, alarms), nor
to whom it is told (outbox.py).
"""

import re
from collections.abc import Mapping
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.timespan import DAY, HOUR, MINUTE, SECOND, Us
from dccd_pipeline.tags import ALERTS

AGAIN_AFTER: Final = HOUR
_VARIES: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
"""What differs from one failure to the next of one cause: ids, numbers, times."""
_MOST_CAUSES: Final = 50
_IT_LASTS: Final = ""
"""The cause of what is wrong for a while."""


class Told(msgspec.Struct):
    """What was told of one job, or of whatever else can be wrong, since it was last well."""

    since: int
    """When it failed first (us)."""
    causes: dict[str, int] = {}
    """When each cause was told last (us)."""
    failures: int = 0
    """How often it failed; of what is wrong for a while how often that was told."""
    told: bool = False


_READ: Final = msgspec.json.Decoder(dict[str, Told])


class Alarm:
    """What was told of all jobs, or of all ``of`` another kind; it is the instance that remembers."""

    def __init__(self, instance: dg.DagsterInstance, of: str = "") -> None:
        self._storage = instance.daemon_cursor_storage
        self._key = f"{ALERTS}/{of}" if of else ALERTS
        self._kept = self._storage.get_cursor_values({self._key}).get(self._key, "")
        try:
            self._jobs = _READ.decode(self._kept) if self._kept else dict[str, Told]()
        except msgspec.DecodeError:
            self._jobs = dict[str, Told]()

    def failed(self, job: str, text: str, now: Us) -> bool:
        """Count a failure; return whether its cause is to be told now. ``tell`` says that it was."""
        told = self._jobs.setdefault(job, Told(since=now))
        told.failures += 1
        self.keep()
        return _is_due(told, cause_of(text), now)

    def tell(self, job: str, text: str, now: Us) -> None:
        """Note that a cause was told."""
        told = self._jobs[job]
        told.told = True
        told.causes[cause_of(text)] = now
        told.causes = dict(sorted(told.causes.items(), key=lambda one: one[1])[-_MOST_CAUSES:])
        self.keep()

    def told_of(self, job: str) -> Told | None:
        """Return what was told of a job since it was last well; None if nothing was."""
        told = self._jobs.get(job)
        return told if told and told.told else None

    def well(self, job: str) -> Told | None:
        """Forget a job that is well again; return what was told of it, None if nothing was."""
        before = self.told_of(job)
        if self._jobs.pop(job, None):
            self.keep()
        return before

    def look(
        self, wrong: Mapping[str, str | None], now: Us, over: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return what is to be told by now of what is wrong for a while, and of what is well again.

        What is returned counts as told once it is kept: see ``keep``.

        Args:
            wrong: of all that is looked at, what is wrong with it; empty where nothing is, None where
                nobody knows. Of what is not in it, it is forgotten what was told.
            now: the time it is.
            over: what to say of that which is well again, where there is more to say than that it is.
        """
        lines, before = list[str](), self._jobs
        self._jobs = {name: told for name, told in before.items() if name in wrong}
        for name, text in wrong.items():
            told = before.get(name)
            if text:
                told = self._jobs.setdefault(name, Told(since=now))
                if _is_due(told, _IT_LASTS, now):
                    told.causes, told.told = {_IT_LASTS: now}, True
                    told.failures += 1
                    lines.append(text)
            elif text is not None and told:
                del self._jobs[name]
                lines.append(said_well(name, told, now, (over or {}).get(name)))
        return lines

    def keep(self) -> None:
        """Have the instance remember it, if it is anything new."""
        text = msgspec.json.encode(self._jobs).decode() if self._jobs or self._kept else self._kept
        if text != self._kept:
            self._storage.set_cursor_values({self._key: text})
            self._kept = text


def cause_of(text: str) -> str:
    """Return what two failures of one cause share.

    >>> cause_of("HTTP 503 at 2024-01-05") == cause_of("HTTP 503 at 2024-02-07")
    True
    """
    return _VARIES.sub("#", text)[:2_000]


def said_well(name: str, told: Told, now: Us, over: str | None = None) -> str:
    """Say that something is well again, after how long, and how often the opposite was told."""
    times = "once" if told.failures == 1 else f"{told.failures} times"
    said = over or f"{name}: well again after {said_length(Us(now - told.since))}"
    return f"{said} (it was told {times})"


def said_length(length: Us) -> str:
    """Write how long something was, in its two largest units.

    >>> said_length(Us(95 * MINUTE)), said_length(Us(50 * HOUR)), said_length(Us(7 * SECOND))
    ('1 h 35 min', '2 d 2 h', '7 s')
    """
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
    first = next((n for n, (unit, _) in enumerate(units) if length >= unit), len(units) - 1)
    parts, left = list[str](), int(length)
    for unit, name in units[first : first + 2]:
        count, left = divmod(left, unit)
        parts += [f"{count} {name}"] if count or not parts else []
    return " ".join(parts)


def _is_due(told: Told, cause: str, now: Us) -> bool:
    at = told.causes.get(cause)
    return at is None or not 0 <= now - at < AGAIN_AFTER  # a clock that was ahead silences nothing
