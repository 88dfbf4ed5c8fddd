"""How each venue tells the same truth: its ids, the finest time it shows, and which bars it has.

Market data is one function of (exchange, symbol, time); what a venue rounds, numbers or leaves out is data
here, so that the truth which tests compare with knows it too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dccd_core.domain.timespan import MICROSECOND, MILLISECOND, Us
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of

_GLOBAL: Final = seed_of("global ids")


def _counted_from_1(ids: Ints) -> list[str]:
    return [str(number) for number in (ids + 1).tolist()]


def global_ids(ids: Ints) -> Ints:
    """Return increasing ids with holes, as where all pairs share one counter; ``id // 5`` undoes it."""
    return ids * 5 + bits(mixed(_GLOBAL, ids), 0, 2)


def _uuids(ids: Ints) -> list[str]:
    return [f"00000000-006d-1000-0000-{number:012x}" for number in ids.tolist()]


@dataclass(frozen=True, slots=True)
class Dialect:
    """``unit``: times are whole multiples of it. ``ids`` writes the ids of trades, counted from 0.

    ``sparse``: bars without trades are left out. ``quote_volume`` and ``counts``: whether bars tell them.
    ``vwap_decimals``: bars tell a rounded average price instead of the quote volume, which is then its
    product with the volume. ``carries_open``: a bar opens at the close of the one before it.
    ``contracts``: the decimal exponent of what a contract is worth, for the kinds of market whose trades
    count contracts (-2: 0.01 of the base of a linear market, 2: 100 of the quote of an inverse one).
    ``book_contracts``: the same where only order books count contracts, which are whole there, rounded up.
    """

    unit: Us = MILLISECOND
    ids: Callable[[Ints], list[str]] = _counted_from_1
    sparse: bool = False
    quote_volume: bool = True
    counts: bool = True
    vwap_decimals: int | None = None
    carries_open: bool = False
    contracts: Mapping[str, int] = field(default_factory=dict[str, int])
    book_contracts: Mapping[str, int] = field(default_factory=dict[str, int])


class _Dialects(dict[str, Dialect]):
    def __missing__(self, name: str) -> Dialect:
        raise KeyError(f"no dialect of {name}: add it to DIALECTS in dccd_core/testing/sandbox/dialect.py")


DIALECTS: Final[Mapping[str, Dialect]] = _Dialects(
    binance=Dialect(ids=lambda ids: [str(number) for number in ids.tolist()]),
    bybit=Dialect(
        ids=lambda ids: [str(2_100_000_000_000_000_000 + n) for n in ids.tolist()],
        counts=False,
        contracts={"inverse": 0},
    ),
    okx=Dialect(counts=False, contracts={"linear": -2, "inverse": 2}),
    coinbase=Dialect(unit=MICROSECOND, sparse=True, quote_volume=False, counts=False),
    kraken=Dialect(unit=MICROSECOND, vwap_decimals=1),
    bitfinex=Dialect(
        ids=lambda ids: [str(n) for n in global_ids(ids).tolist()],
        sparse=True,
        quote_volume=False,
        counts=False,
    ),
    bitmex=Dialect(ids=_uuids, carries_open=True, book_contracts={"spot": -8, "linear": -6, "inverse": 0}),
)


def average_price(quote_volume: Ints, volume: Ints, decimals: int, scale: int) -> Ints:
    """Return the average price in units of ``10**-decimals``, rounded down; 0 where nothing was traded.

    ``quote_volume`` is in ticks times lots, ``volume`` in lots, a tick is ``10**-scale``.
    """
    ticks = np.where(volume > 0, quote_volume // np.maximum(volume, 1), 0)
    return ticks * 10**decimals // 10**scale
