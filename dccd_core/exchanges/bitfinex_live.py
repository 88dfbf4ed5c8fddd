"""Bitfinex's WebSocket, v2, of spot.

Docs: https://docs.bitfinex.com/docs/ws-public

Quirks:
- Messages name their channel by a number. One counter runs through all of a connection (asked for before
  anything else, with times and checksums): where it jumps, nobody can say of what something is lost.
- A trade comes twice, at once (``te``) and a second later (``tu``): the first is taken. Trades and bars begin
  with the newest rows there are, newest first.
- Each message, heartbeats too, tells when it was sent: all that was sent of its channel until then came
  before it. UNSURE: how much later than its own time a trade is sent. Ids are shared by all markets: they do
  not show that a trade is missing.
- A change of a book is one level; COUNT 0 takes it away, AMOUNT is then only the sign of its side. The
  checksum is of the numbers as they are written, so they never become floats on the way to it.
- Bars have no closed flag; the one before the running one may still be corrected.
- Messages of a channel, numbers and all, may come many seconds before the answer that says what it is of:
  they are counted and passed over. Answers were seen 13 s after the question.
- The number of a message that is not understood counts when it can be read; when only its channel can, one
  missing number is taken for it.
- UNSURE where the counter begins, so any first number will do; whether messages of a channel still come after
  it was given up (they are passed over); whether 25 or 30 channels are allowed, so 25.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Final
from zlib import crc32

import msgspec

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit
from dccd_core.adapter.frames import TaggedRows, isolating, live_bars, live_trades, read_frames
from dccd_core.adapter.live import (
    Ack,
    BookChange,
    Channel,
    DecodedBatch,
    Pairs,
    Precision,
    Topic,
    WebSocketApi,
    Word,
)
from dccd_core.adapter.scraps import is_whole, texts_at
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import MILLISECOND, MINUTE, SECOND, Us
from dccd_core.exchanges.bitfinex import DOCS, FRAMES, READ_CANDLES, READ_TRADES, trade_columns
from dccd_core.tables import DataType

_FLAGS: Final = 32_768 | 65_536 | 131_072
"""Every message's time and number, and checksums of books."""
_RESTARTS: Final = (20051, 20060, 20061)
"""Trouble, or its end."""
_DOUBLE: Final = 10301
_NOT_LEFT: Final = (10400, 10401)
_FULL: Final = 10305
_BEATS: Final = Us(15 * SECOND)
"""A channel that is quiet for so long says so."""
_BEGINNING: Final = re.compile(rb"\s*([^\s0-9])\s*([0-9]{1,18})\s*,")
"""Where a message of rows, of which the first byte may be spoilt, has its channel."""
_END: Final = re.compile(rb",\s*([0-9]{1,15})\s*,\s*[0-9]{12,13}\s*\]\s*$")
"""Where it has its number, and its time."""
_NUMBERED_AT: Final = {b'"te"': 3, b'"tu"': 3, b'"cs"': 3, b'"hb"': 2}
"""Where a message of a kind has its number; its time comes after it."""


class Platform(msgspec.Struct, gc=False):
    status: int = 1


class Event(msgspec.Struct, gc=False):
    """``{"event":"subscribed","channel":"trades","chanId":17470,"symbol":"tBTCUSD"}`` and others.

    ``{"event":"error","msg":"symbol: invalid","code":10300,"channel":"candles","key":"trade:1m:tBTCUSDT"}``,
    ``{"event":"conf","status":"OK"}``, ``{"event":"info","platform":{"status":1}}`` (0: maintenance).
    """

    event: str
    code: int | None = None
    msg: str = ""
    status: str = ""
    channel: str = ""
    chanId: int | None = None
    symbol: str = ""
    key: str = ""
    platform: Platform | None = None

    @property
    def topic(self) -> str:
        return f"{self.channel}:{self.key or self.symbol}"


class PushedLevel(msgspec.Struct, array_like=True, gc=False):
    """Like ``Level``, with the numbers as they are written."""

    price: msgspec.Raw
    orders: wire.Whole
    amount: msgspec.Raw


_READ_PUSHED: Final = msgspec.json.Decoder(list[Event | list[msgspec.Raw]])
_READ_NUMBERS: Final = msgspec.json.Decoder(list[wire.Millis])
_READ_CHECKSUMS: Final = msgspec.json.Decoder(list[int])
_READ_LISTS: Final = msgspec.json.Decoder(list[list[msgspec.Raw]])
_READ_LEVELS: Final = msgspec.json.Decoder(list[PushedLevel])


def _wanted(topic: Topic) -> dict[str, str]:
    """Return the words by which the venue knows a subscription."""
    if topic.data_type is DataType.OHLC:
        assert topic.bar is not None
        return {"channel": "candles", "key": f"trade:{FRAMES[topic.bar]}:{topic.market}"}
    return {"channel": "trades" if topic.data_type is DataType.TRADES else "book", "symbol": topic.market}


