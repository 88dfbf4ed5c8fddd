"""What only REST can settle: whether a silent topic is quiet or dead, and what lies between recordings."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from dccd_core.adapter.contract import Endpoint
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import SECOND, TimeRange, Us
from dccd_core.fetch.collect import collect
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.paging.style import FetchStats
from dccd_core.fetch.venue import Venue
from dccd_core.tables import empty

PROOFS: Final = 0.05
"""The share of a venue's limits that proofs may take."""
_EVER: Final = TimeRange(Us(0), Us(2**62))


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows with ``span.start <= ts < span.end``, each once: none is missing. ``requests``: what it cost.

    ``since``: what was asked for before that cannot be had; None: it is all there.
    """

    rows: pl.DataFrame
    span: TimeRange
    requests: int
    since: Us | None = None


async def rows_between(
    venue: Venue, dataset: Dataset, span: TimeRange, *, any_will_do: bool = False
) -> Answered:
    """Ask for the rows of ``span`` that are final by now; what comes after them is not answered.

    Args:
        venue: whom.
        dataset: of what.
        span: from when to when.
        any_will_do: stop with the first page that has a row.

    Raises:
        ExchangeError: the venue does not answer, or nonsense.
    """
    stats, since, until, found = FetchStats(), None, span.start, [empty(dataset.data_type)]
    async with aclosing(collect(venue, dataset, span, stats)) as pages:
        async for page in pages:
            found.append(page.rows)
            until = max(until, page.until)
            since = page.since if page.since is not None else since
            if any_will_do and page.rows.height:
                break
    start = span.start if since is None else min(max(since, span.start), until)
    rows = pl.concat(found).filter(pl.col("ts").to_physical() >= start)
    return Answered(rows, TimeRange(start, until), max(1, stats.requests), since)


async def rows_of_ids(venue: Venue, dataset: Dataset, ids: range) -> Answered | None:
    """Ask for the trades with these ids; None when not all of them are shown, as yet or at all.

    Raises:
        ExchangeError: the venue does not answer, or nonsense.
    """
    endpoint = await venue.served(dataset)
    by_ids = style_of(endpoint).by_ids
    assert by_ids is not None
    query = venue.query(dataset, _EVER, endpoint.page_limit)
    found, requests = [empty(dataset.data_type)], 0
    for pager in by_ids.pagers(endpoint, query, ids):
        while (request := pager.request()) is not None:
            page = await venue.ask(dataset, request, pager.receive)
            requests += 1
            found += [page.rows] if page is not None else []
    rows = pl.concat(found).unique("trade_id", keep="first", maintain_order=True)
    if rows.height < len(ids):
        return None
    times = rows["ts"].to_physical()
    return Answered(rows, TimeRange(Us(int(times[0])), Us(int(times[-1]) + 1)), requests)


async def newest_rows(venue: Venue, dataset: Dataset) -> Answered:
    """Ask a venue that shows only the newest rows for them; also those that are not final are answered.

    Raises:
        ExchangeError: the venue does not answer, or nonsense.
    """
    endpoint = await venue.served(dataset)
    now = venue.clock.now()
    request = endpoint.request(venue.query(dataset, TimeRange(Us(0), now), endpoint.page_limit))
    rows = await venue.ask(dataset, request, lambda r: endpoint.decode(r.body, r.venue_time))
    if not rows.height:
        return Answered(rows, TimeRange(Us(0), Us(0)), 1)
    times = rows["ts"].to_physical()
    first, last = Us(int(times[0])), Us(int(times[-1]))
    # more rows of the first moment may lie before what is shown
    return Answered(
        rows.filter(times > first), TimeRange(Us(first + 1), max(last, Us(first + 1))), 1, Us(first + 1)
    )


def shows_newest_only(endpoint: Endpoint) -> bool:
    return style_of(endpoint).newest_only


class Allowance:
    """A share of a venue's limits, as requests; unspent it grows to what a few questions cost.

    Args:
        limits: amount and length of each limit that they count against.
        weight: what a request costs of it.
        now: our steady clock.
    """

    _AT_MOST: Final = 8.0

    def __init__(self, limits: Sequence[tuple[int, Us]], weight: int, now: Us) -> None:
        rates = [PROOFS * amount * SECOND / (period * weight) for amount, period in limits]
        self._per_second = min(rates, default=self._AT_MOST)
        self._left, self._at = 1.0, now

    def spend(self, requests: int, now: Us) -> None:
        """Note what was asked; more than is left means that the next has to wait."""
        self._grow(now)
        self._left -= requests

    def allows(self, now: Us) -> bool:
        self._grow(now)
        return self._left >= 1.0

    def _grow(self, now: Us) -> None:
        self._left = min(self._AT_MOST, self._left + self._per_second * (now - self._at) / SECOND)
        self._at = now


def allowance(venue: Venue, dataset: Dataset, now: Us) -> Allowance:
    """Return what proofs about ``dataset``, and others that share its limits, may cost."""
    endpoint = venue.endpoint(dataset)
    query = replace(venue.query(dataset, TimeRange(Us(0), Us(1)), endpoint.page_limit), first_id=1)
    request = endpoint.request(query)
    limits = [(one.amount, one.period) for one in venue.exchange.limits if one.pool == request.pool]
    return Allowance(limits, request.weight, now)
