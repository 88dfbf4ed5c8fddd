"""What messages cannot settle is asked for, within the allowance."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import polars as pl
import pytest

from dccd_core.adapter.contract import Endpoint, IdWindows, Limit
from dccd_core.adapter.live import BookChange, Channel
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import Unavailable
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.lake.live.coverage import Notes, Piece
from dccd_core.stream import refill, settler
from dccd_core.stream.asking import Answered
from dccd_core.stream.booktopic import BookTopic
from dccd_core.stream.claim import Moment
from dccd_core.stream.compare import Outcome, Snapshot
from dccd_core.stream.connection import Connection
from dccd_core.stream.feeds import Line
from dccd_core.stream.settler import Settler
from dccd_core.stream.snapshots import Turn
from dccd_core.stream.wanted import Kind, Question, Seen, Wanted
from dccd_core.tables import DataType
from tests.dccd_core.stream import test_asking as desk
from tests.dccd_core.stream.pushing import Stage, play, wanted

A, B, C = (wanted(f"{base}/USD") for base in "ABC")
BOOK = wanted("C/USD", DataType.ORDERBOOK)

AGO = Us(30 * MINUTE)
"""Rows of the past are asked about: where a window lies in it, it is final."""


Kept = tuple[Kind, pl.DataFrame, Notes]


@dataclass
class FakeConnection:
    """``asks`` are its questions, each as long as nobody answered it."""

    wanted: list[Wanted]
    asks: list[Question] = field(default_factory=list[Question])
    asked: list[str] = field(default_factory=list[str])
    answers: list[tuple[str, int, TimeRange]] = field(default_factory=list[tuple[str, int, TimeRange]])
    kept: list[Kept] = field(default_factory=list[Kept])
    book: BookTopic | None = None
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def lines(self) -> list[Line]:
        return [Line(str(one.dataset.symbol), one, Seen(), BookTopic(BOOK, Us(0))) for one in self.wanted]

    def questions(self) -> list[Question]:
        return [one for one in self.asks if one.name not in self.asked]

    def ask(self, question: Question) -> None:
        self.asked.append(question.name)

    def answer(self, question: Question, rows: pl.DataFrame, span: TimeRange) -> None:
        self.answers.append((question.name, rows.height, span))

    def books_to_compare(self) -> list[tuple[str, Wanted]]:
        return [("c", BOOK)] if self.book and not self.asked else []

    def compare(self, name: str) -> BookTopic | None:
        self.asked.append(name)
        assert self.book is not None
        return self.book if self.book.keeper.compare_begin() else None

    def compared(self, book: BookTopic, outcome: Outcome) -> None:
        assert book is self.book
        self.outcomes.append(outcome)

    def keep(self, kind: Kind, rows: pl.DataFrame, notes: Notes) -> None:
        self.kept.append((kind, rows, notes))

    @property
    def pieces(self) -> list[Piece]:
        return [piece for _, _, notes in self.kept for piece in notes.pieces]


class Show:
    """A settler whose venue ``tells`` of a dataset and a span what a test says; ``spans`` were asked for."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        connection: FakeConnection,
        limit: int = 6_000,
        paging: IdWindows | None = None,
    ) -> None:
        self.stage = Stage(folder)
        self.clock, self.connection = self.stage.clock, connection
        exchange = desk.exchange()
        trades = exchange.endpoints[DataType.TRADES]
        trades = trades if paging is None else replace(trades, paging=paging)
        books = get("binance").endpoints[DataType.ORDERBOOK]
        endpoints = {**exchange.endpoints, DataType.TRADES: trades, DataType.ORDERBOOK: books}
        exchange = replace(exchange, limits=(Limit(limit, MINUTE, "public"),), endpoints=endpoints)
        self.venue = Venue(exchange, desk.Desk(self.clock), self.clock)
        context = self.stage.context(*connection.wanted, BOOK)
        self.context = replace(context, show_book=self._show)
        self.context.time.tell(self.clock.now(), self.clock.steady())
        self.shown: Snapshot | None = None
        self.spans: list[TimeRange] = []
        self.tells: Callable[[TimeRange], Answered] = lambda span: Answered(_rows(), span, 1)
        self.newest: Callable[[], Answered] = lambda: Answered(_rows(), TimeRange(Us(0), Us(0)), 1)
        self.filled: list[list[Dataset]] = []
        self.ids: list[range] = []
        self.tells_ids: Callable[[range], Answered | None] = lambda _: None
        self.newest_only = False
        for module in (settler, refill):
            patch.setattr(module, "rows_between", self._rows_between)
            patch.setattr(module, "newest_rows", self._newest_rows)
        patch.setattr(refill, "rows_of_ids", self._rows_of_ids)
        patch.setattr(refill, "fill_windows", self._fill_windows)
        patch.setattr(refill, "shows_newest_only", self._shows_newest_only)

    @property
    def now(self) -> Us:
        return self.clock.now()

    @property
    def final(self) -> Us:
        """Where rows of trades are final, about now."""
        return Us(self.context.time.now(self.clock.steady()) - 2 * SECOND)

    def leave(self, one: Wanted, start: Us, end: Us) -> None:
        """Let a window be open."""
        self.context.windows.resume({one.dataset: Turn(start, began=False, reason="gone")})
        self.context.windows.began(one.dataset, 1, end)

    def run(self, seconds: float) -> None:
        play(self._run(seconds))

    async def _run(self, seconds: float) -> None:
        async with self.running():
            await self.clock.sleep(seconds)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Settler]:
        own = Settler(self.venue, self.context, lambda: [cast("Connection", self.connection)])
        task = asyncio.create_task(own.run())
        try:
            yield own
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _rows_between(
        self, _: Venue, __: Dataset, span: TimeRange, *, any_will_do: bool = False
    ) -> Answered:
        del any_will_do
        self.spans.append(span)
        await self.clock.sleep(0.1)
        return self.tells(span)

    async def _rows_of_ids(self, _: Venue, __: Dataset, ids: range) -> Answered | None:
        self.ids.append(ids)
        await self.clock.sleep(0.1)
        return self.tells_ids(ids)

    def _shows_newest_only(self, _: Endpoint) -> bool:
        return self.newest_only

    async def _newest_rows(self, _: Venue, __: Dataset) -> Answered:
        await self.clock.sleep(0.1)
        return self.newest()

    async def _fill_windows(self, _: Venue, __: object, datasets: list[Dataset], ___: object) -> None:
        self.filled.append(datasets)

    async def _show(self, one: Wanted, name: str) -> Snapshot:
        del one, name
        if self.shown is None:
            raise Unavailable("nobody shows books here")
        return self.shown


