"""Kraken's WebSocket v2: trades, bars and order books.

Beyond what the official pages say, chosen here: a bar is told at the next whole second after something was
traded; the snapshot of bars is the one of the last trade. Times of trades have nine digits, as those of bars
have, so that they are the ones of history; the official examples of trades have six. The numbers of a book
have only the decimals that orders can have, fewer than its checksum counts; it changes ten times a second,
and nothing is told of a moment that changed nothing. Weeks and 15 days are not served. In an outage trading
is down for maintenance.
"""

import re
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import msgspec
import numpy as np

from dccd_core.domain.barspan import bar_open
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MINUTE, SECOND, TimeRange, Us, moment
from dccd_core.testing.sandbox.bars import Bars
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels, Sides
from dccd_core.testing.sandbox.dialect import DIALECTS, average_price
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.kraken import NAME
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.live import (
    BOOK_BLOCK,
    Act,
    Batch,
    Close,
    Feed,
    Habits,
    Live,
    Message,
    Opening,
    Side,
    bars_so_far,
    every,
    grid,
    texts,
)
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.seen_book import SeenBook
from dccd_core.testing.sandbox.tape import Trades
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer

_INTERVALS: Final = (1, 5, 15, 30, 60, 240, 1_440)
_DEPTHS: Final = (10, 25, 100, 500, 1_000)
_CHECKED: Final = 10
_AMOUNT_DIGITS: Final = 8
_LAST_TRADES: Final = 50
_IDLE: Final = MINUTE
_ENCODE: Final = msgspec.json.encode


def _told(channel: str, type_: str, data: str) -> str:
    return f'{{"channel":"{channel}","type":"{type_}","data":[{data}]}}'


def _time(at: Us) -> str:
    return f"{moment(at):%Y-%m-%dT%H:%M:%S.%f}Z"


def _number(values: Ints, scale: int, shown: int | None = None) -> tuple[str, list[Ints]]:
    """Return how a number is written, and the columns for it."""
    shown = scale if shown is None else shown
    return (f"%d.%0{shown}d", decimals(values, scale, shown)) if shown else ("%d", [values])


