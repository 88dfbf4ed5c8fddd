"""A tradable pair in ccxt's unified notation, and its one spelling in keys and paths."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from dccd_core.domain.errors import ConfigError

_CODE: Final = r"[^\s/:\-_]+"
_UNIFIED: Final = re.compile(rf"({_CODE})/({_CODE})(?::({_CODE}))?")
_SLUG: Final = re.compile(rf"({_CODE})-({_CODE})(?:_({_CODE}))?")
_LETTERS: Final = ("L", "N", "Mn", "Mc")
"""The Unicode categories of letters and digits of any script, and of the marks that belong to letters."""
_BESIDE: Final = ".$+"
"""What names of markets have besides."""
_LONGEST: Final = 40


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
        """Read unified notation; letters that can be written in two ways are one letter (NFC).

        Raises:
            ConfigError: it is something else, or has in it what no market is called by.
        """
        match = _UNIFIED.fullmatch(unicodedata.normalize("NFC", text))
        if match is None:
            raise ConfigError(
                f"symbol {text[:_LONGEST]!r} is not in unified notation", hint="write it like BTC/USDT"
            )
        return cls(*(code and _checked(code) for code in match.groups()))

    @classmethod
    def from_slug(cls, slug: str) -> "Symbol":
        match = _SLUG.fullmatch(unicodedata.normalize("NFC", slug))
        if match is None:
            raise ConfigError(
                f"{slug[:_LONGEST]!r} is no symbol slug", hint="slugs look like BTC-USDT or BTC-USDT_USDT"
            )
        return cls(*(code and _checked(code) for code in match.groups()))

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


def _checked(code: str) -> str:
    """Return a name of what is traded; it becomes a part of paths and of addresses.

    Raises:
        ConfigError: it is too long, or has characters that are neither letters nor digits.
    """
    if len(code) > _LONGEST:
        said = f"{code[:12]!r}.. has {len(code)} letters, which is no name in unified notation"
        raise ConfigError(said, hint=f"no market's has more than {_LONGEST}")
    for at, character in enumerate(code):
        known = unicodedata.category(character).startswith(_LETTERS if at else ("L", "N"))
        if not known and (at == 0 or character not in _BESIDE):
            raise ConfigError(
                f"{character!r} (U+{ord(character):04X}) in {code!r} is not in unified notation",
                hint="names have letters and digits: write it like BTC/USDT",
            )
    return code
