"""Bybit v5: spot, USDT and USDC perpetuals, inverse perpetuals.

Docs: https://bybit-exchange.github.io/docs/v5/market/kline

Quirks:
- ``category`` tells spot from perpetual, which share their names; left out, klines are silently the
  perpetual's. It goes with every request.
- Errors come inside HTTP 200: ``retCode`` decides.
- Klines, trades and times: newest row first, numbers and milliseconds as text.
- Both bounds of a time window are inclusive and act on the open time; a window with more bars than ``limit``
  keeps the newest (UNSURE, as one client found; windows of one page are never cut).
- The first kline is the running one when the window reaches now; there is no closed flag, and no trade count.
- A minute without trades comes as a flat bar of volume 0 (UNSURE).
- Inverse: ``volume`` counts contracts of one USD, ``turnover`` is the base; sizes of trades and of the book
  count contracts too, so they are divided by their price.
- Trades: no start, no end, no cursor. The newest 60 (spot) or 1000 (others) are all there is. ``execId`` is a
  number for spot and a UUID elsewhere; neither is consecutive. ``side`` is the taker's.
- ``launchTime`` is missing for spot and can lie days after the first bar elsewhere (BTCUSDT: five days), so
  the first week's bar tells since when there is anything: all weeks there are fit one page.
- Instruments: only those that trade are told; dated futures are left out. ``nextPageCursor`` comes
  percent-encoded; spot has none.
- Order book: ``cts`` is when the matching engine made it, ``ts`` when it was sent.
- Weeks open on Monday; ``M`` is left out, a month has no fixed length.
- 600 requests in any 5 s per address, all hosts together; 403 is a ban of ten minutes for ignoring that.
  Countries that are not served get 403 too, from the CDN (UNSURE: known by the word "country").
- There is no header that tells what an address has spent: ``X-Bapi-Limit-*`` count per user.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import unquote

import msgspec
import polars as pl

from dccd_core.adapter import wire
from dccd_core.adapter.contract import (
    NOW,
    Endpoint,
    Exchange,
    Keeps,
    Limit,
    Markets,
    Query,
    Reach,
    Recent,
    Request,
    Response,
    Snapshot,
    TimeWindows,
)
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, WEEK, Us, parse_time
from dccd_core.tables import DataType

T = TypeVar("T")

_DOCS: Final = "https://bybit-exchange.github.io/docs/v5/market"
_KLINES: Final = "/v5/market/kline"
_TRADES: Final = "/v5/market/recent-trade"
_BOOK: Final = "/v5/market/orderbook"
_INSTRUMENTS: Final = "/v5/market/instruments-info"
INTERVALS: Final[Mapping[Us, str]] = {
    **{Us(n * MINUTE): str(n) for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    DAY: "D",
    WEEK: "W",
}
_PAGE: Final = 1_000

_FINE: Final = re.compile(rb'\s*\{\s*"retCode"\s*:\s*0\s*,')
_BAN_S: Final = 600.0
_DIGITS: Final = 19
"""Of a moment, at most: Python does not read endless numbers."""
_TOO_MANY: Final = (10006, 10018)
_OVERLOADED: Final = (10000, 10016)
_BAD_PARAMETER: Final = 10001
_BAD_SYMBOL: Final = 10029
_ABROAD: Final = (10009, 10024)
_OF_SYMBOL: Final = re.compile(r"supported symbol|symbol.*(invalid|not exist)|invalid.*symbol", re.IGNORECASE)


class Answer(msgspec.Struct, Generic[T], gc=False):
    """``{"retCode":0,"retMsg":"OK","result":{...},"retExtInfo":{},"time":1672025956592}``."""

    retCode: Literal[0]
    result: T


class Rows(msgspec.Struct, Generic[T], gc=False):
    """``{"category":"spot","list":[...],"nextPageCursor":""}``."""

    rows: list[T] = msgspec.field(name="list")
    nextPageCursor: str | None = None


class Kline(msgspec.Struct, array_like=True, gc=False):
    """``["1670608800000","17071","17073","17027","17055.5","268611","15.74462667"]``."""

    start: wire.Millis
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str


class Trade(msgspec.Struct, gc=False):
    """``{"execId":"21000","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758",...}``."""

    execId: str
    price: str
    size: str
    side: Literal["Buy", "Sell"]
    time: wire.Millis


class Book(msgspec.Struct, gc=False):
    """``{"s":"BTCUSDT","b":[["65485.47","47.08"]],"a":[...],"ts":1716863719031,"cts":1716863718905,...}``."""

    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    ts: wire.Millis
    cts: wire.Millis | None = None


class Instrument(msgspec.Struct, gc=False):
    """Spot has no contract, no coin it is settled in and no launch."""

    symbol: str
    status: str
    baseCoin: str
    quoteCoin: str
    contractType: str = ""
    settleCoin: str = ""
    launchTime: wire.Millis | Literal[""] = ""


class Status(msgspec.Struct, gc=False):
    retCode: int
    retMsg: str = ""


# not strict, because integers come as text
_READ_KLINES: Final = msgspec.json.Decoder(Answer[Rows[Kline]], strict=False)
_READ_TRADES: Final = msgspec.json.Decoder(Answer[Rows[Trade]], strict=False)
_READ_BOOK: Final = msgspec.json.Decoder(Answer[Book], strict=False)
_READ_INSTRUMENTS: Final = msgspec.json.Decoder(Answer[Rows[Instrument]], strict=False)
_READ_STATUS: Final = msgspec.json.Decoder(Status, strict=False)


def market(symbol: Symbol) -> str:
    return f"{symbol.base}PERP" if symbol.settle == "USDC" else f"{symbol.base}{symbol.quote}"


def _of(query: Query) -> dict[str, str]:
    return {"category": query.market_type, "symbol": query.market}


def klines_request(query: Query) -> Request:
    assert query.bar is not None
    first, last = wire.inclusive(query.span.start, query.span.end)
    window = {"start": str(first), "end": str(last), "limit": str(query.limit)}
    return Request(_KLINES, {**_of(query), "interval": INTERVALS[query.bar], **window})


def first_week_request(query: Query) -> Request:
    """Ask for every week there is: the oldest begins at most a week before the first row."""
    return Request(_KLINES, {**_of(query), "interval": INTERVALS[WEEK], "limit": str(_PAGE)})


def decode_klines(body: bytes, _: Us) -> pl.DataFrame:
    rows = wire.read(_READ_KLINES, body).result.rows[::-1]
    return wire.bars(
        rows,
        wire.micros([row.start for row in rows]),
        volume=[row.volume for row in rows],
        quote_volume=[row.turnover for row in rows],
    )


def decode_inverse_klines(body: bytes, at: Us) -> pl.DataFrame:
    return decode_klines(body, at).with_columns(volume="quote_volume", quote_volume="volume")


def trades_request(query: Query) -> Request:
    return Request(_TRADES, {**_of(query), "limit": str(query.limit)})


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    rows = wire.read(_READ_TRADES, body).result.rows[::-1]
    return wire.table(
        DataType.TRADES,
        ts=wire.micros([row.time for row in rows]),
        price=[row.price for row in rows],
        amount=[row.size for row in rows],
        side=["buy" if row.side == "Buy" else "sell" for row in rows],
        trade_id=[row.execId for row in rows],
    )


def decode_inverse_trades(body: bytes, at: Us) -> pl.DataFrame:
    return decode_trades(body, at).with_columns(pl.col("amount") / pl.col("price"))


def book_request(query: Query) -> Request:
    return Request(_BOOK, {**_of(query), "limit": str(query.limit)})


def decode_book(body: bytes, _: Us) -> pl.DataFrame:
    told = wire.read(_READ_BOOK, body).result
    at = told.ts if told.cts is None else told.cts
    return wire.book(Us(at * MILLISECOND), told.b, told.a)


def decode_inverse_book(body: bytes, at: Us) -> pl.DataFrame:
    return decode_book(body, at).with_columns(pl.col("amount") / pl.col("price"))


def markets_requests() -> tuple[Request, ...]:
    spot = Request(_INSTRUMENTS, {"category": "spot"})
    contracts = [{"category": kind, "limit": str(_PAGE)} for kind in ("linear", "inverse")]
    return (spot, *(Request(_INSTRUMENTS, params) for params in contracts))


def more_markets(request: Request, body: bytes) -> Request | None:
    cursor = wire.read(_READ_INSTRUMENTS, body).result.nextPageCursor
    return replace(request, params={**request.params, "cursor": unquote(cursor)}) if cursor else None


def decode_markets(body: bytes) -> pl.DataFrame:
    found = wire.read(_READ_INSTRUMENTS, body).result.rows
    rows = [row for row in found if "Futures" not in row.contractType]
    names = [Symbol(row.baseCoin, row.quoteCoin, row.settleCoin or None) for row in rows]
    return wire.markets(
        symbol=[str(name) for name in names],
        market=[row.symbol for row in rows],
        active=[row.status == "Trading" for row in rows],
        listed=pl.Series([row.launchTime or None for row in rows], dtype=pl.Int64) * MILLISECOND,
        contract=[1.0 if name.market_type == "inverse" else None for name in names],
    )


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the code in the body, which comes with HTTP 200."""
    if response.status < 400 and _FINE.match(response.body[:64]):
        return None
    error = wire.read_error(_READ_STATUS, response.body)
    code, said = (error.retCode, error.retMsg) if error else (0, wire.beginning(response.body))
    if not code and response.status < 400:
        return None
    text = f"HTTP {response.status}: {f'{code} ' if error else ''}{said}"
    return wire.barred(response, text) or _come_back(response, code, text) or _refusal(code, text)


