"""How far back what a venue shows goes, by what its endpoint says and by how fast rows came. Pure."""

from collections.abc import Mapping
from typing import Final

from dccd_core.adapter.contract import FULL, NOW, Reach
from dccd_core.domain.barspan import bar_open
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.timespan import ZERO, Us
from dccd_core.exchanges import get
from dccd_core.lake.partition.ledger import Source
from dccd_core.lake.partition.parquet import State

_JUDGED_BY: Final = 7
"""So many of the newest partitions tell how fast rows come; the busiest of them counts."""


def recorded_since(states: Mapping[str, State]) -> Us:
    """Return the first moment of what only a stream brought; of anything else 0."""
    sources = {one.source for state in states.values() for one in state.ledger.asked}
    return _begins(states, ZERO) if sources == {Source.STREAM} else ZERO


def had_since(dataset: Dataset, states: Mapping[str, State], now: Us) -> Us:
    """Return before which moment there is nothing that anybody could have collected: it is no loss.

    Of what a venue shows for a limited time it is as ``shown_since``; all the rest could be had from the
    beginning on, and so could what is built of other rows.
    """
    sources = {one.source for state in states.values() for one in state.ledger.asked}
    endpoint = get(dataset.exchange).endpoint(dataset.symbol.market_type, dataset.data_type)
    if endpoint is None or endpoint.reach in (FULL, NOW) or sources == {Source.DERIVED}:
        return ZERO
    return shown_since(dataset, states, endpoint.reach, now)


def shown_since(dataset: Dataset, states: Mapping[str, State], reach: Reach, now: Us) -> Us:
    """Return when the first row was that was collected, or can be had now if that is earlier.

    Nobody can say the latter where only the number of rows that are shown is known.
    """
    edge = edge_of(dataset, states, reach, now)
    first = _begins(states, edge)
    return min(first, edge) if is_exact(dataset, reach) else first


def edge_of(dataset: Dataset, states: Mapping[str, State], reach: Reach, now: Us) -> Us:
    """Return before which moment nothing can be had at ``now``."""
    bar, shown = dataset.span, shown_for(reach, dataset.span, states)
    at = ZERO if shown is None else Us(max(ZERO, now - shown))
    if shown is not None and bar and reach.rows:
        return Us(bar_open(at, bar) + bar)
    return at if is_exact(dataset, reach) else max(at, _passed(reach.rows or 0, states))


def is_exact(dataset: Dataset, reach: Reach) -> bool:
    """Tell whether for how long a row is shown is the venue's word, and no estimate by how fast rows came."""
    return reach.rows is None or dataset.span is not None


def shown_for(reach: Reach, bar: Us | None, states: Mapping[str, State]) -> Us | None:
    """Return for how long a venue shows a row; None where that takes knowing how fast rows come.

    Of a number of trades it is how long so many took on the busiest of the last days.
    """
    if reach.period is not None:
        return reach.period
    if reach.rows is None or bar is not None:
        return None if reach.rows is None or bar is None else Us(reach.rows * bar)
    rates = list[Us]()
    for _, state in sorted(states.items())[-_JUDGED_BY:]:
        rows, length = state.rows + state.unfolded, sum(part.length for part in state.ledger.covered())
        if rows or (
            length and not state.ledger.streamed()
        ):  # what streams bring is counted when it is folded
            rates.append(Us(length * reach.rows // max(1, rows)))
    return min(rates, default=None)


def _begins(states: Mapping[str, State], nothing: Us) -> Us:
    """Return the first moment that was ever collected, what was damaged since included."""
    ledgers = [state.ledger for state in states.values()]
    starts = [one.span.start for ledger in ledgers for one in ledger.asked]
    return min((*starts, *(span.start for ledger in ledgers for span in ledger.damaged())), default=nothing)


def _passed(rows: int, states: Mapping[str, State]) -> Us:
    """Return before which moment nothing can be had, since so many rows came after it."""
    came = 0
    asked = [one for state in states.values() for one in state.ledger.asked]
    for one in sorted(asked, key=lambda each: each.span, reverse=True):
        came += one.rows
        if came >= rows:
            return one.span.start
    return ZERO
