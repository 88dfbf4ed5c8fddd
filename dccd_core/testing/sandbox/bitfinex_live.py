"""Bitfinex's WebSocket: channels of trades, candles and order books, numbered messages, checksums.

Beyond what the official pages say, chosen here: ``tu`` follows ``te`` after 1.5 seconds. A candle is pushed
every 2 seconds if something was traded since; what it was in the end comes 5 seconds after it closed, when
the next may have begun. A book changes every 100 ms, first what is taken away; a checksum follows. Numbers
of books have no zeros at their end. A connection has one book of a market, ``P0`` and ``F0`` only. A channel
too many is refused with an error, the connection lives on.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from operator import itemgetter
from typing import Final
from zlib import crc32

import msgspec
import numpy as np

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.exchanges.bitfinex import market as own_name
from dccd_core.testing.sandbox.bitfinex import NAME, VENUE, candles, trades
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels
from dccd_core.testing.sandbox.dialect import global_ids
from dccd_core.testing.sandbox.hashing import Ints
from dccd_core.testing.sandbox.limits import Rule
from dccd_core.testing.sandbox.live import (
    BOOK_BLOCK,
    Act,
    Batch,
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
from dccd_core.testing.sandbox.text import decimals
from dccd_core.testing.sandbox.venue import Ask, Hidden

_CHANNELS: Final = 25
_QUIET: Final = Us(15 * SECOND)
_TIMES, _NUMBERS, _CHECKSUMS = 32_768, 65_536, 131_072
_CHECKED: Final = 25
_SIGNS: Final = ("", "-")
_TU_AFTER: Final = Us(1_500 * MILLISECOND)
_PACE: Final = Us(2 * SECOND)
_FINAL_AFTER: Final = Us(5 * SECOND)
_FRAMES: Final = ("1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1D")
_KEY: Final = re.compile(rf"trade:({'|'.join(_FRAMES)}):(.+)")
_LENGTHS: Final = ("1", "25", "100", "250")
_SHOWN_TRADES: Final = "30"
_SHOWN_CANDLES: Final = "100"
_D: Final = "%d.%08d"
_ENCODE: Final = msgspec.json.encode


@cache
def _names(market: Market) -> dict[str, Symbol]:
    return {own_name(symbol): symbol for symbol in market.instruments if symbol.market_type == "spot"}


class RefusedError(Exception):
    """The venue does not do what it was asked."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code: Final = code


