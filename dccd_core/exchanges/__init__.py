"""One file per exchange, one beside it for its WebSocket, and this list. Nothing else lives here."""

from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from dccd_core.adapter.contract import Exchange
from dccd_core.adapter.live import WebSocketApi
from dccd_core.domain.errors import ConfigError

# fmt: off
NAMES: Final = (
    "binance",
    "bybit",
    "okx",
    "coinbase",
    "kraken",
    "bitfinex",
    "bitmex",
)
# fmt: on


def get(name: str) -> Exchange:
    """Return an exchange, with its WebSocket where it has one.

    Raises:
        ConfigError: there is no such exchange.
    """
    if name not in NAMES:
        near = get_close_matches(name, NAMES, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(NAMES)}"
        raise ConfigError(f"unknown exchange {name!r}", hint=hint)
    return _with_live(name) or _exchange(name)


def _exchange(name: str) -> Exchange:
    exchange: object = import_module(f"{__name__}.{name}").EXCHANGE
    assert isinstance(exchange, Exchange)
    return exchange


@cache
def _with_live(name: str) -> Exchange | None:
    """Return the exchange with what stands beside it in ``{name}_live``; None where nothing does."""
    module = f"{__name__}.{name}_live"
    if find_spec(module) is None:
        return None
    live: object = import_module(module).LIVE
    assert isinstance(live, WebSocketApi)
    return replace(_exchange(name), live=live)