def name(topic: Topic) -> str:
    return ":".join(_wanted(topic).values())


def subscribe(topics: Sequence[Topic], _: int) -> bytes:
    [topic] = topics
    book = {"prec": "P0", "freq": "F0", "len": str(topic.depth)}
    more = book if topic.data_type is DataType.ORDERBOOK else {}
    return msgspec.json.encode({"event": "subscribe", **_wanted(topic), **more})


@dataclass(frozen=True, slots=True)
class Connection:
    """What is known of a connection: topics by their channel ("": given up), the last message's number.

    ``broken``: a message is missing, so what comes after it proves nothing. ``unread``: how many have come
    since the last number of which only the channel could be read, so their numbers are missing.
    """

    topics: Mapping[int, str] = field(default_factory=dict[int, str])
    last: int | None = None
    broken: bool = False
    unread: int = 0

    def leads_to(self, number: int) -> bool:
        """Whether nothing is missing before a message of this number."""
        return self.last is None or self.last < number <= self.last + 1 + self.unread


def unsubscribe(topics: Sequence[Topic], _: int, state: object) -> bytes:
    [wanted] = topics
    assert isinstance(state, Connection)
    channel = next((channel for channel, topic in state.topics.items() if topic == name(wanted)), 0)
    return msgspec.json.encode({"event": "unsubscribe", "chanId": channel})


class Batch:
    """Messages while they are being read."""

    def __init__(self, known: Connection) -> None:
        self.broken = known.broken
        self._known, self._topics = known, dict(known.topics)
        self._trades, self._bars = TaggedRows[bytes](), TaggedRows[bytes]()
        self._words = dict[str, Word]()
        """The newest of each topic."""
        self._decoded = DecodedBatch()

    def note(self, event: Event) -> None:
        """Take what is said of the connection or of a subscription."""
        match event:
            case Event(event="subscribed", chanId=int(channel)):
                self._topics[channel] = event.topic
                self._decoded.acks.append(Ack(event.topic))
            case Event(event="unsubscribed", chanId=int(channel)):
                self._topics[channel] = ""
            case Event(event="info" | "error", code=code) if code in _RESTARTS:
                self._decoded.restart = f"{code} {event.msg}"
            case Event(event="error"):
                self._note_error(event)
            case Event(event="info", code=None, platform=Platform(status=0)):
                self._decoded.restart = "Bitfinex is being maintained"
            case Event(event="conf", status="OK") | Event(event="info", code=None):
                pass
            case _:
                raise PayloadError(f"a message that nobody knows: {event}", hint=wire.CHANGED)

    def _note_error(self, event: Event) -> None:
        """Take a refusal; what is there already, or could not be left, harms nobody else."""
        said, topic = f"{event.code} {event.msg}", event.topic if event.channel else None
        if event.code in _NOT_LEFT:
            self._topics |= {event.chanId: ""} if event.chanId in self._topics else {}
        elif event.code != _DOUBLE:
            self._decoded.acks.append(Ack(topic, error=said, full=event.code == _FULL))
        elif topic in self._topics.values():
            self._decoded.acks.append(Ack(topic))
        else:  # it has a channel of which nobody said the number: another connection may have one
            self._decoded.acks.append(Ack(topic, error=said, full=True))

    def take(self, message: Sequence[msgspec.Raw], received: Us) -> None:
        """Read ``[channel,rows,number,time]``, or ``[channel,"te",row,number,time]`` and the like."""
        what = bytes(message[1]) if len(message) > 3 else b""
        at = _NUMBERED_AT.get(what, 2 if what.startswith(b"[") else len(message))
        numbers = read_frames(_READ_NUMBERS, [*message[:1], *message[at : at + 2]])
        if len(numbers) < 3:
            raise PayloadError("a message of no known kind, or without number", hint=wire.CHANGED)
        channel, number, millis = numbers
        if not self._known.leads_to(number):
            self.broken = True
            self._decoded.restart = f"message {number} came after {self._known.last}: something is lost"
            return
        self._known, time = Connection(last=number), Us(millis * MILLISECOND)
        self._decoded.at = max(time, self._decoded.at or time)
        topic, value = self._topics.get(channel, ""), bytes(message[2])
        if topic:
            before = self._words.get(topic)
            self._words[topic] = Word(topic, max(time, before.at) if before else time)
        if topic.startswith("book:") and what != b'"hb"':
            self._decoded.books.append(_book_change(BookChange(topic, time, last=number), what, value))
        elif topic:
            self._add(topic, received, what, value)

    def _add(self, topic: str, received: Us, what: bytes, value: bytes) -> None:
        """Keep rows, oldest first."""
        came = self._trades if topic.startswith("trades:") else self._bars
        if what == b'"te"' and came is self._trades:
            came.add(topic, received, value)
        elif what.startswith(b"["):
            for row in reversed(_rows(what)[0]):
                came.add(topic, received, row)
        elif what not in (b'"hb"', b'"tu"'):
            raise PayloadError(f"{what!r} on the channel {topic}", hint=wire.CHANGED)

    def decoded(self) -> DecodedBatch:
        decoded, trades = self._decoded, read_frames(READ_TRADES, self._trades.rows)
        bars = TaggedRows(self._bars.topics, self._bars.times, read_frames(READ_CANDLES, self._bars.rows))
        decoded.state = replace(self._known, topics=self._topics, broken=self.broken)
        decoded.words = list(self._words.values())
        decoded.trades = live_trades(self._trades, **trade_columns(trades))
        decoded.bars = live_bars(
            bars,
            [None] * len(bars.rows),
            ts=wire.micros([row.open_time for row in bars.rows]),
            volume=[row.volume for row in bars.rows],
        )
        return decoded


