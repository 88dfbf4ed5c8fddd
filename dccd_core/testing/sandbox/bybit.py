"""Bybit v5: spot and perpetuals, as its REST interface says it: parameters in, body out.

Beyond what the official pages say (see ``dccd_core.exchanges.bybit``), chosen here: a limit above the maximum
counts as the maximum; a start without an end gives the bars from there on; every number has eight decimals,
so contracts of inverse markets are split; trades of contracts have numbers as ids too; the order book
changes ten times a second; texts of parameter errors other than an unknown symbol, category or interval.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, NoReturn
from urllib.parse import quote

import msgspec
import numpy as np

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.grid import MONTH, Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Charge, Rule, Style
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "bybit"
_MINUTES: Final = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
_INTERVALS: Final[Mapping[str, Us]] = {
    **{str(n): parse_bar_span(f"{n}m") for n in _MINUTES},
    "D": parse_bar_span("1d"),
    "W": parse_bar_span("1w"),
    "M": MONTH,
}
_KINDS: Final = ("spot", "linear", "inverse")
_PAGE: Final = 1_000
_D: Final = '"%d.%08d"'
_KLINE: Final = f'["%d",{",".join([_D] * 6)}]'
_TRADE: Final = (
    f'{{"execId":"%s","symbol":"%s","price":{_D},"size":{_D},"side":"%s","time":"%d",'
    '"isBlockTrade":false,"isRPITrade":false,"seq":"%d"}'
)
_LEVEL: Final = f"[{_D},{_D}]"
_ENCODE: Final = msgspec.json.encode


def _refuse(code: int, text: str) -> NoReturn:
    raise VenueError(200, _said(code, text))


def _said(code: int, text: str) -> bytes:
    return _ENCODE({"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}, "time": 0})


def _result(ask: Ask, result: bytes) -> bytes:
    """Put the envelope around a result, which is JSON already."""
    ms = ask.now // MILLISECOND
    return b'{"retCode":0,"retMsg":"OK","result":%s,"retExtInfo":{},"time":%d}' % (result, ms)


def _listing(ask: Ask, kind: str, symbol: str, listed: bytes) -> bytes:
    of_symbol = b'"symbol":"%s",' % symbol.encode() if symbol else b""
    return _result(ask, b'{"category":"%s",%s"list":%s}' % (kind.encode(), of_symbol, listed))


def _number(params: Params, name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,15}", text):
        _refuse(10001, f"params error: {name} is not an integer")
    return int(text)


def _limit(params: Params, default: int, most: int) -> int:
    limit = _number(params, "limit", default)
    if limit < 1:
        _refuse(10001, "params error: limit out of range")
    return min(limit, most)


def _kind(params: Params, default: str = "") -> str:
    kind = params.get("category", default)
    if kind not in _KINDS:
        _refuse(10001, "Illegal category")
    return kind


@cache
def _names(market: Market, kind: str) -> Mapping[str, Symbol]:
    found = [symbol for symbol in market.instruments if symbol.market_type == kind]
    return {_name(symbol): symbol for symbol in sorted(found, key=_name)}


def _name(symbol: Symbol) -> str:
    return f"{symbol.base}PERP" if symbol.settle == "USDC" else f"{symbol.base}{symbol.quote}"


def _symbol(ask: Ask, kind: str) -> Symbol:
    text = ask.params.get("symbol", "")
    if not text:
        _refuse(10001, "params error: a required parameter was left out")
    if text not in _names(ask.market, kind):
        _refuse(10001, "Not supported symbols")
    return _names(ask.market, kind)[text]


def kline(ask: Ask) -> bytes:
    kind = _kind(ask.params, "linear")
    symbol = _symbol(ask, kind)
    bar = _INTERVALS.get(ask.params.get("interval", ""))
    if bar is None:
        _refuse(10001, "Invalid period!")
    start, end = _number(ask.params, "start", -1), _number(ask.params, "end", -1)
    last = ask.now if end < 0 else min(ask.now, (end + 1) * MILLISECOND)
    newest = start < 0 or end >= 0
    page = Page(max(0, start) * MILLISECOND, last, _limit(ask.params, 200, _PAGE), newest)
    first = ask.first_trade(NAME, symbol)
    opens, closes = bar_page(bar, page, first, (*ask.market.outages, *ask.hidden.spans))
    if not opens.size:
        listed = b"[]"
    elif closes[-1] <= ask.now:
        listed = _final_klines(ask.market, symbol, opens.tobytes(), closes.tobytes())
    else:
        listed = _klines(ask.market, symbol, opens, np.minimum(closes, ask.now))
    return _listing(ask, kind, _name(symbol), listed)


@lru_cache(1_024)
def _final_klines(market: Market, symbol: Symbol, opens: bytes, closes: bytes) -> bytes:
    return _klines(market, symbol, np.frombuffer(opens, np.int64), np.frombuffer(closes, np.int64))


def _klines(market: Market, symbol: Symbol, opens: Ints, closes: Ints) -> bytes:
    bars = market.bars(NAME, symbol, opens, closes).rows(slice(None, None, -1))
    price, amount = market.instruments[symbol].price_scale, market.instruments[symbol].amount_scale
    volumes = [decimals(bars.volume, amount, 8), decimals(bars.quote_volume, price + amount, 8)]
    if symbol.market_type == "inverse":
        volumes.reverse()
    return rows(
        _KLINE,
        [
            bars.time // MILLISECOND,
            *decimals(bars.open, price, 8),
            *decimals(bars.high, price, 8),
            *decimals(bars.low, price, 8),
            *decimals(bars.close, price, 8),
            *volumes[0],
            *volumes[1],
        ],
    )


def recent_trade(ask: Ask) -> bytes:
    kind = _kind(ask.params)
    symbol = _symbol(ask, kind)
    limit = _limit(ask.params, 60, 60) if kind == "spot" else _limit(ask.params, 500, _PAGE)
    page = Page(0, ask.market.tape(NAME, symbol).count_before(ask.now), limit, newest=True)
    ids = id_page(page, ask.hidden.ids)
    return _listing(ask, kind, "", _trades(ask.market, symbol, ids.tobytes()) if ids.size else b"[]")


@lru_cache(1_024)
def _trades(market: Market, symbol: Symbol, ids: bytes) -> bytes:
    trades = market.tape(NAME, symbol).at(np.frombuffer(ids, np.int64))
    sizes, scale = market.sizes(NAME, symbol, trades)
    columns = [
        np.array(DIALECTS[NAME].ids(trades.id)),
        np.full(trades.id.size, _name(symbol)),
        *decimals(trades.price, market.instruments[symbol].price_scale, 8),
        *decimals(sizes, scale, 8),
        np.where(trades.buyer_is_maker, "Sell", "Buy"),
        trades.time // MILLISECOND,
        trades.id + 1,
    ]
    return rows(_TRADE, [column[::-1] for column in columns])


def orderbook(ask: Ask) -> bytes:
    kind = _kind(ask.params)
    symbol = _symbol(ask, kind)
    limit = _limit(ask.params, 1 if kind == "spot" else 25, _PAGE)
    book = ask.market.orders(NAME, symbol)
    version = book.version(ask.now)
    bids, asks = (_levels(ask.market, symbol, side) for side in book.levels(version, limit))
    form = b'{"s":"%s","b":%s,"a":%s,"ts":%d,"u":%d,"seq":%d,"cts":%d}'
    told = (ask.now // MILLISECOND, version, version, book.time(version) // MILLISECOND)
    return _result(ask, form % (_name(symbol).encode(), bids, asks, *told))


def _levels(market: Market, symbol: Symbol, side: Levels) -> bytes:
    price = decimals(side.price, market.instruments[symbol].price_scale, 8)
    return rows(_LEVEL, [*price, *decimals(*market.book_sizes(NAME, symbol, side), 8)])


def instruments_info(ask: Ask) -> bytes:
    kind, asked = _kind(ask.params), ask.params.get("symbol")
    names = [name for name in _names(ask.market, kind) if asked in (None, name)]
    if kind == "spot":
        return _result(ask, _ENCODE({"category": kind, "list": [_spot(ask.market, name) for name in names]}))
    first = ask.params.get("cursor", "").rpartition("last=")[2]
    limit = _limit(ask.params, 500, _PAGE)
    left = [name for name in names if name > first]
    page = left[:limit]
    cursor = quote(f"first={page[0]}&last={page[-1]}") if len(left) > limit else ""
    listed = [_contract(ask.market, kind, name) for name in page]
    return _result(ask, _ENCODE({"category": kind, "list": listed, "nextPageCursor": cursor}))


def _spot(market: Market, name: str) -> dict[str, object]:
    instrument = market.instruments[_names(market, "spot")[name]]
    tick, step = (f"{10**-scale:.8f}" for scale in (instrument.price_scale, instrument.amount_scale))
    return {
        "symbol": name,
        "baseCoin": instrument.symbol.base,
        "quoteCoin": instrument.symbol.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "lotSizeFilter": {"basePrecision": step, "minOrderAmt": "5"},
        "priceFilter": {"tickSize": tick},
    }


def _contract(market: Market, kind: str, name: str) -> dict[str, object]:
    instrument = market.instruments[_names(market, kind)[name]]
    tick, step = (f"{10**-scale:.8f}" for scale in (instrument.price_scale, instrument.amount_scale))
    return {
        "symbol": name,
        "contractType": f"{kind.title()}Perpetual",
        "status": "Trading",
        "baseCoin": instrument.symbol.base,
        "quoteCoin": instrument.symbol.quote,
        "launchTime": str(instrument.listed // MILLISECOND),
        "deliveryTime": "0",
        "priceFilter": {"tickSize": tick},
        "lotSizeFilter": {"qtyStep": "1" if kind == "inverse" else step},
        "settleCoin": instrument.symbol.settle,
    }


def time(ask: Ask) -> bytes:
    told = b'{"timeSecond":"%d","timeNano":"%d000"}' % (ask.now // SECOND, ask.now)
    return _result(ask, told)


def refused(charge: Charge, rule: Rule, now: Us) -> Answer:  # noqa: ARG001 -- every ban reads the same
    return Answer(trouble(403), 403, {"content-type": "text/html"})


def trouble(status: int) -> bytes:
    if status == 403:
        return b"403, access too frequent"
    if status == 429:
        return _said(10006, "Too many visits!")
    return _said(10016, "Server error, please try again later")


def _book_topics(params: Params) -> str:
    kind = params.get("category", "")
    return f"{'' if kind == 'spot' else f'{kind}:'}orderbook.*.{params.get('symbol', '')}"


VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route("/v5/market/time", time),
        Route(
            "/v5/market/kline",
            kline,
            fields={"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "amount": 5},
        ),
        Route(
            "/v5/market/recent-trade",
            recent_trade,
            fields={"id": "execId", "price": "price", "amount": "size", "side": "side", "time": "time"},
        ),
        Route(
            "/v5/market/orderbook",
            orderbook,
            fields={"price": 0, "amount": 1},
            numbers=re.compile(rb'("u":)(\d+)'),
            topic=_book_topics,
        ),
        Route("/v5/market/instruments-info", instruments_info),
    ),
    rules=(Rule(600, Us(5 * SECOND), Style.SLIDING, block=Us(600 * SECOND)),),
    refused=refused,
    trouble=trouble,
)
