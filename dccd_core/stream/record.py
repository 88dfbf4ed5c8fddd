"""A stream from its start to its stop: connections that are kept up, and what they brought made one table."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, ExchangeError, LakeError, Rejected, Throttled, Where, located
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, Ns
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import Lake
from dccd_core.stream.fold import fill_windows, fold_all
from dccd_core.stream.link import Group, Link, Surroundings
from dccd_core.stream.plan import DatasetHealth, StreamHealth, StreamPlan
from dccd_core.stream.recording import Kind

_BEAT_S: Final = 5.0
_LOOK_S: Final = 0.5
_LEAD: Final = Ns(10 * MINUTE)
"""How long before the venue cuts a connection its successor is opened."""
_OVERLAP_S: Final = 60.0
_SUCCEED_AGAIN_S: Final = 60.0
"""How long after a successor that failed the next one is opened."""
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_GOOD_LIFE: Final = Ns(5 * SECOND)
"""A connection that lived so long was a good one: the next is tried at once."""
_LATE: Final = Ns(15 * SECOND)
_FOLD_AT_MOST: Final = Ns(30 * SECOND)
"""How often a reconnect makes everything fold: what was missed is to be asked for soon, not all the time."""


@dataclass(slots=True)
class _Line:
    """The place of one group: the connections it has now, and what became of those before."""

    group: Group
    links: list[Link] = field(default_factory=list[Link])
    """One; two while one takes over from the other."""
    reconnects: int = 0
    failures: int = 0
    messages: int = 0
    bad: int = 0
    unwritten: int = 0
    """Rows that could not be written before the end."""
    rejected: Rejected | None = None
    """Why the venue lets no connection in, if it never let in one."""
    _refused: dict[str, str] = field(default_factory=dict[str, str])

    def forget(self, link: Link) -> None:
        self._refused = _refused_after(self._refused, link)
        self.links.remove(link)
        self.messages += link.messages
        self.bad += link.bad

    @property
    def refused(self) -> dict[str, str]:
        """What the venue said of each topic that it does not send."""
        refused = self._refused
        for link in self.links:
            refused = _refused_after(refused, link)
        return refused

    @property
    def hopeless(self) -> bool:
        """Whether the venue sends nothing of all this."""
        rejected = self.rejected is not None and not any(link.messages for link in self.links)
        return rejected or set(self.group.wanted) <= set(self.refused)


def _refused_after(refused: dict[str, str], link: Link) -> dict[str, str]:
    return {name: said for name, said in refused.items() if name not in link.accepted} | link.refused


class Recorder:
    """Keeps the connections of one stream, and folds what they bring."""

    def __init__(
        self, plan: StreamPlan, venue: Venue, lake: Lake, groups: Sequence[Group], around: Surroundings
    ) -> None:
        self._plan, self._venue, self._lake, self._around = plan, venue, lake, around
        self._clock, self._listener = around.clock, around.listener
        self._lines = [_Line(group) for group in groups]
        self._kinds: list[Kind] = list(dict.fromkeys((one.data_type, one.span) for one in plan.datasets))
        self._started = self._clock.now()
        self._unfilled: set[Link] = set()
        """Connections whose predecessors' windows are still to be asked for."""
        self._counted: dict[Dataset, int] = {}
        self._beaten = self._clock.steady()

    async def run(self, stop: asyncio.Event) -> None:
        """Record until ``stop`` is set; then write everything down and end.

        Raises:
            ExchangeError: the venue sends nothing of what is wanted.
            LakeError: what came cannot be written.
        """
        work = [asyncio.create_task(self._keep(line)) for line in self._lines]
        work += [asyncio.create_task(self._fold_often()), asyncio.create_task(self._beat_often())]
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([*work, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
        finally:
            stopped.cancel()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self._listener.beat(self._health())
        if lost := sum(line.unwritten for line in self._lines):
            raise LakeError(
                f"{self._plan.name} ended before {lost} rows could be written",
                hint="free space; what was missed is asked for again where the exchange has history",
            )

    async def _keep(self, line: _Line) -> None:
        """Keep one group connected, for ever."""
        link, running = self._open(line)
        life_s = self._life()
        try:
            while True:
                if not await self._ends(running, life_s):
                    link, running, life_s = await self._hand_over(line, link, running)
                    continue
                line.forget(link)
                good = self._clock.steady() - link.opened > _GOOD_LIFE
                line.failures = 0 if good else line.failures + 1
                await self._pause(line, running)
                line.reconnects += 1
                ended = link
                link, running = self._open(line)
                link.inherit(ended)
                life_s = self._life()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            line.unwritten = link.unwritten

    def _open(self, line: _Line) -> tuple[Link, asyncio.Task[str]]:
        link = Link(line.group, self._around)
        line.links.append(link)
        self._unfilled.add(link)
        return link, asyncio.create_task(link.run())

    def _life(self) -> float | None:
        lifetime = self._around.live.lifetime
        return None if lifetime is None else max(1.0, (lifetime - _LEAD) / SECOND)

    async def _ends(self, running: asyncio.Task[str], within_s: float | None) -> bool:
        """Wait until a connection ends; False when it has not after so long."""
        if within_s is None:
            await asyncio.wait([running])
            return True
        timer = asyncio.create_task(self._clock.sleep(within_s))
        try:
            await asyncio.wait([running, timer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return running.done()

    async def _hand_over(
        self, line: _Line, link: Link, running: asyncio.Task[str]
    ) -> tuple[Link, asyncio.Task[str], float | None]:
        """Open the successor of a connection that its venue is about to cut; end it when that records.

        Return the one to go on with, and how long until the next is opened: a successor that fails changes
        nothing as yet.
        """
        successor, its_running = self._open(line)
        ready = asyncio.create_task(self._replaced(link, successor))
        timer = asyncio.create_task(self._clock.sleep(_OVERLAP_S))
        try:
            await asyncio.wait([running, its_running, ready, timer], return_when=asyncio.FIRST_COMPLETED)
            if its_running.done() and not running.done():
                self._drop(line, successor, its_running)
                return link, running, _SUCCEED_AGAIN_S
            link.stop("its successor has taken over")
            await asyncio.gather(running, return_exceptions=True)
        except asyncio.CancelledError:
            its_running.cancel()
            await asyncio.gather(its_running, return_exceptions=True)
            raise
        finally:
            ready.cancel()
            timer.cancel()
        line.forget(link)
        successor.inherit(link)
        return successor, its_running, self._life()

    async def _replaced(self, link: Link, successor: Link) -> None:
        while not successor.replaces(link):
            await self._clock.sleep(_LOOK_S)

    def _drop(self, line: _Line, successor: Link, ended: asyncio.Task[str]) -> None:
        line.forget(successor)
        reason, _ = self._reason(line, ended)
        self._listener.note(
            f"{self._around.exchange} {line.group.url}: a new connection did not come to be, the old one "
            f"goes on: {reason}",
            wrong=True,
        )

    async def _pause(self, line: _Line, ended: asyncio.Task[str]) -> None:
        """Say why a connection ended, and wait before the next one."""
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(max(0, line.failures - 1), 10))
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 -- so that not everybody comes back at once
        reason, at_least_s = self._reason(line, ended)
        wait_s = max(wait_s, at_least_s)
        self._refuse_emptiness()
        self._listener.note(
            f"{self._around.exchange} {line.group.url}: {reason}; {len(line.group.datasets)} datasets, "
            f"connecting again in {wait_s:.1f} s",
            wrong=True,
        )
        await self._clock.sleep(wait_s)

    def _reason(self, line: _Line, ended: asyncio.Task[str]) -> tuple[str, float]:
        """Return why a connection ended, and how long the venue wants us to stay away at least."""
        line.rejected = None
        try:
            return ended.result(), 0.0
        except Throttled as e:
            return str(e), e.wait_s or _LONGEST_WAIT_S
        except ExchangeError as e:
            if isinstance(e, Rejected) and not line.messages:
                line.rejected = e
            return str(e), 0.0

    def _refuse_emptiness(self) -> None:
        """End the stream when the venue refused everything that it was to bring."""
        if not all(line.hopeless for line in self._lines):
            return
        line = self._lines[0]
        name, wanted = next(iter(line.group.wanted.items()))
        with located(Where(self._around.exchange, line.group.url, str(wanted[0].dataset.symbol))):
            if line.rejected:
                raise line.rejected
            raise Rejected(
                f"the venue refused every subscription, {name}: {line.refused[name]}",
                hint=f"see `dccd exchanges {self._around.exchange}` for what it serves",
            )

    async def _fold_often(self) -> None:
        """Fold at the start, in every hour, and soon after a connection took the place of another."""
        await self._fold(fill=False)
        hour, folded = self._hour(), self._clock.steady()
        while True:
            await self._clock.sleep(_LOOK_S)
            anew = self._begun_anew() and self._clock.steady() - folded > _FOLD_AT_MOST
            if anew or self._hour() != hour:
                hour = self._hour()
                self._unfilled -= {link for link in self._unfilled if link.complete.is_set()}
                await self._fold(fill=True)
                folded = self._clock.steady()

    def _hour(self) -> int:
        """Return the number of the hour, a little late: so the last rows of a partition have come."""
        return (self._clock.now() - _LATE) // HOUR

    def _begun_anew(self) -> bool:
        alive = {link for line in self._lines for link in line.links}
        self._unfilled &= alive
        return any(link.complete.is_set() for link in self._unfilled)

    async def _fold(self, *, fill: bool) -> None:
        try:
            for line in self._lines:
                for link in list(line.links):
                    await link.rotate()
            await fold_all(self._venue, self._lake, self._kinds, self._listener)
            if fill:
                await fill_windows(self._venue, self._lake, self._plan.datasets, self._listener)
        except DccdError as e:
            self._listener.note(
                f"live rows could not be folded, they stay in their segments: {e}", wrong=True
            )

    async def _beat_often(self) -> None:
        while True:
            self._listener.beat(self._health())
            await self._clock.sleep(_BEAT_S)

    def _health(self) -> StreamHealth:
        now, passed = self._clock.steady(), max(1, self._clock.steady() - self._beaten)
        links = [link for line in self._lines for link in line.links]
        messages = sum(line.messages for line in self._lines) + sum(link.messages for link in links)
        refused = self._refused()
        datasets = tuple(
            self._dataset_health(dataset, passed, refused.get(dataset)) for dataset in self._plan.datasets
        )
        self._beaten = now
        return StreamHealth(
            at=self._clock.now(),
            started=self._started,
            connections=sum(link.connected for link in links),
            reconnects=sum(line.reconnects for line in self._lines),
            rate=sum(one.rate for one in datasets),
            messages=messages,
            bad=sum(line.bad for line in self._lines) + sum(link.bad for link in links),
            datasets=datasets,
        )

    def _dataset_health(self, dataset: Dataset, passed: int, refused: str | None) -> DatasetHealth:
        seen = self._around.seen[dataset]
        before = self._counted.get(dataset, 0)
        self._counted[dataset] = seen.messages
        return DatasetHealth(
            dataset,
            last=seen.last,
            lag=seen.lag,
            rate=(seen.messages - before) * SECOND / passed,
            messages=seen.messages,
            rows=seen.rows,
            invalid=seen.invalid,
            invalid_since=seen.invalid_since,
            refused=refused,
        )

    def _refused(self) -> dict[Dataset, str]:
        return {
            one.dataset: said
            for line in self._lines
            for name, said in line.refused.items()
            for one in line.group.wanted[name]
        }
