"""Coinbase Exchange (spot).

Docs: https://docs.cdp.coinbase.com/exchange/rest-api/requests

Quirks:
- Both bounds of the candles must be given, or both are ignored and the answer may be minutes old; both are
  inclusive and act on the open. More than 300 candles in a window is an error, not a cut page.
  Rows are ``[time, low, high, open, close, volume]``: numbers, newest first.
- Some candles may lie before the start that was asked for.
- A candle without a trade is left out. The running one is there, without a flag, and one that has just
  closed may still be revised. There is no quote volume and no number of trades.
- No first candle can be asked for and there is no listing date: trade 1 tells when a product began. Longer
  candles may begin later than that: those of BTC-USD of an hour and a day start on 2015-07-20.
- Trades know ids only, no times: consecutive per product, from 1. ``after=N`` gives those just below N,
  newest first; ``before=N`` gives the newest ones above N, so nothing is built on it.
- ``side`` is the MAKER's; ours is the taker's, the other one.
- Times are written with as many digits of a second as it takes, up to nine.
- The book of level 2 comes whole, however deep it is; it is cut here.
- Answers without a cursor are cached on the way: the newest trade may be some seconds old.
- UNSURE, so avoided: a start equal to the end. The end asked for is the last second of the last candle.
- UNSURE, so never relied on: the texts of 400 and 429, and whether 429 says how long to wait.
- UNSURE: the first trade of all; those of BTC-USD begin in January 2015.
"""

from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote

import msgspec
import polars as pl

from dccd_core.adapter import wire
from dccd_core.adapter.contract import (
    NOW,
    Endpoint,
    Exchange,
    IdWindows,
    Keeps,
    Limit,
    Markets,
    Query,
    Request,
    Response,
    Snapshot,
    TimeWindows,
)
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import SECOND, Us, iso, parse_time
from dccd_core.tables import DataType

_DOCS: Final = "https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products"
_PRODUCTS: Final = "/products"
_CANDLES: Final = "/products/{product}/candles"
_TRADES: Final = "/products/{product}/trades"
_BOOK: Final = "/products/{product}/book"
_LEVELS: Final = 1_000
"""How many levels of a side are kept: the venue sends all there are, tens of thousands for BTC-USD."""

_WAIT_S: Final = 1.0
"""How long to wait when the venue does not say."""


class Candle(msgspec.Struct, array_like=True, gc=False):
    """``[1710327600,73241.5,73402.47,73243.33,73370.65,1.56794406]``: the low comes first."""

    time: wire.Seconds
    low: float
    high: float
    open: float
    close: float
    volume: float


class Trade(msgspec.Struct, gc=False):
    """``{"trade_id":74,"side":"sell","size":"0.1","price":"10.0","time":"2014-11-07T22:19:28.578544Z"}``."""

    trade_id: wire.Whole
    side: Literal["buy", "sell"]
    size: str
    price: str
    time: str


class Level(msgspec.Struct, array_like=True, gc=False):
    """``["6247.58","6.3578146",2]``: price, size, number of orders."""

    price: str
    size: str


class Book(msgspec.Struct, gc=False):
    """``{"bids":[...],"asks":[...],"sequence":71,"time":"2023-02-10T23:40:12.886721Z"}``."""

    bids: list[Level]
    asks: list[Level]
    time: str


class Product(msgspec.Struct, gc=False):
    id: str
    base_currency: str
    quote_currency: str
    status: str
    trading_disabled: bool


class Error(msgspec.Struct, gc=False):
    """``{"message":"NotFound"}``."""

    message: str


_READ_CANDLES: Final = msgspec.json.Decoder(list[Candle])
_READ_TRADES: Final = msgspec.json.Decoder(list[Trade])
_READ_BOOK: Final = msgspec.json.Decoder(Book)
_READ_PRODUCTS: Final = msgspec.json.Decoder(list[Product])
_READ_ERROR: Final = msgspec.json.Decoder(Error)


def market(symbol: Symbol) -> str:
    return f"{symbol.base}-{symbol.quote}"


def _path(template: str, query: Query) -> str:
    """Put the product in; what has a meaning in a URL must not end the path."""
    return template.format(product=quote(query.market, safe=""))


