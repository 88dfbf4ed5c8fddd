"""The sandbox without a server: requests go straight into the application."""

import asyncio
from typing import Unpack

import httpx
import msgspec

from dccd_core.domain.timespan import Us
from dccd_core.testing.sandbox.faults import Fault
from dccd_core.testing.sandbox.options import OptionArguments, Options
from dccd_core.testing.sandbox.server import create_app
from dccd_core.testing.sandbox.stats import Stats


class InProcess:
    """A sandbox whose clock stands at ``now``; None: where it stands by itself."""

    def __init__(self, now: Us | None = None, **arguments: Unpack[OptionArguments]) -> None:
        self._transport = httpx.ASGITransport(create_app(Options(**arguments)))
        if now is not None:
            self.clock(now)

    def send(self, method: str, path: str, body: bytes = b"", /, **params: str | int) -> httpx.Response:
        async def sent() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url="http://sandbox", trust_env=False
            ) as client:
                return await client.request(method, path, content=body, params=params or None)

        return asyncio.run(sent())

    def get(self, path: str, **params: str | int) -> httpx.Response:
        """Ask Binance."""
        return self.send("GET", f"/binance/api/v3/{path}", b"", **params)

    def order(self, name: str, order: object) -> httpx.Response:
        return self.send("POST", f"/_control/{name}", msgspec.json.encode(order))

    def clock(self, now: Us) -> None:
        assert self.order("clock", {"now": now}).status_code == 200

    def faults(self, *faults: Fault) -> None:
        assert self.order("faults", faults).status_code == 200

    def stats(self) -> Stats:
        return msgspec.json.decode(self.send("GET", "/_control/stats").content, type=Stats)
