"""What filling a partition would cost, before anything is stored."""

from dataclasses import dataclass
from typing import Final

from dccd_core.adapter.contract import IdWindows
from dccd_core.domain.dataset import Dataset, partition_span
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import TimeSpan
from dccd_core.fetch.borders import find_borders
from dccd_core.fetch.planner import due, settled
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import Lake

BYTES_PER_ROW: Final = {DataType.OHLC: 40, DataType.TRADES: 14}
"""Measured on stored partitions of the sandbox; real ones differ by what the market does."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """``requests`` to send, ``weight`` they cost in the budget, ``rows`` and ``bytes`` they would store."""

    requests: int = 0
    weight: int = 0
    rows: int = 0
    bytes: int = 0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.requests + other.requests,
            self.weight + other.weight,
            self.rows + other.rows,
            self.bytes + other.bytes,
        )


async def estimate(venue: Venue, lake: Lake, dataset: Dataset, key: str) -> Estimate:
    """Estimate what is due of a partition. Bars are counted; trades by their ids, which asks the venue."""
    held = lake.state(dataset, key)
    until = settled(dataset, venue.clock.now(), venue.exchange.settle)
    wanted = due(partition_span(dataset.grain, key), held.ledger if held else None, until)
    total = Estimate()
    for part in wanted:
        total += await _part(venue, dataset, part)
    return total


async def _part(venue: Venue, dataset: Dataset, part: TimeSpan) -> Estimate:
    endpoint = venue.endpoint(dataset)
    lookups = 0
    if isinstance(endpoint.paging, IdWindows):
        borders = await find_borders(venue, dataset, endpoint.paging, part)
        rows, lookups = len(borders.ids), borders.requests
    else:
        assert dataset.span is not None
        rows = part.length // dataset.span
    requests = lookups + -(-rows // endpoint.page_limit)
    weight = requests * endpoint.request(venue.query(dataset, part, endpoint.page_limit)).weight
    return Estimate(requests, weight, rows, rows * BYTES_PER_ROW[dataset.data_type])
