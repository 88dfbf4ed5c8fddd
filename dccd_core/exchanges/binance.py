"""Binance spot.

Docs: https://developers.binance.com/docs/binance-spot-api-docs/rest-api

Quirks:
- Both bounds of a time window are inclusive; for bars they act on the open time.
- Both bounds given: oldest rows first, cut at the end; only the end given: the newest rows up to it.
  Times are milliseconds.
- The last bar is the running one when the window reaches now; there is no closed flag.
- A minute without trades comes as a bar of volume 0; in an outage of the engine the bars are missing.
- ``aggTrades``: fills of one taker order at one price are one row; ids are consecutive per symbol.
  ``m`` says the BUYER was the maker, so the taker sold. ``fromId`` cannot be combined with times (-1128).
- The order book carries no time: its rows take the time of the answer.
- There is no listing date: the first bar or trade tells it.
- Weeks open on Monday; ``1M`` is left out, a month has no fixed length.
- UNSURE, so handled as opaque text: the body of HTTP 451 (blocked country).
- Weight is counted per address in windows that start on the minute; 418 is a ban for ignoring 429.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
import polars as pl

from dccd_core.adapter.contract import (
    Endpoint,
    Exchange,
    IdWindows,
    Limit,
    Markets,
    Query,
    Reach,
    Request,
    Response,
    Snapshot,
    TimeWindows,
)
from dccd_core.adapter.wire import Millis, Whole, nanos, read, table
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.datatype import DataType
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Ns, parse_time

_DOCS: Final = "https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints"
_SPANS: Final = ["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"]
_KLINES: Final = "/api/v3/klines"
_AGG_TRADES: Final = "/api/v3/aggTrades"
_DEPTH: Final = "/api/v3/depth"
_INFO: Final = "/api/v3/exchangeInfo"
_BAN_ENDS: Final = re.compile(r"until (\d{13})")

_BAD_SYMBOL: Final = (-1121, -1220)
_TOO_MANY: Final = -1003
_OVERLOADED: Final = (-1000, -1001, -1006, -1007, -1008, -1016)


class Kline(msgspec.Struct, array_like=True, gc=False):
    """``[1499040000000,"0.0163","0.8000","0.0157","0.0158","148976.1",1499644799999,"2434.2",308,...]``."""

    open_time: Millis
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int
    quote_volume: str
    trades: Whole


class AggTrade(msgspec.Struct, gc=False):
    """``{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}``."""

    a: Whole
    p: str
    q: str
    T: Millis
    m: bool


class Depth(msgspec.Struct, gc=False):
    """``{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}``."""

    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Market(msgspec.Struct, gc=False):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str


class Info(msgspec.Struct, gc=False):
    symbols: list[Market]


class Error(msgspec.Struct, gc=False):
    """``{"code":-1121,"msg":"Invalid symbol."}``."""

    code: int
    msg: str


_READ_KLINES: Final = msgspec.json.Decoder(list[Kline])
_READ_TRADES: Final = msgspec.json.Decoder(list[AggTrade])
_READ_DEPTH: Final = msgspec.json.Decoder(Depth)
_READ_INFO: Final = msgspec.json.Decoder(Info)
_READ_ERROR: Final = msgspec.json.Decoder(Error)


def market(symbol: Symbol) -> str:
    return f"{symbol.base}{symbol.quote}"


def _bounds(query: Query) -> dict[str, str]:
    """Half-open nanoseconds to inclusive milliseconds."""
    return {
        "startTime": str(-(-query.span.start // MILLISECOND)),
        "endTime": str((query.span.end - 1) // MILLISECOND),
    }


def klines_request(query: Query) -> Request:
    assert query.bar is not None
    asked = {"symbol": query.market, "interval": format_bar_span(query.bar)}
    return Request(_KLINES, {**asked, **_bounds(query), "limit": str(query.limit)}, weight=2)


def first_kline_request(query: Query) -> Request:
    assert query.bar is not None
    return Request(
        _KLINES,
        {"symbol": query.market, "interval": format_bar_span(query.bar), "startTime": "0", "limit": "1"},
        weight=2,
    )


def decode_klines(body: bytes, _: Ns) -> pl.DataFrame:
    rows = read(_READ_KLINES, body)
    return table(
        DataType.OHLC,
        ts=nanos([row.open_time for row in rows]),
        open=[row.open for row in rows],
        high=[row.high for row in rows],
        low=[row.low for row in rows],
        close=[row.close for row in rows],
        volume=[row.volume for row in rows],
        quote_volume=[row.quote_volume for row in rows],
        trades=[row.trades for row in rows],
    )


def trades_request(query: Query) -> Request:
    start = _bounds(query) if query.first_id is None else {"fromId": str(query.first_id)}
    return Request(_AGG_TRADES, {"symbol": query.market, **start, "limit": str(query.limit)}, weight=4)


def trade_at_request(query: Query) -> Request:
    start = _bounds(query)["startTime"]
    return Request(_AGG_TRADES, {"symbol": query.market, "startTime": start, "limit": "1"}, weight=4)


def trade_before_request(query: Query) -> Request:
    end = str((query.span.start - 1) // MILLISECOND)
    return Request(_AGG_TRADES, {"symbol": query.market, "endTime": end, "limit": "1"}, weight=4)


def first_trade_request(query: Query) -> Request:
    return Request(_AGG_TRADES, {"symbol": query.market, "fromId": "0", "limit": "1"}, weight=4)


def decode_trades(body: bytes, _: Ns) -> pl.DataFrame:
    rows = read(_READ_TRADES, body)
    return table(
        DataType.TRADES,
        ts=nanos([row.T for row in rows]),
        price=[row.p for row in rows],
        amount=[row.q for row in rows],
        side=["sell" if row.m else "buy" for row in rows],
        trade_id=[row.a for row in rows],
    )


def depth_request(query: Query) -> Request:
    weights = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
    weight = next(weight for levels, weight in weights if query.limit <= levels)
    return Request(_DEPTH, {"symbol": query.market, "limit": str(query.limit)}, weight=weight)


def decode_depth(body: bytes, at: Ns) -> pl.DataFrame:
    book = read(_READ_DEPTH, body)
    sides = [("bid", book.bids), ("ask", book.asks)]
    return table(
        DataType.ORDERBOOK,
        ts=nanos([at] * (len(book.bids) + len(book.asks)), Ns(1)),
        side=[side for side, levels in sides for _ in levels],
        level=[level for _, levels in sides for level in range(len(levels))],
        price=[price for _, levels in sides for price, _ in levels],
        amount=[amount for _, levels in sides for _, amount in levels],
    )


def markets_request() -> Request:
    return Request(_INFO, {}, weight=20)


def decode_markets(body: bytes) -> pl.DataFrame:
    rows = read(_READ_INFO, body).symbols
    return pl.DataFrame(
        {
            "symbol": [f"{row.baseAsset}/{row.quoteAsset}" for row in rows],
            "market": [row.symbol for row in rows],
            "active": [row.status == "TRADING" for row in rows],
        },
        schema={"symbol": pl.String, "market": pl.String, "active": pl.Boolean},
    )


def used(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-mbx-used-weight-1m", "")
    return int(text) if text.isdecimal() else None


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the code in the body: an error may also come with HTTP 200."""
    error = _error_in(response.body)
    said = f"{error.code} {error.msg}" if error else response.body[:160].decode(errors="replace")
    text = f"HTTP {response.status}: {said}"
    if error is None and response.status < 400:
        return None
    if response.status in (418, 429) or (error and error.code == _TOO_MANY):
        kind = Banned if response.status == 418 or "banned" in said.lower() else Throttled
        return kind(
            text, wait_s=_wait_s(response, said), hint="other programs may share this address's limit"
        )
    if response.status == 403:
        return Banned(text, wait_s=60, hint="Binance's firewall shut this address out; wait, then try again")
    if response.status >= 500 or (error and error.code in _OVERLOADED):
        return Unavailable(text, hint="the venue has trouble: run it again later")
    if error and error.code in _BAD_SYMBOL:
        return UnknownSymbol(text, hint="Binance does not list this symbol; see `dccd exchanges binance`")
    abroad = "it does not serve this country: set rest_url to a host that answers here"
    return Rejected(text, hint=abroad if response.status == 451 else "Binance refused the request itself")


