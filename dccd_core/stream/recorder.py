"""A stream from its start to its stop: connections that are kept up, and what they brought made one table."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, ExchangeError, LakeError, Rejected, Throttled, Where, located
from dccd_core.domain.timespan import DAY, MINUTE, SECOND, Us
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore
from dccd_core.net.sockets import dialled
from dccd_core.stream.api import StreamHealth, StreamPlan
from dccd_core.stream.attempts import Attempts
from dccd_core.stream.claim import PAUSED, REMOVED
from dccd_core.stream.connection import Connection, Group, StreamContext
from dccd_core.stream.fold import fill_windows, fold_all, recorded_until
from dccd_core.stream.health import HealthReport
from dccd_core.stream.settler import Settler
from dccd_core.stream.wanted import Kind, Seen, Wanted

_BEAT_S: Final = 5.0
_LOOK_S: Final = 0.5
_LEAD: Final = Us(10 * MINUTE)
"""How long before the venue cuts a connection its successor is opened."""
_OVERLAP_S: Final = 60.0
_SUCCEED_AGAIN_S: Final = 60.0
"""How long after a successor that failed the next one is opened."""
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 60.0
_GOOD_LIFE: Final = Us(5 * SECOND)
"""A connection that lived so long was a good one: the next is tried at once."""
_LATE: Final = Us(15 * SECOND)
_MOVED: Final = "its connection takes no more topics: another one gets it"

Find: TypeAlias = Callable[[StreamPlan, Dataset], Awaitable[Wanted | None]]
"""Looks a dataset up that is to be recorded; None when the venue does not list it."""


@dataclass(slots=True)
class Place:
    """The place of one group: the connections it has now, and what became of those before."""

    group: Group
    connections: list[Connection] = field(default_factory=list[Connection])
    """One; two while one takes over from the other."""
    reconnects: int = 0
    failures: int = 0
    why: str = ""
    """Why the last connection ended, or did not come to be."""
    messages: int = 0
    bad: int = 0
    unwritten: int = 0
    """Rows that could not be written before the end."""
    rejected: Rejected | None = None
    """Why the venue lets no connection in, if it never let in one."""
    _refused: dict[str, str] = field(default_factory=dict[str, str])

    def forget(self, connection: Connection) -> None:
        self._refused = _refused_after(self._refused, connection)
        self.connections.remove(connection)
        self.messages += connection.messages
        self.bad += connection.bad

    @property
    def refused(self) -> dict[str, str]:
        """What the venue said of each topic that it does not send."""
        refused = self._refused
        for connection in self.connections:
            refused = _refused_after(refused, connection)
        return {name: said for name, said in refused.items() if name in self.group.wanted}

    @property
    def hopeless(self) -> bool:
        """Whether the venue sends nothing of all this."""
        never = self.rejected is not None and not any(one.messages for one in self.connections)
        return never or set(self.group.wanted) <= set(self.refused)


def _refused_after(refused: dict[str, str], connection: Connection) -> dict[str, str]:
    still = {name: said for name, said in refused.items() if name not in connection.accepted}
    return still | connection.refused


class Recorder:
    """Keeps the connections of one stream, and folds what they bring.

    Args:
        plan: what is to be recorded.
        venue: the REST side.
        lake: where it is kept.
        groups: the topics of each connection.
        context: what the connections share.
        find: looks up what is added later.
    """

    def __init__(
        self,
        plan: StreamPlan,
        venue: Venue,
        lake: LakeStore,
        groups: Sequence[Group],
        context: StreamContext,
        find: Find,
    ) -> None:
        self._plan, self._venue, self._lake, self._context = plan, venue, lake, context
        self._clock, self._listener, self._find = context.clock, context.listener, find
        self._places = [Place(group) for group in groups]
        self._work: set[asyncio.Task[None]] = set()
        self._keeping: dict[int, asyncio.Task[None]] = {}
        self._moves = Attempts()
        self._draining = False
        self._health = HealthReport(context)

    async def run(self, stop: asyncio.Event, plans: "asyncio.Queue[StreamPlan] | None" = None) -> None:
        """Record until ``stop`` is set; then write everything down and end.

        Args:
            stop: ends it.
            plans: what is to be recorded from now on, instead of the plan before.

        Raises:
            ExchangeError: the venue sends nothing of what is wanted.
            LakeError: what came cannot be written.
        """
        for place in self._places:
            self._begin(place)
        settler = Settler(self._venue, self._context, self._connections)
        self._work |= {
            asyncio.create_task(one)
            for one in (self._fold_often(), self._beat_often(), settler.run(), self._change_often(plans))
        }
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await self._until(stopped)
        finally:
            self._draining = True
            stopped.cancel()
            work = [*self._work, *self._keeping.values()]
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self._listener.beat(self._report())
        if lost := sum(place.unwritten for place in self._places):
            raise LakeError(
                f"{self._plan.name} ended before {lost} rows could be written",
                hint="free space; what was missed is asked for again where the exchange has history",
            )

    async def _until(self, stopped: asyncio.Future[Literal[True]]) -> None:
        """Wait for the end, and raise what ends the work before that."""
        while not stopped.done():
            work = [*self._work, *self._keeping.values()]
            await asyncio.wait([*work, stopped], return_when=asyncio.FIRST_COMPLETED, timeout=_LOOK_S)
            for task in work:
                if task.done() and not task.cancelled():
                    task.result()

    def _connections(self) -> list[Connection]:
        return [one for place in self._places for one in place.connections if one.connected]

    def _kinds(self) -> list[Kind]:
        return list(dict.fromkeys((one.data_type, one.span) for one in self._plan.datasets))

    async def _look_back(self) -> None:
        """Fold what an earlier run left, and see from where on rows are missing."""
        await self._fold(fill=False)
        now = self._clock.now()
        try:
            found = await asyncio.to_thread(recorded_until, self._lake, self._plan.datasets, now)
        except DccdError as e:
            self._listener.note(f"nobody knows what was recorded before: {e}", wrong=True)
            return
        for connection in (connection for place in self._places for connection in place.connections):
            connection.resume(found)
        self._context.windows.resume(found)

    def _begin(self, place: Place) -> None:
        self._keeping[id(place)] = asyncio.create_task(self._keep(place))

    async def _end(self, place: Place) -> None:
        """Give a place up of which nothing is wanted any more."""
        self._places.remove(place)
        task = self._keeping.pop(id(place))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _keep(self, place: Place) -> None:
        """Keep one group connected, for ever."""
        connection, running = self._open(place)
        life_s = self._life()
        try:
            while True:
                if not await self._ends(running, life_s):
                    connection, running, life_s = await self._hand_over(place, connection, running)
                    continue
                place.forget(connection)
                good = self._clock.steady() - connection.opened > _GOOD_LIFE
                place.failures = 0 if good else place.failures + 1
                await self._pause(place, running)
                place.reconnects += 1
                ended = connection
                connection, running = self._open(place)
                connection.inherit(ended)
                life_s = self._life()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            place.unwritten = connection.unwritten

    def _open(self, place: Place) -> tuple[Connection, asyncio.Task[str]]:
        connection = Connection(place.group, self._context)
        place.connections.append(connection)
        return connection, asyncio.create_task(connection.run())

    def _life(self) -> float | None:
        lifetime = self._context.live.lifetime
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
        self, place: Place, connection: Connection, running: asyncio.Task[str]
    ) -> tuple[Connection, asyncio.Task[str], float | None]:
        """Open the successor of a connection that its venue is about to cut; end it when that records.

        Return the one to go on with, and how long until the next is opened: a successor that fails changes
        nothing as yet.
        """
        successor, its_running = self._open(place)
        ready = asyncio.create_task(self._replaced(connection, successor))
        timer = asyncio.create_task(self._clock.sleep(_OVERLAP_S))
        try:
            await asyncio.wait([running, its_running, ready, timer], return_when=asyncio.FIRST_COMPLETED)
            if its_running.done() and not running.done():
                self._drop(place, successor, its_running)
                return connection, running, _SUCCEED_AGAIN_S
            connection.stop("its successor has taken over")
            await asyncio.gather(running, return_exceptions=True)
        except asyncio.CancelledError:
            its_running.cancel()
            await asyncio.gather(its_running, return_exceptions=True)
            raise
        finally:
            ready.cancel()
            timer.cancel()
        place.forget(connection)
        successor.inherit(connection)
        return successor, its_running, self._life()

    async def _replaced(self, connection: Connection, successor: Connection) -> None:
        while not successor.replaces(connection):
            await self._clock.sleep(_LOOK_S)

    def _drop(self, place: Place, successor: Connection, ended: asyncio.Task[str]) -> None:
        place.forget(successor)
        reason, _ = self._reason(place, ended)
        self._listener.note(
            f"{self._context.exchange} {self._at(place)}: a new connection did not come to be, the old one "
            f"goes on: {reason}",
            wrong=True,
        )

    async def _pause(self, place: Place, ended: asyncio.Task[str]) -> None:
        """Say why a connection ended, and wait before the next one."""
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(max(0, place.failures - 1), 10))
        wait_s *= random.uniform(0.5, 1.0)  # noqa: S311 -- so that not everybody comes back at once
        reason, at_least_s = self._reason(place, ended)
        wait_s, place.why = max(wait_s, at_least_s), reason
        self._refuse_emptiness()
        self._listener.note(
            f"{self._context.exchange} {self._at(place)}: {reason}; {len(place.group.datasets)} datasets, "
            f"connecting again in {wait_s:.1f} s",
            wrong=True,
        )
        await self._clock.sleep(wait_s)

    def _reason(self, place: Place, ended: asyncio.Task[str]) -> tuple[str, float]:
        """Return why a connection ended, and how long the venue wants us to stay away at least."""
        place.rejected = None
        try:
            return ended.result(), 0.0
        except Throttled as e:
            return str(e), e.wait_s or _LONGEST_WAIT_S
        except ExchangeError as e:
            if isinstance(e, Rejected) and not place.messages:
                place.rejected = e
            return str(e), 0.0

    def _at(self, place: Place) -> str:
        """Return where the connection really goes: it may be a proxy that the user named."""
        return dialled(self._context.connect, place.group.url)

    def _refuse_emptiness(self) -> None:
        """End the stream when the venue refused everything that it was to bring."""
        if not all(place.hopeless for place in self._places):
            return
        place = self._places[0]
        name, wanted = next(iter(place.group.wanted.items()))
        with located(Where(self._context.exchange, self._at(place), str(wanted[0].dataset.symbol))):
            if place.rejected:
                raise place.rejected
            raise Rejected(
                f"the venue refused every subscription, {name}: {place.refused[name]}",
                hint=f"see `dccd exchanges {self._context.exchange}` for what it serves",
            )

    async def _change_often(self, plans: "asyncio.Queue[StreamPlan] | None") -> None:
        """Take a new plan when there is one, and give topics that a connection cannot take to another."""
        while True:
            while plans is not None and not plans.empty():
                await self._change(plans.get_nowait())
            for place in list(self._places):
                for name in {name for connection in place.connections for name in connection.full}:
                    self._move(place, name)
            await self._clock.sleep(_LOOK_S)

    async def _change(self, plan: StreamPlan) -> None:
        """Record what is wanted now; what was wanted before goes on as it is."""
        before, self._plan = self._plan, plan
        wanted = [one for one in plan.datasets if one not in plan.paused]
        had = {one for place in self._places for one in place.group.datasets}
        for dataset in had - set(wanted):
            await self._leave(dataset, PAUSED if dataset in plan.paused else REMOVED)
        for dataset in plan.datasets:
            self._context.seen.setdefault(dataset, Seen())
        for dataset in wanted:
            if dataset not in had and (one := await self._find(plan, dataset)) is not None:
                self._give_place(one)
        self._listener.note(_changed(before, plan), wrong=False)

    async def _leave(self, dataset: Dataset, reason: str) -> None:
        for place in list(self._places):
            for name, ones in list(place.group.wanted.items()):
                if all(one.dataset != dataset for one in ones):
                    continue
                place.group.wanted[name] = [one for one in ones if one.dataset != dataset]
                for connection in place.connections:
                    connection.drop(name, dataset, reason)
                if not place.group.wanted[name]:
                    del place.group.wanted[name]
            if not place.group.wanted:
                await self._end(place)

    def _give_place(self, one: Wanted, *, but: Place | None = None) -> None:
        """Give a dataset to a connection that has room, or to a new one."""
        live = self._context.live
        url, name = live.url(one.topic), live.name(one.topic)
        for place in self._places:
            room = name in place.group.wanted or len(place.group.wanted) < live.most
            if place is not but and place.group.url == url and room:
                place.group.wanted.setdefault(name, []).append(one)
                for connection in place.connections:
                    connection.add(name, one)
                return
        place = Place(Group(url, {name: [one]}))
        self._places.append(place)
        self._begin(place)

    def _move(self, place: Place, name: str) -> None:
        """Let another connection have a topic that this one cannot take."""
        now = self._clock.steady()
        if name not in place.group.wanted or not self._moves.due(name, now):
            return
        self._moves.tries(name, now)
        self._listener.note(f"{self._context.exchange} {name}: {_MOVED}", wrong=False)
        for one in place.group.wanted.pop(name):
            for connection in place.connections:
                connection.drop(name, one.dataset, _MOVED)
            self._give_place(one, but=place)

    async def _fold_often(self) -> None:
        """Fold at the start, as often as planned, and as soon as a disk that was full has room again."""
        await self._look_back()
        turn = self._turn()
        while True:
            await self._clock.sleep(_LOOK_S)
            again = [connection for connection in self._connections() if connection.written_again.is_set()]
            if again or self._turn() != turn:
                turn = self._turn()
                for connection in again:
                    connection.written_again.clear()
                await self._fold(fill=True)

    def _turn(self) -> tuple[int, int]:
        """Return whose turn it is, a little late: so the last rows of a partition have come.

        A new one begins with every day, too: partitions end with days.
        """
        at = self._clock.now() - _LATE
        return at // DAY, at // self._plan.fold_every

    async def _fold(self, *, fill: bool) -> None:
        try:
            for place in self._places:
                for connection in list(place.connections):
                    await connection.rotate()
            await fold_all(self._venue, self._lake, self._kinds(), self._listener)
            if fill:
                await fill_windows(self._venue, self._lake, self._plan.datasets, self._listener)
        except DccdError as e:
            self._listener.note(
                f"live rows could not be folded, they stay in their segments: {e}", wrong=True
            )

    async def _beat_often(self) -> None:
        while True:
            self._listener.beat(self._report())
            await self._clock.sleep(_BEAT_S)

    def _report(self) -> StreamHealth:
        return self._health.report(self._plan, self._places, draining=self._draining)


def _changed(before: StreamPlan, now: StreamPlan) -> str:
    """Say what is recorded from now on that was not, and the other way round."""
    active = [{one for one in plan.datasets if one not in plan.paused} for plan in (before, now)]
    added = ", ".join(sorted(str(one) for one in active[1] - active[0])) or "nothing"
    gone = ", ".join(sorted(str(one) for one in active[0] - active[1])) or "nothing"
    return f"{now.name}: changed while it runs: recorded from now on: {added}; no more: {gone}"