@dataclass(frozen=True, slots=True)
class Stream:
    """What one market's channels push."""

    market: Market
    symbol: Symbol
    orders: SeenBook

    def trades(self, span: TimeRange) -> Batch:
        """Tell the trades of one moment in one message."""
        trades = self.market.tape(NAME, self.symbol).between(span)
        told = self._trades(trades)
        times, first = np.unique(trades.time, return_index=True)
        ends = [*first.tolist()[1:], len(told)]
        parts = [",".join(told[start:end]) for start, end in zip(first.tolist(), ends, strict=False)]
        return times.tolist(), [_told("trade", "update", part) for part in parts]

    def last_trades(self, now: Us) -> str:
        tape = self.market.tape(NAME, self.symbol)
        end = tape.count_before(now)
        first = max(0, end - _LAST_TRADES)
        return _told("trade", "snapshot", ",".join(self._trades(tape.by_id(first, end - first))))

    def bars(self, interval: int, span: TimeRange) -> Batch:
        seconds = grid(SECOND, span)
        if not seconds.size:
            return (), ()
        before = TimeRange(Us(int(seconds[0]) - SECOND), Us(int(seconds[-1])))
        traded = np.unique(self.market.tape(NAME, self.symbol).between(before).time // SECOND + 1) * SECOND
        so_far = bars_so_far(self.market, NAME, self.symbol, Us(interval * MINUTE), seconds)
        told = np.isin(so_far.at, traded)
        return so_far.at[told].tolist(), self._bars("update", interval, so_far.bars.rows(told))

    def last_bar(self, interval: int, now: Us) -> str:
        """Tell the bar of the last trade, however long ago that was."""
        tape, bar = self.market.tape(NAME, self.symbol), Us(interval * MINUTE)
        count = tape.count_before(now)
        if not count:
            return _told("ohlc", "snapshot", "")
        opened = bar_open(Us(int(tape.by_id(count - 1, 1).time[0])), bar)
        span = np.array([opened]), np.array([min(opened + bar, now)])
        return self._bars("snapshot", interval, self.market.bars(NAME, self.symbol, *span))[0]

    def changes(self, depth: int, span: TimeRange) -> Batch:
        book = self.orders
        versions = (grid(BOOK_PERIOD, span) // BOOK_PERIOD).tolist()
        changes = [(version, book.changes(version, depth, tell_pushed_out=False)) for version in versions]
        told = [(version, sides) for version, sides in changes if any(side.price.size for side in sides)]
        messages = [self._book("update", version, depth, sides) for version, sides in told]
        return [book.time(version) for version, _ in told], messages

    def whole_book(self, depth: int, now: Us) -> str:
        book = self.orders
        version = book.version(now)
        return self._book("snapshot", version, depth, book.levels(version, depth))

    def _trades(self, trades: Trades) -> list[str]:
        instrument = self.market.instruments[self.symbol]
        price, prices = _number(trades.price, instrument.price_scale)
        amount, amounts = _number(trades.amount, instrument.amount_scale, _AMOUNT_DIGITS)
        columns = [
            np.where(trades.buyer_is_maker, "sell", "buy"),
            *prices,
            *amounts,
            np.where(trades.id % 3 == 0, "limit", "market"),
            trades.id + 1,
            np.datetime_as_string(trades.time.astype("M8[us]")),
        ]
        return texts(
            f'{{"symbol":"{self.symbol}","side":"%s","price":{price},"qty":{amount},"ord_type":"%s",'
            f'"trade_id":%d,"timestamp":"%sZ"}}',
            columns,
        )

    def _bars(self, type_: str, interval: int, bars: Bars) -> list[str]:
        instrument, shown = self.market.instruments[self.symbol], DIALECTS[NAME].vwap_decimals
        scale = instrument.price_scale
        assert shown is not None
        price, _ = _number(bars.open, scale)
        vwap, averages = _number(average_price(bars.quote_volume, bars.volume, shown, scale), shown)
        volume, volumes = _number(bars.volume, instrument.amount_scale, _AMOUNT_DIGITS)
        opens = bars.time.astype("M8[us]").astype("M8[ns]")
        columns = [
            *(
                column
                for name in ("open", "high", "low", "close")
                for column in _number(getattr(bars, name), scale)[1]
            ),
            bars.trades,
            *volumes,
            *averages,
            np.datetime_as_string(opens),
            np.datetime_as_string((bars.time + interval * MINUTE).astype("M8[us]")),
        ]
        bar = (
            f'{{"symbol":"{self.symbol}","open":{price},"high":{price},"low":{price},"close":{price},'
            f'"trades":%d,"volume":{volume},"vwap":{vwap},"interval_begin":"%sZ","interval":{interval},'
            f'"timestamp":"%sZ"}}'
        )
        return texts(_told("ohlc", type_, bar), columns)

    def _book(self, type_: str, version: int, depth: int, sides: Sides) -> str:
        book = self.orders
        bids, asks = (self._levels(side) for side in sides)
        checksum = self._checksum(*book.levels(version, depth))
        proof = f'"checksum":{checksum},"timestamp":"{_time(book.time(version))}"'
        return _told("book", type_, f'{{"symbol":"{self.symbol}","bids":{bids},"asks":{asks},{proof}}}')

    def _levels(self, side: Levels) -> str:
        price, prices = _number(side.price, self.market.instruments[self.symbol].price_scale)
        amount, amounts = _number(*self.market.book_sizes(NAME, self.symbol, side))
        return rows(f'{{"price":{price},"qty":{amount}}}', [*prices, *amounts]).decode()

    def _checksum(self, bids: Levels, asks: Levels) -> int:
        """Count digits only, so a price is the number of its ticks."""
        text = ""
        for side in (asks, bids):
            best = side.rows(slice(_CHECKED))
            amounts, scale = self.market.book_sizes(NAME, self.symbol, best)
            lots = (amounts * 10 ** (_AMOUNT_DIGITS - scale)).tolist()
            text += "".join(
                f"{price}{amount}" for price, amount in zip(best.price.tolist(), lots, strict=True)
            )
        return zlib.crc32(text.encode())


class Params(msgspec.Struct):
    """What a client wants of a channel; ``depth`` is for books, ``interval`` for bars."""

    channel: str
    symbol: list[str]
    depth: int = 10
    interval: int = 1
    snapshot: bool | None = None

    def topic(self, symbol: str) -> str:
        return f"ohlc-{self.interval}@{symbol}" if self.channel == "ohlc" else f"{self.channel}@{symbol}"

    def result(self, symbol: str) -> dict[str, object]:
        more = {"ohlc": {"interval": self.interval}, "book": {"depth": self.depth}}
        return {"channel": self.channel, "symbol": symbol, **more.get(self.channel, {})}


class Asked(msgspec.Struct):
    method: Literal["subscribe", "unsubscribe", "ping"]
    params: Params | None = None
    req_id: int | None = None


_READ: Final = msgspec.json.Decoder(Asked)


class KrakenSide(Side):
    """One connection; ``feeds`` are by what is subscribed to."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening, Habits())
        spot = [symbol for symbol in opening.market.instruments if symbol.market_type == "spot"]
        self._symbols: Final = {str(symbol): symbol for symbol in spot}
        self._books: Final = dict[str, Callable[[Us], str]]()
        """How all of each book is told that was ever subscribed to."""
        self._last_push = self._last_word = opening.now

    def opened(self, now: Us) -> list[Act]:
        shut = any(span.start <= now < span.end for span in self.opening.market.outages)
        return _status(now, "maintenance" if shut else "online")

    def heard(self, text: str, now: Us) -> list[Act]:
        self._last_word = now
        try:
            asked = _READ.decode(text)
        except msgspec.DecodeError:
            return self._answer(now, None, method="error", error="Malformed request", success=False)
        if asked.method == "ping":
            return self._answer(now, asked.req_id, method="pong")
        act = self._subscribe if asked.method == "subscribe" else self._unsubscribe
        params = asked.params or Params("", [""])
        return [one for symbol in params.symbol for one in act(params, symbol, asked.req_id, now)]

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        acts = [act for outage in self.opening.market.outages for act in _turns(outage, span)]
        if not self.feeds:
            end = Us(self._last_word + _IDLE)
            return [*acts, Close(max(end, span.start), 1000, "idle")] if end < span.end else acts
        times = [self._last_push, *(act.at for act in pushed)]
        self._last_push = times[-1]
        seconds = every(SECOND, self.opening.now, span)
        quiet = [at for at in seconds if at - times[bisect_right(times, at) - 1] >= SECOND]
        return [*acts, *(Message(at, "", '{"channel":"heartbeat"}') for at in quiet)]

    def whole(self, message: Message) -> list[Message] | None:
        tell = self._books.get(message.topic)
        return [message._replace(text=tell(message.at))] if tell else None

    def notice(self, now: Us) -> list[Act]:
        return _status(now, "maintenance")

    def _subscribe(self, params: Params, symbol: str, number: int | None, now: Us) -> list[Act]:
        topic = params.topic(symbol)
        if error := self._error(params, symbol, topic, now):
            return self._refuse(now, number, "subscribe", symbol, error)
        market = self.opening.market
        stream = Stream(market, self._symbols[symbol], SeenBook(market.orders(NAME, self._symbols[symbol])))
        first = self._open(params, topic, stream, now)
        warnings = (
            {"warnings": ["timestamp is deprecated, use interval_begin"]} if params.channel == "ohlc" else {}
        )
        wanted = params.channel != "trade" if params.snapshot is None else params.snapshot
        result = {**params.result(symbol), "snapshot": wanted, **warnings}
        ack = self._answer(now, number, method="subscribe", result=result, success=True)
        return [*ack, *self.first(now, topic, first)] if wanted else ack

    def _open(self, params: Params, topic: str, stream: Stream, now: Us) -> str:
        """Begin a subscription and return its snapshot."""
        match params.channel:
            case "trade":
                self.feeds[topic] = Feed(topic, stream.trades)
                return stream.last_trades(now)
            case "ohlc":
                self.feeds[topic] = Feed(topic, partial(stream.bars, params.interval))
                return stream.last_bar(params.interval, now)
            case _:
                changes = partial(stream.changes, params.depth)
                self.feeds[topic] = Feed(topic, changes, BOOK_BLOCK, stream.orders)
                self._books[topic] = partial(stream.whole_book, params.depth)
                return self._books[topic](now)

    def _unsubscribe(self, params: Params, symbol: str, number: int | None, now: Us) -> list[Act]:
        if self.feeds.pop(params.topic(symbol), None) is None:
            return self._refuse(now, number, "unsubscribe", symbol, "Subscription Not Found")
        return self._answer(now, number, method="unsubscribe", result=params.result(symbol), success=True)

    def _error(self, params: Params, symbol: str, topic: str, now: Us) -> str | None:
        if self.trouble.full(topic, now):
            return "Exceeded msg rate"
        if params.channel not in ("trade", "ohlc", "book"):
            return "Channel not supported"
        if symbol not in self._symbols:
            return f"Currency pair not supported {symbol}"
        if params.channel == "ohlc" and params.interval not in _INTERVALS:
            return "Subscription ohlc interval not supported"
        if params.channel == "book" and params.depth not in _DEPTHS:
            return "Subscription book depth not supported"
        return "Already subscribed" if topic in self.feeds else None

    def _refuse(self, now: Us, number: int | None, method: str, symbol: str, error: str) -> list[Act]:
        return self._answer(now, number, error=error, method=method, success=False, symbol=symbol)

    def _answer(self, now: Us, number: int | None, **said: object) -> list[Act]:
        req_id = {} if number is None else {"req_id": number}
        at = _time(now)
        return self.say(now, _ENCODE({**said, **req_id, "time_in": at, "time_out": at}))


def _status(at: Us, system: str) -> list[Act]:
    data = f'{{"version":"2.0.0","system":"{system}","api_version":"v2","connection_id":{at}}}'
    return [Message(at, "", _told("status", "update", data))]


def _turns(outage: TimeRange, span: TimeRange) -> list[Act]:
    """Return what is said when trading goes down and comes back."""
    told = ((outage.start, "maintenance"), (outage.end, "online"))
    return [act for at, system in told if span.start <= at < span.end for act in _status(at, system)]


LIVE: Final = Live(
    paths=("/v2",),
    open=KrakenSide,
    connects=Rule(150, Us(10 * MINUTE)),
    refused=Answer(b"<!DOCTYPE html><html><head><title>ws.kraken.com | 1015</title></head></html>", 429),
    checksum=re.compile(r'"checksum":(\d+)'),
    level=re.compile(r'\{"price":([\d.]+),"qty":([\d.]+)\}'),
    ack=re.compile(r'"method":"subscribe".*"success":true'),
)
