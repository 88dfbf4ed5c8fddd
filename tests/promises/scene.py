"""One trouble at a time for a stream, recorded in this process on a virtual clock."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from dccd_core.adapter.contract import Request, Response
from dccd_core.adapter.live import Topic
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, parse_time
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Notes, Piece
from dccd_core.lake.live.segments import SegmentWriter
from dccd_core.net.virtual import VirtualClock, VirtualLoop, run_virtually
from dccd_core.net.websocket import Socket
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.stream.mortal import MortalLake
from dccd_core.stream.run import run_stream
from dccd_core.tables import DataType
from dccd_core.testing.sandbox.faults import Fault
from dccd_core.testing.sandbox.inside import Inside, InsideTransport
from dccd_core.testing.sandbox.options import Options
from dccd_core.testing.sandbox.server import Sandbox
from dccd_core.testing.sandbox.stats import StreamStats, Struck
from dccd_core.testing.sandbox.stream_faults import StreamFault
from tests.promises.attack import Log, tear
from tests.promises.truths import Claim, Wrong, claim, shown, truth, wrongs

START: Final = parse_time("2024-06-05T11:57:30")
DEPTH: Final = 10
BUSY: Final = 400_000
"""Trades a day: nearly five a second, so that a silence of ten seconds is none that the market explains."""
_SETTLE_S: Final = 40.0
_FUTURES: Final = {"binance": "usdm:", "bybit": "linear:"}
"""What is before a topic's name where another address has topics of the same name."""
KINDS: Final = ((DataType.TRADES, None), (DataType.OHLC, MINUTE), (DataType.ORDERBOOK, None))


def datasets(exchange: str, *bases: str, linear: bool = False) -> tuple[Dataset, ...]:
    """Return trades, bars and books of some symbols."""
    quote = "USD" if exchange in ("coinbase", "kraken", "bitfinex") else "USDT"
    symbols = [Symbol.parse(f"{base}/{quote}" + (f":{quote}" if linear else "")) for base in bases]
    return tuple(Dataset(exchange, symbol, *kind) for symbol in symbols for kind in KINDS)


def topic_of(dataset: Dataset, depth: int = DEPTH) -> str:
    """Return what the sandbox calls what brings a dataset: as the venue does, and of which of its sides."""
    exchange, market = get(dataset.exchange), dataset.symbol.market_type
    assert exchange.live
    channel = exchange.live.channel(market, dataset.data_type)
    assert channel
    deep = channel.depth(depth) or 0 if dataset.data_type is DataType.ORDERBOOK else 0
    told = str(dataset.symbol) if channel.named else ""  # what the sandbox's discovery says
    name = exchange.live.name(
        Topic(dataset.data_type, exchange.market(dataset.symbol), market, dataset.span, deep, told)
    )
    return name if market == "spot" else _FUTURES.get(dataset.exchange, "") + name


def urls(own: Sequence[Dataset]) -> set[str]:
    """Return the addresses that it takes to record these: one connection each, as long as they are few."""
    exchange = get(own[0].exchange)
    assert exchange.live
    topics = (
        Topic(one.data_type, exchange.market(one.symbol), one.symbol.market_type, one.span) for one in own
    )
    return {exchange.live.url(topic) for topic in topics}


def at_s(seconds: float) -> Us:
    """Return the moment so long after the start."""
    return Us(START + round(seconds * SECOND))


@dataclass(frozen=True)
class Scene:
    """What is recorded, and what befalls it; times are seconds since the start.

    ``acts`` are done when their time has come; ``kills``: when the recorder is killed, and how much later it
    begins again. ``density``: trades a day by symbol, where they are not ``BUSY``.
    """

    datasets: tuple[Dataset, ...]
    faults: Sequence[StreamFault] = ()
    length_s: float = 150.0
    rest: Sequence[Fault] = ()
    acts: Sequence[tuple[float, "Callable[[Stage], None]"]] = ()
    kills: Sequence[tuple[float, float]] = ()
    density: Mapping[str, int] = field(default_factory=dict[str, int])
    seed: int = 0
    start: Us = START

    @property
    def exchange(self) -> str:
        return self.datasets[0].exchange

    @property
    def densities(self) -> dict[str, int]:
        return {str(one.symbol): BUSY for one in self.datasets} | dict(self.density)


