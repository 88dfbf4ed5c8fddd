"""The trades of one market: a pure function of (exchange, symbol, time), readable from any point at once.

Every day of a market repeats one pattern of trades per minute, so the number of trades before any moment
is whole days times the pattern plus a prefix sum, less what lies before the listing and in outages. Ids
are that number. Inside a minute trades come in bursts that share one moment. Prices are whole ticks,
amounts whole lots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, TimeRange, Us
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of

_MINUTES: Final = DAY // MINUTE

# How many trades share a moment, repeated without end; each minute begins somewhere else in it.
_BURSTS: Final = (1, 1, 3, 1, 7, 2, 1, 1, 26, 1, 2, 1, 5, 1, 1, 10)
_BURST_STARTS: Final = np.repeat(np.cumsum((0, *_BURSTS[:-1])), _BURSTS)
_BACK: Final[Ints] = np.arange(sum(_BURSTS)) - _BURST_STARTS
"""How far a trade is behind the first of its burst."""

# The price walks between hashed values, joined by straight lines: (minutes apart, millionths of the price).
_WAVES: Final = (
    (400 * _MINUTES, 260_000),
    (90 * _MINUTES, 120_000),
    (20 * _MINUTES, 60_000),
    (4 * _MINUTES, 25_000),
    (_MINUTES, 12_000),
    (360, 6_000),
    (60, 2_500),
    (10, 900),
    (2, 300),
)
_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded. A price of 5 ticks at ``price_scale`` 2 is 0.05; amounts (lots) alike."""

    symbol: Symbol
    listed: Us
    base_ticks: int
    price_scale: int
    amount_scale: int
    trades_per_day: int


@dataclass(frozen=True, slots=True)
class Trades:
    """Columns of equal length, oldest first. ``time`` in us, ``price`` in ticks, ``amount`` in lots."""

    id: Ints
    time: Ints
    price: Ints
    amount: Ints
    buyer_is_maker: NDArray[np.bool_]


