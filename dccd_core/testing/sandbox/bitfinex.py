"""Bitfinex v2, spot, as its REST interface says it: parameters in, body out.

Beyond what the official pages say (see ``dccd_core.exchanges.bitfinex``), chosen here: a start at or after
the end is ``time_interval: invalid``; candles whose start is off the grid are ``[]``; the order book changes
ten times a second and refuses any ``len`` but 1, 25 and 100; numbers keep their trailing zeros, and prices
more than five digits. ``1W``, ``14D`` and ``1M`` are not simulated: nobody says where those bars begin.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from typing import Final, NoReturn

import msgspec
import numpy as np

from dccd_core.domain.barspan import bar_open, parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, TimeRange, Us
from dccd_core.exchanges.bitfinex import OWN_NAMES
from dccd_core.testing.sandbox.bars import Bars, joined
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.dialect import global_ids
from dccd_core.testing.sandbox.grid import Page, bar_page, id_page
from dccd_core.testing.sandbox.limits import Charge, Rule, Style
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "bitfinex"
_FRAMES: Final = ["1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1D"]
_DEPTHS: Final = {"1": 1, "25": 25, "100": 100}
_MOST: Final = 10_000
_D: Final = "%d.%08d"
_CANDLE: Final = f"[%d,{_D},{_D},{_D},{_D},{_D}]"
_TRADE: Final = f"[%d,%d,%s{_D},{_D}]"
_LEVEL: Final = f"[{_D},%d,%s{_D}]"
_ENCODE: Final = msgspec.json.encode


def _refuse(what: str) -> NoReturn:
    raise VenueError(500, _ENCODE(["error", 10020, f"{what}: invalid"]))


def _own(name: str) -> str:
    return OWN_NAMES.get(name, name)


@cache
def _names(market: Market) -> Mapping[str, Symbol]:
    """Return the spot markets by the venue's own symbols."""
    named: dict[str, Symbol] = {}
    for symbol in market.instruments:
        base, quote = _own(symbol.base), _own(symbol.quote)
        colon = ":" if len(base) > 3 or len(quote) > 3 else ""
        if symbol.market_type == "spot":
            named[f"t{base}{colon}{quote}"] = symbol
    return named


def _number(params: Params, name: str, default: int, error: str) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,15}", text):
        _refuse(error)
    return int(text)


