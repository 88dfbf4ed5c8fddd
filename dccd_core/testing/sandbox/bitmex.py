"""BitMEX, as its REST interface says it: parameters in, body out.

The simulation is a server that kept the venue's history: its clock stops when BitMEX closed, so nothing
trades after that and no book is left.

Beyond what is known (see ``dccd_core.exchanges.bitmex``), chosen here: ``symbol`` must be given; a count
above the maximum is refused, 0 is the default; a full book has 1,000 levels a side; sizes are rounded up to
whole contracts, 1 USD for inverse ones, 1e-6 for linear ones and 1e-8 for spot; ``tickDirection`` and
``lastSize`` tell nothing. ``columns`` and ``filter`` are not simulated. The list of instruments also has an
index, a quanto contract and a future, which nobody can ask for.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.exchanges.bitmex import InstrumentType
from dccd_core.testing.sandbox.books import Levels
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.grid import Page, bar_page, id_page
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Charge, Rule, Style
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer, Ask, Params, Route, Venue, VenueError

NAME: Final = "bitmex"
CLOSED: Final = parse_time("2026-09-23T04:00:00Z")
_FULL_DEPTH: Final = 1_000
_REQUESTS: Final = 30
_BINS: Final[Mapping[str, Us]] = {text: parse_bar_span(text) for text in ("1m", "5m", "1h", "1d")}
_CONTRACTS: Final = DIALECTS[NAME].book_contracts
"""What sizes count. Trades and bars tell the amount in the base besides."""
_D: Final = "%d.%08d"
_BUCKET: Final = (
    f'{{"timestamp":"%s","symbol":"%s","open":{_D},"high":{_D},"low":{_D},"close":{_D},"trades":%d,'
    f'"volume":%d,"vwap":%s,"lastSize":null,"turnover":%d,"homeNotional":{_D},"foreignNotional":{_D}}}'
)
_TRADE: Final = (
    f'{{"timestamp":"%s","symbol":"%s","side":"%s","size":%d,"price":{_D},"tickDirection":"ZeroPlusTick",'
    f'"trdMatchID":"%s","grossValue":%d,"homeNotional":{_D},"foreignNotional":{_D},"trdType":"Regular"}}'
)
_LEVEL: Final = f'{{"symbol":"%s","id":%d,"side":"%s","size":%d,"price":{_D},"timestamp":"%s"}}'
_ENCODE: Final = msgspec.json.encode


def _error(message: str, name: str) -> bytes:
    return _ENCODE({"error": {"message": message, "name": name}})


def _refuse(message: str, name: str = "HTTPError") -> NoReturn:
    raise VenueError(400, _error(message, name))


def _number(params: Params, name: str, default: int, most: int | None = None) -> int:
    text = params.get(name, str(default))
    if not (text.isdecimal() and text.isascii()) or (most is not None and int(text) > most):
        allowed = "a whole number" if most is None else f"a whole number up to {most}"
        _refuse(f"'{name}' must be {allowed}.", "ValidationError")
    return int(text)


def _moment(params: Params, name: str) -> Us | None:
    if not params.get(name):
        return None
    try:
        return parse_time(params[name])
    except ValueError:
        _refuse(f"'{name}' is not a valid date")


def _flag(params: Params, name: str) -> bool:
    return params.get(name) == "true"


@cache
def _names(market: Market) -> Mapping[str, Symbol]:
    return {_name(symbol): symbol for symbol in market.instruments}


def _code(code: str) -> str:
    return "XBT" if code == "BTC" else code


def _name(symbol: Symbol) -> str:
    base, quote = _code(symbol.base), _code(symbol.quote)
    if symbol.market_type == "spot":
        return f"{base}_{quote}"
    return f"{base}{quote}_{base}" if symbol.market_type == "inverse" and base != "XBT" else f"{base}{quote}"


def _symbol(ask: Ask) -> Symbol | None:
    """Return the symbol asked for; None for one that nobody knows, which is no error."""
    if not ask.params.get("symbol"):
        _refuse("'symbol' is a required arg.", "ValidationError")
    return _names(ask.market).get(ask.params["symbol"])


def _clock(ask: Ask) -> Us:
    return min(ask.now, CLOSED)


def _page(params: Params, start: int, end: int) -> tuple[Page, int]:
    """Return the page together with the rows to skip, and how many those are."""
    skip, count = _number(params, "start", 0), _number(params, "count", 100, 1_000) or 100
    return Page(start, end, skip + count, newest=_flag(params, "reverse")), skip


def _rest(found: Ints, page: Page, skip: int) -> Ints:
    return (found[::-1] if page.newest else found)[skip:]


def bucketed(ask: Ask) -> bytes:
    symbol, bar = _symbol(ask), _BINS.get(ask.params.get("binSize", "1m"))
    if bar is None:
        _refuse(f"'binSize' must be one of {', '.join(_BINS)}.", "ValidationError")
    start, end, now = _moment(ask.params, "startTime"), _moment(ask.params, "endTime"), _clock(ask)
    # Both bounds act on the close, which is the bar's timestamp.
    last = now if _flag(ask.params, "partial") else now - bar + 1
    until = last if end is None else min(last, end - bar + 1)
    page, skip = _page(ask.params, 0 if start is None else max(0, start - bar), until)
    if symbol is None:
        return b"[]"
    first = ask.first_trade(NAME, symbol)
    opens, _ = bar_page(bar, page, first, (*ask.market.outages, *ask.hidden.spans))
    opens = _rest(opens, page, skip)
    if not opens.size:
        return b"[]"
    return _bars_text(ask.market, symbol, bar, opens.tobytes(), Us(min(now, int(opens.max()) + bar)))


@lru_cache(1_024)
def _bars_text(market: Market, symbol: Symbol, bar: Us, opens: bytes, until: Us) -> bytes:
    """Write bars in the order of ``opens``; the running one holds what was traded ``until`` then."""
    asked = np.frombuffer(opens, np.int64)
    step = -1 if asked[0] > asked[-1] else 1
    ordered = asked[::step]
    sums = market.bars(NAME, symbol, ordered, np.minimum(ordered + bar, until)).rows(slice(None, None, step))
    instrument = market.instruments[symbol]
    price, amount = instrument.price_scale, instrument.amount_scale
    average = sums.quote_volume // np.maximum(sums.volume, 1)
    whole, fraction = decimals(average, price, 8)
    vwap = [f"{a}.{b:08d}" if n else "null" for a, b, n in zip(whole, fraction, sums.trades, strict=True)]
    return rows(
        _BUCKET,
        [
            _stamps(sums.time + bar),
            np.full(asked.size, _name(symbol)),
            *decimals(sums.open, price, 8),
            *decimals(sums.high, price, 8),
            *decimals(sums.low, price, 8),
            *decimals(sums.close, price, 8),
            sums.trades,
            _sizes(symbol, sums.volume, sums.quote_volume, (price, amount)),
            np.array(vwap),
            _settled(symbol, sums.volume, sums.quote_volume, (price, amount)),
            *decimals(sums.volume, amount, 8),
            *decimals(sums.quote_volume, price + amount, 8),
        ],
    )


def _stamps(times: Ints) -> NDArray[np.str_]:
    texts = np.datetime_as_string(times.astype("M8[us]").astype("M8[ms]"))
    return np.char.add(texts, "Z")


def _sizes(symbol: Symbol, base: Ints, quote: Ints, scales: tuple[int, int]) -> Ints:
    """Return amounts as whole contracts; ``scales`` are the decimals of the price and of the amount."""
    if symbol.market_type == "inverse":
        return -_scaled(-quote, sum(scales), 0)
    return -_scaled(-base, scales[1], -_CONTRACTS[symbol.market_type])


def _settled(symbol: Symbol, base: Ints, quote: Ints, scales: tuple[int, int]) -> Ints:
    """Return amounts in the smallest unit of what the market settles in."""
    if symbol.market_type == "inverse":
        return _scaled(base, scales[1], 8)
    return _scaled(quote, sum(scales), 6)


def _scaled(values: Ints, scale: int, wanted: int) -> Ints:
    return values * 10 ** (wanted - scale) if wanted >= scale else values // 10 ** (scale - wanted)


def trades(ask: Ask) -> bytes:
    symbol = _symbol(ask)
    start, end, now = _moment(ask.params, "startTime"), _moment(ask.params, "endTime"), _clock(ask)
    until = now if end is None else min(now, Us(end + MILLISECOND))
    if symbol is None:
        return b"[]"
    tape = ask.market.tape(NAME, symbol)
    first = 0 if start is None else tape.count_before(start)
    page, skip = _page(ask.params, first, tape.count_before(until))
    ids = _rest(id_page(page, ask.hidden.ids), page, skip)
    return _trades_text(ask.market, symbol, ids.tobytes())


@lru_cache(1_024)
def _trades_text(market: Market, symbol: Symbol, ids: bytes) -> bytes:
    asked = np.frombuffer(ids, np.int64)
    if not asked.size:
        return b"[]"
    step = -1 if asked[0] > asked[-1] else 1
    found = market.tape(NAME, symbol).at(asked[::step])
    instrument = market.instruments[symbol]
    price, amount, quote = instrument.price_scale, instrument.amount_scale, found.price * found.amount
    columns = [
        _stamps(found.time),
        np.full(asked.size, _name(symbol)),
        np.where(found.buyer_is_maker, "Sell", "Buy"),
        _sizes(symbol, found.amount, quote, (price, amount)),
        *decimals(found.price, price, 8),
        np.array(DIALECTS[NAME].ids(found.id)),
        _settled(symbol, found.amount, quote, (price, amount)),
        *decimals(found.amount, amount, 8),
        *decimals(quote, price + amount, 8),
    ]
    return rows(_TRADE, [column[::step] for column in columns])


def book(ask: Ask) -> bytes:
    symbol, depth = _symbol(ask), _number(ask.params, "depth", 25)
    if symbol is None or ask.now >= CLOSED:
        return b"[]"
    orders = ask.market.orders(NAME, symbol)
    version = orders.version(ask.now)
    bids, asks = orders.levels(version, min(depth or _FULL_DEPTH, _FULL_DEPTH))
    falling = (asks.rows(slice(None, None, -1)), "Sell"), (bids, "Buy")
    sides = [_levels(ask.market, symbol, side, name) for side, name in falling]
    columns = [np.concatenate(both) for both in zip(*sides, strict=True)]
    stamps = _stamps(np.full(columns[0].size, orders.time(version)))
    return rows(_LEVEL, [*columns, stamps])


def _levels(market: Market, symbol: Symbol, side: Levels, name: str) -> list[Ints | NDArray[np.str_]]:
    return [
        np.full(side.price.size, _name(symbol)),
        1_000_000_000_000 - side.price,
        np.full(side.price.size, name),
        market.book_sizes(NAME, symbol, side)[0],
        *decimals(side.price, market.instruments[symbol].price_scale, 8),
    ]


def instruments(ask: Ask) -> bytes:
    skip, count = _number(ask.params, "start", 0), _number(ask.params, "count", 100, 500)
    state = "Open" if ask.now < CLOSED else "Closed"
    listed = [*_OTHERS, *(_instrument(ask.market, name) for name in _names(ask.market))]
    asked = [row for row in listed if ask.params.get("symbol", row["symbol"]) == row["symbol"]]
    ordered = asked[::-1] if _flag(ask.params, "reverse") else asked
    return _ENCODE([{**row, "state": state} for row in ordered[skip : skip + count]])


def _instrument(market: Market, name: str) -> dict[str, object]:
    instrument = market.instruments[_names(market)[name]]
    symbol, perpetual = instrument.symbol, instrument.symbol.market_type != "spot"
    inverse = symbol.market_type == "inverse"
    per_unit = None if inverse else 10 ** -_CONTRACTS[symbol.market_type]
    return {
        "symbol": name,
        "rootSymbol": _code(symbol.base),
        "typ": InstrumentType.PERPETUAL if perpetual else InstrumentType.SPOT,
        "listing": str(_stamps(np.array([instrument.listed]))[0]),
        "underlying": _code(symbol.base),
        "quoteCurrency": _code(symbol.quote),
        "lotSize": 1,
        "tickSize": 10**-instrument.price_scale,
        "multiplier": -100_000_000 if inverse else 1,
        "settlCurrency": {"BTC": "XBt", "USDT": "USDt"}.get(symbol.settle or "", symbol.settle or ""),
        "underlyingToPositionMultiplier": per_unit,
        "underlyingToSettleMultiplier": -100_000_000 if inverse else None,
        "quoteToSettleMultiplier": None if inverse or not perpetual else 1_000_000,
        "isQuanto": False,
        "isInverse": inverse,
    }


def _other(symbol: str, typ: str, base: str, quote: str, settle: str) -> dict[str, object]:
    whole: dict[str, object] = {"symbol": symbol, "typ": typ, "underlying": base, "quoteCurrency": quote}
    return {**whole, "settlCurrency": settle, "listing": None, "multiplier": None, "isInverse": False}


_OTHERS: Final = (
    _other(".BXBT", InstrumentType.INDEX, "XBT", "USD", ""),
    _other("ETHUSD", InstrumentType.PERPETUAL, "ETH", "USD", "XBt"),
    _other("XBTZ26", InstrumentType.FUTURE, "XBT", "USD", "XBt"),
)


def refused(charge: Charge, _: Rule, now: Us) -> Answer:
    wait_s = charge.wait_s(now)
    body = _error(f"Rate limit exceeded, retry in {wait_s} seconds.", "RateLimitError")
    reset = str(-(-charge.until // SECOND))
    return Answer(body, charge.status, {"retry-after": str(wait_s), "x-ratelimit-reset": reset})


def trouble(status: int) -> bytes:
    message, name = {
        200: ("The system is currently overloaded. Please try again later.", "HTTPError"),
        403: ("Forbidden", "HTTPError"),
        404: ("Not Found", "HTTPError"),
        429: ("Rate limit exceeded, retry in 1 seconds.", "RateLimitError"),
        503: ("The system is currently overloaded. Please try again later.", "HTTPError"),
    }.get(status, ("An error occurred.", "Error"))
    return _error(message, name)


def headers(used: int) -> Mapping[str, str]:
    return {"x-ratelimit-limit": str(_REQUESTS), "x-ratelimit-remaining": str(max(0, _REQUESTS - used))}


_PRICES: Final = {"open": "open", "high": "high", "low": "low", "close": "close"}
VENUE: Final = Venue(
    name=NAME,
    routes=(
        Route(
            "/api/v1/trade/bucketed",
            bucketed,
            fields={"time": "timestamp", **_PRICES, "amount": "homeNotional", "trades": "trades"},
        ),
        Route(
            "/api/v1/trade",
            trades,
            fields={
                "time": "timestamp",
                "price": "price",
                "amount": "homeNotional",
                "side": "side",
                "id": "trdMatchID",
            },
        ),
        Route("/api/v1/orderBook/L2", book, fields={"price": "price", "amount": "size", "side": "side"}),
        Route("/api/v1/instrument", instruments),
    ),
    rules=(Rule(_REQUESTS, MINUTE, Style.BUCKET, burst=_REQUESTS),),
    refused=refused,
    trouble=trouble,
    headers=headers,
)