def _error_in(body: bytes) -> Error | None:
    """Return the error a body carries; data bodies (lists, or objects without a code) carry none."""
    if body.lstrip()[:1] != b"{" or b'"code"' not in body[:256]:
        return None
    try:
        return _READ_ERROR.decode(body)
    except msgspec.DecodeError:
        return None


def _wait_s(response: Response, said: str) -> float | None:
    ends = _BAN_ENDS.search(said)
    if after := response.headers.get("retry-after", ""):
        return float(after) if after.isdecimal() else None
    return max(0.0, (int(ends[1]) * MILLISECOND - response.received) / SECOND) if ends else None


EXCHANGE = Exchange(
    name="binance",
    title="Binance",
    rest_url="https://api.binance.com",
    since=parse_time("2017-07-14"),
    settle=Ns(5 * SECOND),
    limits=(Limit(6_000, MINUTE),),
    kinds=frozenset({"spot"}),
    market=market,
    verdict=verdict,
    used=used,
    markets=Markets(f"{_DOCS}#exchange-information", _INFO, markets_request, decode_markets),
    endpoints={
        DataType.OHLC: Endpoint(
            docs=f"{_DOCS}#klinecandlestick-data",
            path=_KLINES,
            page_limit=1_000,
            paging=TimeWindows(),
            request=klines_request,
            decode=decode_klines,
            spans=tuple(parse_bar_span(span) for span in _SPANS),
            oldest=first_kline_request,
        ),
        DataType.TRADES: Endpoint(
            docs=f"{_DOCS}#compressedaggregate-trades-list",
            path=_AGG_TRADES,
            page_limit=1_000,
            paging=IdWindows(at=trade_at_request, before=trade_before_request),
            request=trades_request,
            decode=decode_trades,
            oldest=first_trade_request,
        ),
        DataType.ORDERBOOK: Endpoint(
            docs=f"{_DOCS}#order-book",
            path=_DEPTH,
            page_limit=5_000,
            paging=Snapshot(),
            request=depth_request,
            decode=decode_depth,
            reach=Reach.NOW,
        ),
    },
)
