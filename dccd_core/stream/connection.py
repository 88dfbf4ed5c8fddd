"""One connection from its opening to its end: what comes is recorded, what is due is sent and written."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import polars as pl

from dccd_core.adapter.live import BookChange, WebSocketApi
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, LakeError, Where
from dccd_core.domain.timespan import TimeRange, Us
from dccd_core.lake.lake import LakeStore
from dccd_core.lake.live.coverage import Notes
from dccd_core.net.clock import Clock
from dccd_core.net.sockets import dialled
from dccd_core.net.websocket import Disconnected, Socket
from dccd_core.stream.api import Listener
from dccd_core.stream.attempts import Attempts
from dccd_core.stream.book import CROSSED, NEW
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.compare import Outcome, Snapshot
from dccd_core.stream.feeds import Line
from dccd_core.stream.intake import Intake
from dccd_core.stream.logs import Logs
from dccd_core.stream.oddities import Oddities
from dccd_core.stream.session import Session
from dccd_core.stream.snapshots import DRIFTED, Turn
from dccd_core.stream.venuetime import VenueTime
from dccd_core.stream.wanted import Kind, Question, Seen, Wanted
from dccd_core.stream.windows import Windows

FLUSH_S: Final = 0.5
"""What came is on disk after this, and what writing takes."""
_LOOK_S: Final = 0.1
_NOTHING: Final = "nothing comes on it any more"
StartBook: TypeAlias = Callable[[Wanted, str], Awaitable[tuple[BookChange, Us]]]
"""Asks for the snapshot that a book begins with, given the name of its topic; says when it came, too."""

ShowBook: TypeAlias = Callable[[Wanted, str], Awaitable[Snapshot]]
"""Asks for the snapshot that a book is held against, given the name of its topic."""


@dataclass(slots=True)
class Group:
    """Topics that share a connection, by the names that the venue's messages use; they may change."""

    url: str
    wanted: dict[str, list[Wanted]]

    @property
    def datasets(self) -> list[Dataset]:
        return [one.dataset for ones in self.wanted.values() for one in ones]


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What all connections of a stream share."""

    exchange: str
    live: WebSocketApi
    lake: LakeStore
    clock: Clock
    connect: Callable[[str], AbstractAsyncContextManager[Socket]]
    start_book: StartBook
    show_book: ShowBook
    listener: Listener
    seen: dict[Dataset, Seen]
    time: VenueTime
    windows: Windows
    odd: Oddities = field(default_factory=Oddities)


class Connection:
    """One connection of a stream."""

    def __init__(self, group: Group, context: StreamContext) -> None:
        self.group = group
        self.opened = context.clock.steady()
        self.complete = asyncio.Event()
        """Set as soon as everything that the venue agreed to send is recorded without a gap."""
        self.messages = 0
        self.bad = 0
        self.refused: dict[str, str] = {}
        self.accepted: set[str] = set()
        self.connected = False
        self.written_again = asyncio.Event()
        """Set when a disk that was full has room again."""
        self._context = context
        self._live, self._clock = context.live, context.clock
        topics = {name: ones[0].topic for name, ones in group.wanted.items()}
        self._intake = Intake(context.seen, context.time, context.windows)
        for name, ones in group.wanted.items():
            for one in ones:
                self._intake.add(name, one, self.opened)
        self._session = Session(self._live, topics, self.opened)
        self._logs = Logs(context.lake, context.exchange, context.clock, context.listener)
        self._books = Attempts()
        """Lost books that are asked to begin anew."""
        self._renewed = Attempts()
        """Those of them that are subscribed to anew first, as nothing comes of them."""
        self._mended: dict[str, str] = {}
        """Why a book was wrong, as it was when it was last subscribed to anew for that."""
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._flushing = asyncio.Lock()
        self._over: asyncio.Future[str] | None = None

    async def run(self) -> str:
        """Record until the connection is over or ``stop`` is called; return why it ended.

        Raises:
            ExchangeError: it could not be opened.
            LakeError: what came cannot be written, and has not been for long.
        """
        self._over = asyncio.get_running_loop().create_future()
        reason = "the recording was ended"
        async with self._context.connect(self.group.url) as socket:
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

    def resume(self, recorded: Mapping[Dataset, Turn]) -> None:
        """Note where earlier runs stopped recording datasets, and why."""
        self._intake.resume(recorded)

    def add(self, name: str, wanted: Wanted) -> None:
        """Record a dataset too; the others go on."""
        topics = {one.name for one in self._intake.lines}
        self._intake.add(name, wanted, self._clock.steady())
        if name not in topics:
            self._session.add({name: wanted.topic})

    def drop(self, name: str, dataset: Dataset, reason: str) -> None:
        """Record a dataset no longer; the others go on."""
        self._intake.drop(dataset, reason, self._clock.steady())
        if all(one.name != name for one in self._intake.lines):
            self._session.leave(name)
            self.accepted.discard(name)
            self.refused.pop(name, None)

    @property
    def full(self) -> set[str]:
        """The topics that this connection cannot take, but another one may."""
        return self._session.full

    def lines(self) -> Iterator[Line]:
        """Yield how each dataset is."""
        yield from self._intake.lines

    def questions(self) -> list[Question]:
        """Return what only REST can settle, and is due."""
        return self._intake.questions(self._clock.steady()) if self.connected else []

    def ask(self, question: Question) -> None:
        """Note that a question is being asked."""
        self._intake.ask(question, self._clock.steady())

    def answer(self, question: Question, rows: pl.DataFrame, span: TimeRange) -> None:
        """Take the answer to a question: all rows there were in ``span``."""
        if self.connected and (why := self._intake.answer(question, rows, span, self._clock.steady())):
            self._revive(question.name, why)

    def books_to_compare(self) -> list[tuple[str, Wanted]]:
        """Return the books that are to be held against what REST says."""
        return self._intake.books_to_compare(self._clock.steady()) if self.connected else []

    def compare(self, name: str) -> BookTopic | None:
        """Begin to compare a book; None when that makes no sense now."""
        return self._intake.compare(name, self._clock.steady())

    def compared(self, book: BookTopic, outcome: Outcome) -> None:
        """Note what came of a comparison."""
        self._intake.compared(book, outcome, self._clock.steady())

    def keep(self, kind: Kind, rows: pl.DataFrame, notes: Notes) -> None:
        """Write down rows that were asked for, and what they prove."""
        self._logs.keep(kind, rows, notes)

    @property
    def unwritten(self) -> int:
        """How many rows there are that could not be written so far."""
        return self._logs.unwritten

    def replaces(self, before: "Connection") -> bool:
        """Whether everything is recorded here from before the end of what the other one knows."""
        return self.complete.is_set() and self._intake.follows(before._intake)

    def inherit(self, ended: "Connection") -> None:
        """Take over what a connection that is over could not write."""
        self._logs.inherit(ended._logs)

    async def rotate(self) -> None:
        """Close the segments there are, so that they may be folded; what comes goes into new ones."""
        async with self._flushing:
            await self._write_all()
            self._logs.rotate()

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
            steady = self._clock.steady()
            batch = self._session.receive(frames, moments, steady)
            news = self._session.accepted()
            first = [name for name in news if name not in self.accepted]
            for name in first:
                self._accept(name)  # what came before the venue's word came by the same subscription
            concerned = self._session.concerned(batch.bad) if batch.bad else frozenset[str]()
            self._intake.receive(batch, moments[-1], steady, concerned)
            for name in news:
                if name not in first:
                    self._accept(name)
            self._tell_refusals()
            if batch.bad:
                self._spoilt(batch.bad)
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
            self._tell_unanswered()
            if reason := self._session.over(now):
                return reason
            self._look_at_books()
            await self._clock.sleep(_LOOK_S)

    async def _flush_often(self) -> str:
        while True:
            await self._clock.sleep(FLUSH_S)
            if self._logs.full:
                await self.rotate()
            async with self._flushing:
                await self._write_all()
            for text in self._context.odd.seldom.due(self._clock.steady()):
                self._context.listener.note(text, wrong=True)
            for name, why in self._intake.look(self._clock.steady()).items():
                self._revive(name, why)
            if self._intake.complete(self._clock.steady()) and self._session.settled:
                self.complete.set()

    def _revive(self, name: str, why: str) -> None:
        """Subscribe anew to a topic that died; if no other is heard of either, give the connection up."""
        datasets = ", ".join(str(one.dataset) for one in self.group.wanted.get(name, ()))
        if self._intake.silent(self._clock.steady()):
            self.stop(f"{_NOTHING}: {datasets}: {why}")
            return
        self._context.listener.note(f"{datasets}: {why}; it is subscribed to anew", wrong=True)
        self._session.resubscribe(name)

    def _accept(self, name: str) -> None:
        self._intake.accept(name, self._clock.steady())
        self.accepted.add(name)
        self.refused.pop(name, None)
        if all(one.channel.start is None for one in self.group.wanted.get(name, ())):
            self._books.restart(name, self._clock.steady())  # the whole book comes now

    def _spoilt(self, bad: Sequence[tuple[bytes, str]]) -> None:
        self.bad += len(bad)
        now = self._clock.now(), self._clock.steady()
        for text in self._context.odd.refuse(self._place(), self.group.url, bad, now):
            self._context.listener.note(text, wrong=True)

    def _tell_unanswered(self) -> None:
        for name in self._session.unanswered():
            datasets = ", ".join(str(one.dataset) for one in self.group.wanted.get(name, ()))
            said = f"{datasets}: nobody answered its subscription; it is subscribed to anew"
            self._context.listener.note(said, wrong=True)

    def _tell_refusals(self) -> None:
        for name, said in self._session.refused.items():
            if name not in self.refused:
                self.refused[name] = said
                datasets = ", ".join(str(one.dataset) for one in self.group.wanted[name])
                self._context.listener.note(f"{datasets}: {self._place()} refuses it: {said}", wrong=True)

    def _look_at_books(self) -> None:
        """Begin anew every book that is lost; the others go on."""
        now, lost = self._clock.steady(), self._intake.lost_books()
        for name, reason in lost.items():
            if name not in self._starting and self._books.due(name, now):
                self._begin_anew(name, reason, now)
        failing = self._intake.failing_books() | set(self._starting)
        for attempts in (self._books, self._renewed):
            attempts.stand(failing, now)

    def _begin_anew(self, name: str, reason: str, now: Us) -> None:
        again, wanted = self._books.again(name), self.group.wanted[name][0]
        if (again or reason != NEW) and self._renews(name, reason, now):
            return
        if wanted.channel.start is not None and not self._intake.waits(name, now):
            return  # a snapshot that is older than all changes would be of no use
        self._books.tries(name, now)
        if reason != NEW:
            said = f"{wanted.dataset}: the order book is begun anew: {reason}"
            self._context.listener.note(said, wrong=True)
        if wanted.channel.start is not None:
            self._starting[name] = asyncio.create_task(self._start_book(name, wanted))
        elif again or reason != NEW:  # the first whole book comes by itself
            self._session.resubscribe(name)

    def _renews(self, name: str, reason: str, now: Us) -> bool:
        """Whether no snapshot would help: nothing comes, or not what there is. Then that is seen to first."""
        asked_for = self.group.wanted[name][0].channel.start is not None
        if self._intake.hushed(name, now):
            if self._intake.silent(now):
                self.stop(f"{_NOTHING}: {reason}")
                return True
            if asked_for:
                self._renew(name, reason, now)
            return asked_for
        wrong = asked_for and reason.startswith((CROSSED, DRIFTED)) and self._mended.get(name) != reason
        if not wrong or not self._renewed.due(name, now):
            return False
        self._mended[name] = reason
        self._intake.give_up(name, reason, now)  # a snapshot is of use once it is agreed to anew
        self._renew(name, reason, now)
        return True

    def _renew(self, name: str, reason: str, now: Us) -> None:
        """Subscribe anew to a lost book."""
        if self._renewed.due(name, now):
            self._renewed.tries(name, now)
            said = f"{self.group.wanted[name][0].dataset}: {reason}; it is subscribed to anew"
            self._context.listener.note(said, wrong=True)
            self._session.resubscribe(name)

    async def _start_book(self, name: str, wanted: Wanted) -> None:
        try:
            start, received = await self._context.start_book(wanted, name)
            self._intake.join(name, start, received)
        except DccdError as e:
            self._context.listener.note(
                f"{wanted.dataset}: no snapshot to begin the book with: {e}", wrong=True
            )
        except Exception as e:  # noqa: BLE001 -- a defect: ``run`` raises it
            if self._over is not None and not self._over.done():
                self._over.set_exception(e)
        finally:
            del self._starting[name]

    async def _write_all(self) -> None:
        self._logs.put(self._intake.batches(self._clock.steady()))
        try:
            await asyncio.to_thread(self._logs.write)
            await self._set_aside()
            await self._keep_refused()
        except LakeError as e:
            self._logs.bear(e)
        else:
            if self._logs.recover():
                self.written_again.set()

    async def _set_aside(self) -> None:
        if misplaced := list(self._intake.misplaced):
            at = self._context.time.now(self._clock.steady())
            aside = await asyncio.to_thread(self._logs.set_aside, misplaced, at)
            del self._intake.misplaced[: len(misplaced)]
            for text in self._context.odd.misplaced(aside, self._clock.steady()):
                self._context.listener.note(text, wrong=True)

    async def _keep_refused(self) -> None:
        if refused := self._context.odd.taken():
            try:
                await asyncio.to_thread(self._context.lake.refuse, self._context.exchange, refused)
            except LakeError:
                self._context.odd.restore(refused)
                raise

    async def _end(self, work: Sequence[asyncio.Task[str]], reason: str) -> None:
        self.connected = False
        for task in [*work, *self._starting.values()]:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await self._close(reason)

    async def _close(self, reason: str) -> None:
        self._intake.end(reason, self._clock.steady())
        try:
            async with self._flushing:
                await self._write_all()
        finally:
            self._logs.close()

    def _place(self) -> str:
        return str(Where(self._context.exchange, dialled(self._context.connect, self.group.url)))


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
