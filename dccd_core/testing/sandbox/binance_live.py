"""Binance's WebSocket, spot and USD-M futures: aggregate trades, klines and the changes of order books.

Beyond what the official pages say, chosen here: klines are pushed every 2 seconds of the venue's clock
(``1s`` every second), and when they close; there too where nothing traded, but not in an outage. Books
change every 100 ms, all of them and in one message, of the best 1,000 levels a side: one that begins with
more has levels that no message corrects. Spot's update ids are the versions of the book. Too many streams or
messages end the connection with 1008, a full day with 1001. A pong that nobody asked for is not counted.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import DAY, MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.testing.sandbox.binance import (
    DECIMAL,
    INTERVALS,
    NAME,
    futures_update,
    levels_text,
    symbols_by_name,
)
from dccd_core.testing.sandbox.books import BOOK_PERIOD
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Rule, meter
from dccd_core.testing.sandbox.live import (
    BOOK_BLOCK,
    Act,
    Batch,
    Close,
    Feed,
    Habits,
    Live,
    Opening,
    Side,
    bars_so_far,
    grid,
    nothing,
    texts,
)
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.seen_book import SeenBook
from dccd_core.testing.sandbox.text import decimals

_STREAMS: Final = 1_024
_DEPTH: Final = 1_000
_PACE: Final = Us(2 * SECOND)
_TRADE: Final = f'"a":%d,"p":{DECIMAL},"q":{DECIMAL},"f":%d,"l":%d,"T":%d,"m":%s'
_KLINE: Final = (
    f'"f":%d,"L":%d,"o":{DECIMAL},"c":{DECIMAL},"h":{DECIMAL},"l":{DECIMAL},"v":{DECIMAL},"n":%d,"x":%s,'
    f'"q":{DECIMAL},"V":{DECIMAL},"Q":{DECIMAL},"B":"0"'
)
_ENCODE: Final = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Category:
    """What the connections of one address are like: whose streams, which of them, what is allowed."""

    kind: str
    streams: re.Pattern[str]
    habits: Habits
    messages: int
    """So many of the client's in a second."""


_TRADES: Final = r"aggTrade"
_BARS: Final = r"kline_(?P<interval>\w+)"
_BOOK: Final = r"depth@100ms"


def _pattern(*streams: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<symbol>[^@A-Z]+)@(?:{'|'.join(streams)})")


