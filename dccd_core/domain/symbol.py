"""A tradable pair in ccxt's unified notation, and its one spelling in keys and paths."""

import re
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.errors import ConfigError

_CODE: Final = r"[^\s/:\-_]+"
_UNIFIED: Final = re.compile(rf"({_CODE})/({_CODE})(?::({_CODE}))?")
_SLUG: Final = re.compile(rf"({_CODE})-({_CODE})(?:_({_CODE}))?")


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """``BTC/USDT`` spot, ``BTC/USDT:USDT`` linear perpetual, ``BTC/USD:BTC`` inverse perpetual.

    >>> Symbol.parse("BTC/USDT:USDT").slug
    'BTC-USDT_USDT'
    >>> str(Symbol.from_slug("BTC-USDT"))
    'BTC/USDT'
    """

    base: str
    quote: str
    settle: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Symbol":
        match = _UNIFIED.fullmatch(text)
        if match is None:
            raise ConfigError(f"symbol {text!r} is not in unified notation", hint="write it like BTC/USDT")
        return cls(match[1], match[2], match[3])

    @classmethod
    def from_slug(cls, slug: str) -> "Symbol":
        match = _SLUG.fullmatch(slug)
        if match is None:
            raise ConfigError(f"{slug!r} is no symbol slug", hint="slugs look like BTC-USDT or BTC-USDT_USDT")
        return cls(match[1], match[2], match[3])

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}" + (f":{self.settle}" if self.settle else "")

    @property
    def slug(self) -> str:
        return f"{self.base}-{self.quote}" + (f"_{self.settle}" if self.settle else "")

    @property
    def market(self) -> str:
        """``spot``, ``linear`` (settled in the quote) or ``inverse`` (settled in the base)."""
        if self.settle is None:
            return "spot"
        return "inverse" if self.settle == self.base else "linear"
