"""``Lake.backfill`` and ``Lake.record``: the core's functions, with a way to the exchange around them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from dccd_core.api.configured import Reach
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.dataset import Dataset, partition_keys, partition_span
from dccd_core.domain.errors import ConfigError, DccdError, IncompleteError
from dccd_core.domain.moments import whole_bars
from dccd_core.domain.timespan import ZERO, TimeRange, Us, moment
from dccd_core.exchanges import get
from dccd_core.fetch.fill import Filled
from dccd_core.fetch.fold import materialise
from dccd_core.fetch.together import Outcome, fill_all
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore, State
from dccd_core.net.clock import SystemClock
from dccd_core.net.http import DEFAULT_SHARE, open_transport
from dccd_core.net.sockets import Connect, open_sockets
from dccd_core.quality.coverage import gaps
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.fold import fold_all
from dccd_core.stream.run import run_stream

_LOG: Final = logging.getLogger("dccd")


@dataclass(frozen=True, slots=True)
class Filling:
    """How far a backfill is: this ``partition`` is filled ``until`` then; ``rows`` came so far, of all.

    ``share``: of the time that is wanted, between 0 and 1.
    """

    partition: str
    until: datetime
    rows: int
    share: float

    def __str__(self) -> str:
        return f"{self.share:.0%}: {self.partition} until {self.until:%Y-%m-%d %H:%M}, {self.rows:,} rows"


@dataclass(frozen=True, slots=True)
class Done:
    """What a backfill did: ``rows`` and ``requests`` of this time, those of before not among them."""

    dataset: Dataset
    rows: int
    requests: int


@dataclass(slots=True)
class _Backfill:
    """One backfill: what came of its partitions so far."""

    dataset: Dataset
    wanted: TimeRange
    tell: Callable[[Filling], object] | None
    rows: int = 0
    stored: int = 0
    requests: int = 0
    reached: dict[str, int] = field(default_factory=dict[str, int])
    """How long the time of each partition is that is done."""
    states: dict[str, State] = field(default_factory=dict[str, State])
    errors: list[DccdError] = field(default_factory=list[DccdError])

    def page(self, _: Dataset, key: str, rows: int, until: Us) -> None:
        self.rows += rows
        self._tell(key, until)

    def _tell(self, key: str, until: Us) -> None:
        part = partition_span(self.dataset.grain, key).clip(self.wanted)
        assert part is not None
        at = min(part.end, max(part.start, until))
        self.reached[key] = at - part.start
        share = sum(self.reached.values()) / max(1, self.wanted.length)
        if self.tell:
            self.tell(Filling(key, moment(at), self.rows, share))

    def report(self, outcome: Outcome) -> None:
        if isinstance(outcome.result, DccdError):
            self.errors.append(outcome.result)
            return
        self.stored += outcome.result.rows
        self.requests += outcome.result.requests
        if outcome.result.state:
            self.states[outcome.key] = outcome.result.state
        self._tell(outcome.key, self.wanted.end)


async def backfill(
    lake: LakeStore,
    dataset: Dataset,
    wanted: TimeRange,
    tell: Callable[[Filling], object] | None,
    rest_url: str | None,
) -> Done:
    """Fill the partitions of ``wanted`` together; raise if anything of it cannot be had."""
    async with open_transport(get(dataset.exchange), rest_url=rest_url) as transport:
        venue = Venue(get(dataset.exchange), transport, SystemClock())
        wanted = _past(wanted, venue.clock.now())
        within = whole_bars(wanted, dataset.span)
        run = _Backfill(dataset, wanted, tell)

        async def fill_one(one: Dataset, key: str) -> Filled:
            return await materialise(venue, lake, one, key, run.page, within=within)

        jobs = [(dataset, key) for key in partition_keys(dataset.grain, wanted)]
        await fill_all(jobs, fill_one, run.report)
    _raise(run)
    return Done(dataset, run.stored, run.requests)


def _past(wanted: TimeRange, now: Us) -> TimeRange:
    """Return the part of ``wanted`` that is over.

    Raises:
        ConfigError: there is none.
    """
    past = wanted.clip(TimeRange(ZERO, now))
    if past is None:
        raise ConfigError("the time that was asked for is empty, or still to come", hint="start earlier")
    return past


def _raise(run: _Backfill) -> None:
    if run.errors:
        first, *others = run.errors
        for error in others:
            first.add_note(f"and {error}")
        raise first
    holes = [gap for gap in gaps(run.dataset, run.states, run.wanted) if gap.missing is not None]
    if holes:
        raise IncompleteError(
            f"{run.dataset}: {len(holes)} gaps, the first {holes[0].span}: {holes[0].why}",
            hint="what came is stored; Lake.gaps lists them, and a later backfill asks for them again",
        )


def plan_of(datasets: Sequence[Dataset], depth: int, snapshot_every: str) -> StreamPlan:
    """Return what is to be recorded.

    Raises:
        ConfigError: it is nothing, or of several exchanges.
    """
    exchanges = sorted({dataset.exchange for dataset in datasets})
    if len(exchanges) != 1:
        said = f"one call records datasets of one exchange, not {', '.join(exchanges) or 'nothing'}"
        raise ConfigError(said, hint="call arecord once for each, and await them with asyncio.gather")
    return StreamPlan(exchanges[0], tuple(datasets), depth, parse_bar_span(snapshot_every))


async def record(
    lake: LakeStore,
    plan: StreamPlan,
    seconds: float | None,
    tell: Callable[[StreamHealth], object] | None,
    reach: Reach,
) -> None:
    """Record what ``plan`` says, for so many seconds or until it is cancelled; then store what came."""
    exchange, stop = get(plan.datasets[0].exchange), asyncio.Event()
    async with open_transport(exchange, rest_url=reach.rest_url) as transport:
        venue = Venue(exchange, transport, SystemClock())
        with open_sockets(exchange, ws_url=reach.ws_url, share=DEFAULT_SHARE) as connect:
            recording = asyncio.ensure_future(_recorded(plan, venue, connect, lake, stop, tell))
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            try:
                await asyncio.shield(recording)
            except asyncio.CancelledError:
                stop.set()
                await recording
                raise


async def _recorded(
    plan: StreamPlan,
    venue: Venue,
    connect: Connect,
    lake: LakeStore,
    stop: asyncio.Event,
    tell: Callable[[StreamHealth], object] | None,
) -> None:
    """Record until told to stop; then fold, since nobody may come who does it later."""
    listener = _Listener(plan.name, tell)
    await run_stream(plan, venue, connect, lake, stop, listener)
    kinds = dict.fromkeys((dataset.data_type, dataset.span) for dataset in plan.datasets)
    await fold_all(venue, lake, kinds, listener)


@dataclass(frozen=True, slots=True)
class _Listener:
    name: str
    tell: Callable[[StreamHealth], object] | None

    def beat(self, health: StreamHealth) -> None:
        if self.tell:
            self.tell(health)

    def folded(self, dataset: Dataset, key: str, state: State, rows: int) -> None:
        _LOG.info("%s %s: %d rows recorded, %d in all", dataset, key, rows, state.rows)

    def note(self, text: str, *, wrong: bool) -> None:
        _LOG.log(logging.WARNING if wrong else logging.INFO, "%s: %s", self.name, text)
