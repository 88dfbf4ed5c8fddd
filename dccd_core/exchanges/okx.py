"""OKX v5: spot, linear and inverse perpetuals.

Docs: https://www.okx.com/docs-v5/en/

Quirks:
- Every answer is ``{"code":"0","msg":"","data":[...]}``, numbers are text; an error may come with HTTP 200.
- ``before`` and ``after`` are both exclusive, and named by where a page lies: ``after`` asks for OLDER rows,
  ``before`` for newer ones. ``before`` alone gives the newest rows of all, so bars are asked with both.
  Newest first; a page keeps the newest rows. Times are milliseconds.
- Bars of six hours and more are Hong Kong's unless the name ends in ``utc``. Left out: ``2Dutc``, ``3Dutc``
  and ``1Wutc`` (nothing shows where they begin), ``1s`` (three months only), months (no fixed length).
- UNSURE: whether history shows the running bar; one with ``confirm`` 0 is dropped.
- A minute without trades is a bar of volume 0 at the last close. There is no count of trades.
- The base volume is cell 5 for spot, cell 6 for derivatives, whose cell 5 counts contracts (and cell 6 of
  spot is the quote volume). Trades and books of derivatives count contracts of ``ctVal`` times ``ctMult``,
  which the venue has changed over time.
- Trades go back three months. Paging by time loses rows of the border's millisecond, so only the border
  itself is looked up by time (``type=2``); ids are consecutive per instrument. ``side`` is the taker's.
- There is no way to ask for the very first row. ``listTime`` is no listing date for pairs older than the
  present system: all those have the same one in January 2019, though their bars begin earlier.
- USD-margined perpetuals are ``BTC-USD_UM-SWAP``; ``BTC-USD-SWAP`` is the inverse one.
- Bars and trades come from servers with caches of their own: an answer may be older than the one before it.
- ``https://openapi.okx.com`` is the host that the venue recommends since 2026-05; www.okx.com keeps
  answering. Some countries have hosts of their own (``eea.okx.com``, ``us.okx.com``).
- Each path has a limit of its own per address. Nothing tells how much is used or how long to wait.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Generic, Literal, TypeVar

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
    Reach,
    Request,
    Response,
    Snapshot,
    TimeWindows,
)
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, SECOND, Us, parse_time
from dccd_core.tables import DataType

DOCS: Final = "https://www.okx.com/docs-v5/en/"
_CANDLES: Final = "/api/v5/market/history-candles"
_TRADES: Final = "/api/v5/market/history-trades"
_BOOKS: Final = "/api/v5/market/books"
_INSTRUMENTS: Final = "/api/v5/public/instruments"
_TWO_SECONDS: Final = Us(2 * SECOND)
_NAMES: Final = ("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6Hutc", "12Hutc", "1Dutc")
BARS: Final = {parse_bar_span(name.removesuffix("utc").lower()): name for name in _NAMES}
_MOVED: Final = 1_548_133_413_000
"""``listTime`` of every pair that is older than the venue's present system."""

_ELSEWHERE: Final = "https://eea.okx.com or https://us.okx.com"
_WAIT_S: Final = 2.0
"""How long to wait when the venue does not say."""
TOO_MANY: Final = ("50011", "50040", "50061")
OVERLOADED: Final = ("50001", "50004", "50005", "50013", "50026")
_BAD_SYMBOL: Final = ("51001",)

T = TypeVar("T")


class Reply(msgspec.Struct, Generic[T], gc=False):
    """``{"code":"0","msg":"","data":[...]}``."""

    code: str
    data: list[T]


class Candle(msgspec.Struct, array_like=True, gc=False):
    """``["1597026383085","3.721","3.743","3.677","3.708","8422410","22698348.04","12698348.04","1"]``."""

    ts: wire.Millis
    open: str
    high: str
    low: str
    close: str
    vol: str
    volCcy: str
    volCcyQuote: str
    confirm: Literal["0", "1"]


class Trade(msgspec.Struct, gc=False):
    """``{"instId":"BTC-USDT","side":"sell","sz":"0.1","px":"29963.2","tradeId":"242","ts":"1654161646974"}``."""

    side: str
    sz: str
    px: str
    tradeId: wire.Whole
    ts: wire.Millis


class Level(msgspec.Struct, array_like=True, gc=False):
    """``["41006.8","0.60038921","0","1"]``: price, amount, nothing, orders."""

    price: str
    amount: str


