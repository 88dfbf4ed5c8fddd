"""Until when what an exchange shows for a limited time can still be collected, per dataset. Pure.

Belongs here: which endpoint, which time is wanted. Does not: what follows of it (dccd_core.quality.deadline),
who asks first (ticks/due.py), who is told (ticks/perishing.py).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import MINUTE, TimeRange, Us
from dccd_core.exchanges import get
from dccd_core.fetch.planner import settled
from dccd_core.lake.lake import State
from dccd_core.lake.partition.ledger import Accepted
from dccd_core.quality.coverage import covered
from dccd_core.quality.deadline import Deadline, deadline
from dccd_pipeline.assets.freshness import last_moment
from dccd_pipeline.config.collect import Entry, is_limited
from dccd_pipeline.config.wanted import first_moment

_LIVE: Final = MINUTE
"""A stream proves within a minute what it recorded; what is younger is under way."""


def perishes(dataset: Dataset) -> bool:
    """Tell whether its exchange shows it for a limited time only."""
    endpoint = get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)
    return endpoint is not None and is_limited(endpoint)


def deadline_of(
    entry: Entry | None,
    dataset: Dataset,
    states: Mapping[str, State],
    now: Us,
    accepted: Sequence[Accepted] = (),
    *,
    streamed: bool = False,
) -> Deadline | None:
    """Return until when what is missing of ``dataset`` can be had; None where it does not perish.

    Args:
        entry: what collects it; None: a stream alone records it.
        dataset: which one.
        states: all of its partitions, by key, with what its tail says.
        now: this moment.
        accepted: losses of it that were accepted by name.
        streamed: a stream records it, too.
    """
    if not perishes(dataset) or (entry and entry.derive_from):
        return None  # what is built perishes with what it is built of
    if entry and not states and entry.is_out_of_reach(dataset, now):
        return None  # nobody ever had it, and nobody can
    exchange = get(dataset.exchange)
    endpoint = exchange.endpoint(dataset.symbol.market_type, dataset.data_type)
    assert endpoint is not None
    end = last_moment(entry, dataset) if entry else None
    until = settled(dataset, Us(now - _LIVE) if streamed else now, exchange.finality_delay)
    start = first_moment(entry, dataset) if entry else _recorded_since(states, until)
    over = end is not None and end <= until
    until = until if end is None else min(until, end)
    wanted = TimeRange(start, max(start, until))
    return deadline(dataset, states, endpoint.reach, wanted, now, accepted, over=over)


def _recorded_since(states: Mapping[str, State], now: Us) -> Us:
    return next((part.start for part in covered(states)), now)
