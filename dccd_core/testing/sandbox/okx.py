"""OKX v5, as its REST interface says it: parameters in, body out.

Beyond what the official pages say (see ``dccd_core.exchanges.okx``), chosen here: history shows the running
bar with ``confirm`` 0; a limit above the maximum counts as the maximum; "three months" of trades are the
last 90 days; ids count from 1; the limits hold for any two seconds; all bars but seconds, several days,
weeks and months are served. What faults withhold by id is named by ids counted from 0.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, NoReturn

import msgspec
import numpy as np

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, SECOND, ZERO, TimeRange, Us
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.grid import Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Charge, Rule
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "okx"
_REACH: Final = Us(90 * DAY)
_BOOK_REFRESHED: Final = Us(50 * MILLISECOND)
_TWO_SECONDS: Final = Us(2 * SECOND)
_HONG_KONG: Final = Us(8 * HOUR)
_MOVED: Final = Us(1_548_133_413_000 * MILLISECOND)
_SHORT: Final = ("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H")
_LONG: Final = ("6H", "12H", "1D")
_BARS: Final[Mapping[str, tuple[Us, Us]]] = {
    **{name: (parse_bar_span(name.lower()), ZERO) for name in _SHORT},
    **{name: (parse_bar_span(name.lower()), _HONG_KONG) for name in _LONG},
    **{f"{name}utc": (parse_bar_span(name.lower()), ZERO) for name in _LONG},
}
"""How long a bar is, and how far the clock that cuts it is ahead of UTC."""
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "SPOT": ("spot",),
    "SWAP": ("linear", "inverse"),
    **dict.fromkeys(("FUTURES", "OPTION", "MARGIN", "EVENTS"), ()),
}
_ENCODE: Final = msgspec.json.encode


def _failed(code: str, text: str) -> bytes:
    return _ENCODE({"code": code, "msg": text, "data": []})


def _refuse(status: int, code: str, text: str) -> NoReturn:
    raise VenueError(status, _failed(code, text))


def _enveloped(data: bytes) -> bytes:
    return b'{"code":"0","msg":"","data":%s}' % data


def _required(params: Params, name: str) -> str:
    if not params.get(name):
        _refuse(400, "50014", f"Parameter {name} can not be empty")
    return params[name]


def _number(params: Params, name: str, default: int) -> int:
    text = params.get(name, "")
    if text and not re.fullmatch(r"[0-9]{1,18}", text):
        _refuse(400, "51000", f"Parameter {name} error")
    return int(text) if text else default


def _limit(params: Params, name: str, default: int, most: int) -> int:
    limit = _number(params, name, default)
    if limit < 1:
        _refuse(400, "51000", f"Parameter {name} error")
    return min(limit, most)


def name_of(symbol: Symbol) -> str:
    pair = f"{symbol.base}-{symbol.quote}"
    margin = "_UM" if symbol.market_type == "linear" and symbol.quote == "USD" else ""
    return pair if symbol.settle is None else f"{pair}{margin}-SWAP"


@cache
def _names(market: Market) -> Mapping[str, Symbol]:
    return {name_of(symbol): symbol for symbol in market.instruments}


def _symbol(ask: Ask) -> Symbol:
    text = _required(ask.params, "instId")
    if text not in _names(ask.market):
        _refuse(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    return _names(ask.market)[text]


def _sizes(market: Market, symbol: Symbol, base: Ints, quote: Ints) -> tuple[Ints, int]:
    """Return amounts as the venue counts them, in contracts where it has those, and their decimals.

    ``base`` is in lots, ``quote`` the same amounts in ticks times lots.
    """
    instrument = market.instruments[symbol]
    worth = DIALECTS[NAME].contracts.get(symbol.market_type, 0)
    if symbol.market_type == "inverse":
        return quote, instrument.price_scale + instrument.amount_scale + worth
    return base, instrument.amount_scale + worth


def _row(text: str, *cells: tuple[Ints, int]) -> tuple[str, list[Ints]]:
    """Put a number of as many decimals as each cell has for every ``#`` of the template."""
    columns = list[Ints]()
    for values, scale in cells:
        shown = max(1, scale)
        text = text.replace("#", f"%d.%0{shown}d", 1)
        columns += decimals(values, scale, shown)
    return text, columns


