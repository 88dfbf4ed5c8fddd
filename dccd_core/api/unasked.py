"""An exchange for those who have to know it, and ask it nothing."""

from dccd_core.adapter.contract import Request, Response
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.net.clock import Clock


class _Nobody:
    """A way to no exchange."""

    async def send(self, request: Request) -> Response:
        raise NotImplementedError(request)


def unasked(exchange: str, clock: Clock) -> Venue:
    """Return a venue of which everything is known but what one has to ask for: it opens no connection."""
    return Venue(get(exchange), _Nobody(), clock)
