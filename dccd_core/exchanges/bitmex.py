"""BitMEX: spot, linear and inverse perpetuals, as it was until it closed.

Docs: https://www.bitmex.com/api/explorer/

Quirks:
- CLOSED since 2026-09-23T04:00Z. UNSURE whether its REST interface still answers: ``rest_url`` may name
  another server with the same interface.
- Bitcoin is XBT. Spot has an underscore (``XBT_USDT``), linear perpetuals have none (``XBTUSDT``), inverse
  ones name what they settle in (``ETHUSD_ETH``) unless that is XBT (``XBTUSD``).
- Quanto contracts (``ETHUSD``: quoted in USD, settled in XBT) are left out, and so are dated futures, indices
  and perpetuals on other underliers (``FFWCSF``): our notation has no name for them.
- A bar's ``timestamp`` is its END. Both bounds of a window are inclusive and act on that end.
- A bar opens at the close of the one before, so its open may lie outside its low and high. A minute without
  trades comes with volume 0. UNSURE: whether bars from before the first trade have null prices; a null is
  passed on, and such a row is put aside like any without a price.
- ``volume``, ``size`` and the sizes of the book count contracts; ``homeNotional`` is the base and
  ``foreignNotional`` the quote. The book tells no notionals. UNSURE for spot: a size counts
  ``1 / underlyingToPositionMultiplier`` of the base (1e-8 XBT), as it does for linear contracts.
- Trade ids are UUIDs in no order. Many trades share a millisecond: ``start`` leaves out rows of the answer.
- Only trades of ``trdType`` Regular are trades; rows from before that field have none and are regular. The
  others are dropped here, so an answer may hold fewer rows than the venue sent.
- The book comes with asks before bids, prices descending, and is sorted here all the same; the times in it
  are those of single levels, so its rows take the time of the answer. UNSURE: its greatest depth.
- An unknown symbol is no error, it has no rows; a bare ``XBT`` means the nearest future.
- 30 requests a minute flow back evenly. Who goes on after 429 gets 403, a ban of an hour and more.
- UNSURE, so handled as text: the wording of errors. ``{"error":{"message":...,"name":...}}`` is their shape.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

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
from dccd_core.domain.barspan import format_bar_span, parse_bar_span
from dccd_core.domain.errors import (
    Banned,
    ConfigError,
    DccdError,
    Rejected,
    Throttled,
    Unavailable,
    UnknownSymbol,
)
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us, moment, parse_time
from dccd_core.tables import DataType

_DOCS: Final = "https://www.bitmex.com/api/explorer/#!"
_SPANS: Final = ["1m", "5m", "1h", "1d"]
_BUCKETED: Final = "/api/v1/trade/bucketed"
_TRADES: Final = "/api/v1/trade"
_BOOK: Final = "/api/v1/orderBook/L2"
_INSTRUMENTS: Final = "/api/v1/instrument"
_INSTRUMENTS_PAGE: Final = 500
_CLOSED: Final = parse_time("2026-09-23T04:00:00Z")

_CODES: Final = {"XBT": "BTC", "XBt": "BTC", "Gwei": "ETH", "LAMp": "SOL"}
"""The venue's codes that do not become ours by writing them in capitals; money is told in small units."""

_BAN_S: Final = 3_600.0
_BAD_SYMBOL: Final = re.compile(
    r"\b(unknown|invalid|expired) symbol\b|'symbol' is (invalid|not)", re.IGNORECASE
)


class InstrumentType(StrEnum):
    """What an instrument is, in the venue's own codes (``typ``); an X in them is a letter like any other.

    There are more codes than these, of what is not served either.
    """

    SPOT = "IFXXXP"
    PERPETUAL = "FFWCSX"
    FUTURE = "FFCCSX"
    INDEX = "MRCXXX"


_SERVED: Final = (InstrumentType.SPOT, InstrumentType.PERPETUAL)


class Bucket(msgspec.Struct, gc=False):
    """``{"timestamp":"2018-01-01T00:01:00.000Z","open":13850.0,...,"trades":12,"homeNotional":0.5,...}``."""

    timestamp: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    trades: wire.Whole
    homeNotional: float | None
    foreignNotional: float | None


class Trade(msgspec.Struct, gc=False):
    """``{"timestamp":"2018-01-01T00:00:00.123Z","side":"Buy","price":13850.5,"homeNotional":0.5,...}``."""

    timestamp: str
    side: str
    price: float
    homeNotional: float | None
    trdMatchID: str
    trdType: str = "Regular"


class Level(msgspec.Struct, gc=False):
    """``{"symbol":"XBTUSD","id":8799000000,"side":"Sell","size":100,"price":13850.5}``."""

    side: Literal["Buy", "Sell"]
    size: float
    price: float


class Instrument(msgspec.Struct, gc=False):
    """Indices, options and settled contracts are listed with the rest, so much may be null."""

    symbol: str
    typ: str
    state: str
    underlying: str | None = None
    quoteCurrency: str | None = None
    settlCurrency: str | None = None
    listing: str | None = None
    multiplier: float | None = None
    underlyingToPositionMultiplier: float | None = None
    underlyingToSettleMultiplier: float | None = None


