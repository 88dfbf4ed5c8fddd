"""Run a capture again, offline: the same frames and answers through the same sessions, books and coverage.

Time is virtual, so it takes as long as the work, and the same capture gives the same every time.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from dccd_core.adapter.contract import Exchange, Request, Response
from dccd_core.adapter.live import DecodedBatch
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import ConfigError, DccdError, Unavailable
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.stream import tape
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.fold import fold_all
from dccd_core.stream.mortal import MortalLake
from dccd_core.stream.playback import Differences, Playback
from dccd_core.stream.run import run_stream

_SEED: Final = 0


class Piece(msgspec.Struct, frozen=True):
    """Time ``[start, end)``, as people read it, with what is known of it."""

    start: str
    end: str
    reason: str | None = None
    proof: str | None = None
    missing: int | None = None


class Part(msgspec.Struct, frozen=True):
    """One partition. ``hash``: of its rows, however they are stored."""

    rows: int
    hash: str
    covered: list[Piece]
    holes: list[Piece]
    lost: list[Piece]


class Replayed(msgspec.Struct, frozen=True):
    """What a replay came to.

    ``captured``: the versions of dccd that recorded; ``version``: the present one. ``ended``: how each
    capture ends. ``messages``: how many frames came, and what was made of them. ``differences``: what the
    replay did otherwise than the recording, counted by kind, and the first few in words.
    """

    version: str
    captured: list[str]
    exchange: str
    stream: str
    ended: list[str]
    messages: dict[str, int]
    datasets: dict[str, dict[str, Part]]
    notes: list[str]
    differences: dict[str, int]
    first_differences: list[str]


def replay(folders: Sequence[Path], lake: Path) -> Replayed:
    """Replay captures of one stream, one after the other, into a lake.

    One that does not end in good order is of a recorder that was killed then, and so is its replay.

    Args:
        folders: the captures, the oldest first.
        lake: an empty folder.

    Raises:
        ConfigError: there is no capture in one of them, or they are not of one stream.
        DamagedFile: one cannot be read.
    """
    abouts = [tape.about(folder) for folder in folders]
    if len({(one.exchange, one.plan.name) for one in abouts}) != 1:
        raise ConfigError("these captures are not of one stream", hint="replay them one by one")
    random.seed(_SEED)  # what waits a random time does so the same every time
    return run_virtually(lambda loop: _Replay(abouts, folders, lake, loop).run())


@dataclass(slots=True)
class _Told:
    """A listener that remembers what was said, and when."""

    clock: VirtualClock
    lake: Path
    notes: list[str] = field(default_factory=list[str])

    def beat(self, health: StreamHealth) -> None: ...

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None: ...

    def note(self, text: str, *, wrong: bool) -> None:
        del wrong
        self.notes.append(f"{iso(self.clock.now())} {text.replace(str(self.lake), '')}")


class _Replay:
    def __init__(
        self, abouts: Sequence[tape.About], folders: Sequence[Path], lake: Path, loop: VirtualLoop
    ) -> None:
        self._abouts, self._folders, self._lake = abouts, folders, lake
        self._clock = VirtualClock(loop, abouts[0].began)
        self._told = _Told(self._clock, lake)
        self._came = Counter[str]()
        self._exchange: Final = _counting(get(abouts[0].exchange), self._came)
        self._differences = Differences()
        self._ended = list[str]()
        self._plans = list[StreamPlan]()

    async def run(self) -> Replayed:
        for about, folder in zip(self._abouts, self._folders, strict=True):
            await self._one(about, folder)
        datasets = list(dict.fromkeys(one for plan in self._plans for one in plan.datasets))
        lake, kinds = (
            LakeStore(self._lake),
            list(dict.fromkeys((one.data_type, one.span) for one in datasets)),
        )
        await fold_all(Venue(self._exchange, _Nobody(), self._clock), lake, kinds, self._told)
        return Replayed(
            version("dccd"),
            [about.version for about in self._abouts],
            self._exchange.name,
            self._plans[-1].name,
            self._ended,
            dict(sorted(self._came.items())),
            {str(one): parts(lake, one) for one in datasets},
            self._told.notes,
            dict(sorted(self._differences.counts.items())),
            self._differences.first,
        )

    async def _one(self, about: tape.About, folder: Path) -> None:
        self._clock.step(about.began - self._clock.now())
        playback = Playback(tape.entries(folder), self._clock)
        playback.differences = self._differences
        plans = [plan_of(planned.plan) for planned in playback.plans] or [plan_of(about.plan)]
        self._plans += plans
        playback.step_the_clock()
        playback.stall()
        lake, stop = MortalLake(self._lake), asyncio.Event()
        venue = Venue(self._exchange, playback, self._clock)
        recording = asyncio.create_task(
            run_stream(plans[0], venue, playback.connect(), lake, stop, self._told, playback.changes(plan_of))
        )
        await asyncio.wait([recording], timeout=playback.end_s)
        if playback.ended is None and not recording.done():
            lake.kill()
            recording.cancel()
        stop.set()
        (result,) = await asyncio.gather(recording, return_exceptions=True)
        if unasked := playback.unasked():
            self._differences.counts["requests that were not made"] += unasked
        self._ended.append(_ending(playback, result))


class _Nobody:
    """Folding asks nobody."""

    async def send(self, request: Request) -> Response:
        raise Unavailable(f"{request.path} is not to be had offline")


def parts(lake: LakeStore, dataset: Dataset) -> dict[str, Part]:
    """Return what a lake holds and says of a dataset, partition by partition."""
    return {
        key: Part(
            state.rows,
            state.content_hash,
            [_piece(span) for span in state.ledger.covered()],
            [_piece(one.span, one.reason, one.proof, one.missing) for one in state.ledger.holes],
            [_piece(one.span, one.reason) for one in state.ledger.lost],
        )
        for key, state in sorted(lake.states(dataset).items())
    }


def plan_of(plan: tape.Plan) -> StreamPlan:
    datasets, paused = map(Dataset.parse, plan.datasets), map(Dataset.parse, plan.paused)
    return StreamPlan(plan.name, tuple(datasets), plan.depth, plan.snapshot_every, frozenset(paused))


def _counting(exchange: Exchange, came: Counter[str]) -> Exchange:
    """Return the same exchange; what its frames are understood to say is counted."""
    live = exchange.live
    assert live is not None

    def decode(frames: Sequence[bytes], received: Sequence[Us], state: object) -> DecodedBatch:
        batch = live.decode(frames, received, state)
        came.update(frames=len(frames), trades=_height(batch.trades), bars=_height(batch.bars))
        came["book changes"] += len(batch.books)
        came["answers"] += len(batch.acks)
        came["words of topics"] += len(batch.words)
        came["not understood"] += len(batch.bad)
        came["restarts"] += batch.restart is not None
        return batch

    return replace(exchange, live=replace(live, decode=decode))


def _height(rows: pl.DataFrame | None) -> int:
    return 0 if rows is None else rows.height


def _ending(playback: Playback, result: object) -> str:
    if isinstance(result, DccdError):
        return f"failed: {result}"
    if isinstance(result, Exception):
        return f"a defect of dccd: {type(result).__name__}: {result}"
    if playback.ended is None:
        return "killed"
    return "at its limit" if playback.ended.full else "stopped"


def _piece(
    span: TimeRange, reason: str | None = None, proof: str | None = None, missing: int | None = None
) -> Piece:
    return Piece(iso(span.start), iso(span.end), reason, proof, missing)
