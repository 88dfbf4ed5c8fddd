"""Binance: spot, and the perpetuals of its USD-M futures, which are settled in their quote.

Docs: https://developers.binance.com/docs/binance-spot-api-docs/rest-api
Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures

Quirks:
- Both bounds of a time window are inclusive; for bars they act on the open time.
- Both bounds given: oldest rows first, cut at the end; only the end given: the newest rows up to it.
  Times are milliseconds.
- The last bar is the running one when the window reaches now; there is no closed flag.
- A minute without trades comes as a bar of volume 0; in an outage of the engine the bars are missing.
- ``aggTrades``: fills of one taker order at one price are one row; ids are consecutive per symbol.
  ``m`` says the BUYER was the maker, so the taker sold. ``fromId`` cannot be combined with times (-1128).
- Weeks open on Monday; ``1M`` is left out, a month has no fixed length.
- Weight is counted per address in windows that start on the minute; 418 is a ban for ignoring 429. The two
  servers count apart, with a header of the same name.
- UNSURE, so handled as opaque text: the body of HTTP 451 (blocked country). 403 comes from the firewall.
- ``BTCUSDT`` names a market on either server; which is meant is our kind of market.

Spot alone:
- The order book carries no time: its rows take the time of the answer.
- There is no listing date: the first bar or trade tells it.

USD-M alone (COIN-M, the inverse contracts, is a third server and not served here: use another exchange for
``BTC/USD:BTC``):
- The weight of bars grows faster than their number: a page of 499 gives most for its weight. No ``1s``.
- ``aggTrades`` reaches back 24 hours; fills within 100 ms at one price and side are one row, those of the
  insurance fund and of auto-deleveraging are none. A window of both times is shorter than an hour (-1127).
- UNSURE: that ``endTime`` alone gives the newest rows up to it, as it does on spot; whether minutes without
  trades come as bars (they count as a hole if not); what an id older than 24 hours is answered.
- The order book knows few depths, the next deeper one is asked; ``T`` is the engine's time of the book.
- Dated contracts and those on stocks are left out: a perpetual has ``contractType`` PERPETUAL.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec
import polars as pl

from dccd_core.adapter import wire
from dccd_core.adapter.contract import (
    NOW,
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
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.errors import Banned, DccdError, Rejected, Throttled, Unavailable, UnknownSymbol
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.tables import DataType

_DOCS: Final = "https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints"
_NAMES: Final = ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"]
_SPANS: Final = tuple(parse_bar_span(name) for name in _NAMES)
SPANS: Final = {"spot": (SECOND, *_SPANS), "linear": _SPANS}
_USDM_DOCS: Final = (
    "https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api"
)
_USDM_URL: Final = "https://fapi.binance.com"
_USDM: Final = "usdm"
_PREFIX: Final = {"spot": "/api/v3", "linear": "/fapi/v1"}

# Up to so many rows: this weight.
_KLINES_WEIGHT: Final = {
    "spot": ((1_000, 2),),
    "linear": ((99, 1), (499, 2), (1_000, 5), (1_500, 10)),
}
_DEPTH_WEIGHT: Final = {
    "spot": ((100, 5), (500, 25), (1_000, 50), (5_000, 250)),
    "linear": ((5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1_000, 20)),
}
_TRADES_WEIGHT: Final = {"spot": 4, "linear": 20}
_USDM_WINDOW: Final = Us(HOUR - MILLISECOND)
_DATA_ONLY: Final = "https://data-api.binance.vision"
"""Serves the market data of spot alone, in more countries."""
_BAN_ENDS: Final = re.compile(r"until (\d{13})")

_BAD_SYMBOL: Final = (-1121, -1122, -1220)
_TOO_MANY: Final = -1003
_OVERLOADED: Final = (-1000, -1001, -1006, -1007, -1008, -1016)


class Kline(msgspec.Struct, array_like=True, gc=False):
    """``[1499040000000,"0.0163","0.8000","0.0157","0.0158","148976.1",1499644799999,"2434.2",308,...]``."""

    open_time: wire.Millis
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int
    quote_volume: str
    trades: wire.Whole


class AggTrade(msgspec.Struct, gc=False):
    """``{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}``."""

    a: wire.Whole
    p: str
    q: str
    T: wire.Millis
    m: bool


class Depth(msgspec.Struct, gc=False):
    """``{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}``.

    Futures alone have ``T``.
    """

    lastUpdateId: wire.Whole
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    T: wire.Millis | None = None


class Market(msgspec.Struct, gc=False):
    """Futures alone have the last two."""

    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    contractType: str | None = None
    onboardDate: wire.Millis | None = None

    @property
    def unified(self) -> str:
        pair = f"{self.baseAsset}/{self.quoteAsset}"
        return pair if self.contractType is None else f"{pair}:{self.quoteAsset}"

    @property
    def listed(self) -> Us | None:
        return None if self.onboardDate is None else Us(self.onboardDate * MILLISECOND)


class Info(msgspec.Struct, gc=False):
    symbols: list[Market]


class Error(msgspec.Struct, gc=False):
    """``{"code":-1121,"msg":"Invalid symbol."}``."""

    code: int
    msg: str


_READ_KLINES: Final = msgspec.json.Decoder(list[Kline])
_READ_TRADES: Final = msgspec.json.Decoder(list[AggTrade])
READ_DEPTH: Final = msgspec.json.Decoder(Depth)
_READ_INFO: Final = msgspec.json.Decoder(Info)
_READ_ERROR: Final = msgspec.json.Decoder(Error)


def market(symbol: Symbol) -> str:
    return f"{symbol.base}{symbol.quote}"


def _request(kind: str, name: str, params: Mapping[str, str], weight: int) -> Request:
    path = f"{_PREFIX[kind]}/{name}"
    if kind == "spot":
        return Request(path, params, weight)
    return Request(path, params, weight, pool=_USDM, host=_USDM_URL)


def _step(steps: tuple[tuple[int, int], ...], rows: int) -> tuple[int, int]:
    return next(step for step in steps if rows <= step[0])


def _bounds(start: Us, end: Us) -> dict[str, str]:
    first, last = wire.inclusive(start, end)
    return {"startTime": str(first), "endTime": str(last)}


def _klines(query: Query, params: Mapping[str, str]) -> Request:
    assert query.bar is not None
    asked = {"symbol": query.market, "interval": format_bar_span(query.bar), **params}
    _, weight = _step(_KLINES_WEIGHT[query.market_type], int(params["limit"]))
    return _request(query.market_type, "klines", asked, weight)


def klines_request(query: Query) -> Request:
    return _klines(query, {**_bounds(query.span.start, query.span.end), "limit": str(query.limit)})


def first_kline_request(query: Query) -> Request:
    return _klines(query, {"startTime": "0", "limit": "1"})


def decode_klines(body: bytes, _: Us) -> pl.DataFrame:
    rows = wire.read(_READ_KLINES, body)
    return wire.bars(
        rows,
        wire.micros([row.open_time for row in rows]),
        volume=[row.volume for row in rows],
        quote_volume=[row.quote_volume for row in rows],
        trades=[row.trades for row in rows],
    )


def _trades(query: Query, params: Mapping[str, str]) -> Request:
    asked = {"symbol": query.market, **params}
    return _request(query.market_type, "aggTrades", asked, _TRADES_WEIGHT[query.market_type])


def trades_request(query: Query) -> Request:
    """Ask by id, else by time: from futures the first hour of the span, as more is refused."""
    limit = {"limit": str(query.limit)}
    if query.first_id is not None:
        return _trades(query, {"fromId": str(query.first_id), **limit})
    start, end = query.span.start, query.span.end
    if query.market_type == "linear":
        end = min(end, Us(start + _USDM_WINDOW))
    return _trades(query, {**_bounds(start, end), **limit})


def trade_before_request(query: Query) -> Request:
    return _trades(query, {"endTime": str((query.span.start - 1) // MILLISECOND), "limit": "1"})


def first_trade_request(query: Query) -> Request:
    return _trades(query, {"fromId": "0", "limit": "1"})


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    rows = wire.read(_READ_TRADES, body)
    return wire.table(
        DataType.TRADES,
        ts=wire.micros([row.T for row in rows]),
        price=[row.p for row in rows],
        amount=[row.q for row in rows],
        side=["sell" if row.m else "buy" for row in rows],
        trade_id=[row.a for row in rows],
    )


def depth_request(query: Query) -> Request:
    steps = _DEPTH_WEIGHT[query.market_type]
    levels, weight = _step(steps, query.limit)
    limit = query.limit if query.market_type == "spot" else levels
    return _request(query.market_type, "depth", {"symbol": query.market, "limit": str(limit)}, weight)


def decode_depth(body: bytes, at: Us) -> pl.DataFrame:
    told = wire.read(READ_DEPTH, body)
    return wire.book(at if told.T is None else Us(told.T * MILLISECOND), told.bids, told.asks)


def markets_requests() -> tuple[Request, ...]:
    return _request("spot", "exchangeInfo", {}, 20), _request("linear", "exchangeInfo", {}, 1)


def decode_markets(body: bytes) -> pl.DataFrame:
    found = wire.read(_READ_INFO, body).symbols
    rows = [row for row in found if row.contractType in (None, "PERPETUAL")]
    return wire.markets(
        symbol=[row.unified for row in rows],
        market=[row.symbol for row in rows],
        active=[row.status == "TRADING" for row in rows],
        listed=[row.listed for row in rows],
    )


def used(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-mbx-used-weight-1m", "")
    return int(text) if text.isdecimal() else None


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the code in the body: an error may also come with HTTP 200."""
    error = _error_in(response.body)
    said = f"{error.code} {error.msg}" if error else wire.beginning(response.body)
    text = f"HTTP {response.status}: {said}"
    if error is None and response.status < 400:
        return None
    return wire.barred(response, text, _DATA_ONLY) or _meaning(response, error, said, text)


