"""What is to be done about the streams: pure, from what is configured and what was seen.

Belongs here: which run to start, to stop or to give up, and why. Does not: looking and doing (sensor.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.timespan import MINUTE, SECOND, Us
from dccd_pipeline.streams.heartbeat import Beat
from dccd_pipeline.streams.orders import in_place
from dccd_pipeline.tags import STOPPED, STREAM

CHANGED: Final = "its settings in dccd.yaml changed"
GONE: Final = "it is not in dccd.yaml any more"

STALE: Final = Us(75 * SECOND)
"""A stream without a sign of life for so long is taken for dead; one comes every ten seconds."""
GETTING_READY: Final = Us(15 * MINUTE)
"""How long a recorder may take before it records: it may have to fold what a crash left behind."""
_STALE: Final = "stale"
_AWAY: Final = Us(MINUTE)
"""If the supervisor did not look for so long, the machine slept, perhaps, and so did the streams."""
_HEALTHY: Final = Us(10 * MINUTE)
_FIRST_WAIT: Final = Us(5 * SECOND)
_LONGEST_WAIT: Final = Us(10 * MINUTE)

_S = dg.DagsterRunStatus
QUEUED: Final = (_S.QUEUED, _S.NOT_STARTED)
ACTIVE: Final = (*QUEUED, _S.STARTING, _S.STARTED, _S.CANCELING)


@dataclass(frozen=True, slots=True)
class Seen:
    """A run of a stream. ``failure``: why it failed, for the next one's tag."""

    id: str
    status: dg.DagsterRunStatus
    created: Us
    started: Us | None = None
    ended: Us | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    failure: str = ""

    @property
    def stopped_by_us(self) -> str:
        """Why dccd ended it, empty if it did not: a run that was launched again has its parent's tags."""
        whose, _, why = self.tags.get(STOPPED, "").partition(" ")
        return why if whose == self.id else ""


@dataclass(frozen=True, slots=True)
class Start:
    """Launch a stream. ``after``: the run before it, so that one end of a run is one start."""

    name: str
    reason: str
    after: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End a run. ``lost``: it gives no sign of life; if nobody hears, it is to be marked failed."""

    run_id: str
    reason: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Have a run go on with other datasets, as ``dccd.yaml`` has them now."""

    name: str
    run_id: str


Action = Start | Stop | Change


class Trouble(msgspec.Struct):
    """How often a stream failed since it was last well, and when to try again."""

    failures: int = 0
    run: str = ""
    """The last one that was counted."""
    retry_at: int = 0


class Memory(msgspec.Struct):
    """What the supervisor remembers from one look to the next: the sensor's cursor."""

    looked: int = 0
    awake: int = 0
    """Since when it has been looking without a longer break."""
    names: list[str] = []
    """Streams it saw: their runs are looked for even when they are not configured any more."""
    troubles: dict[str, Trouble] = {}


_READ: Final = msgspec.json.Decoder(Memory)


@dataclass(frozen=True, slots=True)
class Sight:
    """What there was to see.

    ``wanted``: the digest of each configured entry. ``active``: runs of streams that have not ended.
    ``latest``: of each configured stream the youngest run, if it ever had one.
    """

    now: Us
    wanted: Mapping[str, str]
    active: Sequence[Seen]
    latest: Mapping[str, Seen]
    beats: Mapping[str, Beat]


def remembered(cursor: str | None) -> Memory:
    return _READ.decode(cursor) if cursor else Memory()


def supervise(sight: Sight, memory: Memory) -> tuple[list[Action], list[str]]:
    """Return what to do, and what else a reader of the log should know; ``memory`` is brought up to date."""
    if sight.now - memory.looked > _AWAY:
        memory.awake = sight.now
    memory.looked = sight.now
    streams = {run.tags[STREAM] for run in sight.active}
    memory.names = sorted({*sight.wanted, *streams})
    memory.troubles = {name: one for name, one in memory.troubles.items() if name in sight.wanted}
    actions: list[Action] = [
        Stop(run.id, GONE)
        for run in sight.active
        if run.tags[STREAM] not in sight.wanted and run.status is not _S.CANCELING
    ]
    notes: list[str] = []
    for name in sight.wanted:
        for one in _Stream(name, sight, memory).due():
            if isinstance(one, str):
                notes.append(f"{name}: {one}")
            else:
                actions.append(one)
    return actions, notes