@dataclass
class Stage:
    """What an act can change."""

    box: Sandbox
    plan: StreamPlan
    plans: asyncio.Queue[StreamPlan]

    def change(self, *wanted: Dataset, paused: Sequence[Dataset] = ()) -> None:
        """Record something else from now on."""
        self.plan = replace(self.plan, datasets=wanted, paused=frozenset(paused))
        self.plans.put_nowait(self.plan)


@dataclass
class Played:
    """What came of it; times are seconds since the start."""

    scene: Scene
    folder: Path
    box: Sandbox
    notes: list[str]
    opened: list[float]
    """When a connection came to be."""
    asked: list[tuple[float, str]]
    """When something was asked for by REST, and by what path and parameters."""
    filled: list[tuple[float, DataType, Piece]]
    """When a piece was written that says of some time what became of it."""
    healths: list[StreamHealth]
    written: list[tuple[float, DataType, Notes]]
    """When something was written, and what it says besides rows."""
    answers: list[tuple[str, bytes]]
    """What was answered to what was asked for, by path and parameters."""

    @cached_property
    def claims(self) -> dict[Dataset, Claim]:
        return {dataset: claim(LakeStore(self.folder), dataset) for dataset in self.scene.datasets}

    @property
    def stats(self) -> StreamStats:
        return self.box.connections.tally.venue(self.scene.exchange)

    @property
    def struck(self) -> list[Struck]:
        return list(self.box.connections.tally.strikes)

    def struck_at(self) -> float:
        """Return when the first fault struck."""
        return (self.struck[0].at - self.scene.start) / SECOND

    def wrongs(self, *ones: Dataset) -> list[Wrong]:
        """Return what is claimed and not so, or stored and never was."""
        lake, market = LakeStore(self.folder), self.box.market
        return [wrong for one in ones or self.scene.datasets for wrong in wrongs(lake, market, one, DEPTH)]

    def silent(self, *ones: Dataset) -> list[str]:
        """Return the time of which nothing at all is said."""
        return [
            f"{one}: {shown(span)}" for one in ones or self.scene.datasets for span in self.claims[one].silent
        ]

    def lost_s(self, dataset: Dataset) -> float:
        """Return for how long a dataset is not proven, between its first proof and its last."""
        proven = self.claims[dataset].proven
        if not proven:
            return self.scene.length_s
        whole = TimeRange(proven[0].start, proven[-1].end)
        return (whole.length - sum(span.length for span in proven)) / SECOND

    def proven_to(self, dataset: Dataset) -> float:
        """Return up to when a dataset is proven."""
        proven = self.claims[dataset].proven
        return (proven[-1].end - self.scene.start) / SECOND if proven else 0.0

    def behind(self, dataset: Dataset) -> int:
        """Return how many rows there were after the last proof, but for those of the last half minute.

        Trades are proven up to two seconds before the newest one: another may come as late.
        """
        until_s = self.scene.length_s - 30 - (dataset.span or 0) / SECOND
        until, proven = Us(self.scene.start + round(until_s * SECOND)), self.claims[dataset].proven
        since = Us(proven[-1].end + 2 * SECOND + 1) if proven else self.scene.start
        return (
            truth(self.box.market, dataset, [TimeRange(since, until)], DEPTH).height if since < until else 0
        )

    def said(self, pattern: str) -> list[str]:
        return [note for note in self.notes if re.search(pattern, note)]

    def asked_for(self, pattern: str, until_s: float = 1e9) -> list[float]:
        return [at for at, path in self.asked if re.search(pattern, path) and at < until_s]


def played(scene: Scene, folder: Path) -> Played:
    """Record a scene into a lake in ``folder``."""
    random.seed(f"{scene.exchange} {scene.seed}")  # the recorder's own jitter
    return run_virtually(lambda loop: _Play(scene, folder, loop).run())


class _HeardLog(Log):
    """Keeps all that was told of how the stream is."""

    def __init__(self, clock: VirtualClock, folder: Path) -> None:
        super().__init__(clock, folder)
        self.healths = list[StreamHealth]()

    def beat(self, health: StreamHealth) -> None:
        self.healths.append(health)


