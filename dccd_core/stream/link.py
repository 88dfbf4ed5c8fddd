"""One connection from its opening to its end: what comes is recorded, what is due is sent and written."""

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dccd_core.adapter.live import BookChange, Live
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, LakeError, Where
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, Ns
from dccd_core.lake.coverage import Mark
from dccd_core.lake.lake import Lake
from dccd_core.lake.segments import SegmentWriter
from dccd_core.net.clock import Clock
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.stream.book import NEW
from dccd_core.stream.plan import Listener
from dccd_core.stream.recording import Batch, Kind, Recording, Seen, Wanted
from dccd_core.stream.session import Session

FLUSH_S: Final = 0.5
"""What came is on disk after this, and what writing takes."""
_LOOK_S: Final = 0.1
_IDLE: Final = Ns(5 * SECOND)
"""How often it is written down that nothing came."""
_ROTATE: Final = HOUR
_ROTATE_BYTES: Final = 256 * 2**20
_DISK_PATIENCE: Final = Ns(2 * MINUTE)
_MOST_WAITING: Final = 5_000_000
_BOOK_AGAIN: Final = Ns(5 * SECOND)
_START_AGAIN: Final = SECOND
_BOOK_AT_LEAST: Final = MINUTE
"""A lost book is asked to begin anew this often, however often that failed."""

StartBook: TypeAlias = Callable[[Wanted, str], Awaitable[BookChange]]
"""Asks for the snapshot that a book begins with, given the name of its topic."""


