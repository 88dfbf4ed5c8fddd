"""Where a span begins and ends among consecutive ids, and which of them are absent there.

What is absent between two rows can be seen from the rows; at the ends only the venue's rows on the other
side of the border tell.
"""

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from dccd_core.adapter.contract import IdWindows, Request
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import PagingError, Where
from dccd_core.domain.timespan import TimeRange, Us, iso
from dccd_core.fetch.paging.page import TradeRef, trade_ref
from dccd_core.fetch.paging.style import Askable

_GALLOP: Final = 8
"""Questions to find the next id where several are absent: as many ids as two to that power."""


@dataclass(frozen=True, slots=True)
class IdBounds:
    """The ids that belong to ``span``, which ends where the venue's rows are final; what it cost to know."""

    span: TimeRange
    ids: range
    requests: int


class Ends:
    """Sees the rows of a span pass by, in order; adds the ids absent at its ends to ``absent``."""

    def __init__(self, bounds: IdBounds, absent: list[tuple[TimeRange, int]]) -> None:
        self._bounds = bounds
        self._absent = absent
        self._last: tuple[int, Us] | None = None

    def see(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        ids = rows["trade_id"].cast(pl.Int64).to_numpy()  # rows of one moment may come in any order
        times = rows["ts"].cast(pl.Int64)
        if self._last is None and (missing := int(ids.min()) - self._bounds.ids.start):
            self._absent.append((TimeRange(self._bounds.span.start, Us(int(times[0]) + 1)), missing))
        self._last = int(ids.max()), Us(int(times[-1]))

    def close(self) -> None:
        last_id, at = self._last or (self._bounds.ids.start - 1, self._bounds.span.start)
        if missing := self._bounds.ids.stop - 1 - last_id:
            self._absent.append((TimeRange(at, self._bounds.span.end), missing))


async def find_bounds(venue: Askable, dataset: Dataset, paging: IdWindows, span: TimeRange) -> IdBounds:
    """Find the rows on both sides of ``span``: all ids between them belong to it, given or not.

    Raises:
        PagingError: the answers contradict what was asked, or one another.
    """
    search = _Search(venue, dataset, paging)
    older, final = await search.last_before(span.start)
    if final <= span.start:
        return IdBounds(TimeRange(span.start, span.start), range(0), search.requests)
    span = TimeRange(span.start, min(span.end, final))
    newer, _ = await search.last_before(span.end)
    if newer is None:
        return IdBounds(span, range(0), search.requests)
    before = await search.first_id(newer) - 1 if older is None else older.id
    if newer.id < before:
        said = f"id {newer.id} comes before the end of {span}, id {before} before its start"
        raise _contradiction(venue, dataset, said)
    return IdBounds(span, range(before + 1, await search.next_id(newer, span.end)), search.requests)


async def last_row_before(venue: Askable, dataset: Dataset, paging: IdWindows, at: Us) -> TradeRef | None:
    """Return the last row before ``at``, if there is one."""
    found, _ = await _Search(venue, dataset, paging).last_before(at)
    return found


@dataclass(slots=True)
class _Search:
    """Looks for rows by time and by id, and counts its requests."""

    venue: Askable
    dataset: Dataset
    paging: IdWindows
    requests: int = 0

    async def last_before(self, at: Us) -> tuple[TradeRef | None, Us]:
        """Return the last row before ``at``, and the moment before which rows were final by then."""
        if self.paging.before is None:
            return await self._bisect_time(at)
        query = self.venue.query(self.dataset, TimeRange(at, at), 1)
        found, final = await self._ask(self.paging.before(query))
        if found is not None and found.at >= at:
            said = f"asked for the row before {iso(at)}, answered {iso(found.at)}"
            raise _contradiction(self.venue, self.dataset, said)
        return found, final

    async def first_id(self, known: TradeRef) -> int:
        """Return the id of the very first row; ``known`` is one of them."""
        endpoint = await self.venue.served(self.dataset)
        query = self.venue.query(self.dataset, TimeRange(Us(0), known.at), 1)
        if endpoint.oldest is not None:
            found, _ = await self._ask(endpoint.oldest(query))
            return known.id if found is None else found.id
        if not self.paging.down:
            found, _ = await self._ask(endpoint.request(replace(query, first_id=0)))
            if found is None:
                raise _contradiction(self.venue, self.dataset, f"id {known.id} is there, but none from 0 on")
            return found.id
        nothing, there = -1, known.id
        while there - nothing > 1:
            middle = (nothing + there) // 2
            found, _ = await self._look(middle)
            nothing, there = (middle, there) if found is None else (nothing, min(found.id, middle))
        return there

    async def next_id(self, last: TradeRef, at: Us) -> int:
        """Return the id of the first row from ``at`` on; ``last`` is the last one before.

        Where ids are looked at downwards the next one is looked at, then ever further ones, and from the
        first row found back to the one that stands next to ``last``.
        """
        found = None
        for step in range(_GALLOP if self.paging.down else 1):
            if found := await self._later(last.id + (1 << step), last, at):
                break
        while found and self.paging.down and found.id > last.id + 1:
            nearer = await self._later(found.id - 1, last, at)
            if nearer is None:
                break
            found = nearer
        return found.id if found else last.id + 1

    async def _later(self, trade_id: int, last: TradeRef, at: Us) -> TradeRef | None:
        """Look at an id for a row that comes after ``last``, which is the last before ``at``."""
        found, _ = await self._look(trade_id)
        if found is None or found.id <= last.id:
            return None
        if found.at < at:
            said = f"id {last.id} is the last before {iso(at)}, but id {found.id} is of {iso(found.at)}"
            raise _contradiction(self.venue, self.dataset, said)
        return found

    async def _bisect_time(self, at: Us) -> tuple[TradeRef | None, Us]:
        """Narrow the ids around ``at`` by their times, guessing as if trades came evenly."""
        assert self.paging.newest is not None
        query = self.venue.query(self.dataset, TimeRange(at, at), 1)
        newest, final = await self._ask(self.paging.newest(query))
        if newest is None or newest.at < at:
            return newest, final
        endpoint = await self.venue.served(self.dataset)
        assert endpoint.oldest is not None
        seen = self.venue.trade_refs(self.dataset)
        if not seen:
            oldest, _ = await self._ask(endpoint.oldest(query))
            seen.extend(one for one in (oldest,) if one is not None)
        low = max((one for one in seen if one.at < at), default=None)
        high = min((one for one in [*seen, newest] if one.at >= at), key=lambda one: one.id)
        if low is None:
            return None, final
        edge, turn = low.id, 0  # no row between the two
        while high.id - edge > 1:
            middle = _guess(TradeRef(edge, low.at), high, at, turn)
            turn += 1
            found, _ = await self._look(middle)
            if found is not None and found.at >= at:
                high = found
            else:
                edge = middle
                low = found if found is not None and found.id > low.id else low
        seen += [one for one in (low, high) if one not in seen]
        return low, final

    async def _look(self, trade_id: int) -> tuple[TradeRef | None, Us]:
        endpoint = await self.venue.served(self.dataset)
        query = self.venue.query(self.dataset, TimeRange(Us(0), Us(0)), 1)
        return await self._ask(endpoint.request(replace(query, first_id=trade_id)))

    async def _ask(self, request: Request) -> tuple[TradeRef | None, Us]:
        self.requests += 1
        rows, final = await self.venue.one_row(self.dataset, request)
        return trade_ref(rows), final


def _guess(low: TradeRef, high: TradeRef, at: Us, turn: int) -> int:
    """Return an id between the two: in proportion to time, every third time in the middle."""
    width = high.id - low.id
    share = width // 2 if turn % 3 == 2 else width * (at - low.at) // max(1, high.at - low.at)
    return min(high.id - 1, max(low.id + 1, low.id + share))


def _contradiction(venue: Askable, dataset: Dataset, text: str) -> PagingError:
    return PagingError(
        text,
        hint="the venue's ids and times contradict each other: nothing of this was stored",
        where=Where(venue.exchange.name, venue.endpoint(dataset).path, str(dataset.symbol)),
    )
