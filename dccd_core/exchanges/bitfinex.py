"""Bitfinex v2, spot.

Docs: https://docs.bitfinex.com/docs/rest-public

Quirks:
- Answers are bare arrays of numbers that may grow at the end without notice.
- Symbols are case sensitive: ``t`` and the pair; a colon parts the members when one has more than three
  letters (``tDOGE:USD``). Some currencies have names of their own: Tether is ``UST``.
- A WRONG SYMBOL IS NO ERROR for candles and trades: they answer ``[]`` with HTTP 200, as if nothing had
  been traded. Only symbol discovery tells the difference; the order book says ``symbol: invalid``.
- Both bounds are inclusive, in milliseconds; ``start`` after ``end`` is an error (UNSURE whether ``start``
  equal to ``end`` is one, so neither is asked). Newest rows first unless ``sort=1``.
- Candles: open, CLOSE, high, low. Intervals without trades are left out; the running bar comes last, with
  no flag. A ``start`` off the grid of the bars was once seen to answer ``[]``: it is rounded up.
- ``1m`` is a minute, ``1M`` a month. UNSURE where ``1W`` and ``14D`` begin, so those are left out too.
- Closed candles are corrected for some seconds: they settle late.
- Trades: the sign of AMOUNT is the taker's side. Ids are shared by all pairs: they rise, with holes. There
  is no asking by id, so each page begins at the moment at which the one before ended.
- The order book carries no time: its rows take the time of the answer. ``P0`` rounds prices to five
  significant digits, which is as fine as prices are here. UNSURE whether 250 levels can be asked over REST.
- Symbol discovery tells no listing date (the first bar or trade does) and lists paper markets
  (``TESTBTC:TESTUSD``) like any other. UNSURE which currencies have names of their own besides those here.
- Limits are per address and endpoint; too much shuts the endpoint for a minute, without saying how long.
  UNSURE whether trades may be asked 15 or 90 times a minute, so 15.
- Errors are arrays (``["error",10020,"..."]``) or objects (``{"error":"..."}``); HTTP 500 also means that
  the request was wrong (10020). UNSURE what 10000 means: it is asked again, as for 20060 (maintenance).
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec
import polars as pl

from dccd_core.adapter import wire
from dccd_core.adapter.contract import (
    NOW,
    Cursor,
    Endpoint,
    Exchange,
    Limit,
    Markets,
    Query,
    Request,
    Response,
    Snapshot,
    TimeWindows,
)
from dccd_core.domain.barspan import bar_open, parse_bar_span
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, Us, parse_time
from dccd_core.tables import DataType

DOCS: Final = "https://docs.bitfinex.com/reference"
_SPANS: Final = ["1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1D"]
FRAMES: Final = {parse_bar_span(frame.lower()): frame for frame in _SPANS}
_CANDLES: Final = "/v2/candles/trade:{frame}:{symbol}/hist"
_TRADES: Final = "/v2/trades/{symbol}/hist"
_BOOK: Final = "/v2/book/{symbol}/P0"
_PAIRS: Final = "/v2/conf/pub:list:pair:exchange"
_DEPTHS: Final = (1, 25, 100)
OWN_NAMES: Final = {
    "ALGO": "ALG",
    "AMPL": "AMP",
    "ATOM": "ATO",
    "DASH": "DSH",
    "EURT": "EUT",
    "IOTA": "IOT",
    "MANA": "MNA",
    "QTUM": "QTM",
    "STORJ": "STJ",
    "TUSD": "TSD",
    "USDC": "UDC",
    "USDT": "UST",
}
"""What the venue calls currencies that it has names of its own for."""
_UNIFIED: Final = {own: unified for unified, own in OWN_NAMES.items()}

_BLOCK_S: Final = 60.0
_INVALID: Final = 10020
_TOO_MANY: Final = (11010, "ERR_RATE_LIMIT")
_OUT_OF_ORDER: Final = (10000, 20051, 20060, 20061, "temporarily_unavailable")
_NO_ROWS: Final = re.compile(rb'\s*(\[\s*"|\{)')
"""How an error begins and rows never do: those are arrays in an array."""


class Candle(msgspec.Struct, array_like=True, gc=False):
    """``[1552298400000,3870.1,3890,3890.5,3870,0.05]``."""

    open_time: wire.Millis
    open: float
    close: float
    high: float
    low: float
    volume: float


class Trade(msgspec.Struct, array_like=True, gc=False):
    """``[1560452102,1710327651446,-0.00019983,73218]``: here the taker sold."""

    id: wire.Whole
    time: wire.Millis
    amount: float
    price: float


class Level(msgspec.Struct, array_like=True, gc=False):
    """``[8744.9,2,0.45603413]``: a bid, or an ask if the amount is negative."""

    price: float
    orders: wire.Whole
    amount: float


class Listing(msgspec.Struct, array_like=True, gc=False):
    """``[["AAVE:USD","BTCUSD"]]``: one list for each name asked for."""

    pairs: list[str]


class Refusal(msgspec.Struct, array_like=True, tag="error", gc=False):
    """``["error",10020,"symbol: invalid"]``."""

    code: int
    message: str


class Trouble(msgspec.Struct, gc=False):
    """``{"error":"ERR_RATE_LIMIT"}``, at times with an ``error_description``."""

    error: str
    error_description: str = ""


READ_CANDLES: Final = msgspec.json.Decoder(list[Candle])
READ_TRADES: Final = msgspec.json.Decoder(list[Trade])
_READ_BOOK: Final = msgspec.json.Decoder(list[Level])
_READ_PAIRS: Final = msgspec.json.Decoder(Listing)
_READ_REFUSAL: Final = msgspec.json.Decoder(Refusal)
_READ_TROUBLE: Final = msgspec.json.Decoder(Trouble)


def market(symbol: Symbol) -> str:
    members = [OWN_NAMES.get(name, name) for name in (symbol.base, symbol.quote)]
    return "t" + (":" if any(len(name) > 3 for name in members) else "").join(members)


def _bounds(start: Us, end: Us) -> dict[str, str]:
    """Return inclusive milliseconds, one more where the venue would see no interval."""
    first, last = wire.inclusive(start, end)
    return {"start": str(first), "end": str(max(first + 1, last))}


def _path(template: str, query: Query, **parts: str) -> str:
    """Fill the path; what is odd in a symbol stays part of it."""
    return template.format(symbol=quote(query.market, safe=":"), **parts)


def candles_request(query: Query) -> Request:
    assert query.bar is not None
    on_grid = bar_open(Us(query.span.start + query.bar - 1), query.bar)
    bounds = _bounds(on_grid, query.span.end)
    return _candles(query, {**bounds, "limit": str(query.limit), "sort": "1"})


def first_candle_request(query: Query) -> Request:
    return _candles(query, {"start": "0", "limit": "1", "sort": "1"})


def _candles(query: Query, params: dict[str, str]) -> Request:
    assert query.bar is not None
    return Request(_path(_CANDLES, query, frame=FRAMES[query.bar]), params, pool="candles")


def decode_candles(body: bytes, _: Us) -> pl.DataFrame:
    rows = wire.read(READ_CANDLES, body)
    return wire.bars(rows, wire.micros([row.open_time for row in rows]), volume=[row.volume for row in rows])


def trades_request(query: Query) -> Request:
    bounds = _bounds(query.span.start, query.span.end)
    return _trades(query, {**bounds, "limit": str(query.limit), "sort": "1"})


def first_trade_request(query: Query) -> Request:
    return _trades(query, {"start": "0", "limit": "1", "sort": "1"})


def _trades(query: Query, params: dict[str, str]) -> Request:
    return Request(_path(_TRADES, query), params, pool="trades")


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    return wire.table(DataType.TRADES, **trade_columns(wire.read(READ_TRADES, body)))


def trade_columns(rows: Sequence[Trade]) -> wire.Columns:
    return {
        "ts": wire.micros([row.time for row in rows]),
        "price": [row.price for row in rows],
        "amount": [abs(row.amount) for row in rows],
        "side": ["buy" if row.amount > 0 else "sell" for row in rows],
        "trade_id": [row.id for row in rows],
    }


def book_request(query: Query) -> Request:
    depth = next(depth for depth in _DEPTHS if query.limit <= depth)
    return Request(_path(_BOOK, query), {"len": str(depth)}, pool="book")


def decode_book(body: bytes, at: Us) -> pl.DataFrame:
    rows = wire.read(_READ_BOOK, body)
    bids = [(row.price, row.amount) for row in rows if row.amount > 0]
    asks = [(row.price, abs(row.amount)) for row in rows if row.amount <= 0]
    return wire.book(at, bids, asks)


def markets_requests() -> tuple[Request, ...]:
    return (Request(_PAIRS, {}, pool="conf"),)


def decode_markets(body: bytes) -> pl.DataFrame:
    pairs = wire.read(_READ_PAIRS, body).pairs
    return wire.markets(
        symbol=[_unified(pair) for pair in pairs],
        market=[f"t{pair}" for pair in pairs],
        active=[True] * len(pairs),
    )


def _unified(pair: str) -> str:
    members = pair.split(":") if ":" in pair else (pair[:3], pair[3:])
    return "/".join(_UNIFIED.get(name, name) for name in members)


def verdict(response: Response) -> DccdError | None:
    """Judge by the error in the body first where there is one: a status of 500 also means a wrong request."""
    error = _error_in(response.body)
    if error is None and response.status < 400:
        return None
    code, said = error or (None, wire.beginning(response.body))
    text = f"HTTP {response.status}: {said if code is None else f'{code} {said}'}"
    return wire.barred(response, text) or _meaning(response, code, said, text)


def _meaning(response: Response, code: int | str | None, said: str, text: str) -> DccdError:
    if response.status == 429 or code in _TOO_MANY:
        return Throttled(text, wait_s=wire.retry_after(response, _BLOCK_S), hint=wire.LIMITED)
    if (code, said) == (_INVALID, "symbol: invalid"):
        return UnknownSymbol(text, hint="Bitfinex does not list this symbol; see `dccd symbols bitfinex`")
    if response.status == 403:
        return Banned(text, wait_s=wire.retry_after(response, _BLOCK_S), hint=wire.FIREWALL)
    if code in _OUT_OF_ORDER or (response.status >= 500 and code != _INVALID):
        return Unavailable(text, hint=wire.TROUBLE)
    return Rejected(text, hint="Bitfinex refused the request itself")


def _error_in(body: bytes) -> tuple[int | str, str] | None:
    """Return the code and the words of the error a body carries; rows carry none."""
    opening = _NO_ROWS.match(body)
    if opening is None:
        return None
    if opening[1] == b"{":
        trouble = wire.read_error(_READ_TROUBLE, body)
        return trouble and (trouble.error, trouble.error_description)
    refusal = wire.read_error(_READ_REFUSAL, body)
    return refusal and (refusal.code, refusal.message)


EXCHANGE = Exchange(
    name="bitfinex",
    title="Bitfinex",
    rest_url="https://api-pub.bitfinex.com",
    since=parse_time("2013-01-14"),
    finality_delay=Us(15 * SECOND),
    limits=(
        Limit(30, MINUTE, "candles"),
        Limit(15, MINUTE, "trades"),
        Limit(240, MINUTE, "book"),
        Limit(90, MINUTE, "conf"),
    ),
    kinds=frozenset({"spot"}),
    market=market,
    verdict=verdict,
    markets=Markets(f"{DOCS}/rest-public-conf", markets_requests, decode_markets),
    endpoints={
        DataType.OHLC: Endpoint(
            docs=f"{DOCS}/rest-public-candles",
            path=_CANDLES,
            page_limit=10_000,
            paging=TimeWindows(),
            request=candles_request,
            decode=decode_candles,
            spans=tuple(FRAMES),
            oldest=first_candle_request,
            sparse=True,
        ),
        DataType.TRADES: Endpoint(
            docs=f"{DOCS}/rest-public-trades",
            path=_TRADES,
            page_limit=10_000,
            paging=Cursor(),
            request=trades_request,
            decode=decode_trades,
            oldest=first_trade_request,
        ),
        DataType.ORDERBOOK: Endpoint(
            docs=f"{DOCS}/rest-public-book",
            path=_BOOK,
            page_limit=100,
            paging=Snapshot(),
            request=book_request,
            decode=decode_book,
            reach=NOW,
        ),
    },
)
