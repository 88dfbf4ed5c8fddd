"""Whether the copies elsewhere are what ``remotes`` of ``dccd.yaml`` wants, as the lake remembers.

Belongs here: a line for each thing that is wrong, with what helps. Does not: asking a remote (keep/).
"""

from collections.abc import Iterator
from typing import Final

from dccd_core.domain.sizes import counted
from dccd_core.domain.timespan import MINUTE, Us, iso
from dccd_core.keep.copies import Copies, LastSync
from dccd_core.lake.lake import LakeStore
from dccd_pipeline.config.remotes import RemoteEntry
from dccd_pipeline.config.settings import Settings

_INTERVALS: Final = 2
"""So many may pass, or still be under way, before a sync is late: as alerts have it."""
_SKEW: Final = 5 * MINUTE
"""So far apart the clocks of two machines may be that sync one lake."""


def remote_problems(settings: Settings, lake: LakeStore, now: Us) -> Iterator[str]:
    """Say of each remote that is in use what is wrong with it; where there is no lake, nothing."""
    if lake.identity() is None:
        return
    for entry in settings.remotes:
        last = Copies(lake.store, entry.name).last() if entry.enabled else None
        if last is not None:
            yield from _wrong(entry, last)
        if entry.scheduled and (said := _late(entry, last, now)):
            yield f"remote/{entry.name}: {said} -> `dccd sync {entry.name}`"


def _late(entry: RemoteEntry, last: LastSync | None, now: Us) -> str:
    if last is None or not last.at:
        return "nothing was ever copied there"
    if last.at > now + _SKEW:
        return f"its last sync was at {iso(last.at)}, by a clock that was ahead: nobody knows what is there"
    late = isinstance(entry.every, int) and now - last.at > _INTERVALS * entry.every
    return f"late: what came since {iso(last.at)} was not copied there" if late else ""


def _wrong(entry: RemoteEntry, last: LastSync) -> Iterator[str]:
    """Name the first file that is not there as it is here."""
    for what, found in (("a conflict", last.conflicts), ("not copied", last.failed)):
        if found:
            more = f", and {last.troubles - 1} more" if last.troubles > 1 else ""
            where = f"{found[0].path}: {found[0].why}{more}"
            yield f"remote/{entry.name}: {what}: {where} -> `dccd sync {entry.name}` says what to do"
            return
    if last.waiting:
        files = counted(last.waiting, "file was", "files were")
        said = f"{files} not copied: its last sync was stopped"
        yield f"remote/{entry.name}: {said} -> `dccd sync {entry.name}`"
