"""An exchange for those who have to know it, and ask it nothing."""

from dataclasses import dataclass

from dccd_core.adapter.contract import Request, Response
from dccd_core.exchanges import get
from dccd_core.fetch.venue import Venue
from dccd_core.net.clock import Clock


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A way to no exchange. To be sent there is a defect of ours, and no failure of the exchange's."""

    exchange: str

    async def send(self, request: Request) -> Response:
        raise RuntimeError(f"{self.exchange} {request.path}: asked by somebody who is to ask nobody")


def unasked(exchange: str, clock: Clock) -> Venue:
    """Return a venue of which everything is known but what one has to ask for: it opens no connection."""
    return Venue(get(exchange), _Nobody(exchange), clock)