class _WatchedLake(MortalLake):
    """Notes when it is written what became of some time."""

    def __init__(self, folder: Path, wrote: Callable[[DataType, Notes], None]) -> None:
        super().__init__(folder)
        self._wrote = wrote

    def segment(self, exchange: str, data_type: DataType, span: Us | None, at: Us) -> SegmentWriter:
        writer = super().segment(exchange, data_type, span, at)
        append = writer.append

        def watched(rows: object, notes: Notes) -> None:
            append(rows, notes)  # pyright: ignore[reportArgumentType] -- as it came
            self._wrote(data_type, notes)

        writer.append = watched
        return writer


class _Play:
    def __init__(self, scene: Scene, folder: Path, loop: VirtualLoop) -> None:
        self._scene, self._folder, self._loop = scene, folder, loop
        self._chance = random.Random(f"{scene.exchange} {scene.seed} on the way")
        options = Options(
            trades_per_day=scene.densities,
            stream_faults=scene.faults,
            faults=scene.rest,
            seed=scene.seed,
            symbols=list(scene.densities),
        )
        self._box = Sandbox(options, lambda: scene.start + loop.passed, 0.1)
        self._clock = VirtualClock(loop, scene.start)
        self._inside = Inside(self._box, self._clock, lambda: self._chance.uniform(0.02, 0.06))
        self._log = _HeardLog(self._clock, folder)
        self._stage = Stage(self._box, StreamPlan("scene", scene.datasets, DEPTH), asyncio.Queue())
        self._opened = list[float]()
        self._asked = list[tuple[float, str]]()
        self._answers = list[tuple[str, bytes]]()
        self._filled = list[tuple[float, DataType, Piece]]()
        self._written = list[tuple[float, DataType, Notes]]()

    async def run(self) -> Played:
        for at, act in self._scene.acts:
            self._loop.call_at(at, act, self._stage)
        for killed, after_s in self._scene.kills:
            await self._record_until(killed, kill=True)
            await self._clock.sleep(after_s)
        await self._record_until(self._scene.length_s, kill=False)
        await self._clock.sleep(_SETTLE_S)
        kinds = list(dict.fromkeys((one.data_type, one.span) for one in self._scene.datasets))
        await fold_all(self._venue(), LakeStore(self._folder), kinds, self._log)
        await fill_windows(self._venue(), LakeStore(self._folder), self._scene.datasets, self._log)
        told = self._opened, self._asked, self._filled, self._log.healths, self._written, self._answers
        return Played(self._scene, self._folder, self._box, self._log.notes, *told)

    async def _record_until(self, end: float, *, kill: bool) -> None:
        lake, stop = _WatchedLake(self._folder, self._wrote), asyncio.Event()
        venue = self._venue()
        recording = asyncio.create_task(
            run_stream(self._stage.plan, venue, self._connect(), lake, stop, self._log, self._stage.plans)
        )
        await asyncio.wait([recording], timeout=end - self._loop.time())
        if kill:
            tear(lake.kill())
            recording.cancel()
        stop.set()
        await asyncio.gather(recording, return_exceptions=kill)

    def _connect(self) -> Callable[[str], AbstractAsyncContextManager[Socket]]:
        connect = self._inside.connect(self._scene.exchange)

        @asynccontextmanager
        async def opened(url: str) -> AsyncGenerator[Socket]:
            async with connect(url) as socket:
                self._opened.append(self._loop.time())
                yield socket

        return opened

    def _venue(self) -> Venue:
        exchange = get(self._scene.exchange)
        watched = _Watched(self._inside.transport(exchange), self._ask, self._answer)
        return Venue(exchange, watched, self._clock)

    def _ask(self, request: Request) -> None:
        self._asked.append((self._loop.time(), _path(request)))

    def _answer(self, request: Request, body: bytes) -> None:
        self._answers.append((_path(request), body))

    def _wrote(self, data_type: DataType, notes: Notes) -> None:
        self._filled += [(self._loop.time(), data_type, piece) for piece in notes.pieces]
        self._written.append((self._loop.time(), data_type, notes))


class _Watched:
    """A transport of which somebody is told what it sends, and what the answer is."""

    def __init__(
        self,
        inner: InsideTransport,
        ask: Callable[[Request], None],
        answer: Callable[[Request, bytes], None],
    ) -> None:
        self._inner, self._ask, self._answer = inner, ask, answer

    async def send(self, request: Request) -> Response:
        self._ask(request)
        response = await self._inner.send(request)
        self._answer(request, response.body)
        return response


def _path(request: Request) -> str:
    return f"{request.path}?{urlencode(request.params)}"