class Problem(msgspec.Struct, gc=False):
    message: str
    name: str = ""


class Error(msgspec.Struct, gc=False):
    """``{"error":{"message":"...","name":"HTTPError"}}``."""

    error: Problem


_READ_BUCKETS: Final = msgspec.json.Decoder(list[Bucket])
_READ_TRADES: Final = msgspec.json.Decoder(list[Trade])
_READ_BOOK: Final = msgspec.json.Decoder(list[Level])
_READ_INSTRUMENTS: Final = msgspec.json.Decoder(list[Instrument])
_READ_ERROR: Final = msgspec.json.Decoder(Error)


def market(symbol: Symbol) -> str:
    """Write a symbol as the venue does.

    Raises:
        ConfigError: the contract is settled in neither of its currencies.
    """
    base, quote = (_in_their_words(code) for code in (symbol.base, symbol.quote))
    if symbol.settle is None:
        return f"{base}_{quote}"
    if symbol.settle not in (symbol.base, symbol.quote):
        raise ConfigError(
            f"{symbol} is a quanto contract: its amounts are worth neither base nor quote",
            hint="BitMEX is served for spot (BTC/USDT), linear (BTC/USDT:USDT) and inverse (BTC/USD:BTC)",
        )
    named = symbol.market_type == "inverse" and base != "XBT"
    return f"{base}{quote}_{base}" if named else f"{base}{quote}"


def _in_their_words(code: str) -> str:
    return "XBT" if code == "BTC" else code


def _in_our_words(code: str) -> str:
    return _CODES.get(code, code.upper())


def _written(milliseconds: int) -> str:
    at = Us(milliseconds * MILLISECOND)
    return f"{moment(at):%Y-%m-%dT%H:%M:%S}.{milliseconds % 1_000:03d}Z"


def _bounds(query: Query, shift: int) -> dict[str, str]:
    """Return inclusive milliseconds, moved by ``shift``."""
    first, last = wire.inclusive(Us(query.span.start + shift), Us(query.span.end + shift))
    return {"startTime": _written(first), "endTime": _written(last)}


def bars_request(query: Query) -> Request:
    assert query.bar is not None
    return Request(
        _BUCKETED,
        {**_series(query), **_bounds(query, query.bar), "count": str(query.limit), "reverse": "false"},
    )


def first_bar_request(query: Query) -> Request:
    return Request(_BUCKETED, {**_series(query), "count": "1", "reverse": "false"})


def _series(query: Query) -> dict[str, str]:
    assert query.bar is not None
    return {"symbol": query.market, "binSize": format_bar_span(query.bar), "partial": "false"}


def decode_bars(body: bytes, _: Us) -> pl.DataFrame:
    """Read bars; ``ts`` is when they close."""
    rows = wire.read(_READ_BUCKETS, body)
    return wire.bars(
        rows,
        wire.iso_micros([row.timestamp for row in rows]),
        volume=[row.homeNotional for row in rows],
        quote_volume=[row.foreignNotional for row in rows],
        trades=[row.trades for row in rows],
    )


def trades_request(query: Query) -> Request:
    page = {"start": str(query.skip), "count": str(query.limit), "reverse": "false"}
    return Request(_TRADES, {"symbol": query.market, **_bounds(query, 0), **page})


def first_trade_request(query: Query) -> Request:
    """Ask for some of the first rows: not every row is a trade."""
    return Request(_TRADES, {"symbol": query.market, "count": "100", "reverse": "false"})


def decode_trades(body: bytes, _: Us) -> pl.DataFrame:
    rows = [row for row in wire.read(_READ_TRADES, body) if row.trdType == "Regular"]
    return wire.table(
        DataType.TRADES,
        ts=wire.iso_micros([row.timestamp for row in rows]),
        price=[row.price for row in rows],
        amount=[row.homeNotional for row in rows],
        side=[row.side.lower() for row in rows],
        trade_id=[row.trdMatchID for row in rows],
    )


def book_request(query: Query) -> Request:
    return Request(_BOOK, {"symbol": query.market, "depth": str(query.limit)})


def decode_book(body: bytes, at: Us) -> pl.DataFrame:
    rows = wire.read(_READ_BOOK, body)
    bids = sorted(((row.price, row.size) for row in rows if row.side == "Buy"), key=lambda level: -level[0])
    asks = sorted(((row.price, row.size) for row in rows if row.side == "Sell"), key=lambda level: level[0])
    return wire.book(at, bids, asks)


def markets_requests() -> tuple[Request, ...]:
    return (_instruments_from(0),)


def more_markets(asked: Request, body: bytes) -> Request | None:
    if len(wire.read(_READ_INSTRUMENTS, body)) < _INSTRUMENTS_PAGE:
        return None
    return _instruments_from(int(asked.params["start"]) + _INSTRUMENTS_PAGE)


