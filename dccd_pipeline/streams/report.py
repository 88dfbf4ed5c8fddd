"""What the run of a stream tells Dagster: its log, materialisations, observations and the heartbeat.

A listener is called from the recorder's event loop, which must never wait for a database: all is written from
threads. Belongs here: what is told, and how often. Does not: when a stream ends (job.py).
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, Us
from dccd_core.lake.lake import LakeStore, State
from dccd_core.lake.partition.ledger import Condition
from dccd_core.net.clock import Clock, SystemClock
from dccd_core.stream.api import StreamHealth
from dccd_pipeline.assets.agrees import agreement
from dccd_pipeline.assets.changed import tell_checks
from dccd_pipeline.assets.checks import Looked, judge
from dccd_pipeline.assets.metadata import partition_event, partition_view
from dccd_pipeline.assets.progress import condition_of
from dccd_pipeline.config.collect import Entry
from dccd_pipeline.runs.patience import line_of, patiently
from dccd_pipeline.streams.heartbeat import Beat, DatasetBeat, beat_of, write_beat
from dccd_pipeline.streams.states import health_metadata

BEAT_EVERY: Final = Us(10 * SECOND)
OBSERVE_EVERY: Final = Us(30 * MINUTE)
OBSERVE_EVERY_DATASET: Final = Us(MINUTE)
"""A table of 200 datasets takes 100 kB: with more of them it is written less often."""
_SOON: Final = (Us(10 * SECOND), MINUTE)
"""So long after it began a stream is observed too: its first numbers are zeros."""
_CHANGES: Final = 6
"""After so many changes within that time, the next one is observed only after that part of it."""
_PATIENCE_S: Final = 300.0
"""How long Dagster's storage may be away before what was to be told is given up."""
TELL_EVERY: Final = Us(6 * HOUR)
"""How often an open partition is materialised, though it is folded every hour: each one takes 15 kB."""
_NOTES: Final = 60
_NOTES_PER: Final = Us(10 * MINUTE)
"""A venue that is down for a night says so many times: more lines than these help nobody."""

_LOG: Final = logging.getLogger(__name__)


def stream_asset(name: str) -> dg.AssetKey:
    """Return the asset on which the health of a stream is shown."""
    return dg.AssetKey(["stream", name])


@dataclass(slots=True)
class _Notes:
    """Lets so many lines through, and counts the others."""

    since: Us = ZERO
    told: int = 0
    left_out: int = 0

    def let(self, now: Us) -> list[str] | None:
        """Return what to say before the next line; None when it is one too many."""
        first: list[str] = []
        if now - self.since > _NOTES_PER:
            if self.left_out:
                first = [f"{self.left_out} lines more, since they were too many, are left out here"]
            self.since, self.told, self.left_out = now, 0, 0
        if self.told == _NOTES:
            self.left_out += 1
            return None
        self.told += 1
        return first


@dataclass(slots=True)
class _News:
    """What a partition has become, and the rows since it was told last."""

    state: State
    rows: int = 0


@dataclass(slots=True)
class _Observing:
    """Says when a stream is to be observed: soon after its start, when it changes, and now and then.

    What changes all the time is observed less often: every observation stays for ever.
    """

    began: Us | None = None
    at: Us = ZERO
    soon: list[Us] = field(default_factory=lambda: list(_SOON))
    state: object = None
    changed: list[Us] = field(default_factory=list[Us])
    """When it was observed because of a change, lately."""

    def due(self, now: Us, beat: Beat) -> bool:
        self.began = now if self.began is None else self.began
        every = max(OBSERVE_EVERY, Us(OBSERVE_EVERY_DATASET * len(beat.datasets)))
        state = beat.phase, tuple(_state_of(one) for one in beat.datasets)
        soon = bool(self.soon) and now - self.began >= self.soon[0]
        other = state != self.state and self._may_change(now, every)
        if not soon and not other and now - self.at < every:
            return False
        if soon:
            self.soon.pop(0)
        elif other:
            self.changed.append(now)
        self.at, self.state = now, state
        return True

    def _may_change(self, now: Us, every: Us) -> bool:
        self.changed = [at for at in self.changed if now - at < every]
        return len(self.changed) < _CHANGES or now - self.at >= every // _CHANGES


def _state_of(one: DatasetBeat) -> tuple[object, ...]:
    return one.phase, bool(one.refused), one.invalid_since is not None


