"""Streams against the sandbox, with its clock running fast: what the tests of live promises share."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.http import open_transport
from dccd_core.net.sockets import open_sockets
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.stream.run import run_stream
from dccd_core.testing.sandbox.process import RunningSandbox


class FastClock:
    """Shows the time of a sandbox whose clock runs ``rate`` times as fast, and waits by it."""

    def __init__(self, now: Us, rate: int) -> None:
        self._start, self.rate = now, rate
        self._began = time.monotonic_ns() // 1_000

    def now(self) -> Us:
        return Us(self._start + (time.monotonic_ns() // 1_000 - self._began) * self.rate)

    def steady(self) -> Us:
        return Us(time.monotonic_ns() // 1_000 * self.rate)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)


@dataclass
class Told:
    """A listener that remembers."""

    notes: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    beats: list[StreamHealth] = field(default_factory=list[StreamHealth])
    parts: list[tuple[Dataset, str]] = field(default_factory=list[tuple[Dataset, str]])

    def beat(self, health: StreamHealth) -> None:
        self.beats.append(health)

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        self.parts.append((dataset, key))

    def note(self, text: str, *, wrong: bool) -> None:
        self.notes.append((text, wrong))


@dataclass
class Stage:
    """A sandbox, a lake, and what it takes to record from the one into the other."""

    box: RunningSandbox
    lake: LakeStore
    clock: FastClock
    exchange: str
    told: Told = field(default_factory=Told)

    @asynccontextmanager
    async def venue(self) -> AsyncGenerator[Venue]:
        exchange = get(self.exchange)
        url = self.box.rest_url(self.exchange)
        async with open_transport(exchange, rest_url=url, clock=self.clock) as transport:
            yield Venue(exchange, transport, self.clock)

    async def record(self, plan: StreamPlan, until: Us) -> None:
        """Record until the sandbox's clock shows ``until``."""
        stop = asyncio.Event()

        async def end() -> None:
            await self._reach(until)
            stop.set()

        ending = asyncio.create_task(end())
        try:
            async with self.venue() as venue:
                with open_sockets(get(self.exchange), ws_url=self.box.ws_url(self.exchange)) as connect:
                    await run_stream(plan, venue, connect, self.lake, stop, self.told)
        finally:
            ending.cancel()

    async def _reach(self, moment: Us) -> None:
        await asyncio.sleep((moment - self.clock.now()) / self.clock.rate / SECOND)

    async def settle(self, datasets: Sequence[Dataset]) -> None:
        """Fold what was recorded, and ask for what was missed, once the venue is done with it."""
        await self._reach(Us(self.clock.now() + 20 * SECOND))
        async with self.venue() as venue:
            kinds = dict.fromkeys((one.data_type, one.span) for one in datasets)
            await fold_all(venue, self.lake, kinds, self.told)
            await fill_windows(venue, self.lake, datasets, self.told)


def stage(box: RunningSandbox, folder: Path, exchange: str, now: Us, rate: int) -> Stage:
    """Set the sandbox's clock, and begin."""
    box.clock(now, frozen=False, rate=rate)
    return Stage(box, LakeStore(folder), FastClock(now, rate), exchange)
