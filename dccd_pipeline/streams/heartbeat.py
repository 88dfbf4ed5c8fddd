"""The heartbeat of a stream: its health as JSON, overwritten in place in the instance's storage.

Belongs here: how health travels from a stream's run to the supervisor and to ``dccd status``. Does not: what
they make of it.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final

import dagster as dg
import msgspec

from dccd_core.domain.timespan import Us
from dccd_core.stream.api import DatasetHealth, Phase, StreamHealth
from dccd_pipeline.runs.processes import KEEPER, Process
from dccd_pipeline.tags import BEAT


class DatasetBeat(msgspec.Struct, frozen=True, array_like=True):
    """``DatasetHealth`` without names: with 200 datasets they would be most of what is written."""

    dataset: str
    last: int | None
    lag: int | None
    rate: float
    messages: int
    rows: int
    invalid: int
    invalid_since: int | None
    refused: str | None
    phase: Phase = Phase.CONNECTING
    since: int | None = None
    proven: int | None = None
    price: float | None = None
    bid: float | None = None
    ask: float | None = None
    crossed: int = 0


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A sign of life of run ``run_id``, which records what ``entry`` says (``StreamEntry.digest``).

    ``born``: see ``Process``. ``keeper``: the process that this one ends with, if there is one.
    """

    run_id: str
    entry: str
    at: int
    pid: int
    host: str
    started: int | None = None
    connections: int = 0
    reconnects: int = 0
    rate: float = 0.0
    messages: int = 0
    bad: int = 0
    datasets: tuple[DatasetBeat, ...] = ()
    born: str = ""
    keeper: int = 0
    phase: Phase = Phase.CONNECTING
    tries: int = 0
    why: str = ""

    @property
    def ready(self) -> bool:
        """Whether the recorder has told anything; before, it may have to tidy up after a crash."""
        return self.started is not None

    @property
    def process(self) -> Process:
        return Process(self.host, self.pid, self.born)

    @property
    def orphaned(self) -> bool:
        """Whether what it ends with is gone, so that it is about to end."""
        return bool(self.keeper) and Process(self.host, self.keeper).gone


_READ: Final = msgspec.json.Decoder(Beat)


def beat_of(run_id: str, entry: str, now: Us, health: StreamHealth | None) -> Beat:
    """Return what this process says of its run; a recorder that fell silent gives no newer sign of life."""
    here, keeper = Process.this(), int(os.environ.get(KEEPER) or 0)
    beat = Beat(run_id, entry, now, here.pid, here.host, born=here.born, keeper=keeper)
    if health is None:
        return beat
    return msgspec.structs.replace(
        beat,
        at=health.at,
        started=health.started,
        connections=health.connections,
        reconnects=health.reconnects,
        rate=round(health.rate, 1),
        messages=health.messages,
        bad=health.bad,
        datasets=tuple(map(_row, health.datasets)),
        phase=health.phase,
        tries=health.tries,
        why=health.why,
    )


def _row(one: DatasetHealth) -> DatasetBeat:
    return DatasetBeat(
        dataset=str(one.dataset),
        last=one.last,
        lag=one.lag,
        rate=round(one.rate, 1),
        messages=one.messages,
        rows=one.rows,
        invalid=one.invalid,
        invalid_since=one.invalid_since,
        refused=one.refused,
        phase=one.phase,
        since=one.since,
        proven=one.proven,
        price=one.price,
        bid=one.bid,
        ask=one.ask,
        crossed=one.crossed,
    )


def write_beat(instance: dg.DagsterInstance, name: str, beat: Beat) -> None:
    instance.daemon_cursor_storage.set_cursor_values({f"{BEAT}{name}": msgspec.json.encode(beat).decode()})


def read_beats(instance: dg.DagsterInstance, names: Iterable[str]) -> Mapping[str, Beat]:
    """Return the last beat of each of these streams that ever gave one."""
    found: Mapping[str, str] = {}
    if keys := {f"{BEAT}{name}" for name in names}:
        found = instance.daemon_cursor_storage.get_cursor_values(keys)
    beats = {key.removeprefix(BEAT): _read(text) for key, text in found.items()}
    return {name: beat for name, beat in beats.items() if beat}


def _read(text: str) -> Beat | None:
    try:
        return _READ.decode(text)
    except msgspec.ValidationError:  # of another version of dccd: its run falls silent, and is started again
        return None