_SPOT_HABITS: Final = Habits(Us(20 * SECOND), Us(MINUTE), DAY)
_FUTURES_HABITS: Final = Habits(Us(3 * MINUTE), Us(10 * MINUTE), DAY)
_SPOT: Final = Category("spot", _pattern(_TRADES, _BARS, _BOOK), _SPOT_HABITS, 5)
_CATEGORIES: Final = {
    "market": Category("linear", _pattern(_TRADES, _BARS), _FUTURES_HABITS, 10),
    "public": Category("linear", _pattern(_BOOK), _FUTURES_HABITS, 10),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """One market's streams on a connection; ``before`` and ``after`` wrap an event as the address does."""

    market: Market
    symbol: Symbol
    ticker: str
    before: str
    after: str
    book: SeenBook

    def texts(self, event: str, columns: Sequence[Ints | NDArray[np.str_]]) -> list[str]:
        return texts(f"{self.before}{event}{self.after}", columns)

    def trades(self, span: TimeRange) -> Batch:
        trades = self.market.tape(NAME, self.symbol).between(span)
        instrument = self.market.instruments[self.symbol]
        more = '"M":true' if self.symbol.market_type == "spot" else f'"nq":{DECIMAL},"st":1'
        amount = decimals(trades.amount, instrument.amount_scale, 8)
        columns = [
            trades.time // MILLISECOND,
            trades.id,
            *decimals(trades.price, instrument.price_scale, 8),
            *amount,
            trades.id,
            trades.id,
            trades.time // MILLISECOND,
            np.where(trades.buyer_is_maker, "true", "false"),
            *([] if self.symbol.market_type == "spot" else amount),
        ]
        event = f'{{"e":"aggTrade","E":%d,"s":"{self.ticker}",{_TRADE},{more}}}'
        return trades.time.tolist(), self.texts(event, columns)

    def bars(self, interval: str, span: TimeRange) -> Batch:
        bar = INTERVALS[interval]
        moments = grid(min(_PACE, bar), span)
        if not moments.size:
            return (), ()
        so_far = bars_so_far(self.market, NAME, self.symbol, bar, moments)
        bars, instrument = so_far.bars, self.market.instruments[self.symbol]
        price, amount = instrument.price_scale, instrument.amount_scale
        count = self.market.tape(NAME, self.symbol).count_before
        opens, which = np.unique(bars.time, return_inverse=True)
        first = np.array([count(Us(at)) for at in opens.tolist()], np.int64)[which]
        columns = [
            so_far.at // MILLISECOND,
            bars.time // MILLISECOND,
            so_far.closes // MILLISECOND - 1,
            np.where(bars.trades > 0, first, -1),
            np.where(bars.trades > 0, first + bars.trades - 1, -1),
            *decimals(bars.open, price, 8),
            *decimals(bars.close, price, 8),
            *decimals(bars.high, price, 8),
            *decimals(bars.low, price, 8),
            *decimals(bars.volume, amount, 8),
            bars.trades,
            np.where(so_far.closed, "true", "false"),
            *decimals(bars.quote_volume, price + amount, 8),
            *decimals(bars.bought, amount, 8),
            *decimals(bars.quote_bought, price + amount, 8),
        ]
        k = f'{{"t":%d,"T":%d,"s":"{self.ticker}","i":"{interval}",{_KLINE}}}'
        event = f'{{"e":"kline","E":%d,"s":"{self.ticker}","k":{k}}}'
        return so_far.at.tolist(), self.texts(event, columns)

    def changes(self, span: TimeRange) -> Batch:
        """Tell all changes since the version told before: while a venue is shut it is told nothing."""
        versions = (grid(BOOK_PERIOD, span) // BOOK_PERIOD).tolist()
        told = [(version, self._told_before(version)) for version in versions if not self._shut(version)]
        messages = [self._change(version, before) for version, before in told]
        return [self.book.time(version) for version, _ in told], messages

    def _change(self, version: int, before: int) -> str:
        sides = self.book.changes(version, _DEPTH)
        bids, asks = (levels_text(self.market, self.symbol, side).decode() for side in sides)
        at = version * BOOK_PERIOD // MILLISECOND
        if self.symbol.market_type == "spot":
            numbers = f'"s":"{self.ticker}","U":{before + 1},"u":{version}'
        else:
            last, previous = futures_update(version), futures_update(before)
            first = last - version % 2
            numbers = f'"T":{at},"s":"{self.ticker}","st":1,"U":{first},"u":{last},"pu":{previous}'
        event = f'{{"e":"depthUpdate","E":{at},{numbers},"b":{bids},"a":{asks}}}'
        return f"{self.before}{event}{self.after}"

    def _shut(self, version: int) -> bool:
        """Whether there is no book now and there was none before."""
        return self._outage(version) is not None and self._outage(version - 1) is not None

    def _told_before(self, version: int) -> int:
        """Return the version told before this one: in an outage the first without a book was the last."""
        outage = self._outage(version - 1)
        return version - 1 if outage is None else -(-outage.start // BOOK_PERIOD)

    def _outage(self, version: int) -> TimeRange | None:
        at = version * BOOK_PERIOD
        return next((span for span in self.market.outages if span.start <= at < span.end), None)


class BinanceSide(Side):
    """One connection: ``feeds`` are by the name of the stream."""

    def __init__(self, opening: Opening) -> None:
        where = opening.path.split("/")[1]
        self._category: Final = _CATEGORIES.get(where, _SPOT)
        super().__init__(opening, self._category.habits)
        self._combined: Final = opening.path.endswith("/stream")
        per_second = Rule(self._category.messages, SECOND)
        self._messages: Final = meter(per_second, enforced=opening.enforced)
        self._subscribe(name for name in opening.params.get("streams", "").split("/") if name)

    def heard(self, text: str, now: Us) -> list[Act]:
        if self._messages.charge(1, now).status != 200:
            return [Close(now, 1008, "Too many requests")]
        try:
            asked = _READ.decode(text)
        except msgspec.ValidationError as e:
            return self.say(now, _ENCODE({"code": 2, "msg": f"Invalid request: {e}"}))
        except msgspec.DecodeError as e:
            return self.say(now, _ENCODE({"code": 3, "msg": f"Invalid JSON: {e}"}))
        if asked.method == "SUBSCRIBE" and self._full(asked.params, now):
            error = {"code": 2, "msg": "Invalid request: too many streams"}
            return self.say(now, _ENCODE({"error": error, "id": asked.id}))
        self._change(asked)
        if len(self.feeds) > _STREAMS:
            return [Close(now, 1008, "Too many streams")]
        result = list(self.feeds) if asked.method == "LIST_SUBSCRIPTIONS" else None
        return self.say(now, _ENCODE({"result": result, "id": asked.id}))

    def _full(self, names: Iterable[str], now: Us) -> bool:
        return any(self.trouble.full(self._topic(name), now) for name in names)

    def _change(self, asked: "Asked") -> None:
        if asked.method == "SUBSCRIBE":
            self._subscribe(asked.params)
        elif asked.method == "UNSUBSCRIBE":
            for name in asked.params:
                self.feeds.pop(name, None)

    def notice(self, now: Us) -> list[Act]:
        before, after = self._wrap("!serverShutdown")
        return self.say(now, f'{before}{{"e":"serverShutdown","E":{now // MILLISECOND}}}{after}'.encode())

    def _wrap(self, name: str) -> tuple[str, str]:
        return (f'{{"stream":"{name}","data":', "}") if self._combined else ("", "")

    def _subscribe(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.feeds:
                self.feeds[name] = self._feed(name)

    def _feed(self, name: str) -> Feed:
        """Return what a stream pushes: nothing, if there is none of that name at this address."""
        found = self._category.streams.fullmatch(name)
        tickers = symbols_by_name(self.opening.market, self._category.kind)
        ticker = found["symbol"].upper() if found else ""
        if not found or ticker not in tickers:
            return Feed(name, nothing, DAY)
        market, symbol = self.opening.market, tickers[ticker]
        book = SeenBook(market.orders(NAME, symbol))
        stream = Stream(market, symbol, ticker, *self._wrap(name), book)
        topic = self._topic(name)
        interval = found.groupdict().get("interval")
        if interval is not None:
            return Feed(topic, partial(stream.bars, interval) if interval in INTERVALS else nothing)
        if name.endswith("@aggTrade"):
            return Feed(topic, stream.trades)
        return Feed(topic, stream.changes, BOOK_BLOCK, book)

    def _topic(self, name: str) -> str:
        return name if self._category.kind == "spot" else f"usdm:{name}"


class Asked(msgspec.Struct):
    """What a client says: which ``params`` there are depends on the ``method``."""

    method: Literal["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS"]
    id: int | str | None = None
    params: list[str] = msgspec.field(default_factory=list[str])


_READ: Final = msgspec.json.Decoder(Asked)

LIVE: Final = Live(
    paths=(
        "/ws",
        "/ws/{streams:path}",
        "/stream",
        *(f"/{category}/{way}" for category in _CATEGORIES for way in ("ws", "ws/{streams:path}", "stream")),
    ),
    open=BinanceSide,
    connects=Rule(300, Us(5 * MINUTE)),
    sequence=re.compile(r'(?:"pu"|"U"(?!.*"pu")):(\d+)'),
    numbers=re.compile(r'"(?:U|u|pu)":(\d+)'),
    level=re.compile(r'\["([\d.]+)","([\d.]+)"\]'),
    ack=re.compile(r'"result":null'),
)