@dataclass(frozen=True, slots=True)
class _Stream:
    """One configured stream."""

    name: str
    sight: Sight
    memory: Memory

    def due(self) -> Iterator[Action | str]:
        runs = [run for run in self.sight.active if run.tags[STREAM] == self.name]
        kept = sorted((run for run in runs if run.status is not _S.CANCELING), key=lambda run: run.created)
        if not runs:
            yield from self._replace(self.sight.latest.get(self.name))
        elif not kept:
            yield f"run {runs[0].id} is ending"
        else:
            begun = next((run for run in kept if run.status is _S.STARTED), kept[0])
            yield from self._judge(begun)
            yield from (Stop(run.id, f"run {begun.id} records it already") for run in kept if run != begun)

    def _judge(self, run: Seen) -> Iterator[Action | str]:
        """Say whether a run goes on as it should."""
        if run.status is not _S.STARTED:
            yield f"run {run.id} is {run.status.value.lower()}"
        elif wrong := self._ails(run):
            yield Stop(run.id, wrong, lost=wrong.startswith(_STALE))
        elif (own := self._own_beat(run)) and own.entry != self.sight.wanted[self.name]:
            yield Change(self.name, run.id)
        elif self.sight.now - (run.started or run.created) > _HEALTHY:
            self.memory.troubles.pop(self.name, None)

    def _ails(self, run: Seen) -> str:
        own = self._own_beat(run)
        began = run.started or run.created
        quiet = self.sight.now - max(own.at if own else 0, began, self.memory.awake)
        if quiet > STALE:
            return f"{_STALE}: no heartbeat for {quiet // SECOND} s"
        if own and not own.ready and self.sight.now - began > GETTING_READY:
            return f"{_STALE}: not ready to record after {GETTING_READY // MINUTE} minutes"
        wanted = self.sight.wanted[self.name]
        if own and own.entry != wanted and not in_place(own.entry, wanted):
            return CHANGED
        return ""

    def _own_beat(self, run: Seen) -> Beat | None:
        beat = self.sight.beats.get(self.name)
        return beat if beat and beat.run_id == run.id else None

    def _replace(self, last: Seen | None) -> Iterator[Action | str]:
        """Say whether a stream without a run gets one."""
        if last is None:
            yield Start(self.name, "first start", "")
        elif last.status is _S.CANCELED and not last.stopped_by_us:
            yield f"a user stopped it (run {last.id}): dccd stream resume {self.name} lets it go on"
        elif last.status is _S.CANCELED and not last.stopped_by_us.startswith(_STALE):
            yield Start(self.name, last.stopped_by_us, last.id)
        else:
            yield self._retry(last)

    def _retry(self, last: Seen) -> Start | str:
        """Start after a failure, later from one failure to the next."""
        trouble = self.memory.troubles.setdefault(self.name, Trouble())
        if trouble.run != last.id:
            trouble.failures, trouble.run = trouble.failures + 1, last.id
            trouble.retry_at = (last.ended or self.sight.now) + wait_after(trouble.failures)
        why = last.stopped_by_us or last.failure or f"its run {last.id} ended by itself"
        if self.sight.now < trouble.retry_at:
            left = -(-(trouble.retry_at - self.sight.now) // SECOND)
            return f"failure {trouble.failures} ({why}): next try in {left} s"
        return Start(self.name, why, last.id)


def wait_after(failures: int) -> Us:
    """Return how long to wait after so many failures in a row: 5 s, 10 s, ... 10 minutes.

    >>> [wait_after(n) // SECOND for n in (1, 2, 3, 7, 8, 1000)]
    [5, 10, 20, 320, 600, 600]
    """
    return Us(min(_FIRST_WAIT << min(failures - 1, 7), _LONGEST_WAIT))