def history_candles(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    name = ask.params.get("bar") or "1m"
    if name not in _BARS:
        _refuse(400, "51000", "Parameter bar error")
    bar, ahead = _BARS[name]
    start = (_number(ask.params, "before", -1) + 1) * MILLISECOND
    end = min(ask.now, _number(ask.params, "after", 10**18) * MILLISECOND)
    page = Page(start + ahead, end + ahead, _limit(ask.params, "limit", 100, 300), newest=True)
    first = ask.first_trade(NAME, symbol)
    absent = (*ask.market.outages, *ask.hidden.spans)
    moved = [TimeRange(Us(span.start + ahead), Us(span.end + ahead)) for span in absent]
    opens, closes = (edges - ahead for edges in bar_page(bar, page, Us(first + ahead), moved))
    if not opens.size:
        return _enveloped(b"[]")
    if closes[-1] <= ask.now:
        return _final_candles(ask.market, symbol, opens.tobytes(), closes.tobytes())
    return _candles_text(ask.market, symbol, opens, closes, ask.now)


@lru_cache(1_024)
def _final_candles(market: Market, symbol: Symbol, opens: bytes, closes: bytes) -> bytes:
    ends = np.frombuffer(closes, np.int64)
    return _candles_text(market, symbol, np.frombuffer(opens, np.int64), ends, Us(int(ends[-1])))


def _candles_text(market: Market, symbol: Symbol, opens: Ints, closes: Ints, now: Us) -> bytes:
    bars = market.bars(NAME, symbol, opens, np.minimum(closes, now)).rows(slice(None, None, -1))
    instrument = market.instruments[symbol]
    base = (bars.volume, instrument.amount_scale)
    quote = (bars.quote_volume, instrument.price_scale + instrument.amount_scale)
    volume = _sizes(market, symbol, bars.volume, bars.quote_volume)
    prices = [(column, instrument.price_scale) for column in (bars.open, bars.high, bars.low, bars.close)]
    text, columns = _row(
        '["%d","#","#","#","#","#","#","#","%d"]',
        *prices,
        volume,
        quote if symbol.market_type == "spot" else base,
        quote,
    )
    confirmed = (closes[::-1] <= now).astype(np.int64)
    return _enveloped(rows(text, [bars.time // MILLISECOND, *columns, confirmed]))


def history_trades(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    tape, by = ask.market.tape(NAME, symbol), ask.params.get("type") or "1"
    if by not in ("1", "2"):
        _refuse(400, "51000", "Parameter type error")
    if by == "2" and ask.params.get("before"):
        _refuse(400, "50039", "Parameter before can not be used to page by timestamp")
    first, end = tape.count_before(Us(ask.now - _REACH)), tape.count_before(ask.now)
    after = _number(ask.params, "after", 10**18)
    if by == "2":
        end = tape.count_before(min(ask.now, Us(after * MILLISECOND)))
    else:  # ids count from 1
        first, end = max(first, _number(ask.params, "before", 0)), min(end, after - 1)
    page = Page(first, end, _limit(ask.params, "limit", 100, 100), newest=True)
    return _trades_text(ask.market, symbol, id_page(page, ask.hidden.ids).tobytes())


@lru_cache(1_024)
def _trades_text(market: Market, symbol: Symbol, ids: bytes) -> bytes:
    if not ids:
        return _enveloped(b"[]")
    trades = market.tape(NAME, symbol).at(np.frombuffer(ids, np.int64))
    text, columns = _row(
        f'{{"instId":"{name_of(symbol)}","side":"%s","sz":"#","px":"#","tradeId":"%s","ts":"%d","source":"0"}}',
        _sizes(market, symbol, trades.amount, trades.price * trades.amount),
        (trades.price, market.instruments[symbol].price_scale),
    )
    side = np.where(trades.buyer_is_maker, "sell", "buy")
    names = np.array(DIALECTS[NAME].ids(trades.id))
    return _enveloped(
        rows(text, [part[::-1] for part in (side, *columns, names, trades.time // MILLISECOND)])
    )


def books(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    levels = _limit(ask.params, "sz", 1, 400)
    book = ask.market.orders(NAME, symbol)
    version, at = book.version(ask.now), ask.now - ask.now % _BOOK_REFRESHED
    bids, asks = (_levels(ask.market, symbol, side) for side in book.levels(version, levels))
    told = (asks, bids, at // MILLISECOND, version)
    return _enveloped(b'[{"asks":%s,"bids":%s,"ts":"%d","seqId":%d}]' % told)


def _levels(market: Market, symbol: Symbol, side: Levels) -> bytes:
    text, columns = _row(
        '["#","#","0","%d"]',
        (side.price, market.instruments[symbol].price_scale),
        market.book_sizes(NAME, symbol, side),
    )
    return rows(text, [*columns, side.orders])


def instruments(ask: Ask) -> bytes:
    asked = _required(ask.params, "instType")
    if asked not in _KINDS:
        _refuse(400, "51000", "Parameter instType error")
    return _enveloped(
        _ENCODE(
            [
                _instrument(ask.market, name, symbol, asked)
                for name, symbol in _names(ask.market).items()
                if symbol.market_type in _KINDS[asked] and ask.params.get("instId", name) == name
            ]
        )
    )


def _instrument(market: Market, name: str, symbol: Symbol, asked: str) -> dict[str, object]:
    instrument, spot = market.instruments[symbol], symbol.market_type == "spot"
    worth = DIALECTS[NAME].contracts.get(symbol.market_type, 0)
    listed = max(instrument.listed, _MOVED) if spot else instrument.listed
    return {
        "instType": asked,
        "instId": name,
        "instFamily": "" if spot else name.removesuffix("-SWAP"),
        "uly": "" if spot else name.removesuffix("-SWAP"),
        "baseCcy": symbol.base if spot else "",
        "quoteCcy": symbol.quote if spot else "",
        "settleCcy": symbol.settle or "",
        "ctType": "" if spot else symbol.market_type,
        "ctVal": "" if spot else _power(worth),
        "ctMult": "" if spot else "1",
        "ctValCcy": {"spot": "", "linear": symbol.base, "inverse": symbol.quote}[symbol.market_type],
        "tickSz": _power(-instrument.price_scale),
        "lotSz": _power(-instrument.amount_scale) if spot else "0.01",
        "minSz": _power(-instrument.amount_scale) if spot else "0.01",
        "listTime": str(listed // MILLISECOND),
        "contTdSwTime": "",
        "expTime": "",
        "state": "live",
    }


def _power(exponent: int) -> str:
    return str(10**exponent) if exponent >= 0 else f"{10**exponent:.{-exponent}f}"


def refused(charge: Charge, _: Rule, __: Us) -> Answer:
    """Answer 429: nothing tells how long to wait."""
    return Answer(_ENCODE({"code": "50011", "msg": "Too Many Requests"}), charge.status)


def trouble(status: int) -> bytes:
    if status == 403:
        return b"<html><head><title>403 Forbidden</title></head></html>"
    code, text = {
        429: ("50011", "Too Many Requests"),
        503: ("50001", "Service temporarily unavailable. Try again later"),
    }.get(status, ("50026", "System error. Try again later"))
    return _failed(code, text)


VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route(
            "/api/v5/market/history-candles",
            history_candles,
            fields={"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "amount": 5},
            pool="history-candles",
        ),
        Route(
            "/api/v5/market/history-trades",
            history_trades,
            fields={"id": "tradeId", "price": "px", "amount": "sz", "time": "ts", "side": "side"},
            pool="history-trades",
        ),
        Route(
            "/api/v5/market/books",
            books,
            fields={"price": 0, "amount": 1},
            pool="books",
            numbers=re.compile(rb'("seqId":)(\d+)'),
            topic=lambda params: f"books:{params.get('instId', '')}",
        ),
        Route(
            "/api/v5/public/instruments",
            instruments,
            pool="instruments",
            market=lambda params: params.get("instType", ""),
        ),
    ),
    rules=(
        Rule(20, _TWO_SECONDS, pool="history-candles"),
        Rule(20, _TWO_SECONDS, pool="history-trades"),
        Rule(40, _TWO_SECONDS, pool="books"),
        Rule(20, _TWO_SECONDS, pool="instruments"),
    ),
    refused=refused,
    trouble=trouble,
)