@dataclass(slots=True)
class Report:
    """The listener of a run.

    ``digest``: of the entry that it records. ``collected``: which entry collects a dataset, too: those have
    checks.
    """

    context: dg.OpExecutionContext
    lake: LakeStore
    name: str
    digest: str
    clock: Clock = field(default_factory=SystemClock)
    collected: Mapping[Dataset, Entry] = field(default_factory=dict[Dataset, Entry])
    health: StreamHealth | None = None
    _beaten: Us = ZERO
    _shown: object = None
    """What of the last heartbeat is not to be old."""
    _observing: _Observing = field(default_factory=_Observing)
    _notes: _Notes = field(default_factory=_Notes)
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "report"))
    _untold: dict[tuple[Dataset, str], _News] = field(default_factory=dict[tuple[Dataset, str], _News])
    _told: dict[tuple[Dataset, str], tuple[Condition, Us]] = field(
        default_factory=dict[tuple[Dataset, str], tuple[Condition, Us]]
    )
    _over: Event = field(default_factory=Event)
    _answers: Event = field(default_factory=Event)
    """Not set while Dagster's storage does not answer."""
    _failing: Us | None = None
    _waiting: set[Future[None]] = field(default_factory=set[Future[None]])

    def __post_init__(self) -> None:
        self._answers.set()

    def beat(self, health: StreamHealth) -> None:
        self.health = health

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        now = self.clock.now()
        self._later(lambda: self._take(now, (dataset, key), state, rows))

    def note(self, text: str, *, wrong: bool) -> None:
        level = logging.WARNING if wrong else logging.INFO
        lines = self._notes.let(self.clock.now())
        for line in [] if lines is None else [*lines, text]:
            self._later(lambda line=line: self._store(lambda: self.context.log.log(level, line)))

    def pulse(self) -> None:
        """Write the heartbeat when it is time to; called often, from a thread."""
        now = self.clock.now()
        beat = beat_of(self.context.run_id, self.digest, now, self.health)
        state = beat.ready, beat.entry, beat.phase
        if now - self._beaten >= BEAT_EVERY or state != self._shown:
            write_beat(self.context.instance, self.name, beat)
            self._beaten, self._shown = now, state
        if beat.ready and self._observing.due(now, beat):
            self._later(lambda: self._observe(beat))

    def storage_fails(self, error: Exception) -> None:
        """Take note that Dagster's storage does not answer: recording goes on, what is to be told waits."""
        if self._failing is None:
            self._failing = self.clock.steady()
            self._answers.clear()
            said = f"Dagster's storage does not answer: {line_of(error)}; recording goes on"
            _LOG.warning("%s: %s", self.name, said, exc_info=not isinstance(error, SQLAlchemyError))
            self.note(said, wrong=True)

    def storage_answers(self) -> None:
        if self._failing is not None:
            passed = (self.clock.steady() - self._failing) // SECOND
            self._failing = None
            self._answers.set()
            self.note(f"Dagster's storage answers again, after {passed} s", wrong=False)

    def close(self, patience_s: float) -> None:
        """Write what is still to be written, and the last observation, but not for ever."""
        beat = beat_of(self.context.run_id, self.digest, self.clock.now(), self.health)
        self._later(lambda: write_beat(self.context.instance, self.name, beat))
        if beat.ready:
            self._later(lambda: self._observe(beat))
        self._later(self._tell_rest)
        left = wait(list(self._waiting), timeout=patience_s).not_done
        self._over.set()
        self._answers.set()
        self._writer.shutdown(wait=False, cancel_futures=True)
        if left:
            _LOG.warning("%s: not everything could be written to Dagster's storage any more", self.name)

    def _later(self, write: Callable[[], None]) -> None:
        task = self._writer.submit(self._guarded, write)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def _guarded(self, write: Callable[[], None]) -> None:
        """Write; a database that does not let us must not end a stream."""
        try:
            write()
        except Exception:  # noqa: BLE001 -- recording goes before telling
            _LOG.exception("%s: could not be written to Dagster's storage", self.name)
        for _ in self.context.consume_events():
            pass  # all of them are in the storage; kept here, they would fill the memory within the year

    def _store(self, write: Callable[[], None]) -> None:
        """Write to Dagster's storage, in its own time: it may be away for minutes."""
        self._answers.wait(_PATIENCE_S)
        patiently(write, _PATIENCE_S, self._over)

    def _take(self, now: Us, which: tuple[Dataset, str], state: State, rows: int) -> None:
        """Materialise a partition that has ended, or whose condition changed; others now and then."""
        news = self._untold.setdefault(which, _News(state))
        news.state, news.rows = state, news.rows + rows
        condition, at = self._told.get(which, (None, ZERO))
        ended = partition_span(which[0].grain, which[1]).end <= now
        if ended or now - at >= TELL_EVERY or condition is not condition_of(*which, state):
            self._tell(now, which)

    def _tell_rest(self) -> None:
        for which in list(self._untold):
            if not self._over.is_set():
                self._tell(self.clock.now(), which)

    def _tell(self, now: Us, which: tuple[Dataset, str]) -> None:
        news, (dataset, key) = self._untold.pop(which), which
        state, condition = news.state, condition_of(dataset, key, news.state)
        self._told = {other: told for other, told in self._told.items() if now - told[1] < TELL_EVERY}
        self._told[which] = condition, now
        states = {**self.lake.states(dataset), key: state}
        event = partition_event(dataset, key, states, partition_view(self.lake, dataset, key), now)
        self._store(lambda: self.context.log_event(event))
        if isinstance(event, dg.AssetMaterialization):
            self._store(lambda: self._tell_checks(self.collected.get(dataset), dataset, now))
        self.context.log.info(
            "%s %s: %s, %d rows recorded, %d rows in all, %d gaps",
            *(dataset, key, condition, news.rows, state.rows, len(state.ledger.gaps())),
        )

    def _tell_checks(self, entry: Entry | None, dataset: Dataset, now: Us) -> None:
        """Tell what the checks find anew: Dagster takes what it knows for that of the rows before."""
        if entry is None:  # nobody collects it: this is the only check that it has
            found = agreement(self.lake, [dataset])
        else:
            looked = {dataset: Looked(self.lake.all_known(dataset))}
            found = judge(self.context.instance, self.lake, entry, looked, now)
        tell_checks(self.context, found, {dg.AssetKey(dataset.parts)})

    def _observe(self, beat: Beat) -> None:
        event = dg.AssetObservation(stream_asset(self.name), metadata=health_metadata(beat))
        self._store(lambda: self.context.log_event(event))
