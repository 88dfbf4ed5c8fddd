"""What filling a partition would cost, before anything is stored."""

from dataclasses import dataclass

from dccd_core.domain.dataset import UNKNOWN, Dataset, ListingPeriod, partition_span
from dccd_core.domain.timespan import ZERO, TimeRange
from dccd_core.fetch.paging import style_of
from dccd_core.fetch.venue import Venue
from dccd_core.lake.lake import LakeStore


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


async def estimate(
    venue: Venue,
    lake: LakeStore,
    dataset: Dataset,
    key: str,
    life: ListingPeriod = UNKNOWN,
    within: TimeRange | None = None,
) -> Estimate:
    """Estimate what is due of a partition, or of the part of it ``within``, in the market's ``life``.

    Bars are counted; trades by their ids, or by how dense the first page is: that asks the venue.
    """
    held, whole = lake.known(dataset, key), partition_span(dataset.grain, key)
    span = whole.clip(within) if within else whole
    if span is None:
        return Estimate()
    todo = venue.plan(dataset, span, held.ledger if held else None, venue.clock.now(), life)
    unlisted = TimeRange(ZERO, life.listed or ZERO)
    total = Estimate()
    for part in todo.ask:
        for listed in part.minus([unlisted]) if todo.may_be_unlisted(part) else [part]:
            total += await estimate_span(venue, dataset, listed)
    return total


async def estimate_span(venue: Venue, dataset: Dataset, part: TimeRange) -> Estimate:
    """Estimate all of a span of time, whatever is stored of it."""
    endpoint = await venue.served(dataset)
    rows, lookups = await style_of(endpoint).count(venue, dataset, part)
    requests = lookups + -(-rows // endpoint.page_limit)
    weight = requests * endpoint.request(venue.query(dataset, part, endpoint.page_limit)).weight
    return Estimate(requests, weight, rows, rows * dataset.data_type.table.bytes_per_row)
