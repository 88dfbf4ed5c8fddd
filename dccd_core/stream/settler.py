"""Settles by REST what messages cannot: silent topics are asked about, what was missed is asked for."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import DccdError, OutOfReach, PayloadError, Rejected
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, Ns, TimeSpan
from dccd_core.fetch.planner import settled
from dccd_core.fetch.venue import Venue
from dccd_core.lake.coverage import Notes, Piece
from dccd_core.stream import tables
from dccd_core.stream.asking import (
    Allowance,
    Answered,
    allowance,
    newest_rows,
    rows_between,
    shows_newest_only,
)
from dccd_core.stream.compare import LEEWAY, Outcome
from dccd_core.stream.fold import fill_windows
from dccd_core.stream.link import Link, Surroundings
from dccd_core.stream.wanted import Question, Wanted

_LOOK_S: Final = 1.0
_AT_ONCE: Final = 4
_PIECE: Final = Ns(10 * MINUTE)
"""How much of a window is asked for at once."""
_AGAIN: Final = Ns(2 * SECOND)
_AT_LEAST: Final = MINUTE
_MOST_TRIES: Final = 30
_LONG: Final = HOUR
"""A window so long is history's to fill, a page at a time."""


@dataclass(slots=True)
class _Tries:
    times: int = 0
    next: Ns = ZERO


