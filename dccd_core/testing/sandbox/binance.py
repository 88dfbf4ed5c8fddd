"""Binance spot, as its REST interface says it: parameters in, body out.

Beyond what the official pages say (see ``dccd_core.exchanges.binance``), chosen here: a limit above the
maximum counts as the maximum, one below 1 is -1130; each aggregate trade is one raw trade, so ``f`` and
``l`` repeat ``a``; the order book changes ten times a second.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, NoReturn

import msgspec
import numpy as np

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Ns
from dccd_core.testing.sandbox.grid import MONTH, Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of
from dccd_core.testing.sandbox.limits import Charge, WeightRule
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Ask, Params, Route, Venue, VenueError

NAME: Final = "binance"
_BOOK_PERIOD: Final = Ns(100 * MILLISECOND)
_SPANS: Final = "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w"
_INTERVALS: Final[Mapping[str, Ns]] = {
    **{text: parse_bar_span(text) for text in _SPANS.split()},
    "1M": MONTH,
}
_SYMBOL: Final = re.compile(r"[A-Z0-9-_.]{1,20}")
_D: Final = '"%d.%08d"'
_KLINE: Final = f'[%d,{_D},{_D},{_D},{_D},{_D},%d,{_D},%d,{_D},{_D},"0"]'
_AGG_TRADE: Final = f'{{"a":%d,"p":{_D},"q":{_D},"f":%d,"l":%d,"T":%d,"m":%s,"M":true}}'
_LEVEL: Final = f"[{_D},{_D}]"
_ENCODE: Final = msgspec.json.encode


def _refuse(code: int, text: str) -> NoReturn:
    raise VenueError(400, _ENCODE({"code": code, "msg": text}))


def _required(params: Params, name: str) -> str:
    if not params.get(name):
        _refuse(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return params[name]


def _number(params: Params, name: str, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", text):
        _refuse(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


def _limit(params: Params, default: int, most: int) -> int:
    limit = _number(params, "limit", default)
    if limit < 1:
        _refuse(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, most)


@cache
def _names(market: Market) -> Mapping[str, Symbol]:
    return {f"{symbol.base}{symbol.quote}": symbol for symbol in market.instruments}


def _symbol(ask: Ask) -> Symbol:
    text = _required(ask.params, "symbol")
    if not _SYMBOL.fullmatch(text):
        _refuse(
            -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."
        )
    if text not in _names(ask.market):
        _refuse(-1121, "Invalid symbol.")
    return _names(ask.market)[text]


def _window(params: Params, now: Ns) -> tuple[Ns, Ns, bool]:
    """Return start, end (exclusive) and whether the newest rows are meant."""
    start, end = _number(params, "startTime", -1), _number(params, "endTime", -1)
    last = now if end < 0 else min(now, (end + 1) * MILLISECOND)
    return Ns(max(0, start) * MILLISECOND), Ns(last), start < 0


def klines(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    bar = _INTERVALS.get(_required(ask.params, "interval"))
    if bar is None:
        _refuse(-1120, "Invalid interval.")
    start, end, newest = _window(ask.params, ask.now)
    page = Page(start, end, _limit(ask.params, 500, 1_000), newest)
    first = ask.market.tape(NAME, symbol).first_time
    opens, closes = bar_page(bar, page, first, (*ask.market.outages, *ask.hidden.spans))
    if not opens.size:
        return b"[]"
    if closes[-1] <= ask.now:
        return _final_klines(ask.market, symbol, opens.tobytes(), closes.tobytes())
    return _klines_text(ask.market, symbol, opens, closes, ask.now)


@lru_cache(1_024)
def _final_klines(market: Market, symbol: Symbol, opens: bytes, closes: bytes) -> bytes:
    ends = np.frombuffer(closes, np.int64)
    return _klines_text(market, symbol, np.frombuffer(opens, np.int64), ends, Ns(int(ends[-1])))


def _klines_text(market: Market, symbol: Symbol, opens: Ints, closes: Ints, now: Ns) -> bytes:
    bars = market.book(NAME, symbol).bars(opens, np.minimum(closes, now))
    price, amount = market.instruments[symbol].price_scale, market.instruments[symbol].amount_scale
    return rows(
        _KLINE,
        [
            opens // MILLISECOND,
            *decimals(bars.open, price, 8),
            *decimals(bars.high, price, 8),
            *decimals(bars.low, price, 8),
            *decimals(bars.close, price, 8),
            *decimals(bars.volume, amount, 8),
            closes // MILLISECOND - 1,
            *decimals(bars.quote_volume, price + amount, 8),
            bars.trades,
            *decimals(bars.bought, amount, 8),
            *decimals(bars.quote_bought, price + amount, 8),
        ],
    )


def agg_trades(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    tape = ask.market.tape(NAME, symbol)
    first = _number(ask.params, "fromId", -1)
    if first >= 0 and ("startTime" in ask.params or "endTime" in ask.params):
        _refuse(-1128, "Combination of optional parameters invalid.")
    limit = _limit(ask.params, 500, 1_000)
    if first >= 0:
        page = Page(first, tape.count_before(ask.now), limit)
    else:
        start, end, newest = _window(ask.params, ask.now)
        page = Page(tape.count_before(start), tape.count_before(end), limit, newest)
    return _trades_text(ask.market, symbol, id_page(page, ask.hidden.ids).tobytes())


@lru_cache(1_024)
def _trades_text(market: Market, symbol: Symbol, ids: bytes) -> bytes:
    if not ids:
        return b"[]"
    trades = market.tape(NAME, symbol).at(np.frombuffer(ids, np.int64))
    instrument = market.instruments[symbol]
    columns = [
        trades.id,
        *decimals(trades.price, instrument.price_scale, 8),
        *decimals(trades.amount, instrument.amount_scale, 8),
        trades.id,
        trades.id,
        trades.time // MILLISECOND,
        np.where(trades.buyer_is_maker, "true", "false"),
    ]
    return rows(_AGG_TRADE, columns)


def depth(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    limit = _limit(ask.params, 100, 5_000)
    at = Ns(ask.now - ask.now % _BOOK_PERIOD)
    tape, update = ask.market.tape(NAME, symbol), at // _BOOK_PERIOD
    before = tape.count_before(at)
    if not before:
        return _ENCODE({"lastUpdateId": update, "bids": [], "asks": []})
    middle = int(tape.by_id(before - 1, 1).price[0])
    sides = [_levels(ask.market, symbol, (update, middle, away), limit) for away in (-1, 1)]
    return b'{"lastUpdateId":%d,"bids":%s,"asks":%s}' % (update, *sides)


def _levels(market: Market, symbol: Symbol, book: tuple[int, int, int], limit: int) -> bytes:
    """Write the levels of one side, the best first: 1 to 4 ticks apart, none at or below zero."""
    update, middle, away = book
    hashed = mixed(seed_of(NAME, str(symbol), "book", update, away), np.arange(limit))
    price = middle + away * np.cumsum(bits(hashed, 0, 2) + 1)
    amount = (bits(hashed, 8, 12) * bits(hashed, 24, 12) >> 8) + 1
    instrument, held = market.instruments[symbol], price > 0
    levels = [
        *decimals(price[held], instrument.price_scale, 8),
        *decimals(amount[held], instrument.amount_scale, 8),
    ]
    return rows(_LEVEL, levels)


def exchange_info(ask: Ask) -> bytes:
    names = _names(ask.market)
    asked = _asked_symbols(ask.params) or list(names)
    if not all(name in names for name in asked):
        _refuse(-1121, "Invalid symbol.")
    interval, number = _rate_interval(ask.rule)
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": interval, "intervalNum": number}
    return _ENCODE(
        {
            "timezone": "UTC",
            "serverTime": ask.now // MILLISECOND,
            "rateLimits": [{**limit, "limit": ask.rule.amount}],
            "exchangeFilters": [],
            "symbols": [_symbol_info(ask.market, name) for name in asked],
        }
    )


def _rate_interval(rule: WeightRule) -> tuple[str, int]:
    minutes, rest = divmod(rule.window, MINUTE)
    return ("SECOND", rule.window // SECOND) if rest else ("MINUTE", minutes)


def _asked_symbols(params: Params) -> list[str]:
    if "symbol" in params:
        return [params["symbol"]]
    try:
        return msgspec.json.decode(params.get("symbols", "[]"), type=list[str])
    except msgspec.DecodeError:
        _refuse(-1100, "Illegal characters found in parameter 'symbols'.")


def _symbol_info(market: Market, name: str) -> dict[str, object]:
    instrument = market.instruments[_names(market)[name]]
    most = "9000000.00000000"
    tick, step = (f"{10**-scale:.8f}" for scale in (instrument.price_scale, instrument.amount_scale))
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": instrument.symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": most, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def ping(_: Ask) -> bytes:
    return b"{}"


def time(ask: Ask) -> bytes:
    return b'{"serverTime":%d}' % (ask.now // MILLISECOND)


def refused(charge: Charge, rule: WeightRule) -> bytes:
    """Write the body of 429 and 418."""
    interval, number = _rate_interval(rule)
    if charge.status == 418:
        text = f"Way too much request weight used; IP banned until {charge.until // MILLISECOND}."
    else:
        allowed = f"{rule.amount} request weight per {number} {interval}"
        text = f"Too much request weight used; current limit is {allowed}."
    advice = " Please use WebSocket Streams for live updates to avoid polling the API."
    return _ENCODE({"code": -1003, "msg": text + advice})


def trouble(status: int) -> bytes:
    if status == 403:
        return b"<html><head><title>403 Forbidden</title></head></html>"
    code, text = {
        418: (-1003, "Way too much request weight used; IP banned."),
        429: (-1003, "Too much request weight used."),
        451: (0, "Service unavailable from a restricted location."),
        503: (-1008, "Server is currently overloaded with other requests."),
    }.get(status, (-1000, "An unknown error occurred while processing the request."))
    return _ENCODE({"code": code, "msg": text})


def headers(used: int) -> Mapping[str, str]:
    return {"x-mbx-used-weight-1m": str(used)}


def _depth_weight(params: Params) -> int:
    text = params.get("limit", "100")
    limit = int(text) if text.isdecimal() else 100
    return next((weight for levels, weight in ((100, 5), (500, 25), (1_000, 50)) if limit <= levels), 250)


VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route("/api/v3/ping", ping, lambda _: 1),
        Route("/api/v3/time", time, lambda _: 1),
        Route("/api/v3/exchangeInfo", exchange_info, lambda _: 20),
        Route(
            "/api/v3/klines",
            klines,
            lambda _: 2,
            {"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "amount": 5, "trades": 8},
        ),
        Route(
            "/api/v3/aggTrades",
            agg_trades,
            lambda _: 4,
            {"id": "a", "price": "p", "amount": "q", "time": "T", "side": "m"},
        ),
        Route("/api/v3/depth", depth, _depth_weight, {"price": 0, "amount": 1}),
    ),
    patience=10,
    headers=headers,
    refused=refused,
    trouble=trouble,
)
