"""Bybit's public WebSockets, one address per kind of market: trades, klines and order books.

Beyond what the official pages say, chosen here: klines are pushed every 2 seconds of the venue's clock, and
when they close; there too where nothing traded, but not in an outage. The trades of one moment are one
message. Books of all depths change every 100 ms; a moment that changed nothing is told too, as the ``u`` of
a book is its version and grows by one with each message. After an outage a book begins with a snapshot. A
request is refused as a whole, in the words that clients have seen; so is one with which the topics of a
connection would have too many characters. Other topics do not exist.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Final

import msgspec
import numpy as np

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels, Sides
from dccd_core.testing.sandbox.bybit import NAME
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.grid import MONTH
from dccd_core.testing.sandbox.hashing import seed_of
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.live import (
    ABORTED,
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
    grid,
    texts,
)
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.seen_book import SeenBook
from dccd_core.testing.sandbox.text import decimals, rows
from dccd_core.testing.sandbox.venue import Answer

_KINDS: Final = ("spot", "linear", "inverse")
_INTERVALS: Final = {
    **{str(n): Us(n * MINUTE) for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": parse_bar_span("1d"),
    "W": parse_bar_span("1w"),
    "M": MONTH,
}
_BARS: Final = rf"kline\.(?P<interval>{'|'.join(_INTERVALS)})"
_BOOKS: Final = r"orderbook\.(?P<depth>1|50|200|1000)"
_TOPIC: Final = re.compile(rf"(?:publicTrade|{_BARS}|{_BOOKS})\.(?P<symbol>\w+)")
_SPOT_ARGS: Final = 10
_CHARACTERS: Final = 21_000
_IDLE: Final = Us(10 * MINUTE)
_PACE: Final = Us(2 * SECOND)
_D: Final = '"%d.%08d"'
_TRADE: Final = f'{{"T":%d,"s":"%s","S":"%s","v":{_D},"p":{_D},"L":"PlusTick","i":"%s","BT":false,"seq":%d}}'
_KLINE: Final = (
    f'"open":{_D},"close":{_D},"high":{_D},"low":{_D},"volume":{_D},"turnover":{_D},'
    '"confirm":%s,"timestamp":%d'
)
_ENCODE: Final = msgspec.json.encode


@cache
def _names(market: Market, kind: str) -> dict[str, Symbol]:
    found = [symbol for symbol in market.instruments if symbol.market_type == kind]
    return {f"{s.base}PERP" if s.settle == "USDC" else f"{s.base}{s.quote}": s for s in found}


@dataclass(frozen=True, slots=True)
class Stream:
    """What one topic pushes; ``ticker`` is the market's name."""

    market: Market
    symbol: Symbol
    ticker: str
    topic: str
    orders: SeenBook

    def message(self, data: str, at: int | str, type_: str = "snapshot", more: str = "") -> str:
        """Keys stand in another order for spot than for contracts."""
        if self.symbol.market_type == "spot":
            return f'{{"topic":"{self.topic}","ts":{at},"type":"{type_}","data":{data}{more}}}'
        return f'{{"topic":"{self.topic}","type":"{type_}","ts":{at},"data":{data}{more}}}'

    def trades(self, span: TimeRange) -> Batch:
        """Tell the trades of one moment in one message."""
        trades = self.market.tape(NAME, self.symbol).between(span)
        sizes, scale = self.market.sizes(NAME, self.symbol, trades)
        columns = [
            trades.time // MILLISECOND,
            np.full(trades.id.size, self.ticker),
            np.where(trades.buyer_is_maker, "Sell", "Buy"),
            *decimals(sizes, scale, 8),
            *decimals(trades.price, self.market.instruments[self.symbol].price_scale, 8),
            np.array(DIALECTS[NAME].ids(trades.id)),
            trades.id + 1,
        ]
        told = texts(_TRADE, columns)
        times, first = np.unique(trades.time, return_index=True)
        bounds = [*first.tolist(), len(told)]
        return times.tolist(), [
            self.message(f"[{','.join(told[bounds[n] : bounds[n + 1]])}]", at // MILLISECOND)
            for n, at in enumerate(times.tolist())
        ]

    def bars(self, interval: str, span: TimeRange) -> Batch:
        moments = grid(_PACE, span)
        if not moments.size:
            return (), ()
        so_far = bars_so_far(self.market, NAME, self.symbol, _INTERVALS[interval], moments)
        bars, instrument = so_far.bars, self.market.instruments[self.symbol]
        price, amount = instrument.price_scale, instrument.amount_scale
        volumes = [decimals(bars.volume, amount, 8), decimals(bars.quote_volume, price + amount, 8)]
        if self.symbol.market_type == "inverse":
            volumes.reverse()
        columns = [
            bars.time // MILLISECOND,
            so_far.closes // MILLISECOND - 1,
            *decimals(bars.open, price, 8),
            *decimals(bars.close, price, 8),
            *decimals(bars.high, price, 8),
            *decimals(bars.low, price, 8),
            *volumes[0],
            *volumes[1],
            np.where(so_far.closed, "true", "false"),
            so_far.at // MILLISECOND,
            so_far.at // MILLISECOND,
        ]
        data = f'[{{"start":%d,"end":%d,"interval":"{interval}",{_KLINE}}}]'
        text = f'{{"type":"snapshot","topic":"{self.topic}","data":{data},"ts":%d}}'
        return so_far.at.tolist(), texts(text, columns)


@dataclass(frozen=True, slots=True)
class Book:
    """One subscription to an order book: it begins whole with version ``since``.

    The numbers of versions start anew at each of ``restarts``.
    """

    stream: Stream
    depth: int
    since: int
    restarts: tuple[int, ...] = ()

    def first(self, now: Us) -> str:
        return self.all_of_it(self.since, now)

    def all_of_it(self, version: int, now: Us) -> str:
        return self._text("snapshot", self.stream.orders.levels(version, self.depth), version, now)

    def updates(self, span: TimeRange) -> Batch:
        """Tell every version; while there is no book nothing, but that there is none."""
        versions = [v for v in (grid(BOOK_PERIOD, span) // BOOK_PERIOD).tolist() if v > self.since]
        told = [version for version in versions if not (self._shut(version) and self._shut(version - 1))]
        return [self.stream.orders.time(version) for version in told], [self._update(v) for v in told]

    def _update(self, version: int) -> str:
        orders, at = self.stream.orders, self.stream.orders.time(version)
        if self.depth == 1 or version in self.restarts or self._shut(version - 1):
            return self.all_of_it(version, at)
        return self._text("delta", orders.changes(version, self.depth), version, at)

    def _shut(self, version: int) -> bool:
        market, at = self.stream.market, self.stream.orders.time(version)
        unborn = at <= market.tape(NAME, self.stream.symbol).first_time
        return unborn or any(span.start <= at < span.end for span in market.outages)

    def _number(self, version: int) -> int:
        restart = max((at for at in self.restarts if at <= version), default=None)
        return version if restart is None else version - restart + 1

    def _text(self, type_: str, sides: Sides, version: int, sent: Us) -> str:
        bids, asks = (self._levels(side) for side in sides)
        data = f'"s":"{self.stream.ticker}","b":{bids},"a":{asks},"u":{self._number(version)},"seq":{version}'
        made = f',"cts":{version * BOOK_PERIOD // MILLISECOND}'
        return self.stream.message(f"{{{data}}}", sent // MILLISECOND, type_, made)

    def _levels(self, side: Levels) -> str:
        """Write levels; the amount of one that is gone is ``0``."""
        market, symbol = self.stream.market, self.stream.symbol
        price = decimals(side.price, market.instruments[symbol].price_scale, 8)
        whole, rest = decimals(*market.book_sizes(NAME, symbol, side), 8)
        sizes = [
            f"{w}.{r:08d}" if w or r else "0" for w, r in zip(whole.tolist(), rest.tolist(), strict=True)
        ]
        return rows('["%d.%08d","%s"]', [*price, np.array(sizes)]).decode()


class Asked(msgspec.Struct):
    """What a client says."""

    op: str
    args: list[str] = msgspec.field(default_factory=list[str])
    req_id: str = ""


_READ: Final = msgspec.json.Decoder(Asked)


class BybitSide(Side):
    """One connection: ``feeds`` are by the topics' own names."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening, Habits())
        self._kind: Final = opening.path.rpartition("/")[2]
        self._markets: Final = _names(opening.market, self._kind)
        self._books: Final = dict[str, Book]()
        self._connection: Final = f"{int(seed_of(opening.path, opening.now)) & 0xFFFFFFFFFFFF:012x}-sb"
        self._quiet_since = opening.now

    def heard(self, text: str, now: Us) -> list[Act]:
        self._quiet_since = now
        try:
            asked = _READ.decode(text)
        except msgspec.DecodeError as e:
            return self._answer(Asked(""), now, f"Failed to decode incoming data:{e}")
        match asked.op:
            case "ping":
                return self._answer(asked, now, said="pong")
            case "subscribe":
                return self._subscribe(asked, now)
            case "unsubscribe":
                for topic in asked.args:
                    self.feeds.pop(topic, None)
                    self._books.pop(topic, None)
                return self._answer(asked, now)
            case _:
                return self._answer(asked, now, "error:invalid op")

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        """Close what was quiet for too long: nothing was said or pushed."""
        if not self.opening.enforced:
            return []
        since = self._quiet_since
        for at in [*(act.at for act in pushed), span.end]:
            if at - since > _IDLE:
                return [Close(Us(since + _IDLE), ABORTED)]
            since = at
        self._quiet_since = pushed[-1].at if pushed else self._quiet_since
        return []

    def whole(self, message: Message) -> list[Message] | None:
        book = self._books.get(message.topic.removeprefix(f"{self._kind}:"))
        if book is None:
            return None
        version = book.stream.orders.version(message.at)
        return [message._replace(text=book.all_of_it(version, message.at))]

    def restarted(self, topic: str, span: TimeRange) -> list[Message] | None:
        name = topic.removeprefix(f"{self._kind}:")
        if name not in self._books:
            return None
        book = self._books[name]
        anew = replace(book, restarts=(*book.restarts, span.start // BOOK_PERIOD))
        feed = Feed(topic, anew.updates, BOOK_BLOCK, book.stream.orders)
        messages = feed.due(span)
        if not messages or messages[0].at != span.start:
            return None  # it is the first snapshot that is to be numbered anew
        self._books[name], self.feeds[name] = anew, feed
        return messages

    def _subscribe(self, asked: Asked, now: Us) -> list[Act]:
        if (refusal := self._refusal(asked.args, now)) is not None:
            return self._answer(asked, now, refusal)
        acts = self._answer(asked, now, said="subscribe" if self._kind == "spot" else "")
        return [*acts, *(act for name in asked.args for act in self._begin(name, now))]

    def _refusal(self, names: list[str], now: Us) -> str | None:
        if self._kind == "spot" and len(names) > _SPOT_ARGS:
            return "args size >10"
        full = any(self.trouble.full(self._topic(name), now) for name in names)
        if full or sum(map(len, (*self.feeds, *names))) > _CHARACTERS:
            return "error:args too long"
        for name in names:
            found = _TOPIC.fullmatch(name)
            if not found or found["symbol"] not in self._markets:
                return f"error:handler not found,topic:{name}"
            if name in self.feeds:
                return f"error:already subscribed,topic:{name}"
        return None

    def _begin(self, name: str, now: Us) -> list[Act]:
        """Begin to push a topic, and return what comes of it at once."""
        found = _TOPIC.fullmatch(name)
        assert found
        topic = self._topic(name)
        market, symbol = self.opening.market, self._markets[found["symbol"]]
        stream = Stream(market, symbol, found["symbol"], name, SeenBook(market.orders(NAME, symbol)))
        if found["depth"]:
            book = Book(stream, int(found["depth"]), stream.orders.version(now))
            self._books[name] = book
            self.feeds[name] = Feed(topic, book.updates, BOOK_BLOCK, stream.orders)
            return self.first(now, topic, book.first(now))
        made = partial(stream.bars, found["interval"]) if found["interval"] else stream.trades
        self.feeds[name] = Feed(topic, made)
        return []

    def _topic(self, name: str) -> str:
        return name if self._kind == "spot" else f"{self._kind}:{name}"

    def _answer(self, asked: Asked, now: Us, error: str | None = None, said: str = "") -> list[Act]:
        answer = {
            "success": error is None,
            "ret_msg": said if error is None else error,
            "conn_id": self._connection,
            "req_id": asked.req_id,
            "op": asked.op,
        }
        return self.say(now, _ENCODE(answer))


LIVE: Final = Live(
    paths=tuple(f"/v5/public/{kind}" for kind in _KINDS),
    open=BybitSide,
    connects=Rule(500, Us(5 * MINUTE)),
    refused=Answer(b"403, access too frequent", 403, {"content-type": "text/html"}),
    sequence=re.compile(r'"u":(\d+)'),
    numbers=re.compile(r'"u":(\d+)'),
    level=re.compile(r'\["([\d.]+)","([\d.]+)"\]'),
    ack=re.compile(r'"success":true.*"op":"subscribe"'),
)
