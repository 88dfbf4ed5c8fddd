"""OKX's WebSocket, v5: spot, linear and inverse perpetuals.

Docs: https://www.okx.com/docs-v5/en/

Quirks:
- The hosts of a country are ``wseea.okx.com`` and ``wsus.okx.com``.
- Trades and bars have another address than books. ``trades-all`` has every fill, with the ids of REST, which
  follow one another; ``trades`` joins the fills of one order.
- Bars and pongs tell no time: a running bar shows that it has begun, a closed one that it is over. UNSURE:
  whether a bar in which nothing was traded is told; history, which has them all, is asked for it if not.
- ``prevSeqId`` is the ``seqId`` of the message before, also where ``seqId`` starts anew from a smaller one.
  Both are the same when nothing changed, which is said about every minute. A snapshot may lack ``prevSeqId``.
  ``checksum`` is always 0: it proves nothing.
- Errors name no topic. UNSURE: whether they echo the ``id``; if not, they concern all that is unanswered.
- UNSURE: that a book's levels beyond the 400th are said to be gone (amount 0), as those of others are.
- UNSURE: how many topics a connection may have; it is to be fewer than 30 books.
- An hour has 480 messages of ours per connection; more, or trouble, is an error of this one alone.
- ``channel-conn-count-error`` takes a subscription back, and tells its channel only: what it was is silent.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Final

import msgspec

from dccd_core.adapter import wire
from dccd_core.adapter.contract import Limit
from dccd_core.adapter.frames import TaggedRows, isolating, live_bars, live_trades, read_frames, rows_of
from dccd_core.adapter.live import Ack, BookChange, Channel, DecodedBatch, Topic, WebSocketApi
from dccd_core.adapter.scraps import is_whole, texts_at
from dccd_core.domain.errors import PayloadError
from dccd_core.domain.timespan import MILLISECOND, SECOND, Us
from dccd_core.exchanges.okx import (
    BARS,
    DOCS,
    OVERLOADED,
    TOO_MANY,
    Book,
    Candle,
    Trade,
    pairs,
    trade_columns,
)
from dccd_core.tables import DataType

_GOING_DOWN: Final = "64008"
_FULL: Final = ("60014", "60020", "60025", "63999", *TOO_MANY, *OVERLOADED)
"""Errors that another connection may not meet."""
_ARG: Final = re.compile(rb'"arg"\s*:\s*\{([^{}]*)')
"""What names a topic, also where the message ends in it."""
_PUSHED_BARS: Final = {f"candle{name}": bar for bar, name in BARS.items()}
_PUSHED: Final = {
    "trades-all": DataType.TRADES,
    "books": DataType.ORDERBOOK,
    **dict.fromkeys(_PUSHED_BARS, DataType.OHLC),
}


class BookPushed(Book, gc=False):
    """``{"asks":[..],"bids":[..],"ts":"1597026383085","checksum":0,"prevSeqId":123456,"seqId":123457}``."""

    seqId: wire.Whole
    prevSeqId: Annotated[int, msgspec.Meta(ge=-1)] | None = None


class Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""

    @property
    def name(self) -> str:
        return f"{self.channel}:{self.instId}"


class Pushed(msgspec.Struct, gc=False):
    """``{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[..]}``, of books with ``action``.

    Or it is an ``event``: ``{"event":"subscribe","arg":{..}}``, ``{"event":"error","code":"60012",..}``.
    """

    arg: Arg | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    action: str | None = None
    event: str | None = None
    id: str | None = None
    code: str | int | None = None
    msg: str | None = None


_READ_PUSHED: Final = msgspec.json.Decoder(list[Pushed])
_READ_CANDLES: Final = msgspec.json.Decoder(list[list[Candle]], strict=False)
_READ_TRADES: Final = msgspec.json.Decoder(list[list[Trade]], strict=False)
_READ_BOOKS: Final = msgspec.json.Decoder(list[list[BookPushed]], strict=False)


def _arg(topic: Topic) -> Arg:
    if topic.data_type is DataType.ORDERBOOK:
        return Arg("books", topic.market)
    return Arg(f"candle{BARS[topic.bar]}" if topic.bar else "trades-all", topic.market)


def name(topic: Topic) -> str:
    return _arg(topic).name


def url(topic: Topic) -> str:
    where = "public" if topic.data_type is DataType.ORDERBOOK else "business"
    return f"wss://ws.okx.com:8443/ws/v5/{where}"


def _message(op: str, topics: Sequence[Topic], number: int) -> bytes:
    return msgspec.json.encode({"id": str(number), "op": op, "args": [_arg(topic) for topic in topics]})


def decode(frames: Sequence[bytes], received: Sequence[Us], _: object) -> DecodedBatch:
    decoded, books = DecodedBatch(), TaggedRows[Pushed]()
    told = {DataType.TRADES: TaggedRows[msgspec.Raw](), DataType.OHLC: TaggedRows[msgspec.Raw]()}
    spoken = [(frame, came) for frame, came in zip(frames, received, strict=True) if frame != b"pong"]
    messages = read_frames(_READ_PUSHED, [frame for frame, _ in spoken])
    for message, (_, came) in zip(messages, spoken, strict=True):
        data_type = _PUSHED.get(message.arg.channel) if message.arg and message.arg.instId else None
        if message.event:
            _decode_event(message, decoded)
        elif message.arg is None or data_type is None:
            raise PayloadError(f"a message of no channel of ours: {message.arg}", hint=wire.CHANGED)
        elif data_type is DataType.ORDERBOOK:
            books.add(message.arg.name, came, message)
        else:
            told[data_type].add(message.arg.name, came, message.data)
    trades = rows_of(_READ_TRADES, told[DataType.TRADES])
    bars = rows_of(_READ_CANDLES, told[DataType.OHLC])
    decoded.books = _book_changes(books)
    decoded.trades = live_trades(trades, **trade_columns(trades.rows))
    ours = list(zip(bars.topics, bars.rows, strict=True))
    decoded.bars = live_bars(
        bars,
        [row.confirm == "1" for row in bars.rows],
        ts=wire.micros([row.ts for row in bars.rows]),
        volume=[row.volCcy if topic.endswith("-SWAP") else row.vol for topic, row in ours],
        quote_volume=[row.volCcyQuote for row in bars.rows],
    )
    times = [row.ts * MILLISECOND for row in trades.rows]
    times += [_begun(topic, row) for topic, row in ours]
    times += [change.at for change in decoded.books if change.at is not None]
    decoded.at = Us(max(times)) if times else None
    return decoded


def _begun(topic: str, bar: Candle) -> int:
    """Return the latest moment that a bar shows to have come: its end only if it is closed."""
    lasted = _PUSHED_BARS[topic.partition(":")[0]] if bar.confirm == "1" else 0
    return bar.ts * MILLISECOND + lasted


def _book_changes(told: TaggedRows[Pushed]) -> list[BookChange]:
    books = read_frames(_READ_BOOKS, [message.data for message in told.rows])
    return [
        _book_change(topic, message.action, book)
        for topic, message, found in zip(told.topics, told.rows, books, strict=True)
        for book in found
    ]


def _book_change(topic: str, action: str | None, book: BookPushed) -> BookChange:
    whole = action == "snapshot"
    if not whole and (action != "update" or book.prevSeqId in (None, -1)):
        raise PayloadError("a book that is neither a snapshot nor follows one", hint=wire.CHANGED)
    at, previous = Us(book.ts * MILLISECOND), None if whole else book.prevSeqId
    return BookChange(
        topic, at, pairs(book.bids), pairs(book.asks), whole=whole, last=book.seqId, previous=previous
    )


def _decode_event(message: Pushed, decoded: DecodedBatch) -> None:
    code, said = str(message.code), f"{message.code or ''} {message.msg or ''}"
    topic = message.arg.name if message.arg and message.arg.instId else None
    match message.event:
        case "subscribe" if topic:
            decoded.acks.append(Ack(topic))
        case "error":
            number = int(message.id) if message.id and message.id.isdecimal() else None
            decoded.acks.append(Ack(topic, number, said, full=code in _FULL))
        case "notice" if code == _GOING_DOWN:
            decoded.restart = f"OKX is about to close this connection: {said}"
        case "channel-conn-count-error":
            decoded.acks.append(Ack(error="too many connections have this channel", full=True))
        case "unsubscribe":
            pass
        case "subscribe":
            raise PayloadError("an agreement to no topic", hint=wire.CHANGED)
        case _ if message.arg or message.data:
            raise PayloadError(f"an unheard-of event of a topic: {message.event} {said}", hint=wire.CHANGED)
        case _:  # about the connection: notices, counts of connections, and what comes new
            pass


def topics_in(frame: bytes, _: object) -> tuple[str, ...]:
    """Name the topics that a message is of which could not be understood."""
    told = [
        Arg(channel, market)
        for arg in _ARG.findall(frame)
        for channel in texts_at("channel", arg)[:1]
        for market in texts_at("instId", arg)[:1]
        if market
    ]
    ours = [arg for arg in told if arg.channel in _PUSHED]
    return tuple(dict.fromkeys(arg.name for arg in ours or (told if is_whole(frame) else ())))


_CHANNELS: Final = {
    DataType.OHLC: Channel(
        docs=f"{DOCS}#order-book-trading-market-data-ws-candlesticks-channel", spans=tuple(BARS)
    ),
    DataType.TRADES: Channel(
        docs=f"{DOCS}#order-book-trading-market-data-ws-all-trades-channel", consecutive=True
    ),
    DataType.ORDERBOOK: Channel(
        docs=f"{DOCS}#order-book-trading-market-data-ws-order-book-channel",
        depths=(400,),
        beats=Us(60 * SECOND),
    ),
}

LIVE = WebSocketApi(
    url=url,
    name=name,
    subscribe=partial(_message, "subscribe"),
    unsubscribe=lambda topics, number, _: _message("unsubscribe", topics, number),
    decode=isolating(decode),
    topics_in=topics_in,
    connects=Limit(3, SECOND),
    channels=_CHANNELS,
    special={
        (kind, data_type): replace(_CHANNELS[data_type], contracts=True)
        for kind in ("linear", "inverse")
        for data_type in (DataType.TRADES, DataType.ORDERBOOK)
    },
    most=25,
    ping=lambda _: b"ping",
    silence=Us(50 * SECOND),
)