def _window(ask: Ask, default: int) -> tuple[Us, Us, int, bool]:
    """Return start, end (exclusive), how many rows, and whether the newest are meant, which come first."""
    limit = _number(ask.params, "limit", default, "limit")
    if not 1 <= limit <= _MOST:
        _refuse("limit")
    if ask.params.get("sort", "-1") not in {"1", "-1"}:
        _refuse("sort")
    start = _number(ask.params, "start", 0, "time_interval")
    end = _number(ask.params, "end", ask.now // MILLISECOND + 1, "time_interval")
    if "start" in ask.params and "end" in ask.params and start >= end:
        _refuse("time_interval")
    last = min(ask.now, (end + 1) * MILLISECOND)
    return Us(start * MILLISECOND), Us(last), limit, ask.params.get("sort") != "1"


def candles(frame: str, ask: Ask) -> bytes:
    bar = parse_bar_span(frame.lower())
    start, end, limit, newest = _window(ask, 100)
    symbol = _names(ask.market).get(ask.params["symbol"])
    if symbol is None or start % bar:
        return b"[]"
    gaps = (*ask.market.outages, *ask.hidden.spans)
    page, running = Page(start, end, limit, newest), bar_open(ask.now, bar)
    if end <= running:
        return _final_candles(ask.market, symbol, bar, page, gaps, Us(end + bar))
    return _candles_text(ask.market, symbol, bar, page, gaps, ask.now)


def _candles_text(
    market: Market, symbol: Symbol, bar: Us, page: Page, gaps: tuple[TimeRange, ...], now: Us
) -> bytes:
    bars = _traded_bars(market, symbol, bar, page, gaps, now)
    if bars is None:
        return b"[]"
    if page.newest:
        bars = bars.rows(slice(None, None, -1))
    instrument = market.instruments[symbol]
    prices = (bars.open, bars.close, bars.high, bars.low)
    columns = [
        bars.time // MILLISECOND,
        *(part for price in prices for part in decimals(price, instrument.price_scale, 8)),
        *decimals(bars.volume, instrument.amount_scale, 8),
    ]
    return rows(_CANDLE, columns)


_final_candles: Final = lru_cache(256)(_candles_text)


def _traded_bars(
    market: Market, symbol: Symbol, bar: Us, page: Page, gaps: tuple[TimeRange, ...], now: Us
) -> Bars | None:
    """Return the page's bars. Only what traded counts, so it looks on, twice as far, until that is enough."""
    first, parts, missing, look = market.tape(NAME, symbol).first_time, list[Bars](), page.limit, page.limit
    start, end = page.start, page.end
    while missing > 0:
        opens, closes = bar_page(bar, Page(start, end, look, page.newest), first, gaps)
        if not opens.size:
            break
        found = market.bars(NAME, symbol, opens, np.minimum(closes, now))
        parts.append(found.rows(slice(-missing, None) if page.newest else slice(missing)))
        missing, look = missing - found.time.size, 2 * look
        start, end = (start, int(opens[0])) if page.newest else (int(closes[-1]), end)
    return joined(parts[::-1] if page.newest else parts) if parts else None


def trades(ask: Ask) -> bytes:
    start, end, limit, newest = _window(ask, 125)
    symbol = _names(ask.market).get(ask.params["symbol"])
    if symbol is None:
        return b"[]"
    tape = ask.market.tape(NAME, symbol)
    page = Page(tape.count_before(start), tape.count_before(end), limit, newest)
    ids = id_page(page, ask.hidden.ids)
    return _trades_text(ask.market, symbol, ids.tobytes(), -1 if newest else 1)


@lru_cache(256)
def _trades_text(market: Market, symbol: Symbol, ids: bytes, step: int) -> bytes:
    """``step`` is -1 where the newest come first."""
    if not ids:
        return b"[]"
    told = market.tape(NAME, symbol).at(np.frombuffer(ids, np.int64))
    instrument = market.instruments[symbol]
    columns = [
        global_ids(told.id),
        told.time // MILLISECOND,
        np.where(told.buyer_is_maker, "-", ""),
        *decimals(told.amount, instrument.amount_scale, 8),
        *decimals(told.price, instrument.price_scale, 8),
    ]
    return rows(_TRADE, [column[::step] for column in columns])


def book(ask: Ask) -> bytes:
    symbol = _names(ask.market).get(ask.params["symbol"])
    if symbol is None:
        _refuse("symbol")
    depth = _DEPTHS.get(ask.params.get("len", "25"))
    if depth is None:
        _refuse("len")
    orders = ask.market.orders(NAME, symbol)
    sides = zip(orders.levels(orders.version(ask.now), depth), ("", "-"), strict=True)
    told = [_levels(ask.market, symbol, side, sign) for side, sign in sides]
    return b"[%s]" % b",".join(rows[1:-1] for rows in told if rows != b"[]")


def _levels(market: Market, symbol: Symbol, side: Levels, sign: str) -> bytes:
    columns = [
        *decimals(side.price, market.instruments[symbol].price_scale, 8),
        side.orders,
        np.full(side.price.size, sign),
        *decimals(*market.book_sizes(NAME, symbol, side), 8),
    ]
    return rows(_LEVEL, columns)


def pairs(ask: Ask) -> bytes:
    return _ENCODE([[name.removeprefix("t") for name in _names(ask.market)]])


def refused(*_: Charge | Rule | Us) -> Answer:
    return Answer(trouble(429), 429)


def trouble(status: int) -> bytes:
    if status == 403:
        return b"<html><head><title>403 Forbidden</title></head></html>"
    if status == 429:
        return _ENCODE({"error": "ERR_RATE_LIMIT"})
    code, text = {400: (10020, "request: invalid"), 503: (20060, "maintenance")}.get(
        status, (10000, "unknown error")
    )
    return _ENCODE(["error", code, text])


def _candle_route(frame: str) -> Route:
    """One route for each length: a colon may also be part of the symbol, so the path cannot be cut at it."""
    answer: Callable[[Ask], bytes] = partial(candles, frame)
    fields = {"time": 0, "open": 1, "close": 2, "high": 3, "low": 4, "amount": 5}
    return Route(f"/v2/candles/trade:{frame}:{{symbol}}/hist", answer, fields=fields, pool="candles")


VENUE: Final = Venue(
    name=NAME,
    routes=(
        *(_candle_route(frame) for frame in _FRAMES),
        Route(
            "/v2/trades/{symbol}/hist",
            trades,
            fields={"id": 0, "time": 1, "side": 2, "price": 3},  # no amount: its sign is the side
            pool="trades",
        ),
        Route("/v2/book/{symbol}/P0", book, fields={"price": 0, "amount": 2}, pool="book"),
        Route("/v2/conf/pub:list:pair:exchange", pairs, pool="conf"),
    ),
    rules=(
        Rule(30, MINUTE, Style.SLIDING, "candles", block=MINUTE),
        Rule(15, MINUTE, Style.SLIDING, "trades", block=MINUTE),
        Rule(240, MINUTE, Style.SLIDING, "book", block=MINUTE),
        Rule(90, MINUTE, Style.SLIDING, "conf", block=MINUTE),
    ),
    refused=refused,
    trouble=trouble,
)