def candles_request(query: Query) -> Request:
    """Ask from the first whole second in the span to its last one, both inclusive."""
    assert query.bar is not None
    first, last = (iso(Us(at * SECOND)) for at in wire.inclusive(query.span.start, query.span.end, SECOND))
    asked = {"granularity": str(query.bar // SECOND), "start": first, "end": last}
    return Request(_path(_CANDLES, query), asked)


def decode_candles(body: bytes, _: Us) -> pl.DataFrame:
    rows = wire.read(_READ_CANDLES, body)[::-1]
    times = wire.micros([row.time for row in rows], SECOND)
    return wire.bars(rows, times, volume=[row.volume for row in rows])


def trades_request(query: Query) -> Request:
    """Count down from the id behind the last one wanted; without ids, from the newest one."""
    behind = {} if query.first_id is None else {"after": str(query.first_id + query.limit)}
    return Request(_path(_TRADES, query), {**behind, "limit": str(query.limit)})


def newest_trade_request(query: Query) -> Request:
    return Request(_path(_TRADES, query), {"limit": "1"})


def first_trade_request(query: Query) -> Request:
    return Request(_path(_TRADES, query), {"after": "2", "limit": "1"})


def trade_columns(rows: Sequence[Trade]) -> dict[str, pl.Series | Sequence[object]]:
    return {
        "ts": wire.iso_micros([row.time for row in rows]),
        "price": [row.price for row in rows],
        "amount": [row.size for row in rows],
        "side": ["sell" if row.side == "buy" else "buy" for row in rows],
        "trade_id": [row.trade_id for row in rows],
    }


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    return wire.table(DataType.TRADES, **trade_columns(wire.read(_READ_TRADES, body)[::-1]))


def book_request(query: Query) -> Request:
    return Request(_path(_BOOK, query), {"level": "2"})


def decode_book(body: bytes, _: Us) -> pl.DataFrame:
    told = wire.read(_READ_BOOK, body)
    [at] = wire.iso_micros([told.time]).to_physical()
    bids, asks = ([(row.price, row.size) for row in side[:_LEVELS]] for side in (told.bids, told.asks))
    return wire.book(Us(at), bids, asks)


def products_requests() -> tuple[Request, ...]:
    return (Request(_PRODUCTS, {}),)


def decode_products(body: bytes) -> pl.DataFrame:
    rows = wire.read(_READ_PRODUCTS, body)
    return wire.markets(
        symbol=[f"{row.base_currency}/{row.quote_currency}" for row in rows],
        market=[row.id for row in rows],
        active=[row.status == "online" and not row.trading_disabled for row in rows],
    )


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the message, should one come inside HTTP 200."""
    message = _message_in(response.body)
    if message is None and response.status < 400:
        return None
    said = wire.beginning(response.body) if message is None else message
    text = f"HTTP {response.status}: {said}"
    return wire.barred(response, text) or _meaning(response, message, text)


def _meaning(response: Response, message: str | None, text: str) -> DccdError:
    lower = (message or "").lower()
    if response.status == 429 or "rate limit" in lower:
        return Throttled(text, wait_s=wire.retry_after(response, _WAIT_S), hint=wire.LIMITED)
    if response.status == 403 and message is None:
        return Banned(text, wait_s=wire.retry_after(response, 60.0), hint=wire.FIREWALL)
    if response.status >= 500 or "internal server error" in lower:
        return Unavailable(text, hint=wire.TROUBLE)
    if message is not None and (response.status == 404 or lower == "notfound"):
        return UnknownSymbol(text, hint="Coinbase does not list this symbol; see `dccd symbols coinbase`")
    return Rejected(text, hint="Coinbase refused the request itself")


def _message_in(body: bytes) -> str | None:
    """Return the message of an error; data bodies (lists, or a book) carry none."""
    if body.lstrip()[:1] != b"{" or b'"message"' not in body[:256]:
        return None
    error = wire.read_error(_READ_ERROR, body)
    return error and error.message


EXCHANGE = Exchange(
    name="coinbase",
    title="Coinbase Exchange",
    rest_url="https://api.exchange.coinbase.com",
    since=parse_time("2015-01-01"),
    finality_delay=Us(15 * SECOND),
    limits=(Limit(10, SECOND),),
    kinds=frozenset({"spot"}),
    market=market,
    verdict=verdict,
    markets=Markets(f"{_DOCS}/get-all-known-trading-pairs", products_requests, decode_products),
    endpoints={
        DataType.OHLC: Endpoint(
            docs=f"{_DOCS}/get-product-candles",
            path=_CANDLES,
            page_limit=300,
            paging=TimeWindows(Keeps.ALL),
            request=candles_request,
            decode=decode_candles,
            spans=tuple(parse_bar_span(span) for span in ("1m", "5m", "15m", "1h", "6h", "1d")),
            sparse=True,
        ),
        DataType.TRADES: Endpoint(
            docs=f"{_DOCS}/get-product-trades",
            path=_TRADES,
            page_limit=1_000,
            paging=IdWindows(newest=newest_trade_request, down=True),
            request=trades_request,
            decode=decode_trades,
            oldest=first_trade_request,
        ),
        DataType.ORDERBOOK: Endpoint(
            docs=f"{_DOCS}/get-product-book",
            path=_BOOK,
            page_limit=_LEVELS,
            paging=Snapshot(),
            request=book_request,
            decode=decode_book,
            reach=NOW,
        ),
    },
)
