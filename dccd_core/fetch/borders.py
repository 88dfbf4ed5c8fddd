"""Where a span begins and ends among consecutive ids, and which of them are absent there.

What is absent between two rows can be seen from the rows; at the ends only the venue's rows on the other
side of the border tell.
"""

from dataclasses import dataclass

import polars as pl

from dccd_core.adapter.contract import IdWindows
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.errors import PagingError, Where
from dccd_core.domain.timespan import Ns, TimeSpan, iso
from dccd_core.fetch.venue import Venue, first_ts


@dataclass(frozen=True, slots=True)
class Borders:
    """The ids that belong to ``span``, which ends where the venue's rows are final; what it cost to know."""

    span: TimeSpan
    ids: range
    requests: int


class Ends:
    """Sees the rows of a span pass by, in order; adds the ids absent at its ends to ``absent``."""

    def __init__(self, borders: Borders, absent: list[tuple[TimeSpan, int]]) -> None:
        self._borders = borders
        self._absent = absent
        self._last: tuple[int, Ns] | None = None

    def see(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        ids = rows["trade_id"].cast(pl.Int64).to_numpy()  # rows of one moment may come in any order
        times = rows["ts"].cast(pl.Int64)
        if self._last is None and (missing := int(ids.min()) - self._borders.ids.start):
            self._absent.append((TimeSpan(self._borders.span.start, Ns(int(times[0]) + 1)), missing))
        self._last = int(ids.max()), Ns(int(times[-1]))

    def close(self) -> None:
        last_id, at = self._last or (self._borders.ids.start - 1, self._borders.span.start)
        if missing := self._borders.ids.stop - 1 - last_id:
            self._absent.append((TimeSpan(at, self._borders.span.end), missing))


async def find_borders(venue: Venue, dataset: Dataset, paging: IdWindows, span: TimeSpan) -> Borders:
    """Ask for the rows on both sides of ``span``: all ids between them belong to it, given or not.

    Raises:
        PagingError: the answers contradict what was asked, or one another.
    """
    older, final = await _sight(venue, dataset, paging, span.start, before=True)
    if final <= span.start:
        return Borders(TimeSpan(span.start, span.start), range(0), 1)
    span = TimeSpan(span.start, min(span.end, final))
    stop, _ = await _sight(venue, dataset, paging, span.end, before=False)
    requests = 2
    if older is None:  # nothing at all, or the listing
        first, _ = await _sight(venue, dataset, paging, span.start, before=False)
        older, requests = None if first is None else first - 1, 3
    if stop is None:  # nothing happened since
        last, _ = await _sight(venue, dataset, paging, span.end, before=True)
        stop, requests = None if last is None else last + 1, requests + 1
    if older is None or stop is None:
        return Borders(span, range(0), requests)
    if stop <= older:
        raise _contradiction(venue, dataset, f"id {stop} comes after {span}, id {older} before it")
    return Borders(span, range(older + 1, stop), requests)


async def _sight(
    venue: Venue, dataset: Dataset, paging: IdWindows, at: Ns, *, before: bool
) -> tuple[int | None, Ns]:
    """Return the id of the last row before ``at``, or of the first one from it on, and what is final."""
    query = venue.query(dataset, TimeSpan(at, at), 1)
    rows, final = await venue.one_row(dataset, paging.before(query) if before else paging.at(query))
    found = first_ts(rows)
    if found is None:
        return None, final
    if (found < at) != before:
        side = "before" if before else "from"
        raise _contradiction(venue, dataset, f"asked for the row {side} {iso(at)}, answered {iso(found)}")
    return int(rows["trade_id"][0]), final


def _contradiction(venue: Venue, dataset: Dataset, text: str) -> PagingError:
    return PagingError(
        text,
        hint="the venue's ids and times contradict each other: nothing of this was stored",
        where=Where(venue.exchange.name, venue.endpoint(dataset).path, str(dataset.symbol)),
    )
