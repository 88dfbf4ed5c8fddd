"""One file per exchange, and this list. Nothing else lives in this folder."""

from difflib import get_close_matches
from importlib import import_module
from typing import Final

from dccd_core.adapter.contract import Exchange
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
    if name not in NAMES:
        near = get_close_matches(name, NAMES, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(NAMES)}"
        raise ConfigError(f"unknown exchange {name!r}", hint=hint)
    exchange: object = import_module(f"{__name__}.{name}").EXCHANGE
    assert isinstance(exchange, Exchange)
    return exchange
