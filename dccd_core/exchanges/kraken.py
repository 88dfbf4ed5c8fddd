"""Kraken spot.

Docs: https://docs.kraken.com/api/docs/rest-api/get-ohlc-data

Quirks:
- Errors come with HTTP 200, in ``error``: ``E...`` is an error, ``W...`` a warning beside good data.
- Bitcoin is XBT and Dogecoin XDG. Requests take the ``altname`` (XBTUSD); the answer may name the pair
  otherwise (XXBTZUSD), so its rows are under the key that is not ``last``.
- Bars: always the newest 720 and the running one, as the last row; older ones cannot be had, whatever
  ``since`` says. Quiet bars are flat at the last price, with an average price of 0.
- The quote volume is not told: it is the rounded average price times the volume.
- Weeks and the 15 days (21600) are counted from the epoch, so weeks open on Thursday, ours on Monday: both
  are left out.
- Trades: ``since`` is in nanoseconds and EXCLUSIVE; oldest first. ``last`` alone has true nanoseconds:
  the time of a row went through a double and is up to about 0.25 us off, to either side, which ``blur``
  covers. It is a JSON number and is read as text, digit by digit.
- UNSURE: a page may end inside a group of trades of one nanosecond, and ``since=last`` would lose the rest
  of it. So pages are asked from before their border; ids count up by 1 per pair and show a loss.
- The time of a level in the order book says when that level changed; the book has none: its rows take
  the time of the answer.
- Pairs without a ``wsname`` are dark pools (``ETHUSD.d``): their rows are no market's, so they are left out.
- Its WebSocket's name of a pair is the ``wsname`` with today's codes. It cannot be cut out of the altname:
  TRXUSDD is TRX/USDD, MONAUSD is MON/AUSD.
- There is no listing date: the first trade tells it. Answers of 2021 had no ``status``: all was online.
- UNSURE: how many requests may come in a burst. One per second (per pair for bars and for trades) always
  passes. Only ``EService: Throttled`` says until when to wait.
- Cloudflare answers with HTML when the venue is down, and 403 to clients without a name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeVar

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
    Reach,
    Recent,
    Request,
    Response,
    Snapshot,
)
from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.errors import (
    Banned,
    DccdError,
    PayloadError,
    Rejected,
    Throttled,
    Unavailable,
    UnknownSymbol,
)
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MICROSECOND, MINUTE, SECOND, Us, parse_time
from dccd_core.tables import TIME, DataType

T = TypeVar("T")

_DOCS: Final = "https://docs.kraken.com/api/docs/rest-api"
SPANS: Final = tuple(map(parse_bar_span, ["1m", "5m", "15m", "30m", "1h", "4h", "1d"]))
ROWS: Final = 720
_OHLC: Final = "/0/public/OHLC"
_TRADES: Final = "/0/public/Trades"
_DEPTH: Final = "/0/public/Depth"
_PAIRS: Final = "/0/public/AssetPairs"
_BARS_POOL: Final = "ohlc"
_TRADES_POOL: Final = "trades"

_CODES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_ASSETS: Final = {code: asset for asset, code in _CODES.items()}
_CLOCK: Final = r"^([0-9]{1,9}|[1-8][0-9]{9})(?:\.([0-9]{1,9}))?$"
"""Seconds before the year 2255, and the fraction."""
_NANOSECONDS: Final = 1_000
"""``since`` has so many for each microsecond."""

_NO_ERROR: Final = re.compile(rb'\s*\{\s*"error"\s*:\s*\[\s*\]')
_THROTTLED: Final = re.compile(r"Too many requests|Rate limit exceeded|Throttled", re.IGNORECASE)
_THROTTLED_UNTIL: Final = re.compile(r"Throttled: *(\d{10})(?!\d)")
_PATIENCE_S: Final = 3.0
_LOCKOUT: Final = "Temporary lockout"
_LOCKOUT_S: Final = 900.0
"""It ends about 15 minutes after the last try."""
_FIREWALL_S: Final = 60.0
_BAD_PAIR: Final = re.compile(r"EQuery: *(Unknown|Invalid) asset")
_TROUBLE: Final = re.compile(r"EService|EGeneral: *Internal error")


class Candle(msgspec.Struct, array_like=True, gc=False):
    """``[1706630400,"43366.3","43529.2","43234.2","43485.0","43435.3","12.51327406",126]``."""

    time: wire.Seconds
    open: str
    high: str
    low: str
    close: str
    vwap: str
    volume: str
    count: wire.Whole


class Candles(msgspec.Struct, gc=False):
    """``{"error":[],"result":{"XXBTZUSD":[[1706630400,"43366.3",...]],"last":1706630400}}``."""

    result: dict[str, list[Candle] | int | str]


class Trade(msgspec.Struct, array_like=True, gc=False):
    """``["73324.40000","0.01030900",1710327959.1733468,"b","m","",6324366]``."""

    price: str
    volume: str
    time: msgspec.Raw
    side: Literal["b", "s"]
    order_type: str
    misc: str
    trade_id: wire.Whole


class Trades(msgspec.Struct, gc=False):
    """``{"error":[],"result":{"XXBTZUSD":[["73324.40000",...]],"last":"1710327959173346812"}}``."""

    result: dict[str, list[Trade] | int | str]


class Level(msgspec.Struct, array_like=True, gc=False):
    """``["105944.30000","0.136",1762820248]``."""

    price: str
    volume: str


class Book(msgspec.Struct, gc=False):
    asks: list[Level]
    bids: list[Level]


class Books(msgspec.Struct, gc=False):
    """``{"error":[],"result":{"XXBTZUSD":{"asks":[...],"bids":[...]}}}``."""

    result: dict[str, Book]


class Pair(msgspec.Struct, gc=False):
    """``{"altname":"XBTUSD","wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8,"status":"online",...}``."""

    altname: str
    wsname: str | None = None
    status: str = "online"
    pair_decimals: wire.Whole | None = None
    lot_decimals: wire.Whole | None = None


class Pairs(msgspec.Struct, gc=False):
    result: dict[str, Pair]


class Errors(msgspec.Struct, gc=False):
    """``{"error":["EQuery:Unknown asset pair"]}``."""

    error: list[str]


_READ_CANDLES: Final = msgspec.json.Decoder(Candles)
_READ_TRADES: Final = msgspec.json.Decoder(Trades)
_READ_BOOKS: Final = msgspec.json.Decoder(Books)
_READ_PAIRS: Final = msgspec.json.Decoder(Pairs)
_READ_ERRORS: Final = msgspec.json.Decoder(Errors)


def market(symbol: Symbol) -> str:
    return "".join(_CODES.get(asset, asset) for asset in (symbol.base, symbol.quote))


def bars_request(query: Query) -> Request:
    """Ask for all bars there are: ``since`` would only leave out some of them."""
    assert query.bar is not None
    asked = {"pair": query.market, "interval": str(query.bar // MINUTE)}
    return Request(_OHLC, asked, pool=_BARS_POOL, market=query.market)


def decode_bars(body: bytes, _: Us) -> pl.DataFrame:
    rows = _rows(wire.read(_READ_CANDLES, body).result)
    told = wire.bars(
        rows,
        wire.micros([row.time for row in rows], SECOND),
        volume=[row.volume for row in rows],
        quote_volume=[row.vwap for row in rows],
        trades=[row.count for row in rows],
    )
    return told.with_columns(quote_volume=pl.col("quote_volume") * pl.col("volume"))


def trades_request(query: Query) -> Request:
    since = max(0, query.span.start - 1)
    return _trades_since(query.market, since * _NANOSECONDS, query.limit)


def first_trade_request(query: Query) -> Request:
    return _trades_since(query.market, 0, 1)


def _trades_since(pair: str, since: int, count: int) -> Request:
    asked = {"pair": pair, "since": str(since), "count": str(count)}
    return Request(_TRADES, asked, pool=_TRADES_POOL, market=pair)


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    rows = _rows(wire.read(_READ_TRADES, body).result)
    return wire.table(
        DataType.TRADES,
        ts=_times([bytes(row.time).decode(errors="replace") for row in rows]),
        price=[row.price for row in rows],
        amount=[row.volume for row in rows],
        side=["buy" if row.side == "b" else "sell" for row in rows],
        trade_id=[row.trade_id for row in rows],
    )


def depth_request(query: Query) -> Request:
    return Request(_DEPTH, {"pair": query.market, "count": str(query.limit)})


def decode_depth(body: bytes, at: Us) -> pl.DataFrame:
    told = _only(list(wire.read(_READ_BOOKS, body).result.values()))
    bids, asks = ([(row.price, row.volume) for row in side] for side in (told.bids, told.asks))
    return wire.book(at, bids, asks)


def markets_requests() -> tuple[Request, ...]:
    return (Request(_PAIRS, {}),)


def decode_markets(body: bytes) -> pl.DataFrame:
    pairs = [pair for pair in wire.read(_READ_PAIRS, body).result.values() if pair.wsname]
    names = [unified(pair.wsname or "") for pair in pairs]
    return wire.markets(
        symbol=names,
        market=[pair.altname for pair in pairs],
        active=[pair.status == "online" for pair in pairs],
        price_decimals=[pair.pair_decimals for pair in pairs],
        amount_decimals=[pair.lot_decimals for pair in pairs],
        live_name=names,
    )


def unified(wsname: str) -> str:
    return "/".join(_ASSETS.get(code, code) for code in wsname.split("/"))


def _times(texts: Sequence[str]) -> pl.Series:
    """Read seconds to the microsecond, of up to nine decimals, as text: a float cannot hold them."""
    parts = pl.Series(texts, dtype=pl.String).str.extract_groups(_CLOCK).struct
    seconds, fraction = parts["1"], parts["2"].fill_null("").str.slice(0, 6).str.pad_end(6, "0")
    if seconds.null_count():
        text = texts[int(seconds.is_null().arg_max() or 0)]
        raise PayloadError(f"unexpected shape: {text[:40]!r} is no time of a trade", hint=wire.CHANGED)
    return (seconds.cast(pl.Int64) * SECOND + fraction.cast(pl.Int64)).cast(TIME)


def _rows(result: Mapping[str, list[T] | int | str]) -> list[T]:
    """Return the rows, which stand beside ``last``, whatever name the pair has there."""
    return _only([value for value in result.values() if isinstance(value, list)])


def _only(found: Sequence[T]) -> T:
    if len(found) != 1:
        raise PayloadError(f"unexpected shape: {len(found)} pairs in the answer, not 1", hint=wire.CHANGED)
    return found[0]


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the errors in the body, which mostly come with HTTP 200."""
    told = _errors_in(response.body)
    errors = "; ".join(text for text in told if not text.startswith("W"))
    status = response.status
    if not errors and status < 400:
        return None
    said = "; ".join(told) or wire.beginning(response.body)
    text = f"HTTP {status}: {said}"
    return wire.barred(response, text) or _meaning(response, errors, text)


def _meaning(response: Response, errors: str, text: str) -> DccdError:
    status = response.status
    if _LOCKOUT in errors:
        return Banned(text, wait_s=_LOCKOUT_S, hint="Kraken shut this address out; wait, then ask less often")
    if status == 403:
        return Banned(text, wait_s=wire.retry_after(response, _FIREWALL_S), hint=wire.FIREWALL)
    if status == 429 or _THROTTLED.search(errors):
        return Throttled(text, wait_s=_wait_s(response, errors), hint=wire.LIMITED)
    if status >= 500 or _TROUBLE.search(errors):
        return Unavailable(text, hint=f"{wire.TROUBLE}; see status.kraken.com")
    if _BAD_PAIR.search(errors):
        return UnknownSymbol(text, hint="Kraken does not list this symbol; see `dccd symbols kraken`")
    return Rejected(text, hint="Kraken refused the request itself")


def _errors_in(body: bytes) -> list[str]:
    """Return what ``error`` lists; where there is none, decoding will say what is wrong with the body."""
    if _NO_ERROR.match(body):
        return []
    told = wire.read_error(_READ_ERRORS, body)
    return told.error if told else []


def _wait_s(response: Response, errors: str) -> float | None:
    if until := _THROTTLED_UNTIL.search(errors):
        return wire.wait_until(int(until[1]) * SECOND, response)
    return wire.retry_after(response, _PATIENCE_S)


EXCHANGE = Exchange(
    name="kraken",
    title="Kraken",
    rest_url="https://api.kraken.com",
    since=parse_time("2013-09-10"),
    finality_delay=Us(5 * SECOND),
    limits=(
        Limit(1, SECOND),
        Limit(1, SECOND, _BARS_POOL, per_market=True),
        Limit(1, SECOND, _TRADES_POOL, per_market=True),
    ),
    kinds=frozenset({"spot"}),
    market=market,
    verdict=verdict,
    markets=Markets(f"{_DOCS}/get-tradable-asset-pairs", markets_requests, decode_markets),
    endpoints={
        DataType.OHLC: Endpoint(
            docs=f"{_DOCS}/get-ohlc-data",
            path=_OHLC,
            page_limit=ROWS,
            paging=Recent(),
            request=bars_request,
            decode=decode_bars,
            reach=Reach(rows=ROWS),
            spans=SPANS,
        ),
        DataType.TRADES: Endpoint(
            docs=f"{_DOCS}/get-recent-trades",
            path=_TRADES,
            page_limit=1_000,
            paging=Cursor(blur=MICROSECOND, consecutive=True),
            request=trades_request,
            decode=decode_trades,
            oldest=first_trade_request,
        ),
        DataType.ORDERBOOK: Endpoint(
            docs=f"{_DOCS}/get-order-book",
            path=_DEPTH,
            page_limit=500,
            paging=Snapshot(),
            request=depth_request,
            decode=decode_depth,
            reach=NOW,
        ),
    },
)
