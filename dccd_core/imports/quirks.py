"""What dccd 3 did to what exchanges said. Pure.

Belongs here: what is peculiar to its rows of one exchange, and the words for what is repaired and refused.
Does not: what exchanges themselves do (dccd_core.exchanges).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, ZERO, Us

_CONTRACTS: Final = (Symbol("BTC", "USD"),)
"""BitMEX's inverse market: one contract is one dollar, for all the time that it was traded."""


class Repair(StrEnum):
    """What is wrong with rows that are taken over all the same, and how it was mended."""

    UNITS = "their times were in other units than nanoseconds, as dccd 2 wrote them"
    FLOAT = "their times had passed through a float, and lay a little before the microsecond"
    CLOSE = "they were filed under the time when the bar closes"
    ORDER = "they were not in the order of time"
    PLACE = "they lay in the file of another period"
    TWICE = "they stood there twice"
    MAKER = "their side was that of the maker, not of the taker"
    CONTRACTS = "amounts counted contracts of one dollar each"
    VOLUME = (
        "volume counted contracts of one dollar each: it is the quote volume; that of the base is reckoned "
        "with the middle of high and low"
    )
    NO_SIDE = "their side was none that there is"


class Refusal(StrEnum):
    """Why rows are not taken over."""

    NO_TIME = "their time is missing, or not after 1970"
    FUTURE = "their time is in the future"
    RUNNING = "the bar was not over when dccd 3 stored it"
    HONG_KONG = "OKX's bars of this length are cut by Hong Kong's day, not by UTC's"
    CHANGE = "a change of the order book, not a picture of it"
    FILLED = "a copy of the bar before it, by which dccd 2 filled a hole"
    CONTRACTS = (
        "volume counts contracts, and dccd 3 did not keep what they were worth in the base: with --trust the "
        "bars are taken, and it is reckoned with the middle of high and low"
    )


class Remark(StrEnum):
    """What is to be known of rows that are taken over as they are."""

    NO_ID = "trades without ids: dccd 3 kept one of several equal ones"
    OWN_CLOCK = "pictures of the order book are timed by the clock of the machine that collected them"


@dataclass(frozen=True, slots=True)
class Quirk:
    """How dccd 3 keeps what one exchange says.

    ``closes``: bars by the time they close. ``makers``: trades with the maker's side. ``contracts``: amounts
    of contracts, and every pair is the perpetual of that name. ``own_clock``: order books by the collector's
    clock. ``day_begins``: how long before midnight UTC long bars begin.
    """

    closes: bool = False
    makers: bool = False
    contracts: bool = False
    own_clock: bool = False
    day_begins: Us = ZERO

    def market(self, symbol: Symbol) -> Symbol:
        """Return which market a plain pair means.

        Raises:
            ConfigError: none of which amounts could be told.
        """
        if not self.contracts:
            return symbol
        if symbol not in _CONTRACTS:
            raise ConfigError(
                "its amounts count contracts, and dccd 3 did not keep what one of them is worth"
            )
        return Symbol(symbol.base, symbol.quote, symbol.base)


_PLAIN: Final = Quirk()
_QUIRKS: Final = {
    "binance": Quirk(own_clock=True),
    "bybit": Quirk(own_clock=True),
    "okx": Quirk(day_begins=Us(8 * HOUR)),
    "coinbase": Quirk(makers=True, own_clock=True),
    "kraken": Quirk(own_clock=True),
    "bitfinex": Quirk(own_clock=True),
    "bitmex": Quirk(closes=True, contracts=True, own_clock=True),
}


def quirk_of(exchange: str) -> Quirk:
    return _QUIRKS.get(exchange, _PLAIN)