class Asked(msgspec.Struct, kw_only=True):
    """What a client says: which of these there are depends on the ``event``."""

    event: str
    flags: int = 0
    cid: int | None = None
    number: int = msgspec.field(default=0, name="chanId")
    channel: str = ""
    symbol: str = ""
    key: str = ""
    prec: str = "P0"
    freq: str = "F0"
    len: str | int = "25"

    @property
    def topic(self) -> str:
        return f"{self.channel}:{self.key or self.symbol}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One subscription: its messages as they are before their number and time are added."""

    market: Market
    symbol: Symbol
    number: int
    orders: SeenBook

    def ask(self, now: Us, limit: str) -> Ask:
        """Ask the REST interface: a channel begins with what that tells."""
        params = {"symbol": own_name(self.symbol), "limit": limit}
        return Ask(self.market, params, now, VENUE.rule("book"), Hidden())

    def first_trades(self, now: Us) -> str:
        return f"[{self.number},{trades(self.ask(now, _SHOWN_TRADES)).decode()}"

    def trades(self, span: TimeRange) -> Batch:
        told = self.market.tape(NAME, self.symbol).between(TimeRange(Us(span.start - _TU_AFTER), span.end))
        at_once = np.flatnonzero(told.time >= span.start)
        again = np.flatnonzero(told.time < span.end - _TU_AFTER)
        which = np.concatenate((at_once, again))
        kind = np.repeat(np.array(["te", "tu"]), (at_once.size, again.size))
        at = told.time[which] + np.where(kind == "tu", _TU_AFTER, 0)
        order = np.argsort(at, kind="stable")
        which, instrument = which[order], self.market.instruments[self.symbol]
        columns = [
            kind[order],
            global_ids(told.id)[which],
            told.time[which] // MILLISECOND,
            np.where(told.buyer_is_maker, "-", "")[which],
            *decimals(told.amount[which], instrument.amount_scale, 8),
            *decimals(told.price[which], instrument.price_scale, 8),
        ]
        return at[order].tolist(), texts(f'[{self.number},"%s",[%d,%d,%s{_D},{_D}]', columns)

    def first_candles(self, frame: str, now: Us) -> str:
        return f"[{self.number},{candles(frame, self.ask(now, _SHOWN_CANDLES)).decode()}"

    def candles(self, frame: str, span: TimeRange) -> Batch:
        moments = grid(_PACE, TimeRange(Us(span.start - _FINAL_AFTER), span.end))
        so_far = bars_so_far(self.market, NAME, self.symbol, parse_bar_span(frame.lower()), moments)
        looked_at = TimeRange(Us(int(moments[0]) - _PACE), span.end)
        traded = self.market.tape(NAME, self.symbol).between(looked_at).time
        fresh = np.searchsorted(traded, so_far.at) > np.searchsorted(traded, so_far.at - _PACE)
        at = so_far.at + np.where(so_far.closed, _FINAL_AFTER, 0)
        shown = (so_far.bars.trades > 0) & (fresh | so_far.closed) & (at >= span.start) & (at < span.end)
        order = np.flatnonzero(shown)[np.argsort(at[shown], kind="stable")]
        bars, instrument = so_far.bars.rows(order), self.market.instruments[self.symbol]
        prices = (bars.open, bars.close, bars.high, bars.low)
        columns = [
            bars.time // MILLISECOND,
            *(part for price in prices for part in decimals(price, instrument.price_scale, 8)),
            *decimals(bars.volume, instrument.amount_scale, 8),
        ]
        return at[order].tolist(), texts(f"[{self.number},[%d,{_D},{_D},{_D},{_D},{_D}]", columns)

    def first_book(self, length: int, now: Us) -> str:
        return self.whole_book(length, self.orders.version(now))

    def whole_book(self, length: int, version: int) -> str:
        sides = zip(self.orders.levels(version, length), _SIGNS, strict=True)
        rows = [f"[{price},{count},{amount}]" for side in sides for price, count, amount in self._told(*side)]
        return f"[{self.number},[{','.join(rows)}]"

    def changes(self, length: int, span: TimeRange, *, proven: bool) -> Batch:
        """Tell each version level by level, then its checksum; a version without changes is not told."""
        at, said = list[int](), list[str]()
        for version in (grid(BOOK_PERIOD, span) // BOOK_PERIOD).tolist():
            told = self._changed(version, length)
            if told and proven:
                told.append(f'[{self.number},"cs",{self._checksum(version, length)}')
            at += [version * BOOK_PERIOD] * len(told)
            said += told
        return at, said

    def _changed(self, version: int, length: int) -> list[str]:
        """Return the messages that make a version out of the one before; no level is set across another."""
        sides = self.orders.changes(version, length)
        told = [level for side in zip(sides, _SIGNS, strict=True) for level in self._told(*side)]
        gone = [f"[{price},0,{amount[:-1]}1]" for price, _, amount in told if amount in ("0", "-0")]
        left = [f"[{price},{count},{amount}]" for price, count, amount in told if amount not in ("0", "-0")]
        return [f"[{self.number},{row}" for row in (*gone, *left)]

    def _checksum(self, version: int, length: int) -> int:
        sides = self.orders.levels(version, length)
        best = [side.rows(slice(_CHECKED)) for side in sides]
        bids, asks = (self._told(side, sign) for side, sign in zip(best, _SIGNS, strict=True))
        turns = [level for pair in zip_longest(bids, asks) for level in pair if level]
        text = ":".join(f"{price}:{amount}" for price, _, amount in turns)
        return int(np.uint32(crc32(text.encode())).astype(np.int32))

    def _told(self, levels: Levels, sign: str) -> list[tuple[str, int, str]]:
        """Return price, count and amount of each level."""
        sizes, scale = self.market.book_sizes(NAME, self.symbol, levels)
        prices = _written(levels.price, self.market.instruments[self.symbol].price_scale)
        amounts = [f"{sign}{size}" for size in _written(sizes, scale)]
        return list(zip(prices, levels.orders.tolist(), amounts, strict=True))


def _written(values: Ints, scale: int) -> list[str]:
    """Write multiples of ``10**-scale`` without zeros at their end."""
    parts = (divmod(value, 10**scale) for value in values.tolist())
    return [f"{whole}.{rest:0{scale}d}".rstrip("0").rstrip(".") for whole, rest in parts]


class BitfinexSide(Side):
    """One connection: ``feeds`` are by channel and symbol or key."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening, Habits())
        self._flags = 0
        self._number = 0
        self._channels = dict[str, int]()
        self._books = dict[str, Callable[[int], str]]()
        """How all of each book's version is told that was ever subscribed to."""
        self._awaited = list[tuple[Us, Asked, int]]()
        """Channels that have a number already and begin later."""
        self._last = dict[str, Us]()
        """When each channel last had a message."""
        self._next = int(opening.now // MILLISECOND % 400_000)

    def opened(self, now: Us) -> list[Act]:
        server = "5f1d5b9c-8d4a-4d0b-9a55-000000000000"
        info = {"event": "info", "version": 2, "serverId": server, "platform": {"status": 1}}
        return self.say(now, _ENCODE(info))

    def notice(self, now: Us) -> list[Act]:
        told = {"event": "info", "code": 20051, "msg": "Stopping. Please try to reconnect"}
        return self.say(now, _ENCODE(told))

    def heard(self, text: str, now: Us) -> list[Act]:
        try:
            asked = _READ.decode(text)
        except msgspec.DecodeError:
            return self.say(now, _ENCODE({"event": "error", "msg": "event: invalid", "code": 20000}))
        try:
            return self._answers(asked, now)
        except RefusedError as e:
            told = _READ_ALL.decode(text)
            return self.say(now, _ENCODE({**told, "event": "error", "msg": str(e), "code": e.code}))

    def _answers(self, asked: Asked, now: Us) -> list[Act]:
        match asked.event:
            case "subscribe":
                return self._subscribe(asked, now)
            case "unsubscribe":
                return self._unsubscribe(asked.number, now)
            case "conf":
                self._flags = asked.flags
                return self.say(now, _ENCODE({"event": "conf", "status": "OK", "flags": asked.flags}))
            case "ping":
                return self.say(now, _ENCODE({"event": "pong", "ts": now // MILLISECOND, "cid": asked.cid}))
            case _:
                raise RefusedError(20000, "event: invalid")

    def _subscribe(self, asked: Asked, now: Us) -> list[Act]:
        self._check(asked, now)
        self._next += 1
        later = self.trouble.begins_late(asked.topic, now)
        if not later:
            return self._begin(asked, self._next, now)
        self._awaited.append((Us(now + later), asked, self._next))
        self._awaited.sort(key=itemgetter(0))
        return [self._numbered(Message(now, "", f'[{self._next},"hb"'))]

    def _begin(self, asked: Asked, number: int, now: Us) -> list[Act]:
        topic, market = asked.topic, self.opening.market
        key = _KEY.fullmatch(asked.key) if asked.channel == "candles" else None
        name = key[2] if key else asked.symbol
        symbol = _names(market)[name]
        channel = Channel(market, symbol, number, SeenBook(market.orders(NAME, symbol)))
        begun = {"event": "subscribed", "channel": asked.channel, "chanId": channel.number}
        about = {"symbol": name, "pair": name.removeprefix("t")}
        match asked.channel:
            case "trades":
                feed, first = Feed(topic, channel.trades), channel.first_trades(now)
            case "candles":
                frame, about = key[1] if key else "", {"key": asked.key}
                feed, first = Feed(topic, partial(channel.candles, frame)), channel.first_candles(frame, now)
            case _:
                length, proven = int(asked.len), bool(self._flags & _CHECKSUMS)
                about = {**about, "prec": asked.prec, "freq": asked.freq, "len": str(length)}
                changes = partial(channel.changes, length, proven=proven)
                feed = Feed(topic, changes, BOOK_BLOCK, channel.orders)
                self._books[topic] = partial(channel.whole_book, length)
                first = channel.first_book(length, now)
        self.feeds[topic], self._channels[topic], self._last[topic] = feed, channel.number, now
        return [*self.say(now, _ENCODE({**begun, **about})), *self.first(now, topic, first)]

    def _check(self, asked: Asked, now: Us) -> None:
        if asked.channel not in ("trades", "candles", "book"):
            raise RefusedError(10302, "channel: unknown")
        if asked.topic in self.feeds or any(asked.topic == other.topic for _, other, _ in self._awaited):
            raise RefusedError(10301, "subscribe: dup")
        many = self.opening.enforced and len(self.feeds) >= _CHANNELS
        if many or self.trouble.full(asked.topic, now):
            raise RefusedError(10305, "channel: limit")
        self._check_details(asked)

    def _check_details(self, asked: Asked) -> None:
        key = _KEY.fullmatch(asked.key) if asked.channel == "candles" else None
        if (key[2] if key else asked.symbol) not in _names(self.opening.market):
            raise RefusedError(10300, "key: invalid" if asked.channel == "candles" else "symbol: invalid")
        if asked.channel == "book" and (asked.prec, asked.freq) != ("P0", "F0"):
            raise RefusedError(10011, "prec: invalid")
        if asked.channel == "book" and str(asked.len) not in _LENGTHS:
            raise RefusedError(10012, "len: invalid")

    def _unsubscribe(self, number: int, now: Us) -> list[Act]:
        topic = next((topic for topic, channel in self._channels.items() if channel == number), None)
        if topic is None:
            raise RefusedError(10400, "unsubscribe: invalid")
        del self._channels[topic], self.feeds[topic], self._last[topic]
        return self.say(now, _ENCODE({"event": "unsubscribed", "status": "OK", "chanId": number}))

    def first(self, now: Us, topic: str, *said: str) -> list[Act]:
        return self._all_numbered(super().first(now, topic, *said))

    def whole(self, message: Message) -> list[Message] | None:
        """Tell all of the version before, so that the changes that are still to come make the next of it."""
        tell = self._books.get(message.topic)
        version = message.at // BOOK_PERIOD - 1
        return [message._replace(text=tell(version)), message] if tell else None

    def due(self, span: TimeRange) -> list[Act]:
        """Number all messages of channels, in the order in which they are sent."""
        acts, start = list[Act](), span.start
        begun = [one for one in self._awaited if one[0] < span.end]
        self._awaited = self._awaited[len(begun) :]
        for due, asked, number in begun:
            at = max(due, start)
            acts += self._all_numbered(super().due(TimeRange(start, at)))
            acts += self._begin(asked, number, at)
            start = at
        return [*acts, *self._all_numbered(super().due(TimeRange(start, span.end)))]

    def _all_numbered(self, acts: Sequence[Act]) -> list[Act]:
        return [self._numbered(act) if isinstance(act, Message) else act for act in acts]

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        """Return a heartbeat for every 15 seconds that a channel has nothing else to say."""
        said: dict[str, list[Us]] = {topic: [] for topic in self._channels}
        for act in pushed:
            if isinstance(act, Message):
                said[act.topic].append(act.at)
        beats: list[Act] = []
        for topic, channel in self._channels.items():
            for at in (*said[topic], span.end):
                while self._last[topic] + _QUIET < at:
                    self._last[topic] = Us(self._last[topic] + _QUIET)
                    if not self.trouble.hushes_beats(topic, self._last[topic]):
                        beats.append(Message(self._last[topic], "", f'[{channel},"hb"'))
                self._last[topic] = at if at < span.end else self._last[topic]
        return beats

    def _numbered(self, message: Message) -> Message:
        self._number += 1
        number = f",{self._number}" if self._flags & _NUMBERS else ""
        time = f",{message.at // MILLISECOND}" if self._flags & _TIMES else ""
        return message._replace(text=f"{message.text}{number}{time}]")


_READ: Final = msgspec.json.Decoder(Asked)
_READ_ALL: Final = msgspec.json.Decoder(dict[str, object])

LIVE: Final = Live(
    paths=("/ws/2",),
    open=BitfinexSide,
    connects=Rule(20, MINUTE),
    sequence=re.compile(r",(\d+),\d+\]$"),
    checksum=re.compile(r'"cs",(-?\d+)'),
    numbers=re.compile(r",(\d+),\d+\]$"),
    counted=True,
    level=re.compile(r"\[([\d.]+),\d+,(-?[\d.]+)\]"),
    ack=re.compile(r'"event":"subscribed"'),
)
