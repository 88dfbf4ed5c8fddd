"""Whether trades prove that missing bars are no loss: where nothing was traded there is no bar to lose."""

from dccd_core.adapter.contract import Cursor, Endpoint, IdWindows
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import TimeSpan
from dccd_core.fetch.borders import last_row_before
from dccd_core.fetch.venue import Venue, first_ts


def witness(venue: Venue, dataset: Dataset) -> Endpoint | None:
    """Return how to ask the trades of the same symbol; None when they cannot tell."""
    endpoint = venue.exchange.endpoint(dataset.symbol.market, DataType.TRADES)
    return endpoint if endpoint and isinstance(endpoint.paging, (IdWindows, Cursor)) else None


async def nothing_traded(venue: Venue, dataset: Dataset, span: TimeSpan) -> bool:
    """Ask the witness, if it reaches back that far, whether ``span`` is empty."""
    endpoint = witness(venue, dataset)
    since = endpoint.reach.since(venue.clock.now(), None) if endpoint else None
    if endpoint is None or since is None or span.start < since:
        return False
    trades = Dataset(dataset.exchange, dataset.symbol, DataType.TRADES)
    if isinstance(endpoint.paging, IdWindows):
        last = await last_row_before(venue, trades, endpoint.paging, span.end)
        return last is None or last.at < span.start
    served = await venue.served(trades)
    rows, _ = await venue.one_row(trades, served.request(venue.query(trades, span, 1)))
    first = first_ts(rows)
    return first is None or first >= span.end
