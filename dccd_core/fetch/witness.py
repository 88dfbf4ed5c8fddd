"""Whether trades prove that missing bars are no loss: where nothing was traded there is no bar to lose."""

from dccd_core.adapter.contract import Cursor, Endpoint, IdWindows
from dccd_core.domain.dataset import Dataset
from dccd_core.domain.datatype import DataType
from dccd_core.domain.timespan import Ns, TimeSpan
from dccd_core.fetch.borders import last_row_before
from dccd_core.fetch.pager import earliest
from dccd_core.fetch.venue import Venue


def witness(venue: Venue, dataset: Dataset, at: Ns) -> Endpoint | None:
    """Return how to ask the trades of the same symbol; None when they cannot tell about ``at`` and later."""
    endpoint = venue.exchange.endpoint(dataset.symbol.market, DataType.TRADES)
    if endpoint is None or not isinstance(endpoint.paging, (IdWindows, Cursor)):
        return None
    since = endpoint.reach.since(venue.clock.now(), None)
    return endpoint if since is not None and since <= at else None


async def nothing_traded(venue: Venue, dataset: Dataset, span: TimeSpan) -> bool:
    """Ask the witness, if it reaches back that far, whether ``span`` is empty."""
    endpoint = witness(venue, dataset, span.start)
    if endpoint is None:
        return False
    trades = Dataset(dataset.exchange, dataset.symbol, DataType.TRADES)
    if isinstance(endpoint.paging, IdWindows):
        last = await last_row_before(venue, trades, endpoint.paging, span.end)
        return last is None or last.at < span.start
    served = await venue.served(trades)
    rows, _ = await venue.one_row(trades, served.request(venue.query(trades, span, 1)))
    first = earliest(rows)
    return first is None or first >= span.end
