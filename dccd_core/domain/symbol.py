"""A tradable pair in ccxt's unified notation, and its one spelling in keys and paths."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dccd_core.domain.errors import ConfigError

_CODE: Final = r"[^\s/:\-_]+"
_UNIFIED: Final = re.compile(rf"({_CODE})/({_CODE})(?::({_CODE})(?:-(\d{{6}}))?)?")
_SLUG: Final = re.compile(rf"({_CODE})-({_CODE})(?:_({_CODE})(?:_(\d{{6}}))?)?")
_LETTERS: Final = ("L", "N", "Mn", "Mc")
"""The Unicode categories of letters and digits of any script, and of the marks that belong to letters."""
_BESIDE: Final = ".$+"
"""What names of markets have besides."""
_LONGEST: Final = 40


@dataclass(frozen=True, slots=True, order=True)
class Symbol:
    """``BTC/USDT`` spot, ``BTC/USDT:USDT`` linear perpetual, ``BTC/USD:BTC`` inverse perpetual.

    ``BTC/USDT:USDT-251226`` is a future, with the day (``YYMMDD``) on which it ends.

    >>> Symbol.parse("BTC/USDT:USDT").slug, Symbol.parse("BTC/USDT:USDT-251226").slug
    ('BTC-USDT_USDT', 'BTC-USDT_USDT_251226')
    >>> str(Symbol.from_slug("BTC-USDT"))
    'BTC/USDT'
    """

    base: str
    quote: str
    settle: str | None = None
    expiry: str | None = None

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
        return cls._of(match)

    @classmethod
    def from_slug(cls, slug: str) -> "Symbol":
        match = _SLUG.fullmatch(unicodedata.normalize("NFC", slug))
        if match is None:
            raise ConfigError(
                f"{slug[:_LONGEST]!r} is no symbol slug", hint="slugs look like BTC-USDT or BTC-USDT_USDT"
            )
        return cls._of(match)

    @classmethod
    def _of(cls, match: re.Match[str]) -> "Symbol":
        base, quote, settle, expiry = match.groups()
        return cls(_checked(base), _checked(quote), settle and _checked(settle), expiry and _day(expiry))

    def __str__(self) -> str:
        expiry = f"-{self.expiry}" if self.expiry else ""
        return f"{self.base}/{self.quote}" + (f":{self.settle}{expiry}" if self.settle else "")

    @property
    def slug(self) -> str:
        return f"{self.base}-" + "_".join(part for part in (self.quote, self.settle, self.expiry) if part)

    @property
    def market_type(self) -> str:
        """``spot``, ``linear`` (settled in the quote), ``inverse`` (in the base); dated: ``.._future``."""
        if self.settle is None:
            return "spot"
        margin = "inverse" if self.settle == self.base else "linear"
        return f"{margin}_future" if self.expiry else margin


def _day(text: str) -> str:
    """Return ``YYMMDD`` as it is.

    Raises:
        ConfigError: there is no such day.
    """
    try:
        datetime.strptime(text, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        said = f"{text!r} is no day, so the symbol is not in unified notation"
        raise ConfigError(said, hint="a future ends on YYMMDD: write it like BTC/USDT:USDT-251226") from None
    return text


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
