"""Asks for what lies between recordings until it is there or given up; says why what is late is not."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import polars as pl

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import DccdError, OutOfReach, PayloadError, Rejected
from dccd_core.domain.timespan import HOUR, MINUTE, SECOND, ZERO, TimeRange, Us
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.planner import settled
from dccd_core.fetch.venue import Venue
from dccd_core.lake.live.coverage import Notes, Piece
from dccd_core.stream import tables
from dccd_core.stream.asking import Answered, newest_rows, rows_between, rows_of_ids, shows_newest_only
from dccd_core.stream.connection import Connection, StreamContext
from dccd_core.stream.fold import fill_windows
from dccd_core.tables import empty

_AT_ONCE: Final = 4
_PIECE: Final = Us(10 * MINUTE)
"""How much of a window is asked for at once."""
_AGAIN: Final = Us(2 * SECOND)
_AT_LEAST: Final = MINUTE
_MOST_TRIES: Final = 30
_LONG: Final = HOUR
"""A window so long is history's to fill, a page at a time."""
_MOST_PAGES: Final = 10
"""More ids than on so many pages are asked for by time."""
_LATE: Final = Us(7 * SECOND)
"""What is missing for so long although the venue sends its dataset again gets a reason."""


_Missing: TypeAlias = tuple[Connection, Dataset, list[TimeRange]]
"""What is missing of a dataset, and a connection that brings it again."""


@dataclass(slots=True)
class _State:
    """How it stands with what is missing of one dataset, as long as something is.

    ``since``: from when on (steady clock) it could be asked for. ``named``: what has got a reason.
    """

    since: Us
    times: int = 0
    next: Us = ZERO
    error: str = ""
    named: list[TimeRange] = field(default_factory=list[TimeRange])


@dataclass(frozen=True, slots=True)
class _Job:
    """Windows that one question is about; ``ids``: those that are missing in the only one, if known."""

    connection: Connection
    dataset: Dataset
    windows: list[TimeRange]
    ids: range | None = None

    @property
    def whole(self) -> TimeRange:
        return TimeRange(self.windows[0].start, self.windows[-1].end)


