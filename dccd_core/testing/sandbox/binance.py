"""Binance, spot and USD-M futures, as their REST interfaces say it: parameters in, body out.

Beyond what the official pages say (see ``dccd_core.exchanges.binance``), chosen here: a limit above the
maximum counts as the maximum, one below 1 is -1130; each aggregate trade is one raw trade, so ``f`` and
``l`` repeat ``a``; the order book changes ten times a second. Of futures: quiet minutes have bars as on
spot; trades older than 24 hours do not exist, whatever asks for them; there are no dated contracts.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Final, NoReturn

import msgspec
import numpy as np

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Us
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.grid import MONTH, Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Charge, Rule, Style
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "binance"
_SPANS: Final = "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w"
INTERVALS: Final[Mapping[str, Us]] = {
    **{text: parse_bar_span(text) for text in _SPANS.split()},
    "1M": MONTH,
}
_FUTURES_DEPTHS: Final = (5, 10, 20, 50, 100, 500, 1_000)
_SYMBOL: Final = re.compile(r"[A-Z0-9-_.]{1,20}")
DECIMAL: Final = '"%d.%08d"'
_KLINE: Final = (
    f'[%d,{DECIMAL},{DECIMAL},{DECIMAL},{DECIMAL},{DECIMAL},%d,{DECIMAL},%d,{DECIMAL},{DECIMAL},"0"]'
)
_FUTURES_TRADE: Final = f'{{"a":%d,"p":{DECIMAL},"q":{DECIMAL},"f":%d,"l":%d,"T":%d,"m":%s}}'
_SPOT_TRADE: Final = f'{_FUTURES_TRADE[:-1]},"M":true}}'
_LEVEL: Final = f"[{DECIMAL},{DECIMAL}]"
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
def symbols_by_name(market: Market, kind: str) -> Mapping[str, Symbol]:
    symbols = [symbol for symbol in market.instruments if symbol.market_type == kind]
    return {f"{symbol.base}{symbol.quote}": symbol for symbol in symbols}


def _symbol(ask: Ask, kind: str) -> Symbol:
    text = _required(ask.params, "symbol")
    if not _SYMBOL.fullmatch(text):
        _refuse(
            -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."
        )
    if text not in symbols_by_name(ask.market, kind):
        _refuse(-1121, "Invalid symbol.")
    return symbols_by_name(ask.market, kind)[text]


def _window(params: Params, now: Us) -> tuple[Us, Us, bool]:
    """Return start, end (exclusive) and whether the newest rows are meant."""
    start, end = _number(params, "startTime", -1), _number(params, "endTime", -1)
    last = now if end < 0 else min(now, (end + 1) * MILLISECOND)
    return Us(max(0, start) * MILLISECOND), Us(last), start < 0


@dataclass(frozen=True, slots=True)
class Server:
    """What one of the two servers does its own way."""

    kind: str
    intervals: Mapping[str, Us]
    klines: int
    """The most bars of a page."""
    trade: str
    info: Callable[[Symbol, Us], dict[str, object]]
    """What symbol discovery says of an instrument, and of the day it was listed."""


def klines(server: Server, ask: Ask) -> bytes:
    symbol = _symbol(ask, server.kind)
    bar = server.intervals.get(_required(ask.params, "interval"))
    if bar is None:
        _refuse(-1120, "Invalid interval.")
    start, end, newest = _window(ask.params, ask.now)
    page = Page(start, end, _limit(ask.params, 500, server.klines), newest)
    first = ask.first_trade(NAME, symbol)
    opens, closes = bar_page(bar, page, first, (*ask.market.outages, *ask.hidden.spans))
    if not opens.size:
        return b"[]"
    if closes[-1] <= ask.now:
        return _final_klines(ask.market, symbol, opens.tobytes(), closes.tobytes())
    return _klines_text(ask.market, symbol, opens, closes, ask.now)


@lru_cache(1_024)
def _final_klines(market: Market, symbol: Symbol, opens: bytes, closes: bytes) -> bytes:
    ends = np.frombuffer(closes, np.int64)
    return _klines_text(market, symbol, np.frombuffer(opens, np.int64), ends, Us(int(ends[-1])))


def _klines_text(market: Market, symbol: Symbol, opens: Ints, closes: Ints, now: Us) -> bytes:
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


def agg_trades(server: Server, ask: Ask) -> bytes:
    symbol = _symbol(ask, server.kind)
    tape = ask.market.tape(NAME, symbol)
    first = _number(ask.params, "fromId", -1)
    if first >= 0 and ("startTime" in ask.params or "endTime" in ask.params):
        _refuse(-1128, "Combination of optional parameters invalid.")
    limit = _limit(ask.params, 500, 1_000)
    oldest = tape.count_before(Us(ask.now - DAY)) if server.kind == "linear" else 0
    if first >= 0:
        page = Page(max(oldest, first), tape.count_before(ask.now), limit)
    else:
        _check_window(server, ask.params)
        start, end, newest = _window(ask.params, ask.now)
        page = Page(max(oldest, tape.count_before(start)), tape.count_before(end), limit, newest)
    return _trades_text(ask.market, symbol, server.trade, id_page(page, ask.hidden.ids).tobytes())


def _check_window(server: Server, params: Params) -> None:
    start, end = _number(params, "startTime", -1), _number(params, "endTime", -1)
    if server.kind == "linear" and min(start, end) >= 0 and (end - start) * MILLISECOND >= HOUR:
        _refuse(-1127, "More than 1 hours between startTime and endTime.")


@lru_cache(1_024)
def _trades_text(market: Market, symbol: Symbol, template: str, ids: bytes) -> bytes:
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
    return rows(template, columns)


def futures_update(version: int) -> int:
    """Return the last update's id of a version of the futures' books: they are not contiguous there."""
    return 7 * version + version % 3


def spot_depth(ask: Ask) -> bytes:
    version, _, levels = _book(ask, _symbol(ask, "spot"), _limit(ask.params, 100, 5_000))
    return b'{"lastUpdateId":%d,%s}' % (version, levels)


def futures_depth(ask: Ask) -> bytes:
    """Tell a book of one of the depths there are, and its time ``T``; ``E`` is when it was sent."""
    symbol, limit = _symbol(ask, "linear"), _number(ask.params, "limit", 500)
    if limit not in _FUTURES_DEPTHS:
        _refuse(-4021, f"{limit} is not valid depth limit")
    version, at, levels = _book(ask, symbol, limit)
    times = ask.now // MILLISECOND, at // MILLISECOND
    return b'{"lastUpdateId":%d,"E":%d,"T":%d,%s}' % (futures_update(version), *times, levels)


def _book(ask: Ask, symbol: Symbol, limit: int) -> tuple[int, Us, bytes]:
    """Return the version of the book, when it came, and its two sides."""
    book = ask.market.orders(NAME, symbol)
    version = book.version(ask.now)
    bids, asks = (levels_text(ask.market, symbol, side) for side in book.levels(version, limit))
    return version, book.time(version), b'"bids":%s,"asks":%s' % (bids, asks)


def levels_text(market: Market, symbol: Symbol, side: Levels) -> bytes:
    price = decimals(side.price, market.instruments[symbol].price_scale, 8)
    return rows(_LEVEL, [*price, *decimals(*market.book_sizes(NAME, symbol, side), 8)])


def exchange_info(server: Server, ask: Ask) -> bytes:
    names = symbols_by_name(ask.market, server.kind)
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
            "symbols": [_symbol_info(server, ask.market, name) for name in asked],
        }
    )


def _rate_interval(rule: Rule) -> tuple[str, int]:
    minutes, rest = divmod(rule.period, MINUTE)
    return ("SECOND", rule.period // SECOND) if rest else ("MINUTE", minutes)


def _asked_symbols(params: Params) -> list[str]:
    if "symbol" in params:
        return [params["symbol"]]
    try:
        return msgspec.json.decode(params.get("symbols", "[]"), type=list[str])
    except msgspec.DecodeError:
        _refuse(-1100, "Illegal characters found in parameter 'symbols'.")


def _symbol_info(server: Server, market: Market, name: str) -> dict[str, object]:
    instrument = market.instruments[symbols_by_name(market, server.kind)[name]]
    most = "9000000.00000000"
    tick, step = (f"{10**-scale:.8f}" for scale in (instrument.price_scale, instrument.amount_scale))
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": instrument.symbol.base,
        "quoteAsset": instrument.symbol.quote,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": most, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        ],
        **server.info(instrument.symbol, instrument.listed),
    }


def _spot_info(_symbol: Symbol, _listed: Us) -> dict[str, object]:
    return {
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _futures_info(symbol: Symbol, listed: Us) -> dict[str, object]:
    return {
        "pair": f"{symbol.base}{symbol.quote}",
        "contractType": "PERPETUAL",
        "onboardDate": listed // MILLISECOND,
        "deliveryDate": 4_133_404_800_000,  # what a perpetual has: the year 2100
        "marginAsset": symbol.settle,
        "underlyingType": "COIN",
    }


def ping(_: Ask) -> bytes:
    return b"{}"


def time(ask: Ask) -> bytes:
    return b'{"serverTime":%d}' % (ask.now // MILLISECOND)


def refused(charge: Charge, rule: Rule, now: Us) -> Answer:
    """Answer 429 and 418."""
    interval, number = _rate_interval(rule)
    if charge.status == 418:
        text = f"Way too much request weight used; IP banned until {charge.until // MILLISECOND}."
    else:
        allowed = f"{rule.amount} request weight per {number} {interval}"
        text = f"Too much request weight used; current limit is {allowed}."
    advice = " Please use WebSocket Streams for live updates to avoid polling the API."
    body = _ENCODE({"code": -1003, "msg": text + advice})
    return Answer(body, charge.status, {"retry-after": str(charge.wait_s(now))})


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


def _by_limit(default: int, steps: Mapping[int, int], beyond: int) -> Callable[[Params], int]:
    """Return a weight that grows with the rows asked for: up to so many, this weight."""

    def weight(params: Params) -> int:
        text = params.get("limit", "")
        limit = int(text) if text.isdecimal() else default
        return next((weight for rows, weight in steps.items() if limit <= rows), beyond)

    return weight


_SPOT: Final = Server("spot", INTERVALS, 1_000, _SPOT_TRADE, _spot_info)
_FUTURES: Final = Server(
    "linear",
    {text: bar for text, bar in INTERVALS.items() if text != "1s"},
    1_500,
    _FUTURES_TRADE,
    _futures_info,
)
_KLINE_FIELDS: Final = {"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "amount": 5, "trades": 8}
_TRADE_FIELDS: Final = {"id": "a", "price": "p", "amount": "q", "time": "T", "side": "m"}
_LEVEL_FIELDS: Final = {"price": 0, "amount": 1}
_NUMBER: Final = re.compile(rb'("lastUpdateId":)(\d+)')


def _book_topic(params: Params) -> str:
    return f"{params.get('symbol', '').lower()}@depth@100ms"


VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route("/api/v3/ping", ping),
        Route("/api/v3/time", time),
        Route("/api/v3/exchangeInfo", partial(exchange_info, _SPOT), lambda _: 20),
        Route("/api/v3/klines", partial(klines, _SPOT), lambda _: 2, _KLINE_FIELDS),
        Route("/api/v3/aggTrades", partial(agg_trades, _SPOT), lambda _: 4, _TRADE_FIELDS),
        Route(
            "/api/v3/depth",
            spot_depth,
            _by_limit(100, {100: 5, 500: 25, 1_000: 50}, 250),
            _LEVEL_FIELDS,
            numbers=_NUMBER,
            topic=_book_topic,
        ),
        Route("/fapi/v1/ping", ping, pool="usdm"),
        Route("/fapi/v1/time", time, pool="usdm"),
        Route("/fapi/v1/exchangeInfo", partial(exchange_info, _FUTURES), pool="usdm"),
        Route(
            "/fapi/v1/klines",
            partial(klines, _FUTURES),
            _by_limit(500, {99: 1, 499: 2, 1_000: 5}, 10),
            _KLINE_FIELDS,
            "usdm",
        ),
        Route("/fapi/v1/aggTrades", partial(agg_trades, _FUTURES), lambda _: 20, _TRADE_FIELDS, "usdm"),
        Route(
            "/fapi/v1/depth",
            futures_depth,
            _by_limit(500, {50: 2, 100: 5, 500: 10}, 20),
            _LEVEL_FIELDS,
            "usdm",
            numbers=_NUMBER,
            topic=lambda params: f"usdm:{_book_topic(params)}",
        ),
    ),
    rules=(
        Rule(6_000, MINUTE, Style.WINDOW, patience=10),
        Rule(2_400, MINUTE, Style.WINDOW, "usdm", patience=10),
    ),
    refused=refused,
    trouble=trouble,
    headers=headers,
)