@dataclass(frozen=True, slots=True)
class Group:
    """Topics that share a connection, by the names that the venue's messages use."""

    url: str
    wanted: Mapping[str, Sequence[Wanted]]

    @property
    def datasets(self) -> list[Dataset]:
        return [one.dataset for ones in self.wanted.values() for one in ones]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all connections of a stream share."""

    exchange: str
    live: Live
    lake: Lake
    clock: Clock
    connect: Callable[[str], AbstractAsyncContextManager[Socket]]
    start_book: StartBook
    listener: Listener
    seen: Mapping[Dataset, Seen]


@dataclass(slots=True)
class _Log:
    """The segment that a kind of data goes to, and what is not written yet."""

    writer: SegmentWriter | None = None
    bare: bool = True
    """Whether its segment does not yet say what is standing."""
    begun: Ns = ZERO
    noted: Ns = ZERO
    standing: list[Mark] = field(default_factory=list[Mark])
    waiting: list[Batch] = field(default_factory=list[Batch])

    @property
    def rows(self) -> int:
        """How many rows are not written yet."""
        return sum(batch.rows.height for batch in list(self.waiting))


class Link:
    """One connection of a stream."""

    def __init__(self, group: Group, around: Surroundings) -> None:
        self.group = group
        self.opened = around.clock.steady()
        self.complete = asyncio.Event()
        """Set as soon as everything that the venue agreed to send is recorded without a gap."""
        self.messages = 0
        self.bad = 0
        self.refused: dict[str, str] = {}
        self.accepted: set[str] = set()
        self.connected = False
        self._around = around
        self._live, self._clock = around.live, around.clock
        topics = {name: ones[0].topic for name, ones in group.wanted.items()}
        self._recording = Recording(group.wanted, around.seen)
        self._session = Session(self._live, topics, self._clock.steady())
        self._logs: defaultdict[Kind, _Log] = defaultdict(_Log)
        self._inherited: list[tuple[Kind, _Log]] = []
        self._asked: dict[str, Ns] = {}
        """When a lost book was last asked to begin anew."""
        self._tries: Counter[str] = Counter()
        """How often it was."""
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._flushing = asyncio.Lock()
        self._writing = threading.Lock()
        self._failing: Ns | None = None
        self._over: asyncio.Future[str] | None = None

    async def run(self) -> str:
        """Record until the connection is over or ``stop`` is called; return why it ended.

        Raises:
            ExchangeError: it could not be opened.
            LakeError: what came cannot be written, and has not been for long.
        """
        self._over = asyncio.get_running_loop().create_future()
        reason = "the recording was ended"
        async with self._around.connect(self.group.url) as socket:
            self.connected = True
            work = [
                asyncio.create_task(one)
                for one in (self._receive(socket), self._send(socket), self._flush_often())
            ]
            try:
                await asyncio.wait([*work, self._over], return_when=asyncio.FIRST_COMPLETED)
                reason = self._why(work)
            except asyncio.CancelledError:
                reason = "the recording was stopped"
                raise
            finally:
                await _to_its_end(self._end(work, reason))
        return reason

    def stop(self, reason: str) -> None:
        """Let the connection end in good order."""
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    @property
    def unwritten(self) -> int:
        """How many rows there are that could not be written so far."""
        return sum(log.rows for _, log in self._all_logs())

    def replaces(self, before: "Link") -> bool:
        """Whether everything is recorded here from before the end of what the other one knows."""
        return self.complete.is_set() and self._recording.follows(before._recording)

    def inherit(self, ended: "Link") -> None:
        """Take over what a connection that is over could not write."""
        left = [(kind, log) for kind, log in ended._all_logs() if log.waiting]
        self._inherited += left
        self._failing = ended._failing if left else self._failing

    async def rotate(self) -> None:
        """Close the segments there are, so that they may be folded; what comes goes into new ones."""
        async with self._flushing:
            await self._write_all()
            self._recording.state()  # of books that turned it can be said only once that is written
            await self._write_all()
            for log in self._logs.values():
                _close(log)

    def _why(self, work: Sequence[asyncio.Task[str]]) -> str:
        assert self._over is not None
        if self._over.done():
            return self._over.result()
        done = next(task for task in work if task.done())
        error = done.exception()
        if isinstance(error, Disconnected):
            return str(error.args[0])
        return done.result()

    async def _receive(self, socket: Socket) -> str:
        while True:
            frames, moments = await socket.receive()
            self.messages += len(frames)
            heard = self._session.hear(frames, moments, self._clock.steady())
            self._recording.hear(heard, moments[-1])
            for name in self._session.accepted():
                self._accept(name)
            self._tell_refusals()
            if heard.bad:
                self._spoilt(heard.bad)
            self._look_at_books()
            if reason := self._session.over(self._clock.steady()):
                return reason

    async def _send(self, socket: Socket) -> str:
        heard = socket.heard
        while True:
            now = self._clock.steady()
            if socket.heard != heard:
                heard = socket.heard
                self._session.alive(now)
            for message in self._session.due(now):
                await socket.send(message)
            if reason := self._session.over(now):
                return reason
            self._look_at_books()
            await self._clock.sleep(_LOOK_S)

    async def _flush_often(self) -> str:
        while True:
            await self._clock.sleep(FLUSH_S)
            if any(self._is_full(log) for log in self._logs.values()):
                await self.rotate()
            async with self._flushing:
                await self._write_all()
            if self._recording.complete and self._session.settled:
                self.complete.set()

    def _accept(self, name: str) -> None:
        self._recording.accept(name)
        self.accepted.add(name)
        if name in self._asked:
            self._asked[name] = self._clock.steady()  # the whole book comes now

    def _spoilt(self, bad: Sequence[tuple[bytes, str]]) -> None:
        self.bad += len(bad)
        text, why = bad[0]
        self._around.listener.note(
            f"{self._place()}: {len(bad)} messages could not be understood, the first begins "
            f"{text[:120]!r}: {why}; what they told is asked for again",
            wrong=True,
        )

    def _tell_refusals(self) -> None:
        for name, said in self._session.refused.items():
            if name not in self.refused:
                self.refused[name] = said
                datasets = ", ".join(str(one.dataset) for one in self.group.wanted[name])
                self._around.listener.note(f"{datasets}: {self._place()} refuses it: {said}", wrong=True)

    def _look_at_books(self) -> None:
        """Begin anew every book that is lost; the others go on."""
        now, lost = self._clock.steady(), self._recording.lost_books()
        for name, reason in lost.items():
            again, wanted = name in self._asked, self.group.wanted[name][0]
            if name in self._starting or (again and now - self._asked[name] < self._pause(name, wanted)):
                continue
            self._asked[name] = now
            self._tries[name] += 1
            if reason != NEW:
                self._around.listener.note(
                    f"{wanted.dataset}: the order book is begun anew: {reason}", wrong=True
                )
            if wanted.channel.start is not None:
                self._starting[name] = asyncio.create_task(self._start_book(name, wanted))
            elif again or reason != NEW:  # the first whole book comes by itself
                self._session.resubscribe(name)
        for name in self._asked.keys() - lost.keys():
            del self._asked[name], self._tries[name]

    def _pause(self, name: str, wanted: Wanted) -> Ns:
        """Return how long a book is given to begin: what never helps is done ever more rarely."""
        least = _START_AGAIN if wanted.channel.start else _BOOK_AGAIN
        return min(_BOOK_AT_LEAST, Ns(least << min(self._tries[name] - 1, 10)))

    async def _start_book(self, name: str, wanted: Wanted) -> None:
        try:
            start = await self._around.start_book(wanted, name)
            self._recording.join(name, start, self._clock.now())
        except DccdError as e:
            self._around.listener.note(
                f"{wanted.dataset}: no snapshot to begin the book with: {e}", wrong=True
            )
        except Exception as e:  # noqa: BLE001 -- a defect: ``run`` raises it
            if self._over is not None and not self._over.done():
                self._over.set_exception(e)
        finally:
            del self._starting[name]

    async def _write_all(self) -> None:
        now = self._clock.steady()
        for kind, batch in self._recording.batches():
            log = self._logs[kind]
            if batch.rows.height or batch.marks or now - log.noted >= _IDLE:
                log.waiting.append(batch)
                log.noted = now
        try:
            await asyncio.to_thread(self._write_waiting, now)
        except LakeError as e:
            self._bear(e, now)
        else:
            self._failing = None

    def _bear(self, error: LakeError, now: Ns) -> None:
        """Keep what cannot be written in memory: a disk may get room again. But not for ever."""
        if self._failing is None:
            self._failing = now
            self._around.listener.note(f"{error}; what comes is kept in memory", wrong=True)
        if now - self._failing > _DISK_PATIENCE or self.unwritten > _MOST_WAITING:
            raise error

    def _write_waiting(self, now: Ns) -> None:
        """Write in a thread; one whose task was cancelled may still be at it."""
        with self._writing:
            while self._inherited:
                self._write_log(*self._inherited[0], now)
                _close(self._inherited.pop(0)[1])
            for kind, log in list(self._logs.items()):
                self._write_log(kind, log, now)

    def _write_log(self, kind: Kind, log: _Log, now: Ns) -> None:
        while log.waiting:
            batch = log.waiting[0]
            if log.writer is None:
                log.writer = self._around.lake.segment(self._around.exchange, *kind, self._clock.now())
                log.begun, log.bare = now, True
            marks = [*log.standing, *batch.marks] if log.bare else batch.marks
            log.writer.append(batch.rows, batch.until, marks)
            log.standing, log.bare = batch.standing, False
            log.waiting.pop(0)

    def _is_full(self, log: _Log) -> bool:
        old = self._clock.steady() - log.begun > _ROTATE
        return log.writer is not None and (old or log.writer.bytes > _ROTATE_BYTES)

    def _all_logs(self) -> list[tuple[Kind, _Log]]:
        return [*self._inherited, *self._logs.items()]

    async def _end(self, work: Sequence[asyncio.Task[str]], reason: str) -> None:
        self.connected = False
        for task in [*work, *self._starting.values()]:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await self._close(reason)

    async def _close(self, reason: str) -> None:
        self._recording.end(reason)
        try:
            async with self._flushing:
                await self._write_all()
        finally:
            for _, log in self._all_logs():
                _close(log)

    def _place(self) -> str:
        return str(Where(self._around.exchange, self.group.url))


def _close(log: _Log) -> None:
    if log.writer is not None:
        log.writer.close()
        log.writer = None


async def _to_its_end(work: Coroutine[object, object, None]) -> None:
    """Wait for what must not be left half done; who is cancelled meanwhile is so afterwards."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
