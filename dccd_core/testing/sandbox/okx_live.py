"""OKX's WebSocket: every fill and candles at the business address, order books at the public one.

Beyond what the official pages say, chosen here: candles are pushed every second of the venue's clock, and
when they close; there too where nothing traded, but not in an outage. A book's ``seqId`` is its version; a
level that is pushed out of the best 400 is said to be gone. Each argument of a request is answered for
itself, errors without its ``id``; who subscribes twice is agreed to again, and nothing changes. A request
too many is an error and nothing more; quiet connections are closed only where limits hold, since a fast
clock leaves nobody the time to speak. Nothing else is simulated: other channels, and the candles that are
cut in Hong Kong, are refused like unknown ones.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from dccd_core.domain.barspan import parse_bar_span
from dccd_core.domain.symbol import Symbol
from dccd_core.domain.timespan import HOUR, MILLISECOND, MINUTE, SECOND, TimeRange, Us
from dccd_core.testing.sandbox.bars import Bars
from dccd_core.testing.sandbox.books import BOOK_PERIOD, Levels, Sides
from dccd_core.testing.sandbox.dialect import DIALECTS
from dccd_core.testing.sandbox.hashing import Ints, seed_of
from dccd_core.testing.sandbox.limits import Rule, meter
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
    grid,
    texts,
)
from dccd_core.testing.sandbox.market import Market
from dccd_core.testing.sandbox.okx import NAME, name_of
from dccd_core.testing.sandbox.seen_book import SeenBook
from dccd_core.testing.sandbox.text import decimals

_DEPTH: Final = 400
_HEARTBEAT: Final = MINUTE // BOOK_PERIOD
_PACE: Final = SECOND
_QUIET: Final = Us(30 * SECOND)
_LATE: Final = SECOND
"""More of the sandbox's time at once is a jump of its clock, in which no client could have said a word."""
_LONGEST: Final = 64 * 1_024
_REQUESTS: Final = Rule(480, HOUR)
_TRADES: Final = "trades-all"
_BOOKS: Final = "books"
_BARS: Final = {
    f"candle{name}": parse_bar_span(name.removesuffix("utc").lower())
    for name in ("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6Hutc", "12Hutc", "1Dutc")
}
_DEEPER: Final = ("books-l2-tbt", "books50-l2-tbt")
_ENCODE: Final = msgspec.json.encode


class Arg(msgspec.Struct, frozen=True):
    channel: str
    instrument: str = msgspec.field(default="", name="instId")

    @property
    def topic(self) -> str:
        return f"{self.channel}:{self.instrument}"


class Asked(msgspec.Struct):
    op: Literal["subscribe", "unsubscribe"]
    args: list[Arg]
    id: str | None = None


_READ: Final = msgspec.json.Decoder(Asked)


@dataclass(frozen=True, slots=True)
class Stream:
    """What one market's channel pushes."""

    market: Market
    symbol: Symbol
    arg: Arg
    orders: SeenBook

    def texts(self, data: str, columns: Sequence[Ints | NDArray[np.str_]]) -> list[str]:
        return texts(f'{{"arg":{_ENCODE(self.arg).decode()},"data":[{data}]}}', columns)

    def trades(self, span: TimeRange) -> Batch:
        trades = self.market.tape(NAME, self.symbol).between(span)
        price = trades.price, self.market.instruments[self.symbol].price_scale
        size = self.market.sizes(NAME, self.symbol, trades)
        row = (
            f'{{"instId":"{self.arg.instrument}","tradeId":"%s","px":"{_form(price)}","sz":"{_form(size)}",'
            '"side":"%s","ts":"%d","source":"0"}'
        )
        columns = [
            np.array(DIALECTS[NAME].ids(trades.id)),
            *_parts(price),
            *_parts(size),
            np.where(trades.buyer_is_maker, "sell", "buy"),
            trades.time // MILLISECOND,
        ]
        return trades.time.tolist(), self.texts(row, columns)

    def bars(self, bar: Us, span: TimeRange) -> Batch:
        moments = grid(_PACE, span)
        if not moments.size:
            return (), ()
        so_far = bars_so_far(self.market, NAME, self.symbol, bar, moments)
        bars, instrument = so_far.bars, self.market.instruments[self.symbol]
        quote = bars.quote_volume, instrument.price_scale + instrument.amount_scale
        cells = [
            *((column, instrument.price_scale) for column in (bars.open, bars.high, bars.low, bars.close)),
            self._counted(bars),
            quote if self.symbol.market_type == "spot" else (bars.volume, instrument.amount_scale),
            quote,
        ]
        row = ",".join(f'"{_form(cell)}"' for cell in cells)
        columns = [
            bars.time // MILLISECOND,
            *(part for cell in cells for part in _parts(cell)),
            so_far.closed.astype(np.int64),
        ]
        return so_far.at.tolist(), self.texts(f'["%d",{row},"%d"]', columns)

    def _counted(self, bars: Bars) -> tuple[Ints, int]:
        """Return volumes as the venue counts them: in contracts, where it has those."""
        instrument = self.market.instruments[self.symbol]
        worth = DIALECTS[NAME].contracts.get(self.symbol.market_type, 0)
        if self.symbol.market_type == "inverse":
            return bars.quote_volume, instrument.price_scale + instrument.amount_scale + worth
        return bars.volume, instrument.amount_scale + worth