class Tape:
    """All trades there ever are of one symbol at one exchange, the future included."""

    def __init__(
        self, exchange: str, instrument: Instrument, outages: Sequence[TimeRange], unit: Us = MILLISECOND
    ) -> None:
        symbol = str(instrument.symbol)
        self._unit: Final = unit
        self.instrument: Final = instrument
        self._bursts: Final = seed_of(exchange, symbol, "bursts")
        self._trades: Final = seed_of(exchange, symbol, "trades")
        self._walks: Final = [seed_of(symbol, "walk", minutes) for minutes, _ in _WAVES]
        self._per_minute: Final = _pattern(seed_of(exchange, symbol, "pattern"), instrument.trades_per_day)
        self._before_minute: Final = np.concatenate(([0], np.cumsum(self._per_minute)))
        kept = TimeRange(instrument.listed, Us(_NEVER)).minus(outages)
        self._starts: Final = np.array([self._raw_before(span.start) for span in kept])
        self._ends: Final = np.array([*(self._raw_before(span.end) for span in kept[:-1]), _NEVER])
        self._first_ids: Final = np.concatenate(([0], np.cumsum(self._ends - self._starts)[:-1]))
        self.first_time: Final = Us(int(self.at(np.zeros(1, np.int64)).time[0]))

    def count_before(self, at: Us) -> int:
        """Return how many trades are older than ``at``: the id of the first trade at or after it."""
        raw = self._raw_before(at)
        segment = int(np.searchsorted(self._starts, raw, "right")) - 1
        if segment < 0:
            return 0
        return int(self._first_ids[segment] + min(raw, int(self._ends[segment])) - self._starts[segment])

    def between(self, span: TimeRange) -> Trades:
        return self.at(np.arange(self.count_before(span.start), self.count_before(span.end)))

    def by_id(self, first: int, count: int) -> Trades:
        return self.at(np.arange(first, first + count))

    def at(self, ids: Ints) -> Trades:
        """Return the trades of these ids (increasing, from 0)."""
        if not ids.size:
            return Trades(ids, ids, ids, ids, np.zeros(0, np.bool_))
        segment = np.searchsorted(self._first_ids, ids, "right") - 1
        raw = ids + (self._starts - self._first_ids)[segment]
        minute, offset, burst = self._moments(raw)
        own, shared = mixed(self._trades, raw), mixed(self._bursts, burst)
        amount = (bits(own, 0, 16) * bits(own, 16, 16) >> 16) * bits(own, 32, 16) >> 16
        return Trades(
            id=ids,
            time=minute * MINUTE + offset * self._unit,
            price=self._walk(minute, offset) + self._noise(bits(own, 48, 8)),
            amount=amount + 1,
            buyer_is_maker=bits(shared, 16, 1) == 1,
        )

    def _raw_before(self, at: Us) -> int:
        """Count as if there were neither a listing nor outages, from the epoch on."""
        minute, rest = divmod(at, MINUTE)
        day, of_day = divmod(minute, _MINUTES)
        count = int(self._per_minute[of_day])
        # Trades keep near an even pace, up to the length of the pattern of bursts: the others need no look.
        near = max(0, count * rest // MINUTE - 2)
        far = min(count, count * (rest + MILLISECOND) // MINUTE + _BACK.size + 2)
        first = day * self.instrument.trades_per_day + int(self._before_minute[of_day]) + near
        offset = self._moments(np.arange(first, first + far - near))[1]
        return first + int(np.searchsorted(offset * self._unit, rest))

    def _moments(self, raw: Ints) -> tuple[Ints, Ints, Ints]:
        """Return the minute since the epoch, units into it, and the first trade of the burst, for each."""
        day, of_day = np.divmod(raw, self.instrument.trades_per_day)
        minute = np.searchsorted(self._before_minute, of_day, "right") - 1
        index = of_day - self._before_minute[minute]
        back = np.minimum(_BACK[(index + 7 * minute) % _BACK.size], index)
        burst = raw - back
        jitter = bits(mixed(self._bursts, burst), 0, 16)
        offset = ((index - back << 16) + jitter) * (MINUTE // self._unit) // self._per_minute[minute] >> 16
        return day * _MINUTES + minute, offset, burst

    def _walk(self, minute: Ints, offset: Ints) -> Ints:
        first = int(minute[0])
        anchor = self._anchors(np.arange(first, int(minute[-1]) + 2))
        here = anchor[minute - first]
        return here + (anchor[minute - first + 1] - here) * offset // (MINUTE // self._unit)

    def _anchors(self, minutes: Ints) -> Ints:
        """Return the price in ticks at the open of consecutive minutes."""
        share = np.zeros(minutes.size, np.int64)
        for (period, ppm), seed in zip(_WAVES, self._walks, strict=True):
            lattice = minutes // period
            first = int(lattice[0])
            value = bits(mixed(seed, np.arange(first, int(lattice[-1]) + 2)), 0, 21) - (1 << 20)
            x = minutes - lattice * period
            here, there = value[lattice - first], value[lattice - first + 1]
            share += (here * (period - x) + there * x) // period * ppm
        base = self.instrument.base_ticks
        return base + base * (share >> 20) // 1_000_000

    def _noise(self, byte: Ints) -> Ints:
        return (byte - 128) * max(1, self.instrument.base_ticks // 20_000) >> 7


def _pattern(seed: np.uint64, per_day: int) -> Ints:
    """Return how many trades each minute of a day has: busier and calmer, one in six quiet."""
    hashed = mixed(seed, np.arange(_MINUTES))
    hour = bits(mixed(seed, np.arange(_MINUTES) // 60 - 24), 0, 3) + 2
    weight = (bits(hashed, 0, 6) + 4) * hour * (bits(hashed, 32, 10) >= 171)
    up_to = np.cumsum(weight)
    return np.diff(up_to * per_day // int(up_to[-1]), prepend=0)