class Refill:
    """Fills for all connections of a stream.

    Args:
        venue: whom to ask.
        context: what the connections share.
        connections: gives those there are just now.
    """

    def __init__(
        self, venue: Venue, context: StreamContext, connections: Callable[[], Sequence[Connection]]
    ) -> None:
        self._venue, self._context, self._connections = venue, context, connections
        self._clock = context.clock
        self._work: set[asyncio.Task[None]] = set()
        self._busy: set[Dataset] = set()
        self._states: dict[Dataset, _State] = {}
        self._missing = deque[_Missing]()
        """What was missing when this was last looked at, and nobody has looked after since."""

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What is under way, and what has ended since it was last looked."""
        return self._work

    def look(self) -> None:
        """Begin to ask for what is due, and say why what is late is not there."""
        self._work = {task for task in self._work if not task.done()}
        self._missing = deque(self._open())
        self._name_reasons()
        while len(self._work) < _AT_ONCE and (job := self._next()) is not None:
            self._work.add(asyncio.create_task(self._fill_on(job)))

    async def _fill_on(self, job: _Job | None) -> None:
        """Do one job, and then those that wait."""
        while job is not None:
            try:
                await self._fill_one(job)
            finally:
                self._busy.discard(job.dataset)
            job = self._next()

    def _next(self) -> _Job | None:
        now = self._clock.steady()
        while self._missing:
            connection, dataset, _ = self._missing.popleft()
            windows, state = self._context.windows.open(dataset), self._states.get(dataset)
            if not windows or state is None or state.next > now or dataset in self._busy:
                continue
            if (job := self._job(connection, dataset, windows)) is not None:
                self._busy.add(dataset)
                return job
        return None

    def _open(self) -> Iterator[_Missing]:
        """Yield what is missing of each dataset that is recorded."""
        for connection in self._connections():
            for dataset in [line.wanted.dataset for line in connection.lines()]:
                if dataset.data_type.table.pictures:
                    continue  # its past cannot be asked for
                if windows := self._context.windows.open(dataset):
                    self._states.setdefault(dataset, _State(self._clock.steady()))
                    yield connection, dataset, windows
                else:
                    self._states.pop(dataset, None)

    def _job(self, connection: Connection, dataset: Dataset, windows: list[TimeRange]) -> _Job | None:
        """Return what of a dataset is to be asked for now: what is shown by now, or will soon be gone."""
        if newest_only(self._venue, dataset):
            return _Job(connection, dataset, windows)
        if windows[0].length > _LONG:
            return _Job(connection, dataset, windows[:1])
        for window in windows:
            if (ids := self._ids(dataset, window)) is not None:
                return _Job(connection, dataset, [window], ids)
        parts = self._shown(dataset, windows)
        return _Job(connection, dataset, parts) if parts else None

    def _shown(self, dataset: Dataset, windows: list[TimeRange]) -> list[TimeRange]:
        """Return what of windows one question can be about: what is final by now."""
        start, final = windows[0].start, self._shown_until(dataset)
        most = _PIECE if dataset.span is None else self._venue.endpoint(dataset).page_limit * dataset.span
        page = TimeRange(start, Us(start + most))
        parts = [part for window in windows if (part := window.clip(page)) is not None]
        waited = self._clock.steady() - self._states[dataset].since
        if dataset.span is None and waited <= self._venue.exchange.finality_delay + SECOND:
            return [part for part in parts if part.end <= final]  # the rest of one costs another question
        return [
            shown for part in parts if (shown := part.clip(TimeRange(start, max(start, final)))) is not None
        ]

    def _shown_until(self, dataset: Dataset) -> Us:
        """Return the moment before which rows are final by any answer: those tell whole seconds only."""
        now = Us(self._context.time.now(self._clock.steady()) - SECOND)
        return settled(dataset, now, self._venue.exchange.finality_delay)

    def _ids(self, dataset: Dataset, window: TimeRange) -> range | None:
        """Return the ids that are missing in a window, if asking for them settles it: it may be at once."""
        if not dataset.data_type.table.numbered:
            return None
        ids, endpoint = self._context.windows.ids(dataset, window), self._venue.endpoint(dataset)
        if ids is None or not (style_of(endpoint).by_ids or not ids):
            return None
        return ids if len(ids) <= _MOST_PAGES * endpoint.page_limit else None

    async def _fill_one(self, job: _Job) -> None:
        state = self._states.setdefault(job.dataset, _State(self._clock.steady()))
        state.times += 1
        state.next = Us(self._clock.steady() + min(_AT_LEAST, _AGAIN << min(state.times - 1, 10)))
        try:
            if job.ids is not None:
                await self._fill_ids(job, job.ids, state)
            elif newest_only(self._venue, job.dataset):
                final = self._shown_until(job.dataset)
                self._keep_newest(job, await newest_rows(self._venue, job.dataset), final, state)
            elif job.whole.length > _LONG and len(job.windows) == 1:
                context = self._context
                await fill_windows(self._venue, context.lake, [job.dataset], context.listener)
                self._context.windows.settled(job.dataset, job.whole)
            else:
                self._keep(job, await rows_between(self._venue, job.dataset, self._asked(job)))
        except (OutOfReach, PayloadError, Rejected) as e:
            self._give_up(job, str(e))
        except DccdError as e:
            state.error = str(e)
            if state.times >= _MOST_TRIES:
                self._give_up(job, f"asked {state.times} times: {e}")

    def _asked(self, job: _Job) -> TimeRange:
        """Return what to ask for: of bars one more, which came, so that no quiet end needs a question."""
        end = Us(job.whole.end + (job.dataset.span or ZERO))
        return TimeRange(job.whole.start, max(job.whole.end, min(end, self._shown_until(job.dataset))))

    async def _fill_ids(self, job: _Job, ids: range, state: _State) -> None:
        """Ask for what is missing by its ids, as soon as they are known: nothing need be final for that."""
        (window,) = job.windows
        told = Answered(empty(job.dataset.data_type), window, 0)
        if ids:
            try:
                shown = await rows_of_ids(self._venue, job.dataset, ids)
            except (OutOfReach, PayloadError, Rejected):
                shown = None  # as of an id that it does not know yet
            if shown is not None:
                told = Answered(shown.rows, window, shown.requests)
            elif window.end <= self._shown_until(job.dataset):
                self._keep(job, await rows_between(self._venue, job.dataset, window))
                return
            else:
                state.next = Us(self._clock.steady() + _AGAIN)
                return
        self._write(job, told.rows, [Piece(str(job.dataset.symbol), window.start, window.end)])
        self._context.windows.settled(job.dataset, window, ids.stop - 1)
        self._states.pop(job.dataset, None)

    def _keep_newest(self, job: _Job, told: Answered, final: Us, state: _State) -> None:
        """Keep what the newest rows hold of windows, before it is gone; the rest is soon asked for again.

        They reach to their last one, and to what was final before they were asked for.
        """
        if told.rows.height:
            told = replace(told, span=TimeRange(told.span.start, max(told.span.end, final)))
        self._keep(job, told)
        if left := self._context.windows.open(job.dataset):
            if state.times >= _MOST_TRIES:
                reason = "the venue's newest rows do not reach up to what came since"
                self._give_up(_Job(job.connection, job.dataset, left), reason)
            elif left[-1].end > final:
                state.next = Us(self._clock.steady() + _AGAIN)
            self._states[job.dataset] = state

    def _keep(self, job: _Job, told: Answered) -> None:
        """Keep the rows of windows, and say from when to when they are all there are."""
        pieces, kept = list[Piece](), list[pl.DataFrame]()
        times, dataset = told.rows["ts"].to_physical(), job.dataset
        for window in job.windows:
            covered = told.span.clip(window)
            if covered is None and told.span.start >= window.end:
                covered = TimeRange(window.end, window.end)  # it is gone already
            if covered is None:
                continue
            kept.append(told.rows.filter((times >= covered.start) & (times < covered.end)))
            pieces += [Piece(str(dataset.symbol), covered.start, covered.end)] if covered.length else []
            if covered.start > window.start:
                reason = f"{self._venue.exchange.title} shows {self._venue.endpoint(dataset).reach} only"
                pieces.append(Piece(str(dataset.symbol), window.start, covered.start, reason))
            last_id = self._last_id(dataset, window, kept[-1])
            self._context.windows.settled(dataset, TimeRange(window.start, covered.end), last_id)
        if pieces:
            self._write(job, pl.concat(kept), pieces)
            self._states.pop(dataset, None)

    def _last_id(self, dataset: Dataset, window: TimeRange, rows: pl.DataFrame) -> int | None:
        """Return the last id of rows that begin where a window does, if none is missing in them."""
        numbered = dataset.data_type.table.numbered
        if not numbered or style_of(self._venue.endpoint(dataset)).by_ids is None:
            return None
        before = self._context.windows.id_before(dataset, window.start)
        if before is None or not rows.height:
            return before
        ids = rows["trade_id"].cast(pl.Int64).unique().sort()
        fresh = ids.filter(ids > before)
        if not fresh.len():
            return before
        last = int(fresh[-1])
        return last if last - before == fresh.len() else None

    def _give_up(self, job: _Job, reason: str) -> None:
        symbol = str(job.dataset.symbol)
        pieces = [Piece(symbol, window.start, window.end, reason) for window in job.windows]
        self._write(job, tables.columns(job.dataset.data_type).to_frame(), pieces)
        for window in job.windows:
            self._context.windows.settled(job.dataset, window)
        said = f"{job.dataset}: {job.whole} was missed and is not asked for any more: {reason}"
        self._context.listener.note(said, wrong=True)

    def _name_reasons(self) -> None:
        """Say why what is missing for long is not there yet; whoever fills it takes that back."""
        now = self._clock.steady()
        for connection, dataset, windows in self._missing:
            state = self._states[dataset]
            if now - state.since < _LATE:
                continue
            parts = [part for window in windows for part in window.minus(state.named)]
            if parts:
                reason = self._why(dataset, parts, state)
                pieces = [Piece(str(dataset.symbol), part.start, part.end, reason) for part in parts]
                rows = tables.columns(dataset.data_type).to_frame()
                self._write(_Job(connection, dataset, parts), rows, pieces)
                state.named += parts

    def _why(self, dataset: Dataset, parts: Sequence[TimeRange], state: _State) -> str:
        exchange = self._venue.exchange
        if state.error:
            return f"not there yet, asked {state.times} times: {state.error}"
        if newest_only(self._venue, dataset):
            return f"not there yet: {exchange.title}'s newest rows do not reach up to what came since"
        if parts[-1].end > final_until(self._venue, self._context, dataset):
            what, delay_s = dataset.data_type.table.title, exchange.finality_delay // SECOND
            return f"not there yet: {exchange.title}'s {what} are final {delay_s} s later"
        return f"not there yet: it waits for its turn in what {exchange.title} lets us ask"

    def _write(self, job: _Job, rows: pl.DataFrame, pieces: Sequence[Piece]) -> None:
        dataset, connection, others = job.dataset, job.connection, self._connections()
        columns = tables.columns(dataset.data_type)
        whole = rows.with_columns(symbol=pl.lit(str(dataset.symbol)))
        kept = connection if connection in others or not others else others[0]
        kept.keep((dataset.data_type, dataset.span), whole.select(columns.names()), Notes(pieces=pieces))


def final_until(venue: Venue, context: StreamContext, dataset: Dataset) -> Us:
    """Return the moment before which the venue's rows do not change any more."""
    return settled(dataset, context.time.now(context.clock.steady()), venue.exchange.finality_delay)


def newest_only(venue: Venue, dataset: Dataset) -> bool:
    """Whether the venue shows the newest rows only, however busy the market is."""
    return dataset.span is None and shows_newest_only(venue.endpoint(dataset))