def _instruments_from(start: int) -> Request:
    return Request(_INSTRUMENTS, {"count": str(_INSTRUMENTS_PAGE), "start": str(start), "reverse": "false"})


def decode_markets(body: bytes) -> pl.DataFrame:
    named = [(row, _symbol(row)) for row in wire.read(_READ_INSTRUMENTS, body)]
    served = [(row, symbol) for row, symbol in named if symbol is not None]
    return wire.markets(
        symbol=[str(symbol) for _, symbol in served],
        market=[row.symbol for row, _ in served],
        active=[row.state == "Open" for row, _ in served],
        listed=wire.iso_micros([row.listing for row, _ in served]),
        contract=[_contract(row, symbol) for row, symbol in served],
    )


def _symbol(row: Instrument) -> Symbol | None:
    """Return our name of an instrument, None for what has none: futures, indices, quantos."""
    if row.typ not in _SERVED or not row.underlying or not row.quoteCurrency:
        return None
    base, quote = _in_our_words(row.underlying), _in_our_words(row.quoteCurrency)
    if row.typ == InstrumentType.SPOT:
        return Symbol(base, quote)
    settle = _in_our_words(row.settlCurrency or "")
    return Symbol(base, quote, settle) if settle in (base, quote) else None


def _contract(row: Instrument, symbol: Symbol) -> float | None:
    """Return what one contract is worth: in the quote for an inverse market, else in the base."""
    if symbol.market_type == "inverse":
        per_unit = row.underlyingToSettleMultiplier
        return row.multiplier / per_unit if row.multiplier and per_unit else None
    return 1 / row.underlyingToPositionMultiplier if row.underlyingToPositionMultiplier else None


def used(headers: Mapping[str, str]) -> int | None:
    allowed, left = (headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining"))
    return int(allowed) - int(left) if allowed.isdecimal() and left.isdecimal() else None


def verdict(response: Response) -> DccdError | None:
    """Judge by status first, then by the name and the words in the body."""
    error = _error_in(response.body)
    if error is None and response.status < 400:
        return None
    said = f"{error.name}: {error.message}" if error else wire.beginning(response.body)
    text = f"HTTP {response.status}: {said}"
    return wire.barred(response, text) or _meaning(response, error, said, text)


def _meaning(response: Response, error: Problem | None, said: str, text: str) -> DccdError:
    if response.status == 403:
        hint = "BitMEX shut this address out, for an hour or more: wait, then ask less often"
        return Banned(text, wait_s=wire.retry_after(response, _BAN_S), hint=hint)
    if response.status == 429 or (error and error.name == "RateLimitError"):
        return Throttled(text, wait_s=wire.retry_after(response), hint=wire.LIMITED)
    if response.status >= 500 or "overloaded" in said.lower():
        return Unavailable(text, hint=wire.TROUBLE)
    if _BAD_SYMBOL.search(said):
        return UnknownSymbol(text, hint="BitMEX does not list this symbol; see `dccd exchanges bitmex`")
    gone = "BitMEX is closed: set rest_url to a server that still has its history"
    return Rejected(text, hint=gone if response.status in (404, 410) else "BitMEX refused the request itself")


def _error_in(body: bytes) -> Problem | None:
    """Return the error a body carries; data comes as a list, which carries none."""
    if body.lstrip()[:1] != b"{":
        return None
    answer = wire.read_error(_READ_ERROR, body)
    return answer and answer.error


EXCHANGE = Exchange(
    name="bitmex",
    title="BitMEX",
    rest_url="https://www.bitmex.com",
    since=parse_time("2014-11-22"),
    closed=_CLOSED,
    finality_delay=Us(5 * SECOND),
    limits=(Limit(30, MINUTE),),
    kinds=frozenset({"spot", "linear", "inverse"}),
    market=market,
    verdict=verdict,
    used=used,
    markets=Markets(f"{_DOCS}/Instrument/Instrument_get", markets_requests, decode_markets, more_markets),
    endpoints={
        DataType.OHLC: Endpoint(
            docs=f"{_DOCS}/Trade/Trade_getBucketed",
            path=_BUCKETED,
            page_limit=1_000,
            paging=TimeWindows(),
            request=bars_request,
            decode=decode_bars,
            spans=tuple(parse_bar_span(span) for span in _SPANS),
            oldest=first_bar_request,
            carries_open=True,
            closes=True,
        ),
        DataType.TRADES: Endpoint(
            docs=f"{_DOCS}/Trade/Trade_get",
            path=_TRADES,
            page_limit=1_000,
            paging=Cursor(skips=True),
            request=trades_request,
            decode=decode_trades,
            oldest=first_trade_request,
        ),
        DataType.ORDERBOOK: Endpoint(
            docs=f"{_DOCS}/OrderBook/OrderBook_getL2",
            path=_BOOK,
            page_limit=1_000,
            paging=Snapshot(),
            request=book_request,
            decode=decode_book,
            reach=NOW,
            contracts=True,
        ),
    },
)
