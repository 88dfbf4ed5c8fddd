"""Whether trades prove that missing bars are no loss: where nothing was traded there is no bar to lose."""

from typing import Final

from dccd_core.adapter.contract import Endpoint
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import HOUR, TimeRange, Us
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.venue import Venue

OUTAGE: Final = HOUR
"""A quiet time beside trades or refused bars that is shorter proves nothing, and is not asked about."""
_LOOKS: Final = 8
"""Bars with trades in a hole after which nobody looks for quiet ones any more: each costs a request."""


def trade_oracle(venue: Venue, dataset: Dataset, at: Us) -> Endpoint | None:
    """Return how to ask the trades of the same symbol; None when they cannot tell about ``at`` and later."""
    source = dataset.source
    endpoint = venue.exchange.endpoint(source.symbol.market_type, source.data_type) if source else None
    if endpoint is None or style_of(endpoint).find_trade is None:
        return None
    since = endpoint.reach.since(venue.clock.now(), None)
    return endpoint if since is not None and since <= at else None


async def quiet_parts(venue: Venue, dataset: Dataset, span: TimeRange) -> list[TimeRange]:
    """Return the parts of absent bars in which nothing was traded: trades cut the others out.

    A quiet minute in a lost hour is as lost as its neighbours, so beside trades only an outage counts, of an
    hour at least. From where trades are asked for, bar by bar, until a look finds no more; after ``_LOOKS``
    bars with trades nobody asks on, and what is left stays unexplained.
    """
    endpoint, trades, quiet = trade_oracle(venue, dataset, span.start), dataset.source, list[TimeRange]()
    if endpoint is None or trades is None:
        return quiet
    assert dataset.span is not None
    left = span
    trade = style_of(endpoint).find_trade
    assert trade is not None
    for _ in range(_LOOKS):
        at = await trade.find(venue, trades, left)
        if at is None:
            return [*quiet, left]
        opened = bar_open(at, dataset.span)
        before, after = TimeRange(left.start, opened), TimeRange(Us(opened + dataset.span), left.end)
        seen, left = (after, before) if trade.backwards else (before, after)
        quiet += [seen] if seen.start < seen.end and seen.length >= OUTAGE else []
        if left.start >= left.end or left.length < OUTAGE:
            break
    return quiet
