"""Streams and recorders as tests need them."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dccd_core.domain.timespan import SECOND, Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.clock import SystemClock
from dccd_core.net.sockets import Connect
from dccd_core.stream.api import DatasetHealth, Listener, Phase, StreamHealth, StreamPlan
from dccd_pipeline.config.read import parse_settings
from dccd_pipeline.config.settings import Origin, Settings

STREAM = "{name: majors, exchange: binance, symbols: [BTC/USDT], data_types: [trades]}"
Act = Callable[[StreamPlan, LakeStore, Listener, asyncio.Event], None]


def settings_of(folder: Path, *streams: str) -> Settings:
    lines = [f"  - {stream}" for stream in streams or (STREAM,)]
    return parse_settings("\n".join(["stream:", *lines]), Origin("dccd.yaml", folder))


def health(plan: StreamPlan, at: Us, phase: Phase = Phase.RECORDING, **known: Any) -> StreamHealth:
    datasets = tuple(
        DatasetHealth(dataset, last=at, lag=Us(3_000), rate=2.25, messages=7, rows=9, phase=phase)
        for dataset in plan.datasets
    )
    return StreamHealth(
        at,
        Us(at - 60 * SECOND),
        connections=1,
        reconnects=2,
        rate=2.25,
        messages=7,
        bad=0,
        datasets=datasets,
        phase=phase,
        **known,
    )


@dataclass(slots=True)
class FakeRecorder:
    """Does ``act``, then waits to be stopped, and ``drains`` so long.

    ``error`` is raised instead of waiting; with ``ends`` it just returns.
    """

    act: Act = lambda _plan, _lake, _listener, _stop: None
    drain_s: float = 0
    error: Exception | None = None
    ends: bool = False
    drained: bool = field(default=False, init=False)
    begun: StreamPlan | None = field(default=None, init=False)
    """What it began with."""
    taken: list[StreamPlan] = field(default_factory=list[StreamPlan], init=False)
    """What it was given meanwhile."""
    until: int = -1
    """After so many plans it ends the run: as a signal does."""

    async def __call__(
        self,
        plan: StreamPlan,
        venue: Venue,
        connect: Connect,
        lake: LakeStore,
        stop: asyncio.Event,
        listener: Listener,
        *,
        plans: asyncio.Queue[StreamPlan],
    ) -> None:
        self.begun = plan
        listener.beat(health(plan, SystemClock().now()))
        self.act(plan, lake, listener, stop)
        if self.error:
            raise self.error
        if not self.ends:
            await self._take(plans, stop)
            await asyncio.sleep(self.drain_s)
        self.drained = True

    async def _take(self, plans: asyncio.Queue[StreamPlan], stop: asyncio.Event) -> None:
        while len(self.taken) < self.until:
            self.taken.append(await plans.get())
        if self.until >= 0:
            os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
