"""Kraken spot, as its REST interface says it: parameters in, body out, errors with HTTP 200.

Beyond what the official pages say (see ``dccd_core.exchanges.kraken``), chosen here: a row shows tenths of
microseconds, its trade happened up to 50 ns before or after, and ``since`` and ``last`` know when;
``since=last`` loses the rest of a group that a page has cut; ``since`` below ``10**11`` counts seconds; an
empty page of trades repeats ``since`` as ``last``; the order book changes ten times a second.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, NoReturn

import msgspec
import numpy as np

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, MONDAY, SECOND, WEEK, TimeRange, Us, moment
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels
from dccd_core.testing.sandbox.dialect import DIALECTS, average_price
from dccd_core.testing.sandbox.grid import Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints, bits, mixed, seed_of
from dccd_core.testing.sandbox.limits import Charge, Rule, Style
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.tape import Tape
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "kraken"
_COMMITTED: Final = 720
_MOST_TRADES: Final = 1_000
_INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1_440, 10_080, 21_600)
_CODES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_OLD_ASSETS: Final = {
    **{code: f"X{_CODES.get(code, code)}" for code in ("BTC", "ETH", "LTC", "XRP")},
    **{code: f"Z{code}" for code in ("USD", "EUR", "GBP")},
}
"""Listed in the days when an asset's kind was part of its name."""
_ROUNDED: Final = seed_of(NAME, "rounded")
_FINER: Final = seed_of(NAME, "finer")
_HALF: Final = 50
_AMOUNT_DIGITS: Final = 8
_ENCODE: Final = msgspec.json.encode


def _error(text: str) -> bytes:
    return _ENCODE({"error": [text]})


def _refuse(text: str) -> NoReturn:
    raise VenueError(200, _error(text))


def _result(*parts: bytes) -> bytes:
    return b'{"error":[],"result":{%s}}' % b",".join(parts)


def _number(params: Params, name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,19}", text):
        _refuse("EGeneral:Invalid arguments")
    return int(text)


def _count(params: Params, default: int, most: int) -> int:
    count = _number(params, "count", default)
    if count < 1:
        _refuse("EGeneral:Invalid arguments")
    return min(count, most)


def _altname(symbol: Symbol) -> str:
    return "".join(_CODES.get(code, code) for code in (symbol.base, symbol.quote))


def _key(symbol: Symbol) -> str:
    """Return what answers call the pair."""
    old = [_OLD_ASSETS.get(code) for code in (symbol.base, symbol.quote)]
    return "".join(name for name in old if name) if all(old) else _altname(symbol)


@cache
def _names(market: Market) -> Mapping[str, Symbol]:
    spot = [symbol for symbol in market.instruments if symbol.market_type == "spot"]
    return {name(symbol): symbol for name in (_key, _altname) for symbol in spot}


def _symbol(ask: Ask) -> Symbol:
    name = ask.params.get("pair", "")
    if not name:
        _refuse("EGeneral:Invalid arguments")
    if name not in _names(ask.market):
        _refuse("EQuery:Unknown asset pair")
    return _names(ask.market)[name]