def _meaning(response: Response, error: Error | None, said: str, text: str) -> DccdError:
    if response.status in (418, 429) or (error and error.code == _TOO_MANY):
        kind = Banned if response.status == 418 or "banned" in said.lower() else Throttled
        return kind(text, wait_s=_wait_s(response, said), hint=wire.LIMITED)
    if response.status == 403:
        return Banned(text, wait_s=60, hint=wire.FIREWALL)
    if response.status >= 500 or (error and error.code in _OVERLOADED):
        return Unavailable(text, hint=wire.TROUBLE)
    if error and error.code in _BAD_SYMBOL:
        return UnknownSymbol(text, hint="Binance does not list this symbol; see `dccd symbols binance`")
    return Rejected(text, hint="Binance refused the request itself")


def _error_in(body: bytes) -> Error | None:
    """Return the error a body carries; data bodies (lists, or objects without a code) carry none."""
    if body.lstrip()[:1] != b"{" or b'"code"' not in body[:256]:
        return None
    return wire.read_error(_READ_ERROR, body)


def _wait_s(response: Response, said: str) -> float | None:
    """Return what the header says; only where that says nothing, what the words say."""
    ends = _BAN_ENDS.search(said)
    return wire.retry_after(response, wire.wait_until(int(ends[1]) * MILLISECOND, response) if ends else None)