class Book(msgspec.Struct, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: wire.Millis


class Instrument(msgspec.Struct, gc=False):
    """``{"instId":"BTC-USD-SWAP","ctType":"inverse","ctVal":"100","ctMult":"1","listTime":"1535424203000",...}``.

    Spot has no contracts: there all that tells of them is empty text.
    """

    instId: str
    ctType: Literal["", "linear", "inverse"]
    ctVal: float | Literal[""]
    ctMult: float | Literal[""]
    state: str
    listTime: wire.Millis | Literal[""]


class Error(msgspec.Struct, gc=False):
    """``{"code":"51001","msg":"Instrument ID doesn't exist.","data":[]}``."""

    code: str
    msg: str


# Not strict: this venue writes its numbers as text.
_READ_CANDLES: Final = msgspec.json.Decoder(Reply[Candle], strict=False)
_READ_TRADES: Final = msgspec.json.Decoder(Reply[Trade], strict=False)
_READ_BOOKS: Final = msgspec.json.Decoder(Reply[Book], strict=False)
_READ_INSTRUMENTS: Final = msgspec.json.Decoder(Reply[Instrument], strict=False)
_READ_ERROR: Final = msgspec.json.Decoder(Error)


def market(symbol: Symbol) -> str:
    if symbol.settle is None:
        return f"{symbol.base}-{symbol.quote}"
    margin = "_UM" if symbol.market_type == "linear" and symbol.quote == "USD" else ""
    return f"{symbol.base}-{symbol.quote}{margin}-SWAP"


def _after(at: Us) -> str:
    """Return the bound whose older rows are those before ``at``."""
    return str(-(-at // MILLISECOND))


def candles_request(query: Query) -> Request:
    assert query.bar is not None
    before = max(0, -(-query.span.start // MILLISECOND) - 1)
    window = {"before": str(before), "after": _after(query.span.end), "limit": str(query.limit)}
    asked = {"instId": query.market, "bar": BARS[query.bar]}
    return Request(_CANDLES, {**asked, **window}, pool="history-candles")


def decode_spot_candles(body: bytes, _: Us) -> pl.DataFrame:
    rows = _final_candles(body)
    return _bars(rows, [row.vol for row in rows])


def decode_swap_candles(body: bytes, _: Us) -> pl.DataFrame:
    rows = _final_candles(body)
    return _bars(rows, [row.volCcy for row in rows])


def _final_candles(body: bytes) -> list[Candle]:
    return [row for row in reversed(wire.read(_READ_CANDLES, body).data) if row.confirm == "1"]


def _bars(rows: Sequence[Candle], volume: Sequence[str]) -> pl.DataFrame:
    quote_volume = [row.volCcyQuote for row in rows]
    return wire.bars(rows, wire.micros([row.ts for row in rows]), volume=volume, quote_volume=quote_volume)


def _trades_page(query: Query, by: str, after: str, limit: int) -> Request:
    asked = {"instId": query.market, "type": by, "after": after, "limit": str(limit)}
    return Request(_TRADES, asked, pool="history-trades")


def trades_request(query: Query) -> Request:
    assert query.first_id is not None
    return _trades_page(query, "1", str(query.first_id + query.limit), query.limit)


def trade_before_request(query: Query) -> Request:
    return _trades_page(query, "2", _after(query.span.start), 1)


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    return wire.table(DataType.TRADES, **trade_columns(wire.read(_READ_TRADES, body).data[::-1]))


def trade_columns(rows: Sequence[Trade]) -> wire.Columns:
    return {
        "ts": wire.micros([row.ts for row in rows]),
        "price": [row.px for row in rows],
        "amount": [row.sz for row in rows],
        "side": [row.side for row in rows],
        "trade_id": [row.tradeId for row in rows],
    }


def books_request(query: Query) -> Request:
    return Request(_BOOKS, {"instId": query.market, "sz": str(query.limit)}, pool="books")


def decode_books(body: bytes, _: Us) -> pl.DataFrame:
    books = [_book(told) for told in wire.read(_READ_BOOKS, body).data]
    return pl.concat([DataType.ORDERBOOK.table.schema.to_frame(), *books]).sort("ts", maintain_order=True)


def _book(told: Book) -> pl.DataFrame:
    return wire.book(Us(told.ts * MILLISECOND), pairs(told.bids), pairs(told.asks))


def pairs(levels: Sequence[Level]) -> list[tuple[str, str]]:
    return [(level.price, level.amount) for level in levels]


def markets_requests() -> tuple[Request, ...]:
    return tuple(
        Request(_INSTRUMENTS, {"instType": kind}, pool="instruments", market=kind)
        for kind in ("SPOT", "SWAP")
    )


def decode_markets(body: bytes) -> pl.DataFrame:
    rows = wire.read(_READ_INSTRUMENTS, body).data
    return wire.markets(
        symbol=[str(_symbol(row)) for row in rows],
        market=[row.instId for row in rows],
        active=[row.state == "live" for row in rows],
        listed=[_listed(row) for row in rows],
        contract=[row.ctVal * (row.ctMult or 1.0) if row.ctVal else None for row in rows],
    )


def _symbol(row: Instrument) -> Symbol:
    base, _, quote = row.instId.removesuffix("-SWAP").removesuffix("_UM").partition("-")
    if not row.ctType:
        return Symbol(base, quote)
    return Symbol(base, quote, base if row.ctType == "inverse" else quote)


def _listed(row: Instrument) -> int | None:
    return None if row.listTime in ("", _MOVED) else row.listTime * MILLISECOND


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the code in the body: errors also come with HTTP 200."""
    error = _error_in(response.body)
    if error is None and response.status < 400:
        return None
    code = error.code if error else ""
    said = f"{code} {error.msg}" if error else wire.beginning(response.body)
    text = f"HTTP {response.status}: {said}"
    return wire.barred(response, text, _ELSEWHERE) or _meaning(response, code, text)


def _meaning(response: Response, code: str, text: str) -> DccdError:
    if response.status >= 500 or code in OVERLOADED:  # 50013 comes with 429, but is the venue's trouble
        return Unavailable(text, hint=wire.TROUBLE)
    if response.status == 429 or code in TOO_MANY:
        return Throttled(text, wait_s=wire.retry_after(response, _WAIT_S), hint=wire.LIMITED)
    if response.status in (403, 418):
        return Banned(text, wait_s=wire.retry_after(response, 60.0), hint=wire.FIREWALL)
    if code in _BAD_SYMBOL:
        return UnknownSymbol(text, hint="OKX does not list this instrument; see `dccd symbols okx`")
    return Rejected(text, hint="OKX refused the request itself")


def _error_in(body: bytes) -> Error | None:
    """Return the error a body carries; the code of a good answer is 0."""
    error = wire.read_error(_READ_ERROR, body)
    return None if error is None or error.code == "0" else error


_ENDPOINTS: Final = {
    DataType.OHLC: Endpoint(
        docs=f"{DOCS}#order-book-trading-market-data-get-candlesticks-history",
        path=_CANDLES,
        page_limit=300,
        paging=TimeWindows(Keeps.NEWEST),
        request=candles_request,
        decode=decode_spot_candles,
        spans=tuple(BARS),
    ),
    DataType.TRADES: Endpoint(
        docs=f"{DOCS}#order-book-trading-market-data-get-trades-history",
        path=_TRADES,
        page_limit=100,
        paging=IdWindows(before=trade_before_request, down=True),
        request=trades_request,
        decode=decode_trades,
        reach=Reach(period=Us(90 * DAY)),
    ),
    DataType.ORDERBOOK: Endpoint(
        docs=f"{DOCS}#order-book-trading-market-data-get-order-book",
        path=_BOOKS,
        page_limit=400,
        paging=Snapshot(),
        request=books_request,
        decode=decode_books,
        reach=NOW,
    ),
}
_SWAPS: Final = {
    DataType.OHLC: replace(_ENDPOINTS[DataType.OHLC], decode=decode_swap_candles),
    DataType.TRADES: replace(_ENDPOINTS[DataType.TRADES], contracts=True),
    DataType.ORDERBOOK: replace(_ENDPOINTS[DataType.ORDERBOOK], contracts=True),
}


EXCHANGE = Exchange(
    name="okx",
    title="OKX",
    rest_url="https://www.okx.com",
    since=parse_time("2017-10-01"),
    finality_delay=Us(5 * SECOND),
    limits=(
        Limit(20, _TWO_SECONDS, "history-candles"),
        Limit(20, _TWO_SECONDS, "history-trades"),
        Limit(40, _TWO_SECONDS, "books"),
        Limit(20, _TWO_SECONDS, "instruments", per_market=True),
    ),
    kinds=frozenset({"spot", "linear", "inverse"}),
    market=market,
    verdict=verdict,
    markets=Markets(f"{DOCS}#public-data-rest-api-get-instruments", markets_requests, decode_markets),
    endpoints=_ENDPOINTS,
    special={
        (kind, data_type): endpoint
        for kind in ("linear", "inverse")
        for data_type, endpoint in _SWAPS.items()
    },
)