class Settler:
    """Asks for all connections of a stream.

    Args:
        venue: whom.
        around: what the connections share.
        links: gives those there are just now.
    """

    def __init__(self, venue: Venue, around: Surroundings, links: Callable[[], Sequence[Link]]) -> None:
        self._venue, self._around, self._links = venue, around, links
        self._clock = around.clock
        self._allowances: dict[tuple[str, DataType], Allowance] = {}
        self._asking: dict[Dataset, asyncio.Task[None]] = {}
        self._filling: dict[Dataset, asyncio.Task[None]] = {}
        self._tries: dict[Dataset, _Tries] = {}

    async def run(self) -> None:
        """Settle what is due, for ever."""
        try:
            while True:
                self._tell_time()
                self._ask()
                self._compare()
                self._fill()
                await self._clock.sleep(_LOOK_S)
                for task in [task for task in self._tasks() if task.done()]:
                    task.result()  # a defect
                self._asking = {key: task for key, task in self._asking.items() if not task.done()}
                self._filling = {key: task for key, task in self._filling.items() if not task.done()}
        finally:
            for task in self._tasks():
                task.cancel()
            await asyncio.gather(*self._tasks(), return_exceptions=True)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [*self._asking.values(), *self._filling.values()]

    def _tell_time(self) -> None:
        if (told := self._venue.told) is not None:
            self._around.time.tell(*told)
            self._venue.told = None

    def _final(self, dataset: Dataset) -> Ns:
        """Return the moment before which the venue's rows do not change any more."""
        now = self._around.time.now(self._clock.steady())
        return settled(dataset, now, self._venue.exchange.settle)

    def _ask(self) -> None:
        for link in self._links():
            for question in link.questions():
                dataset, now = question.wanted.dataset, self._clock.steady()
                if dataset in self._asking or len(self._asking) >= _AT_ONCE:
                    continue
                if self._allowance(dataset).allows(now) and question.since < self._final(dataset):
                    link.ask(question)
                    self._allowance(dataset).spend(1, now)
                    self._asking[dataset] = asyncio.create_task(self._settle(link, question))

    def _compare(self) -> None:
        for link in self._links():
            for name, wanted in link.books_to_compare():
                dataset, now = wanted.dataset, self._clock.steady()
                if dataset in self._asking or len(self._asking) >= _AT_ONCE:
                    continue
                if self._allowance(dataset).allows(now):
                    self._allowance(dataset).spend(1, now)
                    self._asking[dataset] = asyncio.create_task(self._compare_one(link, name, wanted))

    async def _compare_one(self, link: Link, name: str, wanted: Wanted) -> None:
        """Hold a book against a snapshot; a difference counts only once what may explain it has come."""
        if (book := link.compare(name)) is None:
            return
        channel = wanted.channel
        if not book.numbered or (channel.check is None and channel.start is None):
            await self._clock.sleep(LEEWAY / SECOND)  # what REST shows is told by its time only
        try:
            snapshot = await self._around.show_book(wanted, name)
        except DccdError:
            return  # another time
        for wait_s in (0.0, 0.5, LEEWAY / SECOND):
            await self._clock.sleep(wait_s)
            late = wait_s * SECOND >= LEEWAY
            silent = book.pace.silent(self._clock.steady())
            verdict = book.keeper.compared(snapshot, self._clock.now(), late=late, silent=silent)
            if verdict.outcome is not Outcome.WAIT:
                break
        if verdict.outcome is Outcome.SAME and wanted.channel.beats is None:
            book.pace.beat(self._clock.steady())  # it is quiet

    def _allowance(self, dataset: Dataset) -> Allowance:
        key = dataset.symbol.market, dataset.data_type
        if key not in self._allowances:
            self._allowances[key] = allowance(self._venue, dataset, self._clock.steady())
        return self._allowances[key]

    async def _settle(self, link: Link, question: Question) -> None:
        dataset = question.wanted.dataset
        span = TimeSpan(question.since, self._final(dataset))
        try:
            if self._newest_only(dataset):
                told = await self._newest(dataset, span)
            else:
                told = await rows_between(self._venue, dataset, span, any_will_do=dataset.span is None)
        except DccdError:
            return  # it stays unproven, and its health says so
        self._allowance(dataset).spend(told.requests - 1, self._clock.steady())
        if told.rows.height or told.span.start <= question.since:
            link.answer(question, told.rows, told.span.end)

    async def _newest(self, dataset: Dataset, span: TimeSpan) -> Answered:
        """Ask for the newest rows: where they do not reach back to what is asked of, all of them are news."""
        told = await newest_rows(self._venue, dataset)
        if told.span.start > span.start:
            return told
        if not told.span.end:  # no row at all: it says nothing
            return replace(told, span=TimeSpan(span.end, span.end))
        rows = told.rows.filter(pl.col("ts").to_physical() < span.end)  # others may be on their way to us
        return replace(told, rows=rows, span=span)

    def _fill(self) -> None:
        now = self._clock.steady()
        for link in self._links():
            for line in link.lines():
                dataset = line.wanted.dataset
                busy = dataset in self._filling or len(self._filling) >= _AT_ONCE
                if dataset.data_type is DataType.ORDERBOOK or busy:
                    continue
                tries = self._tries.get(dataset)
                if (tries is None or tries.next <= now) and (window := self._due(dataset)):
                    self._filling[dataset] = asyncio.create_task(self._fill_one(link, dataset, window))

    def _due(self, dataset: Dataset) -> TimeSpan | None:
        """Return what of a dataset is to be asked for now: what is final, or will soon be gone."""
        windows = self._around.windows.open(dataset)
        if not windows:
            self._tries.pop(dataset, None)
            return None
        if self._newest_only(dataset) or windows[0].length > _LONG:
            return windows[0]
        piece = TimeSpan(windows[0].start, min(windows[0].end, Ns(windows[0].start + _PIECE)))
        return piece if piece.end <= self._final(dataset) else None

    def _newest_only(self, dataset: Dataset) -> bool:
        return dataset.span is None and shows_newest_only(self._venue.endpoint(dataset))

    async def _fill_one(self, link: Link, dataset: Dataset, window: TimeSpan) -> None:
        tries = self._tries.setdefault(dataset, _Tries())
        tries.times += 1
        tries.next = Ns(self._clock.steady() + min(_AT_LEAST, _AGAIN << min(tries.times - 1, 10)))
        try:
            if window.length > _LONG and not self._newest_only(dataset):
                await fill_windows(self._venue, self._around.lake, [dataset], self._around.listener)
                self._around.windows.settled(dataset, window)
            elif self._newest_only(dataset):
                self._keep_newest(link, dataset, window, await newest_rows(self._venue, dataset))
            else:
                self._keep(link, dataset, window, await rows_between(self._venue, dataset, window))
        except (OutOfReach, PayloadError, Rejected) as e:
            self._give_up(link, dataset, window, str(e))
        except DccdError as e:
            if tries.times >= _MOST_TRIES:
                self._give_up(link, dataset, window, f"asked {tries.times} times: {e}")

    def _keep_newest(self, link: Link, dataset: Dataset, window: TimeSpan, told: Answered) -> None:
        """Keep what the newest rows hold of a window: all, if they reach from it to what came since."""
        if told.span.end < window.end:
            if self._tries[dataset].times < _MOST_TRIES:
                return
            self._give_up(link, dataset, window, "the venue's newest rows do not reach up to what came since")
            return
        self._keep(link, dataset, window, told)

    def _keep(self, link: Link, dataset: Dataset, window: TimeSpan, told: Answered) -> None:
        """Keep the rows of a window, and say from when to when they are all there are."""
        if (covered := told.span.clip(window)) is None:
            return
        times = told.rows["ts"].to_physical()
        rows = told.rows.filter((times >= covered.start) & (times < covered.end))
        pieces = [Piece(str(dataset.symbol), covered.start, covered.end)]
        if covered.start > window.start:
            reason = f"{self._venue.exchange.title} shows {self._venue.endpoint(dataset).reach} only"
            pieces.append(Piece(str(dataset.symbol), window.start, covered.start, reason))
        self._write(link, dataset, rows, pieces)
        self._around.windows.settled(dataset, TimeSpan(window.start, covered.end))
        self._tries.pop(dataset, None)

    def _give_up(self, link: Link, dataset: Dataset, window: TimeSpan, reason: str) -> None:
        piece = Piece(str(dataset.symbol), window.start, window.end, reason)
        self._write(link, dataset, tables.columns(dataset.data_type).to_frame(), [piece])
        self._around.windows.settled(dataset, window)
        said = f"{dataset}: {window} was missed and is not asked for any more: {reason}"
        self._around.listener.note(said, wrong=True)

    def _write(self, link: Link, dataset: Dataset, rows: pl.DataFrame, pieces: Sequence[Piece]) -> None:
        columns = tables.columns(dataset.data_type)
        whole = rows.with_columns(
            symbol=pl.lit(str(dataset.symbol)), received=pl.lit(self._clock.now(), pl.Int64)
        )
        others = self._links()
        kept = link if link in others or not others else others[0]
        kept.keep((dataset.data_type, dataset.span), whole.select(columns.names()), Notes(pieces=pieces))