_SPOT: Final = {
    DataType.OHLC: Endpoint(
        docs=f"{_DOCS}#klinecandlestick-data",
        path="/api/v3/klines",
        page_limit=1_000,
        paging=TimeWindows(),
        request=klines_request,
        decode=decode_klines,
        spans=SPANS["spot"],
        oldest=first_kline_request,
    ),
    DataType.TRADES: Endpoint(
        docs=f"{_DOCS}#compressedaggregate-trades-list",
        path="/api/v3/aggTrades",
        page_limit=1_000,
        paging=IdWindows(before=trade_before_request),
        request=trades_request,
        decode=decode_trades,
        oldest=first_trade_request,
    ),
    DataType.ORDERBOOK: Endpoint(
        docs=f"{_DOCS}#order-book",
        path="/api/v3/depth",
        page_limit=5_000,
        paging=Snapshot(),
        request=depth_request,
        decode=decode_depth,
        reach=NOW,
    ),
}


EXCHANGE = Exchange(
    name="binance",
    title="Binance",
    rest_url="https://api.binance.com",
    since=parse_time("2017-07-14"),
    finality_delay=Us(5 * SECOND),
    limits=(Limit(6_000, MINUTE), Limit(2_400, MINUTE, _USDM)),
    kinds=frozenset({"spot", "linear"}),
    market=market,
    verdict=verdict,
    used=used,
    markets=Markets(f"{_DOCS}#exchange-information", markets_requests, decode_markets),
    endpoints=_SPOT,
    special={
        ("linear", DataType.OHLC): replace(
            _SPOT[DataType.OHLC],
            docs=f"{_USDM_DOCS}/Kline-Candlestick-Data",
            path="/fapi/v1/klines",
            # 499 bars weigh 2, so a minute's weight buys 598,800 of them; pages of 1,500 (10) only 360,000.
            page_limit=499,
            spans=SPANS["linear"],
        ),
        ("linear", DataType.TRADES): replace(
            _SPOT[DataType.TRADES],
            docs=f"{_USDM_DOCS}/Compressed-Aggregate-Trades-List",
            path="/fapi/v1/aggTrades",
            oldest=None,
            reach=Reach(period=DAY),
        ),
        ("linear", DataType.ORDERBOOK): replace(
            _SPOT[DataType.ORDERBOOK],
            docs=f"{_USDM_DOCS}/Order-Book",
            path="/fapi/v1/depth",
            page_limit=1_000,
        ),
    },
)