def ohlc(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    interval, since = _number(ask.params, "interval", 1), _number(ask.params, "since", -1)
    if interval not in _INTERVALS:
        _refuse("EGeneral:Invalid arguments")
    opens, closes = _bar_page(ask, symbol, Us(interval * MINUTE))
    committed = int(np.count_nonzero(closes <= ask.now))
    last = int(opens[committed - 1]) // SECOND if committed else 0
    asked = opens > since * SECOND
    done, running = closes <= ask.now, np.minimum(closes, ask.now)
    final = _final_bars(ask.market, symbol, opens[asked & done].tobytes(), closes[asked & done].tobytes())
    open_ = _bars_text(ask.market, symbol, opens[asked & ~done], running[asked & ~done])
    text = b"[%s]" % b",".join(part[1:-1] for part in (final, open_) if part != b"[]")
    return _result(b'"%s":%s' % (_key(symbol).encode(), text), b'"last":%d' % last)


def _bar_page(ask: Ask, symbol: Symbol, bar: Us) -> tuple[Ints, Ints]:
    """Return the newest committed bars and the running one; weeks open on Thursday, as the epoch did."""
    shift = MONDAY if bar == WEEK else 0
    hidden = [
        TimeRange(Us(span.start + shift), Us(span.end + shift))
        for span in (*ask.market.outages, *ask.hidden.spans)
    ]
    first = Us(ask.first_trade(NAME, symbol) + shift)
    opens, closes = bar_page(bar, Page(0, ask.now + shift, _COMMITTED + 1, newest=True), first, hidden)
    return opens - shift, closes - shift


@lru_cache(256)
def _final_bars(market: Market, symbol: Symbol, opens: bytes, closes: bytes) -> bytes:
    return _bars_text(market, symbol, np.frombuffer(opens, np.int64), np.frombuffer(closes, np.int64))


def _bars_text(market: Market, symbol: Symbol, opens: Ints, closes: Ints) -> bytes:
    if not opens.size:
        return b"[]"
    bars, instrument = market.bars(NAME, symbol, opens, closes), market.instruments[symbol]
    price, shown = instrument.price_scale, DIALECTS[NAME].vwap_decimals
    assert shown is not None
    vwap = average_price(bars.quote_volume, bars.volume, shown, price)
    row = ",".join([f'"%d.%0{digits}d"' for digits in (price, price, price, price, shown, _AMOUNT_DIGITS)])
    columns = [
        opens // SECOND,
        *decimals(bars.open, price, price),
        *decimals(bars.high, price, price),
        *decimals(bars.low, price, price),
        *decimals(bars.close, price, price),
        *decimals(vwap, shown, shown),
        *decimals(bars.volume, instrument.amount_scale, _AMOUNT_DIGITS),
        bars.trades,
    ]
    return rows(f"[%d,{row},%d]", columns)


def trades(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    since, count = _number(ask.params, "since", -1), _count(ask.params, _MOST_TRADES, _MOST_TRADES)
    since = since * 10**9 if 0 < since < 10**11 else since
    tape = ask.market.tape(NAME, symbol)
    end = tape.count_before(ask.now)
    page = Page(0, end, count, newest=True) if since < 0 else Page(_after(tape, since), end, count)
    ids = id_page(page, ask.hidden.ids)
    last = int(_true_times(tape.at(ids[-1:]).time)[0]) if ids.size else max(0, since)
    text = _trades_text(ask.market, symbol, ids.tobytes())
    return _result(b'"%s":%s' % (_key(symbol).encode(), text), b'"last":"%d"' % last)


def _shown_times(times: Ints) -> Ints:
    """Return what rows of trades of these microseconds show, in ns; the order is the same."""
    return times * 1_000 + bits(mixed(_FINER, times), 0, 16) * 10 // (1 << 16) * 2 * _HALF


def _true_times(times: Ints) -> Ints:
    """Return when they happened, in ns; the order is the same."""
    return _shown_times(times) + bits(mixed(_ROUNDED, times), 0, 16) * 2 * _HALF // (1 << 16) - _HALF


def _after(tape: Tape, since: int) -> int:
    """Return the id of the first trade that happened later than ``since`` (ns)."""
    near = TimeRange(Us(max(0, since - _HALF) // 1_000), Us((since + _HALF) // 1_000 + 1))
    early = np.count_nonzero(_true_times(tape.between(near).time) <= since)
    return tape.count_before(near.start) + int(early)


@lru_cache(1_024)
def _trades_text(market: Market, symbol: Symbol, ids: bytes) -> bytes:
    if not ids:
        return b"[]"
    tape = market.tape(NAME, symbol).at(np.frombuffer(ids, np.int64))
    instrument = market.instruments[symbol]
    digits = max(5, instrument.price_scale)
    columns = [
        *decimals(tape.price, instrument.price_scale, digits),
        *decimals(tape.amount, instrument.amount_scale, _AMOUNT_DIGITS),
        np.array([_seconds(time) for time in _shown_times(tape.time).tolist()]),
        np.where(tape.buyer_is_maker, "s", "b"),
        np.where(tape.id % 3 == 0, "l", "m"),
        tape.id + 1,
    ]
    return rows(f'["%d.%0{digits}d","%d.%0{_AMOUNT_DIGITS}d",%s,"%s","%s","",%d]', columns)


def _seconds(time: int) -> str:
    """Write a time (ns) as a JSON number, which has no zeros at its end."""
    seconds, rest = divmod(time, 10**9)
    return f"{seconds}.{rest // 100:07d}".rstrip("0").rstrip(".")


def depth(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    count = _count(ask.params, 100, 500)
    book = ask.market.orders(NAME, symbol)
    bids, asks = (_levels(ask.market, symbol, side) for side in book.levels(book.version(ask.now), count))
    return _result(b'"%s":{"asks":%s,"bids":%s}' % (_key(symbol).encode(), asks, bids))


def _levels(market: Market, symbol: Symbol, side: Levels) -> bytes:
    """Write one side; a level's time is that of its last change."""
    instrument = market.instruments[symbol]
    digits, shown = max(5, instrument.price_scale), max(3, instrument.amount_scale)
    columns = [
        *decimals(side.price, instrument.price_scale, digits),
        *decimals(*market.book_sizes(NAME, symbol, side), shown),
        side.since * BOOK_PERIOD // SECOND,
    ]
    return rows(f'["%d.%0{digits}d","%d.%0{shown}d",%d]', columns)


def asset_pairs(ask: Ask) -> bytes:
    names = _names(ask.market)
    asked = [name for name in ask.params.get("pair", "").split(",") if name] or list(names)
    if not all(name in names for name in asked):
        _refuse("EQuery:Unknown asset pair")
    found = dict.fromkeys(names[name] for name in asked)
    return _ENCODE({"error": [], "result": {_key(symbol): _pair(ask.market, symbol) for symbol in found}})


def _pair(market: Market, symbol: Symbol) -> dict[str, object]:
    instrument, base, quote = market.instruments[symbol], symbol.base, symbol.quote
    return {
        "altname": _altname(symbol),
        "wsname": f"{_CODES.get(base, base)}/{_CODES.get(quote, quote)}",
        "aclass_base": "currency",
        "base": "XXDG" if base == "DOGE" else _OLD_ASSETS.get(base, base),
        "aclass_quote": "currency",
        "quote": _OLD_ASSETS.get(quote, quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": instrument.price_scale,
        "lot_decimals": _AMOUNT_DIGITS,
        "lot_multiplier": 1,
        "fees": [[0, 0.4], [10_000, 0.35]],
        "fees_maker": [[0, 0.25], [10_000, 0.2]],
        "ordermin": f"{10**-instrument.amount_scale:.8f}",
        "costmin": "0.5",
        "tick_size": f"{10**-instrument.price_scale:.{instrument.price_scale}f}",
        "status": "online",
    }


def time(ask: Ask) -> bytes:
    told = {"unixtime": ask.now // SECOND, "rfc1123": f"{moment(ask.now):%a, %d %b %y %H:%M:%S +0000}"}
    return _ENCODE({"error": [], "result": told})


def system_status(ask: Ask) -> bytes:
    told = {"status": "online", "timestamp": f"{moment(ask.now):%Y-%m-%dT%H:%M:%SZ}"}
    return _ENCODE({"error": [], "result": told})


def refused(*_: Charge | Rule | Us) -> Answer:
    return Answer(_error("EGeneral:Too many requests"))


def trouble(status: int) -> bytes:
    if status == 403 or status >= 500:
        return b"<!DOCTYPE html><html><head><title>api.kraken.com | %d</title></head></html>" % status
    told = {
        200: "EService:Unavailable",
        418: "EGeneral:Temporary lockout",
        429: "EAPI:Rate limit exceeded",
    }
    return _error(told.get(status, "EGeneral:Invalid arguments"))


def _asked_pair(params: Params) -> str:
    return params.get("pair", "")


VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route("/0/public/Time", time),
        Route("/0/public/SystemStatus", system_status),
        Route("/0/public/AssetPairs", asset_pairs),
        Route(
            "/0/public/OHLC",
            ohlc,
            fields={"time": 0, "open": 1, "high": 2, "low": 3, "close": 4, "amount": 6, "trades": 7},
            pool="ohlc",
            market=_asked_pair,
        ),
        Route(
            "/0/public/Trades",
            trades,
            fields={"price": 0, "amount": 1, "time": 2, "side": 3, "id": 6},
            pool="trades",
            market=_asked_pair,
        ),
        Route("/0/public/Depth", depth, fields={"price": 0, "amount": 1}),
    ),
    rules=(
        Rule(1, SECOND, Style.SLIDING),
        Rule(1, SECOND, Style.SLIDING, "ohlc"),
        Rule(1, SECOND, Style.SLIDING, "trades"),
    ),
    refused=refused,
    trouble=trouble,
)