def _rows(*times: int) -> pl.DataFrame:
    return desk.rows_of(DataType.TRADES, times)


def question(one: Wanted, since: Us) -> Question:
    return Question(str(one.dataset.symbol), one, since)


class TestQuestions:
    def test_a_silent_topic_is_asked_for_up_to_where_rows_are_final(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        final, since = show.final, Us(show.now - MINUTE)
        connection.asks = [question(A, since)]
        show.run(3)
        assert show.spans == [TimeRange(since, final)]
        assert connection.answers == [("A/USD", 0, TimeRange(since, final))]

    def test_one_after_the_other_as_the_allowance_lets(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A, B, C])
        show = Show(tmp_path, monkeypatch, connection, limit=60)  # so one in twenty seconds
        connection.asks = [question(one, Us(show.now - MINUTE)) for one in (A, B, C)]
        show.run(15)
        assert connection.asked == ["A/USD"]
        connection.asked.clear()
        show.run(45)
        assert connection.asked == ["A/USD", "B/USD", "C/USD"]

    def test_what_cannot_be_final_yet_is_not_asked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        connection.asks = [question(A, show.now)]
        show.run(0.9)
        assert show.spans == []

    def test_no_answer_proves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        connection.asks = [question(A, Us(show.now - MINUTE))]

        def fail(_: TimeRange) -> Answered:
            raise Unavailable("nobody is there")

        show.tells = fail
        show.run(3)
        assert (len(show.spans), connection.answers) == (1, [])

    def test_an_answer_that_does_not_reach_back_proves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([A])
        show = Show(tmp_path, monkeypatch, connection)
        connection.asks = [question(A, Us(show.now - MINUTE))]
        show.tells = lambda span: Answered(_rows(), TimeRange(Us(span.start + 1), span.end), 1)
        show.run(3)
        assert connection.answers == []


