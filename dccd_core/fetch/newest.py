"""How to ask for the newest row: what tells a venue's time where it tells none itself. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from dccd_core.adapter.contract import Endpoint, IdWindows, Query, Recent, Request, TimeWindows
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.timespan import DAY, MINUTE, TimeRange, Us

_BACK: Final = tuple(Us(n * MINUTE) for n in (5, 30, 65, 125, 250, 500, 1_500))
"""How far before our own now to begin to look where rows come oldest first."""


def newest_requests(endpoint: Endpoint, query: Query, now: Us) -> Iterator[Request]:
    """Yield what to ask, one after another until there is a row; ``now`` is our own clock, so a guess."""
    match endpoint.paging:
        case TimeWindows():
            assert query.bar is not None
            end = Us(bar_open(now, query.bar) + query.bar)
            for pages in (1, 2, 3):  # our clock may be ahead
                span = TimeRange(Us(end - endpoint.page_limit * query.bar), end)
                yield endpoint.request(replace(query, span=span, limit=endpoint.page_limit))
                end = Us(end - pages * endpoint.page_limit * query.bar)
        case Recent():
            yield endpoint.request(replace(query, limit=endpoint.page_limit))
        case IdWindows(before, newest):
            at = Us(now + DAY)
            ask = newest or before
            assert ask is not None
            yield ask(replace(query, span=TimeRange(at, at)))
        case _:
            for back in _BACK:
                span = TimeRange(Us(now - back), Us(now + DAY))
                yield endpoint.request(replace(query, span=span, limit=endpoint.page_limit))
