"""The truth: which symbols trade, and their trades, bars and order books at every exchange, for all time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dccd_core.domain.errors import ConfigError
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, TimeRange, Us, parse_time, union
from dccd_core.tables import RECEIVED, DataType
from dccd_core.testing.sandbox.bars import BarBook, Bars
from dccd_core.testing.sandbox.books import Levels, OrderBook
from dccd_core.testing.sandbox.dialect import DIALECTS, average_price
from dccd_core.testing.sandbox.grid import Page, bar_page
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of
from dccd_core.testing.sandbox.tape import Instrument, Tape, Trades

Floats: TypeAlias = NDArray[np.float64]

# symbol: (price in ticks, decimals of the price, decimals of the amount)
_KNOWN: Final = {
    "BTC/USDT": (4_000_000, 2, 5),
    "ETH/USDT": (220_000, 2, 4),
    "SOL/USDT": (11_000, 2, 3),
    "BNB/USDT": (38_000, 2, 3),
    "XRP/USDT": (6_000, 4, 1),
    "ADA/USDT": (5_000, 4, 1),
    "DOGE/USDT": (9_000, 5, 0),
    "LTC/USDT": (9_500, 2, 3),
    "ETH/BTC": (5_500, 5, 3),
    "NEW/USDT": (12_000, 4, 1),
    "BTC/USD": (4_000_000, 2, 5),
    "ETH/USD": (220_000, 2, 4),
    "DOGE/USD": (9_000, 5, 0),
    "BTC/USDT:USDT": (4_000_000, 2, 3),
    "ETH/USDT:USDT": (220_000, 2, 3),
    "BTC/USD:BTC": (400_000, 1, 6),
}
_LISTED: Final = {"BTC/USDT": "2017-08-17T04:00", "NEW/USDT": "2024-02-10T08:00"}
_OUTAGES: Final = (
    ("2018-02-08T00:00", "2018-02-09T09:00"),
    ("2020-11-30T06:00", "2020-11-30T07:00"),
    ("2021-04-25T04:01:30", "2021-04-25T08:45"),  # begins inside a minute, so that minute is half a bar
    ("2023-03-24T10:00", "2023-03-24T11:00"),
)
TRADES_PER_DAY: Final = 6_000


def default_outages() -> list[TimeRange]:
    return [TimeRange(parse_time(start), parse_time(end)) for start, end in _OUTAGES]


class Market:
    """What really happened, the same in every process that configures it alike.

    Args:
        symbols: unified symbols besides the default ones.
        trades_per_day: the density of a symbol; the others have ``TRADES_PER_DAY``.
        outages: spans besides the default ones in which nothing trades and no venue has bars.
    """

    def __init__(
        self,
        symbols: Sequence[str] = (),
        trades_per_day: Mapping[str, int] | None = None,
        outages: Sequence[TimeRange] = (),
    ) -> None:
        density = trades_per_day or {}
        names = dict.fromkeys((*_KNOWN, *symbols, *density))
        self.outages: Final = tuple(union((*default_outages(), *outages)))
        self.instruments: Final = {
            Symbol.parse(name): _instrument(name, density.get(name, TRADES_PER_DAY)) for name in names
        }
        self.tape: Final = cache(self._tape)
        self.book: Final = cache(self._book)
        self.orders: Final = cache(self._orders)

    def truth_trades(self, exchange: str, symbol: Symbol, span: TimeRange) -> pl.DataFrame:
        """Return the trades of ``span`` in our table."""
        trades = self.tape(exchange, symbol).between(span)
        instrument = self.instruments[symbol]
        side = pl.when("sold").then(pl.lit("sell")).otherwise(pl.lit("buy"))
        price = trades.price / 10**instrument.price_scale
        amount = np.array(nearest(*self.sizes(exchange, symbol, trades)))
        if (worth := DIALECTS[exchange].contracts.get(symbol.market_type)) is not None:
            amount = _in_base(symbol, amount, price, worth)
        columns = {
            "ts": trades.time,
            "price": price,
            "amount": amount,
            "sold": trades.buyer_is_maker,
            "trade_id": DIALECTS[exchange].ids(trades.id),
        }
        return _table(DataType.TRADES, pl.DataFrame(columns).with_columns(side=side))

    def truth_bars(self, exchange: str, symbol: Symbol, bar: Us, span: TimeRange) -> pl.DataFrame:
        """Return the whole bars of length ``bar`` that open in ``span``, in our table, as the venue has them.

        Bars before the first trade and bars wholly inside an outage do not exist.
        """
        page = Page(span.start, span.end, span.length // bar + 1)
        opens, closes = bar_page(bar, page, self.tape(exchange, symbol).first_time, self.outages)
        if not opens.size:
            return pl.DataFrame(schema=DataType.OHLC.table.schema)
        bars, dialect = self.bars(exchange, symbol, opens, closes), DIALECTS[exchange]
        instrument = self.instruments[symbol]
        scale, both = instrument.price_scale, instrument.price_scale + instrument.amount_scale
        prices = {name: getattr(bars, name) / 10**scale for name in ("open", "high", "low", "close")}
        volume = nearest(bars.volume, instrument.amount_scale)
        quote_volume: list[float] | None = nearest(bars.quote_volume, both) if dialect.quote_volume else None
        if dialect.vwap_decimals is not None:
            vwap = average_price(bars.quote_volume, bars.volume, dialect.vwap_decimals, scale)
            averages = nearest(vwap, dialect.vwap_decimals)
            quote_volume = [price * amount for price, amount in zip(averages, volume, strict=True)]
        columns = {
            "ts": bars.time,
            **prices,
            "volume": volume,
            "quote_volume": quote_volume,
            "trades": bars.trades if dialect.counts else None,
        }
        return _table(DataType.OHLC, pl.DataFrame(columns))

    def truth_book(self, exchange: str, symbol: Symbol, at: Us, depth: int) -> pl.DataFrame:
        """Return the best ``depth`` levels of each side that are in force at a moment, in our table."""
        book = self.orders(exchange, symbol)
        sides = list[pl.DataFrame]()
        for side, levels in zip(("bid", "ask"), book.levels(book.version(at), depth), strict=True):
            price = levels.price / 10 ** self.instruments[symbol].price_scale
            amount = self.book_amounts(exchange, symbol, levels)
            columns = {"price": price, "amount": amount, "level": range(price.size)}
            sides.append(pl.DataFrame(columns).with_columns(ts=pl.lit(at), side=pl.lit(side)))
        return _table(DataType.ORDERBOOK, pl.concat(sides))

    def book_amounts(self, exchange: str, symbol: Symbol, levels: Levels) -> Floats:
        """Return the amounts of an order book in the base currency, to what the venue writes."""
        dialect, amount = DIALECTS[exchange], np.array(nearest(*self.book_sizes(exchange, symbol, levels)))
        worth = {**dialect.contracts, **dialect.book_contracts}.get(symbol.market_type)
        if worth is None:
            return amount
        return _in_base(symbol, amount, levels.price / 10 ** self.instruments[symbol].price_scale, worth)

    def sizes(self, exchange: str, symbol: Symbol, of: Trades | Levels) -> tuple[Ints, int]:
        """Return the amounts as the venue writes them, and how many decimals they have."""
        return self._counted(symbol, of, DIALECTS[exchange].contracts.get(symbol.market_type))

    def book_sizes(self, exchange: str, symbol: Symbol, levels: Levels) -> tuple[Ints, int]:
        """Return the amounts as the venue writes them in order books, and how many decimals they have."""
        worth = DIALECTS[exchange].book_contracts.get(symbol.market_type)
        if worth is None:
            return self.sizes(exchange, symbol, levels)
        sizes, scale = self._counted(symbol, levels, worth)
        return (-(-sizes // 10**scale) if scale > 0 else sizes * 10**-scale), 0

    def _counted(self, symbol: Symbol, of: Trades | Levels, worth: int | None) -> tuple[Ints, int]:
        instrument = self.instruments[symbol]
        if worth is None:
            return of.amount, instrument.amount_scale
        if symbol.market_type == "inverse":
            return of.price * of.amount, instrument.price_scale + instrument.amount_scale + worth
        return of.amount, instrument.amount_scale + worth

    def bars(self, exchange: str, symbol: Symbol, opens: Ints, closes: Ints) -> Bars:
        """Return one bar for each ``[open, close)`` that the venue has; see ``BarBook.bars``."""
        dialect, book = DIALECTS[exchange], self.book(exchange, symbol)
        bars = book.bars(opens, closes)
        if dialect.carries_open:
            bars = replace(bars, open=book.last_prices(opens))
        return bars.rows(bars.trades > 0) if dialect.sparse else bars

    def _tape(self, exchange: str, symbol: Symbol) -> Tape:
        return Tape(exchange, self.instruments[symbol], self.outages, DIALECTS[exchange].unit)

    def _book(self, exchange: str, symbol: Symbol) -> BarBook:
        return BarBook(self.tape(exchange, symbol))

    def _orders(self, exchange: str, symbol: Symbol) -> OrderBook:
        return OrderBook(exchange, self.tape(exchange, symbol), self.outages)


def nearest(values: Ints, scale: int) -> list[float]:
    """Divide by a power of ten; the result is the double nearest to it even beyond 2**53."""
    return [value / 10**scale for value in values.tolist()]


def _in_base(symbol: Symbol, sizes: Floats, price: Floats, worth: int) -> Floats:
    """Convert contracts of ``10**worth``, in the order in which whoever is told a price and a size does."""
    return sizes * 10.0**worth / (price if symbol.market_type == "inverse" else 1.0)


def _instrument(name: str, per_day: int) -> Instrument:
    if per_day < 1:
        raise ConfigError(f"{name} has {per_day} trades per day", hint="it takes at least 1")
    hashed = mixed(seed_of(name), np.arange(2))
    random_hour = parse_time("2018-03-01") + int(bits(hashed, 0, 14)[0]) * HOUR  # 2020-01 at the latest
    listed = parse_time(_LISTED[name]) if name in _LISTED else Us(random_hour)
    ticks, price_scale, amount_scale = _KNOWN.get(name, (2_000 + int(bits(hashed, 0, 14)[1]), 3, 2))
    return Instrument(Symbol.parse(name), listed, ticks, price_scale, amount_scale, per_day)


def _table(data_type: DataType, frame: pl.DataFrame) -> pl.DataFrame:
    schema = data_type.table.schema
    frame = frame.with_columns(received=None) if RECEIVED in schema else frame
    return frame.select(schema.names()).cast({name: schema[name] for name in schema})