class TestNewestOnly:
    """Of a venue that shows the newest rows only, however busy its market is."""

    def show(self, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Show, FakeConnection, Us]:
        connection = FakeConnection([A])
        show = Show(folder, patch, connection)
        show.newest_only = True
        since = Us(show.now - MINUTE)
        connection.asks = [question(A, since)]
        return show, connection, since

    def test_rows_that_reach_back_settle_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        show, connection, since = self.show(tmp_path, monkeypatch)
        final = show.final
        old = _rows(since - 5, since - 3, since)
        show.newest = lambda: Answered(old, TimeRange(Us(since - 9), since), 1)
        show.run(3)
        assert connection.answers == [("A/USD", 3, TimeRange(Us(since - 9), final))]

    def test_one_that_is_too_new_may_be_on_its_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show, connection, since = self.show(tmp_path, monkeypatch)
        final = show.final
        rows = _rows(since, final + 1)
        show.newest = lambda: Answered(rows, TimeRange(Us(since - 9), Us(final + 1)), 1)
        show.run(3)
        assert connection.answers == [("A/USD", 1, TimeRange(Us(since - 9), final))]

    def test_a_burst_that_pushed_all_else_out_is_no_silence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All rows are newer than what is final: what is final has none, and is not known to have none."""
        show, connection, _ = self.show(tmp_path, monkeypatch)
        at, final = show.now, show.final
        show.newest = lambda: Answered(_rows(at - 3, at - 2, at), TimeRange(Us(at - 4), at), 1)
        show.run(3)
        assert connection.answers == [("A/USD", 0, TimeRange(final, final))]

    def test_no_rows_at_all_are_no_silence_either(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show, connection, _ = self.show(tmp_path, monkeypatch)
        show.run(3)
        assert (connection.asked, connection.answers) == (["A/USD"], [])


class TestBooks:
    def begun(self, show: Show) -> BookTopic:
        one = BookTopic(replace(BOOK, channel=Channel(docs="")), show.clock.steady())
        moment = Moment(show.clock.steady(), show.now)
        one.accept(moment)
        whole = BookChange("c", show.now, [("9", "1")], [("11", "1")], whole=True)
        one.update(whole, show.now, moment)
        return one

    def test_a_quiet_book_that_is_the_venues_is_no_silent_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([BOOK])
        show = Show(tmp_path, monkeypatch, connection)
        connection.book = self.begun(show)
        show.shown = Snapshot(BookChange("c", None, [("9", "1")], [("11", "1")], whole=True), depth=100)
        show.run(10)
        assert connection.book.lost is None
        assert connection.book.pace.heard > 0

    def test_one_that_differs_is_lost_only_after_what_may_explain_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([BOOK])
        show = Show(tmp_path, monkeypatch, connection)
        connection.book = self.begun(show)
        show.shown = Snapshot(BookChange("c", None, [("9", "7")], [("11", "1")], whole=True), depth=100)
        show.run(3)
        assert connection.book.lost is None
        connection.asked.clear()
        show.run(10)
        assert connection.book.lost is not None
        assert "we have 1.0, the venue has 7.0" in connection.book.lost

    def test_nobody_who_shows_it_proves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connection = FakeConnection([BOOK])
        show = Show(tmp_path, monkeypatch, connection)
        connection.book = self.begun(show)
        show.run(10)
        assert (connection.book.lost, connection.book.pace.heard) == (None, 0)


def test_the_venues_time_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show = Show(tmp_path, monkeypatch, FakeConnection([A]))
    show.venue.clock_reading = Us(77 * SECOND), show.clock.steady()
    show.run(0.5)
    assert show.context.time.now(Us(0)) == 78 * SECOND
    assert show.venue.clock_reading is None