def _come_back(response: Response, code: int, text: str) -> DccdError | None:
    """Return the error that waiting helps against."""
    if response.status == 403:
        return Banned(text, wait_s=_BAN_S, hint="too many requests from this address: they stop for a while")
    if response.status == 429 or code in _TOO_MANY:
        return Throttled(text, wait_s=_wait_s(response), hint=wire.LIMITED)
    if response.status >= 500 or code in _OVERLOADED:
        return Unavailable(text, hint=wire.TROUBLE)
    return None


def _refusal(code: int, text: str) -> DccdError:
    if code == _BAD_SYMBOL or (code == _BAD_PARAMETER and _OF_SYMBOL.search(text)):
        return UnknownSymbol(text, hint="Bybit does not list this symbol; see `dccd symbols bybit`")
    if code in _ABROAD:
        return Rejected(text, hint=wire.ABROAD)
    return Rejected(text, hint="Bybit refused the request itself")


def _wait_s(response: Response) -> float | None:
    reset = response.headers.get("x-bapi-limit-reset-timestamp", "")
    told = wire.wait_until(int(reset[:_DIGITS]) * MILLISECOND, response) if reset.isdecimal() else None
    return wire.retry_after(response, told)


_OHLC: Final = Endpoint(
    docs=f"{_DOCS}/kline",
    path=_KLINES,
    page_limit=_PAGE,
    paging=TimeWindows(Keeps.NEWEST),
    request=klines_request,
    decode=decode_klines,
    spans=tuple(INTERVALS),
    oldest=first_week_request,
)
_SPOT_TRADES: Final = Endpoint(
    docs=f"{_DOCS}/recent-trade",
    path=_TRADES,
    page_limit=60,
    paging=Recent(),
    request=trades_request,
    decode=decode_trades,
    reach=Reach(rows=60),
)
_CONTRACT_TRADES: Final = replace(_SPOT_TRADES, page_limit=_PAGE, reach=Reach(rows=_PAGE))
_ORDERBOOK: Final = Endpoint(
    docs=f"{_DOCS}/orderbook",
    path=_BOOK,
    page_limit=_PAGE,
    paging=Snapshot(),
    request=book_request,
    decode=decode_book,
    reach=NOW,
)

EXCHANGE = Exchange(
    name="bybit",
    title="Bybit",
    rest_url="https://api.bybit.com",
    since=parse_time("2018-11-14"),
    finality_delay=Us(5 * SECOND),
    limits=(Limit(600, Us(5 * SECOND)),),
    kinds=frozenset({"spot", "linear", "inverse"}),
    market=market,
    verdict=verdict,
    markets=Markets(f"{_DOCS}/instrument", markets_requests, decode_markets, more_markets),
    endpoints={DataType.OHLC: _OHLC, DataType.TRADES: _SPOT_TRADES, DataType.ORDERBOOK: _ORDERBOOK},
    special={
        ("inverse", DataType.OHLC): replace(_OHLC, decode=decode_inverse_klines),
        ("linear", DataType.TRADES): _CONTRACT_TRADES,
        ("inverse", DataType.TRADES): replace(_CONTRACT_TRADES, decode=decode_inverse_trades),
        ("inverse", DataType.ORDERBOOK): replace(_ORDERBOOK, decode=decode_inverse_book),
    },
)