def _known(state: object) -> Connection:
    return state if isinstance(state, Connection) else Connection()


def topics_in(frame: bytes, state: object) -> tuple[str, ...]:
    """Name the topic of a message that is not understood by its channel; an event may name one itself."""
    if events := texts_at("event", frame):
        channels, about = texts_at("channel", frame), texts_at("key", frame) or texts_at("symbol", frame)
        named = tuple(f"{channel}:{one}" for channel in channels for one in about)
        return named or (tuple(events) if is_whole(frame) else ())  # events carry no rows
    if (found := _BEGINNING.match(frame)) is None:
        return ()
    topic = _known(state).topics.get(int(found[2]), "")
    nobody = (f"channel {int(found[2])}",) if found[1] == b"[" else ()
    return (topic,) if topic else nobody


def _after(frame: bytes, state: object) -> Connection:
    """Count a message that was not understood."""
    known = _known(state)
    if texts_at("event", frame) or not topics_in(frame, state):
        return known
    found = _END.search(frame)
    if found is not None and known.leads_to(number := int(found[1])):
        return replace(known, last=number, unread=0)
    return replace(known, unread=known.unread + 1)


def decode(frames: Sequence[bytes], received: Sequence[Us], state: object) -> DecodedBatch:
    batch = Batch(_known(state))
    for message, came in zip(read_frames(_READ_PUSHED, frames), received, strict=True):
        if batch.broken:
            break
        if isinstance(message, Event):
            batch.note(message)
        else:
            batch.take(message, came)
    return batch.decoded()


def _rows(text: bytes) -> tuple[Sequence[bytes], bool]:
    """Return rows, of which there may be only one, and whether they came as a list of them."""
    [parts] = read_frames(_READ_LISTS, [text])
    rows = [bytes(part) for part in parts]
    listed = not rows or rows[0].startswith(b"[")
    return (rows if listed else [text]), listed


def _book_change(change: BookChange, what: bytes, value: bytes) -> BookChange:
    """Add levels, or the checksum, which is of the book as it was left by the changes before."""
    if what == b'"cs"':
        [change.checksum] = read_frames(_READ_CHECKSUMS, [value])
        return change
    bids, asks = list[tuple[str, str]](), list[tuple[str, str]]()
    rows, change.whole = _rows(what)
    for row in read_frames(_READ_LEVELS, rows):
        price, amount = str(row.price, "utf8", "replace"), str(row.amount, "utf8", "replace")
        side = asks if amount.startswith("-") else bids
        side.append((price, amount.removeprefix("-") if row.orders else "0"))
    change.bids, change.asks = bids, asks
    return change


def checksum(bids: Pairs, asks: Pairs, _: Precision | None) -> int:
    """Return the signed CRC32 of bids and asks in turn; the amounts of asks are negative there."""
    sold = [(price, f"-{amount}") for price, amount in asks]
    turns = [text for pair in zip_longest(bids, sold, fillvalue=()) for level in pair for text in level]
    unsigned = crc32(":".join(turns).encode())
    return unsigned - (unsigned >> 31 << 32)


LIVE = WebSocketApi(
    url=lambda _: "wss://api-pub.bitfinex.com/ws/2",
    name=name,
    subscribe=subscribe,
    unsubscribe=unsubscribe,
    decode=isolating(decode, _after),
    topics_in=topics_in,
    connects=Limit(20, MINUTE),
    channels={
        DataType.OHLC: Channel(docs=f"{DOCS}/ws-public-candles", spans=tuple(FRAMES), beats=_BEATS),
        DataType.TRADES: Channel(docs=f"{DOCS}/ws-public-trades", beats=_BEATS),
        DataType.ORDERBOOK: Channel(
            docs=f"{DOCS}/ws-public-books", depths=(100, 250), checksum=checksum, checked=25, beats=_BEATS
        ),
    },
    batch=1,
    most=25,
    greeting=(msgspec.json.encode({"event": "conf", "flags": _FLAGS}),),
    silence=Us(35 * SECOND),
)
