"""Coinbase Exchange, as its REST interface says it: parameters in, body out.

Beyond what the official pages say (see ``dccd_core.exchanges.coinbase``), chosen here: a start that is not
before the end is an error; a window's first candle is the one that holds the start; without a window come
the 350 newest candles; times lose the zeros at their end; a limit above the maximum counts as the maximum;
the book changes ten times a second and is 1,200 levels deep, and level 3 (by order) is left out.
Trades that a fault withholds are numbered as on the tape, from 0: one less than the venue's own id.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, Us, parse_time
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.grid import Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Charge, Rule, Style
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "coinbase"
_GRANULARITIES: Final[Mapping[str, Us]] = {
    str(seconds): Us(seconds * SECOND) for seconds in (60, 300, 900, 3_600, 21_600, 86_400)
}
_MOST_CANDLES: Final = 300
_CANDLES_UNASKED: Final = 350
_MOST_TRADES: Final = 1_000
_DEEP: Final = {"1": 1, "2": 1_200}
_N: Final = "%d.%08d"
_CANDLE: Final = f"[%d,{_N},{_N},{_N},{_N},{_N}]"
_TRADE: Final = f'{{"trade_id":%d,"side":"%s","size":"{_N}","price":"{_N}","time":"%sZ"}}'
_LEVEL: Final = f'["{_N}","{_N}",%d]'
_ENCODE: Final = msgspec.json.encode


def _message(text: str) -> bytes:
    return _ENCODE({"message": text})


def _refuse(text: str, status: int = 400) -> NoReturn:
    raise VenueError(status, _message(text))


@cache
def _names(market: Market) -> Mapping[str, Symbol]:
    spot = [symbol for symbol in market.instruments if symbol.market_type == "spot"]
    return {f"{symbol.base}-{symbol.quote}": symbol for symbol in spot}


def _symbol(ask: Ask) -> Symbol:
    names = _names(ask.market)
    if ask.params["product"] not in names:
        _refuse("NotFound", 404)
    return names[ask.params["product"]]


def _moment(params: Params, name: str) -> Us | None:
    """Read ISO 8601 or whole seconds."""
    text = params.get(name, "")
    if not text:
        return None
    try:
        return Us(int(text) * SECOND) if re.fullmatch(r"[0-9]{1,10}", text) else parse_time(text)
    except ValueError:
        _refuse(f"invalid {name}")


def _number(params: Params, name: str, default: int) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,18}", text):
        _refuse(f"invalid {name}")
    return int(text)


def candles(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    bar = _GRANULARITIES.get(ask.params.get("granularity", "60"))
    if bar is None:
        _refuse("Unsupported granularity")
    first = ask.first_trade(NAME, symbol)
    hidden = (*ask.market.outages, *ask.hidden.spans)
    opens, closes = bar_page(bar, _window(ask, bar), first, hidden)
    if not opens.size:
        return b"[]"
    if closes[-1] <= ask.now:
        return _final_candles(ask.market, symbol, opens.tobytes(), closes.tobytes())
    return _candles_text(ask.market, symbol, opens, np.minimum(closes, ask.now))


def _window(ask: Ask, bar: Us) -> Page:
    start, end = _moment(ask.params, "start"), _moment(ask.params, "end")
    if start is None or end is None:
        return Page(0, ask.now, _CANDLES_UNASKED, newest=True)
    if start >= end:
        _refuse("start must be before end")
    if (end - start) // bar + 1 > _MOST_CANDLES:
        _refuse(
            "granularity too small for the requested time range."
            f" Count of aggregations requested exceeds {_MOST_CANDLES}"
        )
    # An end of its own inside a bar can make one candle more than are counted.
    return Page(bar_open(start, bar), min(end + 1, ask.now), _MOST_CANDLES + 1)


@lru_cache(1_024)
def _final_candles(market: Market, symbol: Symbol, opens: bytes, closes: bytes) -> bytes:
    return _candles_text(market, symbol, np.frombuffer(opens, np.int64), np.frombuffer(closes, np.int64))


def _candles_text(market: Market, symbol: Symbol, opens: Ints, closes: Ints) -> bytes:
    bars = market.bars(NAME, symbol, opens, closes).rows(slice(None, None, -1))
    price, amount = market.instruments[symbol].price_scale, market.instruments[symbol].amount_scale
    return rows(
        _CANDLE,
        [
            bars.time // SECOND,
            *decimals(bars.low, price, 8),
            *decimals(bars.high, price, 8),
            *decimals(bars.open, price, 8),
            *decimals(bars.close, price, 8),
            *decimals(bars.volume, amount, 8),
        ],
    )


def trades(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    limit = _number(ask.params, "limit", _MOST_TRADES)
    if limit < 1:
        _refuse("invalid limit")
    there = ask.market.tape(NAME, symbol).count_before(ask.now)
    after = _number(ask.params, "after", there + 1)
    page = Page(
        start=_number(ask.params, "before", 0),
        end=max(0, min(there, after - 1)),
        limit=min(limit, _MOST_TRADES),
        newest=True,
    )
    return _trades_text(ask.market, symbol, id_page(page, ask.hidden.ids).tobytes())


@lru_cache(1_024)
def _trades_text(market: Market, symbol: Symbol, ids: bytes) -> bytes:
    if not ids:
        return b"[]"
    page = market.tape(NAME, symbol).at(np.frombuffer(ids, np.int64))
    instrument = market.instruments[symbol]
    columns = [
        page.id + 1,
        np.where(page.buyer_is_maker, "buy", "sell"),
        *decimals(page.amount, instrument.amount_scale, 8),
        *decimals(page.price, instrument.price_scale, 8),
        _written(page.time),
    ]
    return rows(_TRADE, [column[::-1] for column in columns])


def _written(times: Ints) -> NDArray[np.str_]:
    """Write times to the microsecond, without the zone and without zeros at the end."""
    whole = np.datetime_as_string(times.astype("M8[us]"))
    return np.char.rstrip(np.char.rstrip(whole, "0"), ".")


def book(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    deep = _DEEP.get(ask.params.get("level", "1"))
    if deep is None:
        _refuse("unexpected level: _")
    orders = ask.market.orders(NAME, symbol)
    version = orders.version(ask.now)
    bids, asks = (_levels(ask.market, symbol, side) for side in orders.levels(version, deep))
    time = str(_written(np.array([orders.time(version)]))[0]).encode()
    form = b'{"bids":%s,"asks":%s,"sequence":%d,"auction_mode":false,"auction":null,"time":"%sZ"}'
    return form % (bids, asks, version, time)


def _levels(market: Market, symbol: Symbol, side: Levels) -> bytes:
    price = decimals(side.price, market.instruments[symbol].price_scale, 8)
    return rows(_LEVEL, [*price, *decimals(*market.book_sizes(NAME, symbol, side), 8), side.orders])


def products(ask: Ask) -> bytes:
    return _ENCODE([_product(ask.market, name) for name in _names(ask.market)])


def _product(market: Market, name: str) -> dict[str, object]:
    instrument = market.instruments[_names(market)[name]]
    tick, step = (f"{10**-scale:.{scale}f}" for scale in (instrument.price_scale, instrument.amount_scale))
    return {
        "id": name,
        "base_currency": instrument.symbol.base,
        "quote_currency": instrument.symbol.quote,
        "quote_increment": tick,
        "base_increment": step,
        "display_name": name,
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.03000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }


def refused(charge: Charge, _: Rule, __: Us) -> Answer:
    """Answer 429: nothing tells how long to wait."""
    return Answer(trouble(charge.status), charge.status)


def trouble(status: int) -> bytes:
    if status == 403 or status >= 520:
        return b"<!DOCTYPE html><html><head><title>%d | Cloudflare</title></head></html>" % status
    texts = {400: "Bad Request", 401: "Unauthorized", 404: "NotFound", 429: "Public rate limit exceeded"}
    return _message(texts.get(status, "Internal server error"))


VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route("/products", products),
        Route(
            "/products/{product}/candles",
            candles,
            fields={"time": 0, "low": 1, "high": 2, "open": 3, "close": 4, "amount": 5},
        ),
        Route(
            "/products/{product}/trades",
            trades,
            fields={"id": "trade_id", "price": "price", "amount": "size", "time": "time", "side": "side"},
        ),
        Route("/products/{product}/book", book, fields={"price": 0, "amount": 1}),
    ),
    rules=(Rule(10, SECOND, Style.BUCKET, burst=15),),
    refused=refused,
    trouble=trouble,
)
