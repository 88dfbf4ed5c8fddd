"""What people are told of failures: once, at most hourly for one cause, and when all is well again.

Belongs here: what was told when, kept in Dagster's storage. Does not: noticing failures (failures.py).
"""

import re
from typing import Final

import dagster as dg
import httpx
import msgspec

from dccd_core.domain.timespan import HOUR, Us
from dccd_pipeline.config.settings import Alerts
from dccd_pipeline.tags import ALERTS

AGAIN_AFTER: Final = HOUR
_VARIES: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
"""What differs from one failure to the next of one cause: ids, numbers, times."""
_MOST_CAUSES: Final = 50


class Told(msgspec.Struct):
    """What was told of one job, or of whatever else can fail, since it was last well."""

    since: int
    """When it failed first (us)."""
    causes: dict[str, int] = {}
    """When each cause was told last (us)."""
    failures: int = 0
    told: bool = False


_READ: Final = msgspec.json.Decoder(dict[str, Told])


class Alarm:
    """What was told of all jobs, or of all ``of`` another kind; it is the instance that remembers."""

    def __init__(self, instance: dg.DagsterInstance, of: str = "") -> None:
        self._storage = instance.daemon_cursor_storage
        self._key = f"{ALERTS}/{of}" if of else ALERTS
        text = self._storage.get_cursor_values({self._key}).get(self._key)
        try:
            self._jobs = _READ.decode(text) if text else dict[str, Told]()
        except msgspec.DecodeError:
            self._jobs = dict[str, Told]()

    def failed(self, job: str, text: str, now: Us) -> bool:
        """Count a failure; return whether its cause is to be told now. ``tell`` says that it was."""
        told = self._jobs.setdefault(job, Told(since=now))
        told.failures += 1
        self._keep()
        at = told.causes.get(cause_of(text))
        return at is None or now - at >= AGAIN_AFTER

    def tell(self, job: str, text: str, now: Us) -> None:
        """Note that a cause was told."""
        told = self._jobs[job]
        told.told = True
        told.causes[cause_of(text)] = now
        told.causes = dict(sorted(told.causes.items(), key=lambda one: one[1])[-_MOST_CAUSES:])
        self._keep()

    def told_of(self, job: str) -> Told | None:
        """Return what was told of a job since it was last well; None if nothing was."""
        told = self._jobs.get(job)
        return told if told and told.told else None

    def well(self, job: str) -> Told | None:
        """Forget a job that is well again; return what was told of it, None if nothing was."""
        before = self.told_of(job)
        if self._jobs.pop(job, None):
            self._keep()
        return before

    def _keep(self) -> None:
        self._storage.set_cursor_values({self._key: msgspec.json.encode(self._jobs).decode()})


def post(alerts: Alerts, text: str) -> None:
    """Post it to the webhook.

    Raises:
        httpx.HTTPError: it was not taken.
    """
    httpx.post(str(alerts.webhook_url), json={"text": text}, timeout=10).raise_for_status()


def cause_of(text: str) -> str:
    """Return what two failures of one cause share.

    >>> cause_of("HTTP 503 at 2024-01-05") == cause_of("HTTP 503 at 2024-02-07")
    True
    """
    return _VARIES.sub("#", text)[:2_000]
