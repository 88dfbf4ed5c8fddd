"""Settles by REST what messages cannot: silent topics are asked about, books are held against snapshots."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, PayloadError
from dccd_core.domain.timespan import SECOND, ZERO, TimeRange, Us
from dccd_core.fetch.venue import Venue
from dccd_core.stream.asking import Allowance, Answered, allowance, newest_rows, rows_between
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.compare import LEEWAY, Outcome
from dccd_core.stream.connection import Connection, StreamContext
from dccd_core.stream.refill import Refill, final_until, newest_only
from dccd_core.stream.wanted import Question, Wanted
from dccd_core.tables import DataType

_LOOK_S: Final = 0.5
_AT_ONCE: Final = 4
_LAG: Final = Us(60 * SECOND)
"""What comes later than this is not waited for."""


class Settler:
    """Asks for all connections of a stream.

    Args:
        venue: whom.
        context: what the connections share.
        connections: gives those there are just now.
    """

    def __init__(
        self, venue: Venue, context: StreamContext, connections: Callable[[], Sequence[Connection]]
    ) -> None:
        self._venue, self._context, self._connections = venue, context, connections
        self._clock = context.clock
        self._allowances: dict[tuple[str, DataType], Allowance] = {}
        self._asking: dict[Dataset, asyncio.Task[None]] = {}
        self._refill = Refill(venue, context, connections)

    async def run(self) -> None:
        """Settle what is due, for ever."""
        try:
            while True:
                self._tell_time()
                self._ask()
                self._compare()
                self._refill.look()
                await self._clock.sleep(_LOOK_S)
                for task in [task for task in self._tasks() if task.done()]:
                    task.result()  # a defect
                self._asking = {key: task for key, task in self._asking.items() if not task.done()}
        finally:
            for task in self._tasks():
                task.cancel()
            await asyncio.gather(*self._tasks(), return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._asking.values(), *self._refill.tasks]

    def _tell_time(self) -> None:
        if (told := self._venue.clock_reading) is not None:
            self._context.time.tell(*told)
            self._venue.clock_reading = None

    def _ask(self) -> None:
        due = [(question, whom) for whom in self._connections() for question in whom.questions()]
        for question, connection in sorted(due, key=lambda one: one[0].since):  # who waits for longest
            dataset, now = question.wanted.dataset, self._clock.steady()
            if dataset in self._asking or len(self._asking) >= _AT_ONCE:
                continue
            final = final_until(self._venue, self._context, dataset)
            if self._allowance(dataset).allows(now) and question.since < final:
                connection.ask(question)
                self._allowance(dataset).spend(1, now)
                self._asking[dataset] = asyncio.create_task(self._settle(connection, question))

    def _compare(self) -> None:
        for connection in self._connections():
            for name, wanted in connection.books_to_compare():
                dataset, now = wanted.dataset, self._clock.steady()
                if dataset in self._asking or len(self._asking) >= _AT_ONCE:
                    continue
                if self._allowance(dataset).allows(now):
                    self._allowance(dataset).spend(1, now)
                    self._asking[dataset] = asyncio.create_task(self._compare_one(connection, name, wanted))

    async def _compare_one(self, connection: Connection, name: str, wanted: Wanted) -> None:
        """Hold a book against a snapshot; a difference counts only once what may explain it has come."""
        if (book := connection.compare(name)) is None:
            return
        channel = wanted.channel
        if not book.numbered or (channel.check is None and channel.start is None):
            await self._clock.sleep(LEEWAY / SECOND)  # what REST shows is told by its time only
        try:
            snapshot = await self._context.show_book(wanted, name)
        except DccdError:
            connection.compared(book, Outcome.UNKNOWN)
            return
        came = self._clock.steady()
        for patience in (ZERO, Us(SECOND // 2), LEEWAY):
            await self._until(came, patience, book)
            late = patience >= LEEWAY and book.pace.lag <= _LAG
            silent = book.pace.silent(self._clock.steady())
            verdict = book.keeper.compared(snapshot, self._clock.now(), late=late, silent=silent)
            if verdict.outcome is not Outcome.WAIT:
                break
        connection.compared(book, verdict.outcome)
        if verdict.outcome is Outcome.SAME and wanted.channel.beats is None:
            book.pace.beat(self._clock.steady())  # it is quiet

    async def _until(self, came: Us, patience: Us, book: BookTopic) -> None:
        """Wait until what happened before ``came`` is here, and ``patience`` more: a stream may lag."""
        while (
            left := came + patience + (min(book.pace.lag, _LAG) if patience else 0) - self._clock.steady()
        ) > 0:
            await self._clock.sleep(left / SECOND)

    def _allowance(self, dataset: Dataset) -> Allowance:
        key = dataset.symbol.market_type, dataset.data_type
        if key not in self._allowances:
            self._allowances[key] = allowance(self._venue, dataset, self._clock.steady())
        return self._allowances[key]

    async def _settle(self, connection: Connection, question: Question) -> None:
        dataset = question.wanted.dataset
        span = TimeRange(question.since, final_until(self._venue, self._context, dataset))
        newest = newest_only(self._venue, dataset)
        try:
            if newest:
                told = await self._newest(dataset, span)
            else:
                told = await rows_between(self._venue, dataset, span, any_will_do=dataset.span is None)
        except DccdError:
            return  # it stays unproven, and its health says so
        self._allowance(dataset).spend(told.requests - 1, self._clock.steady())
        if told.rows.height:  # they may be on their way to us
            await self._clock.sleep(min(question.lag, _LAG) / SECOND)
        if newest or told.rows.height or told.span.start <= question.since:
            connection.answer(question, told.rows, told.span)

    async def _newest(self, dataset: Dataset, span: TimeRange) -> Answered:
        """Ask for the newest rows of a span: it begins later where they do not reach back to its start.

        Raises:
            ExchangeError: the venue does not answer, or shows no row at all, which says nothing.
        """
        told = await newest_rows(self._venue, dataset)
        if not told.span.end:
            raise PayloadError("no row at all, where the newest ones are shown")
        rows = told.rows.filter(pl.col("ts").to_physical() < span.end)  # others may be on their way to us
        return replace(told, rows=rows, span=TimeRange(min(told.span.start, span.end), span.end))