@dataclass(frozen=True, slots=True)
class Book:
    """One subscription to an order book: it begins whole with version ``since``.

    The numbers of versions start anew at each of ``restarts``.
    """

    stream: Stream
    since: int
    restarts: tuple[int, ...] = ()

    def snapshot(self) -> str:
        return self.all_of_it(self.since)

    def all_of_it(self, version: int) -> str:
        """Tell the whole book, numbered as a change of it would be."""
        sides = self._orders.levels(version, _DEPTH)
        changed = version == self.since or _hold_levels(self._orders.changes(version, _DEPTH))
        number = self._number(version if changed else self._told_before(version))
        return self._text("snapshot", sides, version, -1, number)

    def updates(self, span: TimeRange) -> Batch:
        """Tell what changed; where nothing does for a minute, say that."""
        versions = [v for v in (grid(BOOK_PERIOD, span) // BOOK_PERIOD).tolist() if v > self.since]
        before = self._told_before(versions[0]) if versions else self.since
        at, told = list[int](), list[str]()
        for version in versions:
            sides = self._orders.changes(version, _DEPTH)
            changed = _hold_levels(sides)
            if not changed and (version - before) % _HEARTBEAT:
                continue
            previous = self._number(before)
            before = version if changed else before
            at.append(version * BOOK_PERIOD)
            told.append(self._text("update", sides, version, previous, self._number(before)))
        return at, told

    @property
    def _orders(self) -> SeenBook:
        return self.stream.orders

    def _told_before(self, version: int) -> int:
        """Return the last version before this one that differed from its predecessor, or the first told."""
        at = version - 1
        while at > self.since and not _hold_levels(self._orders.changes(at, _DEPTH)):
            at = min(at - 1, self._shut_since(at))
        return max(at, self.since)

    def _shut_since(self, version: int) -> int:
        """Return the first version of the span without a book that this one lies in, if it does."""
        market, at = self.stream.market, version * BOOK_PERIOD
        unborn = TimeRange(Us(0), market.tape(NAME, self.stream.symbol).first_time)
        spans = [span for span in (unborn, *market.outages) if span.start <= at < span.end]
        return -(-spans[0].start // BOOK_PERIOD) if spans else version

    def _number(self, version: int) -> int:
        restart = max((at for at in self.restarts if at <= version), default=None)
        return version if restart is None else version - restart + 1

    def _text(self, action: str, sides: Sides, version: int, previous: int, number: int) -> str:
        bids, asks = (self._levels(side) for side in sides)
        return (
            f'{{"arg":{_ENCODE(self.stream.arg).decode()},"action":"{action}","data":[{{"asks":{asks},'
            f'"bids":{bids},"ts":"{version * BOOK_PERIOD // MILLISECOND}","checksum":0,'
            f'"prevSeqId":{previous},"seqId":{number}}}]}}'
        )

    def _levels(self, side: Levels) -> str:
        market, symbol = self.stream.market, self.stream.symbol
        sizes, scale = market.book_sizes(NAME, symbol, side)
        columns = zip(side.price.tolist(), sizes.tolist(), side.orders.tolist(), strict=True)
        ticks = market.instruments[symbol].price_scale
        levels = [
            f'["{_plain(price, ticks)}","{_plain(size, scale)}","0","{n}"]' for price, size, n in columns
        ]
        return f"[{','.join(levels)}]"


def _hold_levels(sides: Sides) -> bool:
    return any(side.price.size for side in sides)


def _form(cell: tuple[Ints, int]) -> str:
    return f"%d.%0{max(1, cell[1])}d"


def _parts(cell: tuple[Ints, int]) -> list[Ints]:
    values, scale = cell
    return decimals(values, scale, max(1, scale))


def _plain(value: int, scale: int) -> str:
    """Write a multiple of ``10**-scale`` without needless zeros: a level that is gone has amount ``0``."""
    whole, rest = divmod(value, 10**scale)
    return f"{whole}.{rest:0{max(1, scale)}d}".rstrip("0").rstrip(".")


class OkxSide(Side):
    """One connection: ``feeds`` are by channel and instrument."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening, Habits())
        self._business: Final = opening.path.endswith("/business")
        self._requests: Final = meter(_REQUESTS, enforced=opening.enforced)
        self._symbols: Final = {name_of(symbol): symbol for symbol in opening.market.instruments}
        self._books: Final = dict[str, Book]()
        self._number: Final = f"{int(seed_of(opening.path, opening.now)) & 0xFFFFFFFF:08x}"
        self._quiet_since = opening.now

    def heard(self, text: str, now: Us) -> list[Act]:
        self._quiet_since = now
        if text == "ping":
            return self.say(now, b"pong")
        if self.opening.enforced and len(text.encode()) > _LONGEST:
            return [Close(now, 1009, "The request is too long")]
        try:
            asked = _READ.decode(text)
        except msgspec.DecodeError:
            return self._error(now, "60012", f"Invalid request: {text}")
        if self._requests.charge(1, now).status != 200:
            return self._error(now, "60014", "Requests too frequent")
        return [act for arg in asked.args for act in self._asked_for(asked, arg, now)]

    def beats(self, span: TimeRange, pushed: Sequence[Act]) -> list[Act]:
        """Close what was quiet for too long: nothing was said or pushed."""
        if not self.opening.enforced or span.length > _LATE:
            self._quiet_since = span.end
            return []
        since = self._quiet_since
        for at in [*(act.at for act in pushed), span.end]:
            if at - since > _QUIET:
                return [Close(Us(since + _QUIET), 4004, "No data received in 30s")]
            since = at
        self._quiet_since = pushed[-1].at if pushed else self._quiet_since
        return []

    def notice(self, now: Us) -> list[Act]:
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return self._event(now, event="notice", code="64008", msg=text)

    def whole(self, message: Message) -> list[Message] | None:
        book = self._books.get(message.topic)
        if book is None:
            return None
        return [message._replace(text=book.all_of_it(book.stream.orders.version(message.at)))]

    def restarted(self, topic: str, span: TimeRange) -> list[Message] | None:
        if topic not in self._books:
            return None
        book = self._books[topic]
        anew = replace(book, restarts=(*book.restarts, span.start // BOOK_PERIOD))
        feed = Feed(topic, anew.updates, BOOK_BLOCK, book.stream.orders)
        messages = feed.due(span)
        if not messages or messages[0].at != span.start:
            return None  # it is the snapshot that is to be numbered anew
        self._books[topic], self.feeds[topic] = anew, feed
        return messages

    def _asked_for(self, asked: Asked, arg: Arg, now: Us) -> list[Act]:
        if refusal := self._refusal(arg):
            return self._error(now, *refusal)
        if asked.op == "subscribe" and self.trouble.full(arg.topic, now):
            return self._error(now, "60014", "Requests too frequent")
        more = {} if asked.id is None else {"id": asked.id}
        answer = self._event(now, **more, event=asked.op, arg=arg)
        if asked.op == "unsubscribe":
            self.feeds.pop(arg.topic, None)
            self._books.pop(arg.topic, None)
        elif arg.topic not in self.feeds:
            answer += self._begin(arg, now)
        return answer

    def _begin(self, arg: Arg, now: Us) -> list[Act]:
        """Begin to push a channel, and return what comes of it at once."""
        market, symbol, topic = self.opening.market, self._symbols[arg.instrument], arg.topic
        stream = Stream(market, symbol, arg, SeenBook(market.orders(NAME, symbol)))
        if arg.channel == _BOOKS:
            book = Book(stream, market.orders(NAME, symbol).version(now))
            self._books[topic] = book
            self.feeds[topic] = Feed(topic, book.updates, BOOK_BLOCK, stream.orders)
            return self.first(now, topic, book.snapshot())
        made = stream.trades if arg.channel == _TRADES else partial(stream.bars, _BARS[arg.channel])
        self.feeds[topic] = Feed(topic, made)
        return []

    def _refusal(self, arg: Arg) -> tuple[str, str] | None:
        """Return code and text if a channel cannot be had here."""
        businesslike = arg.channel == _TRADES or arg.channel in _BARS
        if arg.channel in _DEEPER and not self._business:
            return "64003", "Your trading fee tier doesn't meet the requirement to access this channel"
        if businesslike and not self._business:
            return "64001", "This channel has been migrated to the business URL. Please use the new URL."
        here = businesslike if self._business else arg.channel == _BOOKS
        if here and arg.instrument in self._symbols:
            return None
        return "60018", (
            f"Wrong URL or channel:{arg.channel},instId:{arg.instrument} doesn't exist. "
            "Please use the correct URL, channel and parameters referring to API document."
        )

    def _error(self, now: Us, code: str, text: str) -> list[Act]:
        return self._event(now, event="error", code=code, msg=text)

    def _event(self, now: Us, **told: object) -> list[Act]:
        return self.say(now, _ENCODE({**told, "connId": self._number}))


LIVE: Final = Live(
    paths=("/ws/v5/public", "/ws/v5/business"),
    open=OkxSide,
    connects=Rule(3, SECOND),
    sequence=re.compile(r'"prevSeqId":(\d+)'),
    numbers=re.compile(r'"(?:prevSeqId|seqId)":(\d+)'),
    level=re.compile(r'\["([\d.]+)","([\d.]+)","0","\d+"\]'),
    ack=re.compile(r'"event":"subscribe"'),
)
